"""What an array is filled with, in a form that any engine can make any part of.

Each fill answers `values(words, window)`: the float32 values of a part of an array, from NumPy
where the words of its stream are known, from JAX where they are traced; the same bits from both.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import numpy as np
from jax import numpy as jnp

from idinit_jax.initializers import Initializer, KernelAxes, Layout
from idinit_jax.schemes import host
from idinit_jax.schemes.quantile import Distribution, draws
from idinit_jax.schemes.stream import Window, Words, bits, is_traced, key_of, substream

# Rows are made in pieces of about this many entries: few enough for a core's cache, many enough
# that the cost of calling NumPy does not show (measured from 2^14 to 2^17).
_PIECE = 1 << 17
# What is added to something else comes in steps of about std / 2^14.
_STEPS = 14


Pattern = Callable[[KernelAxes, Layout], tuple[np.ndarray, np.ndarray]]
"""Row-major positions of the entries that are not zero, and their signs."""


class Fill(Protocol):
    """The values of an array as a function of its stream.

    `std` is the standard deviation of all entries together, None where it is not known. Where
    `in_parts` is false, the window is always the whole array.
    """

    @property
    def std(self) -> float | None: ...

    @property
    def in_parts(self) -> bool: ...

    def values(self, words: Words, window: Window) -> Any: ...


@dataclass(frozen=True)
class Constant:
    """`value` everywhere."""

    value: float
    in_parts = True

    @property
    def std(self) -> float:
        return 0.0

    def values(self, words: Words, window: Window) -> Any:
        if is_traced(words[0]):
            return jnp.full(window.size, self.value, jnp.float32)
        values = host.zeros(window.size)
        if self.value:
            values.fill(self.value)
        return values


@dataclass(frozen=True)
class Draws:
    """Independent draws of mean 0 and standard deviation `std`."""

    distribution: Distribution
    std: float
    in_parts = True

    def values(self, words: Words, window: Window) -> Any:
        rows = window.rows()
        if is_traced(words[0]):
            drawn = self._rows(words, window, rows)
            return drawn.reshape(window.size)
        out = host.empty(window.size)
        first, last = window.columns()
        table = out.reshape(len(rows), last - first)
        for piece in _pieces(len(rows), table.shape[1]):
            table[piece] = self._rows(words, window, rows[piece])
        return out

    def _rows(self, words: Words, window: Window, rows: np.ndarray) -> Any:
        drawn = draws(self.distribution, bits(words, window, rows))
        drawn *= np.float32(self.std)
        return drawn


@dataclass(frozen=True)
class Entries:
    """Zero but for a few entries of size `entry` and signs by a pattern, each plus N(0, noise^2).

    The noise of an entry depends on its place in the pattern's list.
    """

    pattern: Pattern
    axes: KernelAxes
    layout: Layout
    entry: float
    noise: float = 0.0
    in_parts = True

    @property
    def std(self) -> float:
        copies, groups, rows, columns = self.axes.matrix_shape
        one_copy = self.axes._replace(shape=_single_copy(self.axes))
        _, signs = self.pattern(one_copy, self.layout)
        mean, square = (x / (groups * rows * columns) for x in (signs.sum(), len(signs)))
        variance = (self.entry**2 + self.noise**2) * square - (self.entry * mean) ** 2
        return math.sqrt(max(variance, 0.0)) if copies else 0.0

    def values(self, words: Words, window: Window) -> Any:
        positions, signs = self.pattern(self.axes, self.layout)
        entries = (self.entry * signs).astype(np.float32)
        if self.noise:
            entries = entries + stepped("normal", self.noise, words, Window.whole(entries.shape))
        inside, index = _within(positions, window)
        if is_traced(words[0]):
            where = tuple(axis.astype(np.int32) for axis in index)
            zeros = jnp.zeros(window.size, jnp.float32)
            return zeros.at[where].set(entries[inside], mode="promise_in_bounds")
        values = host.zeros(window.size)
        values[index] = entries[inside]
        return values


@dataclass(frozen=True)
class Perturbed:
    """Another fill plus N(0, noise^2) on every entry."""

    base: Fill
    noise: float

    @property
    def std(self) -> float | None:
        return None if self.base.std is None else math.hypot(self.base.std, self.noise)

    @property
    def in_parts(self) -> bool:
        return self.base.in_parts

    def values(self, words: Words, window: Window) -> Any:
        base = self.base
        values = (
            stepped(base.distribution, base.std, words, window)
            if isinstance(base, Draws)
            else base.values(words, window)
        )
        return values + stepped("normal", self.noise, substream(words, 0), window)


@dataclass(frozen=True)
class Scaled:
    """Another fill times a number."""

    base: Fill
    scale: float

    @property
    def std(self) -> float | None:
        return None if self.base.std is None else self.base.std * abs(self.scale)

    @property
    def in_parts(self) -> bool:
        return self.base.in_parts

    def values(self, words: Words, window: Window) -> Any:
        values = self.base.values(words, window)
        if is_traced(words[0]):  # or a compiler would fold the number into those before it
            values = jax.lax.optimization_barrier(values)
        return values * np.float32(self.scale)


@dataclass(frozen=True)
class Whole:
    """What an initializer makes of an array that is reshaped to `view` for it."""

    initializer: Initializer
    view: tuple[int, ...]
    std: float | None
    in_parts = False

    def values(self, words: Words, window: Window) -> Any:
        array = self.initializer(key_of(words), self.view, jnp.float32)
        return array.reshape(window.shape)


@dataclass(frozen=True)
class Layers:
    """A fill for each layer that an array of shape `view` stacks along `axes`."""

    layers: tuple[Fill, ...]
    view: tuple[int, ...]
    axes: tuple[int, ...]
    in_parts = False

    @property
    def std(self) -> float | None:
        stds = [fill.std for fill in self.layers]
        if None in stds:
            return None
        return math.sqrt(sum(std**2 for std in stds if std is not None) / len(stds))

    def values(self, words: Words, window: Window) -> Any:
        numpy: Any = jnp if is_traced(words[0]) else np
        shape = tuple(n for axis, n in enumerate(self.view) if axis not in self.axes)
        layers = [
            numpy.asarray(fill.values(substream(words, layer), Window.whole(shape)))
            for layer, fill in enumerate(self.layers)
        ]
        stack = numpy.stack(layers).reshape(*(self.view[axis] for axis in self.axes), *shape)
        return numpy.moveaxis(stack, range(len(self.axes)), self.axes).reshape(window.shape)


def vanishes(fill: Fill, shape: tuple[int, ...], axes: tuple[int, ...]) -> bool:
    """Whether an array is known to have a part along `axes` that holds nothing but zeros."""
    if isinstance(fill, Constant):
        return fill.value == 0
    if not isinstance(fill, Entries):
        return False
    positions, _ = fill.pattern(fill.axes, fill.layout)
    index = np.unravel_index(positions, shape)
    parts = np.zeros(tuple(1 if axis in axes else size for axis, size in enumerate(shape)), bool)
    parts[tuple(0 if axis in axes else where for axis, where in enumerate(index))] = True
    return not parts.all()


def stepped(distribution: Distribution, std: float, words: Words, window: Window) -> Any:
    """Draws in multiples of a power of two, exact products, so that a sum rounds only once.

    A product that is rounded before a sum would differ where a compiler fuses the two.
    """
    step = 2.0 ** (math.floor(math.log2(std)) - _STEPS)
    drawn = Draws(distribution, std / step).values(words, window)
    rounded = drawn.round() if isinstance(drawn, np.ndarray) else jnp.round(drawn)
    return rounded * np.float32(step)


def _pieces(rows: int, columns: int) -> list[slice]:
    length = max(1, _PIECE // max(columns, 1))
    return [slice(start, start + length) for start in range(0, rows, length)]


def _within(positions: np.ndarray, window: Window) -> tuple[np.ndarray, tuple]:
    """Which of some row-major positions lie in a window, and where in it."""
    index = np.unravel_index(positions, window.shape)
    inside = np.ones(len(positions), bool)
    for axis, first, length in zip(index, window.start, window.size, strict=True):
        inside &= (axis >= first) & (axis < first + length)
    return inside, tuple(
        axis[inside] - first for axis, first in zip(index, window.start, strict=True)
    )


def _single_copy(axes: KernelAxes) -> tuple[int, ...]:
    return tuple(1 if axis in axes.batch else size for axis, size in enumerate(axes.shape))
