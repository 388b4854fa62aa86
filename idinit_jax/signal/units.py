"""Parameters seen layer by layer: norms, gradients, dead entries and identical units."""

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from idinit_jax.signal.statistics import UNITS, is_zero, reduce_together, squares_in_units
from idinit_jax.tracing.graph import Kernel, Parameter

Entry = Kernel | Parameter
# Entries of several arrays that may be copied into one, which is looked at in a single loop.
LARGEST_COPY = 2**20


class ParameterStatistics(NamedTuple):
    """What is taken of a parameter on the device, for each unit, (L, groups, units).

    Attributes:
        squares: sum of squares, in squares of each of UNITS.
        slope_squares: the same of the gradient.
        dead: number of entries whose gradient is exactly zero.
        hashes: of the bits of the weights; 0 for a unit of zeros.
        marks: a random projection of the gradient.
    """

    squares: tuple[jax.Array, ...]
    slope_squares: tuple[jax.Array, ...]
    dead: jax.Array
    hashes: jax.Array
    marks: jax.Array


class Layout(NamedTuple):
    """How a stored array divides into layers, groups, units and inputs of a unit.

    Attributes:
        view: the shape that the axes refer to.
        stack, group, unit, inner: axes.
        groups: blocks that the unit axes divide into.
    """

    view: tuple[int, ...]
    stack: tuple[int, ...]
    group: tuple[int, ...]
    unit: tuple[int, ...]
    inner: tuple[int, ...]
    groups: int

    def shape(self) -> tuple[int, int, int, int]:
        """(layers, groups, units, inputs of a unit)."""
        layers, groups, units, inputs = (
            math.prod(self.view[axis] for axis in axes)
            for axes in (self.stack, self.group, self.unit, self.inner)
        )
        return layers, groups * self.groups, units // self.groups, inputs

    def arranged(self, stacked: jax.Array) -> jax.Array:
        """What is left of several arrays without the inner axes, as (n, layers, groups, units)."""
        left = [axis for axis in range(len(self.view)) if axis not in self.inner]
        order = [1 + left.index(axis) for axis in (*self.stack, *self.group, *self.unit)]
        return stacked.transpose(0, *order).reshape(-1, *self.shape()[:3])


def layout_of(entry: Entry) -> Layout:
    """The layout of a parameter; of what is no kernel, and of an embedding, the rows are units."""
    if isinstance(entry, Kernel) and entry.role != "embedding":
        inner = tuple(sorted((*entry.in_axes, *entry.spatial_axes)))
        axes = entry.stack_axes, entry.group_axes, entry.out_axes, inner
        return Layout(entry.view, *axes, entry.groups)
    view = entry.view if isinstance(entry, Kernel) else entry.shape
    axes = tuple(axis for axis in range(len(view)) if axis not in entry.stack_axes)
    return Layout(view, entry.stack_axes, (), axes[:-1], axes[-1:], 1)


def parameter_statistics(
    entries: Sequence[Entry], values: Sequence[jax.Array], gradients: Sequence[jax.Array]
) -> list[ParameterStatistics]:
    """Sum up parameters and their gradients.

    Small ones of one layout share a loop, and an axis in front, as `one_by_one` undoes.
    """
    return [
        _statistics(layout, *(_stacked([of[i] for i in members]) for of in (values, gradients)))
        for layout, members in _batches(entries)
    ]


def _stacked(arrays: Sequence[jax.Array]) -> jax.Array:
    # Without the barrier XLA would copy in the loop itself, which takes long to compile.
    return jax.lax.optimization_barrier(jnp.stack(arrays))


def one_by_one(
    entries: Sequence[Entry], found: Sequence[ParameterStatistics]
) -> list[ParameterStatistics]:
    """What `parameter_statistics` found, on the host, for each parameter."""
    apart: dict[int, ParameterStatistics] = {}
    for (_, members), together in zip(_batches(entries), found, strict=True):
        for position, index in enumerate(members):
            apart[index] = jax.tree.map(lambda array, p=position: array[p], together)
    return [apart[index] for index in range(len(entries))]


