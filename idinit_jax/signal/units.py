"""Parameters seen layer by layer: their norms, their gradients, dead entries and identical units."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from idinit_jax.signal.statistics import scale_of, zero_fraction
from idinit_jax.tracing.graph import Kernel, Parameter

Entry = Kernel | Parameter


class ParameterStatistics(NamedTuple):
    """One entry a layer, (L,); for kernels also marks by which equal units are told.

    Attributes:
        norm: Euclidean.
        gradient_norm: likewise of the gradient.
        dead: fraction of entries whose gradient is exactly zero.
        hashes: of the bits of each unit's weights, (L, groups, units); no units but for kernels.
        gradient_marks: a random projection of each unit's gradient, (L, groups, units).
    """

    norm: jax.Array
    gradient_norm: jax.Array
    dead: jax.Array
    hashes: jax.Array
    gradient_marks: jax.Array


def parameter_statistics(
    entries: tuple[Entry, ...], values: list[jax.Array], gradients: list[jax.Array]
) -> list[ParameterStatistics]:
    """Sum up parameters and their gradients, those of equal shape together."""
    views = [unit_matrices(entry, value) for entry, value in zip(entries, values, strict=True)]
    slopes = [unit_matrices(entry, value) for entry, value in zip(entries, gradients, strict=True)]
    alike: dict[tuple[int, ...], list[int]] = {}
    for index, view in enumerate(views):
        alike.setdefault(view.shape, []).append(index)
    found: dict[int, ParameterStatistics] = {}
    for members in alike.values():
        together = jax.vmap(jax.vmap(_layer_statistics))(
            jnp.stack([views[index] for index in members]),
            jnp.stack([slopes[index] for index in members]),
        )
        for position, index in enumerate(members):
            found[index] = jax.tree.map(lambda array, p=position: array[p], together)
    return [found[index] for index in range(len(entries))]


def _layer_statistics(units: jax.Array, slopes: jax.Array) -> ParameterStatistics:
    """Of one layer as (groups, units, inputs)."""
    directions = np.random.default_rng(1).standard_normal(units.shape[-1])
    return ParameterStatistics(
        euclidean_norm(units),
        euclidean_norm(slopes),
        zero_fraction(slopes),
        unit_hashes(units),
        slopes @ jnp.asarray(directions, jnp.float32),
    )


def euclidean_norm(x: jax.Array) -> jax.Array:
    """The norm, also where squares would overflow or vanish."""
    _, unit = scale_of(x)
    return jnp.sqrt(jnp.sum((x / unit) ** 2)) * unit


def unit_matrices(entry: Entry, value: Any) -> jax.Array:
    """A stored parameter as float32 (layers, groups, units, inputs of a unit).

    What is no kernel, and a table of embeddings, is one unit a layer.
    """
    if not isinstance(entry, Kernel) or entry.role == "embedding":
        value = value.reshape(entry.view) if isinstance(entry, Kernel) else value
        others = tuple(axis for axis in range(value.ndim) if axis not in entry.stack_axes)
        layers = math.prod(value.shape[axis] for axis in entry.stack_axes)
        view = value.transpose(*entry.stack_axes, *others)
        return view.reshape(layers, 1, 1, -1).astype(jnp.float32)
    inner = (*entry.in_axes, *entry.spatial_axes)
    order = (entry.stack_axes, entry.group_axes, entry.out_axes, inner)
    layers, groups, units, inputs = (math.prod(entry.view[axis] for axis in axes) for axes in order)
    view = value.reshape(entry.view).transpose(*(axis for axes in order for axis in axes))
    shape = (layers, groups * entry.groups, units // entry.groups, inputs)
    return view.reshape(shape).astype(jnp.float32)


def unit_hashes(units: jax.Array) -> jax.Array:
    """A hash of the bits of each unit's weights (..., units, inputs); equal weights agree."""
    bits = jax.lax.bitcast_convert_type(jnp.where(units == 0, 0.0, units), jnp.uint32)
    # Round numbers differ in their high bits alone, which a product would push out.
    bits = (bits ^ (bits >> 16)) * jnp.uint32(0x45D9F3B1)
    bits = bits ^ (bits >> 15)
    draws = np.random.default_rng(0).integers(0, 2**32, units.shape[-1], dtype=np.uint32)
    odd = jnp.asarray(draws | 1).reshape((1,) * (units.ndim - 1) + (-1,))
    return jnp.sum(bits * odd, axis=-1, dtype=jnp.uint32)


def identical_units(statistics: ParameterStatistics, layer: int) -> int:
    """How many units of a layer have a twin: the same weights, and the same gradient.

    Twins move together for ever, so that they count as one. Weights must agree bit for bit,
    gradients to 1e-4, as sums may be taken in another order.
    """
    hashes = np.asarray(statistics.hashes[layer])
    marks = np.asarray(statistics.gradient_marks[layer])
    tolerance = 1e-4 * np.abs(marks).max(initial=0.0)
    return sum(_twins(*group, tolerance=tolerance) for group in zip(hashes, marks, strict=True))


def _twins(hashes: np.ndarray, marks: np.ndarray, tolerance: float) -> int:
    order = np.lexsort((marks, hashes))
    same = np.diff(hashes[order]) == 0
    close = same & (np.abs(np.diff(marks[order])) <= tolerance)
    return int(np.sum(np.append(close, False) | np.append(False, close)))
