"""Read a model's computation: which parameter enters which contraction, where and why."""

from idinit_jax.tracing.frameworks import Model, take_apart
from idinit_jax.tracing.graph import Kernel, ModelGraph, Parameter, ResidualSum, Use
from idinit_jax.tracing.trace import trace, trace_model

__all__ = [
    "Kernel",
    "Model",
    "ModelGraph",
    "Parameter",
    "ResidualSum",
    "Use",
    "take_apart",
    "trace",
    "trace_model",
]
