"""Sum up the gradient of an activation where it arises, without keeping it."""

import jax

from idinit_jax.signal.statistics import Sums, sums_of


@jax.custom_vjp
def tap(y: jax.Array, slot: Sums) -> jax.Array:
    """`y` itself; the gradient with respect to `slot` holds the sums of the gradient at `y`.

    A zero added to `y` would have the gradient of `y` as its own, at the size of `y` and, in a
    scan, for all layers at once. The slot is such a probe, whose gradient is summed up at once.
    """
    del slot
    return y


def _forward(y: jax.Array, slot: Sums) -> tuple[jax.Array, None]:
    del slot
    return y, None


def _backward(kept: None, gradient: jax.Array) -> tuple[jax.Array, Sums]:
    del kept
    return gradient, sums_of(gradient)


tap.defvjp(_forward, _backward)
