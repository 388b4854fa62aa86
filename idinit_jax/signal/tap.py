"""Sum up the gradient of an activation where it arises, without keeping it."""

import jax
import jax.numpy as jnp

from idinit_jax.signal.statistics import UNITS, Sums, sums_of


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
    (sums,) = sums_of(gradient)
    return gradient, jax.tree.map(lambda x: x.astype(jnp.float32), sums)


tap.defvjp(_forward, _backward)


def make_slot(lengths: tuple[int, ...] = ()) -> Sums:
    """A slot for every turn of the loops around an activation.

    Args:
        lengths: of the loops, outermost first.
    """
    zeros = jnp.zeros(lengths)
    units = (zeros,) * len(UNITS)
    return Sums(units, units, zeros, zeros, zeros)
