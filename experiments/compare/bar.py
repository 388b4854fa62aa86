"""What a person sees while a study runs: a bar with runs done and time left, lines above it."""

from typing import Self

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from experiments.compare.plan import Plan, Task
from experiments.compare.results import Result, Signal


class StudyBar:
    """A bar on standard error.

    Args:
        plan: at the start.
    """

    def __init__(self, plan: Plan) -> None:
        self._progress = Progress(
            TextColumn("runs"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[left]}"),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task("study", total=plan.total, left="")
        self.show(plan)

    def show(self, plan: Plan) -> None:
        """Move the bar to what is done."""
        self._progress.update(
            self._task, total=plan.total, completed=plan.done, left=time_left(plan)
        )

    def say(self, task: Task, result: Result) -> None:
        """A line about a job that this process has done."""
        self._progress.console.print(
            f"{task}: {summary(result)}", highlight=False, markup=False, soft_wrap=True
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def summary(result: Result) -> str:
    """A result in a few words."""
    seconds = f"{result.cost.seconds:.1f} s" if result.cost.seconds is not None else ""
    if isinstance(result, Signal):
        return f"measured, {seconds}"
    if result.divergence is not None:
        return f"diverged at step {result.divergence.step}, {seconds}"
    return f"accuracy {result.accuracy:.4f}, {seconds}"


def time_left(plan: Plan) -> str:
    """What is left at the pace of what is done, if one process does it.

    A job is expected to take as long as those of its variant and kind took on average.
    """
    spent: dict[tuple[str, str], list[float]] = {}
    for task in plan.tasks:
        result = plan.results.get(task.job)
        if result is not None and result.cost.seconds is not None:
            spent.setdefault(likeness(task), []).append(result.cost.seconds)
    if not spent:
        return ""
    usual = float(np.mean([seconds for group in spent.values() for seconds in group]))
    left = sum(float(np.mean(spent.get(likeness(task), usual))) for task in plan.pending)
    return f"about {readable(left + usual * plan.later)} left"


def likeness(task: Task) -> tuple[str, str]:
    """Jobs that agree in this cost about the same."""
    return task.cell.variant.name, task.job.kind


def readable(seconds: float) -> str:
    """A duration in two units at most.

    >>> readable(59.4), readable(61), readable(7260)
    ('59 s', '1 min', '2 h 1 min')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
