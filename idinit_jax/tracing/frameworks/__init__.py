"""A model of Linen, NNX, Equinox, Haiku or plain JAX as one pure function."""

from idinit_jax.tracing.frameworks.arrays import abstract, is_array
from idinit_jax.tracing.frameworks.model import Model
from idinit_jax.tracing.frameworks.take_apart import take_apart

__all__ = ["Model", "abstract", "is_array", "take_apart"]
