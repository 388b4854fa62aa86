"""Updates written into an array at the places that indices name."""

import math
from collections.abc import Mapping, Sequence

from idinit_jax.tracing.table import intervals
from idinit_jax.tracing.table.intervals import EVERYWHERE, Interval
from idinit_jax.tracing.table.law import (
    Applied,
    Law,
    Move,
    Row,
    along,
    brought,
    identity,
    kept_or_along,
    linear,
    whole,
)


def scatter(applied: Applied) -> Law:
    """Updates replace entries; a function of the operand alone may stand in their place."""
    if applied.params.get("update_jaxpr") is not None:
        return Law(choosers=(1,))
    return linear((0, 2), _moves(applied), (1,))


def scatter_add(applied: Applied) -> Law:
    return linear((0, 2), _moves(applied), (1,), _adding(_windows(applied)))


def scatter_sub(applied: Applied) -> Law:
    add = _adding(_windows(applied))
    bounds = lambda group: add([group[0], intervals.negated(group[1])])  # noqa: E731
    return linear((0, 2), _moves(applied), (1,), bounds)


def scatter_max(applied: Applied) -> Law:
    law = linear((0, 2), _moves(applied), (1,), lambda group: _at_least(group[0], group[1]))
    return law._replace(signs=())


def scatter_min(applied: Applied) -> Law:
    law = linear((0, 2), _moves(applied), (1,), lambda group: _at_most(group[0], group[1]))
    return law._replace(signs=())


def scatter_mul(applied: Applied) -> Law:
    """Entries are multiplied by as many updates as there are for them."""
    return Law((((0,), 1),), (1,), ((0,),), (((0,), -1),), _moves(applied), _multiplying)


def _windows(applied: Applied) -> int:
    """How many updates there are at most for an entry."""
    numbers = applied.params["dimension_numbers"]
    return math.prod(
        size for axis, size in enumerate(applied.ins[2]) if axis not in numbers.update_window_dims
    )


def _adding(count: int) -> intervals.Bounds:
    """Up to `count` updates added."""

    def bounds(group: Sequence[Interval]) -> Interval:
        low, high = intervals.scaled(group[1], count)
        return intervals.added([group[0], (min(low, 0.0), max(high, 0.0))])

    return bounds


def _at_least(entry: Interval, update: Interval) -> Interval:
    return entry[0], max(entry[1], update[1])


def _at_most(entry: Interval, update: Interval) -> Interval:
    return min(entry[0], update[0]), entry[1]


def _multiplying(operands: Sequence[Interval]) -> Interval:
    return (0.0, math.inf) if operands[0][0] >= 0 and operands[2][0] >= 0 else EVERYWHERE


def _moves(applied: Applied) -> dict[int, Move]:
    return {0: identity(applied.out), 2: _updates(applied)}


def _updates(applied: Applied) -> Move:
    """Windows of the updates keep their positions where they are as long as the array."""
    numbers, out, updates = applied.params["dimension_numbers"], applied.out, applied.ins[2]
    places = [axis for axis in range(len(updates)) if axis not in numbers.update_window_dims]
    windows = [
        dim
        for dim in range(len(out))
        if dim not in (*numbers.inserted_window_dims, *numbers.operand_batching_dims)
    ]
    dims = list(map(brought, out))
    for axis, dim in zip(numbers.update_window_dims, windows, strict=True):
        dims[dim] = kept_or_along(axis, updates[axis], out[dim])
    if len(numbers.inserted_window_dims) == len(places) == 1:
        (dim,), (axis,) = numbers.inserted_window_dims, places
        dims[dim] = along(axis, out[dim])
    for dim, place in zip(
        numbers.operand_batching_dims, numbers.scatter_indices_batching_dims, strict=True
    ):
        dims[dim] = whole(places[place], out[dim])
    return tuple(dims)


SCATTER: Mapping[str, Row] = {
    "scatter": scatter,
    "scatter-add": scatter_add,
    "scatter-sub": scatter_sub,
    "scatter-mul": scatter_mul,
    "scatter-max": scatter_max,
    "scatter-min": scatter_min,
}
