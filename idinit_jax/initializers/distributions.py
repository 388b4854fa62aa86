"""Random values that do not look at the shape: normal, truncated normal, uniform."""

import dataclasses
import math
from typing import Any, Literal

import jax

from idinit_jax.initializers.arguments import check_not_negative, check_positive, check_real
from idinit_jax.initializers.contract import Key, Rule

Distribution = Literal["normal", "uniform", "truncated_normal"]
DISTRIBUTIONS: tuple[Distribution, ...] = ("normal", "uniform", "truncated_normal")

_CUT = 2.0


def draw(distribution: Distribution, key: Key, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """Values of mean 0 and variance 1: N(0, 1), U(-sqrt(3), sqrt(3)), or N cut at 2 parent stds."""
    if distribution == "normal":
        return jax.random.normal(key, shape, dtype)
    if distribution == "uniform":
        return jax.random.uniform(key, shape, dtype, -math.sqrt(3), math.sqrt(3))
    return jax.random.truncated_normal(key, -_CUT, _CUT, shape, dtype) / truncated_std(_CUT)


def truncated_std(cut: float) -> float:
    """Standard deviation of N(0, 1) given `abs(z) < cut`.

    >>> round(truncated_std(2.0), 6)
    0.879626
    """
    density = math.exp(-(cut**2) / 2) / math.sqrt(2 * math.pi)
    return math.sqrt(1 - 2 * cut * density / math.erf(cut / math.sqrt(2)))


@dataclasses.dataclass(frozen=True, repr=False)
class normal(Rule):
    """Independent N(0, std^2) values.

    Args:
        std: standard deviation, at least 0.

    Returns:
        An initializer.

    Raises:
        ValueError: std is negative.

    >>> import idinit_jax, jax
    >>> round(float(idinit_jax.normal(0.02)(jax.random.key(0), (64, 64)).std()), 3)
    0.02
    """

    std: float = 1e-2

    def __post_init__(self) -> None:
        check_not_negative("std", self.std)

    def values(self, key: Key, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        return self.std * draw("normal", key, shape, dtype)


@dataclasses.dataclass(frozen=True, repr=False)
class truncated_normal(Rule):
    """N(0, std^2) given `abs(x) < cut * std`: `std` is that of the parent, before the cut.

    The values' own standard deviation is smaller, 0.8796 std at the default cut. It is the
    convention of PyTorch's `trunc_normal_` and JAX's `truncated_normal`; see
    `truncated_normal_exact` for the other.

    Args:
        std: standard deviation of the parent normal, at least 0.
        cut: where the parent is cut, in its standard deviations, positive.

    Returns:
        An initializer.

    Raises:
        ValueError: std is negative or cut is not positive.

    >>> import idinit_jax, jax
    >>> round(float(idinit_jax.truncated_normal(1.0)(jax.random.key(0), (256, 256)).std()), 2)
    0.88
    """

    std: float = 1e-2
    cut: float = _CUT

    def __post_init__(self) -> None:
        check_not_negative("std", self.std)
        check_positive("cut", self.cut)

    def values(self, key: Key, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        return self.std * jax.random.truncated_normal(key, -self.cut, self.cut, shape, dtype)


@dataclasses.dataclass(frozen=True, repr=False)
class truncated_normal_exact(Rule):
    """A truncated normal whose own standard deviation is exactly `std`, after the cut.

    The parent's is `std / truncated_std(cut)`. It is the convention of variance scaling, so of
    `he`, `xavier` and `lecun` with `distribution="truncated_normal"`.

    Args:
        std: standard deviation of the values, at least 0.
        cut: where the parent is cut, in the parent's standard deviations, positive.

    Returns:
        An initializer.

    Raises:
        ValueError: std is negative or cut is not positive.

    >>> import idinit_jax, jax
    >>> round(float(idinit_jax.truncated_normal_exact(1.0)(jax.random.key(0), (256, 256)).std()), 2)
    1.0
    """

    std: float = 1e-2
    cut: float = _CUT

    def __post_init__(self) -> None:
        check_not_negative("std", self.std)
        check_positive("cut", self.cut)

    def values(self, key: Key, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        return truncated_normal(self.std / truncated_std(self.cut), self.cut).values(
            key, shape, dtype
        )


@dataclasses.dataclass(frozen=True, repr=False)
class uniform(Rule):
    """Independent values, uniform in `[low, high)`.

    Args:
        low, high: the ends of the interval, low < high.

    Returns:
        An initializer.

    Raises:
        ValueError: the interval is empty.

    >>> import idinit_jax, jax
    >>> values = idinit_jax.uniform(-0.1, 0.1)(jax.random.key(0), (64, 64))
    >>> bool((abs(values) <= 0.1).all())
    True
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        check_real("low", self.low)
        check_real("high", self.high)
        if self.low >= self.high:
            raise ValueError(f"uniform needs low < high, got low={self.low!r}, high={self.high!r}")

    def values(self, key: Key, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, self.low, self.high)
