"""Train a network: ``python -m experiments.train NAME --overrides``.

`train` is the loop itself, for other programs to call.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from experiments import distributed
from experiments.checkpoints import Checkpoints
from experiments.command import parse
from experiments.config import Execution, TrainConfig
from experiments.curves import draw_learning_curve
from experiments.evaluate import Evaluation
from experiments.experiment import Experiment, set_up
from experiments.interruption import Interruption
from experiments.machine import describe_machine, peak_memory
from experiments.nonfinite import NonFiniteError, find_offence
from experiments.pace import Pace
from experiments.progress import TrainingProgress
from experiments.records import METRICS, Records, read_records
from experiments.rundir import claim, default_directory
from experiments.step import StepMetrics, TrainState

HERE = Execution()


class RunResult(NamedTuple):
    """How a run ended.

    Args:
        run_dir: where its records, checkpoints and picture are.
        finished: False if it was interrupted; the same call goes on.
        step: updates made.
        state: after the last of them.
        evaluation: the last of the run, or None before the first.
        images_per_second: of this call's training steps, compilation and evaluation left out.
        peak_memory: of this process, in bytes.
    """

    run_dir: Path
    finished: bool
    step: int
    state: TrainState
    evaluation: Evaluation | None
    images_per_second: float
    peak_memory: int


def train(config: TrainConfig, run_dir: Path, execution: Execution = HERE) -> RunResult:
    """Train to the end, or go on where an earlier call with the same config was cut off.

    Args:
        config: the run.
        run_dir: for its files; made if it does not exist.
        execution: where and how; its own ``run_dir`` is not looked at.

    Returns:
        How it ended.

    Raises:
        ValueError: if ``run_dir`` holds a run of another config, or the config cannot be run.
        NonFiniteError: at the first loss or gradient that is not finite.
    """
    claim(run_dir, config)
    experiment = set_up(config, execution)
    milestones = experiment.milestones
    checkpoints = Checkpoints(run_dir / "checkpoints", execution.keep_last)
    state, refused = checkpoints.restore(experiment.initial)
    step = int(state.step)
    pace = Pace(execution.chunk_seconds, config.data.batch_size)
    own_dir = distributed.own_directory(run_dir)
    with (
        checkpoints,
        Records(own_dir, step, tensorboard=execution.tensorboard) as records,
        TrainingProgress(step, milestones.total, shown=execution.progress) as progress,
        Interruption() as interruption,
    ):
        progress.say(str(describe_machine(execution, config.optimization.precision)), *refused)
        while step < milestones.total:
            if milestones.watches(step):
                report = experiment.watch(state, experiment.feed.batch(step))
                records.add_signal(step + 1, report)
            due = milestones.after(step) - step
            count, stop = distributed.agree(pace.start(due), interruption.requested)
            if stop:
                break
            state, metrics = experiment.feed.run(state, step, count)
            pace.stop(count)
            stop_unless_finite(experiment, state, metrics)
            records.add_steps(step, metrics, config.log_steps)
            progress.show(step, metrics, pace.images_per_second, config.gradient_alarm)
            step += count
            if milestones.saves(step):
                accuracy = None
                if milestones.evaluates(step):
                    evaluation = experiment.evaluate(state)
                    records.add(step, experiment.split, evaluation._asdict())
                    records.add_speed(step, pace.mean_images_per_second)
                    progress.say(evaluation_line(step, experiment, evaluation))
                    accuracy = evaluation.accuracy
                checkpoints.save(step, state, accuracy)
        checkpoints.save(step, state)
    history = read_records(own_dir / METRICS)
    if history:
        draw_learning_curve(history, run_dir.name, own_dir / "learning_curve.png")
    return RunResult(
        run_dir=run_dir,
        finished=step == milestones.total,
        step=step,
        state=state,
        evaluation=last_evaluation(history, experiment.split),
        images_per_second=pace.mean_images_per_second,
        peak_memory=peak_memory(),
    )


def stop_unless_finite(experiment: Experiment, state: TrainState, metrics: StepMetrics) -> None:
    """Raise NonFiniteError if a loss or gradient of a chunk was not finite.

    ``state`` is then the one before that step: the step left it as it was.
    """
    finite = np.isfinite(metrics.loss) & np.isfinite(metrics.gradient_norm)
    if finite.all():
        return
    step, first = int(state.step), int(np.argmin(finite))
    offence = find_offence(experiment.watch(state, experiment.feed.batch(step)))
    loss, gradient_norm = float(metrics.loss[first]), float(metrics.gradient_norm[first])
    raise NonFiniteError(step + 1, offence, loss, gradient_norm)


def evaluation_line(step: int, experiment: Experiment, evaluation: Evaluation) -> str:
    """What is said after an evaluation."""
    return (
        f"epoch {step / experiment.steps_per_epoch:g}: {experiment.split} "
        f"loss {evaluation.loss:.4f}, accuracy {evaluation.accuracy:.4f}"
    )


def last_evaluation(history: list[dict], split: str) -> Evaluation | None:
    """The last evaluation that was recorded."""
    evaluations = [record for record in history if record["split"] == split]
    if not evaluations:
        return None
    return Evaluation(evaluations[-1]["loss"], evaluations[-1]["accuracy"])


def summary(result: RunResult) -> str:
    """What is said at the end."""
    end = "finished" if result.finished else "interrupted; the same command goes on"
    return (
        f"step {result.step}: {end}. {result.images_per_second:,.0f} images/s, "
        f"peak memory {result.peak_memory / 2**30:.2f} GiB\n"
        f"records and learning_curve.png in {result.run_dir}"
    )


def main() -> None:
    """The command."""
    name, config, execution = parse(sys.argv[1:])
    if execution.compile_cache:
        jax.config.update("jax_compilation_cache_dir", execution.compile_cache)
    run_dir = Path(execution.run_dir) if execution.run_dir else default_directory(name, config)
    try:
        distributed.join(execution)
        print(summary(train(config, run_dir, execution)))
    except (ValueError, FileNotFoundError, NonFiniteError) as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
