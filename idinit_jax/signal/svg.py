"""Charts as inline SVG: lines over layers, and a histogram."""

import math
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

# Okabe and Ito 2008: told apart with any kind of colour vision; dashes do it in grey print.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("", "7 3", "2 3", "9 3 2 3", "12 4", "4 4", "1 2")
WIDTH, HEIGHT = 720, 300
LEFT, RIGHT, TOP, BOTTOM = 70, 15, 34, 48


def line_chart(
    title: str, series: Mapping[str, Sequence[float]], labels: Sequence[str], axis: str
) -> str:
    """Positive numbers over layers on a logarithmic axis.

    Args:
        title: of the chart.
        series: one line a name, one value a label; what is not positive leaves a gap.
        labels: names of the layers, shown when the pointer rests on a mark.
        axis: name of the vertical axis.
    """
    low, high = _decades([value for line in series.values() for value in line])
    count = max(len(labels), 2)

    def x(index: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * index / (count - 1)

    def y(value: float) -> float:
        share = (math.log10(value) - low) / (high - low)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * min(max(share, 0.0), 1.0)

    ticks = [(y(10.0**power), f"1e{power}") for power in _spaced(range(low, high + 1), 7)]
    steps = [(x(index), str(index)) for index in _spaced(range(len(labels)), 11)]
    parts = [_frame(title, axis, "layer, in forward order", ticks, steps)]
    for number, (name, values) in enumerate(series.items()):
        points = [(x(i), y(v), labels[i], v) for i, v in enumerate(values) if _positive(v)]
        parts += [_line(points, number), _legend(name, number)]
    return _svg(title, parts)


def histogram(title: str, values: Sequence[float], axis: str) -> str:
    """How many values fall into each of at most 30 equal parts of a logarithmic axis."""
    logs = np.log10([value for value in values if _positive(value)] or [1.0])
    low, high = float(logs.min()) - 0.05, float(logs.max()) + 0.05
    counts, edges = np.histogram(logs, bins=min(30, max(5, len(values) // 2)), range=(low, high))
    top = max(int(counts.max()), 1)

    def x(log: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (log - low) / (high - low)

    def y(count: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * count / top

    ticks = [(y(count), str(count)) for count in _spaced(range(top + 1), 6)]
    steps = [(x(log), f"{10.0**log:.3g}") for log in np.linspace(low, high, 7)]
    bars = [
        f'<rect x="{x(left):.1f}" y="{y(count):.1f}" width="{max(x(right) - x(left) - 1, 1):.1f}"'
        f' height="{HEIGHT - BOTTOM - y(count):.1f}" fill="{PALETTE[0]}"><title>{count} from'
        f" {10.0**left:.3g} to {10.0**right:.3g}</title></rect>"
        for left, right, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]
    return _svg(title, [_frame(title, "how many", axis, ticks, steps), *bars])


def _positive(value: float) -> bool:
    return 0.0 < value < math.inf


def _decades(values: Sequence[float]) -> tuple[int, int]:
    logs = [math.log10(value) for value in values if _positive(value)] or [0.0]
    low, high = math.floor(min(logs)), math.ceil(max(logs))
    return (low, high) if low < high else (low - 1, high + 1)


def _spaced(values: Sequence[int], limit: int) -> Sequence[int]:
    return values[:: max(1, -(-len(values) // limit))]


def _svg(title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg>"
    )


def _frame(
    title: str,
    vertical: str,
    horizontal: str,
    ticks: Sequence[tuple[float, str]],
    steps: Sequence[tuple[float, str]],
) -> str:
    """Title, axes, grid and the names of both axes."""
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    middle = (TOP + bottom) / 2
    parts = [
        _text(LEFT, 16, title, 'font-weight="bold"'),
        _text((LEFT + right) / 2, HEIGHT - 8, horizontal, 'text-anchor="middle"'),
        _text(14, middle, vertical, f'text-anchor="middle" transform="rotate(-90 14 {middle})"'),
        f'<path d="M{LEFT} {TOP}V{bottom}H{right}" fill="none" stroke="currentColor"/>',
    ]
    for height, label in ticks:
        parts.append(f'<path d="M{LEFT} {height:.1f}H{right}" stroke="#8886"/>')
        parts.append(_text(LEFT - 6, height + 4, label, 'text-anchor="end"'))
    for place, label in steps:
        parts.append(_text(place, bottom + 16, label, 'text-anchor="middle"'))
    return "".join(parts)


def _text(x: float, y: float, text: str, attributes: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {attributes}>{escape(text)}</text>'


def _style(number: int) -> str:
    colour, dash = PALETTE[number % len(PALETTE)], DASHES[number % len(DASHES)]
    return f'stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"'


def _line(points: Sequence[tuple[float, float, str, float]], number: int) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _, _ in points)
    marks = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{PALETTE[number % len(PALETTE)]}">'
        f"<title>{escape(label)}: {value:.3g}</title></circle>"
        for x, y, label, value in points
    )
    return f'<polyline points="{path}" fill="none" {_style(number)}/>{marks}'


def _legend(name: str, number: int) -> str:
    x = LEFT + 190 + 115 * (number % 4)
    y = 12 + 14 * (number // 4)
    line = f'<path d="M{x} {y}h24" fill="none" {_style(number)}/>'
    return line + _text(x + 29, y + 4, name, "")
