"""Sums, maxima and orders along axes: all of them, windows, what came before."""

import math
from collections.abc import Callable, Mapping, Sequence

from idinit_jax.tracing.table import intervals
from idinit_jax.tracing.table.intervals import Bounds, Interval
from idinit_jax.tracing.table.law import (
    Applied,
    Law,
    Move,
    Operands,
    Row,
    along,
    linear,
    repeated,
    whole,
)
from idinit_jax.tracing.table.moves import dropped, others


def _first(operands: Sequence[Interval]) -> Interval:
    return operands[0]


def _sum_of(least: int, most: int) -> Bounds:
    """A sum of at least and at most so many entries."""

    def bounds(operands: Sequence[Interval]) -> Interval:
        return intervals.hull([intervals.scaled(operands[0], count) for count in (least, most)])

    return bounds


# -- whole axes


def _reduced(applied: Applied) -> Move:
    return dropped(applied.ins[0], applied.params["axes"])


def _count(applied: Applied) -> int:
    return math.prod(applied.ins[0][axis] for axis in applied.params["axes"])


def reduce_sum(applied: Applied) -> Law:
    count = _count(applied)
    return linear((0,), {0: _reduced(applied)}, (), _sum_of(count, count))


def reduce_extreme(applied: Applied) -> Law:
    """A maximum or minimum."""
    return linear((0,), {0: _reduced(applied)})._replace(signs=())


def reduce_prod(applied: Applied) -> Law:
    count = _count(applied)
    return Law(
        scaling=(((0,), count),),
        vanishing=((0,),),
        signs=(((0,), (-1) ** count),),
        moves={0: _reduced(applied)},
        range=_product_of(count),
    )


def _product_of(count: int) -> Bounds:
    """A product of `count` entries."""

    def bounds(operands: Sequence[Interval]) -> Interval:
        interval = operands[0]
        for _ in range(min(count, 64) - 1):
            interval = intervals.multiplied([interval, operands[0]])
        return interval if count <= 64 else intervals.hull([interval, _unbounded(operands[0])])

    return bounds


def _unbounded(interval: Interval) -> Interval:
    """What products of any number of entries lie in."""
    low, high = interval
    if 0 <= low <= high <= 1:
        return 0.0, 1.0
    return (0.0, math.inf) if low >= 0 else intervals.EVERYWHERE


def _bitwise(bounds: Bounds) -> Row:
    return lambda applied: Law(choosers=(0,), moves={0: _reduced(applied)}, range=bounds)


def argument(applied: Applied) -> Law:
    """Where the maximum or minimum is."""
    last = max(applied.ins[0][axis] for axis in applied.params["axes"]) - 1
    bounds = intervals.always(0.0, float(last))
    return Law(choosers=(0,), moves={0: _reduced(applied)}, range=bounds)


def reduce_any(applied: Applied) -> Law:
    """A reduction by any function, of several arrays with a first value each."""
    count = len(applied.ins) // 2
    return Law(
        moves={
            **{i: dropped(applied.ins[i], applied.params["dimensions"]) for i in range(count)},
            **{i: tuple(map(repeated, applied.out)) for i in range(count, 2 * count)},
        }
    )


# -- what came before


def _cumulative(applied: Applied) -> Move:
    return tuple(whole(i, n, i != applied.params["axis"]) for i, n in enumerate(applied.out))


def _length(applied: Applied) -> int:
    return applied.out[applied.params["axis"]]


def cumulative_sum(applied: Applied) -> Law:
    return linear((0,), {0: _cumulative(applied)}, (), _sum_of(1, _length(applied)))


def cumulative_extreme(applied: Applied) -> Law:
    return linear((0,), {0: _cumulative(applied)})._replace(signs=())


def cumulative_product(applied: Applied) -> Law:
    return Law(
        vanishing=((0,),),
        moves={0: _cumulative(applied)},
        range=lambda operands: intervals.hull([operands[0], _unbounded(operands[0])]),
    )


def cumulative_log_sum_exp(applied: Applied) -> Law:
    most = math.log(max(_length(applied), 1))
    return Law(
        moves={0: _cumulative(applied)},
        range=lambda operands: (operands[0][0], operands[0][1] + most),
    )


# -- windows


def _windowed(applied: Applied, operand: int = 0) -> Move:
    """Axes along which a window is one entry keep their positions."""
    shape, params = applied.ins[operand], applied.params
    rank = len(shape)
    still = zip(
        params["window_dimensions"],
        params["window_strides"],
        params["padding"],
        params.get("base_dilation", (1,) * rank),
        strict=True,
    )
    return tuple(
        whole(axis, shape[axis])
        if (window, stride, tuple(padding), dilation) == (1, 1, (0, 0), 1)
        else along(axis, applied.out[axis])
        for axis, (window, stride, padding, dilation) in enumerate(still)
    )


