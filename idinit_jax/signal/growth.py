"""How fast a signal grows or decays from layer to layer, and where that leads."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# Outside of these float32 has little or nothing left.
FLOOR, CEILING = 1e-30, 1e30
# Steps from which on a trend is worth extrapolating.
FEWEST_LAYERS = 3


class Growth(NamedTuple):
    """Geometric growth `value * factor ** layer`.

    Attributes:
        factor: per layer, fitted to the second half of the layers, where it has settled.
        early_factor: per layer, fitted to the first half.
        ratio: last value over the first.
        layers: steps between the first and the last value.
        limit_layer: the layer at which the trend leaves the range from 1e-30 to 1e30, None if it
            has none to speak of.
    """

    factor: float
    early_factor: float
    ratio: float
    layers: int
    limit_layer: int | None

    @property
    def trend(self) -> float:
        """What the factor makes over all layers, at most what a float can hold."""
        return _power(self.factor, self.layers)

    @property
    def early_trend(self) -> float:
        """What the factor of the first half makes over all layers."""
        return _power(self.early_factor, self.layers)

    @property
    def is_even(self) -> bool:
        """Whether both halves go the same way at about the same pace, so that it may go on."""
        early, late = math.log(self.early_factor), math.log(self.factor)
        return min(early / late, late / early) > 0.5 if early and late else early == late

    def __str__(self) -> str:
        if abs(math.log(self.factor)) * max(self.layers, 1) < math.log(2.0):
            return f"steady (x {self.factor:.3g} a layer)"
        if self.layers < FEWEST_LAYERS or not self.is_even:
            return f"x {self.ratio:.3g} in {self.layers} layer{'s' if self.layers > 1 else ''}"
        layers = abs(math.log(2.0) / math.log(self.factor))
        falls = self.factor < 1.0
        pace = f"{'halves' if falls else 'doubles'} every {layers:.2g} layers"
        if layers < 1.0:
            pace = f"x {self.factor:.3g} a layer"
        bound = "below 1e-30" if falls else "above 1e+30"
        return f"{pace}; {bound} at layer {self.limit_layer}"


def growth(values: Sequence[float]) -> Growth | None:
    """Fit a geometric trend to one value a layer; None for fewer than two positive numbers.

    Args:
        values: variances or squared norms in the order in which the signal travels.

    >>> str(growth([1.0, 0.5, 0.25, 0.125]))
    'halves every 1 layers; below 1e-30 at layer 100'
    """
    layers = np.arange(len(values), dtype=np.float64)
    numbers = np.asarray(values, np.float64)
    kept = np.isfinite(numbers) & (numbers > 0)
    if kept.sum() < 2:
        return None
    layers, logs = layers[kept], np.log(numbers[kept])
    half = len(logs) // 2 if len(logs) >= 4 else 0
    slope = _slope(layers[half:], logs[half:])
    early = _slope(layers[: len(logs) - half], logs[: len(logs) - half])
    limit = math.log(FLOOR if slope < 0 else CEILING)
    ahead = (limit - logs[-1]) / slope if slope else math.inf
    return Growth(
        math.exp(min(slope, 700.0)),
        math.exp(min(early, 700.0)),
        math.exp(min(logs[-1] - logs[0], 700.0)),
        int(layers[-1] - layers[0]),
        math.ceil(layers[-1] + max(ahead, 0.0)) if ahead < 1e9 else None,
    )


def _slope(layers: np.ndarray, logs: np.ndarray) -> float:
    return float(np.polyfit(layers, logs, 1)[0])


def _power(factor: float, layers: int) -> float:
    return math.exp(min(700.0, layers * math.log(factor)))
