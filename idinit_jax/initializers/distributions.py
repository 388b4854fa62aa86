"""Random values that do not look at the shape: normal, truncated normal, uniform."""

import dataclasses
from typing import Any

import jax

from idinit_jax.initializers.arguments import check_not_negative, check_positive, check_real
from idinit_jax.initializers.contract import Key, Rule
from idinit_jax.initializers.sampling import (
    CUT,
    draw_normal,
    draw_truncated,
    draw_uniform,
    truncated_std,
)


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
        return draw_normal(self.std, key, shape, dtype)


@dataclasses.dataclass(frozen=True, repr=False)
class truncated_normal(Rule):
    """N(0, std^2) given `abs(x) <= cut * std`: `std` is that of the parent, before the cut.

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
    cut: float = CUT

    def __post_init__(self) -> None:
        check_not_negative("std", self.std)
        check_positive("cut", self.cut)

    @property
    def parent_std(self) -> float:
        """Standard deviation before the cut."""
        return self.std

    def values(self, key: Key, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        return draw_truncated(self.parent_std, self.cut, key, shape, dtype)


@dataclasses.dataclass(frozen=True, repr=False)
class truncated_normal_exact(truncated_normal):
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

    @property
    def parent_std(self) -> float:
        """Standard deviation before the cut."""
        return self.std / truncated_std(self.cut)


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
        return draw_uniform(self.low, self.high, key, shape, dtype)
