"""Inserted multipliers and biases: what the models compute, and what they learn."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from idinit_jax.insertion import insert_fixup, insert_multipliers
from idinit_jax.schemes import initialize
from idinit_jax.tracing import trace

pytestmark = pytest.mark.usefixtures("quick_compilation")

WIDTH, DEPTH = 8, 3
X = jax.random.normal(jax.random.key(0), (4, WIDTH))


class Branch(nn.Module):
    """Two kernels without biases."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.relu(nn.Dense(2 * WIDTH, use_bias=False, name="first")(x))
        return nn.Dense(WIDTH, use_bias=False, name="tail")(x)


class Net(nn.Module):
    """Stem, residual blocks and a head; without branches, only stem and head are left."""

    branches: bool = True
    scan: bool = False
    remat: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.Dense(WIDTH, use_bias=False, name="stem")(x)
        if self.branches and self.scan:
            x = self.scanned(x)
        elif self.branches:
            for i in range(DEPTH):
                x = x + Branch(name=f"block_{i}")(x)
        return nn.Dense(5, use_bias=False, name="head")(nn.relu(x))

    def scanned(self, x: jax.Array) -> jax.Array:
        def body(block: nn.Module, x: jax.Array) -> tuple[jax.Array, None]:
            return x + block(x), None

        body = nn.remat(body, prevent_cse=False) if self.remat else body
        scan = nn.scan(body, variable_axes={"params": 0}, split_rngs={"params": True}, length=DEPTH)
        return scan(Branch(name="blocks"), x)[0]


