"""Everything that is known of one start of one model, for a table, a picture or a page."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax

from idinit_jax.schemes import Provenance, Scheme, explain_graph, get_scheme
from idinit_jax.signal.compare import Comparison, batch_of, compare_with, start, starts_by
from idinit_jax.signal.diagnose import diagnose_with
from idinit_jax.signal.meter import Meter, unit_noise
from idinit_jax.signal.recommend import CANDIDATES, Recommendation, recommend_from
from idinit_jax.signal.rows import SignalReport
from idinit_jax.signal.spectrum import Spectrum, spectrum
from idinit_jax.signal.verdict import Verdict
from idinit_jax.signal.weights import WeightRow, weight_spectra
from idinit_jax.tracing import traced
from idinit_jax.tracing.program import PyTree


class Inspection(NamedTuple):
    """One model, started by one scheme, seen on one batch.

    Attributes:
        scheme: its name.
        provenance: what each parameter started as, and why.
        report, verdict: the signal, and what is wrong with it.
        weights: the spectra of the kernels.
        spectrum: of the Jacobian from the input, or from behind an embedding, to the output.
        comparison: the same rows under other schemes, None if none were asked for.
        recommendation: made where the verdict is bad or schemes were compared.
    """

    scheme: str
    provenance: Provenance
    report: SignalReport
    verdict: Verdict
    weights: tuple[WeightRow, ...]
    spectrum: Spectrum
    comparison: Comparison | None
    recommendation: Recommendation | None

    def record(self) -> dict[str, Any]:
        """All of it as dicts, lists, strings and numbers; what is not finite becomes None."""
        found = {
            "scheme": self.scheme,
            "healthy": self.verdict.healthy,
            "findings": [finding._asdict() for finding in self.verdict.findings],
            "forward": self.verdict.forward and self.verdict.forward._asdict(),
            "backward": self.verdict.backward and self.verdict.backward._asdict(),
            "sensitivity": self.verdict.sensitivity and self.verdict.sensitivity._asdict(),
            "loss": self.report.loss,
            "gradient_norm": self.report.gradient_norm,
            "signal": [row.record() for row in self.report.rows],
            "parameters": [row.record() for row in self.report.parameters],
            "weights": [row._asdict() for row in self.weights],
            "spectrum": {
                **self.spectrum._asdict(),
                "singular_values": self.spectrum.singular_values.tolist(),
                "errors": self.spectrum.errors.tolist(),
            },
            "provenance": self.provenance.records(),
            "recommended": self.recommendation and self.recommendation.scheme,
        }
        return _plain(found)


def inspect_model(
    model: Any,
    key: jax.Array,
    *inputs: PyTree,
    scheme: str | Scheme = "idinit",
    others: Iterable[str | Scheme] = (),
    call_kwargs: Mapping[str, Any] = {},
) -> Inspection:
    """Initialize a model by a scheme and look at it from all sides.

    Args:
        model, key, inputs, scheme, call_kwargs: see `idinit_jax.schemes.initialize`.
        others: schemes to compare with; where the verdict is bad and there are none, the usual
            candidates are measured for a recommendation.
    """
    name = get_scheme(scheme).name
    known, batch = traced(model, inputs, call_kwargs), batch_of(model, inputs, call_kwargs)
    provenance = explain_graph(known.graph, scheme)
    values = start(known, key, batch, scheme)
    meter = Meter(known, unit_noise)
    report, verdict = diagnose_with(meter, values, batch)
    weights = weight_spectra(known, values)
    # Derivatives begin at the input, or behind the embedding of integers: the first row.
    jacobian = spectrum(known, values, *batch, start=report.rows[0].name)
    schemes = tuple(others) or (() if verdict.healthy else CANDIDATES)
    comparison = None
    if schemes:
        compared = {one.name: one for one in map(get_scheme, (scheme, *schemes))}
        starts = starts_by(compared.values(), known, key, batch)
        comparison = compare_with(meter, starts, batch)
    recommendation = recommend_from(comparison) if comparison else None
    return Inspection(
        name, provenance, report, verdict, weights, jacobian, comparison, recommendation
    )


def _plain(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {key: _plain(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_plain(value) for value in tree]
    if isinstance(tree, float):
        return tree if math.isfinite(tree) else None
    return tree
