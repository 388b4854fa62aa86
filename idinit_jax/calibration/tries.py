"""Correcting and verifying passes, until every kernel is within tolerance."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np

from idinit_jax.calibration.correction import Seen, is_alive
from idinit_jax.calibration.gauges import Gauge
from idinit_jax.calibration.moments import Moments
from idinit_jax.calibration.report import BiasReading, KernelReading, LsuvReport

Leaves = list[jax.Array]
# The power that the correction of a kernel with several uses is raised to, one a layer.
Steps = dict[str, np.ndarray]
OnePass = Callable[[Leaves, Steps, bool], tuple[Leaves, Seen]]


class Limits(NamedTuple):
    """When to stop: abs(variance / target_std**2 - 1) < tolerance, or after max_tries."""

    target_std: float
    tolerance: float
    max_tries: int

    def reached(self, seen: Moments) -> np.ndarray:
        """Which layers are within tolerance."""
        return np.abs(np.asarray(seen.variance) / self.target_std**2 - 1) < self.tolerance

    def settled(self, seen: Moments) -> bool:
        """Whether no layer is left that another try could bring within tolerance."""
        return bool((self.reached(seen) | ~np.asarray(is_alive(seen))).all())


def repeat(
    one_pass: OnePass,
    leaves: Leaves,
    kernels: Sequence[Gauge],
    biases: Sequence[Gauge],
    limits: Limits,
) -> tuple[Leaves, LsuvReport]:
    """Correct and verify at least once, and again where several uses of a kernel ask for it."""
    rescaled = [gauge for gauge in kernels if not gauge.left_alone]
    shared = [gauge for gauge in rescaled if gauge.uses > 1]
    steps = {one.path: np.full(one.layers, 1 / one.uses, np.float32) for one in shared}
    seen = []
    for _ in range(limits.max_tries):
        leaves, corrected = one_pass(leaves, steps, True)
        _, verified = one_pass(leaves, steps, False)
        seen += [jax.device_get(corrected), jax.device_get(verified)]
        if not shared or all(limits.settled(verified.kernels[one.path]) for one in rescaled):
            break
        steps = {one.path: _next_step(one, *seen[-2:]) for one in shared}
    return leaves, _report(seen, kernels, biases, limits)


def _next_step(gauge: Gauge, corrected: Seen, verified: Seen) -> np.ndarray:
    """One over the power of its kernel's scale that the signal has just followed.

    This is the secant method in logarithms. With n uses in a row the power lies between 1 and n;
    a first step of 1 / n cannot overshoot.
    """
    before, after = corrected.kernels[gauge.path].variance, verified.kernels[gauge.path].variance
    with np.errstate(all="ignore"):
        power = 0.5 * np.log(after / before) / np.log(corrected.gains[gauge.path])
    power = np.where(np.isfinite(power), power, gauge.uses)
    return 1 / np.clip(power, 1, gauge.uses).astype(np.float32)


def _report(
    seen: Sequence[Seen], kernels: Sequence[Gauge], biases: Sequence[Gauge], limits: Limits
) -> LsuvReport:
    return LsuvReport(
        tuple(reading for gauge in kernels for reading in _kernel_readings(gauge, seen, limits)),
        tuple(reading for gauge in biases for reading in _bias_readings(gauge, seen)),
        len(seen),
    )


def _kernel_readings(gauge: Gauge, seen: Sequence[Seen], limits: Limits) -> Iterator[KernelReading]:
    if not gauge.meters:
        yield KernelReading(gauge.path, None, np.nan, np.nan, 1.0, gauge.left_alone)
        return
    before, after = (one.kernels[gauge.path] for one in (seen[0], seen[-1]))
    scales = np.prod([one.gains.get(gauge.path, np.ones(gauge.layers)) for one in seen], axis=0)
    notes = np.where(is_alive(after), "not within tolerance", "constant output").astype(object)
    notes[np.isnan(after.variance)] = "not run on this batch, or NaN"
    notes[limits.reached(after)] = ""
    for layer in range(gauge.layers):
        yield KernelReading(
            gauge.path,
            layer if gauge.stack_axes else None,
            float(np.sqrt(before.variance[layer])),
            float(np.sqrt(after.variance[layer])),
            float(scales[layer]),
            gauge.left_alone or str(notes[layer]),
        )


def _bias_readings(gauge: Gauge, seen: Sequence[Seen]) -> Iterator[BiasReading]:
    before, after = (one.biases[gauge.path].mean for one in (seen[0], seen[-1]))
    for layer in range(gauge.layers):
        index = layer if gauge.stack_axes else None
        yield BiasReading(gauge.path, index, float(before[layer]), float(after[layer]))
