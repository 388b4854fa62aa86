"""The part of a value that another one needs, as a range of positions along every dimension."""

from collections.abc import Sequence

from idinit_jax.tracing.facts import Relation
from idinit_jax.tracing.table.law import Dim, Move, Shape

Window = tuple[tuple[int, int], ...]  # first position and number of positions


def everything(shape: Shape) -> Window:
    return tuple((0, size) for size in shape)


def hull(one: Window, other: Window) -> Window:
    """The least range that holds two."""
    return tuple(map(_spanned, one, other))


def _spanned(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    first = min(one[0], other[0])
    return first, max(sum(one), sum(other)) - first


def needed(window: Window, out: Shape, move: Move | None, shape: Shape) -> Window:
    """The part of an operand that a part of the output needs; all of it where that is not told."""
    found = list(everything(shape))
    for (first, count), size, dim in zip(window, out, move or (), strict=False):
        start = _offset(dim, size)
        if start is not None:
            axis = dim[0].axis
            low, high = max(first + start, 0), min(first + start + count, shape[axis])
            found[axis] = (low, max(high - low, 0))
    return tuple(found)


def holds(window: Window, shape: Shape, relation: Relation, stored: Sequence[int]) -> bool:
    """Whether some of a parameter lies in a part of the weight that is made of it."""
    if relation.lost:
        return True
    for (first, count), size, dim in zip(window, shape, relation.dims, strict=True):
        start = _offset(dim, size)
        if start is not None:
            low, high = first + start, first + start + count
            if high <= 0 or low >= stored[dim[0].axis]:
                return False
    return True


def _offset(dim: Dim, size: int) -> int | None:
    """Where a dimension begins on the axis that it runs along; None if it is no range of one."""
    if len(dim) != 1 or dim[0].axis < 0 or not dim[0].exact:
        return None
    return dim[0].start if (dim[0].stride, dim[0].size) == (1, size) else None
