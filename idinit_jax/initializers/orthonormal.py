"""Kernels with orthonormal rows or columns (Saxe et al. 2014; Xiao et al. 2018)."""

import dataclasses
from typing import Any

import jax
from jax import numpy as jnp

from idinit_jax.initializers.arguments import Axes, check_axes, check_real
from idinit_jax.initializers.axes import KernelAxes
from idinit_jax.initializers.contract import KernelRule, Key
from idinit_jax.initializers.sampling import draw_normal


@dataclasses.dataclass(frozen=True, repr=False)
class orthogonal(KernelRule):
    """A uniformly random semi-orthogonal kernel.

    The matrix `W` of shape `(D_out, D_in)`, D_in = c_in / groups * taps, has
    `W W^T = gain^2 I` if D_out <= D_in and `W^T W = gain^2 I` otherwise. Haar measure: the Q of a
    normal matrix's QR, with the signs of R's diagonal taken into Q. Each group and each stacked
    copy is drawn for itself. Saxe et al. 2014 (arXiv 1312.6120).

    Args:
        gain: the singular values, a real number.
        in_axis, out_axis, batch_axis, groups: see `KernelRule`.

    Returns:
        An initializer, in any floating dtype and under any sharding.

    Raises:
        TypeError: gain is not a real number.

    >>> import idinit_jax, jax
    >>> kernel = idinit_jax.orthogonal()(jax.random.key(0), (2, 4))
    >>> bool(abs(kernel @ kernel.T - jax.numpy.eye(2)).max() < 1e-6)
    True
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_real("gain", self.gain)

    def kernel(self, key: Key, axes: KernelAxes, dtype: Any) -> jax.Array:
        return self.gain * axes.fold(semi_orthogonal(key, axes.matrix_shape, dtype))


@dataclasses.dataclass(frozen=True, repr=False)
class delta_orthogonal(KernelRule):
    """A semi-orthogonal matrix of shape `(c_out, c_in / groups)` at one tap, zero elsewhere.

    At the centre tap, stride 1 and SAME padding, a convolution with c_out >= c_in keeps the norm
    of every input exactly; with c_out < c_in it projects orthogonally, which no kernel can do
    better. Xiao et al. 2018 (arXiv 1806.05393), Algorithm 1.

    Args:
        gain: the singular values, a real number.
        tap: position along each receptive axis. By default the centre, which only odd sizes have;
            an even kernel needs a tap: `(k - 1) // 2` is where SAME padding aligns input and
            output.
        in_axis, out_axis, batch_axis, groups: see `KernelRule`.

    Returns:
        An initializer; for a dense kernel the same as `orthogonal`.

    Raises:
        ValueError: a receptive axis is even and no tap is given, or the tap lies outside.

    >>> import idinit_jax, jax
    >>> kernel = idinit_jax.delta_orthogonal()(jax.random.key(0), (3, 2, 4))
    >>> (kernel != 0).any(axis=(1, 2))
    Array([False,  True, False], dtype=bool)
    """

    gain: float = 1.0
    tap: Axes | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_real("gain", self.gain)
        if self.tap is not None:
            object.__setattr__(self, "tap", check_axes("tap", self.tap, required=False))

    def kernel(self, key: Key, axes: KernelAxes, dtype: Any) -> jax.Array:
        copies, groups, rows, _ = axes.matrix_shape
        matrices = semi_orthogonal(key, (copies, groups, rows, axes.in_size), dtype)
        return axes.fold_at(self.gain * matrices, self._tap_index(axes))

    def _tap_index(self, axes: KernelAxes) -> int:
        taps = tuple(axes.shape[axis] for axis in axes.spatial)
        if self.tap is not None:
            return _checked_tap(self.tap, taps, axes)
        if any(size % 2 == 0 for size in taps):
            aligned = tuple((size - 1) // 2 for size in taps)
            raise ValueError(
                f"a receptive field of {taps} taps has no centre; give"
                f" delta_orthogonal(tap={aligned}), where SAME padding aligns input and output,"
                " or use orthogonal()"
            )
        return axes.centre


@dataclasses.dataclass(frozen=True, repr=False)
class lsuv(KernelRule):
    """The orthonormal start of LSUV: every kernel's singular values are 1.

    Mishkin and Matas 2016 (arXiv 1511.06422), Algorithm 1, "pre-initialize with orthonormal
    matrices". Its second half divides each kernel by the std of its output on a real batch, and
    belongs to a whole model.

    Args:
        in_axis, out_axis, batch_axis, groups: see `KernelRule`.

    Returns:
        An initializer, with the values of `orthogonal()`.

    >>> import idinit_jax, jax, jax.numpy as jnp
    >>> kernel = idinit_jax.lsuv()(jax.random.key(0), (4, 2))
    >>> jnp.linalg.svd(kernel, compute_uv=False).round(6)
    Array([1., 1.], dtype=float32)
    """

    def kernel(self, key: Key, axes: KernelAxes, dtype: Any) -> jax.Array:
        return axes.fold(semi_orthogonal(key, axes.matrix_shape, dtype))


def _checked_tap(tap: Axes, taps: tuple[int, ...], axes: KernelAxes) -> int:
    position = (tap,) if isinstance(tap, int) else tuple(tap)
    if len(position) != len(taps) or not all(
        0 <= place < size for place, size in zip(position, taps, strict=True)
    ):
        raise ValueError(f"tap={tap} lies outside a receptive field of {taps} taps")
    return axes.tap_index(position)


def semi_orthogonal(key: Key, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """Haar-random matrices `(..., rows, columns)`: rows orthonormal if fewer, else columns."""
    *stack, rows, columns = shape
    tall = (*stack, max(rows, columns), min(rows, columns))
    q, r = jnp.linalg.qr(draw_normal(1.0, key, tall, dtype))
    signs = jnp.where(jnp.diagonal(r, axis1=-2, axis2=-1) < 0, -1, 1).astype(dtype)
    q = q * signs[..., None, :]
    return q if rows >= columns else q.swapaxes(-1, -2)
