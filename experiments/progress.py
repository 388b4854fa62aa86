"""What a person sees while a run goes: a bar with the latest numbers, and lines above it."""

from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

from experiments.step import StepMetrics


class TrainingProgress:
    """A bar on standard error with steps, loss, accuracy, images/s and time left.

    Args:
        first: steps already made.
        total: steps of the run.
        shown: False keeps everything to itself.
    """

    def __init__(self, first: int, total: int, *, shown: bool) -> None:
        self._progress = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("loss {task.fields[loss]:.4f}  accuracy {task.fields[accuracy]:.3f}"),
            TextColumn("{task.fields[rate]:,.0f} images/s"),
            TimeRemainingColumn(),
            console=Console(stderr=True, quiet=not shown),
        )
        nothing_yet = float("nan")
        self._task = self._progress.add_task(
            "train",
            completed=first,
            total=total,
            loss=nothing_yet,
            accuracy=nothing_yet,
            rate=nothing_yet,
        )

    def say(self, *lines: str) -> None:
        """Lines above the bar, unbroken, so that a path can be copied."""
        for line in lines:
            self._progress.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def show(
        self, step: int, metrics: StepMetrics, images_per_second: float, gradient_alarm: float
    ) -> None:
        """Move the bar by a chunk that starts after ``step``; report a gradient above the alarm."""
        self._progress.update(
            self._task,
            completed=step + len(metrics.loss),
            loss=float(metrics.loss[-1]),
            accuracy=float(metrics.accuracy[-1]),
            rate=images_per_second,
        )
        worst = int(metrics.gradient_norm.argmax())
        if metrics.gradient_norm[worst] > gradient_alarm:
            norm = metrics.gradient_norm[worst]
            self.say(f"step {step + 1 + worst}: gradient norm {norm:.3g} above {gradient_alarm:g}")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
