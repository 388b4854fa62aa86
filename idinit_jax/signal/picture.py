"""An inspection or a comparison as a picture, drawn by matplotlib."""

from collections.abc import Mapping
from pathlib import Path

from idinit_jax.signal.rows import SignalReport
from idinit_jax.signal.svg import DASHES, PALETTE


def save_picture(reports: Mapping[str, SignalReport], path: str | Path) -> None:
    """Variance and gradient norm over the layers, one line a report.

    Args:
        reports: of one model, by name.
        path: of the file; its ending says the format.

    Raises:
        ModuleNotFoundError: matplotlib is missing, with what to install.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as missing:
        raise ModuleNotFoundError(
            "pictures need matplotlib: pip install 'idinit_jax[report]', or write --html, which"
            " needs nothing"
        ) from missing
    figure = Figure(figsize=(9, 7), layout="constrained")
    forward, backward = figure.subplots(2, 1, sharex=True)
    for number, (name, report) in enumerate(reports.items()):
        rows = [row for row in report.rows if row.kind != "softmax"]
        style = {
            "color": PALETTE[number % len(PALETTE)],
            "linestyle": _dash(DASHES[number % len(DASHES)]),
            "label": name,
        }
        forward.plot([row.variance for row in rows], **style)
        norms = [(i, row.backward.norm) for i, row in enumerate(rows) if row.backward]
        backward.plot(*zip(*norms, strict=True), **style)
    for axes, label in ((forward, "variance"), (backward, "gradient norm")):
        axes.set_yscale("log", nonpositive="mask")
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    forward.legend()
    backward.set_xlabel("layer, in forward order")
    figure.savefig(path, dpi=150)


def _dash(pattern: str) -> str | tuple[int, tuple[float, ...]]:
    """An SVG dash pattern as matplotlib writes it, which counts in line widths."""
    return (0, tuple(float(part) / 2 for part in pattern.split())) if pattern else "solid"
