"""Models of any framework, recognised and taken apart.

Equinox and Haiku are recognised by the modules that a caller has imported; nothing is imported
here that the caller does not use.
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
from flax import nnx

from idinit_jax.tracing.frameworks.arrays import with_named
from idinit_jax.tracing.frameworks.equinox import adapt_equinox, is_equinox
from idinit_jax.tracing.frameworks.function import adapt_function
from idinit_jax.tracing.frameworks.haiku import adapt_haiku, is_haiku
from idinit_jax.tracing.frameworks.linen import adapt_linen
from idinit_jax.tracing.frameworks.model import Model
from idinit_jax.tracing.frameworks.nnx import adapt_nnx
from idinit_jax.tracing.program.collection import paused_collection

_ADAPTERS = (
    (lambda model: isinstance(model, nn.Module), adapt_linen),
    (lambda model: isinstance(model, nnx.Module), adapt_nnx),
    (is_equinox, adapt_equinox),
    (is_haiku, adapt_haiku),
    (callable, adapt_function),
)


@paused_collection()
def take_apart(model: Any, inputs: tuple[Any, ...], call_kwargs: Mapping[str, Any] = {}) -> Model:
    """Recognise the framework of `model` and take it apart; nothing of it is run.

    Args:
        model: a Linen module, an NNX module, an Equinox module, a Haiku transformed function, or
            a function `apply(params, *inputs)`.
        inputs: sample inputs, arrays or ShapeDtypeStructs; for a function the parameter tree
            comes first. Python bools, numbers, strings and None are passed on as they are.
        call_kwargs: keyword arguments of the model's own call, such as {"train": False}; arrays
            among them are inputs like the others.

    Raises:
        TypeError: the model is none of these.
        ValueError: it has no parameters.
    """
    for recognises, adapter in _ADAPTERS:
        if recognises(model):
            adapted = adapter(model, *with_named(inputs, call_kwargs))
            break
    else:
        raise TypeError(
            f"cannot trace a {type(model).__name__}: give a Linen, NNX or Equinox module, a Haiku "
            "transformed function, or apply(params, *inputs) followed by its parameter tree"
        )
    if not jax.tree.leaves(adapted.params):
        raise ValueError(f"the {adapted.framework} model has no parameters to initialize")
    return adapted


def takes_parameters(model: Any) -> bool:
    """Whether a model is a plain function, whose parameter tree comes first among its inputs."""
    adapters = (adapter for recognises, adapter in _ADAPTERS if recognises(model))
    return next(adapters, None) is adapt_function