def initialized(model: nn.Module) -> dict:
    """Normal values of std 0.5; nothing compiled."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(model.init, jax.random.key(0), X)
    return jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(0, 0.5, leaf.shape), leaf.dtype), shapes
    )


NETS = [Net(), Net(scan=True), Net(scan=True, remat=True)]


@pytest.mark.parametrize("net", NETS)
def test_with_zeros_the_branches_are_gone(net: Net) -> None:
    variables = initialized(net)
    inserted = insert_multipliers(net, variables, X)
    expected = Net(branches=False).apply(variables, X)
    np.testing.assert_array_equal(jax.jit(inserted.apply)(inserted.params, X), expected)
    shapes = {scalars.shape for scalars in inserted.params["multipliers"].values()}
    assert shapes == ({(DEPTH,)} if net.scan else {()})
    assert len(inserted.params["multipliers"]) == (1 if net.scan else DEPTH)


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("insert", ["ones", "fixup"])
def test_with_ones_nothing_changes(net: Net, insert: str) -> None:
    variables = initialized(net)
    inserted = (
        insert_fixup(net, variables, X)
        if insert == "fixup"
        else insert_multipliers(net, variables, X, value=1.0)
    )
    changed, same = (
        jax.jit(jax.value_and_grad(lambda p, f=f: jnp.sum(f(p, X) ** 2)))
        for f in (inserted.apply, lambda p, x: net.apply({"params": p}, x))
    )
    value, gradient = changed(inserted.params)
    expected, expected_gradient = same(variables["params"])
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    for found, wanted in zip(
        jax.tree.leaves(gradient["model"]), jax.tree.leaves(expected_gradient), strict=True
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("net", NETS)
def test_each_layers_multiplier_scales_its_own_branch(net: Net) -> None:
    """Against the network written out by hand, with multipliers 0.5, -1 and 2."""
    variables = initialized(net)
    inserted = insert_multipliers(net, variables, X)
    alphas = jnp.array([0.5, -1.0, 2.0])
    names = list(inserted.params["multipliers"])
    scalars = {names[0]: alphas} if net.scan else dict(zip(names, alphas, strict=True))
    params = variables["params"]
    x = X @ params["stem"]["kernel"]
    for i, alpha in enumerate(alphas):
        held = params["blocks"] if net.scan else params[f"block_{i}"]
        first, tail = (held[name]["kernel"] for name in ("first", "tail"))
        first, tail = (first[i], tail[i]) if net.scan else (first, tail)
        x = x + alpha * (nn.relu(x @ first) @ tail)
    expected = nn.relu(x) @ params["head"]["kernel"]
    found = inserted.apply(inserted.params | {"multipliers": scalars}, X)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_a_multiplier_of_zero_has_a_gradient_and_its_branch_has_none() -> None:
    inserted = insert_multipliers(Net(), initialized(Net()), X)

    def loss(params: dict) -> jax.Array:
        return jnp.sum(inserted.apply(params, X) ** 2)

    gradient = jax.jit(jax.grad(loss))(inserted.params)
    assert all(jnp.abs(one) > 1e-3 for one in jax.tree.leaves(gradient["multipliers"]))
    for i in range(DEPTH):
        assert all(not one.any() for one in jax.tree.leaves(gradient["model"][f"block_{i}"]))


def test_other_batch_sizes_and_dtypes() -> None:
    variables = initialized(Net())
    inserted = insert_multipliers(Net(), variables, X, value=1.0)
    x = jax.random.normal(jax.random.key(2), (7, WIDTH))
    found = jax.jit(inserted.apply)(inserted.params, x)
    np.testing.assert_allclose(found, jax.jit(Net().apply)(variables, x), rtol=1e-5, atol=1e-6)
    halved = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), variables)

    def apply(params: dict, x: jax.Array) -> jax.Array:
        return x + jnp.tanh(x @ params["first"]) @ params["tail"]

    held = {name: halved["params"]["block_0"][name]["kernel"] for name in ("first", "tail")}
    inserted = insert_multipliers(apply, held, X.astype(jnp.bfloat16))
    out = inserted.apply(inserted.params, X.astype(jnp.bfloat16))
    assert out.dtype == jnp.bfloat16
    assert inserted.params["multipliers"]["tail"].dtype == jnp.float32


def test_the_new_model_is_a_model_and_nothing_is_doubled() -> None:
    net = Net(scan=True)
    inserted = insert_fixup(net, jax.eval_shape(net.init, jax.random.key(0), X), X)
    graph = trace(inserted.apply, inserted.params, X)
    kinds = {one.path: (one.kind, one.ends_branch) for one in graph.parameters}
    assert kinds == {
        "multipliers/blocks/tail/kernel": ("multiplier", True),
        "biases/blocks/first/kernel": ("bias", False),
        "biases/relu": ("bias", False),
        "biases/blocks/tail/kernel": ("bias", False),
        "biases/relu:1": ("bias", False),
        "biases/head/kernel": ("bias", False),
    }
    twice = insert_fixup(inserted.apply, inserted.params, X)
    assert twice.params["multipliers"] == twice.params["biases"] == {}


def test_learned_biases_and_layer_scales_are_recognised() -> None:
    class Layer(nn.Module):
        @nn.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            x = nn.Dense(WIDTH, name="stem")(x)
            y = nn.Dense(WIDTH, name="tail")(nn.relu(nn.Dense(WIDTH, name="first")(x)))
            return x + y * self.param("layer_scale", nn.initializers.ones, (1, WIDTH))

    inserted = insert_fixup(Layer(), initialized(Layer()), X)
    assert inserted.params["multipliers"] == {}
    assert list(inserted.params["biases"]) == ["tail/kernel"]


@pytest.mark.parametrize("scheme", ["rezero", "skipinit", "fixup"])
def test_schemes_start_the_new_model(scheme: str) -> None:
    """By every scheme the branches add nothing at first, and something has a gradient."""
    net = Net()
    insert = insert_fixup if scheme == "fixup" else insert_multipliers
    inserted = insert(net, jax.eval_shape(net.init, jax.random.key(0), X), X)
    params = initialize(inserted.apply, jax.random.key(0), inserted.params, X, scheme=scheme)
    expected = Net(branches=False).apply({"params": params["model"]}, X)
    np.testing.assert_array_equal(inserted.apply(params, X), expected)
    start = 1.0 if scheme == "fixup" else 0.0
    assert all(one == start for one in params["multipliers"].values())


def test_batch_statistics_stay_as_given_or_go_through_a_function() -> None:
    class Normed(nn.Module):
        @nn.compact
        def __call__(self, x: jax.Array, train: bool) -> jax.Array:
            y = nn.Dense(WIDTH)(nn.relu(nn.Dense(WIDTH)(x)))
            return x + nn.BatchNorm(use_running_average=not train)(y)

    model = Normed()
    variables = jax.jit(model.init, static_argnums=2)(jax.random.key(0), X, False)
    evaluated = insert_multipliers(model, variables, X, value=1.0, call_kwargs={"train": False})
    expected = model.apply(variables, X, train=False)
    np.testing.assert_allclose(evaluated.apply(evaluated.params, X), expected, rtol=1e-5)

    def apply(params: dict, stats: dict, x: jax.Array) -> tuple[jax.Array, dict]:
        held = {"params": params, "batch_stats": stats}
        outputs, updated = model.apply(held, x, train=True, mutable=["batch_stats"])
        return outputs, updated["batch_stats"]

    trained = insert_multipliers(apply, variables["params"], variables["batch_stats"], X, value=1.0)
    outputs, stats = trained.apply(trained.params, variables["batch_stats"], X)
    expected, expected_stats = apply(variables["params"], variables["batch_stats"], X)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), stats, expected_stats)
    zeroed = insert_multipliers(apply, variables["params"], variables["batch_stats"], X)
    np.testing.assert_array_equal(zeroed.apply(zeroed.params, stats, X)[0], X)


def test_an_nnx_module() -> None:
    class Residual(nnx.Module):
        def __init__(self) -> None:
            self.first = nnx.Linear(WIDTH, WIDTH, rngs=nnx.Rngs(0))
            self.tail = nnx.Linear(WIDTH, WIDTH, rngs=nnx.Rngs(1))

        def __call__(self, x: jax.Array) -> jax.Array:
            return x + self.tail(nnx.relu(self.first(x)))

    model = Residual()
    inserted = insert_multipliers(model, model, X)
    np.testing.assert_array_equal(inserted.apply(inserted.params, X), X)
    inserted = insert_multipliers(model, model, X, value=1.0)
    np.testing.assert_allclose(inserted.apply(inserted.params, X), model(X), rtol=1e-6)


def test_a_residual_sum_in_time_has_one_multiplier() -> None:
    def model(params: dict, xs: jax.Array) -> jax.Array:
        def turn(h: jax.Array, x: jax.Array) -> tuple[jax.Array, None]:
            y = h + x
            return y + jnp.tanh(y @ params["first"]) @ params["tail"], None

        return jax.lax.scan(turn, jnp.zeros_like(xs[0]), xs)[0]

    params = {name: 0.1 * jnp.eye(WIDTH) for name in ("first", "tail")}
    inserted = insert_multipliers(model, params, jnp.stack([X, X]))
    assert [one.shape for one in inserted.params["multipliers"].values()] == [()]
    np.testing.assert_allclose(inserted.apply(inserted.params, jnp.stack([X, X])), 2 * X, rtol=1e-6)


def chain(params: dict, x: jax.Array) -> jax.Array:
    return jnp.tanh(x @ params["kernel"])


@pytest.mark.parametrize("insert", [insert_multipliers, insert_fixup])
def test_a_model_without_branches_is_refused(insert: Any) -> None:
    with pytest.raises(ValueError, match="no residual sum"):
        insert(chain, {"kernel": jnp.eye(WIDTH)}, X)
