"""Parameters that reach an output but no gradient: the model's own start is theirs for good."""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import nnx
from gallery.entry import GALLERY, Entry, entry, shape, shapes
from jax.lax import stop_gradient

X = shape(4, 6)
NETWORK = {"a": (6, 8), "a_bias": (8,), "b": (8, 3)}
NETWORK_EXPECTED = {"a": "stem io >relu", "a_bias": "bias", "b": "head io"}


def _network(params, x):
    return jax.nn.relu(x @ params["a"] + params["a_bias"]) @ params["b"]


@entry
def frozen_fourier_matrix():
    """Tancik et al. 2020: the random matrix is drawn once; the first trained kernel is the stem."""

    def apply(params, x):
        angles = 2 * jnp.pi * x @ stop_gradient(params["matrix"])
        return _network(params, jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], -1))

    params = NETWORK | {"matrix": (5, 3)}
    return Entry(apply, (shapes(params), shape(4, 5)), NETWORK_EXPECTED | {"matrix": "frozen"}, 0)


@entry
def frozen_frequencies_of_a_time():
    """Song et al. 2021: random frequencies of the noise level, beside the network's own input."""

    def apply(params, x, time):
        wave = jnp.sin(time[:, None] * stop_gradient(params["frequencies"])[None] * 2 * jnp.pi)
        return jax.nn.relu(x @ params["a"] + wave @ params["time"]) @ params["b"]

    params = {"a": (6, 8), "b": (8, 3), "frequencies": (5,), "time": (5, 8)}
    expected = {"a": "stem io", "time": "stem io", "b": "head io", "frequencies": "frozen"}
    return Entry(apply, (shapes(params), X, shape(4)), expected, 0)


@entry
def frozen_table_of_sine_positions():
    """A table of sines that lies among the parameters so that checkpoints have it."""

    def apply(params, tokens):
        x = params["embed"][tokens] + stop_gradient(params["sines"])[:5]
        return _network(params, x)

    params = shapes(NETWORK | {"embed": (11, 6), "sines": (9, 6)})
    expected = NETWORK_EXPECTED | {"a": "hidden io >relu", "embed": "embedding io"}
    return Entry(apply, (params, shape(2, 5, dtype="int32")), expected | {"sines": "frozen"}, 0)


@entry
def frozen_embedding():
    """Word vectors from elsewhere, looked up and never trained."""

    def apply(params, tokens):
        return _network(params, stop_gradient(params["vectors"])[tokens])

    params = shapes(NETWORK | {"vectors": (11, 6)})
    expected = NETWORK_EXPECTED | {"vectors": "frozen"}
    return Entry(apply, (params, shape(2, 5, dtype="int32")), expected, 0)


@entry
def frozen_backbone():
    """Linear probing: nothing before the last kernel has a gradient."""

    def apply(params, x):
        return stop_gradient(_network(params["backbone"], x)) @ params["probe"]

    params = shapes({"backbone": NETWORK, "probe": (3, 2)})
    return Entry(apply, (params, X), {"backbone/*": "frozen", "probe": "head io"}, 0)


@entry
def frozen_backbone_by_its_parameters():
    """The parameters are stopped, the signal is not: the same values, the same answer."""

    def apply(params, x):
        return _network(stop_gradient(params["backbone"]), x) @ params["probe"]

    params = shapes({"backbone": NETWORK, "probe": (3, 2)})
    return Entry(apply, (params, X), {"backbone/*": "frozen", "probe": "head io"}, 0)


@entry
def frozen_base_of_a_low_rank_adaptation():
    """Hu et al. 2021: the adapted kernel stands still, its low-rank way is the branch past it."""

    def apply(params, x):
        y = x @ stop_gradient(params["base"]) + (x @ params["lora_a"]) @ params["lora_b"]
        return jax.nn.relu(y) @ params["out"]

    params = {"base": (6, 6), "lora_a": (6, 2), "lora_b": (2, 6), "out": (6, 3)}
    expected = {"base": "frozen", "lora_a": "hidden io", "lora_b": "tail io", "out": "head io"}
    return Entry(apply, (shapes(params), X), expected, 1)


def _by_difference(params, x, reward, following):
    """Mnih et al. 2015: the target network makes numbers, the online network is trained."""
    target = reward + 0.99 * _network(params["target"], following).max(-1)
    return jnp.mean((_network(params["online"], x).max(-1) - stop_gradient(target)) ** 2)


def _by_stopped_parameters(params, x, reward, following):
    target = jax.tree.map(stop_gradient, params["target"])
    target = reward + 0.99 * _network(target, following).max(-1)
    return jnp.mean(jnp.square(target - _network(params["online"], x).max(-1)))


def _beside_the_output(params, x, reward, following):
    """Both networks' values are put out; a loss elsewhere compares them."""
    values = _network(params["online"], x)
    return values, reward + stop_gradient(_network(params["target"], following).max(-1))


def _target(loss):
    params = shapes({"online": NETWORK, "target": NETWORK})
    expected = {"target/*": "frozen"}
    expected |= {f"online/{name}": line for name, line in NETWORK_EXPECTED.items()}
    return Entry(loss, (params, X, shape(4), X), expected, 0)


for loss in (_by_difference, _by_stopped_parameters, _beside_the_output):
    GALLERY[f"frozen_target{loss.__name__}"] = lambda loss=loss: _target(loss)


