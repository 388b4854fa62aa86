"""Kernels that the model divides by their norm, and tokens that must not start alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import idinit_jax

X = jax.random.normal(jax.random.key(1), (2, 5, 8))


def _weight_normed(axes):
    """A residual convolution whose kernel is divided by its norm along `axes`, then scaled."""

    def apply(params, x):
        norm = jnp.sqrt(jnp.sum(params["direction"] ** 2, axes, keepdims=True))
        kernel = params["direction"] / norm * params["length"]
        dims = ("NWC", "WIO", "NWC")
        y = jax.lax.conv_general_dilated(x, kernel, (1,), "SAME", dimension_numbers=dims)
        return x + jax.nn.gelu(y)

    sizes = tuple(1 if axis in axes else size for axis, size in enumerate((3, 8, 8)))
    return apply, {"direction": jnp.ones((3, 8, 8)), "length": jnp.ones(sizes)}


@pytest.mark.parametrize("scheme", ["idinit", "idinit_literal", "zero", "zero_hadamard", "he"])
@pytest.mark.parametrize("axes", [(0, 1), (1, 2)], ids=["output", "tap"])
def test_a_normed_kernel_has_a_direction(scheme, axes):
    """Along each of its norms the kernel keeps an entry, or 0 / 0 would follow."""
    apply, params = _weight_normed(axes)
    params = idinit_jax.initialize(apply, jax.random.key(0), params, X, scheme=scheme)
    assert np.all(np.any(np.asarray(params["direction"]) != 0, axis=axes))
    assert np.all(np.isfinite(apply(params, X)))


@pytest.mark.parametrize("axes", [(0, 1), (1, 2)], ids=["output", "tap"])
def test_a_normed_tail_starts_small_through_its_length(axes):
    """|f(x)| <= 1e-3 * |x| * (8 * 3)^(1/2): 24 directions of length one, gelu a contraction."""
    apply, params = _weight_normed(axes)
    params = idinit_jax.initialize(apply, jax.random.key(0), params, X)
    change = jnp.linalg.norm(apply(params, X) - X) / jnp.linalg.norm(X)
    assert 0 < change < 1e-3 * 24**0.5


@pytest.mark.parametrize("scheme", ["idinit", "he"])
def test_learned_queries_differ_from_the_start(scheme):
    """Queries that start equal get equal gradients, and would stay equal."""

    def apply(params, x):
        query, key, value = params["queries"] @ params["q"], x @ params["k"], x @ params["v"]
        weights = jax.nn.softmax(jnp.einsum("qd,bnd->bqn", query, key), -1)
        return jnp.einsum("bqn,bnd->bqd", weights, value) @ params["o"]

    key = jax.random.key(2)
    params = {name: jnp.zeros((8, 8)) for name in "qkvo"}
    params["queries"] = jax.random.normal(key, (3, 8))
    params = idinit_jax.initialize(apply, key, params, X, scheme=scheme)
    first, second, third = np.asarray(params["queries"])
    assert not np.allclose(first, second)
    assert not np.allclose(second, third)
