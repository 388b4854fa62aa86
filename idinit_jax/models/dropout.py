"""Dropout whose draws do not depend on how many devices share a batch."""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def drop(
    key: jax.Array, x: jax.Array, rate: ArrayLike, parts: tuple[int, ...], axis_name: str | None
) -> jax.Array:
    """Set parts of every sample to zero at random, and scale the others up to keep the mean.

    What is dropped of a sample depends on the key and on the sample's place in the whole batch.

    Args:
        key: a random key, the same on all devices.
        x: (samples, ...).
        rate: probability that a part is dropped, in [0, 1).
        parts: shape of the parts of a sample that are dropped alone; broadcasts to the sample's.
        axis_name: the pmap axis that the batch is split over, if any.

    Returns:
        An array like ``x``.
    """
    first = 0 if axis_name is None else jax.lax.axis_index(axis_name) * len(x)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, first + jnp.arange(len(x)))
    kept = jax.vmap(lambda key: jax.random.bernoulli(key, 1.0 - rate, parts))(keys)
    return jnp.where(kept, x / jnp.asarray(1.0 - rate, x.dtype), jnp.zeros_like(x))
