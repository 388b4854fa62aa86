"""One call starts a model of any framework; values depend on key, path and shape alone."""

import dataclasses

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
from idinit_jax.schemes import explain, initialize, plan
from idinit_jax.schemes import own as own_module
from idinit_jax.tracing.program.first_values import uniform_outputs

KEY = jax.random.key(3)
X = jnp.ones((2, 8))


class Residual(nn.Module):
    """Stem, residual branches that end in a batch norm, head."""

    branches: int = 1
    dtype: type = jnp.float32

    @nn.compact
    def __call__(self, x):
        x = nn.Dense(16, param_dtype=self.dtype, name="stem")(x.astype(self.dtype))
        for i in range(self.branches):
            y = nn.Dense(16, param_dtype=self.dtype, name=f"dense_{i}")(nn.relu(x))
            y = nn.BatchNorm(use_running_average=False, name=f"norm_{i}")(y.astype(jnp.float32))
            x = x + y.astype(x.dtype)
        return nn.Dense(8, param_dtype=self.dtype, name="head")(x)


def assert_same(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def eager():
    return initialize(Residual(), KEY, X, scheme="he")


def test_linen_gets_what_init_returns(eager):
    expected = jax.eval_shape(Residual().init, KEY, X)
    assert jax.tree.map(jnp.shape, eager) == jax.tree.map(jnp.shape, expected)
    np.testing.assert_array_equal(eager["batch_stats"]["norm_0"]["var"], np.ones(16))
    np.testing.assert_array_equal(eager["batch_stats"]["norm_0"]["mean"], np.zeros(16))


def test_jit_gives_the_same_bits(eager):
    assert_same(jax.jit(lambda key: initialize(Residual(), key, X, scheme="he"))(KEY), eager)
    identity = initialize(Residual(), KEY, X)
    assert_same(jax.jit(lambda key: initialize(Residual(), key, X))(KEY), identity)


@pytest.mark.parametrize("devices", [1, 2, 4, 8])
@pytest.mark.parametrize("scheme", ["he", "idinit"])
def test_any_sharding_gives_the_same_bits(devices, scheme, eager):
    mesh = Mesh(np.array(jax.devices()[:devices]), ("d",))

    def last_axis(path, shape):
        del path
        return PartitionSpec(*[None] * (len(shape) - 1), "d")

    sharded = initialize(Residual(), KEY, X, scheme=scheme, out_shardings=last_axis, mesh=mesh)
    kernel = sharded["params"]["stem"]["kernel"]
    assert kernel.sharding == NamedSharding(mesh, PartitionSpec(None, "d"))
    assert kernel.addressable_shards[0].data.shape == (8, 16 // devices)
    assert_same(sharded, eager if scheme == "he" else initialize(Residual(), KEY, X))


def test_shardings_may_be_a_tree_one_for_all_or_a_mesh(eager):
    mesh = Mesh(np.array(jax.devices()), ("d",))
    rows = NamedSharding(mesh, PartitionSpec("d"))
    params = eager["params"]
    for given, where in (({"params": jax.tree.map(lambda _: rows, params)}, "d"), (rows, "d")):
        made = initialize(Residual(), KEY, X, scheme="he", out_shardings=given)
        assert made["params"]["stem"]["kernel"].sharding.spec == PartitionSpec(where)
        assert_same(made, eager)
    replicated = initialize(Residual(), KEY, X, scheme="he", mesh=mesh)
    assert replicated["params"]["stem"]["kernel"].sharding.is_fully_replicated
    with pytest.raises(TypeError, match=r"needs a mesh: pass mesh="):
        initialize(Residual(), KEY, X, out_shardings=PartitionSpec("d"))
    with pytest.raises(ValueError, match="does not fit the parameters"):
        initialize(Residual(), KEY, X, out_shardings={"nowhere": rows})


def test_orthogonal_kernels_under_a_sharding_are_cut_from_the_whole():
    mesh = Mesh(np.array(jax.devices()), ("d",))
    spec = PartitionSpec(None, "d")
    whole = initialize(Residual(), KEY, X, overrides={"**/kernel": idinit_jax.orthogonal()})
    kernel = whole["params"]["head"]["kernel"]

    def columns(path, shape):
        return spec if path == "head/kernel" and len(shape) == 2 else PartitionSpec()

    sharded = initialize(
        Residual(),
        KEY,
        X,
        overrides={"**/kernel": idinit_jax.orthogonal()},
        out_shardings=columns,
        mesh=mesh,
    )
    np.testing.assert_array_equal(sharded["params"]["head"]["kernel"], kernel)


def test_an_added_layer_changes_no_other(eager):
    deeper = initialize(Residual(branches=2), KEY, X, scheme="he")
    for name, layer in eager["params"].items():
        assert_same(deeper["params"][name], layer)
    assert not np.array_equal(
        deeper["params"]["dense_0"]["kernel"], deeper["params"]["dense_1"]["kernel"]
    )


def test_another_key_changes_every_kernel(eager):
    other = initialize(Residual(), jax.random.key(4), X, scheme="he")
    for name in ("stem", "dense_0", "head"):
        assert np.all(other["params"][name]["kernel"] != eager["params"][name]["kernel"])


def test_lower_precision_is_one_cast_of_the_same_values(eager):
    low = initialize(Residual(dtype=jnp.bfloat16), KEY, X, scheme="he")
    for name in ("stem", "dense_0", "head"):
        expected = eager["params"][name]["kernel"].astype(jnp.bfloat16)
        np.testing.assert_array_equal(low["params"][name]["kernel"], expected)


def test_the_framework_scheme_is_the_frameworks_init():
    assert_same(initialize(Residual(), KEY, X, scheme="framework"), Residual().init(KEY, X))


def test_nnx_is_updated_in_place():
    model = nnx.Linear(8, 8, rngs=nnx.Rngs(0))
    assert initialize(model, KEY, X) is model
    rows = initialize(nnx.Linear(8, 8, rngs=nnx.Rngs(1)), KEY, X, scheme="he").kernel[...]
    again = initialize(nnx.Linear(8, 8, rngs=nnx.Rngs(2)), KEY, X, scheme="he").kernel[...]
    np.testing.assert_array_equal(rows, again)


def test_equinox_gets_a_new_model():
    model = eqx.nn.Linear(8, 8, key=KEY)
    before = np.array(model.weight)
    made = initialize(model, KEY, X, scheme="orthogonal")
    np.testing.assert_array_equal(model.weight, before)
    np.testing.assert_allclose(made.weight @ made.weight.T, np.eye(8), atol=1e-5)
    assert not jnp.any(made.bias)


@pytest.fixture
def lenient():
    """The promotion that Haiku's batch norm is written for."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


def test_haiku_gets_what_init_returns():
    transformed = hk.transform(lambda x: hk.nets.MLP([8, 4])(x))
    made = initialize(transformed, KEY, X, scheme="he")
    expected = transformed.init(KEY, X)
    assert jax.tree.map(jnp.shape, made) == jax.tree.map(jnp.shape, expected)
    assert made["mlp/~/linear_0"]["w"].std() > 0


@pytest.mark.usefixtures("lenient")
def test_haiku_averages_are_those_of_the_data():
    """Haiku's batch norm starts its averages from the batch; zeros would divide by nothing."""

    def net(x, train):
        return hk.BatchNorm(True, True, 0.9)(hk.Linear(4)(x), is_training=train)

    transformed = hk.transform_with_state(net)
    x = 3 * jax.random.normal(KEY, (64, 8))
    _, expected = transformed.init(KEY, x, True)
    _, state = initialize(transformed, KEY, x, True, scheme="he")
    np.testing.assert_allclose(
        state["batch_norm/~/var_ema"]["average"],
        expected["batch_norm/~/var_ema"]["average"],
        rtol=1e-5,
    )
    shapes = jax.ShapeDtypeStruct(x.shape, x.dtype)
    _, state = initialize(transformed, KEY, shapes, True, scheme="he")
    assert (state["batch_norm/~/var_ema"]["average"] > 0.01).all()


def dense(params, x):
    return x @ params["kernel"] + params["bias"][None]


SHAPES = {
    "kernel": jax.ShapeDtypeStruct((8, 4), jnp.float32),
    "bias": jax.ShapeDtypeStruct((4,), jnp.float32),
}


def test_a_function_gets_its_tree_and_the_order_of_it_does_not_matter():
    one = initialize(dense, KEY, SHAPES, X, scheme="he")
    other = initialize(dense, KEY, dict(reversed(SHAPES.items())), X, scheme="he")
    assert_same(one, other)


def test_overrides_by_pattern_predicate_and_rule():
    made = initialize(
        Residual(),
        KEY,
        X,
        overrides={
            "**/kernel": idinit_jax.zeros(),
            "head/*": idinit_jax.constant(0.5),
            lambda entry: entry.path == "stem/bias": jax.nn.initializers.ones,
        },
    )["params"]
    assert not jnp.any(made["stem"]["kernel"])
    assert jnp.all(made["head"]["kernel"] == 0.5)
    assert jnp.all(made["stem"]["bias"] == 1)
    table = explain(Residual(), X, overrides={"head/kernel": idinit_jax.zeros()})
    assert table["head/kernel"].reason == "override 'head/kernel': as given"


def test_an_override_that_selects_nothing_names_near_misses():
    for where, near in (("hed/kernel", "head/kernel"), ("**/haed/*", "head/")):
        with pytest.raises(ValueError, match=rf"selects no parameter; near misses: .*{near}"):
            initialize(Residual(), KEY, X, overrides={where: idinit_jax.zeros()})
    with pytest.raises(ValueError, match="predicate '<lambda>' selects no parameter"):
        initialize(Residual(), KEY, X, overrides={lambda _: False: idinit_jax.zeros()})
    with pytest.raises(TypeError, match="expected an initializer or a rule"):
        initialize(Residual(), KEY, X, overrides={"**": 0.0})


def test_values_that_look_trained_are_refused():
    fresh = {"kernel": jnp.ones((8, 4)), "bias": jnp.zeros(4)}
    trained = {**fresh, "bias": jnp.arange(4.0)}
    initialize(dense, KEY, fresh, X)
    with pytest.raises(ValueError, match=r"looks trained: the entries of bias .* overwrite=True"):
        initialize(dense, KEY, trained, X)
    initialize(dense, KEY, trained, X, overwrite=True)
    initialize(dense, KEY, trained, X, reference=trained)
    with pytest.raises(ValueError, match="kernel differs from the reference"):
        initialize(dense, KEY, fresh, X, reference={**fresh, "kernel": jnp.zeros((8, 4))})
    with pytest.raises(ValueError, match="reference is of another model"):
        initialize(dense, KEY, fresh, X, reference={"kernel": jnp.zeros((8, 4))})


def test_a_trained_nnx_model_is_refused_and_a_fresh_one_is_not():
    model = nnx.Linear(8, 4, rngs=nnx.Rngs(0))
    initialize(model, KEY, X)
    model.bias[...] = jnp.arange(4.0)
    with pytest.raises(ValueError, match="looks trained"):
        initialize(model, KEY, X)


def test_shapes_alone_cannot_keep_the_models_own_start():
    with pytest.raises(ValueError, match="holds shapes only"):
        initialize(dense, KEY, SHAPES, X, scheme="framework")


def test_constants_of_the_framework_are_read_without_running_it(monkeypatch):
    def fail(*_):
        raise AssertionError("the framework's program was compiled")

    monkeypatch.setattr(own_module, "_run", fail)
    made = initialize(Residual(), KEY, X)
    assert jnp.all(made["batch_stats"]["norm_0"]["var"] == 1)


class RandomState(nn.Module):
    @nn.compact
    def __call__(self, x):
        noise = self.variable("noise", "offset", jax.random.normal, self.make_rng("params"), (8,))
        return nn.Dense(4)(x + noise.value[None])


def test_state_that_is_not_constant_is_computed():
    expected = RandomState().init(KEY, X)["noise"]
    assert_same(initialize(RandomState(), KEY, X)["noise"], expected)


def test_uniform_outputs_see_through_calls_and_loops():
    def program(key):
        def turn(carry, _):
            return carry, (jnp.zeros(3), carry)

        carry, (same, different) = jax.lax.scan(turn, jax.random.normal(key), length=2)
        half = jax.jit(lambda: jnp.full((2, 3), 0.5).astype(jnp.bfloat16))()
        return same, different, half[:1], carry

    traced = jax.make_jaxpr(program)(KEY)
    same, different, half, carry = uniform_outputs(traced.jaxpr, traced.consts, [None])
    assert (same, different, half, carry) == (0.0, None, 0.5, None)
    assert half.dtype == jnp.bfloat16


def test_layers_of_different_roles_in_one_array_get_their_own_rules():
    """Three stacked kernels: the first is the stem, the last the head."""

    def apply(params, x):
        for i in range(3):
            x = jax.nn.relu(x @ params["stack"][i]) if i < 2 else x @ params["stack"][i]
        return x

    shapes = {"stack": jax.ShapeDtypeStruct((3, 64, 64), jnp.float32)}
    x = jnp.ones((1, 64))
    roles = explain(apply, shapes, x)["stack"].role
    assert roles == "stem/hidden/head"
    stack = initialize(apply, KEY, shapes, x, overrides=None)["stack"]
    assert stack[0].std() == pytest.approx((2 / 64) ** 0.5, rel=0.05)
    np.testing.assert_allclose(stack[1], np.eye(64), atol=1e-5)
    assert stack[2].std() == pytest.approx(1 / 8, rel=0.05)
    jitted = jax.jit(lambda key: initialize(apply, key, shapes, x)["stack"])(KEY)
    np.testing.assert_array_equal(stack, jitted)


@dataclasses.dataclass
class Unhashable:
    values: list


def test_a_model_of_no_known_kind_is_refused():
    with pytest.raises(TypeError, match="cannot trace a Unhashable"):
        initialize(Unhashable([1]), KEY, X)


@pytest.mark.parametrize("scheme", ["he", "orthogonal", "framework"])
def test_the_default_device_in_context_is_respected(scheme):
    """JAX's contexts are per thread, and NumPy's part of the work runs in threads."""
    device = jax.devices()[3]
    with jax.default_device(device):
        made = initialize(Residual(), KEY, X, scheme=scheme)
    assert all(leaf.devices() == {device} for leaf in jax.tree.leaves(made["params"]))


class Normalized(nnx.Module):
    """A model with state: batch statistics and a random key."""

    def __init__(self, rngs):
        self.first = nnx.Linear(8, 8, rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.last = nnx.Linear(8, 4, rngs=rngs)

    def __call__(self, x):
        return self.last(self.dropout(nnx.relu(self.norm(self.first(x)))))


def test_nnx_state_is_not_made_up_from_shapes():
    model = nnx.eval_shape(lambda: Normalized(nnx.Rngs(0)))
    assert plan(model, X).parameters == 2 * 8 + 8 * 8 + 8 + 8 * 4 + 4
    with pytest.raises(ValueError, match=r"holds shapes only.*norm/mean.*plan and explain"):
        initialize(model, KEY, X)


def test_an_nnx_model_that_is_made_under_jit_is_the_same():
    made = nnx.jit(lambda key: initialize(Normalized(nnx.Rngs(0)), key, X))(KEY)
    eager = initialize(Normalized(nnx.Rngs(0)), KEY, X)
    jax.tree.map(
        np.testing.assert_array_equal, nnx.state(made, nnx.Param), nnx.state(eager, nnx.Param)
    )
    np.testing.assert_array_equal(made.norm.var[...], np.ones(8))


@pytest.mark.parametrize("scheme", ["skipinit", "rezero"])
def test_a_model_without_multipliers_is_told_how_to_get_them(scheme):
    with pytest.raises(ValueError, match=r"dense_0/kernel.*apply, params = insert_multipliers"):
        initialize(Residual(), KEY, X, scheme=scheme)
