"""Variance scaling: Xavier / Glorot, He / Kaiming, LeCun and their general form."""

import dataclasses
from typing import Any, Literal

import jax

from idinit_jax.initializers.arguments import check_choice, check_positive
from idinit_jax.initializers.axes import KernelAxes
from idinit_jax.initializers.contract import KernelRule, Key
from idinit_jax.initializers.gains import gain as nonlinearity_gain
from idinit_jax.initializers.sampling import DISTRIBUTIONS, Distribution, draw

Mode = Literal["fan_in", "fan_out", "fan_avg"]
MODES: tuple[Mode, ...] = ("fan_in", "fan_out", "fan_avg")


@dataclasses.dataclass(frozen=True, repr=False)
class variance_scaling(KernelRule):
    """Independent values of mean 0 and variance `scale / fan`.

    `fan_in = c_in / groups * taps` and `fan_out = c_out / groups * taps`: what one group sees.

    Args:
        scale: variance times fan, positive.
        mode: `fan_in`, `fan_out`, or `fan_avg`, their mean.
        distribution: `normal`; `uniform`; or `truncated_normal`, cut at two standard deviations
            of its parent and with the stated variance after the cut.
        in_axis, out_axis, batch_axis, groups: see `KernelRule`.

    Returns:
        An initializer.

    Raises:
        ValueError: scale is not positive; an unknown mode or distribution.

    >>> import idinit_jax, jax
    >>> kernel = idinit_jax.variance_scaling(4.0)(jax.random.key(0), (100, 1000))
    >>> round(float(kernel.std()), 2)
    0.2
    """

    scale: float = 1.0
    mode: Mode = "fan_in"
    distribution: Distribution = "normal"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("scale", self.scale)
        check_choice("mode", self.mode, MODES)
        check_choice("distribution", self.distribution, DISTRIBUTIONS)

    def kernel(self, key: Key, axes: KernelAxes, dtype: Any) -> jax.Array:
        std = (self.scale / fan(axes, self.mode)) ** 0.5
        return draw(self.distribution, std, key, axes.shape, dtype)


@dataclasses.dataclass(frozen=True, repr=False)
class he(KernelRule):
    """He / Kaiming: variance `gain(nonlinearity)^2 / fan`, for relu `2 / fan`.

    He et al. 2015 (arXiv 1502.01852), equations 10 and 14: `fan_in` keeps the variance of the
    activations, `fan_out` that of the gradients.

    Args:
        mode: `fan_in`, `fan_out`, or `fan_avg`, their mean.
        nonlinearity: what follows (or precedes) the kernel; see `gain`.
        distribution: `normal`, `uniform` or `truncated_normal`; see `variance_scaling`.
        negative_slope: of leaky_relu, 0.01 by default; None for the others.
        in_axis, out_axis, batch_axis, groups: see `KernelRule`.

    Returns:
        An initializer.

    Raises:
        ValueError: an unknown mode, nonlinearity or distribution.

    >>> import idinit_jax, jax
    >>> idinit_jax.he()
    he(mode='fan_in', nonlinearity='relu', distribution='normal')
    >>> round(float(idinit_jax.he()(jax.random.key(0), (200, 1000)).std()), 2)
    0.1
    """

    mode: Mode = "fan_in"
    nonlinearity: str = "relu"
    distribution: Distribution = "normal"
    negative_slope: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("mode", self.mode, MODES)
        check_choice("distribution", self.distribution, DISTRIBUTIONS)
        nonlinearity_gain(self.nonlinearity, self.negative_slope)

    def kernel(self, key: Key, axes: KernelAxes, dtype: Any) -> jax.Array:
        gain = nonlinearity_gain(self.nonlinearity, self.negative_slope)
        std = gain * fan(axes, self.mode) ** -0.5
        return draw(self.distribution, std, key, axes.shape, dtype)


@dataclasses.dataclass(frozen=True, repr=False)
class xavier(KernelRule):
    """Xavier / Glorot: variance `2 gain^2 / (fan_in + fan_out)`.

    Glorot and Bengio 2010, equation 16, whose distribution is uniform.

    Args:
        distribution: `uniform`, `normal` or `truncated_normal`; see `variance_scaling`.
        gain: a factor on the standard deviation, positive, such as `gain("tanh")`.
        in_axis, out_axis, batch_axis, groups: see `KernelRule`.

    Returns:
        An initializer.

    Raises:
        ValueError: an unknown distribution, or gain is not positive.

    >>> import idinit_jax, jax
    >>> round(float(idinit_jax.xavier()(jax.random.key(0), (100, 100)).std()), 2)
    0.1
    """

    distribution: Distribution = "uniform"
    gain: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("distribution", self.distribution, DISTRIBUTIONS)
        check_positive("gain", self.gain)

    def kernel(self, key: Key, axes: KernelAxes, dtype: Any) -> jax.Array:
        std = self.gain * fan(axes, "fan_avg") ** -0.5
        return draw(self.distribution, std, key, axes.shape, dtype)


@dataclasses.dataclass(frozen=True, repr=False)
class lecun(KernelRule):
    """LeCun: variance `1 / fan_in`, so that a linear layer keeps the variance of its input.

    LeCun et al. 1998, "Efficient BackProp", equation 16. With the default distribution it is what
    Flax gives a kernel by default.

    Args:
        distribution: `truncated_normal`, `normal` or `uniform`; see `variance_scaling`.
        in_axis, out_axis, batch_axis, groups: see `KernelRule`.

    Returns:
        An initializer.

    Raises:
        ValueError: an unknown distribution.

    >>> import idinit_jax, jax
    >>> round(float(idinit_jax.lecun()(jax.random.key(0), (100, 1000)).std()), 2)
    0.1
    """

    distribution: Distribution = "truncated_normal"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("distribution", self.distribution, DISTRIBUTIONS)

    def kernel(self, key: Key, axes: KernelAxes, dtype: Any) -> jax.Array:
        std = fan(axes, "fan_in") ** -0.5
        return draw(self.distribution, std, key, axes.shape, dtype)


def fan(axes: KernelAxes, mode: Mode) -> float:
    """The fan that a mode names."""
    if mode == "fan_avg":
        return (axes.fan_in + axes.fan_out) / 2
    return axes.fan_in if mode == "fan_in" else axes.fan_out
