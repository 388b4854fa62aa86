"""Parameters seen layer by layer: norms, gradients, dead entries and identical units."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from idinit_jax.signal.statistics import count_zeros, unit_of
from idinit_jax.tracing.graph import Kernel, Parameter

Entry = Kernel | Parameter


class ParameterStatistics(NamedTuple):
    """What is taken of a parameter on the device, one entry a layer, (L,).

    Attributes:
        largest: largest absolute value, the unit of the next.
        squares: sum of squares.
        largest_slope: largest absolute value of the gradient, the unit of the next.
        slope_squares: sum of squares of the gradient.
        dead: number of entries whose gradient is exactly zero.
        hashes: of the bits of each unit's weights, (L, groups, units).
        marks: a random projection of each unit's gradient, (L, groups, units), in units of the
            largest slope.
    """

    largest: jax.Array
    squares: jax.Array
    largest_slope: jax.Array
    slope_squares: jax.Array
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


def layout_of(entry: Entry) -> Layout:
    """The layout of a parameter; what is no kernel, and an embedding, is one unit a layer."""
    if isinstance(entry, Kernel) and entry.role != "embedding":
        inner = tuple(sorted((*entry.in_axes, *entry.spatial_axes)))
        axes = entry.stack_axes, entry.group_axes, entry.out_axes, inner
        return Layout(entry.view, *axes, entry.groups)
    view = entry.view if isinstance(entry, Kernel) else entry.shape
    inner = tuple(axis for axis in range(len(view)) if axis not in entry.stack_axes)
    return Layout(view, entry.stack_axes, (), (), inner, 1)


def parameter_statistics(
    entries: Sequence[Entry], values: Sequence[jax.Array], gradients: Sequence[jax.Array]
) -> list[ParameterStatistics]:
    """Sum up parameters and their gradients, those of equal layout in one program."""
    alike: dict[Layout, list[int]] = {}
    for index, entry in enumerate(entries):
        alike.setdefault(layout_of(entry), []).append(index)
    found: dict[int, ParameterStatistics] = {}
    for layout, members in alike.items():
        together = jax.vmap(lambda value, slope, layout=layout: _statistics(layout, value, slope))(
            jnp.stack([_as_viewed(values[index], layout) for index in members]),
            jnp.stack([_as_viewed(gradients[index], layout) for index in members]),
        )
        for position, index in enumerate(members):
            found[index] = jax.tree.map(lambda array, p=position: array[p], together)
    return [found[index] for index in range(len(entries))]


def _as_viewed(array: jax.Array, layout: Layout) -> jax.Array:
    return array.reshape(layout.view).astype(jnp.float32)


def _statistics(layout: Layout, value: jax.Array, slope: jax.Array) -> ParameterStatistics:
    """Of one array as viewed. Reductions run over the stored axes, so that nothing is moved."""
    layers, groups, units, _ = layout.shape()
    rest = tuple(axis for axis in range(value.ndim) if axis not in layout.stack)
    draw = np.random.default_rng(0)
    directions = _along(layout, draw.standard_normal(layout.shape()[3]).astype(np.float32))
    odd = _along(layout, draw.integers(0, 2**32, layout.shape()[3], dtype=np.uint32) | 1)
    hashes = jnp.sum(_mixed_bits(value) * odd, axis=layout.inner, dtype=jnp.uint32)
    largest, scaled = _in_units(value, rest)
    largest_slope, slope = _in_units(slope, rest)
    return ParameterStatistics(
        largest.reshape(layers),
        jnp.sum(scaled * scaled, axis=rest).reshape(layers),
        largest_slope.reshape(layers),
        jnp.sum(slope * slope, axis=rest).reshape(layers),
        count_zeros(slope, rest).reshape(layers),
        hashes.reshape(layers, groups, units),
        jnp.sum(slope * directions, axis=layout.inner).reshape(layers, groups, units),
    )


def _in_units(array: jax.Array, axes: tuple[int, ...]) -> tuple[jax.Array, jax.Array]:
    """The largest absolute value along axes, and the array in units of it."""
    largest = jnp.max(jnp.abs(array), axis=axes, keepdims=True, initial=0.0)
    return largest, array / unit_of(largest)


def _along(layout: Layout, vector: np.ndarray) -> jax.Array:
    """One number an input of a unit, shaped to be multiplied with the whole array."""
    inner = tuple(size if axis in layout.inner else 1 for axis, size in enumerate(layout.view))
    return jnp.asarray(vector.reshape(inner))


def _mixed_bits(values: jax.Array) -> jax.Array:
    """The bits of each number, well mixed; a weighted sum of them is a hash."""
    bits = jax.lax.bitcast_convert_type(jnp.where(values == 0, 0.0, values), jnp.uint32)
    # Round numbers differ in their high bits alone, which a product would push out.
    bits = (bits ^ (bits >> 16)) * jnp.uint32(0x45D9F3B1)
    return bits ^ (bits >> 15)


def unit_matrices(kernel: Kernel, value: Any) -> jax.Array:
    """A kernel as float32 (layers, groups, units, inputs of a unit)."""
    layout = layout_of(kernel)
    order = (*layout.stack, *layout.group, *layout.unit, *layout.inner)
    return _as_viewed(value, layout).transpose(order).reshape(layout.shape())


def identical_units(statistics: ParameterStatistics, layer: int) -> int:
    """How many units of a layer have a twin: the same weights, and the same gradient.

    Twins move together for ever, so that they count as one. Weights must agree bit for bit,
    gradients to 1e-4, as sums may be taken in another order.
    """
    hashes = np.asarray(statistics.hashes[layer])
    marks = np.asarray(statistics.marks[layer])
    tolerance = 1e-4 * np.abs(marks).max(initial=0.0)
    return sum(_twins(*group, tolerance=tolerance) for group in zip(hashes, marks, strict=True))


def _twins(hashes: np.ndarray, marks: np.ndarray, tolerance: float) -> int:
    order = np.lexsort((marks, hashes))
    same = np.diff(hashes[order]) == 0
    close = same & (np.abs(np.diff(marks[order])) <= tolerance)
    return int(np.sum(np.append(close, False) | np.append(False, close)))
