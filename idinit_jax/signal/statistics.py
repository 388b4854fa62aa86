"""Numbers that sum up one activation, forward, or one gradient, backward.

Each is reduced to a few sums where it arises, in the compiled program; the rest is arithmetic on
these sums, on the host and in double precision.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

# Cosines and ranks are taken over evenly spaced rows, at most this many: enough for the second
# digit, and cheap beside the kernel that made them.
SAMPLED_ROWS, SAMPLED_POSITIONS = 128, 8


class Forward(NamedTuple):
    """What an activation is like, over examples, positions and features together.

    Attributes:
        mean, std, rms: mean, standard deviation and root mean square.
        largest: largest absolute value.
        zeros: fraction of entries that are exactly zero.
        nonfinite: fraction of entries that are NaN or infinite.
        cosine: mean cosine similarity between different examples; NaN for a single one.
        position_cosine: between different positions of one example; NaN for a single one.
        effective_rank: of the matrix (examples and positions, features), at most 128 rows of it:
            (sum of squared singular values)^2 over the sum of their fourth powers.
    """

    mean: float
    std: float
    rms: float
    largest: float
    zeros: float
    nonfinite: float
    cosine: float
    position_cosine: float
    effective_rank: float


class Backward(NamedTuple):
    """What the gradient of the loss with respect to an activation is like.

    Attributes:
        norm: Euclidean, over all examples.
        std: standard deviation of its entries.
        nonfinite: fraction of entries that are NaN or infinite.
    """

    norm: float
    std: float
    nonfinite: float


class Sums(NamedTuple):
    """What is taken of an array on the device.

    Attributes:
        largest: largest absolute value; it is the unit of the next two, where squares neither
            overflow nor vanish.
        total, squares: sum of the entries, and of their squares.
        nonfinite: number of entries that are NaN or infinite.
    """

    largest: jax.Array
    total: jax.Array
    squares: jax.Array
    nonfinite: jax.Array


class Summary(NamedTuple):
    """What is taken of an activation on the device.

    Attributes:
        sums: see `Sums`.
        zeros: number of entries that are exactly zero.
        gram: inner products of sampled rows, (examples, positions, examples, positions), in
            squares of the unit of the sums.
    """

    sums: Sums
    zeros: jax.Array
    gram: jax.Array


def summarize(y: jax.Array, features: Sequence[int] = (-1,)) -> Summary:
    """Reduce an activation.

    Args:
        y: any shape; its first axis that is no feature axis counts examples.
        features: axes of the features.
    """
    samples = as_samples(y, features)
    sums = sums_of(samples)
    rows = sampled_rows(samples) / unit_of(sums.largest)
    gram = jnp.einsum("epf,xyf->epxy", rows, rows, precision="highest")
    return Summary(sums, count_zeros(samples), gram)


def sums_of(x: jax.Array) -> Sums:
    """Reduce an array of any shape, in float32."""
    x = x.astype(jnp.float32)
    largest = jnp.max(jnp.abs(x), initial=0.0)
    scaled = x / unit_of(largest)
    return Sums(largest, scaled.sum(), (scaled * scaled).sum(), count_nonfinite(x))


def forward_statistics(summary: Summary, size: int) -> Forward:
    """The statistics of an activation of `size` entries from its summary, on the host."""
    mean, std, rms = moments(summary.sums, size)
    gram = np.nan_to_num(np.asarray(summary.gram, np.float64), posinf=0.0, neginf=0.0)
    positions = [mean_cosine(example) for example in np.einsum("epey->epy", gram)]
    return Forward(
        mean,
        std,
        rms,
        float(summary.sums.largest),
        float(summary.zeros) / max(size, 1),
        float(summary.sums.nonfinite) / max(size, 1),
        mean_cosine(np.einsum("epxp->ex", gram)),
        _mean_of_numbers(positions),
        participation(gram.reshape(gram.shape[0] * gram.shape[1], -1)),
    )


def backward_statistics(sums: Sums, size: int) -> Backward:
    """The statistics of a gradient of `size` entries from its sums, on the host."""
    _, std, rms = moments(sums, size)
    return Backward(rms * math.sqrt(size), std, float(sums.nonfinite) / max(size, 1))


def moments(sums: Sums, size: int) -> tuple[float, float, float]:
    """Mean, standard deviation and root mean square."""
    unit = _host_unit(sums.largest)
    mean, square = float(sums.total) / max(size, 1), float(sums.squares) / max(size, 1)
    variance = max(square - mean * mean, 0.0) if math.isfinite(square) else math.nan
    return mean * unit, math.sqrt(variance) * unit, math.sqrt(square) * unit


def norm_of(squares: Any, largest: Any) -> float:
    """The Euclidean norm from a sum of squares in units of the largest value, on the host."""
    return math.sqrt(float(squares)) * _host_unit(largest)


def _host_unit(largest: Any) -> float:
    """`unit_of` on the host."""
    largest = float(largest)
    return largest if largest > 0 and math.isfinite(largest) else 1.0


def as_samples(y: jax.Array, features: Sequence[int]) -> jax.Array:
    """An activation as float32 (examples, positions, features)."""
    held = sorted(axis % y.ndim for axis in features) if y.ndim else []
    rest = [axis for axis in range(y.ndim) if axis not in held]
    width = math.prod(y.shape[axis] for axis in held)
    examples = y.shape[rest[0]] if rest else 1
    return y.transpose(*rest, *held).reshape(examples, -1, width).astype(jnp.float32)


def sampled_rows(samples: jax.Array) -> jax.Array:
    """Some examples and some positions of (examples, positions, features), evenly spaced."""
    samples = samples[:, :: -(-samples.shape[1] // SAMPLED_POSITIONS)]
    return samples[:: -(-samples.shape[0] * samples.shape[1] // SAMPLED_ROWS)]


def unit_of(largest: jax.Array) -> jax.Array:
    """The largest absolute value where it can serve as a unit, else one."""
    return jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1.0)


def count_zeros(x: jax.Array, axes: Sequence[int] | None = None) -> jax.Array:
    """Number of exact zeros among float32 entries, over all axes or some."""
    # As integers without sign only zero less one has its top bit set. Counting bits is exact, and
    # several times faster than comparing and selecting.
    return jnp.sum((_magnitude_bits(x) - jnp.uint32(1)) >> 31, axis=axes, dtype=jnp.uint32)


def count_nonfinite(x: jax.Array) -> jax.Array:
    """Number of NaNs and infinities among float32 entries."""
    # Their exponent is all ones, so that one more carries over into the top bit.
    return jnp.sum((_magnitude_bits(x) + jnp.uint32(1 << 23)) >> 31, dtype=jnp.uint32)


def _magnitude_bits(x: jax.Array) -> jax.Array:
    return jax.lax.bitcast_convert_type(x, jnp.uint32) & jnp.uint32(0x7FFFFFFF)


def mean_cosine(gram: np.ndarray) -> float:
    """Mean cosine similarity of different rows, from their inner products (rows, rows).

    Zero rows are left out; NaN where fewer than two remain.
    """
    square = np.diagonal(gram)
    kept = square > 0
    count = int(kept.sum())
    if count < 2:
        return math.nan
    norms = np.sqrt(square[kept])
    cosines = gram[np.ix_(kept, kept)] / np.outer(norms, norms)
    return float((cosines.sum() - count) / (count * (count - 1)))


def participation(gram: np.ndarray) -> float:
    """(tr G)^2 / tr(G^2): over how many directions the energy is spread; NaN for zero.

    r for r equal singular values, 1 for a single one.
    """
    square = float(np.sum(gram * gram))
    return float(np.trace(gram)) ** 2 / square if square > 0 else math.nan


def _mean_of_numbers(values: Sequence[float]) -> float:
    numbers = [value for value in values if not math.isnan(value)]
    return sum(numbers) / len(numbers) if numbers else math.nan
