"""Parameters that shift or scale what no kernel produced: they keep the start the model gives."""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from gallery.entry import GALLERY, Entry, entry, shape, shapes

DISTANCES = shape(7)
BASES = 5
NETWORK = {"w": (BASES, 8), "v": (8, 3)}
NETWORK_EXPECTED = {"w": "stem io >tanh", "v": "head io >"}


def _network(params, features):
    return jnp.tanh(features @ params["w"]) @ params["v"]


# How distances (pairs,) become features (pairs, bases), and the sizes of what is learned for it.
BASIS = {
    "gaussians": (
        # Schuett et al. 2017 (SchNet), centres and widths learned.
        {"mu": (BASES,), "gamma": (BASES,)},
        lambda p, d: jnp.exp(-p["gamma"] * (d[:, None] - p["mu"]) ** 2),
    ),
    "gaussians_divided_by_their_widths": (
        # The spelling with a standard deviation, made positive by a softplus.
        {"mu": (BASES,), "width": (BASES,)},
        lambda p, d: jnp.exp(-0.5 * ((d[:, None] - p["mu"]) / jax.nn.softplus(p["width"])) ** 2),
    ),
    "gaussians_of_one_width": (
        {"mu": (BASES,), "gamma": ()},
        lambda p, d: jnp.exp(-jnp.exp(p["gamma"]) * jnp.square(d[:, None] - p["mu"][None])),
    ),
    "gaussians_of_an_exponential": (
        # Unke & Meuwly 2019 (PhysNet): centres and widths in exp(-d), times a cutoff.
        {"mu": (BASES,), "beta": (BASES,)},
        lambda p, d: (
            jnp.exp(-jax.nn.softplus(p["beta"]) * (jnp.exp(-d)[:, None] - p["mu"]) ** 2)
            * jnp.where(d < 4, 0.5 * (jnp.cos(jnp.pi * d / 4) + 1), 0)[:, None]
        ),
    ),
    "bessel_functions": (
        # Gasteiger et al. 2020 (DimeNet): the frequencies start at n pi.
        {"frequencies": (BASES,)},
        lambda p, d: jnp.sin(p["frequencies"] * d[:, None] / 4) / d[:, None],
    ),
    "bessel_functions_in_an_envelope": (
        # A polynomial envelope beside the learned frequencies, sinc for the division.
        {"frequencies": (BASES,)},
        lambda p, d: (
            (p["frequencies"] * jnp.sinc(p["frequencies"] * d[:, None]))
            * jnp.where(d < 1, 1 - 6 * d**5 + 15 * d**4 - 10 * d**3, 0)[:, None]
        ),
    ),
    "decaying_exponentials": (
        # Pfau et al. 2020 (FermiNet), one nucleus: exp(-sigma r) pi.
        {"sigma": (BASES,), "pi": (BASES,)},
        lambda p, d: jnp.exp(-p["sigma"] * d[:, None]) * p["pi"],
    ),
    "decaying_exponentials_of_magnitudes": (
        {"sigma": (BASES,), "pi": (BASES,)},
        lambda p, d: p["pi"][None] * jnp.exp(-jnp.abs(d[:, None] * p["sigma"])),
    ),
    "inverse_powers": (
        # An envelope whose exponent is learned.
        {"exponent": (BASES,)},
        lambda p, d: (1 + d[:, None]) ** -jax.nn.softplus(p["exponent"]),
    ),
    "cosines_of_learned_size": (
        # exp(s) cos(f d) + b: neither a scale nor a shift of a layer.
        {"s": (BASES,), "f": (BASES,), "b": (BASES,)},
        lambda p, d: jnp.exp(p["s"]) * jnp.cos(p["f"] * d[:, None]) + p["b"],
    ),
    "cosines_of_a_fixed_table": (
        {"s": (BASES,), "b": (BASES,)},
        lambda p, d: jnp.exp(p["s"]) * jnp.cos(d[:, None] * jnp.arange(1.0, BASES + 1)) + p["b"],
    ),
    "sigmoid_steps": (
        # Soft bins with learned edges and one learned sharpness.
        {"edges": (BASES,), "sharpness": ()},
        lambda p, d: jax.nn.sigmoid((d[:, None] - p["edges"]) * p["sharpness"]),
    ),
}


def _on_distances(name):
    sizes, basis = BASIS[name]
    params = shapes(NETWORK | {"basis": sizes})
    apply = lambda p, d: _network(p, basis(p["basis"], d))  # noqa: E731 it is one expression
    return Entry(apply, (params, DISTANCES), NETWORK_EXPECTED | {"basis/*": "own"}, 0)


for name in BASIS:
    GALLERY[f"radial_{name}"] = lambda name=name: _on_distances(name)


@entry
def radial_basis_network():
    """Broomhead & Lowe 1988: distances of the inputs to learned points, widths of their own."""

    def apply(params, x):
        squares = jnp.sum((x[:, None] - params["centres"]) ** 2, -1)
        return jnp.exp(-params["gamma"] * squares) @ params["v"]

    params = shapes({"centres": (BASES, 6), "gamma": (BASES,), "v": (BASES, 3)})
    expected = {"centres": "own", "gamma": "own", "v": "head io"}
    return Entry(apply, (params, shape(4, 6)), expected, 0)


