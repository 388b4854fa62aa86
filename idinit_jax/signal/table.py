"""Reports as plain text."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from idinit_jax.signal.compare import Comparison
    from idinit_jax.signal.rows import ParameterRow, SignalReport, SignalRow
    from idinit_jax.signal.spectrum import Spectrum
    from idinit_jax.signal.weights import WeightRow

SIGNAL_COLUMNS = (
    "place", "role", "mean", "variance", "rms", "largest", "zeros", "nonfinite", "cosine",
    "eff. rank", "gradient", "ratio", "branch",
)  # fmt: skip
PARAMETER_COLUMNS = (
    "parameter", "role", "size", "norm", "gradient", "gradient / norm", "dead", "identical",
)  # fmt: skip
WEIGHT_COLUMNS = (
    "kernel", "role", "shape", "largest", "smallest", "mean square", "condition", "eff. rank",
    "rank",
)  # fmt: skip


def number(value: Any) -> str:
    """Three digits; a dash for what is not there."""
    if value is None or value == "" or value != value:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def signal_cells(row: "SignalRow") -> tuple[Any, ...]:
    """A row of the signal, one cell a column of SIGNAL_COLUMNS."""
    forward = row.forward
    norm = None if row.backward is None else row.backward.norm
    return (
        row.name, row.role or row.kind, forward.mean, row.variance, forward.rms, forward.largest,
        forward.zeros, forward.nonfinite, forward.cosine, forward.effective_rank, norm,
        row.gradient_ratio, row.branch_share,
    )  # fmt: skip


def parameter_cells(row: "ParameterRow") -> tuple[Any, ...]:
    """A parameter, one cell a column of PARAMETER_COLUMNS."""
    identical = f"{row.identical_units} of {row.units}" if row.units else None
    return (
        row.name, row.role or row.kind, row.size, row.norm, row.gradient_norm, row.gradient_ratio,
        row.dead, identical,
    )  # fmt: skip


def weight_cells(row: "WeightRow") -> tuple[Any, ...]:
    """A kernel's spectrum, one cell a column of WEIGHT_COLUMNS."""
    return (
        row.name, row.role, f"{row.shape[0]} x {row.shape[1]}", row.largest, row.smallest,
        row.mean_square, row.condition, row.effective_rank, row.rank,
    )  # fmt: skip


def format_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Aligned columns: text to the left, numbers to the right.

    >>> print(format_table(("layer", "variance"), [("head", 0.5), ("stem", 1.0)]))
    layer  variance
    head        0.5
    stem          1
    """
    rows = [list(row) for row in rows]
    numeric = [all(not isinstance(row[i], str) for row in rows) for i in range(len(columns))]
    text = [list(columns), *([number(cell) for cell in row] for row in rows)]
    widths = [max(len(line[i]) for line in text) for i in range(len(columns))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in text
    )


def format_report(report: "SignalReport") -> str:
    """Both tables of a report."""
    signal = format_table(SIGNAL_COLUMNS, map(signal_cells, report.rows))
    parameters = format_table(PARAMETER_COLUMNS, map(parameter_cells, report.parameters))
    total = f"loss {number(report.loss)}, gradient norm {number(report.gradient_norm)}"
    return f"{signal}\n\n{parameters}\n\n{total}"


def format_weights(rows: Iterable["WeightRow"]) -> str:
    """The spectra of kernels."""
    return format_table(WEIGHT_COLUMNS, map(weight_cells, rows))


def format_spectrum(spectrum: "Spectrum") -> str:
    """Singular values with their bounds, criticality and isometry."""
    outputs, inputs = spectrum.shape
    exact = spectrum.method == "exact"
    rows = [
        (index + 1, float(value), float(error))
        for index, (value, error) in enumerate(
            zip(spectrum.singular_values[:20], spectrum.errors, strict=False)
        )
    ]
    return "\n".join([
        f"Jacobian {outputs} x {inputs}, {spectrum.method}, {spectrum.products} products",
        format_table(("", "singular value", "within"), rows),
        f"mean square {spectrum.mean_square:.4g} +- {spectrum.mean_square_error:.2g}"
        " (criticality: near 1)",
        f"condition {'' if exact else '>= '}{spectrum.condition:.4g} (isometry: near 1)",
    ])  # fmt: skip


def format_comparison(comparison: "Comparison") -> str:
    """Variance and gradient of every row, a pair of columns a candidate; then the verdicts."""
    reports = comparison.reports
    columns = ["place", *(f"variance {name}" for name in reports)]
    columns += [f"gradient {name}" for name in reports]
    first = next(iter(reports.values()))
    rows = [
        [row.name, *variances_and_gradients([report.rows[i] for report in reports.values()])]
        for i, row in enumerate(first.rows)
    ]
    verdicts = [f"{name}\n{verdict}" for name, verdict in comparison.verdicts.items()]
    return "\n\n".join([format_table(columns, rows), *verdicts])


def variances_and_gradients(rows: Sequence["SignalRow"]) -> list[float | None]:
    """The variances of one row under all candidates, then its gradient norms."""
    norms = [None if row.backward is None else row.backward.norm for row in rows]
    return [*(row.variance for row in rows), *norms]
