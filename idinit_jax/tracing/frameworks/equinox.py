"""Equinox modules, which hold their values or shapes and see one example at a time."""

import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from idinit_jax.tracing.frameworks.arrays import (
    PyTree,
    abstract,
    as_call,
    combine,
    is_array,
    partition,
)
from idinit_jax.tracing.frameworks.forward import Forward, trace_forward
from idinit_jax.tracing.frameworks.model import Model, own_values

_MAPPED_BY_HAND = (
    "the Equinox module reads the name of a mapped axis, as a batch norm does: give the function"
    " that maps it, with the module as its parameter tree, for example (lambda module, x, state:"
    ' jax.vmap(module, axis_name="batch", in_axes=(0, None), out_axes=(0, None))(x, state),'
    " module, x, state)"
)


def is_equinox(model: Any) -> bool:
    equinox = sys.modules.get("equinox")
    return equinox is not None and isinstance(model, equinox.Module)


def adapt_equinox(module: Any, inputs: tuple, call_kwargs: dict) -> Model:
    equinox = sys.modules["equinox"]

    def is_param(leaf: Any) -> bool:
        return is_array(leaf) and jnp.issubdtype(leaf.dtype, jnp.inexact)

    held_params, held_state = equinox.partition(module, is_param)
    arrays, static = equinox.partition(held_state, is_array)

    def apply_one(params: PyTree, state: PyTree, *inputs: Any) -> PyTree:
        args, named = as_call(inputs)
        return equinox.combine(params, state, static)(*args, **call_kwargs, **named)

    def join(params: PyTree, state: PyTree) -> Any:
        return equinox.combine(params, state, static)

    def split(module: Any) -> tuple[PyTree, PyTree]:
        params, state = equinox.partition(module, is_param)
        return params, equinox.filter(state, is_array)

    params, state, inputs = abstract(held_params), abstract(arrays), abstract(inputs)
    apply, forward = _batched_if_needed(apply_one, params, state, inputs)
    own = own_values(held_params, arrays)
    return Model("equinox", apply, params, state, inputs, own, join, split, forward)


def _batched_if_needed(
    apply_one: Callable, params: PyTree, state: PyTree, inputs: tuple
) -> tuple[Callable, Forward]:
    """Equinox modules see one example: map over the first axis where only a batch fits."""

    def apply_batch(params: PyTree, state: PyTree, *inputs: Any) -> PyTree:
        dynamic, static = partition(inputs)
        return jax.vmap(lambda *one: apply_one(params, state, *combine(list(one), static)))(
            *dynamic
        )

    try:
        return apply_one, trace_forward(apply_one, params, state, inputs)
    except Exception as one_example:
        try:
            return apply_batch, trace_forward(apply_batch, params, state, inputs)
        except Exception as batch:
            if "unbound axis name" in f"{one_example}{batch}":
                raise TypeError(_MAPPED_BY_HAND) from one_example
            raise one_example  # noqa: B904 the other error is part of the story
