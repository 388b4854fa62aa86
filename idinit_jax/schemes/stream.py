"""Random numbers as a function of key, path and position: Threefry-2x32 with a counter an entry.

An array read as rows `(all leading axes, last axis)` has at (r, c) the word `c mod 2` of
`threefry(words, (r, c // 2))`, where `words` mixes the key with a hash of the array's path. So a
value depends on nothing but key, path and position: not on other arrays, on order, on devices, or
on which part of the array is made.

The same numbers come from two engines. NumPy's compiles nothing: a whole model starts before XLA
would have compiled one program of the kind. JAX's serves where the key is traced.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import numpy as jnp
from jax.core import Tracer
from jax.extend.random import threefry2x32_p

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA

Words = tuple[Any, Any]
"""Two uint32 arrays of one entry each, from NumPy, or from JAX where the key is traced."""


class Window(NamedTuple):
    """A rectangular part of an array: from `start`, `size` entries along each axis.

    >>> Window.whole((4, 6))
    Window(shape=(4, 6), start=(0, 0), size=(4, 6))
    """

    shape: tuple[int, ...]
    start: tuple[int, ...]
    size: tuple[int, ...]

    @classmethod
    def whole(cls, shape: tuple[int, ...]) -> "Window":
        return cls(shape, (0,) * len(shape), shape)

    @classmethod
    def of(cls, shape: tuple[int, ...], index: tuple[slice, ...]) -> "Window":
        """The part that `index`, as a sharding gives it to a device, selects."""
        bounds = [slice_.indices(size) for slice_, size in zip(index, shape, strict=True)]
        starts, stops = [b[0] for b in bounds], [b[1] for b in bounds]
        return cls(shape, tuple(starts), tuple(b - a for a, b in zip(starts, stops, strict=True)))

    def rows(self) -> np.ndarray:
        """Row-major index along the leading axes of every row of the part."""
        rows = np.zeros(1, np.int64)
        for full, start, size in zip(self.shape[:-1], self.start, self.size, strict=False):
            rows = (rows[:, None] * full + np.arange(start, start + size)).reshape(-1)
        return rows

    def columns(self) -> tuple[int, int]:
        """First and one past the last index along the last axis."""
        if not self.shape:
            return 0, 1
        return self.start[-1], self.start[-1] + self.size[-1]


def is_traced(key: Any) -> bool:
    """Whether a key is known only to a program being traced."""
    return isinstance(key, Tracer)


def words_of(key: Any, path: str) -> Words:
    """The stream of the array at `path`: the words of the key mixed with a hash of the path.

    Args:
        key: a `jax.random.key` of any implementation, or a raw uint32 key.
        path: any text; equal paths get equal streams.

    Raises:
        TypeError: key is not one key.
    """
    return streams(key, [path])[0]


def streams(key: Any, paths: Sequence[str]) -> list[Words]:
    """The stream of each of several arrays, made together."""
    digests = b"".join(hashlib.blake2b(path.encode(), digest_size=8).digest() for path in paths)
    first, second = np.frombuffer(digests, "<u4").astype(np.uint32).reshape(-1, 2).T
    x0, x1 = threefry(_key_words(key), first, second)
    return [(x0[i : i + 1], x1[i : i + 1]) for i in range(len(paths))]


def substream(words: Words, index: int) -> Words:
    """A stream of its own for a layer or a second quantity of the same array."""
    last_row = np.full(1, 0xFFFFFFFF, np.uint32)
    return threefry(words, last_row, np.full(1, index, np.uint32))


def key_of(words: Words) -> jax.Array:
    """The stream as a `jax.random.key`, for initializers that draw for themselves."""
    return jax.random.wrap_key_data(jnp.concatenate(words), impl="threefry2x32")


def _key_words(key: Any) -> Words:
    """Two words: those of a Threefry key; the words of a longer one encrypt each other."""
    data = _key_data(key)
    pairs = [(data[i : i + 1], data[i + 1 : i + 2]) for i in range(0, len(data), 2)]
    words = pairs[0]
    for pair in pairs[1:]:
        words = threefry(words, *pair)
    return words


def _key_data(key: Any) -> Any:
    kind = getattr(key, "dtype", None)
    typed = kind is not None and jnp.issubdtype(kind, jax.dtypes.prng_key)
    if not typed and kind != np.uint32:
        raise TypeError(f"key must be a jax.random.key, got {key!r}")
    data = jax.random.key_data(key) if typed else key
    if data.ndim != 1 or data.size % 2:
        raise TypeError(f"key must be one key, got shape {key.shape}; split it and pass one")
    return data if is_traced(data) else np.asarray(data)


def threefry(words: Words, c0: Any, c1: Any) -> tuple[Any, Any]:
    """Threefry-2x32 with 20 rounds (Salmon et al. 2011) of broadcasting counters c0, c1."""
    if any(is_traced(word) for word in words):
        shape = np.broadcast_shapes(np.shape(c0), np.shape(c1))
        return tuple(
            threefry2x32_p.bind(*(_full(word, shape) for word in (words[0], words[1], c0, c1)))
        )
    return _threefry_numpy(words, c0, c1)


def _full(word: Any, shape: tuple[int, ...]) -> jax.Array:
    return jnp.broadcast_to(jnp.asarray(word, jnp.uint32), shape)


def _threefry_numpy(words: Words, c0: np.ndarray, c1: np.ndarray) -> tuple[Any, Any]:
    schedule = (*words, words[0] ^ words[1] ^ np.uint32(_PARITY))
    x0, x1 = np.broadcast_arrays(c0 + words[0], c1 + words[1])
    x0, x1 = x0.copy(), x1.copy()
    spare = np.empty_like(x1)
    for group in range(5):
        for rotation in _ROTATIONS[group % 2]:
            x0 += x1
            np.left_shift(x1, np.uint32(rotation), out=spare)
            np.right_shift(x1, np.uint32(32 - rotation), out=x1)
            x1 |= spare
            x1 ^= x0
        x0 += schedule[(group + 1) % 3]
        x1 += schedule[(group + 2) % 3] + np.uint32(group + 1)
    return x0, x1


def bits(words: Words, window: Window, rows: np.ndarray) -> Any:
    """32 random bits for the entries of some rows of a window: uint32 (len(rows), columns)."""
    first, last = window.columns()
    pairs = np.arange(first // 2, (last + 1) // 2, dtype=np.uint32)
    x0, x1 = threefry(words, rows.astype(np.uint32)[:, None], pairs[None, :])
    stack = jnp.stack if is_traced(x0) else np.stack
    both = stack([x0, x1], axis=-1).reshape(len(rows), 2 * len(pairs))
    return both[:, first % 2 : first % 2 + last - first]
