"""What a model does to a parameter before its use is made up for, or left to the model."""

import equinox as eqx
import flax.linen as nn
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import idinit_jax
from idinit_jax.schemes import explain, initialize
from idinit_jax.tracing import trace

KEY = jax.random.key(7)
WIDTH = 256
X = jax.random.normal(jax.random.key(1), (128, WIDTH))
CHECKED = np.tril(np.ones((WIDTH, WIDTH), np.float32))
SPELLINGS = {
    "number": (lambda w: w * 0.01, 0.01),
    "quotient": (lambda w: w / 8, 1 / 8),
    "negative": (lambda w: -3 * w, -3.0),
    "of the width": (lambda w: w * 0.5 / jnp.sqrt(w.shape[0]), 0.5 / WIDTH**0.5),
    "cast": (lambda w: (w.astype(jnp.bfloat16) * 4).astype(jnp.float32), 4.0),
    "mask": (lambda w: w * CHECKED, np.sqrt(CHECKED.mean())),
    "mask and number": (lambda w: 0.1 * w * CHECKED, 0.1 * np.sqrt(CHECKED.mean())),
}


ISOMETRIES = [idinit_jax.he(nonlinearity="linear"), idinit_jax.lsuv(), idinit_jax.xavier()]


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize("rule", ISOMETRIES, ids=repr)
def test_a_kernel_acts_as_the_rule_says_whatever_multiplies_it(name, rule):
    """A linear layer that keeps the mean square: 128 x 256 outputs of 65,536 draws, or half of them
    under the mask, have a standard error below 1.2 %; 6 of them are allowed."""
    change, factor = SPELLINGS[name]
    params = {"w": jnp.zeros((WIDTH, WIDTH)), "out": jnp.zeros((WIDTH, 3))}

    def apply(params, x):
        h = x @ change(params["w"])
        return h @ params["out"], h

    assert trace(apply, params, X)["w"].factor == pytest.approx(factor, rel=1e-5)
    _, h = apply(initialize(apply, KEY, params, X, overrides={"w": rule}), X)
    assert float((h**2).mean() / (X**2).mean()) == pytest.approx(1.0, abs=0.072)


def test_a_plain_initializer_is_stored_as_it_is():
    params = {"w": jnp.zeros((WIDTH, 8)), "out": jnp.zeros((8, 3))}
    given = {"w": idinit_jax.normal(0.5)}
    made = initialize(lambda p, x: x @ (p["w"] / 100) @ p["out"], KEY, params, X, overrides=given)
    assert float(made["w"].std()) == pytest.approx(0.5, rel=0.1)


def test_the_table_tells_of_the_factor():
    params = {"w": jnp.zeros((WIDTH, 8)), "out": jnp.zeros((8, 3))}
    record = explain(lambda p, x: x @ (p["w"] / 100) @ p["out"], params, X, scheme="xavier")["w"]
    assert record.std == pytest.approx(100 * (2 / (WIDTH + 8)) ** 0.5)
    assert "over 0.01" in record.reason


def test_a_factor_does_not_change_how_values_are_made():
    """Whole or in parts, eager or compiled: the same bits."""
    params = {"w": jax.ShapeDtypeStruct((16, 24), jnp.float32)}
    params["out"] = jax.ShapeDtypeStruct((24, 3), jnp.float32)
    x = jnp.ones((2, 16))

    def make(key, **options):
        apply = lambda p, x: jnp.tanh(x @ (p["w"] * 0.3)) @ p["out"]  # noqa: E731
        return initialize(apply, key, params, x, **options)["w"]

    mesh = Mesh(np.array(jax.devices()[:1]), ("one",))
    parts = make(KEY, out_shardings=NamedSharding(mesh, PartitionSpec("one")))
    np.testing.assert_array_equal(parts, make(KEY))
    np.testing.assert_array_equal(jax.jit(make)(KEY), make(KEY))


