"""What a run leaves on disk as it goes: metrics, speed and TensorBoard events.

`metrics.jsonl` depends on the config alone: a run that was killed and resumed leaves the very bytes
of one that was not. So does `signal.jsonl`, where the signal is recorded. What depends on the clock
is in `speed.jsonl`.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from tensorboardX import SummaryWriter

from experiments.step import StepMetrics
from idinit_jax.signal import SignalReport

METRICS = "metrics.jsonl"
SPEED = "speed.jsonl"
SIGNAL = "signal.jsonl"


class Records:
    """Appends to the records of a run, from a step on; what was recorded after it is dropped.

    Args:
        run_dir: of the run.
        step: the last step whose records are to stay; 0 for a new run.
        tensorboard: whether to write TensorBoard events too.
    """

    def __init__(self, run_dir: Path, step: int, *, tensorboard: bool) -> None:
        for name in (METRICS, SPEED, SIGNAL):
            rewind(run_dir / name, step)
        self._signal = run_dir / SIGNAL
        self._metrics = open(run_dir / METRICS, "a")  # noqa: SIM115 -- closed by __exit__
        self._speed = open(run_dir / SPEED, "a")  # noqa: SIM115 -- closed by __exit__
        self._events = (
            SummaryWriter(str(run_dir / "tensorboard"), purge_step=step + 1)
            if tensorboard
            else None
        )

    def add(self, step: int, split: str, values: Mapping[str, float]) -> None:
        """Record values of a step of the run's own numbers."""
        _append(self._metrics, {"step": step, "split": split, **values})
        self._add_events(step, split, values)

    def add_steps(self, step: int, metrics: StepMetrics, every: int) -> None:
        """Record a chunk that starts after ``step``: the run's first step, and every so many."""
        for number, row in enumerate(zip(*metrics, strict=True), start=step + 1):
            if number == 1 or number % every == 0:
                self.add(number, "train", dict(zip(metrics._fields, map(float, row), strict=True)))

    def add_speed(self, step: int, images_per_second: float) -> None:
        """Record what depends on the clock."""
        _append(self._speed, {"step": step, "images_per_second": images_per_second})
        self._add_events(step, "speed", {"images_per_second": images_per_second})

    def add_signal(self, step: int, report: SignalReport) -> None:
        """Record the signal of a step: a line a row, and some numbers of each layer as events."""
        lines = [json.dumps({"step": step, **plain(row)}) + "\n" for row in report.records()]
        with self._signal.open("a") as file:
            file.write("".join(lines))
        for group, name, value in layer_scalars(report):
            if math.isfinite(value):
                self._add_events(step, group, {name: value})

    def _add_events(self, step: int, group: str, values: Mapping[str, float]) -> None:
        if self._events is not None:
            for name, value in values.items():
                self._events.add_scalar(f"{group}/{name}", value, step)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._metrics.close()
        self._speed.close()
        if self._events is not None:
            self._events.close()


def layer_scalars(report: SignalReport) -> Iterator[tuple[str, str, float]]:
    """Group, layer and number of what is drawn over the steps of a run."""
    for row in report.rows:
        yield "forward_rms", row.name, row.forward.rms
        yield "forward_variance", row.name, row.variance
        if row.backward is not None:
            yield "backward_norm", row.name, row.backward.norm
    for row in report.parameters:
        yield "gradient_norm", row.name, row.gradient_norm
        yield "gradient_over_parameter", row.name, row.gradient_ratio


def plain(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record as strict JSON knows it: six digits, and null for what is not finite."""
    return {name: _plain(value) for name, value in record.items()}


def _plain(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return float(f"{value:.6g}") if math.isfinite(value) else None


def read_records(path: Path) -> list[dict[str, Any]]:
    """All records of a file; a last line that was cut off is left out."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(True) if line.endswith("\n")]


def rewind(path: Path, step: int) -> None:
    """Drop records of later steps, replacing the file in one go."""
    if not path.exists():
        return
    kept = [record for record in read_records(path) if record["step"] <= step]
    draft = path.with_suffix(".draft")
    draft.write_text("".join(json.dumps(record) + "\n" for record in kept))
    os.replace(draft, path)


def _append(file: Any, record: Mapping[str, Any]) -> None:
    # Flushed at once: records of a checkpointed step must be in the file when the process dies.
    file.write(json.dumps(record) + "\n")
    file.flush()
