"""Traces of the last few Linen modules, so that another key or scheme need not trace again."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import flax.linen as nn
import jax

from idinit_jax.tracing import Model, ModelGraph, take_apart, trace_model
from idinit_jax.tracing.frameworks import abstract

_REMEMBERED = 8


def traced(
    model: Any, inputs: tuple[Any, ...], call_kwargs: Mapping[str, Any]
) -> tuple[Model, ModelGraph]:
    """A model taken apart, and its graph.

    Linen modules are values: equal ones compute the same, so equal modules on equal shapes are
    traced once. Other models hold values of their own and are traced every time.
    """
    leaves, tree = jax.tree.flatten(abstract(inputs))
    call = (model, tree, *leaves, *sorted(call_kwargs.items()))
    if not isinstance(model, nn.Module) or not _is_hashable(call):
        return _trace(model, inputs, call_kwargs)
    double = jax.config.jax_enable_x64  # pyright: ignore[reportAttributeAccessIssue] made at run time
    return _remembered(model, tree, tuple(leaves), tuple(sorted(call_kwargs.items())), double)


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


@lru_cache(maxsize=_REMEMBERED)
def _remembered(
    model: Any, tree: Any, leaves: tuple, call_kwargs: tuple, double: bool
) -> tuple[Model, ModelGraph]:
    del double  # part of what is remembered: the same shapes trace to other dtypes
    return _trace(model, jax.tree.unflatten(tree, leaves), dict(call_kwargs))


def _trace(
    model: Any, inputs: tuple[Any, ...], call_kwargs: Mapping[str, Any]
) -> tuple[Model, ModelGraph]:
    apart = take_apart(model, inputs, call_kwargs)
    return apart, trace_model(apart)
