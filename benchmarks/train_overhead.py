"""What the training loop adds to its compiled step: ``python -m benchmarks.train_overhead``.

Baseline: the same compiled step on the same data, dispatched again and again with nothing in
between. Both run in turns within one training run, a chunk of steps each, so that whatever else
the machine does meets both. The loop's share has everything it does between two chunks: fetching
metrics, records, TensorBoard, the bar. Evaluation and checkpoints are work of their own and left
out. Prints one line of JSON; times are medians over chunks, in milliseconds a step.
"""

import functools
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import jax

from experiments.advance import Batches, resident_step
from experiments.command import parse
from experiments.config import Execution, TrainConfig
from experiments.experiment import Experiment, set_up
from experiments.feed import ResidentFeed
from experiments.sharded import Sharded, Split
from experiments.step import StepMetrics, TrainState
from experiments.train import train


class InTurns:
    """Runs each chunk twice: bare, on a state of its own, and for the loop; notes both times."""

    def __init__(self, experiment: Experiment, feed: ResidentFeed) -> None:
        placement = Sharded(jax.devices()[:1])
        splits = Batches(Split.WHOLE, Split.WHOLE, Split.COLUMNS)
        self._step = placement.compile(functools.partial(resident_step, experiment.recipe), splits)
        self._bare_state = jax.tree.map(lambda x: x.copy(), experiment.initial)
        self._feed = feed
        self._left = 0.0
        self.bare: list[float] = []
        self.loop: list[float] = []
        self.between: list[float] = []

    def run(self, state: TrainState, step: int, count: int) -> tuple[TrainState, StepMetrics]:
        entered = time.perf_counter()
        batches = self._feed.epoch(0)
        started = time.perf_counter()
        for _ in range(count):
            self._bare_state, metrics = self._step(self._bare_state, batches)
        jax.block_until_ready((self._bare_state, metrics))
        ended = time.perf_counter()
        result = self._feed.run(state, step, count)
        now = time.perf_counter()
        if step:  # the first chunk compiles
            self.bare.append((ended - started) / count)
            self.loop.append((now - ended) / count)
            self.between.append((entered - self._left) / count)
        self._left = time.perf_counter()
        return result


def measure(config: TrainConfig, execution: Execution) -> dict[str, float]:
    """Medians of a run of one epoch."""
    turns: list[InTurns] = []

    def with_turns(config: TrainConfig, execution: Execution) -> Experiment:
        experiment = set_up(config, execution)
        assert isinstance(experiment.feed, ResidentFeed)
        turns.append(InTurns(experiment, experiment.feed))
        return experiment._replace(feed=turns[0])  # type: ignore[arg-type] -- runs, as the loop asks

    with (
        tempfile.TemporaryDirectory() as run_dir,
        mock.patch("experiments.train.set_up", with_turns),
    ):
        train(config, Path(run_dir), execution)
    bare, loop, between = (
        1e3 * statistics.median(times) for times in (turns[0].bare, turns[0].loop, turns[0].between)
    )
    return {
        "bare_ms": round(bare, 3),
        "loop_ms": round(loop + between, 3),
        "overhead": round((loop + between) / bare - 1, 4),
        "between_share": round(between / bare, 4),
        "chunks": len(turns[0].bare),
    }


def main() -> None:
    """Flags as of experiments.train; by default ResNet-20 on CIFAR-10, one epoch."""
    arguments = sys.argv[1:] or ["cifar10_resnet20", "--train-examples", "6400", "--epochs", "1"]
    name, config, execution = parse([*arguments, "--devices", "1", "--no-progress"])
    machine = {"experiment": name, "backend": jax.default_backend(), "jax": jax.__version__}
    print(json.dumps(machine | measure(config, execution)))


if __name__ == "__main__":
    main()
