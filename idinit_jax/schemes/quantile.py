"""Standard draws from 32 random bits, with the same bits of result on every backend.

A draw is looked up: the high 16 bits name one of 65,536 slices of equal probability, the low 16
bits a place within it, `mid[high] + slope[high] * low`. The product of an 8-bit slope and a 16-bit
place is exact in float32, so a fused multiply-add rounds as two operations do, and no logarithm
or polynomial is left to differ between NumPy and XLA, CPU and GPU, or jit and eager.

The slices are flat, which moves the distribution function by less than 1e-7, and the normal's
outermost ones end at 4.6 standard deviations, keeping the mean of the tail that they stand for.
Every table has mean 0 and variance 1.
"""

import math
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np
from jax import numpy as jnp

Distribution = Literal["normal", "uniform", "truncated_normal"]

_SLICES = 1 << 16
_LOW = 1 << 16
_CUT = 2.0


class Table(NamedTuple):
    """Per slice, the value at the low end and the step from one place to the next."""

    start: np.ndarray
    slope: np.ndarray


def draws(distribution: Distribution, words: Any) -> Any:
    """One draw of mean 0 and variance 1 from each 32-bit word.

    Args:
        distribution: "normal", "uniform" or "truncated_normal" (N(0, 1) cut at 2, then scaled).
        words: uint32, of NumPy or JAX.

    Returns:
        float32 of the shape of `words`, from the same library.
    """
    table = quantile_table(distribution)
    if isinstance(words, np.ndarray):
        high = (words >> np.uint32(16)).astype(np.intp)
        low = (words & np.uint32(_LOW - 1)).astype(np.float32)
        low *= table.slope.take(high)
        low += table.start.take(high)
        return low
    high = (words >> 16).astype(jnp.int32)
    low = (words & (_LOW - 1)).astype(jnp.int32).astype(jnp.float32)
    start, slope = (jnp.asarray(column).at[high].get(mode="promise_in_bounds") for column in table)
    return start + slope * low


@cache
def quantile_table(distribution: Distribution) -> Table:
    """The table of a distribution, built once a process in a few milliseconds."""
    edges = _edges(distribution)
    middle, width = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    scale = np.mean(middle**2 + width**2 / 12) ** -0.5
    slope = _round_to_8_bits(scale * width / _LOW)
    start = scale * middle - slope * (_LOW - 1) / 2
    return Table(_round_to_step(start).astype(np.float32), slope.astype(np.float32))


def _edges(distribution: Distribution) -> np.ndarray:
    """Quantiles at k / 65,536; an infinite tail is cut at a slice of the tail's mean."""
    p = np.arange(_SLICES + 1) / _SLICES
    if distribution == "uniform":
        return 2 * p - 1
    if distribution == "truncated_normal":
        outside = math.erfc(_CUT / math.sqrt(2)) / 2
        return _symmetric(_normal_quantile(outside + p * (1 - 2 * outside)))
    edges = np.empty_like(p)
    edges[1:-1] = _normal_quantile(p[1:-1])
    tail_mean = math.exp(-(edges[-2] ** 2) / 2) / math.sqrt(2 * math.pi) * _SLICES
    edges[-1] = 2 * tail_mean - edges[-2]
    edges[0] = -edges[-1]
    return _symmetric(edges)


def _symmetric(edges: np.ndarray) -> np.ndarray:
    return (edges - edges[::-1]) / 2


def _normal_quantile(p: np.ndarray) -> np.ndarray:
    """Inverse of the normal distribution function within 1e-8, by summing the density."""
    z = np.linspace(-8.0, 8.0, (1 << 17) + 1)
    density = np.exp(-(z**2) / 2)
    below = np.cumsum(density) - density / 2
    return np.interp(p, below / np.sum(density), z)


def _round_to_8_bits(x: np.ndarray) -> np.ndarray:
    mantissa, exponent = np.frexp(x)
    return np.ldexp(np.round(mantissa * 256), exponent - 8)


def _round_to_step(x: np.ndarray) -> np.ndarray:
    """Multiples of 2^-20: far coarser than what exponentials differ by between processors."""
    return np.round(x * (1 << 20)) / (1 << 20)
