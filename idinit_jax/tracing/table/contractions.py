"""Products of two arrays summed over axes."""

import math
from collections.abc import Mapping, Sequence

from idinit_jax.tracing.table import intervals
from idinit_jax.tracing.table.law import (
    Applied,
    Dim,
    Law,
    Move,
    Operands,
    Row,
    Shape,
    along,
    brought,
    digit,
    whole,
)


def bilinear(left: Move, right: Move, bounds: intervals.Bounds, choosers: Operands = ()) -> Law:
    """Linear in either of the first two operands."""
    return Law(
        scaling=(((0,), 1), ((1,), 1)),
        choosers=choosers,
        vanishing=((0,), (1,)),
        signs=(((0,), -1), ((1,), -1)),
        moves={0: left, 1: right},
        range=bounds,
    )


def _sum_of_products(count: int, padded: bool = False) -> intervals.Bounds:
    """A sum of `count` products; of any less where the signal is padded with 0."""

    def bounds(operands: Sequence[intervals.Interval]) -> intervals.Interval:
        interval = intervals.scaled(intervals.multiplied(operands[:2]), count)
        return intervals.hull([interval, (0.0, 0.0)]) if padded else interval

    return bounds


def _wholes(shape: Shape, axes: tuple[int, ...]) -> tuple[Dim, ...]:
    return tuple(whole(axis, shape[axis]) for axis in axes)


def _brought(shape: Shape, axes: tuple[int, ...]) -> tuple[Dim, ...]:
    return tuple(brought(shape[axis]) for axis in axes)


def _free(shape: Shape, *taken: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(axis for axis in range(len(shape)) if not any(axis in axes for axes in taken))


def dot_general(applied: Applied) -> Law:
    (contracted, contracted_right), (batch, batch_right) = applied.params["dimension_numbers"]
    left, right = applied.ins[:2]
    own, own_right = _free(left, contracted, batch), _free(right, contracted_right, batch_right)
    return bilinear(
        (*_wholes(left, batch), *_wholes(left, own), *_brought(right, own_right)),
        (*_wholes(right, batch_right), *_brought(left, own), *_wholes(right, own_right)),
        _sum_of_products(math.prod(left[axis] for axis in contracted)),
    )


def ragged_dot_general(applied: Applied) -> Law:
    """Every group of rows meets a matrix of its own; a ragged sum has one output a group."""
    numbers = applied.params["ragged_dot_dimension_numbers"]
    (contracted, contracted_right), (batch, batch_right) = numbers.dot_dimension_numbers
    left, right = applied.ins[:2]
    own = _free(left, contracted, batch)
    own_right = _free(right, contracted_right, batch_right, numbers.rhs_group_dimensions)
    ragged = numbers.lhs_ragged_dimensions[0] in contracted
    groups = (brought(applied.out[0]),) if ragged else ()
    return bilinear(
        (*groups, *_wholes(left, batch), *_wholes(left, own), *_brought(right, own_right)),
        (*groups, *_wholes(right, batch_right), *_brought(left, own), *_wholes(right, own_right)),
        _sum_of_products(math.prod(left[axis] for axis in contracted), padded=True),
        tuple(range(2, len(applied.ins))),
    )


def convolution(applied: Applied) -> Law:
    """Groups are the outer digit of the channels, or of the batch, and of what is produced."""
    numbers, out = applied.params["dimension_numbers"], applied.out
    signal, kernel = applied.ins[:2]
    groups = applied.params["feature_group_count"]
    batch_groups = applied.params["batch_group_count"]
    batch, channel, *space = numbers.lhs_spec
    produced, _, *taps = numbers.rhs_spec
    out_batch, out_channel, *out_space = numbers.out_spec
    left, right = list(map(brought, out)), list(map(brought, out))
    left[out_batch] = digit(batch, 1, signal[batch] // batch_groups)
    left[out_channel] = (
        *digit(channel, signal[channel] // groups, groups),
        *digit(batch, signal[batch] // batch_groups, batch_groups),
        *brought(out[out_channel] // (groups * batch_groups)),
    )
    for number, (axis, dim) in enumerate(zip(space, out_space, strict=True)):
        pointwise = kernel[taps[number]] == 1 and _one_to_one(applied, number)
        left[dim] = whole(axis, out[dim]) if pointwise else along(axis, out[dim])
    right[out_channel] = whole(produced, kernel[produced])
    count = math.prod(kernel) // kernel[produced]
    return bilinear(tuple(left), tuple(right), _sum_of_products(count, padded=True))


def _one_to_one(applied: Applied, number: int) -> bool:
    """Whether the windows lie at the positions of the signal."""
    return (
        applied.params["window_strides"][number] == 1
        and tuple(applied.params["padding"][number]) == (0, 0)
        and applied.params["lhs_dilation"][number] == 1
    )


CONTRACTIONS: Mapping[str, Row] = {
    "dot_general": dot_general,
    "ragged_dot_general": ragged_dot_general,
    "conv_general_dilated": convolution,
}
