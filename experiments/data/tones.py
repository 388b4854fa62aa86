"""Distortions of colour and contrast, as the Python Imaging Library defines them.

All take and give uint8 (H, W, C) with one or three channels; a strength lies in -1 .. 1.
"""

import jax
import jax.numpy as jnp

MAX_CHANGE = 0.9  # of brightness, contrast, colour and sharpness
MAX_BITS = 4  # that posterizing takes off
LUMA = (0.299, 0.587, 0.114)  # ITU-R 601


def brightness(image: jax.Array, strength: jax.Array) -> jax.Array:
    """Away from black, or towards it."""
    return _blend(jnp.float32(0.0), image, strength)


def contrast(image: jax.Array, strength: jax.Array) -> jax.Array:
    """Away from the mean grey, or towards it."""
    return _blend(jnp.rint(_grey(image).mean()), image, strength)


def colour(image: jax.Array, strength: jax.Array) -> jax.Array:
    """Away from the grey image, or towards it."""
    return _blend(_grey(image), image, strength)


def sharpness(image: jax.Array, strength: jax.Array) -> jax.Array:
    """Away from the smoothed image, or towards it; the outermost pixels stay."""
    height, width, _ = image.shape
    pixels = image.astype(jnp.float32)
    shifted = [pixels[i : height - 2 + i, j : width - 2 + j] for i in range(3) for j in range(3)]
    smooth = (sum(shifted) + 4 * pixels[1:-1, 1:-1]) / 13
    return _blend(pixels.at[1:-1, 1:-1].set(jnp.rint(smooth)), image, strength)


def posterize(image: jax.Array, strength: jax.Array) -> jax.Array:
    """Up to 4 of 8 bits set to zero."""
    bits = jnp.rint(MAX_BITS * jnp.abs(strength)).astype(jnp.uint8)
    return (image >> bits) << bits


def solarize(image: jax.Array, strength: jax.Array) -> jax.Array:
    """Inverted from a threshold on, which falls from white to black."""
    threshold = 255 * (1 - jnp.abs(strength))
    return jnp.where(image.astype(jnp.float32) >= threshold, 255 - image, image)


def auto_contrast(image: jax.Array, strength: jax.Array) -> jax.Array:
    """Every channel stretched to 0 .. 255."""
    del strength
    pixels = image.astype(jnp.float32)
    low, high = pixels.min(axis=(0, 1), keepdims=True), pixels.max(axis=(0, 1), keepdims=True)
    flat = high == low
    stretched = (pixels - low) * (255 / jnp.where(flat, 1.0, high - low))
    return _to_pixels(jnp.where(flat, pixels, stretched))


def equalize(image: jax.Array, strength: jax.Array) -> jax.Array:
    """Every channel's levels about equally frequent."""
    del strength
    return jax.vmap(_equalize_channel, in_axes=2, out_axes=2)(image)


def _equalize_channel(channel: jax.Array) -> jax.Array:
    counts = jnp.zeros(256, jnp.int32).at[channel.reshape(-1)].add(1)
    step = (channel.size - counts[channel.max()]) // 255
    below = jnp.cumsum(counts) - counts
    levels = ((step // 2 + below) // jnp.maximum(step, 1)).clip(0, 255).astype(jnp.uint8)
    return jnp.where(step > 0, levels[channel], channel)


def _grey(image: jax.Array) -> jax.Array:
    """Luminance (H, W, 1), rounded."""
    pixels = image.astype(jnp.float32)
    if image.shape[-1] == 1:
        return pixels
    return jnp.rint((pixels * jnp.asarray(LUMA)[None, None, :]).sum(axis=-1, keepdims=True))


def _blend(base: jax.Array, image: jax.Array, strength: jax.Array) -> jax.Array:
    """base + (1 + 0.9 strength) (image - base)."""
    return _to_pixels(base + (1 + MAX_CHANGE * strength) * (image.astype(jnp.float32) - base))


def _to_pixels(values: jax.Array) -> jax.Array:
    return jnp.rint(values.clip(0, 255)).astype(jnp.uint8)
