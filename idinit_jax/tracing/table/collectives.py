"""What devices, or members of a mapped axis, make of their arrays together.

A law speaks of the arrays of all devices as one: an entry of the output, on any device, depends
on entries of the operand on whichever devices.
"""

import math
from collections.abc import Mapping, Sequence

from idinit_jax.tracing.table import intervals
from idinit_jax.tracing.table.intervals import Interval
from idinit_jax.tracing.table.law import Applied, Law, Move, Row, along, linear, whole
from idinit_jax.tracing.table.moves import dropped, inserted, others, same


def _positions(applied: Applied) -> Move:
    """Axes given by number, not by name, are reduced in the array itself."""
    shape = applied.ins[applied.index]
    axes = applied.params.get("axes", ())
    return dropped(shape, tuple(axis for axis in axes if isinstance(axis, int)))


def total(applied: Applied) -> Law:
    """A sum over devices, for every operand."""
    group = (applied.index,)
    return linear(group, {applied.index: _positions(applied)}, others(applied, group), _summed)


def extreme(applied: Applied) -> Law:
    """A maximum or minimum over devices, for every operand."""
    group = (applied.index,)
    law = linear(group, {applied.index: _positions(applied)}, others(applied, group))
    return law._replace(signs=())


def _summed(group: Sequence[Interval]) -> Interval:
    """A sum of one entry at least."""
    low, high = group[0]
    return (low if low >= 0 else -math.inf), (high if high <= 0 else math.inf)


def sent(applied: Applied) -> Law:
    """From device to device; 0 where nothing is sent to."""
    group = (applied.index,)
    move = {applied.index: _positions(applied)}
    return linear(group, move, others(applied, group), _or_zero)


def _or_zero(group: Sequence[Interval]) -> Interval:
    return intervals.hull([group[0], (0.0, 0.0)])


def gathered(applied: Applied) -> Law:
    """The arrays of all devices behind one another, or along a new dimension."""
    axis = applied.params["all_gather_dimension"]
    if applied.params["tiled"]:
        return linear((0,), {0: _resized(applied)})
    return linear((0,), {0: inserted(applied.ins[0], axis, applied.out[axis])})


def scattered(applied: Applied) -> Law:
    """A sum of which every device has a piece, or one position."""
    if applied.params["tiled"]:
        return linear(
            (0,), {0: _resized(applied, applied.params["scatter_dimension"])}, (), _summed
        )
    move = dropped(applied.ins[0], (applied.params["scatter_dimension"],))
    return linear((0,), {0: move}, (), _summed)


def exchanged(applied: Applied) -> Law:
    """Pieces along one axis go to the devices and stand behind one another along another."""
    params = applied.params
    return linear((0,), {0: _resized(applied, params["split_axis"], params["concat_axis"])})


def reshard(applied: Applied) -> Law:
    """An array as one device sees it, or as all of them do together."""
    return linear((0,), {0: _resized(applied)})


def _resized(applied: Applied, *moved: int) -> Move:
    """Axes keep their positions but for those that are cut or put together."""
    return tuple(
        whole(axis, size) if length == size and axis not in moved else along(axis, size)
        for axis, (length, size) in enumerate(zip(applied.ins[0], applied.out, strict=True))
    )


def ragged_exchange(applied: Applied) -> Law:
    """Rows go where offsets and sizes, the operands behind the first two, say."""
    rows = along(0, applied.out[0])
    tail = tuple(whole(axis, size) for axis, size in enumerate(applied.out))[1:]
    moves = {0: (rows, *tail), 1: (along(0, applied.out[0]), *tail)}
    return linear((0, 1), moves, tuple(range(2, len(applied.ins))))


def axis_index(applied: Applied) -> Law:
    """Which device it is."""
    del applied
    return Law(range=intervals.always(0.0, math.inf))


COLLECTIVES: Mapping[str, Row] = {
    "psum": total,
    "psum_invariant": total,
    "unreduced_psum": total,
    "pmax": extreme,
    "pmin": extreme,
    "unreduced_pmax": extreme,
    "unreduced_pmin": extreme,
    "ppermute": sent,
    "pbroadcast": sent,
    "pbroadcast_dynamic": sent,
    "pvary": same,
    "preduced": same,
    "all_gather": gathered,
    "all_gather_invariant": gathered,
    "all_gather_reduced": gathered,
    "all_to_all": exchanged,
    "ragged_all_to_all": ragged_exchange,
    "reduce_scatter": scattered,
    "unreduced_reduce_scatter": scattered,
    "axis_index": axis_index,
    "reshard": reshard,
}
