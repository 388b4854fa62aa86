"""The convolution for scans has the values and all derivatives of JAX's."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from idinit_jax.models.convolution import convolve_in_scan

LAYOUT = ("NHWC", "HWIO", "NHWC")


def plain(x, kernel, strides, padding):
    return lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=LAYOUT)


def for_scan(x, kernel, strides, padding):
    return convolve_in_scan(
        x,
        kernel,
        strides,
        padding,
        lhs_dilation=(1, 1),
        rhs_dilation=(1, 1),
        dimension_numbers=LAYOUT,
        feature_group_count=1,
        precision=None,
    )


@pytest.mark.parametrize(
    ("taps", "strides", "pad"), [(3, (1, 1), 1), (1, (1, 1), 0), (3, (2, 2), 1), (2, (1, 2), 1)]
)
def test_values_and_derivatives_are_those_of_jax(rng, taps, strides, pad):
    padding = [(pad, pad), (pad, pad)]
    x = jnp.asarray(rng.standard_normal((2, 6, 5, 3)), jnp.float32)
    kernel = jnp.asarray(rng.standard_normal((taps, taps, 3, 4)), jnp.float32)

    @functools.partial(jax.jit, static_argnums=0)
    def derivatives(convolve, x, kernel):
        run = functools.partial(convolve, strides=strides, padding=padding)
        y, pull = jax.vjp(run, x, kernel)
        return y, pull(jnp.sin(y)), jax.jvp(run, (x, kernel), (jnp.sin(x), jnp.cos(kernel)))[1]

    expected, found = derivatives(plain, x, kernel), derivatives(for_scan, x, kernel)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), found, expected)


def test_gradients_are_convolutions_in_the_forward_layout(rng):
    """What makes them fast: images N..C, kernels ..IO, in every convolution of the gradient."""
    x = jnp.asarray(rng.standard_normal((2, 6, 5, 3)), jnp.float32)
    kernel = jnp.asarray(rng.standard_normal((3, 3, 3, 4)), jnp.float32)

    def layouts(convolve):
        def loss(x, kernel):
            return convolve(x, kernel, (1, 1), [(1, 1), (1, 1)]).sum()

        text = jax.jit(jax.grad(loss, (0, 1))).lower(x, kernel).as_text()
        lines = [line for line in text.splitlines() if "stablehlo.convolution" in line]
        return [line.split("dim_numbers = ")[1].split(", window")[0] for line in lines]

    fast = "[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]"
    assert len(layouts(for_scan)) >= 2
    assert set(layouts(for_scan)) == {fast}
    assert set(layouts(plain)) != {fast}
