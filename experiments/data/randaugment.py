"""RandAugment: a few distortions an image, drawn from a table (Cubuk et al. 2020, 1909.13719)."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from experiments.data import tones, warps

Distort = Callable[[jax.Array, jax.Array], jax.Array]
"""From uint8 (H, W, C) and a strength in -1 .. 1 to uint8 (H, W, C)."""

MAX_MAGNITUDE = 10.0
TABLE: dict[str, Distort] = {
    "identity": lambda image, strength: image,  # noqa: ARG005 called like the others
    "auto contrast": tones.auto_contrast,
    "equalize": tones.equalize,
    "solarize": tones.solarize,
    "posterize": tones.posterize,
    "brightness": tones.brightness,
    "contrast": tones.contrast,
    "colour": tones.colour,
    "sharpness": tones.sharpness,
    "rotate": warps.rotate,
    "shear x": warps.shear_x,
    "shear y": warps.shear_y,
    "translate x": warps.translate_x,
    "translate y": warps.translate_y,
}


class Distortions(NamedTuple):
    """One a layer of each image: number in the table int32, sign -1 or 1, both (N, layers)."""

    number: jax.Array
    sign: jax.Array


def draw_distortions(key: jax.Array, batch_size: int, layers: int) -> Distortions:
    """Every entry of the table is equally likely, and so is either sign."""
    number_key, sign_key = jax.random.split(key)
    shape = (batch_size, layers)
    number = jax.random.randint(number_key, shape, 0, len(TABLE))
    return Distortions(number, jax.random.rademacher(sign_key, shape, jnp.float32))


def distort(image: jax.Array, distortions: Distortions, magnitude: float) -> jax.Array:
    """One image, distorted layer by layer at a magnitude of 0 .. 10."""
    for number, sign in zip(*distortions, strict=True):
        strength = sign * jnp.float32(magnitude / MAX_MAGNITUDE)
        image = jax.lax.switch(number, list(TABLE.values()), image, strength)
    return image
