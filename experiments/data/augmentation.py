"""From uint8 images to a network's input, at random, on the device, inside the compiled step."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.data.arrays import DataInfo
from experiments.data.crops import Crops, crop, draw_crops
from experiments.data.randaugment import MAX_MAGNITUDE, Distortions, distort, draw_distortions


@dataclass(frozen=True)
class Augmentation:
    """Pad with zeros and crop back at random, flip, distort (RandAugment), normalize.

    Args:
        mean: per channel, in units where white is 1.
        std: per channel, likewise.
        pad: pixels added on each side before a crop of the original size; 0 for no crop.
        flip: whether to flip half of the images left-right.
        distortions: how many an image; 0 for none.
        magnitude: of each distortion, 0 .. 10.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    pad: int = 0
    flip: bool = False
    distortions: int = 0
    magnitude: float = 9.0

    def __post_init__(self) -> None:
        if self.pad < 0:
            raise ValueError(f"pad must be 0 pixels or more, got {self.pad}")
        if self.distortions < 0:
            raise ValueError(f"an image has 0 distortions or more, got {self.distortions}")
        if not 0 <= self.magnitude <= MAX_MAGNITUDE:
            raise ValueError(f"magnitude must lie in 0 .. 10, got {self.magnitude}")


class Draws(NamedTuple):
    """All that is random about a batch, an entry for each image."""

    crops: Crops
    distortions: Distortions


def augment(key: jax.Array, images: jax.Array, augmentation: Augmentation) -> jax.Array:
    """Crop, flip, distort and normalize a batch at random.

    out = (distort(crop(image)) / 255 - mean) / std. The values depend on the key and on the
    position in the batch, nothing else. To augment a shard of a batch, draw for the whole batch
    (`draw`) and apply the shard's part (`apply`).

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
    return apply(images, draw(key, len(images), augmentation), augmentation)


def draw(key: jax.Array, batch_size: int, augmentation: Augmentation) -> Draws:
    """The random part of `augment` for a batch of `batch_size` images."""
    crop_key, distortion_key = jax.random.split(key)
    return Draws(
        draw_crops(crop_key, batch_size, augmentation.pad, augmentation.flip),
        draw_distortions(distortion_key, batch_size, augmentation.distortions),
    )


def apply(images: jax.Array, draws: Draws, augmentation: Augmentation) -> jax.Array:
    """The deterministic part of `augment`."""

    def one(image: jax.Array, draws: Draws) -> jax.Array:
        if augmentation.pad or augmentation.flip:
            image = crop(image, draws.crops)
        return distort(image, draws.distortions, augmentation.magnitude)

    return _standardize(jax.vmap(one)(images, draws), augmentation.mean, augmentation.std)


def normalize(images: jax.Array, info: DataInfo) -> jax.Array:
    """(images / 255 - mean) / std, float32, for evaluation; images uint8 (..., H, W, C)."""
    return _standardize(images, info.mean, info.std)


def _standardize(images: jax.Array, mean: Sequence[float], std: Sequence[float]) -> jax.Array:
    scale = np.float32(1 / (255 * np.asarray(std)))
    shift = np.float32(np.asarray(mean) / np.asarray(std))
    axes = tuple(range(images.ndim - 1))
    return images.astype(jnp.float32) * np.expand_dims(scale, axes) - np.expand_dims(shift, axes)
