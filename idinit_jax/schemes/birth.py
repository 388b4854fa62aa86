"""Arrays made where they live: on the host, in parts for their devices, or inside a program."""

from functools import cache
from typing import Any

import jax
import numpy as np
from jax.sharding import Sharding

from idinit_jax.schemes.fill import Fill
from idinit_jax.schemes.stream import Window, Words, is_traced


def on_host(
    fill: Fill | None, words: Words, shape: tuple[int, ...], dtype: Any
) -> np.ndarray | None:
    """The values from NumPy alone, or None where they need JAX."""
    if fill is None or not fill.in_parts or is_traced(words[0]):
        return None
    return _cast(fill.values(words, Window.whole(shape)), dtype)


def born(
    fill: Fill, words: Words, shape: tuple[int, ...], dtype: Any, sharding: Sharding | None
) -> jax.Array:
    """The array that a fill and a stream make; the same values wherever it is made.

    Eager, the values come from NumPy, which needs no compiled program; under a sharding each
    device gets its own part, made for it, and no device holds the whole. Under an outer `jax.jit`
    they become part of that program.

    Args:
        fill: what to fill with.
        words: the stream of this array.
        shape, dtype: of the array; values are float32 until one cast at the end.
        sharding: where it lives; None for the default device.
    """
    if sharding is not None and not is_traced(words[0]):
        return jax.make_array_from_callback(shape, sharding, _parts(fill, words, shape, dtype))
    array = jax.device_put(_cast(fill.values(words, Window.whole(shape)), dtype))
    return array if sharding is None else jax.lax.with_sharding_constraint(array, sharding)


def _parts(fill: Fill, words: Words, shape: tuple[int, ...], dtype: Any) -> Any:
    """The part at an index; equal parts of several devices are made once."""
    if not fill.in_parts:
        whole = np.asarray(_cast(fill.values(words, Window.whole(shape)), dtype))
        return lambda index: whole[index]
    part = cache(lambda window: _cast(fill.values(words, window), dtype))
    return lambda index: part(Window.of(shape, index))


def _cast(values: Any, dtype: Any) -> Any:
    return values if values.dtype == dtype else values.astype(dtype)