@entry
def frozen_teacher():
    """Grill et al. 2020 (BYOL): the teacher's view is stopped, a predictor follows the student."""

    def apply(params, first, second):
        student = _network(params["student"], first) @ params["predictor"]
        teacher = stop_gradient(_network(params["teacher"], second))
        student = student / jnp.linalg.norm(student, axis=-1, keepdims=True)
        teacher = teacher / jnp.linalg.norm(teacher, axis=-1, keepdims=True)
        return (student * teacher).sum(-1)

    params = shapes({"student": NETWORK, "teacher": NETWORK, "predictor": (3, 3)})
    expected = {
        "teacher/*": "frozen",
        "student/a": "stem io >relu",
        "student/a_bias": "bias",
        "student/b": "hidden io",
        "predictor": "head io",
    }
    return Entry(apply, (params, X, X), expected, 0)


@entry
def frozen_norm():
    """Detectors keep the norms of their backbone: scale, bias and statistics stand still."""

    def apply(params, x):
        held = jax.tree.map(stop_gradient, params["norm"])
        y = (x @ params["a"] - held["mean"]) * jax.lax.rsqrt(held["variance"] + 1e-5)
        return jax.nn.relu(y * held["scale"] + held["bias"]) @ params["b"]

    norm = dict.fromkeys(("mean", "variance", "scale", "bias"), (8,))
    params = shapes({"a": (6, 8), "b": (8, 3), "norm": norm})
    expected = {"a": "stem io >relu", "b": "head io", "norm/*": "frozen"}
    return Entry(apply, (params, X), expected, 0)


@entry
def frozen_in_a_scan():
    """Layers of a scan, of which each reads a random projection that is never trained."""

    def apply(params, x):
        def step(x, layer):
            y = jnp.tanh(x @ stop_gradient(layer["random"]))
            return x + y @ layer["w"], None

        return jax.lax.scan(step, x @ params["in"], params["layers"])[0] @ params["out"]

    layers = {"random": (3, 8, 8), "w": (3, 8, 8)}
    params = shapes({"in": (6, 8), "out": (8, 2), "layers": layers})
    expected = {
        "in": "stem io",
        "layers/random": "frozen s",
        "layers/w": "tail sio",
        "out": "head io",
    }
    return Entry(apply, (params, X), expected, 3)


@entry
def codes_trained_by_their_own_loss():
    """Van den Oord et al. 2017: what is stopped in one term has its gradient from another."""

    def apply(params, x):
        z = jax.nn.relu(x @ params["e1"]) @ params["e2"]
        distances = jnp.sum((z[:, None] - params["codes"]) ** 2, -1)
        found = params["codes"][jnp.argmin(distances, -1)]
        loss = jnp.mean((stop_gradient(z) - found) ** 2 + (z - stop_gradient(found)) ** 2)
        z = z + stop_gradient(found - z)
        return jax.nn.relu(z @ params["d1"]) @ params["d2"], loss

    params = {"e1": (6, 8), "e2": (8, 2), "codes": (7, 2), "d1": (2, 8), "d2": (8, 6)}
    expected = {
        "e1": "stem io >relu",
        "e2": "hidden io",
        "codes": "embedding io",
        "d1": "hidden io >relu",
        "d2": "head io",
    }
    return Entry(apply, (shapes(params), X), expected, 0)


class LinenFourier(nn.Module):
    """The random frequencies of score models in Linen."""

    @nn.compact
    def __call__(self, x, time):
        frequencies = self.param("frequencies", nn.initializers.normal(16.0), (5,))
        wave = time[:, None] * jax.lax.stop_gradient(frequencies)[None] * 2 * jnp.pi
        wave = jnp.concatenate([jnp.sin(wave), jnp.cos(wave)], -1)
        condition = nn.Dense(8, name="time_1")(nn.silu(nn.Dense(8, name="time_0")(wave)))
        return nn.Dense(6, name="out")(nn.silu(nn.Dense(8, name="in")(x) + condition))


@entry
def linen_frozen_frequencies():
    expected = {
        "frequencies": "frozen",
        "time_0/kernel": "stem io >silu",
        "time_1/kernel": "hidden io",
        "in/kernel": "stem io",
        "out/kernel": "head io",
        "*/bias": "bias",
    }
    return Entry(LinenFourier(), (X, shape(4)), expected, 0)


class NNXFrozen(nnx.Module):
    def __init__(self, rngs):
        self.backbone = nnx.Linear(6, 8, rngs=rngs)
        self.probe = nnx.Linear(8, 3, rngs=rngs)

    def __call__(self, x):
        return self.probe(stop_gradient(nnx.relu(self.backbone(x))))


@entry
def nnx_frozen_backbone():
    expected = {"backbone/*": "frozen", "probe/kernel": "head io", "probe/bias": "bias"}
    return Entry(nnx.eval_shape(lambda: NNXFrozen(nnx.Rngs(0))), (X,), expected, 0)


class EquinoxFrozen(eqx.Module):
    """A table of sines as an array of the module, stopped where it is read."""

    sines: jax.Array
    network: eqx.nn.MLP

    def __call__(self, x):
        return jax.vmap(self.network)(x + stop_gradient(self.sines)[: x.shape[0]])


@entry
def equinox_frozen_positions():
    def make():
        network = eqx.nn.MLP(6, 2, 8, 1, key=jax.random.key(0))
        return EquinoxFrozen(jnp.zeros((9, 6)), network)

    expected = {
        "sines": "frozen",
        "network/layers/0/weight": "stem oi >relu",
        "network/layers/1/weight": "head oi",
        "*/bias": "bias",
    }
    return Entry(eqx.filter_eval_shape(make), (shape(5, 6),), expected, 0)
