"""What is wrong with a signal, and where it goes wrong first."""

import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from idinit_jax.signal.growth import Growth, growth
from idinit_jax.signal.rows import SignalReport, SignalRow

Problem = Literal[
    "NaN", "exploding", "vanishing", "saturated", "rank-collapsed", "dead", "symmetric"
]

# Ratios over the whole depth from which on a signal counts as lost, if its trend agrees: of the
# variance, up and down, and of the sensitivity (see `Verdict`), which starves or floods the lower
# layers. A norm after a kernel makes its output blind to its scale, so that too large a step only
# makes the kernel larger and the next step smaller: such networks bear more.
LARGEST_VARIANCE, SMALLEST_VARIANCE = 1e4, 1e-6
LARGEST_SENSITIVITY, LARGEST_SENSITIVITY_UNDER_NORMS, SMALLEST_SENSITIVITY = 64.0, 1e4, 1e-4
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
        sensitivity: growth of the mean square of the activation times the squared norm of its
            gradient, from the output down: how much the loss feels a change of the activation in
            proportion to it. Unlike the gradient it does not depend on the activation's unit, and
            in a ReLU network it is the same in all layers.
    """

    findings: tuple[Finding, ...]
    forward: Growth | None
    backward: Growth | None
    sensitivity: Growth | None

    @property
    def healthy(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def __str__(self) -> str:
        lines = [str(finding) for finding in self.findings] or ["healthy"]
        lines += [f"forward variance: {self.forward or 'no layers to compare'}"]
        lines += [f"backward gradient: {self.backward or 'no layers to compare'}"]
        lines += [f"backward sensitivity: {self.sensitivity or 'no layers to compare'}"]
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
    >>> print(judge(signal.measure(lambda w, x: x @ w, jnp.zeros((8, 4)), jnp.eye(8))))
    healthy
    forward variance: no layers to compare
    backward gradient: no layers to compare
    backward sensitivity: no layers to compare
    """
    settled = later or report
    path, way_down = _main_path(report), _way_down(settled)
    forward = growth([row.variance for row in path])
    sensitivity = growth([_sensitivity(row) for row in way_down])
    found = [
        *filter(None, [find_nonfinite(report)]),
        *_lost_forward(path, forward),
        *_lost_backward(settled, sensitivity),
        *_saturated(report),
        *_collapsed(path),
        *_dead(report, settled),
        *_symmetric(report, settled),
    ]
    backward = growth([_square(row) for row in way_down])
    return Verdict(tuple(found), forward, backward, sensitivity)


def _main_path(report: SignalReport) -> list[SignalRow]:
    """The input, then kernels and sums on the main path. A head may have any scale."""
    return [
        row
        for row in report.rows
        if row.kind == "input" or (row.trunk and row.role not in ("head", "embedding"))
    ]


def _way_down(report: SignalReport) -> list[SignalRow]:
    """The main path from the output down, where it has a gradient."""
    return [row for row in reversed(_main_path(report)) if row.backward is not None]


def _square(row: SignalRow) -> float:
    return math.nan if row.backward is None else row.backward.norm**2


def _sensitivity(row: SignalRow) -> float:
    return row.forward.rms**2 * _square(row)


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
    # The branch of a conditional that is not taken has no numbers: none that is finite, none not.
    return not row.forward.nonfinite


def _lost_forward(path: Sequence[SignalRow], trend: Growth | None) -> Iterator[Finding]:
    """A variance that leaves its range and goes on to do so, or stays there."""
    if trend is None:
        return
    values = [row.variance for row in path]
    last = next(value for value in reversed(values) if 0 < value < math.inf)
    limits: tuple[tuple[Problem, float], ...]
    limits = (("exploding", LARGEST_VARIANCE), ("vanishing", SMALLEST_VARIANCE))
    for problem, ratio in limits:
        if _beyond(trend.ratio, ratio) and (_beyond(trend.trend, ratio) or _beyond(last, ratio)):
            yield _first_beyond(problem, path, values, ratio, f"variance {{}}, {trend}")


