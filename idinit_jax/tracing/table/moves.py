"""Movement of entries: every entry of the output is one of the operand's, or a padding."""

from collections.abc import Mapping

import numpy as np

from idinit_jax.tracing.table.digits import regroup
from idinit_jax.tracing.table.intervals import everywhere
from idinit_jax.tracing.table.law import (
    Applied,
    Dim,
    Law,
    Move,
    Operands,
    Row,
    Shape,
    along,
    broadcast,
    brought,
    identity,
    kept_or_along,
    linear,
    part,
    repeated,
    whole,
)


def others(applied: Applied, group: Operands) -> Operands:
    """The operands outside of a group."""
    return tuple(i for i in range(len(applied.ins)) if i not in group)


def same(applied: Applied) -> Law:
    """Every output is the operand of its index."""
    group = (applied.index,)
    moves = {applied.index: identity(applied.out)}
    return linear(group, moves, others(applied, group))


def second(applied: Applied) -> Law:
    """The second operand, once the first is there."""
    return linear((1,), {1: identity(applied.out)}, (0,))


def reshape(applied: Applied) -> Law:
    shape, order = applied.ins[0], applied.params.get("dimensions")
    if order is None:
        return linear((0,), {0: regroup(shape, applied.out)})
    move = regroup(tuple(shape[axis] for axis in order), applied.out)
    return linear((0,), {0: None if move is None else _renamed(move, order)})


def _renamed(move: Move, names: tuple[int, ...]) -> Move:
    return tuple(tuple(atom._replace(axis=names[atom.axis]) for atom in dim) for dim in move)


def transpose(applied: Applied) -> Law:
    whole_axes = identity(applied.ins[0])
    return linear((0,), {0: tuple(whole_axes[axis] for axis in applied.params["permutation"])})


def squeeze(applied: Applied) -> Law:
    return linear((0,), {0: dropped(applied.ins[0], applied.params["dimensions"])})


def dropped(shape: Shape, axes: tuple[int, ...]) -> Move:
    """The axes of an array but some."""
    gone = {axis % len(shape) for axis in axes}
    return tuple(dim for axis, dim in enumerate(identity(shape)) if axis not in gone)


def broadcast_in_dim(applied: Applied) -> Law:
    shape, out = applied.ins[0], applied.out
    dims = list(map(repeated, out))
    for axis, dimension in enumerate(applied.params["broadcast_dimensions"]):
        if shape[axis] == out[dimension]:
            dims[dimension] = whole(axis, shape[axis])
    return linear((0,), {0: tuple(dims)}, others(applied, (0,)))


def tile(applied: Applied) -> Law:
    pairs = enumerate(zip(applied.params["reps"], applied.ins[0], strict=True))
    return linear((0,), {0: tuple(repeated(reps) + whole(axis, n) for axis, (reps, n) in pairs)})


def rev(applied: Applied) -> Law:
    turned = {axis % len(applied.out) for axis in applied.params["dimensions"]}
    sizes = enumerate(applied.out)
    return linear((0,), {0: tuple(whole(axis, n, axis not in turned) for axis, n in sizes)})


def piece(out: Shape, starts: tuple[int, ...], kept: tuple[bool, ...]) -> Move:
    """Positions from some start on; not exact along the axes that do not keep them."""
    return tuple(
        part(axis, size, start if exact else 0, exact)
        for axis, (size, start, exact) in enumerate(zip(out, starts, kept, strict=True))
    )


def slice_(applied: Applied) -> Law:
    starts = tuple(applied.params["start_indices"])
    steps = applied.params.get("strides") or (1,) * len(starts)
    # Strided slices keep the position of a single entry.
    kept = tuple(step == 1 or size == 1 for step, size in zip(steps, applied.out, strict=True))
    return linear((0,), {0: piece(applied.out, starts, kept)})


def dynamic_slice(applied: Applied) -> Law:
    moves = {0: _kept_or_along(applied.ins[0], applied.out)}
    return linear((0,), moves, others(applied, (0,)))


def dynamic_update_slice(applied: Applied) -> Law:
    moves = {0: identity(applied.out), 1: _kept_or_along(applied.ins[1], applied.out)}
    return linear((0, 1), moves, others(applied, (0, 1)))


def _kept_or_along(shape: Shape, out: Shape) -> Move:
    sizes = enumerate(zip(shape, out, strict=True))
    return tuple(kept_or_along(axis, length, size) for axis, (length, size) in sizes)


def split(applied: Applied) -> Law:
    sizes, axis = applied.params["sizes"], applied.params["axis"]
    starts = tuple(
        sum(sizes[: applied.index]) if here == axis else 0 for here in range(len(applied.out))
    )
    move = piece(applied.out, starts, (True,) * len(starts))
    return linear((0,), {0: move})


