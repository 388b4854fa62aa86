"""The order in which an epoch visits its examples."""

import jax


def epoch_order(key: jax.Array, epoch: int | jax.Array, size: int) -> jax.Array:
    """A random permutation of 0 .. size - 1, a pure function of key and epoch.

    No state: a run resumed at any epoch sees the order that an uninterrupted one would.

    Args:
        key: a random key, the same for all epochs of a run.
        epoch: counted from 0; may be traced.
        size: number of examples.

    Returns:
        int32 (size,).

    >>> epoch_order(jax.random.key(0), 3, 5).shape
    (5,)
    """
    return jax.random.permutation(jax.random.fold_in(key, epoch), size)
