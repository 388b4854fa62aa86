"""Mean and variance of a signal, pooled over the places where it is measured."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from idinit_jax.calibration.slots import Meter


class Moments(NamedTuple):
    """Mean and variance over all entries of a signal, float32."""

    mean: jax.Array
    variance: jax.Array


def moments(signal: jax.Array) -> Moments:
    """Over the whole array, in float32."""
    signal = signal.astype(jnp.float32)
    return Moments(jnp.mean(signal), jnp.var(signal))


def pooled(measured: Sequence[Moments], meters: Sequence[Meter], layers: int) -> Moments:
    """The moments of all signals of a layer together, each of shape (layers,).

    `variance = sum_i w_i (variance_i + (mean_i - mean)^2)`, w_i the share of signal i in the
    layer's entries. What was not measured, because a conditional did not run it, is NaN and is
    left out; a layer without a measurement is NaN.
    """
    slots = np.concatenate([meter.slots.reshape(-1) for meter in meters])
    sizes = np.concatenate([np.full(meter.slots.size, meter.size, float) for meter in meters])
    means = jnp.concatenate([one.mean.reshape(-1) for one in measured])
    variances = jnp.concatenate([one.variance.reshape(-1) for one in measured])
    seen = ~jnp.isnan(means)
    weights = jnp.where(seen, jnp.asarray(sizes / sizes.max(), jnp.float32), 0.0)

    def average(values: jax.Array) -> jax.Array:
        sums = jnp.zeros(layers).at[slots].add(jnp.where(seen, weights * values, 0.0))
        return sums / jnp.zeros(layers).at[slots].add(weights)

    mean = average(means)
    return Moments(mean, average(variances + (means - mean[slots]) ** 2))
