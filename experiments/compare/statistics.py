"""Means, spreads and paired differences over seeds."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


class Spread(NamedTuple):
    """Mean and sample standard deviation (nan for a single value) of so many values."""

    mean: float
    sd: float
    count: int


class Difference(NamedTuple):
    """The mean of differences that are paired by seed.

    Args:
        mean: of the differences.
        low: lower end of its 95 % confidence interval, mean - t sd / sqrt(n); nan for one pair.
        high: upper end.
        p_value: of the two-sided paired t test; nan for one pair, or where all differ equally.
        pairs: how many.
    """

    mean: float
    low: float
    high: float
    p_value: float
    pairs: int


def spread(values: Sequence[float]) -> Spread:
    """Mean and sample standard deviation, with n - 1 in the denominator.

    >>> spread([1.0, 3.0])
    Spread(mean=2.0, sd=1.4142135623730951, count=2)
    """
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
    return Spread(float(np.mean(values)), sd, len(values))


def present(values: Iterable[float | None]) -> list[float]:
    """Those that are not None.

    >>> present([1.0, None])
    [1.0]
    """
    return [value for value in values if value is not None]


def mean_or_none(values: Iterable[float | None]) -> float | None:
    """The mean of those that are not None."""
    found = present(values)
    return float(np.mean(found)) if found else None


def paired_difference(values: Sequence[float], reference: Sequence[float]) -> Difference:
    """values - reference, with a confidence interval and a test of Student's.

    Args:
        values: one a seed.
        reference: of the same seeds, in the same order.

    >>> paired_difference([2.0, 4.0], [1.0, 1.0]).mean
    2.0
    """
    differences = np.asarray(values) - np.asarray(reference)
    mean, pairs = float(differences.mean()), len(differences)
    if pairs < 2 or np.ptp(differences) == 0:
        point = float("nan") if pairs < 2 else mean
        return Difference(mean, point, point, float("nan"), pairs)
    test: Any = stats.ttest_1samp(differences, 0.0)  # SciPy's own types hide its attributes
    low, high = test.confidence_interval(CONFIDENCE)
    return Difference(mean, float(low), float(high), float(test.pvalue), pairs)


def needed_effect(pairs: int) -> float:
    """Least mean difference, in standard deviations of a difference, that is significant at 5 %.

    t / sqrt(n), t the 97.5 % quantile of Student's distribution of n - 1 degrees of freedom.

    >>> round(needed_effect(3), 2)
    2.48
    """
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, pairs - 1) / np.sqrt(pairs))