def window_sum(applied: Applied) -> Law:
    most = math.prod(applied.params["window_dimensions"])
    return linear((0,), {0: _windowed(applied)}, (), _sum_of(0, most))


def window_extreme(applied: Applied) -> Law:
    """A maximum or minimum; that of no entries is infinite."""
    law = linear((0,), {0: _windowed(applied)})._replace(signs=())
    if _all_windows_hold_entries(applied):
        return law
    return law._replace(vanishing=(), range=intervals.everywhere)


def _all_windows_hold_entries(applied: Applied) -> bool:
    params = applied.params
    return {*params["base_dilation"], *params["window_dilation"]} == {1} and all(
        max(padding) < window
        for window, padding in zip(params["window_dimensions"], params["padding"], strict=True)
    )


def window_any(applied: Applied) -> Law:
    """Windows reduced by any function, of several arrays with a first value each."""
    count = len(applied.ins) // 2
    return Law(
        moves={
            **{i: _windowed(applied, i) for i in range(count)},
            **{i: tuple(map(repeated, applied.out)) for i in range(count, 2 * count)},
        }
    )


def chosen_in_windows(applied: Applied) -> Law:
    """Entries of the first operand, added up, where the second is largest or smallest."""
    moves = {0: _from_windows(applied, 0), 1: _from_windows(applied, 1)}
    return linear((0,), moves, (1,), _any_sum)


def scattered_from_windows(applied: Applied) -> Law:
    """The function that selects and the one that combines may be any."""
    return Law(moves={0: _from_windows(applied, 0), 1: _from_windows(applied, 1)})


def _from_windows(applied: Applied, operand: int) -> Move:
    """Like `_windowed`, from the output of the windows back too."""
    move = _windowed(applied, operand)
    return tuple(
        dim if dim == whole(axis, size) else along(axis, size)
        for axis, (dim, size) in enumerate(zip(move, applied.out, strict=True))
    )


def _any_sum(group: Sequence[Interval]) -> Interval:
    low, high = group[0]
    return (0.0 if low >= 0 else -math.inf), (0.0 if high <= 0 else math.inf)


# -- orders


def _ordered(applied: Applied, axis: int) -> Move:
    shape = applied.ins[0]
    return tuple(
        along(i, size) if i == axis % len(shape) else whole(i, n)
        for i, (n, size) in enumerate(zip(shape, applied.out, strict=True))
    )


def sort(applied: Applied) -> Law:
    """Every output is the operand of its index, in the order of the keys, the first operands.

    A key is sorted by those before it and by itself.
    """
    index, n_keys = applied.index, applied.params["num_keys"]
    group: Operands = (index,)
    read = {*range(min(index, n_keys)), index}
    move = _ordered(applied, applied.params["dimension"])
    law = linear(group, dict.fromkeys(sorted(read), move), others(applied, group))
    return law._replace(signs=()) if index < n_keys else law


def _best(axis: Callable[[Applied], int]) -> Row:
    """The largest entries along an axis, and where they are."""

    def row(applied: Applied) -> Law:
        moves = {0: _ordered(applied, axis(applied))}
        if applied.index == 0:
            return linear((0,), moves)._replace(signs=())
        last = float(applied.ins[0][axis(applied)] - 1)
        return Law(choosers=(0,), moves=moves, range=intervals.always(0.0, last))

    return row


REDUCTIONS: Mapping[str, Row] = {
    "reduce_sum": reduce_sum,
    "reduce_max": reduce_extreme,
    "reduce_min": reduce_extreme,
    "reduce_prod": reduce_prod,
    "reduce_and": _bitwise(_first),
    "reduce_or": _bitwise(intervals.bits_of_any),
    "reduce_xor": _bitwise(intervals.bits_of_any),
    "reduce": reduce_any,
    "argmax": argument,
    "argmin": argument,
    "cumsum": cumulative_sum,
    "cummax": cumulative_extreme,
    "cummin": cumulative_extreme,
    "cumprod": cumulative_product,
    "cumlogsumexp": cumulative_log_sum_exp,
    "reduce_window_sum": window_sum,
    "reduce_window_max": window_extreme,
    "reduce_window_min": window_extreme,
    "reduce_window": window_any,
    "select_and_gather_add": chosen_in_windows,
    "select_and_scatter_add": chosen_in_windows,
    "select_and_scatter": scattered_from_windows,
    "sort": sort,
    "top_k": _best(lambda applied: applied.params.get("axis", len(applied.ins[0]) - 1)),
    "approx_top_k": _best(lambda applied: applied.params["reduction_dimension"]),
}
