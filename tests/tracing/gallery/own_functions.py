"""A function is what it computes, whatever its name; numbers that are none do no harm."""

import jax
import jax.numpy as jnp
import numpy as np
from gallery.entry import Entry, entry, shape, shapes

X = shape(4, 6)
NETWORK = {"a": (6, 8), "b": (8, 3)}


def _named(name, function):
    """The function, jitted under this name."""
    function.__name__ = function.__qualname__ = name
    return jax.jit(function)


@entry
def own_mish_with_a_product_inside():
    """A dense layer and its activation in one jitted function called like the activation."""
    mish = _named("mish", lambda x, w: (y := x @ w) * jnp.tanh(jax.nn.softplus(y)))
    apply = lambda p, x: mish(x, p["a"]) @ p["b"]  # noqa: E731 it is one expression
    return Entry(apply, (shapes(NETWORK), X), {"a": "stem io >mish", "b": "head io"}, 0)


@entry
def own_gelu_with_two_products_inside():
    """A whole network under the name of an activation."""
    gelu = _named("gelu", lambda p, x: jnp.sin(x @ p["a"]) @ p["b"])
    apply = lambda p, x: gelu(p, x @ p["in"]) @ p["out"]  # noqa: E731 it is one expression
    expected = {"in": "stem io", "a": "hidden io >sin", "b": "hidden io", "out": "head io"}
    return Entry(apply, (shapes(NETWORK | {"in": (5, 6), "out": (3, 2)}), shape(4, 5)), expected, 0)


@entry
def own_silu_with_a_residual_sum_inside():
    silu = _named("silu", lambda p, x: x + jax.nn.relu(x @ p["a"]) @ p["b"])
    apply = lambda p, x: silu(p, x @ p["in"]) @ p["out"]  # noqa: E731 it is one expression
    expected = {"in": "stem io", "a": "hidden io >relu", "b": "tail io", "out": "head io"}
    params = {"in": (5, 6), "a": (6, 8), "b": (8, 6), "out": (6, 2)}
    return Entry(apply, (shapes(params), shape(4, 5)), expected, 1)


@entry
def own_mish_with_parameters_entry_by_entry():
    """Nothing is contracted in it; its parameters scale and shift what the kernel made."""
    mish = _named("mish", lambda x, p: p["size"] * jnp.tanh(x + p["shift"]))
    apply = lambda p, x: mish(x @ p["a"], p) @ p["b"]  # noqa: E731 it is one expression
    params = shapes(NETWORK | {"size": (8,), "shift": (8,)})
    expected = {"a": "stem io >tanh", "b": "head io", "size": "multiplier", "shift": "bias"}
    return Entry(apply, (params, X), expected, 0)


@entry
def own_gelu_that_is_a_sine():
    gelu = _named("gelu", lambda x: jnp.sin(x))
    apply = lambda p, x: gelu(x @ p["a"]) @ p["b"]  # noqa: E731 it is one expression
    return Entry(apply, (shapes(NETWORK), X), {"a": "stem io >sin", "b": "head io"}, 0)


@entry
def own_relu_that_is_nothing():
    relu = _named("relu", lambda x: x * 1.0)
    apply = lambda p, x: relu(x @ p["a"]) @ p["b"]  # noqa: E731 it is one expression
    return Entry(apply, (shapes(NETWORK), X), {"a": "stem io >", "b": "head io"}, 0)


@entry
def own_softmax_that_is_a_product():
    """Logits made and read under the name of a softmax: a kernel each, and no distribution."""
    softmax = _named("softmax", lambda x, w: jnp.tanh(x @ w))
    apply = lambda p, x: softmax(x, p["a"]) @ p["b"]  # noqa: E731 it is one expression
    return Entry(apply, (shapes(NETWORK), X), {"a": "stem io @ >tanh", "b": "head io @"}, 0)


@entry
def own_name_for_a_known_activation():
    mine = _named("mine", lambda x: x * jax.nn.sigmoid(x))
    apply = lambda p, x: mine(x @ p["a"]) @ p["b"]  # noqa: E731 it is one expression
    return Entry(apply, (shapes(NETWORK), X), {"a": "stem io >silu", "b": "head io"}, 0)


def _network(params, x):
    return jax.nn.relu(x @ params["a"]) @ params["b"]


EXPECTED = {"a": "stem io >relu", "b": "head io >"}


@entry
def missing_numbers_in_the_input():
    """What is missing is marked by NaN and filled in before the first kernel."""

    def apply(params, x, known):
        x = jnp.where(known, x, jnp.nan)
        return _network(params, jnp.where(jnp.isnan(x), 0.0, x))

    return Entry(apply, (shapes(NETWORK), X, shape(4, 6, dtype="bool")), EXPECTED, 0)


@entry
def missing_numbers_before_a_kernel():
    """NaN poisons the rows that may not be used; the kernel reads them as they are."""

    def apply(params, x, known):
        return _network(params, jnp.where(known[:, None], x, jnp.nan))

    return Entry(apply, (shapes(NETWORK), X, shape(4, dtype="bool")), EXPECTED, 0)


@entry
def missing_numbers_in_a_weight():
    """A kernel that turns to NaN if a flag of the data says so."""

    def apply(params, x, valid):
        kernel = jnp.where(valid, params["a"], jnp.nan)
        return jax.nn.relu(x @ kernel) @ params["b"]

    return Entry(apply, (shapes(NETWORK), X, shape(dtype="bool")), EXPECTED, 0)


@entry
def missing_numbers_in_a_constant():
    holes = np.where(np.arange(6) % 2, np.nan, 0.0).astype(np.float32)

    def apply(params, x):
        return _network(params, jnp.nan_to_num(x + holes))

    return Entry(apply, (shapes(NETWORK), X), EXPECTED, 0)


@entry
def infinite_bounds_of_a_signal():
    """Bounds at infinity bound nothing: what follows the kernel is relu."""

    def apply(params, x):
        y = jnp.maximum(jnp.minimum(x @ params["a"], jnp.inf), -jnp.inf)
        return jax.nn.relu(y) @ params["b"]

    return Entry(apply, (shapes(NETWORK), X), EXPECTED, 0)


@entry
def infinite_bounds_of_an_input():
    def apply(params, x):
        return _network(params, jnp.clip(x, -jnp.inf, jnp.inf))

    return Entry(apply, (shapes(NETWORK), X), EXPECTED, 0)
