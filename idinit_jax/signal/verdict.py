"""What is wrong with a signal, and where it goes wrong first."""

import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from idinit_jax.signal.growth import Growth, growth
from idinit_jax.signal.rows import SignalReport, SignalRow

Problem = Literal[
    "NaN", "exploding", "vanishing", "saturated", "rank-collapsed", "dead", "symmetric"
]

# Ratios over the whole depth from which on a signal counts as lost, if its trend agrees: of
# variances either way and of squared gradients that fall; gradients that grow towards the input
# do harm earlier, as one step size has to fit all layers.
LARGEST_RATIO, LARGEST_GRADIENT_GROWTH = 1e4, 100.0
# Cosine between different inputs from which on the network cannot tell them apart.
SAME = 0.9999
# Standard deviation of logits, and of what goes into a squashing function, that leaves next to
# no derivative: tanh' is 0.001 at 4, sigmoid' 0.0003 at 8, and one of many logits takes it all.
LARGEST_LOGITS = 4.0
LARGEST_SQUASHED = {"tanh": 4.0, "hard_tanh": 4.0, "sigmoid": 8.0, "hard_sigmoid": 8.0}
# Fraction of a kernel's entries without gradient, and of its units that have a twin.
DEAD, IDENTICAL = 0.99, 0.1


class Finding(NamedTuple):
    """One thing that is wrong: the problem, the first layer that has it, and the numbers."""

    problem: Problem
    layer: str
    evidence: str

    def __str__(self) -> str:
        return f"{self.problem} at {self.layer}: {self.evidence}"


