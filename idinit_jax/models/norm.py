"""The normalization of the reference models, chosen by name."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer
from jax.typing import DTypeLike

NORMS = ("batch", "layer", "none")


def normalize(
    x: jax.Array,
    kind: str,
    *,
    name: str,
    train: bool,
    dtype: DTypeLike = jnp.float32,
    axis_name: str | None = None,
    scale_init: Initializer = nn.initializers.ones,
) -> jax.Array:
    """Normalize the features of ``x`` by the norm called ``kind``; to call inside a module.

    Statistics are float32 whatever ``dtype`` is; only the result is cast.

    Args:
        x: (..., features).
        kind: "batch" (over every axis but the last), "layer" (over the last) or "none" (``x``).
        name: the norm's name in the parameter tree.
        train: whether a batch norm uses the statistics of this batch rather than its averages.
        dtype: of the result.
        axis_name: the pmap axis over which batch statistics are averaged, if any.
        scale_init: initializer of the scale, of shape (features,).

    Returns:
        An array of the shape of ``x``.
    """
    if kind == "none":
        return x
    x = x.astype(jnp.float32)
    if kind == "layer":
        return nn.LayerNorm(epsilon=1e-6, scale_init=scale_init, name=name)(x).astype(dtype)
    norm = nn.BatchNorm(
        use_running_average=not train,
        momentum=0.9,
        epsilon=1e-5,
        axis_name=axis_name,
        scale_init=scale_init,
        name=name,
    )
    return norm(x).astype(dtype)
