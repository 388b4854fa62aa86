"""A token starts at the size of the signal it stands beside, where branches bring it nothing."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import idinit_jax
from idinit_jax.models import TransformerSize, ViT

WIDTH = 8
IMAGES = jax.random.normal(jax.random.key(1), (16, 8, 8, 3))
LABELS = jax.random.randint(jax.random.key(2), (16,), 0, 10)


def gradient_norm(pooling: str, **options: Any) -> float:
    """Of a small Vision Transformer from `initialize(..., **options)`."""
    model = ViT(TransformerSize(width=32, depth=2, heads=2), 2, 10, pooling)
    params = idinit_jax.initialize(model, jax.random.key(3), IMAGES, **options)["params"]

    def loss(params: Any) -> jax.Array:
        logits = model.apply({"params": params}, IMAGES)
        return optax.softmax_cross_entropy_with_integer_labels(logits, LABELS).mean()

    return float(optax.tree.norm(jax.jit(jax.grad(loss))(params)))


def test_a_class_token_gives_gradients_as_small_as_those_of_he() -> None:
    """The last norm divides its gradient by the token's size, 1, and by 1e-3 where it is zero."""
    he = gradient_norm("token", scheme="he")
    assert gradient_norm("token") < he
    assert gradient_norm("token", overrides={"class_token": idinit_jax.zeros()}) > 20 * he


@pytest.mark.parametrize("scheme", ["idinit", "idinit_literal"])
def test_a_class_token_is_drawn_with_variance_one(scheme: str) -> None:
    """4,096 entries: the standard deviation is within 4.4 standard errors, 5 %."""
    model = ViT(TransformerSize(width=4096, depth=1, heads=2), 4, 10, "token")
    shapes = jax.eval_shape(model.init, jax.random.key(0), IMAGES)

    def token(key: jax.Array) -> jax.Array:
        started = idinit_jax.initialize(model, key, IMAGES, scheme=scheme)
        return started["params"]["class_token"]

    assert shapes["params"]["class_token"].shape == (1, 1, 4096)
    assert float(jax.jit(token)(jax.random.key(4)).std()) == pytest.approx(1.0, rel=0.05)


def pooled(params: Any, x: jax.Array) -> jax.Array:
    """One learned query attends to all positions."""
    logits = jnp.einsum("btd,d->bt", x @ params["key"], params["start"] @ params["query"])
    return jnp.einsum("bt,btd->bd", jax.nn.softmax(logits), x @ params["value"])


def scanned(params: Any, x: jax.Array) -> jax.Array:
    """A recurrent cell with a learned initial state."""

    def step(state: jax.Array, x: jax.Array) -> tuple[jax.Array, None]:
        return jnp.tanh(x @ params["inputs"] + state @ params["state"]), None

    start = jnp.broadcast_to(params["start"][None], (len(x), WIDTH))
    return jax.lax.scan(step, start, jnp.swapaxes(x, 0, 1))[0]


def unrolled(params: Any, x: jax.Array) -> jax.Array:
    """The same without a loop."""
    state = jnp.broadcast_to(params["start"][None], (len(x), WIDTH))
    for now in jnp.swapaxes(x, 0, 1):
        state = jnp.tanh(now @ params["inputs"] + state @ params["state"])
    return state


def padded(params: Any, x: jax.Array) -> jax.Array:
    """A learned number stands where nothing is."""
    return jax.lax.pad(x @ params["kernel"], params["start"], ((0, 0, 0), (1, 0, 0), (0, 0, 0)))


X = jax.random.normal(jax.random.key(5), (4, 3, WIDTH))


def started(apply: Any, names: tuple[str, ...], shape: tuple[int, ...], scheme: str) -> Any:
    shapes = {name: jax.ShapeDtypeStruct((WIDTH, WIDTH), jnp.float32) for name in names}
    shapes["start"] = jax.ShapeDtypeStruct(shape, jnp.float32)
    return idinit_jax.initialize(apply, jax.random.key(6), shapes, X, scheme=scheme)


def test_a_learned_query_leaves_no_kernel_without_gradient() -> None:
    """At zero it gives its own kernel no input, and the keys no gradient."""
    params = started(pooled, ("query", "key", "value"), (WIDTH,), "idinit")
    gradients = jax.grad(lambda params: (pooled(params, X) ** 2).sum())(params)
    assert all(jnp.any(leaf) for leaf in jax.tree.leaves(gradients))


@pytest.mark.parametrize("scheme", ["idinit", "he"])
def test_an_initial_state_starts_alike_in_a_loop_and_without_one(scheme: str) -> None:
    inside = started(scanned, ("inputs", "state"), (WIDTH,), scheme)["start"]
    outside = started(unrolled, ("inputs", "state"), (WIDTH,), scheme)["start"]
    np.testing.assert_array_equal(inside, outside)
    assert bool(jnp.any(inside)) == (scheme == "idinit")


def test_a_single_number_starts_at_zero() -> None:
    assert started(padded, ("kernel",), (), "idinit")["start"] == 0