class Verdict(NamedTuple):
    """The judgement of one measurement.

    Attributes:
        findings: what is wrong, worst first; nothing for a healthy network.
        forward: growth of the variance along the main path, None where it has no two layers.
        backward: growth of the squared gradient norm from the output down.
    """

    findings: tuple[Finding, ...]
    forward: Growth | None
    backward: Growth | None

    @property
    def healthy(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def __str__(self) -> str:
        lines = [str(finding) for finding in self.findings] or ["healthy"]
        lines += [f"forward variance: {self.forward or 'no layers to compare'}"]
        lines += [f"backward gradient: {self.backward or 'no layers to compare'}"]
        return "\n".join(lines)


def judge(report: SignalReport, later: SignalReport | None = None) -> Verdict:
    """Judge a measurement.

    Args:
        report: at the start.
        later: after a few steps of training, see `diagnose`. A zero that training leaves at once,
            such as the last kernel of a branch in Fixup, is then no death and no symmetry.

    Returns:
        The verdict, with the first offending layer of each problem.

    >>> import jax.numpy as jnp, idinit_jax.signal as signal
    >>> print(judge(signal.measure(lambda w, x: x @ w, jnp.zeros((4, 4)), jnp.eye(4))))
    healthy
    forward variance: no layers to compare
    backward gradient: no layers to compare
    """
    settled = later or report
    path = _main_path(report)
    forward = growth([row.variance for row in path])
    backward = growth([_square(row) for row in reversed(_main_path(settled)) if row.backward])
    found = [
        *filter(None, [find_nonfinite(report)]),
        *_lost_forward(path, forward),
        *_lost_backward(settled, backward),
        *_saturated(report),
        *_collapsed(path),
        *_dead(report, settled),
        *_symmetric(report, settled),
    ]
    return Verdict(tuple(found), forward, backward)


def _main_path(report: SignalReport) -> list[SignalRow]:
    """The input, then kernels and sums on the main path. A head may have any scale."""
    return [
        row
        for row in report.rows
        if row.kind == "input" or (row.trunk and row.role not in ("head", "embedding"))
    ]


def _square(row: SignalRow) -> float:
    return math.nan if row.backward is None else row.backward.norm**2


def find_nonfinite(report: SignalReport) -> Finding | None:
    """Where a signal is NaN or infinite first: forward, then backward; None where it is finite."""
    rows = [row for row in report.rows if not _is_finite(row)]
    # A row of attention that is masked out as a whole is NaN, and harmless if nobody looks at it.
    if any(row.kind != "softmax" for row in rows):
        share = rows[0].forward.nonfinite
        return Finding("NaN", rows[0].name, f"{share:.3g} of the activation is NaN or infinite")
    if not math.isfinite(report.loss):
        return Finding("NaN", "loss", f"the loss is {report.loss}")
    for row in reversed(report.rows):
        if row.backward is not None and not math.isfinite(row.backward.norm):
            share = row.backward.nonfinite
            return Finding("NaN", row.name, f"{share:.3g} of the gradient is NaN or infinite")
    for parameter in report.parameters:
        if not math.isfinite(parameter.norm + parameter.gradient_norm):
            norms = f"norm {parameter.norm:.3g}, gradient norm {parameter.gradient_norm:.3g}"
            return Finding("NaN", parameter.name, norms)
    return None


def _is_finite(row: SignalRow) -> bool:
    return math.isfinite(row.forward.rms) and not row.forward.nonfinite


def _lost_forward(path: Sequence[SignalRow], trend: Growth | None) -> Iterator[Finding]:
    variances = [row.variance for row in path]
    yield from _beyond(path, variances, trend, "exploding", LARGEST_RATIO, "variance")
    yield from _beyond(path, variances, trend, "vanishing", 1.0 / LARGEST_RATIO, "variance")


def _lost_backward(report: SignalReport, trend: Growth | None) -> Iterator[Finding]:
    path = [row for row in reversed(_main_path(report)) if row.backward]
    squares, what = [_square(row) for row in path], "squared gradient norm"
    yield from _beyond(path, squares, trend, "exploding", LARGEST_GRADIENT_GROWTH, what)
    yield from _beyond(path, squares, trend, "vanishing", 1.0 / LARGEST_RATIO, what)


def _beyond(
    path: Sequence[SignalRow],
    values: Sequence[float],
    trend: Growth | None,
    problem: Problem,
    ratio: float,
    what: str,
) -> Iterator[Finding]:
    """The first row beyond `ratio` times the first value, if all layers lead there together."""
    if trend is None or not _exceeds(trend.ratio, ratio) or not _exceeds(trend.trend, ratio):
        return
    first = next(value for value in values if value > 0)
    for row, value in zip(path, values, strict=True):
        if _exceeds(value / first, ratio):
            yield Finding(problem, row.name, f"{what} {value:.3g} after {first:.3g}, {trend}")
            return


def _exceeds(value: float, ratio: float) -> bool:
    """Above a ratio that is above one, below one that is below."""
    return value > ratio if ratio > 1.0 else 0.0 < value < ratio


def _saturated(report: SignalReport) -> Iterator[Finding]:
    for row in report.rows:
        std, squash = row.forward.std, row.nonlinearity or ""
        if row.kind == "softmax" and std > LARGEST_LOGITS:
            numbers = f"the logits' standard deviation is {std:.3g}, more than {LARGEST_LOGITS:g}"
            yield Finding("saturated", row.name, numbers)
            return
        limit = LARGEST_SQUASHED.get(squash, math.inf)
        if row.kind == "kernel" and not row.norm_follows and row.forward.rms > limit:
            numbers = f"{squash} of numbers of root mean square {row.forward.rms:.3g}"
            yield Finding("saturated", row.name, f"{numbers}, more than {limit:g}")
            return


def _collapsed(rows: Sequence[SignalRow]) -> Iterator[Finding]:
    """Inputs, or positions of one, that start apart and end up the same."""
    for what, of in (("inputs", "cosine"), ("positions", "position_cosine")):
        cosines = [getattr(row.forward, of) for row in rows]
        apart = next((cosine for cosine in cosines if not math.isnan(cosine)), 1.0)
        if apart > 0.99 or not cosines[-1] > SAME:
            continue
        first = next(i for i, cosine in enumerate(cosines) if cosine > SAME)
        numbers = f"cosine {cosines[first]:.6f} between different {what}, {apart:.3g} at the start"
        yield Finding("rank-collapsed", rows[first].name, numbers)
        return


def _dead(report: SignalReport, later: SignalReport) -> Iterator[Finding]:
    for row, after in zip(report.parameters, later.parameters, strict=True):
        limit = 1.0 if row.role == "embedding" else DEAD
        if row.kind == "kernel" and row.dead >= limit and after.dead >= limit:
            numbers = f"{after.dead:.3g} of the kernel has a gradient of exactly zero"
            yield Finding("dead", row.name, numbers)
            return


def _symmetric(report: SignalReport, later: SignalReport) -> Iterator[Finding]:
    for row, after in zip(report.parameters, later.parameters, strict=True):
        count = min(row.identical_units, after.identical_units)
        if count > IDENTICAL * row.units:
            numbers = f"{count} of {row.units} units are identical to another one"
            yield Finding("symmetric", row.name, numbers)
            return
