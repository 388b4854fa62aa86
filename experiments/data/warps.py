"""Geometric distortions: every output pixel takes the nearest one of an affine map of the plane."""

import jax
import jax.numpy as jnp

from experiments.data.crops import pixels_at

MAX_SHEAR = 0.3
MAX_SHIFT = 0.45  # of the image's side
MAX_TURN = jnp.pi / 6


def warp(image: jax.Array, matrix: list[list[jax.Array | float]]) -> jax.Array:
    """out[p] = image[A (p - c) + c], with c the centre and p = (row, column) of a pixel's middle.

    Args:
        image: uint8 (H, W, C).
        matrix: A, 2 x 2.

    Returns:
        uint8 (H, W, C); pixels from outside are black.
    """
    height, width, _ = image.shape
    down = jnp.arange(height, dtype=jnp.float32)[:, None] + 0.5 - height / 2
    right = jnp.arange(width, dtype=jnp.float32)[None, :] + 0.5 - width / 2
    (a, b), (c, d) = matrix
    rows = jnp.floor(a * down + b * right + height / 2).astype(jnp.int32)
    columns = jnp.floor(c * down + d * right + width / 2).astype(jnp.int32)
    return pixels_at(image, rows, columns)


def shear_x(image: jax.Array, strength: jax.Array) -> jax.Array:
    """Rows slide, by up to 0.3 columns a row."""
    return warp(image, [[1.0, 0.0], [MAX_SHEAR * strength, 1.0]])


def shear_y(image: jax.Array, strength: jax.Array) -> jax.Array:
    """Columns slide, by up to 0.3 rows a column."""
    return warp(image, [[1.0, MAX_SHEAR * strength], [0.0, 1.0]])


def rotate(image: jax.Array, strength: jax.Array) -> jax.Array:
    """A turn about the centre by up to 30 degrees, to the left where strength is positive."""
    cos, sin = jnp.cos(MAX_TURN * strength), jnp.sin(MAX_TURN * strength)
    return warp(image, [[cos, sin], [-sin, cos]])


def translate_x(image: jax.Array, strength: jax.Array) -> jax.Array:
    """A shift to the left by up to 45 % of the width."""
    height, width, _ = image.shape
    columns = jnp.arange(width) + _whole_pixels(strength, width)
    return pixels_at(image, jnp.arange(height)[:, None], columns[None, :])


def translate_y(image: jax.Array, strength: jax.Array) -> jax.Array:
    """A shift upwards by up to 45 % of the height."""
    height, width, _ = image.shape
    rows = jnp.arange(height) + _whole_pixels(strength, height)
    return pixels_at(image, rows[:, None], jnp.arange(width)[None, :])


def _whole_pixels(strength: jax.Array, side: int) -> jax.Array:
    return jnp.rint(MAX_SHIFT * side * strength).astype(jnp.int32)