@entry
def radial_basis_network_of_norms():
    """The distance itself, by a norm: ||x - mu|| has degree 1 and nothing divides by it."""

    def apply(params, x):
        distances = jnp.linalg.norm(x[:, None] - params["centres"][None], axis=-1)
        return jnp.exp(-distances / jnp.exp(params["width"])) @ params["v"]

    params = shapes({"centres": (BASES, 6), "width": (), "v": (BASES, 3)})
    expected = {"centres": "own", "width": "own", "v": "head io"}
    return Entry(apply, (params, shape(4, 6)), expected, 0)


@entry
def radial_basis_of_pairs_of_points():
    """Positions come in, distances are made inside; messages and a residual sum follow."""

    def apply(params, x, points, senders, receivers):
        x = x @ params["in"]
        apart = jnp.linalg.norm(points[senders] - points[receivers], axis=-1)
        basis = jnp.exp(-params["gamma"] * (apart[:, None] - params["mu"]) ** 2)
        filters = jax.nn.softplus(basis @ params["f1"]) @ params["f2"]
        sums = jax.ops.segment_sum((x @ params["w1"])[senders] * filters, receivers, 7)
        return (x + jax.nn.softplus(sums @ params["w2"]) @ params["w3"]) @ params["out"]

    params = {"in": (3, 8), "mu": (BASES,), "gamma": (BASES,), "f1": (BASES, 8), "f2": (8, 8)}
    params |= {"w1": (8, 8), "w2": (8, 8), "w3": (8, 8), "out": (8, 2)}
    expected = {
        "in": "stem io",
        "mu": "own",
        "gamma": "own",
        "f1": "stem io >softplus",
        "f2": "hidden io",
        "w1": "hidden io",
        "w2": "hidden io >softplus",
        "w3": "tail io",
        "out": "head io",
    }
    ends = shape(9, dtype="int32")
    return Entry(apply, (shapes(params), shape(7, 3), shape(7, 3), ends, ends), expected, 1)


@entry
def radial_basis_of_a_hidden_signal():
    """Bases along an axis of their own are no bias of the kernel before them: at 0 they are one."""

    def apply(params, x):
        h = x @ params["in"]
        basis = jnp.exp(-params["gamma"] * (h[..., None] - params["mu"]) ** 2)
        return basis.reshape(4, -1) @ params["out"]

    params = {"in": (6, 3), "mu": (BASES,), "gamma": (BASES,), "out": (3 * BASES, 2)}
    expected = {"in": "stem io", "mu": "own", "gamma": "own", "out": "head io"}
    return Entry(apply, (shapes(params), shape(4, 6)), expected, 0)


@entry
def time_at_learned_frequencies():
    """Sine features of a time with learned frequencies and phases, before any kernel."""

    def apply(params, x, time):
        wave = jnp.sin(time[:, None] * params["frequencies"] + params["phases"])
        condition = jax.nn.silu(wave @ params["t0"]) @ params["t1"]
        return jax.nn.relu(x @ params["in"] + condition) @ params["out"]

    params = {"frequencies": (4,), "phases": (4,), "t0": (4, 8), "t1": (8, 8)}
    params |= {"in": (6, 8), "out": (8, 2)}
    expected = {
        "frequencies": "own",
        "phases": "own",
        "t0": "stem io >silu",
        "t1": "hidden io",
        "in": "stem io",
        "out": "head io",
    }
    return Entry(apply, (shapes(params), shape(4, 6), shape(4)), expected, 0)


@entry
def fourier_features_with_a_learned_size():
    """What multiplies and shifts a kernel's output stays a multiplier and a bias, bent or not."""

    def apply(params, x):
        wave = jnp.cos(x @ params["w"] + params["phase"]) * jnp.exp(params["log_size"])
        return wave @ params["v"]

    params = shapes({"w": (6, 8), "phase": (8,), "log_size": (8,), "v": (8, 3)})
    expected = {"w": "stem io", "phase": "bias", "log_size": "multiplier", "v": "head io"}
    return Entry(apply, (params, shape(4, 6)), expected, 0)


HEADS = 2
APART = np.abs(np.subtract.outer(np.arange(5.0), np.arange(5.0))).astype(np.float32)
# What is added to the logits (heads, query, key) from what is learned.
SLOPES = {
    "slopes": ({"slopes": (HEADS,)}, lambda p: -p["slopes"][:, None, None] * APART),
    "positive_slopes": (
        {"slopes": (HEADS,)},
        lambda p: -jax.nn.softplus(p["slopes"]).reshape(HEADS, 1, 1) * APART,
    ),
    "slopes_by_einsum": (
        {"slopes": (HEADS,)},
        lambda p: jnp.einsum("h,qk->hqk", jnp.exp(p["slopes"]), -APART),
    ),
    "slopes_of_logarithms": (
        # Chi et al. 2022 (KERPLE).
        {"size": (HEADS, 1, 1), "rate": (HEADS, 1, 1)},
        lambda p: -jnp.exp(p["size"]) * jnp.log1p(jnp.exp(p["rate"]) * APART),
    ),
}
ATTENTION = dict.fromkeys("qkv", (8, HEADS, 4)) | {"in": (3, 8), "o": (HEADS, 4, 8), "out": (8, 2)}
ATTENTION_EXPECTED = {
    "in": "stem io",
    "q": "hidden ioo @query",
    "k": "hidden ioo @key",
    "v": "hidden ioo @value",
    "o": "tail iio @output",
    "out": "head io",
}


