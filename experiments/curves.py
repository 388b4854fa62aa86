"""The learning curve of a run as a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure


def draw_learning_curve(records: Sequence[dict[str, Any]], title: str, path: Path) -> None:
    """Loss and accuracy over steps, of training batches and of the images held out, as a PNG."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for axes, quantity in ((left, "loss"), (right, "accuracy")):
        draw_quantity(axes, records, quantity)
    figure.suptitle(title)
    figure.savefig(path, dpi=150)


def draw_quantity(axes: Axes, records: Sequence[dict[str, Any]], quantity: str) -> None:
    """One line a split."""
    for split in dict.fromkeys(record["split"] for record in records):
        points = [(r["step"], r[quantity]) for r in records if r["split"] == split]
        steps, values = zip(*points, strict=True)
        marker = "" if split == "train" else "o"
        axes.plot(steps, values, marker=marker, markersize=3, linewidth=1, label=split)
    axes.set_xlabel("step")
    axes.set_ylabel(quantity)
    axes.legend()
