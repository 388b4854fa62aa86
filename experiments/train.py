"""Train a network: ``python -m experiments.train NAME --overrides``.

`train` is the loop itself, for other programs to call.
"""

import json
import resource
import sys
import time
from pathlib import Path
from typing import NamedTuple

from experiments.command import parse
from experiments.config import Execution, TrainConfig, fingerprint, to_json
from experiments.evaluate import Evaluation
from experiments.experiment import Experiment, set_up
from experiments.records import Records
from experiments.step import StepMetrics, TrainState


class RunResult(NamedTuple):
    """How a run ended.

    Args:
        run_dir: where its records are.
        finished: False if it was interrupted.
        step: updates made.
        state: after the last of them.
        evaluation: the last one, or None if there was none.
        images_per_second: of the training steps since this start, without evaluation.
        peak_memory: of this process, in bytes.
    """

    run_dir: Path
    finished: bool
    step: int
    state: TrainState
    evaluation: Evaluation | None
    images_per_second: float
    peak_memory: int


def train(config: TrainConfig, run_dir: Path, execution: Execution = Execution()) -> RunResult:
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / "config.json").write_text(json.dumps(to_json(config), indent=1))
    experiment = set_up(config, execution)
    state, step = experiment.initial, 0
    evaluation = None
    seconds = 0.0
    pace = 1
    with Records(run_dir, step, tensorboard=execution.tensorboard) as records:
        while step < experiment.total_steps:
            started = time.perf_counter()
            count = min(pace, next_evaluation(step, experiment, config.eval_epochs) - step)
            state, metrics = experiment.feed.run(state, step, count)
            record_steps(records, step, metrics, config.log_steps)
            step += count
            elapsed = time.perf_counter() - started
            seconds += elapsed
            pace = max(1, min(512, int(count * execution.chunk_seconds / elapsed)))
            rate = count * config.data.batch_size / elapsed
            print(
                f"\r{step}/{experiment.total_steps} loss {metrics.loss[-1]:.4f} acc {metrics.accuracy[-1]:.3f} |g| {metrics.gradient_norm[-1]:.3g} {rate:.0f} images/s",
                end="   ",
                flush=True,
            )
            if step == next_evaluation(step - 1, experiment, config.eval_epochs):
                evaluation = experiment.evaluate(state)
                records.add(step, experiment.split, evaluation._asdict())
                print(
                    f"\nepoch {step / experiment.steps_per_epoch:.1f} {experiment.split} loss {evaluation.loss:.4f} accuracy {evaluation.accuracy:.4f}"
                )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    images = step * config.data.batch_size
    print(
        f"{images / seconds:.0f} images/s over the run (compilation included), peak memory {peak / 2**30:.2f} GiB"
    )
    return RunResult(run_dir, True, step, state, evaluation, images / seconds, peak)


def next_evaluation(step: int, experiment: Experiment, eval_epochs: int) -> int:
    """The first step after ``step`` at which to evaluate: every so many epochs, and the end."""
    every = eval_epochs * experiment.steps_per_epoch
    return min((step // every + 1) * every, next_epoch(step, experiment), experiment.total_steps)


def next_epoch(step: int, experiment: Experiment) -> int:
    return (step // experiment.steps_per_epoch + 1) * experiment.steps_per_epoch


def record_steps(records: Records, step: int, metrics: StepMetrics, log_steps: int) -> None:
    """Record the first step and every so many after it; a chunk starts after ``step``."""
    for i, row in enumerate(zip(*metrics, strict=True), start=step + 1):
        if i == 1 or i % log_steps == 0:
            values = zip(StepMetrics._fields, map(float, row), strict=True)
            records.add(i, "train", dict(values))


def main() -> None:
    name, config, execution = parse(sys.argv[1:])
    default = f"runs/{name}/{config.init.scheme}-{fingerprint(config)}"
    result = train(config, Path(execution.run_dir or default), execution)
    print(f"records in {result.run_dir}")


if __name__ == "__main__":
    main()