def _batches(entries: Sequence[Entry]) -> Iterator[tuple[Layout, Sequence[int]]]:
    """Parameters of one layout, as many as may be copied to lie side by side."""
    alike: dict[Layout, list[int]] = {}
    for index, entry in enumerate(entries):
        alike.setdefault(layout_of(entry), []).append(index)
    for layout, members in alike.items():
        count = max(1, LARGEST_COPY // max(1, math.prod(layout.view)))
        yield from ((layout, members[i : i + count]) for i in range(0, len(members), count))


@functools.partial(jax.jit, static_argnums=0)
def _statistics(layout: Layout, values: jax.Array, slopes: jax.Array) -> ParameterStatistics:
    """Of several arrays of one layout, stacked; the numbers are too."""
    value, slope = (
        array.reshape(-1, *layout.view).astype(jnp.float32) for array in (values, slopes)
    )
    draw = np.random.default_rng(0)
    directions = _along(layout, draw.standard_normal(layout.shape()[3]).astype(np.float32))
    odd = _along(layout, draw.integers(0, 2**32, layout.shape()[3], dtype=np.uint32) | 1)
    of_value, of_slope = squares_in_units(value), squares_in_units(slope)
    others = [is_zero(slope), _mixed_bits(value) * odd, slope * directions]
    sums, _ = reduce_together(
        [*of_value, *of_slope, *others], [], [axis + 1 for axis in layout.inner]
    )
    sums = [layout.arranged(array) for array in sums]
    count = len(UNITS)
    return ParameterStatistics(
        tuple(sums[:count]), tuple(sums[count : 2 * count]), *sums[2 * count :]
    )


def _along(layout: Layout, vector: np.ndarray) -> jax.Array:
    """One number an input of a unit, shaped to be multiplied with all stacked arrays."""
    inner = tuple(size if axis in layout.inner else 1 for axis, size in enumerate(layout.view))
    return jnp.asarray(vector.reshape(1, *inner))


def _mixed_bits(values: jax.Array) -> jax.Array:
    """The bits of each number, well mixed, 0 for zero; a weighted sum of them is a hash."""
    bits = jax.lax.bitcast_convert_type(jnp.where(values == 0, 0.0, values), jnp.uint32)
    # Round numbers differ in their high bits alone, which a product would push out.
    bits = (bits ^ (bits >> 16)) * jnp.uint32(0x45D9F3B1)
    return bits ^ (bits >> 15)


def unit_matrices(kernel: Kernel, value: Any) -> jax.Array:
    """A kernel as float32 (layers, groups, units, inputs of a unit)."""
    layout = layout_of(kernel)
    order = (*layout.stack, *layout.group, *layout.unit, *layout.inner)
    viewed = value.reshape(layout.view).astype(jnp.float32)
    return viewed.transpose(order).reshape(layout.shape())


def identical_units(statistics: ParameterStatistics, layer: int) -> int:
    """How many units of a layer have a twin: the same weights, and the same gradient.

    Twins move together for ever, so that they count as one. Weights must agree bit for bit,
    gradients to 1e-4, as sums may be taken in another order. Units without weights and without
    gradient, as above a head of zeros, are asleep; what they will be told is not known yet.
    """
    hashes = np.asarray(statistics.hashes[layer])
    marks = np.asarray(statistics.marks[layer])
    tolerance = 1e-4 * np.abs(marks).max(initial=0.0)
    return sum(_twins(*group, tolerance=tolerance) for group in zip(hashes, marks, strict=True))


def _twins(hashes: np.ndarray, marks: np.ndarray, tolerance: float) -> int:
    order = np.lexsort((marks, hashes))
    same = np.diff(hashes[order]) == 0
    close = same & (np.abs(np.diff(marks[order])) <= tolerance)
    asleep = (hashes[order] == 0) & (marks[order] == 0)
    close &= ~asleep[1:]
    return int(np.sum(np.append(close, False) | np.append(False, close)))
