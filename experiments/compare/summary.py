"""What the report says of a cell, computed from results alone."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from experiments.compare.jobs import final_jobs, signal_job
from experiments.compare.results import Curve, Movement, Signal, Training
from experiments.compare.statistics import Difference, Spread, paired_difference, present, spread
from experiments.compare.store import Results
from experiments.compare.study import Budget, Cell, Study
from experiments.compare.tuning import Choice, Score, choose, scores


class Summary(NamedTuple):
    """One cell.

    Args:
        cell: the variant and the candidate.
        choice: of the learning rate; None while tuning is under way.
        scores: of every rate.
        runs: final runs that are done, by seed.
        signal: at the start, if measured.
    """

    cell: Cell
    choice: Choice | None
    scores: list[Score]
    runs: dict[int, Training]
    signal: Signal | None

    @property
    def diverged(self) -> int:
        """Final runs that met a value that is not finite."""
        return sum(run.divergence is not None for run in self.runs.values())

    @property
    def ended(self) -> list[Training]:
        """Final runs that came to their end."""
        return [run for run in self.runs.values() if run.divergence is None]

    @property
    def accuracies(self) -> dict[int, float]:
        """Final accuracy in % of the runs that came to their end, by seed."""
        found = ((seed, run.accuracy) for seed, run in self.runs.items())
        return {seed: 100 * accuracy for seed, accuracy in found if accuracy is not None}


class Reached(NamedTuple):
    """How the runs of a cell raced to a training accuracy.

    Args:
        epochs: mean over the runs that reached it; nan if none did.
        seconds: of training steps alone, likewise.
        reached: runs that did.
        runs: that came to their end.
    """

    epochs: float
    seconds: float
    reached: int
    runs: int


def summarize(budget: Budget, cell: Cell, results: Results) -> Summary:
    """A cell by the results that there are."""
    choice = choose(budget, cell, results)
    rate = choice.learning_rate if choice else None
    jobs = final_jobs(budget, cell, rate) if rate is not None else []
    found = {job.config.seed: results.get(job) for job in jobs}
    signal = results.get(signal_job(budget, cell))
    return Summary(
        cell,
        choice,
        scores(budget, cell, results),
        {seed: run for seed, run in found.items() if isinstance(run, Training)},
        signal if isinstance(signal, Signal) else None,
    )


def baseline_of(study: Study, summary: Summary, summaries: list[Summary]) -> Summary | None:
    """The cell that a cell is compared with: its variant's baseline, unless it is that itself."""
    for other in summaries:
        same_variant = other.cell.variant == summary.cell.variant
        if same_variant and other.cell.candidate.name == study.baseline:
            return None if other is summary else other
    return None


def difference(summary: Summary, baseline: Summary) -> Difference | None:
    """Final accuracy of a cell minus the baseline's, in points, over the seeds that both have."""
    ours, theirs = summary.accuracies, baseline.accuracies
    seeds = sorted(ours.keys() & theirs.keys())
    if not seeds:
        return None
    return paired_difference([ours[s] for s in seeds], [theirs[s] for s in seeds])


def initial_loss(summary: Summary) -> Spread | None:
    """Loss of the first batch, over the final runs."""
    return spread_or_none([run.initial_loss for run in summary.runs.values()])


def loss_after(summary: Summary, epochs: float) -> Spread | None:
    """Training loss around so many epochs, over the final runs that came to their end."""
    return spread_or_none([loss_at(run.curve, epochs) for run in summary.ended])


def loss_at(curve: Curve, epochs: float) -> float | None:
    """The loss at the first point of a curve that lies so many epochs in, or later."""
    # A point that closes an epoch may miss its number by a rounding error.
    reached = (i for i, epoch in enumerate(curve.epoch) if epoch >= epochs - 1e-6)
    index = next(reached, None)
    return None if index is None else curve.loss[index]


def race(summary: Summary, target: float) -> Reached:
    """The first point of each training curve whose accuracy is at least ``target``, in (0, 1)."""
    epochs, seconds = [], []
    for run in summary.ended:
        epoch = epoch_of(run.curve, target)
        if epoch is not None:
            epochs.append(epoch)
            seconds.append(epoch * seconds_an_epoch(run))
    if not epochs:
        return Reached(float("nan"), float("nan"), 0, len(summary.ended))
    return Reached(float(np.mean(epochs)), float(np.mean(seconds)), len(epochs), len(summary.ended))


def epoch_of(curve: Curve, target: float) -> float | None:
    """When a training curve first shows an accuracy."""
    points = zip(curve.epoch, curve.accuracy, strict=True)
    return next((epoch for epoch, value in points if value is not None and value >= target), None)


def seconds_an_epoch(run: Training) -> float:
    """Of training steps alone; nan where the pace was not measured."""
    images, pace = run.images_an_epoch, run.cost.images_per_second
    return float("nan") if images is None or pace is None else images / pace


def spread_or_none(values: Iterable[float | None]) -> Spread | None:
    """Of the values that are there."""
    found = present(values)
    return spread(found) if found else None


def movement_by_role(summary: Summary) -> list[Movement]:
    """What training did to the kernels of each role, means over the final runs."""
    rows = [row for run in summary.ended for row in run.movement]
    return [mean_movement(rows, role) for role in dict.fromkeys(row.role for row in rows)]


def mean_movement(rows: list[Movement], role: str) -> Movement:
    """The mean over runs, which agree in their kernels."""
    same = [row for row in rows if row.role == role]
    return Movement(
        role,
        same[0].kernels,
        float(np.mean([row.changed for row in same])),
        float(np.mean([row.rank for row in same])),
        float(np.mean([row.effective_rank for row in same])),
    )
