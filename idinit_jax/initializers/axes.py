"""Which axes of a stored kernel are inputs, outputs, copies and receptive field."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
from jax import lax
from jax import numpy as jnp

from idinit_jax.initializers.arguments import Axes


class KernelAxes(NamedTuple):
    """A kernel's shape, with every axis given its meaning.

    The kernel stands for `copies * groups` independent matrices. The matrix of one group maps the
    `c_in = in_size` channels stored along the in axes, at each of `receptive` taps, to
    `c_out / groups` channels. Several in, out or receptive axes count as one, flattened row-major
    in the order given; the out axis is group-major, as in `feature_group_count` of a convolution.

    >>> axes = kernel_axes((3, 3, 4, 16), groups=2)
    >>> axes.fan_in, axes.fan_out
    (36, 72)
    >>> axes.matrix_shape
    (1, 2, 8, 36)
    """

    shape: tuple[int, ...]
    batch: tuple[int, ...]
    outs: tuple[int, ...]
    ins: tuple[int, ...]
    spatial: tuple[int, ...]
    groups: int

    def size(self, axes: tuple[int, ...]) -> int:
        """Number of entries along `axes` together."""
        return math.prod(self.shape[axis] for axis in axes)

    @property
    def in_size(self) -> int:
        """Input channels that one group sees."""
        return self.size(self.ins)

    @property
    def out_size(self) -> int:
        """Output channels that one group makes."""
        return self.size(self.outs) // self.groups

    @property
    def receptive(self) -> int:
        """Number of taps of the receptive field; 1 for a dense kernel."""
        return self.size(self.spatial)

    @property
    def fan_in(self) -> int:
        """Products that enter one output: `c_in / groups * receptive`."""
        return self.in_size * self.receptive

    @property
    def fan_out(self) -> int:
        """Products that one input enters (stride 1): `c_out / groups * receptive`."""
        return self.out_size * self.receptive

    @property
    def matrix_shape(self) -> tuple[int, int, int, int]:
        """`(copies, groups, c_out / groups, c_in * receptive)`, the kernel as matrices."""
        return self.size(self.batch), self.groups, self.out_size, self.fan_in

    @property
    def centre(self) -> int:
        """Row-major index of the centre tap, `(k - 1) // 2` along each receptive axis."""
        return self.tap_index([(self.shape[axis] - 1) // 2 for axis in self.spatial])

    def tap_index(self, position: Sequence[int]) -> int:
        """Row-major index of the tap at `position` along the receptive axes."""
        index = 0
        for axis, place in zip(self.spatial, position, strict=True):
            index = index * self.shape[axis] + place
        return index

    def index(self, axes: tuple[int, ...]) -> jax.Array:
        """Row-major position along `axes` of every entry: int32, size 1 along the other axes."""
        index = jnp.zeros((1,) * len(self.shape), jnp.int32)
        stride = 1
        for axis in reversed(axes):
            along = [1] * len(self.shape)
            along[axis] = self.shape[axis]
            index = index + stride * lax.broadcasted_iota(jnp.int32, along, axis)
            stride *= self.shape[axis]
        return index

    def fold(self, matrices: jax.Array) -> jax.Array:
        """Stores `(copies, groups, c_out / groups, c_in * taps)` along the kernel's own axes.

        Columns run over (in axes, receptive axes), the row-major order of an OIHW kernel.
        """
        order = self.batch + self.outs + self.ins + self.spatial
        kernel = matrices.reshape([self.shape[axis] for axis in order])
        return kernel.transpose([order.index(axis) for axis in range(len(order))])

    def fold_at(self, matrices: jax.Array, tap: int) -> jax.Array:
        """Stores `(copies, groups, c_out / groups, c_in)` at one tap, zero at the others."""
        shape = tuple(1 if i in self.spatial else n for i, n in enumerate(self.shape))
        kernel = self._replace(shape=shape).fold(matrices)
        return jnp.where(self.index(self.spatial) == tap, kernel, jnp.zeros_like(kernel))


def kernel_axes(
    shape: Sequence[int],
    in_axis: Axes = -2,
    out_axis: Axes = -1,
    batch_axis: Axes = (),
    groups: int = 1,
) -> KernelAxes:
    """Gives every axis of `shape` its meaning; axes named nowhere are the receptive field.

    Args:
        shape: the kernel's stored shape, such as HWIO with I = c_in / groups.
        in_axis, out_axis, batch_axis: an axis or several, negative ones counted from the end.
        groups: number of groups that the out axes are divided into.

    Raises:
        ValueError: an axis is out of range or named twice, or `groups` does not divide c_out.
    """
    named = [_positions(shape, axes) for axes in (batch_axis, out_axis, in_axis)]
    batch, outs, ins = named
    taken = batch + outs + ins
    if len(set(taken)) < len(taken):
        raise ValueError(
            f"in_axis={in_axis}, out_axis={out_axis} and batch_axis={batch_axis} overlap on a"
            f" kernel of shape {tuple(shape)}; each axis has one meaning"
        )
    spatial = tuple(axis for axis in range(len(shape)) if axis not in taken)
    axes = KernelAxes(tuple(shape), batch, outs, ins, spatial, groups)
    if axes.size(outs) % groups:
        raise ValueError(
            f"groups={groups} does not divide the {axes.size(outs)} output channels"
            f" of a kernel of shape {tuple(shape)} with out_axis={out_axis}"
        )
    return axes


def _positions(shape: Sequence[int], axes: Axes) -> tuple[int, ...]:
    axes = (axes,) if isinstance(axes, int) else tuple(axes)
    for axis in axes:
        if not -len(shape) <= axis < len(shape):
            raise ValueError(
                f"axis {axis} is out of range for shape {tuple(shape)}: a kernel needs an in axis"
                " and an out axis; for biases and scales use constant, zeros, ones or normal"
            )
    return tuple(axis % len(shape) for axis in axes)
