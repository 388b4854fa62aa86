"""Random numbers of a given standard deviation, in any shape, cheap to compile."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import jax
import numpy as np
from jax import lax
from jax import numpy as jnp

from idinit_jax.initializers.contract import Key

Distribution = Literal["normal", "uniform", "truncated_normal"]
DISTRIBUTIONS: tuple[Distribution, ...] = ("normal", "uniform", "truncated_normal")

CUT = 2.0
_SHORT = 16


def draw(
    distribution: Distribution, std: float, key: Key, shape: Sequence[int], dtype: Any
) -> jax.Array:
    """Values of mean 0 and standard deviation `std`: N, U, or N cut at 2 stds of its parent."""
    if distribution == "normal":
        return draw_normal(std, key, shape, dtype)
    if distribution == "uniform":
        return draw_uniform(-math.sqrt(3) * std, math.sqrt(3) * std, key, shape, dtype)
    return draw_truncated(std / truncated_std(CUT), CUT, key, shape, dtype)


def draw_normal(std: float, key: Key, shape: Sequence[int], dtype: Any) -> jax.Array:
    """N(0, std^2), the values of `std * jax.random.normal` to rounding."""
    return _erf_inv(std, draw_uniform(_above_minus_one(dtype), 1.0, key, shape, dtype))


def draw_truncated(std: float, cut: float, key: Key, shape: Sequence[int], dtype: Any) -> jax.Array:
    """N(0, std^2) given `abs(x) <= cut * std`."""
    edge = math.erf(cut / math.sqrt(2))
    places = draw_uniform(max(-edge, _above_minus_one(dtype)), edge, key, shape, dtype)
    return jnp.clip(_erf_inv(std, places), -cut * std, cut * std)


def draw_uniform(low: float, high: float, key: Key, shape: Sequence[int], dtype: Any) -> jax.Array:
    """U[low, high), the values of `jax.random.uniform`, drawn over merged axes."""
    return jax.random.uniform(key, merged(shape), dtype, low, high).reshape(shape)


def merged(shape: Sequence[int]) -> tuple[int, ...]:
    """The shape with short axes merged into their neighbours; same order, same random numbers.

    On CPU the compiler unrolls the generator over short axes: a kernel of 3 x 3 x 4 x 9 takes ten
    times as long to compile as 324 numbers in a row. Long axes stay, so that they can be sharded.

    >>> merged((3, 3, 64, 128)), merged((512, 8, 64)), merged((3, 2))
    ((576, 128), (512, 512), (6,))
    """
    lengths = [1]
    for size in shape:
        if lengths[-1] < _SHORT:
            lengths[-1] *= size
        else:
            lengths.append(size)
    if len(lengths) > 1 and lengths[-1] < _SHORT:
        lengths[-2:] = [lengths[-2] * lengths[-1]]
    return tuple(lengths)


def _erf_inv(std: float, places: jax.Array) -> jax.Array:
    # One multiplication: the compiler may regroup two, and the last bit would then depend on the
    # program around it.
    return (math.sqrt(2) * std) * lax.erf_inv(places)


def _above_minus_one(dtype: Any) -> float:
    """The least number above -1, where the inverse error function is still finite."""
    return float(np.nextafter(np.array(-1, dtype), np.array(0, dtype)))


def truncated_std(cut: float) -> float:
    """Standard deviation of N(0, 1) given `abs(z) < cut`.

    >>> round(truncated_std(2.0), 6)
    0.879626
    """
    density = math.exp(-(cut**2) / 2) / math.sqrt(2 * math.pi)
    return math.sqrt(1 - 2 * cut * density / math.erf(cut / math.sqrt(2)))
