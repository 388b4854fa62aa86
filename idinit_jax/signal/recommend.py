"""Which scheme fits a model: each candidate is measured on it."""

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax

from idinit_jax.schemes import Scheme
from idinit_jax.signal.compare import Comparison, compare
from idinit_jax.signal.growth import Growth
from idinit_jax.signal.meter import Loss, unit_noise
from idinit_jax.signal.verdict import Verdict
from idinit_jax.tracing.program import PyTree

CANDIDATES = ("he", "xavier", "lecun", "orthogonal", "idinit")


class Evidence(NamedTuple):
    """What was measured of one candidate.

    Attributes:
        scheme: its name.
        drift: decades by which variance and squared gradient change along the main path, the sum
            of the two absolute logarithms to base 10; infinite where one is lost.
        verdict: see `judge`.
    """

    scheme: str
    drift: float
    verdict: Verdict


class Recommendation(NamedTuple):
    """The candidate whose signal changes least, and all that was measured, best first."""

    scheme: str
    evidence: tuple[Evidence, ...]
    comparison: Comparison

    def __str__(self) -> str:
        best, *others = self.evidence
        lines = [f"recommended: {best.scheme}, {_numbers(best)}"]
        if not best.verdict.healthy:
            lines = [f"none of the candidates is healthy; the least bad is {best.scheme}"]
        lines += [f"  {one.scheme}: {_numbers(one)}" for one in others]
        return "\n".join(lines)


def recommend(
    model: Any,
    *inputs: PyTree,
    candidates: Iterable[str | Scheme] = CANDIDATES,
    key: jax.Array | None = None,
    loss: Loss = unit_noise,
    targets: tuple[PyTree, ...] = (),
    call_kwargs: Mapping[str, Any] = {},
) -> Recommendation:
    """Initialize a model with each candidate, measure it, and recommend the steadiest signal.

    The order is: healthy before broken, then by the drift of variance and gradient in decades.
    That keeps what depth and activations do to a signal from being looked up in a table, but says
    nothing of how fast the model then learns.

    Args:
        model, inputs, key, loss, targets, call_kwargs: see `compare`.
        candidates: schemes.

    >>> import jax, jax.numpy as jnp
    >>> network = lambda ws, x: jax.lax.scan(lambda x, w: (jax.nn.relu(x @ w), None), x, ws)[0]
    >>> x = jax.random.normal(jax.random.key(0), (16, 64))
    >>> kernels = jax.ShapeDtypeStruct((30, 64, 64), jnp.float32)
    >>> recommend(network, kernels, x, candidates=["he", "xavier"]).scheme
    'he'
    """
    comparison = compare(
        candidates, model, *inputs, key=key, loss=loss, targets=targets, call_kwargs=call_kwargs
    )
    return recommend_from(comparison)


def recommend_from(comparison: Comparison) -> Recommendation:
    """The recommendation that a comparison supports."""
    evidence = [
        Evidence(name, _decades(verdict.forward) + _decades(verdict.backward), verdict)
        for name, verdict in comparison.verdicts.items()
    ]
    evidence.sort(key=lambda one: (len(one.verdict.findings), one.drift))
    return Recommendation(evidence[0].scheme, tuple(evidence), comparison)


def _decades(growth: Growth | None) -> float:
    if growth is None:
        return 0.0
    return abs(math.log10(growth.ratio)) if 0 < growth.ratio < math.inf else math.inf


def _numbers(one: Evidence) -> str:
    forward, backward = one.verdict.forward, one.verdict.backward
    numbers = [
        *([f"variance x {forward.ratio:.3g} forward"] if forward else []),
        *([f"squared gradient x {backward.ratio:.3g} backward"] if backward else []),
    ]
    found = list(map(str, one.verdict.findings))
    return "; ".join([", ".join(numbers) or "no layers to compare", *found])
