"""Random crops and flips on the device, inside the compiled step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.data.arrays import DataInfo


@dataclass(frozen=True)
class Augmentation:
    """Pad with zeros and crop back at random, flip left-right at random, normalize.

    Args:
        mean: per channel, in units where white is 1.
        std: per channel, likewise.
        pad: pixels added on each side before a crop of the original size; 0 for no crop.
        flip: whether to flip half of the images.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    pad: int = 0
    flip: bool = False

    def __post_init__(self) -> None:
        if self.pad < 0:
            raise ValueError(f"pad must be 0 pixels or more, got {self.pad}")


class Crops(NamedTuple):
    """One crop an image: shift int32 (N, 2) in -pad .. pad, down and right; flip bool (N,)."""

    shift: jax.Array
    flip: jax.Array


def augment(key: jax.Array, images: jax.Array, augmentation: Augmentation) -> jax.Array:
    """Crop, flip and normalize a batch at random.

    out[n, i, j] = (padded[n, i + dy_n, j' + dx_n] / 255 - mean) / std with (dy, dx) uniform on
    {-pad .. pad}^2, j' either j or its mirror image, and zero pixels outside of the image. The
    values depend on the key and on the position in the batch, nothing else. To augment a shard of
    a batch, draw for the whole batch (`draw_crops`) and apply the shard's part (`apply_crops`).

    Args:
        key: a random key.
        images: uint8 (N, H, W, C).
        augmentation: what to do.

    Returns:
        float32 (N, H, W, C).

    >>> images = jnp.full((2, 4, 4, 1), 255, jnp.uint8)
    >>> float(augment(jax.random.key(0), images, Augmentation((0.5,), (0.5,))).mean())
    1.0
    """
    return apply_crops(images, draw_crops(key, len(images), augmentation), augmentation)


def draw_crops(key: jax.Array, batch_size: int, augmentation: Augmentation) -> Crops:
    """The random part of `augment` for a batch of `batch_size` images."""
    shift_key, flip_key = jax.random.split(key)
    pad = augmentation.pad
    shift = jax.random.randint(shift_key, (batch_size, 2), -pad, pad + 1)
    probability = 0.5 if augmentation.flip else 0.0
    return Crops(shift, jax.random.bernoulli(flip_key, probability, (batch_size,)))


def apply_crops(images: jax.Array, crops: Crops, augmentation: Augmentation) -> jax.Array:
    """The deterministic part of `augment`: crop, flip and normalize as drawn."""
    if augmentation.pad or augmentation.flip:
        images = jax.vmap(_crop)(images, crops)
    return _standardize(images, augmentation.mean, augmentation.std)


def normalize(images: jax.Array, info: DataInfo) -> jax.Array:
    """(images / 255 - mean) / std, float32, for evaluation; images uint8 (..., H, W, C)."""
    return _standardize(images, info.mean, info.std)


def _crop(image: jax.Array, crop: Crops) -> jax.Array:
    # Shift and flip as one gather of row and column indices: on CPU faster than slices of a padded
    # copy (benchmarks/data_augmentation.py).
    height, width, _ = image.shape
    columns = jnp.arange(width)
    rows = jnp.arange(height) + crop.shift[0]
    columns = jnp.where(crop.flip, columns[::-1], columns) + crop.shift[1]
    inside = _within(rows, height)[:, None] & _within(columns, width)[None, :]
    pixels = image[rows.clip(0, height - 1)[:, None], columns.clip(0, width - 1)[None, :]]
    return jnp.where(inside[:, :, None], pixels, jnp.zeros((), image.dtype))


def _within(index: jax.Array, size: int) -> jax.Array:
    return (index >= 0) & (index < size)


def _standardize(images: jax.Array, mean: Sequence[float], std: Sequence[float]) -> jax.Array:
    scale = np.float32(1 / (255 * np.asarray(std)))
    shift = np.float32(np.asarray(mean) / np.asarray(std))
    axes = tuple(range(images.ndim - 1))
    return images.astype(jnp.float32) * np.expand_dims(scale, axes) - np.expand_dims(shift, axes)
