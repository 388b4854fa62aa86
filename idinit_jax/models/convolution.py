"""A convolution whose gradient stays fast inside a scan on CPU."""

import functools
from typing import Any

import jax
from jax import lax

_FORWARD = ("NHWC", "HWIO", "NHWC")
# Transposing a convolution exchanges input and output of its kernel, and batch and features of its
# image. Tangents written in these layouts therefore have transposes in the forward layout.
_BY_IMAGE = ("NHWC", "HWOI", "NHWC")
_BY_KERNEL = ("CHWN", "IHWO", "HWNC")


@functools.partial(jax.custom_jvp, nondiff_argnums=(2, 3, 4))
def _convolve(x: jax.Array, kernel: jax.Array, strides: Any, padding: Any, precision: Any):
    return lax.conv_general_dilated(
        x, kernel, strides, padding, dimension_numbers=_FORWARD, precision=precision
    )


@_convolve.defjvp
def _convolve_jvp(strides: Any, padding: Any, precision: Any, primals: Any, tangents: Any):
    (x, kernel), (x_tangent, kernel_tangent) = primals, tangents
    run = functools.partial(
        lax.conv_general_dilated, window_strides=strides, padding=padding, precision=precision
    )
    by_image = run(x_tangent, kernel.transpose(0, 1, 3, 2), dimension_numbers=_BY_IMAGE)
    by_kernel = run(
        x.transpose(3, 1, 2, 0), kernel_tangent.transpose(2, 0, 1, 3), dimension_numbers=_BY_KERNEL
    )
    tangent = by_image + by_kernel.transpose(2, 0, 1, 3)
    return _convolve(x, kernel, strides, padding, precision), tangent


def convolve_in_scan(
    x: jax.Array,
    kernel: jax.Array,
    strides: Any,
    padding: Any,
    *,
    lhs_dilation: Any,
    rhs_dilation: Any,
    dimension_numbers: Any,
    feature_group_count: int,
    precision: Any,
) -> jax.Array:
    """`lax.conv_general_dilated` as Flax calls it for a plain kernel, with a gradient of its own.

    XLA's CPU backend has fast convolutions for one layout, and brings others to it in the outermost
    computation only: in the body of a scan the gradients of `lax.conv_general_dilated` run as plain
    loops, some twenty times slower. These gradients are written in the fast layout.

    Args:
        x: (N, H, W, C).
        kernel: (h, w, C, O).
        strides: along H and W.
        padding: (before, after) along H and W.
        lhs_dilation, rhs_dilation, dimension_numbers, feature_group_count: must be Flax's defaults,
            one group and no dilation.
        precision: as in `lax.conv_general_dilated`.

    Returns:
        (N, H', W', O).
    """
    del lhs_dilation, rhs_dilation, dimension_numbers, feature_group_count  # defaults, see Args
    return _convolve(x, kernel, tuple(strides), tuple(map(tuple, padding)), precision)