def test_a_mask_that_hides_the_identity_gets_he():
    """Van den Oord et al. 2016 (PixelCNN): a pixel may not see itself."""
    mask = np.ones((3, 3, 1, 1), np.float32)
    mask[1, 1:] = mask[2:] = 0

    def convolve(x, w):
        return jax.lax.conv_general_dilated(
            x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )

    def apply(params, x):
        for index in range(3):
            x = jax.nn.relu(convolve(x, params[f"w{index}"] * mask))
        return convolve(x, params["out"])

    params = {f"w{index}": jnp.zeros((3, 3, 16, 16)) for index in range(3)}
    params["out"] = jnp.zeros((1, 1, 16, 2))
    x = jax.random.normal(KEY, (2, 8, 8, 16))
    assert "mask" in explain(apply, params, x)["w1"].reason
    assert float(apply(initialize(apply, KEY, params, x), x).std()) > 0.1


@pytest.fixture
def lenient():
    """Vectors may meet batches, as in models that others write."""
    with jax.numpy_rank_promotion("allow"):
        yield


GATES = {
    "sigmoid": jax.nn.sigmoid,
    "exp": jnp.exp,
    "softplus": jax.nn.softplus,
    "twice": lambda a: 2 * jax.nn.sigmoid(a),
}


def gated(gate):
    def apply(params, x):
        x = x @ params["in"]
        x = x + gate(params["alpha"]) * (jax.nn.relu(x @ params["a"]) @ params["b"])
        return x @ params["out"]

    return apply


def gated_params():
    kernels = {name: jnp.zeros((8, 8)) for name in ("in", "a", "b", "out")}
    return kernels | {"alpha": jnp.asarray(0.3)}


@pytest.mark.parametrize("name", GATES)
def test_a_gate_that_is_open_at_zero_keeps_its_own_start(name):
    x = jax.random.normal(KEY, (4, 8))
    apply = gated(GATES[name])
    with pytest.raises(ValueError, match="skipinit needs a multiplier"):
        initialize(apply, KEY, gated_params(), x, scheme="skipinit")
    made = initialize(apply, KEY, gated_params(), x, scheme="idinit")
    assert made["alpha"] == pytest.approx(0.3)
    np.testing.assert_allclose(apply(made, x), x @ made["in"] @ made["out"], atol=1e-4)


@pytest.mark.parametrize("gate", [jnp.tanh, lambda a: 1 - a, lambda a: (a + 1) / 2])
def test_a_gate_that_can_be_closed_is_closed(gate):
    x = jax.random.normal(KEY, (4, 8))
    made = initialize(gated(gate), KEY, gated_params(), x, scheme="skipinit")
    closed = x @ made["in"] @ made["out"]
    np.testing.assert_allclose(gated(gate)(made, x), closed, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("used_as", "effect"),
    [(jnp.exp, 1), (lambda a: 1 - a, 1), (lambda a: 1 + a, 1), (lambda a: (1 + a) / 8, 1 / 8)],
)
@pytest.mark.usefixtures("lenient")
def test_a_norms_scale_is_one_in_effect_times_the_models_own_factor(used_as, effect):
    def apply(params, x):
        x = x @ params["in"]
        x = (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-6)
        return (x * used_as(params["scale"])) @ params["out"]

    params = {"in": jnp.zeros((8, 8)), "scale": jnp.zeros(8), "out": jnp.zeros((8, 3))}
    made = initialize(apply, KEY, params, jnp.ones((2, 8)), scheme="he")
    np.testing.assert_allclose(used_as(made["scale"]), effect)


@pytest.mark.usefixtures("lenient")
def test_fixup_touches_no_multiplier_inside_a_branch_and_no_normalized_head():
    def apply(params, x):
        x = x @ params["in"]
        h = jax.nn.relu(x @ params["a"]) * params["inner"] @ params["b"]
        x = (x + params["end"] * h) @ params["head"]
        return x / jnp.sqrt((x**2).sum(-1, keepdims=True)) * params["temper"]

    params = {name: jnp.zeros((8, 8)) for name in ("in", "a", "b", "head")}
    params |= {"inner": jnp.full(8, 0.2), "end": jnp.asarray(0.0), "temper": jnp.asarray(5.0)}
    made = initialize(apply, KEY, params, jnp.ones((2, 8)), scheme="fixup", overwrite=True)
    assert float(made["end"]) == 1
    assert (float(made["inner"][0]), float(made["temper"])) == pytest.approx((0.2, 5.0))
    assert bool(jnp.isfinite(apply(made, jnp.ones((2, 8)))).all())