def _lost_backward(report: SignalReport, trend: Growth | None) -> Iterator[Finding]:
    """A sensitivity that grows or falls geometrically, in both halves of the depth."""
    path = _way_down(report)
    values = [_sensitivity(row) for row in path]
    largest = LARGEST_SENSITIVITY_UNDER_NORMS if _is_normed(report) else LARGEST_SENSITIVITY
    if trend and _is_geometric(trend, largest):
        yield _first_beyond("exploding", path, values, largest, f"sensitivity {{}}, {trend}")
    values = _best_of_uses(report, path, values)
    trend = growth(values)
    if trend and _is_geometric(trend, SMALLEST_SENSITIVITY):
        text = f"sensitivity {{}}, {trend}"
        yield _first_beyond("vanishing", path, values, SMALLEST_SENSITIVITY, text)


def _is_geometric(trend: Growth, ratio: float) -> bool:
    trends = (trend.trend, trend.early_trend)
    return _beyond(trend.ratio, ratio) and all(_beyond(one, ratio**0.5) for one in trends)


def _first_beyond(
    problem: Problem, path: Sequence[SignalRow], values: Sequence[float], ratio: float, text: str
) -> Finding:
    first = next(value for value in values if 0 < value < math.inf)
    row, value = next(
        (row, value)
        for row, value in zip(path, values, strict=True)
        if _beyond(value / first, ratio)
    )
    return Finding(problem, row.name, text.format(f"{value:.3g} after {first:.3g}"))


def _beyond(value: float, ratio: float) -> bool:
    """Above a ratio that is above one, below one that is below."""
    return value > ratio if ratio > 1.0 else 0.0 < value < ratio


def _is_normed(report: SignalReport) -> bool:
    """Whether norms follow most kernels."""
    kernels = [row for row in report.rows if row.kind == "kernel" and row.role != "head"]
    return sum(row.norm_follows for row in kernels) > len(kernels) / 2


def _best_of_uses(
    report: SignalReport, path: Sequence[SignalRow], values: Sequence[float]
) -> list[float]:
    """The largest value over all turns that share their kernels.

    A gradient may fade through time: the kernel of a recurrent network learns from late steps.
    """
    best: dict[str, float] = {}
    names = [_learner(report, row) for row in path]
    for name, value in zip(names, values, strict=True):
        best[name] = max(value, best.get(name, value))
    return [best[name] for name in names]


def _learner(report: SignalReport, row: SignalRow) -> str:
    """What learns at a row, by name: turns of a loop that has no layers are one."""
    kernels = [report.graph[row.parameter]] if row.parameter else report.graph.kernels
    if any(kernel.stack_axes for kernel in kernels):
        return row.name
    return row.parameter or row.name.removesuffix(f"[{row.layer}]")


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
    idle = _idle(report)
    for row, after in zip(report.parameters, later.parameters, strict=True):
        limit = 1.0 if row.role == "embedding" else DEAD
        if row.kind == "kernel" and row.path not in idle and min(row.dead, after.dead) >= limit:
            numbers = f"{after.dead:.0%} of its entries have a gradient of exactly zero"
            yield Finding("dead", row.name, numbers)
            return


def _idle(report: SignalReport) -> set[str]:
    """Kernels that only branches of conditionals use which were not taken: they have no numbers."""
    rows = [row for row in report.rows if row.kind == "kernel"]
    ran = {row.parameter for row in rows if not math.isnan(row.forward.rms) or not _is_finite(row)}
    return {row.parameter for row in rows} - ran


def _symmetric(report: SignalReport, later: SignalReport) -> Iterator[Finding]:
    for row, after in zip(report.parameters, later.parameters, strict=True):
        count = min(row.identical_units, after.identical_units)
        if count > IDENTICAL * row.units:
            numbers = f"{count} of {row.units} units are identical to another one"
            yield Finding("symmetric", row.name, numbers)
            return
