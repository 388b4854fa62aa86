"""Numbers that sum up one activation, forward, or one gradient, backward.

Each is reduced to a few sums where it arises, in the compiled program; the rest is arithmetic on
these sums, on the host and in double precision.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

# Cosines and ranks are taken over evenly spaced rows, at most this many: enough for the second
# digit, and cheap beside the kernel that made them.
SAMPLED_ROWS, SAMPLED_POSITIONS = 128, 8
# Sums are taken in three units, in one of which squares neither overflow nor vanish (Blue 1978).
UNITS = (1.0, 2.0**-80, 2.0**80)
SMALLEST_SQUARES = 1e-24
# Entries that are added up one by one, before parts are: float32 then keeps four digits.
LONGEST_SUM = 2**20


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
        totals: sum of the entries, in each of UNITS.
        squares: sum of the squared entries, in squares of each of UNITS.
        largest: largest absolute value.
        zeros: number of entries that are exactly zero.
        nonfinite: number of entries that are NaN or infinite.
    """

    totals: tuple[jax.Array, ...]
    squares: tuple[jax.Array, ...]
    largest: jax.Array
    zeros: jax.Array
    nonfinite: jax.Array


class Summary(NamedTuple):
    """What is taken of an activation on the device.

    Attributes:
        sums: see `Sums`.
        gram: inner products of sampled rows, (examples, positions, examples, positions), in
            squares of the largest value.
    """

    sums: Sums
    gram: jax.Array


def summarize(y: jax.Array, features: Sequence[int] = (-1,)) -> Summary:
    """Reduce an activation.

    Args:
        y: any shape; its first axis that is no feature axis counts examples.
        features: axes of the features.
    """
    (sums,) = sums_of(y)
    return Summary(sums, gram_of(y, tuple(features), sums.largest))


# Jitted, so that layers of one shape are traced and lowered once.
@functools.partial(jax.jit, static_argnums=1)
def gram_of(y: jax.Array, features: tuple[int, ...], unit: jax.Array) -> jax.Array:
    """Inner products of sampled rows of an activation, in squares of a unit."""
    rows = sampled_rows(as_samples(y, features))
    examples, positions, width = rows.shape
    flat = (rows / jnp.maximum(unit, jnp.finfo(jnp.float32).tiny)).reshape(-1, width)
    gram = jnp.einsum("if,jf->ij", flat, flat, precision="highest")
    return gram.reshape(examples, positions, examples, positions)


@jax.jit
def sums_of(*arrays: jax.Array) -> list[Sums]:
    """Reduce arrays of one shape in float32, in one pass over them."""
    terms = [_terms(jnp.atleast_1d(x).astype(jnp.float32)) for x in arrays]
    shape = terms[0].largest.shape
    kept = sum(math.prod(shape[axis:]) > LONGEST_SUM for axis in range(len(shape) - 1))
    found = reduce_sums(terms, range(kept, len(shape)))
    return reduce_sums(found, range(kept)) if kept else found


def reduce_sums(terms: list[Sums], axes: Sequence[int]) -> list[Sums]:
    """Reduce the fields of several `Sums` over axes: add them up, and take the largest."""
    summed = [one._replace(largest=()) for one in terms]
    leaves, tree = jax.tree.flatten(summed)
    sums, largest = reduce_together(leaves, [one.largest for one in terms], axes)
    return [
        one._replace(largest=size)
        for one, size in zip(jax.tree.unflatten(tree, sums), largest, strict=True)
    ]


def reduce_together(
    summed: Sequence[jax.Array], maximized: Sequence[jax.Array], axes: Sequence[int]
) -> tuple[tuple[jax.Array, ...], tuple[jax.Array, ...]]:
    """Sums of some arrays and maxima of others, not negative, of one shape: in one loop.

    XLA would compile a loop for each reduction by itself, and compiling takes longer than running.
    """
    count = len(summed)
    operands = (*summed, *maximized)

    def combine(one: Any, other: Any) -> tuple[jax.Array, ...]:
        added = (a + b for a, b in zip(one[:count], other[:count], strict=True))
        larger = (jnp.maximum(a, b) for a, b in zip(one[count:], other[count:], strict=True))
        return (*added, *larger)

    zeros = tuple(np.zeros((), operand.dtype) for operand in operands)
    found = jax.lax.reduce(operands, zeros, combine, tuple(axes))
    return found[:count], found[count:]


def _terms(x: jax.Array) -> Sums:
    """What each entry adds to the sums."""
    scaled = tuple(x / unit for unit in UNITS)
    return Sums(scaled, squares_in_units(x), jnp.abs(x), is_zero(x), is_nonfinite(x))


def squares_in_units(x: jax.Array) -> tuple[jax.Array, ...]:
    """The squares of float32 numbers in squares of each of UNITS."""
    # The bounds change no sum that counts. Without them XLA would square first and scale then.
    small = jnp.minimum(jnp.abs(x) / UNITS[1], 2.0**60)
    large = jnp.maximum(jnp.abs(x) / UNITS[2], 2.0**-70)
    return x * x, small * small, large * large


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
        float(summary.sums.zeros) / max(size, 1),
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
    square, which = in_range(sums.squares)
    size = max(size, 1)
    unit, mean, square = UNITS[which], float(sums.totals[which]) / size, square / size
    variance = max(square - mean * mean, 0.0) if math.isfinite(square) else math.nan
    return mean * unit, math.sqrt(variance) * unit, math.sqrt(square) * unit


def norm_of(squares: Sequence[Any]) -> float:
    """The Euclidean norm from sums of squares in UNITS, of parts that are added up here."""
    square, which = in_range([np.asarray(part, np.float64).sum() for part in squares])
    return math.sqrt(square) * UNITS[which]


def in_range(squares: Sequence[Any]) -> tuple[float, int]:
    """The sum of squares that neither overflows nor vanishes, and the index of its unit."""
    plain = float(squares[0])
    which = 0 if SMALLEST_SQUARES < plain < math.inf else 2 if plain > 1.0 else 1
    return float(squares[which]), which


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


def is_zero(x: jax.Array) -> jax.Array:
    """One for each float32 entry that is exactly zero, else zero."""
    # As integers without sign only zero less one has its top bit set. Counting bits is exact, and
    # several times faster than comparing and selecting.
    return (_magnitude_bits(x) - jnp.uint32(1)) >> 31


def is_nonfinite(x: jax.Array) -> jax.Array:
    """One for each float32 entry that is NaN or infinite, else zero."""
    # Their exponent is all ones, so that one more carries over into the top bit.
    return (_magnitude_bits(x) + jnp.uint32(1 << 23)) >> 31


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
