"""The learning rate of a cell, chosen on held-out training images."""

from typing import NamedTuple

from experiments.compare.jobs import tuning_jobs
from experiments.compare.results import Training
from experiments.compare.statistics import mean_or_none
from experiments.compare.store import Results
from experiments.compare.study import Budget, Cell


class Score(NamedTuple):
    """How a learning rate did.

    Args:
        learning_rate: that was tried.
        accuracy: on held-out images at the end, mean over the tuning seeds that ended.
        loss: likewise.
        runs: that are done.
        diverged: of them.
    """

    learning_rate: float
    accuracy: float | None
    loss: float | None
    runs: int
    diverged: int


class Choice(NamedTuple):
    """What tuning came to.

    Args:
        learning_rate: the best; None if every rate diverged.
        edge: "lowest" or "highest" if it is that of the grid, so that a better one may lie beyond;
            "" if it lies inside, or nothing was tuned.
    """

    learning_rate: float | None
    edge: str


def score(budget: Budget, cell: Cell, learning_rate: float, results: Results) -> Score:
    """One rate by the tuning runs that are done."""
    jobs = tuning_jobs(budget, cell, learning_rate)
    runs = [run for job in jobs if isinstance(run := results.get(job), Training)]
    return Score(
        learning_rate,
        mean_or_none(run.accuracy for run in runs),
        mean_or_none(run.loss for run in runs),
        len(runs),
        sum(run.divergence is not None for run in runs),
    )


def scores(budget: Budget, cell: Cell, results: Results) -> list[Score]:
    """Every rate of the grid."""
    return [score(budget, cell, rate, results) for rate in budget.learning_rates]


def choose(budget: Budget, cell: Cell, results: Results) -> Choice | None:
    """The rate of the highest held-out accuracy; of equal ones, that of the lowest held-out loss.

    A rate at which any seed diverged is not eligible. None while tuning runs are missing.
    """
    if len(budget.learning_rates) == 1:
        return Choice(budget.learning_rates[0], "")
    found = scores(budget, cell, results)
    if any(one.runs < budget.tuning_seeds for one in found):
        return None
    eligible = [one for one in found if not one.diverged]
    if not eligible:
        return Choice(None, "")
    best = max(eligible, key=lambda one: (one.accuracy, -(one.loss or 0.0)))
    grid = budget.learning_rates
    edges = {grid[0]: "lowest", grid[-1]: "highest"}
    return Choice(best.learning_rate, edges.get(best.learning_rate, ""))
