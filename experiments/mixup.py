"""Mixup: neighbours in a batch are blended, images and labels alike (Zhang et al. 2018)."""

import jax


def draw_share(key: jax.Array, concentration: float) -> jax.Array:
    """What an image keeps of itself, float32, from Beta(concentration, concentration)."""
    return jax.random.beta(key, concentration, concentration)


def blend_neighbours(rows: jax.Array, share: jax.Array) -> jax.Array:
    """share x_n + (1 - share) x_m, where n and m are 0 and 1, 2 and 3, and so on.

    The order of a batch is random, and so are its pairs.

    Args:
        rows: (N, ...), N even.
        share: a scalar.

    >>> import jax.numpy as jnp
    >>> blend_neighbours(jnp.asarray([0.0, 1.0, 4.0, 8.0]), jnp.float32(0.75)).tolist()
    [0.25, 0.75, 5.0, 7.0]
    """
    pairs = rows.reshape(-1, 2, *rows.shape[1:])
    return (share * pairs + (1.0 - share) * pairs[:, ::-1]).reshape(rows.shape)
