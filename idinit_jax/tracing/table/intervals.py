"""Intervals that the entries of arrays lie in, and what operations make of them.

Ends are included, infinite ones too. Entries that are not a number lie in every interval.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

Interval = tuple[float, float]
# The interval of an output from those of the operands.
Bounds = Callable[[Sequence[Interval]], Interval]

EVERYWHERE: Interval = (-math.inf, math.inf)


def everywhere(operands: Sequence[Interval]) -> Interval:
    """Nothing is known."""
    del operands
    return EVERYWHERE


def always(low: float, high: float) -> Bounds:
    """The same interval for all operands."""
    return lambda _: (low, high)


def hull(intervals: Sequence[Interval]) -> Interval:
    """The smallest interval around all."""
    return min(low for low, _ in intervals), max(high for _, high in intervals)


def meet(interval: Interval, other: Interval) -> Interval:
    """What lies in both."""
    return max(interval[0], other[0]), min(interval[1], other[1])


# -- arithmetic


def total(low: float, high: float) -> float:
    """A sum of ends; of opposite infinities the first."""
    return low if math.isinf(low) else low + high


def times(left: float, right: float) -> float:
    """A product of ends; infinite ends are only a bound, so 0 wins over them."""
    return 0.0 if 0 in (left, right) else left * right


def negated(interval: Interval) -> Interval:
    return -interval[1], -interval[0]


def scaled(interval: Interval, count: float) -> Interval:
    """A sum of `count` entries."""
    return times(interval[0], count), times(interval[1], count)


def added(operands: Sequence[Interval]) -> Interval:
    (left_low, left_high), (right_low, right_high) = operands
    return total(left_low, right_low), total(left_high, right_high)


def subtracted(operands: Sequence[Interval]) -> Interval:
    return added([operands[0], negated(operands[1])])


def multiplied(operands: Sequence[Interval]) -> Interval:
    ends = [times(left, right) for left in operands[0] for right in operands[1]]
    return min(ends), max(ends)


def reciprocal(interval: Interval) -> Interval:
    low, high = interval
    if low < 0 < high or low == high == 0:
        return EVERYWHERE
    if high <= 0:
        return negated(reciprocal(negated(interval)))
    return 1 / high, 1 / low if low > 0 else math.inf


def divided(operands: Sequence[Interval]) -> Interval:
    """A quotient; what is divided by 0 is unbounded."""
    return multiplied([operands[0], reciprocal(operands[1])])


def remainder(operands: Sequence[Interval]) -> Interval:
    """A remainder has the sign of the dividend and is no larger than either operand."""
    (low, high), divisor = operands
    largest = max(map(abs, divisor))
    return max(min(low, 0.0), -largest), min(max(high, 0.0), largest)


def power(exponent: int) -> Bounds:
    """Integer powers."""

    def bounds(operands: Sequence[Interval]) -> Interval:
        if exponent < 0:
            return reciprocal(power(-exponent)(operands))
        with np.errstate(over="ignore"):
            ends = [float(np.float64(end) ** exponent) for end in operands[0]]
        crosses = exponent % 2 == 0 and operands[0][0] < 0 < operands[0][1]
        return (0.0 if crosses else min(ends)), max(ends)

    return bounds


def absolute(operands: Sequence[Interval]) -> Interval:
    low, high = operands[0]
    nearest = 0.0 if low < 0 < high else min(abs(low), abs(high))
    return nearest, max(abs(low), abs(high))


def of_power(operands: Sequence[Interval]) -> Interval:
    """Powers with any exponents."""
    return (0.0, math.inf) if operands[0][0] >= 0 else EVERYWHERE


# -- functions of one entry


def increasing(
    function: Callable[[float], float], low: float = -math.inf, high: float = math.inf
) -> Bounds:
    """Increasing functions, defined between `low` and `high`."""

    def bounds(operands: Sequence[Interval]) -> Interval:
        with np.errstate(all="ignore"):
            first, last = (float(function(min(max(end, low), high))) for end in operands[0])
        return first, last

    return bounds


def decreasing(
    function: Callable[[float], float], low: float = -math.inf, high: float = math.inf
) -> Bounds:
    """Decreasing functions, defined between `low` and `high`."""

    def bounds(operands: Sequence[Interval]) -> Interval:
        last, first = increasing(function, low, high)(operands)
        return first, last

    return bounds


def sign_kept(operands: Sequence[Interval]) -> Interval:
    """Functions whose value has the sign of the entry."""
    low, high = operands[0]
    return (-math.inf if low < 0 else 0.0), (math.inf if high > 0 else 0.0)


def logistic(entry: float) -> float:
    return 1 / (1 + np.exp(-np.float64(entry)))


# -- choices


def largest(operands: Sequence[Interval]) -> Interval:
    return max(low for low, _ in operands), max(high for _, high in operands)


def smallest(operands: Sequence[Interval]) -> Interval:
    return min(low for low, _ in operands), min(high for _, high in operands)


def clamped(operands: Sequence[Interval]) -> Interval:
    """The operands are the least value, the entry and the greatest value."""
    least, entry, greatest = operands
    return smallest([largest([least, entry]), greatest])


def selected(operands: Sequence[Interval]) -> Interval:
    """Of the cases those that the predicate, the first operand, may choose."""
    (low, high), *cases = operands
    possible = [case for number, case in enumerate(cases) if low <= number <= high]
    return hull(possible or cases)


def less(operands: Sequence[Interval]) -> Interval:
    """1 if all entries on the left are less, 0 if none is."""
    (left_low, left_high), (right_low, right_high) = operands
    return float(left_high < right_low), float(left_low < right_high)


def greater(operands: Sequence[Interval]) -> Interval:
    return less(operands[::-1])


def not_(bounds: Bounds) -> Bounds:
    """The negation of a predicate."""

    def negation(operands: Sequence[Interval]) -> Interval:
        low, high = bounds(operands)
        return 1 - high, 1 - low

    return negation


def equal(operands: Sequence[Interval]) -> Interval:
    low, high = meet(*operands)
    known = operands[0] == operands[1] and low == high
    return float(known), float(low <= high)


# -- bits


def _ones(bound: float) -> float:
    """The largest number with as many bits."""
    return 2.0 ** int(bound).bit_length() - 1 if math.isfinite(bound) else math.inf


def bits_of_both(operands: Sequence[Interval]) -> Interval:
    highs = [high for low, high in operands if low >= 0]
    return (0.0, min(highs)) if highs else EVERYWHERE


def bits_of_any(operands: Sequence[Interval]) -> Interval:
    low, high = hull(operands)
    return (0.0, _ones(high)) if low >= 0 else EVERYWHERE


def shifted_right(operands: Sequence[Interval]) -> Interval:
    low, high = operands[0]
    return (0.0, high) if low >= 0 else EVERYWHERE
