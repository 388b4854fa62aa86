"""The pictures of a report: colours and dashes tell candidates apart, also in grey."""

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from experiments.compare.results import Curve
from experiments.compare.statistics import spread
from experiments.compare.summary import Summary
from idinit_jax.signal.svg import DASHES, PALETTE

PANEL = (4.2, 3.1)
"""Width and height of one panel in inches."""

COLOURS = 128

Panel = Callable[[Axes, list[Summary]], None]


def final_accuracy(summaries: Sequence[Summary]) -> bytes:
    """Mean and standard deviation of the final accuracy, candidates over variants."""
    variants = names_of_variants(summaries)
    figure = Figure(figsize=(max(6.0, 1.3 * len(variants) + 4.0), 4.0), layout="constrained")
    axes = figure.subplots()
    candidates = dict.fromkeys(summary.cell.candidate.name for summary in summaries)
    for number, candidate in enumerate(candidates):
        row = [s for s in summaries if s.cell.candidate.name == candidate and s.accuracies]
        spreads = [spread(list(summary.accuracies.values())) for summary in row]
        offset = 0.5 * ((number + 0.5) / len(candidates) - 0.5)
        axes.errorbar(
            [variants.index(summary.cell.variant.name) + offset for summary in row],
            [one.mean for one in spreads],
            yerr=np.nan_to_num([one.sd for one in spreads]),
            marker="o",
            markersize=4,
            capsize=3,
            label=candidate,
            **style(number),
        )
    axes.set_xticks(range(len(variants)), variants)
    axes.set_xlim(-0.6, len(variants) - 0.4)
    axes.set_ylabel("final accuracy %")
    axes.grid(alpha=0.3)
    legend_beside(figure, axes)
    return png(figure)


def training_curves(summaries: Sequence[Summary]) -> bytes:
    """Training loss and accuracy over epochs: means over seeds, bands of a standard deviation."""

    def loss(axes: Axes, cells: list[Summary]) -> None:
        bands(axes, cells, lambda curve: curve.loss, 1.0)
        axes.set_yscale("log")
        axes.set_ylabel("training loss")

    def accuracy(axes: Axes, cells: list[Summary]) -> None:
        bands(axes, cells, lambda curve: curve.accuracy, 100.0)
        axes.set_ylabel("training accuracy %")

    return panels(summaries, [loss, accuracy], "epoch")


def bands(
    axes: Axes, cells: list[Summary], of: Callable[[Curve], Sequence[Any]], scale: float
) -> None:
    """One quantity of the training curves of a variant's cells."""
    for number, cell in enumerate(cells):
        if not cell.ended:
            continue
        values = scale * np.asarray([of(run.curve) for run in cell.ended], np.float64)
        epochs, mean = cell.ended[0].curve.epoch, values.mean(axis=0)
        axes.plot(epochs, mean, label=cell.cell.candidate.name, **style(number))
        if len(values) > 1:
            sd = values.std(axis=0, ddof=1)
            axes.fill_between(
                epochs, mean - sd, mean + sd, color=style(number)["color"], alpha=0.15, linewidth=0
            )


def learning_rates(summaries: Sequence[Summary]) -> bytes:
    """Held-out accuracy over the learning rate; a cross at the bottom where a run diverged."""

    def sensitivity(axes: Axes, cells: list[Summary]) -> None:
        for number, cell in enumerate(cells):
            tried = [one for one in cell.scores if one.accuracy is not None]
            axes.plot(
                [one.learning_rate for one in tried],
                [100 * (one.accuracy or 0.0) for one in tried],
                marker="o",
                markersize=4,
                label=cell.cell.candidate.name,
                **style(number),
            )
            lost = [one.learning_rate for one in cell.scores if one.diverged]
            axes.plot(
                lost,
                [0.02] * len(lost),
                "x",
                color=style(number)["color"],
                transform=axes.get_xaxis_transform(),
            )
        axes.set_xscale("log")
        axes.set_ylabel("held-out accuracy %")

    return panels(summaries, [sensitivity], "learning rate")


def signals(summaries: Sequence[Summary]) -> bytes:
    """Variance and gradient norm along the main path at the start."""

    def variance(axes: Axes, cells: list[Summary]) -> None:
        for number, cell in enumerate(cells):
            if cell.signal:
                along(axes, cell.signal.variance, cell.cell.candidate.name, number)
        axes.set_ylabel("variance")

    def gradient(axes: Axes, cells: list[Summary]) -> None:
        for number, cell in enumerate(cells):
            if cell.signal:
                along(axes, cell.signal.gradient, cell.cell.candidate.name, number)
        axes.set_ylabel("gradient norm")

    return panels(summaries, [variance, gradient], "place, in forward order")


def along(axes: Axes, values: Sequence[float | None], name: str, number: int) -> None:
    """Positive numbers over places, on a logarithmic axis."""
    axes.plot(np.asarray(values, np.float64), label=name, **style(number))
    axes.set_yscale("log", nonpositive="mask")


def panels(summaries: Sequence[Summary], rows: Sequence[Panel], horizontal: str) -> bytes:
    """A column a variant, a row a quantity."""
    variants = names_of_variants(summaries)
    size = (PANEL[0] * len(variants) + 1.5, PANEL[1] * len(rows))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(rows), len(variants), squeeze=False, sharex="col")
    for column, variant in enumerate(variants):
        cells = [summary for summary in summaries if summary.cell.variant.name == variant]
        for row, draw in enumerate(rows):
            draw(grid[row, column], cells)
            grid[row, column].grid(alpha=0.3)
        grid[0, column].set_title(variant)
        grid[-1, column].set_xlabel(horizontal)
    legend_beside(figure, *grid.flat)
    return png(figure)


def legend_beside(figure: Figure, *axes: Axes) -> None:
    """One legend for all panels, of everything that any of them shows."""
    entries: dict[str, Any] = {}
    for one in axes:
        handles, labels = one.get_legend_handles_labels()
        entries = dict(zip(labels, handles, strict=True)) | entries
    if entries:
        figure.legend(entries.values(), entries.keys(), loc="outside right upper")


def names_of_variants(summaries: Sequence[Summary]) -> list[str]:
    """In the order of the study."""
    return list(dict.fromkeys(summary.cell.variant.name for summary in summaries))


def style(number: int) -> dict[str, Any]:
    """Colour and dashes of the candidate of that number; the first 49 differ."""
    turn, place = divmod(number, len(PALETTE))
    dashes = DASHES[(place + turn) % len(DASHES)]
    pattern = (0, tuple(float(part) / 2 for part in dashes.split())) if dashes else "solid"
    return {"color": PALETTE[place], "linestyle": pattern, "linewidth": 1.5}


def png(figure: Figure) -> bytes:
    """The picture's bytes, the same for the same picture; 128 colours, which saves two thirds."""
    drawn, file = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=110)
    image = Image.open(drawn).convert("RGB")
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(file, format="png", optimize=True)
    return file.getvalue()
