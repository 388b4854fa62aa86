"""Every row of the table holds: each statement is run on random operands."""

import math
from itertools import product

import numpy as np
import pytest
from applications.every import EVERY, experiments
from theorems import violations

from idinit_jax.tracing.table import TABLE


@pytest.mark.parametrize("operation", sorted(EVERY))
def test_a_row_holds(operation: str) -> None:
    for experiment in experiments(operation):
        for index in range(len(experiment.base)):
            applied = experiment.applied(index)
            law = TABLE[operation](applied)
            assert not list(violations(law, experiment, index)), applied


@pytest.mark.parametrize("operation", sorted(EVERY))
def test_ranges_are_told_of_all_intervals(operation: str) -> None:
    """Of unbounded ones too, and of single numbers, without an error or a warning."""
    ends = (-math.inf, -1.5, 0.0, 2.0, math.inf)
    some = [(low, high) for low, high in product(ends, ends) if low <= high]
    for experiment in experiments(operation):
        applied = experiment.applied()
        law = TABLE[operation](applied)
        for first, others in product(some, some if len(applied.ins) > 1 else some[:1]):
            with np.errstate(all="raise"):
                found = law.range([first, *[others] * (len(applied.ins) - 1)])
            assert not any(map(math.isnan, found))