@pytest.mark.parametrize("dtype", [jnp.int8, jnp.complex64])
def test_what_is_not_real_is_left_to_the_model(dtype):
    params = {"q": jnp.arange(12).reshape(4, 3).astype(dtype), "out": jnp.zeros((3, 2))}
    apply = lambda p, x: jnp.real(x @ p["q"]).astype(jnp.float32) @ p["out"]  # noqa: E731
    with jax.numpy_dtype_promotion("standard"):
        made = initialize(apply, KEY, params, jnp.ones((2, 4)), scheme="he")
        table = explain(apply, params, jnp.ones((2, 4)), scheme="he")
    np.testing.assert_array_equal(made["q"], params["q"])
    assert jnp.dtype(dtype).name in table["q"].reason


class Gated(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(nn.sigmoid(nn.Dense(4, bias_init=nn.initializers.constant(-2.0))(x)))


class HeldGate(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        start = nnx.initializers.constant(-2.0)
        self.first = nnx.Linear(8, 4, bias_init=start, rngs=rngs)
        self.second = nnx.Linear(4, 3, rngs=rngs)

    def __call__(self, x):
        return self.second(jax.nn.sigmoid(self.first(x)))


def with_equinox():
    first, second = (eqx.nn.Linear(8, 4, key=KEY), eqx.nn.Linear(4, 3, key=KEY))
    first = eqx.tree_at(lambda one: one.bias, first, jnp.full(4, -2.0))
    return eqx.nn.Sequential([first, eqx.nn.Lambda(jax.nn.sigmoid), second])


def with_haiku():
    first = {"b_init": hk.initializers.Constant(-2.0)}
    return hk.transform(lambda x: hk.Linear(3)(jax.nn.sigmoid(hk.Linear(4, **first)(x))))


MODELS = {"linen": Gated, "nnx": HeldGate, "equinox": with_equinox, "haiku": with_haiku}


@pytest.mark.parametrize("framework", MODELS)
def test_a_bias_that_the_model_sets_to_a_constant_stays_there(framework):
    """Gers et al. 2000 start a forget gate open, Lin et al. 2017 a detector's head at its prior."""
    model = MODELS[framework]()
    x = jnp.ones((2, 8))
    biases = [record for record in explain(model, x, scheme="he") if record.role == "bias"]
    assert sorted(record.initializer for record in biases) == ["constant(value=-2.0)", "zeros()"]
    made = initialize(model, KEY, x, scheme="he")
    leaves = [leaf for leaf in jax.tree.leaves(made) if eqx.is_array(leaf) and leaf.ndim == 1]
    assert sorted(float(leaf[0]) for leaf in leaves) == [-2.0, 0.0]


@pytest.mark.usefixtures("lenient")
def test_a_single_trained_number_is_not_taken_for_a_choice():
    params = {"w": jnp.zeros((8, 1)), "b": jnp.asarray([0.7])}
    made = initialize(lambda p, x: x @ p["w"] + p["b"], KEY, params, X[:, :8], overwrite=True)
    assert made["b"].item() == 0


class Rates(nnx.Module):
    """Gu and Dao 2023 (Mamba): the bias of the step size spreads over the features."""

    def __init__(self):
        rngs = nnx.Rngs(0)
        self.first, self.second = (nnx.Linear(8, 8, rngs=rngs) for _ in range(2))
        self.out = nnx.Linear(8, 3, rngs=rngs)
        self.step = nnx.Param(jnp.linspace(-6.0, -3.0, 8))

    def __call__(self, x):
        step = jax.nn.softplus(self.first(x) + self.step[...][None])
        return self.out(jax.nn.relu(self.second(x)) * step)


def test_a_few_uneven_biases_are_no_sign_of_training_and_stay():
    made = initialize(Rates(), KEY, jnp.ones((2, 8)), scheme="he")
    np.testing.assert_array_equal(made.step[...], jnp.linspace(-6.0, -3.0, 8))
    assert not made.first.bias[...].any()


def test_when_most_biases_are_uneven_they_were_trained():
    model = Rates()
    for layer in (model.first, model.second, model.out):
        layer.bias[...] = jnp.arange(float(layer.bias.shape[0]))
    with pytest.raises(ValueError, match=r"looks trained: .* and of 3 more norms and biases"):
        initialize(model, KEY, jnp.ones((2, 8)), scheme="he")
    made = initialize(model, KEY, jnp.ones((2, 8)), scheme="he", overwrite=True)
    assert not made.step[...].any()
