"""Numbers as the cells of a report's tables."""

import math

from experiments.compare.statistics import Difference, Spread
from experiments.compare.summary import Reached

NONE = "-"


def digits(value: float | None) -> str:
    """Three digits; a dash for what is not there.

    >>> digits(0.12345), digits(None), digits(1234.5)
    ('0.123', '-', '1.23e+03')
    """
    return NONE if value is None or math.isnan(value) else f"{value:.3g}"


def with_spread(value: Spread | None, form: str) -> str:
    """Mean and standard deviation.

    >>> with_spread(Spread(57.123, 0.456, 3), ".1f")
    '57.1 ± 0.5'
    """
    if value is None:
        return NONE
    mean = format(value.mean, form)
    return mean if math.isnan(value.sd) else f"{mean} ± {format(value.sd, form)}"


def with_interval(value: Difference | None) -> str:
    """A difference in points and its confidence interval.

    >>> with_interval(Difference(1.23, -0.5, 3.0, 0.1, 3))
    '+1.2 [-0.5, +3.0]'
    """
    if value is None:
        return NONE
    if math.isnan(value.low):
        return f"{value.mean:+.1f}"
    return f"{value.mean:+.1f} [{value.low:+.1f}, {value.high:+.1f}]"


def probability(value: Difference | None) -> str:
    """A p-value.

    >>> probability(Difference(1.0, 0.5, 1.5, 0.0004, 3))
    '0.0004'
    """
    return NONE if value is None else digits(value.p_value)


def racing(ours: Reached, theirs: Reached, baseline: str) -> str:
    """Epochs to a target, relative to the baseline's where all runs of both reached it.

    >>> racing(Reached(2.0, 9.0, 3, 3), Reached(4.0, 9.0, 3, 3), "He")
    '2.00 (0.50 of He)'
    >>> racing(Reached(2.0, 9.0, 1, 3), Reached(4.0, 9.0, 3, 3), "He")
    '2.00 (1 of 3 runs)'
    """
    if not ours.runs:
        return NONE
    if not ours.reached:
        return "not reached"
    if ours.reached < ours.runs:
        return f"{ours.epochs:.2f} ({ours.reached} of {ours.runs} runs)"
    if ours is theirs or not theirs.runs or theirs.reached < theirs.runs:
        return f"{ours.epochs:.2f}"
    return f"{ours.epochs:.2f} ({ours.epochs / theirs.epochs:.2f} of {baseline})"


def percent(share: float) -> str:
    """A share in %.

    >>> percent(0.1234), percent(1.0)
    ('12.3', '100')
    """
    return digits(100 * share)


def listed(names: list[str]) -> str:
    """Names in a sentence.

    >>> listed(["He", "IDInit", "ZerO"])
    'He, IDInit and ZerO'
    """
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
