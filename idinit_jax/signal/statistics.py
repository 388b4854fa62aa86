"""Numbers that sum up one activation, forward, or one gradient, backward.

An activation is first reduced to a `Summary`, where it arises; what is then computed from
summaries alone is computed for all places of a model at once.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

# Cosines and ranks are taken over evenly spaced rows, at most this many: enough for the second
# digit, and cheap beside the kernel that made them.
SAMPLED_ROWS, SAMPLED_POSITIONS = 128, 8


class Forward(NamedTuple):
    """What an activation is like, over examples, positions and features together.

    Attributes:
        mean, std, rms: standard deviation and root mean square are right even where their squares
            would not fit into float32.
        largest: largest absolute value.
        zeros: fraction of entries that are exactly zero.
        nonfinite: fraction of entries that are NaN or infinite.
        cosine: mean cosine similarity between different examples; NaN for a single one.
        position_cosine: between different positions of one example; NaN for a single one.
        effective_rank: of the matrix (examples and positions, features), at most 128 rows of it:
            (sum of squared singular values)^2 over the sum of their fourth powers.
    """

    mean: jax.Array
    std: jax.Array
    rms: jax.Array
    largest: jax.Array
    zeros: jax.Array
    nonfinite: jax.Array
    cosine: jax.Array
    position_cosine: jax.Array
    effective_rank: jax.Array


class Backward(NamedTuple):
    """What the gradient of the loss with respect to an activation is like.

    Attributes:
        norm: Euclidean, over all examples.
        std: standard deviation of its entries.
        nonfinite: fraction of entries that are NaN or infinite.
    """

    norm: jax.Array
    std: jax.Array
    nonfinite: jax.Array


class Summary(NamedTuple):
    """What `forward_statistics` needs of an activation.

    Attributes:
        largest: largest absolute value, the unit of the next three.
        mean, square: mean of the entries, and of their squares.
        gram: inner products of sampled rows, (examples, positions, examples, positions).
        zeros, nonfinite: fractions of the entries.
    """

    largest: jax.Array
    mean: jax.Array
    square: jax.Array
    gram: jax.Array
    zeros: jax.Array
    nonfinite: jax.Array


def summarize(y: jax.Array, features: Sequence[int] = (-1,)) -> Summary:
    """Reduce an activation.

    Args:
        y: any shape; its first axis that is no feature axis counts examples.
        features: axes of the features.
    """
    samples = as_samples(y, features)
    largest, unit = scale_of(samples)
    scaled = samples / unit
    rows = sampled_rows(samples) / unit
    gram = jnp.einsum("epf,xyf->epxy", rows, rows, precision="highest")
    return Summary(
        largest,
        scaled.mean(),
        (scaled * scaled).mean(),
        gram,
        zero_fraction(samples),
        nonfinite_fraction(samples),
    )


def forward_statistics(summary: Summary) -> Forward:
    """The statistics of one activation from its summary."""
    largest, mean, square, gram, zeros, nonfinite = summary
    unit = _unit(largest)
    std = jnp.sqrt(jnp.maximum(square - mean * mean, 0.0))
    examples = jnp.einsum("epxp->ex", gram)
    positions = jnp.einsum("epey->epy", gram)
    return Forward(
        mean * unit,
        std * unit,
        jnp.sqrt(square) * unit,
        largest,
        zeros,
        nonfinite,
        mean_cosine(examples),
        jnp.nanmean(jax.vmap(mean_cosine)(positions)),
        participation(gram.reshape(math.prod(gram.shape[:2]), -1)),
    )


def all_forward_statistics(summaries: Sequence[Summary]) -> list[Forward]:
    """The statistics of many places, (turns,) each, from summaries with axes of loops in front."""
    flat = [_flat_turns(summary) for summary in summaries]
    alike: dict[tuple[int, ...], list[int]] = {}
    for index, summary in enumerate(flat):
        alike.setdefault(summary.gram.shape[1:], []).append(index)
    found: dict[int, Forward] = {}
    for members in alike.values():
        turns = np.cumsum([len(flat[index].gram) for index in members])[:-1]
        together = jax.tree.map(lambda *each: jnp.concatenate(each), *(flat[i] for i in members))
        parts = [jnp.split(array, turns) for array in jax.vmap(forward_statistics)(together)]
        for index, *fields in zip(members, *parts, strict=True):
            found[index] = Forward(*fields)
    return [found[index] for index in range(len(flat))]


def _flat_turns(summary: Summary) -> Summary:
    flat = jax.tree.map(jnp.ravel, summary)
    return flat._replace(gram=summary.gram.reshape(-1, *summary.gram.shape[-4:]))


def backward_statistics(gradient: jax.Array) -> Backward:
    """Sum up a gradient of any shape."""
    gradient = gradient.astype(jnp.float32)
    largest, unit = scale_of(gradient)
    del largest
    scaled = gradient / unit
    mean, square = scaled.mean(), (scaled * scaled).mean()
    return Backward(
        jnp.sqrt(square) * math.sqrt(gradient.size) * unit,
        jnp.sqrt(jnp.maximum(square - mean * mean, 0.0)) * unit,
        nonfinite_fraction(gradient),
    )


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


def scale_of(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The largest absolute value, and a unit in which squares neither overflow nor vanish."""
    largest = jnp.max(jnp.abs(x), initial=0.0)
    return largest, _unit(largest)


def _unit(largest: jax.Array) -> jax.Array:
    return jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1.0)


def zero_fraction(x: jax.Array) -> jax.Array:
    """Fraction of exact zeros among float32 entries."""
    # Integers without sign: only zero less one has its top bit set. Counting bits is exact, and
    # several times faster than comparing and selecting.
    return _mean_of_top_bit(_magnitude_bits(x) - jnp.uint32(1))


def nonfinite_fraction(x: jax.Array) -> jax.Array:
    """Fraction of NaNs and infinities among float32 entries."""
    # Their exponent is all ones, so that one more carries over into the top bit.
    return _mean_of_top_bit(_magnitude_bits(x) + jnp.uint32(1 << 23))


def _magnitude_bits(x: jax.Array) -> jax.Array:
    return jax.lax.bitcast_convert_type(x, jnp.uint32) & jnp.uint32(0x7FFFFFFF)


def _mean_of_top_bit(bits: jax.Array) -> jax.Array:
    count = jnp.sum(bits >> 31, dtype=jnp.uint32)
    return count.astype(jnp.float32) / jnp.float32(bits.size)


def mean_cosine(gram: jax.Array) -> jax.Array:
    """Mean cosine similarity of different rows, from their inner products (rows, rows).

    Zero rows are left out; NaN where fewer than two remain.
    """
    square = jnp.diagonal(gram)
    inverse = jnp.where(square > 0, jax.lax.rsqrt(jnp.where(square > 0, square, 1.0)), 0.0)
    cosines = gram * inverse[:, None] * inverse[None, :]
    count = jnp.sum(square > 0, dtype=jnp.float32)
    pairs = count * (count - 1.0)
    excess = jnp.sum(cosines) - jnp.trace(cosines)
    return jnp.where(pairs > 0, excess / jnp.maximum(pairs, 1.0), jnp.nan)


def participation(gram: jax.Array) -> jax.Array:
    """(tr G)^2 / tr(G^2): over how many directions the energy is spread; NaN for zero.

    r for r equal singular values, 1 for a single one.
    """
    square = jnp.sum(gram * gram)
    return jnp.where(square > 0, jnp.trace(gram) ** 2 / jnp.where(square > 0, square, 1.0), jnp.nan)
