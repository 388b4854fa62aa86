"""Paired tests against closed forms of Student's distribution for 1 and 2 degrees of freedom."""

import math

import numpy as np
import pytest

from experiments.compare.statistics import needed_effect, paired_difference, spread

HE = [50.0, 52.0, 49.0]
OURS = [53.0, 53.5, 51.5]


def test_three_pairs() -> None:
    # F(t) = 1/2 + t / (2 sqrt(2 + t^2)), so that t^2 = 2 q^2 / (1 - q^2) where F(t) - F(-t) = q.
    mean, sd = 7.0 / 3.0, math.sqrt(((2 / 3) ** 2 + (5 / 6) ** 2 + (1 / 6) ** 2) / 2)
    t = mean / (sd / math.sqrt(3))
    quantile = math.sqrt(2 * 0.95**2 / (1 - 0.95**2))
    found = paired_difference(OURS, HE)
    assert found.pairs == 3
    assert found.mean == pytest.approx(mean)
    assert found.p_value == pytest.approx(1 - t / math.sqrt(2 + t * t))
    assert found.low == pytest.approx(mean - quantile * sd / math.sqrt(3))
    assert found.high == pytest.approx(mean + quantile * sd / math.sqrt(3))
    assert needed_effect(3) == pytest.approx(quantile / math.sqrt(3))


def test_two_pairs() -> None:
    # Cauchy: F(t) = 1/2 + atan(t) / pi.
    differences = np.array([1.0, 4.0])
    t = 2.5 / (np.std(differences, ddof=1) / math.sqrt(2))
    found = paired_difference([1.0, 4.0], [0.0, 0.0])
    assert found.p_value == pytest.approx(1 - 2 * math.atan(t) / math.pi)
    half_width = math.tan(0.475 * math.pi) * np.std(differences, ddof=1) / math.sqrt(2)
    assert found.high - found.mean == pytest.approx(half_width)


def test_pairing_takes_out_what_seeds_have_in_common() -> None:
    seeds = np.array([0.0, 30.0, 60.0])
    found = paired_difference(list(seeds + OURS), list(seeds + HE))
    assert found.p_value == pytest.approx(paired_difference(OURS, HE).p_value)


def test_what_cannot_be_tested_is_not() -> None:
    single = paired_difference([2.0], [1.0])
    assert single.mean == 1.0
    assert math.isnan(single.low)
    assert math.isnan(single.p_value)
    equal = paired_difference([2.0, 3.0], [1.0, 2.0])
    assert (equal.low, equal.high) == (1.0, 1.0)
    assert math.isnan(equal.p_value)
    assert math.isnan(spread([3.0]).sd)
