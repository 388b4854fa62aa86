"""A model of Linen, NNX, Equinox, Haiku or plain JAX as one pure function."""

from idinit_jax.tracing.frameworks.arrays import abstract, is_array, output_arrays, with_named
from idinit_jax.tracing.frameworks.forward import Forward, trace_forward
from idinit_jax.tracing.frameworks.model import Model
from idinit_jax.tracing.frameworks.take_apart import take_apart, takes_parameters

__all__ = [
    "Forward",
    "Model",
    "abstract",
    "is_array",
    "output_arrays",
    "take_apart",
    "takes_parameters",
    "trace_forward",
    "with_named",
]