def _attend(params, q, k, v, bias):
    logits = jnp.einsum("bqhd,bkhd->bhqk", q, k) / 2 + bias
    y = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(logits), v)
    return jnp.einsum("bqhd,hdo->bqo", y, params["o"])


def _with_slopes(name):
    """Press et al. 2022 (ALiBi) with slopes learned: they scale constant distances."""
    sizes, bias = SLOPES[name]

    def apply(params, x):
        x = x @ params["in"]
        q, k, v = (jnp.einsum("btd,dhc->bthc", x, params[name]) for name in "qkv")
        return (x + _attend(params, q, k, v, bias(params["bias"]))) @ params["out"]

    params = shapes(ATTENTION | {"bias": sizes})
    return Entry(apply, (params, shape(2, 5, 3)), ATTENTION_EXPECTED | {"bias/*": "own"}, 1)


for name in SLOPES:
    GALLERY[f"attention_with_learned_{name}"] = lambda name=name: _with_slopes(name)


@entry
def rotary_embedding_at_learned_frequencies():
    """The angles are positions times frequencies: no kernel produced them."""

    def rotate(x, frequencies):
        angles = jnp.arange(5.0)[:, None, None] * jnp.exp(frequencies)
        first, second = jnp.split(x, 2, -1)
        cos, sin = jnp.cos(angles), jnp.sin(angles)
        return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], -1)

    def apply(params, x):
        x = x @ params["in"]
        q, k, v = (jnp.einsum("btd,dhc->bthc", x, params[name]) for name in "qkv")
        q, k = rotate(q, params["frequencies"]), rotate(k, params["frequencies"])
        return (x + _attend(params, q, k, v, 0.0)) @ params["out"]

    params = shapes(ATTENTION | {"frequencies": (2,)})
    return Entry(apply, (params, shape(2, 5, 3)), ATTENTION_EXPECTED | {"frequencies": "own"}, 1)


class LinenBasis(nn.Module):
    """Centres and widths made by `param`, as Linen models of molecules have them."""

    @nn.compact
    def __call__(self, d):
        start = lambda _: jnp.linspace(0.0, 4.0, BASES)  # noqa: E731
        centres = self.param("centres", start)
        gamma = self.param("gamma", nn.initializers.constant(10.0), (1,))
        basis = jnp.exp(-jax.nn.softplus(gamma) * (d[..., None] - centres) ** 2)
        return nn.Dense(3, name="out")(nn.silu(nn.Dense(8, name="in")(basis)))


LIBRARY = {"centres": "own", "gamma": "own", "*bias": "bias"}


@entry
def linen_radial_basis():
    expected = LIBRARY | {"in/kernel": "stem io >silu", "out/kernel": "head io"}
    return Entry(LinenBasis(), (DISTANCES,), expected, 0)


class NNXBessel(nnx.Module):
    def __init__(self, rngs):
        self.frequencies = nnx.Param(jnp.pi * jnp.arange(1, BASES + 1.0))
        self.first = nnx.Linear(BASES, 8, rngs=rngs)
        self.last = nnx.Linear(8, 1, rngs=rngs)

    def __call__(self, d):
        wave = jnp.sqrt(0.5) * jnp.sin(d[:, None] * self.frequencies[...] / 4) / d[:, None]
        return self.last(nnx.silu(self.first(wave)))


@entry
def nnx_bessel_basis():
    expected = {"first/kernel": "stem io >silu", "last/kernel": "head io", "*bias": "bias"}
    model = nnx.eval_shape(lambda: NNXBessel(nnx.Rngs(0)))
    return Entry(model, (DISTANCES,), expected | {"frequencies": "own"}, 0)


class EquinoxBasis(eqx.Module):
    centres: jax.Array
    gamma: jax.Array
    network: eqx.nn.MLP

    def __call__(self, d):
        return self.network(jnp.exp(-self.gamma * (d - self.centres) ** 2))


@entry
def equinox_radial_basis():
    def make():
        network = eqx.nn.MLP(BASES, 2, 8, 1, activation=jax.nn.silu, key=jax.random.key(0))
        return EquinoxBasis(jnp.linspace(0.0, 4.0, BASES), jnp.ones(BASES), network)

    kernels = {"network/layers/0/weight": "stem oi >silu", "network/layers/1/weight": "head oi"}
    return Entry(eqx.filter_eval_shape(make), (shape(),), LIBRARY | kernels, 0)
