"""Random crops and flips on the device."""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Crops(NamedTuple):
    """One crop an image: shift int32 (N, 2) in -pad .. pad, down and right; flip bool (N,)."""

    shift: jax.Array
    flip: jax.Array


def draw_crops(key: jax.Array, batch_size: int, pad: int, flip: bool) -> Crops:
    """Shifts uniform on {-pad .. pad}^2, and flips of half of the images or of none."""
    shift_key, flip_key = jax.random.split(key)
    shift = jax.random.randint(shift_key, (batch_size, 2), -pad, pad + 1)
    return Crops(shift, jax.random.bernoulli(flip_key, 0.5 if flip else 0.0, (batch_size,)))


def crop(image: jax.Array, drawn: Crops) -> jax.Array:
    """out[i, j] = image[i + dy, j' + dx], j' either j or its mirror image, and 0 outside.

    Args:
        image: uint8 (H, W, C).
        drawn: of this image: shift (dy, dx) and flip.
    """
    # Shift and flip as one gather of row and column indices: on CPU faster than slices of a padded
    # copy (benchmarks/data_augmentation.py).
    height, width, _ = image.shape
    columns = jnp.arange(width)
    columns = jnp.where(drawn.flip, columns[::-1], columns) + drawn.shift[1]
    rows = jnp.arange(height) + drawn.shift[0]
    return pixels_at(image, rows[:, None], columns[None, :])


def pixels_at(image: jax.Array, rows: jax.Array, columns: jax.Array) -> jax.Array:
    """The pixels (H, W, C) at rows and columns that broadcast to (H, W); black outside."""
    height, width, _ = image.shape
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    pixels = image[rows.clip(0, height - 1), columns.clip(0, width - 1)]
    return jnp.where(inside[:, :, None], pixels, jnp.zeros((), image.dtype))