def pad(applied: Applied) -> Law:
    config = applied.params["padding_config"]
    starts = tuple(-low for low, _, _ in config)
    kept = tuple(inner == 0 for _, _, inner in config)
    move = piece(applied.out, starts, kept)
    return linear((0, 1), {0: move, 1: broadcast((), applied.out)})


def concatenate(applied: Applied) -> Law:
    axis = applied.params["dimension"]
    lengths = [shape[axis] for shape in applied.ins]
    moves = {
        i: _placed(shape, axis, part(axis, applied.out[axis], -sum(lengths[:i])))
        for i, shape in enumerate(applied.ins)
    }
    return linear(tuple(moves), moves)


def _placed(shape: Shape, axis: int, dim: Dim) -> Move:
    """The axes of an array but one, which becomes another dimension."""
    whole_axes = identity(shape)
    return (*whole_axes[:axis], dim, *whole_axes[axis + 1 :])


def stack(applied: Applied) -> Law:
    """Operands next to each other along a new dimension; which it is is not in the digits."""
    axis = applied.params["axis"] % len(applied.out)
    moves = {i: inserted(shape, axis, len(applied.ins)) for i, shape in enumerate(applied.ins)}
    return linear(tuple(moves), moves)


def inserted(shape: Shape, axis: int, size: int) -> Move:
    """The axes of an array with a dimension between them that something else brings."""
    dims = list(range(len(shape)))
    dims.insert(axis, -1)
    return tuple(brought(size) if dim < 0 else whole(dim, shape[dim]) for dim in dims)


def unstack(applied: Applied) -> Law:
    return linear((0,), {0: dropped(applied.ins[0], (applied.params["axis"],))})


def gather(applied: Applied) -> Law:
    """Windows of the operand at the places that the second operand names."""
    numbers, sizes = applied.params["dimension_numbers"], applied.params["slice_sizes"]
    shape, indices, out = *applied.ins[:2], applied.out
    batches = [dim for dim in range(len(out)) if dim not in numbers.offset_dims]
    windows = [
        axis
        for axis in range(len(shape))
        if axis not in (*numbers.collapsed_slice_dims, *numbers.operand_batching_dims)
    ]
    taken, placed = list(map(brought, out)), list(map(brought, out))
    for axis, dim in zip(windows, numbers.offset_dims, strict=True):
        taken[dim] = kept_or_along(axis, shape[axis], sizes[axis])
    if numbers.collapsed_slice_dims:
        axis = numbers.collapsed_slice_dims[0]
        for dim in [dim for dim in batches if out[dim] > 1] or batches[:1]:
            taken[dim] = along(axis, out[dim])
    for axis, place in zip(
        numbers.operand_batching_dims, numbers.start_indices_batching_dims, strict=True
    ):
        taken[batches[place]] = whole(axis, shape[axis])
    for place, dim in enumerate(batches):
        placed[dim] = whole(place, indices[place])
    law = linear((0,), {0: tuple(taken), 1: tuple(placed)}, (1,))
    fill = applied.params.get("fill_value")
    if fill is None or np.isnan(fill):
        return law
    filled = law if fill == 0 else law._replace(scaling=(), vanishing=(), signs=())
    return filled._replace(range=everywhere)


def bitcast(applied: Applied) -> Law:
    """The same bits read as another type; of several numbers in a last axis, or to several."""
    shape, out = applied.ins[0], applied.out
    common = identity(shape[: min(len(shape), len(out))])
    move = common + tuple(map(repeated, out[len(shape) :]))
    return Law(moves={0: move})


_SAME = (
    "copy",
    "device_put",
    "from_edtype",
    "layout_constraint",
    "mesh_cast",
    "name",
    "optimization_barrier",
    "pin",
    "reduced_vary_cast",
    "reduced_vary_cast_p",
    "relayout",
    "sharding_constraint",
    "shard_alike",
    "stop_gradient",
    "to_edtype",
    "unpin",
    "vary_unreduced_cast",
    "vary_unreduced_cast_p",
    "with_memory_space_constraint",
    "xla_metadata_value",
)

MOVES: Mapping[str, Row] = {
    **dict.fromkeys(_SAME, same),
    "tie": second,
    "reshape": reshape,
    "transpose": transpose,
    "squeeze": squeeze,
    "broadcast_in_dim": broadcast_in_dim,
    "tile": tile,
    "rev": rev,
    "slice": slice_,
    "dynamic_slice": dynamic_slice,
    "dynamic_update_slice": dynamic_update_slice,
    "split": split,
    "pad": pad,
    "concatenate": concatenate,
    "stack": stack,
    "unstack": unstack,
    "gather": gather,
    "bitcast_convert_type": bitcast,
}
