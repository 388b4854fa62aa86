"""An inspection as one HTML page: self-contained, sortable, printable."""

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from idinit_jax.signal.compare import Comparison
from idinit_jax.signal.inspection import Inspection
from idinit_jax.signal.rows import SignalReport, SignalRow
from idinit_jax.signal.svg import histogram, line_chart
from idinit_jax.signal.table import (
    PARAMETER_COLUMNS,
    SIGNAL_COLUMNS,
    WEIGHT_COLUMNS,
    number,
    parameter_cells,
    signal_cells,
    variances_and_gradients,
    weight_cells,
)

PROVENANCE_COLUMNS = ("parameter", "shape", "role", "initializer", "std", "why")

STYLE = """
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }
body { max-width: 76rem; margin: 1.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .85rem; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid #8885; text-align: right; }
th:first-child, td:first-child, td.text { text-align: left; }
th { position: sticky; top: 0; background: Canvas; }
th button { all: unset; cursor: pointer; } th button:focus-visible { outline: 2px solid; }
th[aria-sort=ascending] button::after { content: " \\25B2"; }
th[aria-sort=descending] button::after { content: " \\25BC"; }
.scroll { overflow: auto; max-height: 34rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(30rem, 1fr)); gap: 1rem; }
svg { width: 100%; height: auto; font-size: 11px; fill: currentColor; }
.verdict { border-left: .4rem solid #0072B2; padding: .5rem 1rem; }
.verdict.bad { border-color: #D55E00; }
@media (max-width: 40rem) { .charts { grid-template-columns: 1fr; } }
@media print {
  :root { color-scheme: light; font-size: 10px; } body { max-width: none; margin: 0; }
  .scroll { overflow: visible; max-height: none; } th { position: static; }
  tr, svg, .verdict { break-inside: avoid; } thead { display: table-header-group; }
}
"""

# Sorts the rows of a table by the number, else by the text, of a column.
SCRIPT = """
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const value = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const rows = [...table.tBodies[0].rows].sort((a, b) => {
      const [x, y] = [value(a), value(b)], [p, q] = [parseFloat(x), parseFloat(y)];
      const order = isNaN(p) || isNaN(q) ? isNaN(p) - isNaN(q) || x.localeCompare(y) : p - q;
      return up ? order : -order;
    });
    table.tBodies[0].append(...rows);
  }));
}
"""


def render(inspection: Inspection, title: str) -> str:
    """The page.

    Args:
        inspection: what it shows.
        title: of the page, such as the model's name.

    Returns:
        HTML without references to anything outside of it.
    """
    report = inspection.report
    heading = f"{title}, initialized by {inspection.scheme}"
    sections = [
        _verdict(inspection),
        _section("Signal", _charts(inspection), _signal_table(report.rows)),
        _section("Parameters", _table(PARAMETER_COLUMNS, map(parameter_cells, report.parameters))),
        _section("Kernels", _table(WEIGHT_COLUMNS, map(weight_cells, inspection.weights))),
        _section("Jacobian", _spectrum(inspection)),
        _section("Provenance", _table(PROVENANCE_COLUMNS, _provenance_cells(inspection))),
    ]
    if inspection.comparison:
        sections.insert(2, _section("Comparison", *_comparison(inspection.comparison)))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(heading)}</title><style>{STYLE}</style></head>"
        f"<body><h1>{escape(heading)}</h1>{''.join(sections)}<script>{SCRIPT}</script></body></html>"
    )


def _section(title: str, *parts: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{''.join(parts)}</section>"


def _verdict(inspection: Inspection) -> str:
    verdict, report = inspection.verdict, inspection.report
    lines = [str(finding) for finding in verdict.findings] or ["Healthy: nothing was found."]
    lines += [
        f"Forward variance: {verdict.forward or 'no layers to compare'}.",
        f"Backward gradient: {verdict.backward or 'no layers to compare'}.",
        f"Backward sensitivity: {verdict.sensitivity or 'no layers to compare'}.",
        f"Loss {number(report.loss)}, gradient norm {number(report.gradient_norm)}.",
    ]
    if inspection.recommendation:
        lines += str(inspection.recommendation).splitlines()
    body = "<br>".join(escape(line) for line in lines)
    return f'<p class="verdict{"" if verdict.healthy else " bad"}">{body}</p>'


def _charts(inspection: Inspection) -> str:
    rows = [row for row in inspection.report.rows if row.kind != "softmax"]
    labels = [row.name for row in rows]
    variance = line_chart(
        "Forward: variance", {"variance": [row.variance for row in rows]}, labels, "variance"
    )
    gradient = line_chart(
        "Backward: gradient norm", {"gradient": [_norm(row) for row in rows]}, labels, "norm"
    )
    return f'<div class="charts">{variance}{gradient}</div>'


def _norm(row: SignalRow) -> float:
    return math.nan if row.backward is None else row.backward.norm


def _signal_table(rows: Iterable[SignalRow]) -> str:
    return _table(SIGNAL_COLUMNS, map(signal_cells, rows))


def _spectrum(inspection: Inspection) -> str:
    found = inspection.spectrum
    bound = "" if found.method == "exact" else "at least "
    text = (
        f"{found.shape[0]} x {found.shape[1]}, {found.method}, {found.products} products. Mean"
        f" square {found.mean_square:.4g} ± {found.mean_square_error:.2g} (criticality: near 1)."
        f" Condition number {bound}{found.condition:.4g} (isometry: near 1). Singular values are"
        f" known within {max(found.errors):.2g}."
    )
    values = [float(value) for value in found.singular_values]
    return f"<p>{escape(text)}</p>{histogram('Singular values', values, 'singular value')}"


def _comparison(comparison: Comparison) -> list[str]:
    reports = comparison.reports
    rows = [row for row in next(iter(reports.values())).rows if row.kind != "softmax"]
    labels = [row.name for row in rows]

    def lines(of: Any) -> dict[str, list[float]]:
        return {name: [of(report[label]) for label in labels] for name, report in reports.items()}

    forward = line_chart("Forward: variance", lines(lambda row: row.variance), labels, "variance")
    backward = line_chart("Backward: gradient norm", lines(_norm), labels, "norm")
    columns = ["place", *(f"variance {name}" for name in reports)]
    columns += [f"gradient {name}" for name in reports]
    return [
        f'<div class="charts">{forward}{backward}</div>',
        _table(columns, _side_by_side(list(reports.values()))),
    ]


def _side_by_side(reports: Sequence[SignalReport]) -> Iterable[Sequence[Any]]:
    for rows in zip(*(report.rows for report in reports), strict=True):
        yield [rows[0].name, *variances_and_gradients(rows)]


def _provenance_cells(inspection: Inspection) -> Iterable[Sequence[Any]]:
    for record in inspection.provenance:
        shape = " x ".join(map(str, record.shape)) or "scalar"
        yield record.path, shape, record.role, record.initializer, record.std, record.reason


def _table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    head = "".join(f'<th scope="col"><button>{escape(name)}</button></th>' for name in columns)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div class="scroll" tabindex="0">{table}</div>'


def _cell(value: Any) -> str:
    text = escape(number(value))
    if isinstance(value, float):
        return f'<td data-value="{value!r}">{text}</td>'
    return f'<td class="text">{text}</td>' if isinstance(value, str) else f"<td>{text}</td>"
