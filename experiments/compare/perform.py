"""Compute a job: measure a signal, or train to the end."""

import itertools
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.compare.jobs import Job
from experiments.compare.movement import movements
from experiments.compare.results import Cost, Curve, Divergence, Movement, Result, Signal, Training
from experiments.compare.version import git_commit
from experiments.config import Execution, TrainConfig
from experiments.experiment import set_up
from experiments.machine import describe_machine
from experiments.nonfinite import NonFiniteError
from experiments.records import METRICS, SPEED, read_records
from experiments.step import TrainState
from experiments.train import RunResult, train

POINTS, RECORDS_A_POINT = 200, 5


def perform(job: Job, run_dir: Path, execution: Execution) -> Result | None:
    """Do a job, or go on with it.

    Args:
        job: what to compute.
        run_dir: where the run trains.
        execution: where and how.

    Returns:
        What came out; None if a signal asked the process to stop before the end.
    """
    if job.kind == "signal":
        return measure_signal(job.config, execution)
    start = time.perf_counter()
    try:
        run = train(job.config, run_dir, execution)
    except NonFiniteError as error:
        return diverged(error, run_dir, cost(start, run_dir, job.config, execution))
    if not run.finished or run.evaluation is None:
        return None
    moved = compare_with_start(run, job.config, execution) if job.kind == "final" else ()
    records = read_records(run_dir / METRICS)
    batches = [record for record in records if record["split"] == "train"]
    epochs_a_step = job.config.optimization.epochs / run.step
    return Training(
        accuracy=run.evaluation.accuracy,
        loss=run.evaluation.loss,
        initial_loss=batches[0]["loss"],
        images_an_epoch=job.config.data.batch_size / epochs_a_step,
        curve=averaged(batches, epochs_a_step),
        held_out=evaluations(records, epochs_a_step),
        movement=moved,
        divergence=None,
        cost=cost(start, run_dir, job.config, execution),
    )


def diverged(error: NonFiniteError, run_dir: Path, spent: Cost) -> Training:
    """The result of a run that met a loss or gradient that is not finite."""
    first = [r for r in read_records(run_dir / METRICS) if r["split"] == "train"][:1]
    return Training(
        accuracy=None,
        loss=None,
        initial_loss=first[0]["loss"] if first else None,
        images_an_epoch=None,
        # How much was recorded before the end depends on the pace of the machine.
        curve=Curve(),
        held_out=Curve(),
        movement=(),
        divergence=Divergence(error.step, error.layer, str(error)),
        cost=spent,
    )


def measure_signal(config: TrainConfig, execution: Execution) -> Signal:
    """The first batch of a run, forward and backward."""
    start = time.perf_counter()
    experiment = set_up(config, execution)
    report = experiment.watch(experiment.initial, experiment.feed.batch(0))
    sizes = np.asarray([row.size for row in report.parameters])
    dead = np.asarray([row.dead for row in report.parameters])
    rows = report.trunk
    return Signal(
        loss=report.loss,
        gradient_norm=report.gradient_norm,
        dead=float(np.average(dead, weights=sizes)),
        places=tuple(row.name for row in rows),
        variance=tuple(row.variance for row in rows),
        gradient=tuple(row.backward.norm if row.backward else None for row in rows),
        cost=cost(start, None, config, execution),
    )


def compare_with_start(
    run: RunResult, config: TrainConfig, execution: Execution
) -> tuple[Movement, ...]:
    """What a run did to its parameters, whose first values are drawn anew."""
    experiment = set_up(config, execution)
    batch = experiment.feed.batch(0)
    inputs = jax.ShapeDtypeStruct(batch.images.shape, jnp.float32)
    first, last = variables(experiment.initial), variables(run.state)
    return movements(experiment.recipe.network, inputs, first, last)


def variables(state: TrainState) -> dict[str, Any]:
    """What Flax calls an initialized network."""
    return {"params": state.params, "batch_stats": state.statistics}


def averaged(records: list[dict[str, Any]], epochs_a_step: float) -> Curve:
    """Batches averaged in groups of equal size.

    Args:
        records: of training batches, in order.
        epochs_a_step: what a step is in epochs.

    Returns:
        At most 200 points of at least 5 records each, where there are so many.

    >>> records = [{"step": i, "loss": 2.0 / i, "accuracy": 0.5} for i in range(1, 11)]
    >>> averaged(records, 0.1).epoch
    (0.5, 1.0)
    """
    count = min(POINTS, max(1, len(records) // RECORDS_A_POINT))
    ends = [len(records) * i // count for i in range(count + 1)]
    groups = [records[start:end] for start, end in itertools.pairwise(ends)]
    return Curve(
        epoch=tuple(group[-1]["step"] * epochs_a_step for group in groups),
        loss=tuple(float(np.mean([record["loss"] for record in group])) for group in groups),
        accuracy=tuple(
            float(np.mean([record["accuracy"] for record in group])) for group in groups
        ),
    )


def evaluations(records: list[dict[str, Any]], epochs_a_step: float) -> Curve:
    """Every evaluation of a run."""
    found = [record for record in records if record["split"] != "train"]
    return Curve(
        epoch=tuple(record["step"] * epochs_a_step for record in found),
        loss=tuple(record["loss"] for record in found),
        accuracy=tuple(record["accuracy"] for record in found),
    )


def cost(start: float, run_dir: Path | None, config: TrainConfig, execution: Execution) -> Cost:
    """What was spent since ``start``."""
    speeds = [] if run_dir is None else read_records(run_dir / SPEED)
    return Cost(
        seconds=time.perf_counter() - start,
        images_per_second=speeds[-1]["images_per_second"] if speeds else None,
        machine=str(describe_machine(execution, config.optimization.precision)),
        commit=git_commit(),
    )
