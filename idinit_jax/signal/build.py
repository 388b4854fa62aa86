"""From the numbers of a measurement to its rows."""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from idinit_jax.signal.rows import ParameterRow, SignalReport, SignalRow
from idinit_jax.signal.sites import Place, turns_of
from idinit_jax.signal.softmaxes import logit_statistics
from idinit_jax.signal.statistics import (
    Sums,
    backward_statistics,
    forward_statistics,
    moments,
    norm_of,
)
from idinit_jax.signal.units import ParameterStatistics, identical_units, one_by_one
from idinit_jax.tracing.graph import Kernel, ModelGraph, Parameter

if TYPE_CHECKING:
    from idinit_jax.signal.meter import Statistics


def build_report(
    graph: ModelGraph, places: Sequence[Place], statistics: "Statistics"
) -> SignalReport:
    """Arrange the numbers of a measurement, fetched from the device, as rows in forward order."""
    parameters = [
        row
        for entry, found in zip(graph, one_by_one(tuple(graph), statistics.parameters), strict=True)
        for row in _parameter_rows(entry, found)
    ]
    norms = np.array([row.gradient_norm for row in parameters], np.float64)
    return SignalReport(
        tuple(_with_gradient_ratios([_row(*one, statistics) for one in turns_of(places)])),
        tuple(parameters),
        float(statistics.loss),
        float(np.sqrt(np.sum(norms**2))),
        graph,
    )


def _row(place: Place, turn: int, statistics: "Statistics") -> SignalRow:
    layer, use = place.layer(turn), place.use
    record = _at_turn(statistics.forward[place.site], place, turn)
    backward = _at_turn(statistics.backward.get(place.site), place, turn)
    return SignalRow(
        name=layer_name(place.name, layer),
        kind=place.kind,
        role=use.role if use else "",
        layer=layer,
        trunk=place.trunk,
        nonlinearity=use.nonlinearity if use else None,
        norm_follows=bool(use and use.norm_follows),
        parameter=place.kernel.path if place.kernel else "",
        forward=logit_statistics(record.summary)
        if place.kind == "softmax"
        else forward_statistics(record.summary, place.size),
        backward=None if backward is None else backward_statistics(backward, place.size),
        gradient_ratio=None,
        branch_share=_share_of(record.operands, place.size),
    )


def _at_turn(tree: Any, place: Place, turn: int) -> Any:
    """One turn's part of what lies stacked along the loops around a place."""
    loops = len(place.loops)
    return jax.tree.map(lambda array: array.reshape(-1, *array.shape[loops:])[turn], tree)


def _share_of(operands: tuple[Sums, ...], size: int) -> float | None:
    if not operands:
        return None
    branch, shortcut = operands
    return branch_share(branch, shortcut, size)


def branch_share(branch: Sums, shortcut: Sums, size: int) -> float:
    """Variance of the branch over that of branch and shortcut together."""
    stds = moments(branch, size)[1], moments(shortcut, size)[1]
    total = math.hypot(*stds)
    return (stds[0] / total) ** 2 if total > 0 else math.nan


def layer_name(name: str, layer: int | None) -> str:
    """A name with the layer it has in a stack."""
    return name if layer is None else f"{name}[{layer}]"


def _with_gradient_ratios(rows: list[SignalRow]) -> Iterator[SignalRow]:
    """Compare each gradient with the next one above it, on the trunk or wherever the row lies."""
    above: SignalRow | None = None
    trunk_above: SignalRow | None = None
    done = []
    for row in reversed(rows):
        reference = trunk_above if row.trunk else above
        done.append(row._replace(gradient_ratio=_ratio(row, reference)))
        if row.backward is not None:
            above = row
            trunk_above = row if row.trunk or row.kind == "output" else trunk_above
    yield from reversed(done)


def _ratio(row: SignalRow, above: SignalRow | None) -> float | None:
    if row.backward is None or above is None or above.backward is None:
        return None
    return _quotient(row.backward.norm, above.backward.norm)


def _quotient(numerator: float, denominator: float) -> float:
    if denominator:
        return float(numerator / denominator)
    return float("inf") if numerator else float("nan")


def _parameter_rows(
    entry: Kernel | Parameter, found: ParameterStatistics
) -> Iterator[ParameterRow]:
    layers = len(found.dead)
    kernel = isinstance(entry, Kernel)
    compared = kernel and entry.role != "embedding"
    size = math.prod(entry.shape) // max(layers, 1)
    for layer in range(layers):
        norm = norm_of([part[layer] for part in found.squares])
        slope = norm_of([part[layer] for part in found.slope_squares])
        index = layer if entry.stack_axes else None
        yield ParameterRow(
            name=layer_name(entry.path, index),
            path=entry.path,
            layer=index,
            kind="kernel" if kernel else entry.kind,
            role=entry.role if kernel else "",
            size=size,
            norm=norm,
            gradient_norm=slope,
            gradient_ratio=_quotient(slope, norm),
            dead=float(found.dead[layer].sum()) / max(size, 1),
            units=found.hashes[layer].size if compared else 0,
            identical_units=identical_units(found, layer) if compared else 0,
        )
