"""Read a model's computation: which parameter enters which contraction, where and why."""

from idinit_jax.tracing.frameworks import Model, take_apart
from idinit_jax.tracing.graph import Kernel, ModelGraph, Parameter, ResidualSum, Use
from idinit_jax.tracing.traced import Traced, trace, traced, traced_with

__all__ = [
    "Kernel",
    "Model",
    "ModelGraph",
    "Parameter",
    "ResidualSum",
    "Traced",
    "Use",
    "take_apart",
    "trace",
    "traced",
    "traced_with",
]
