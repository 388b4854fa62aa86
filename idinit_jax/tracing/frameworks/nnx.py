"""Flax NNX modules, which hold their values or shapes."""

from typing import Any

import jax
from flax import nnx

from idinit_jax.tracing.frameworks.arrays import PyTree, abstract, as_call
from idinit_jax.tracing.frameworks.model import Model, own_values


def adapt_nnx(module: nnx.Module, inputs: tuple, call_kwargs: dict) -> Model:
    graphdef, held_params, held_state = nnx.split(module, nnx.Param, ...)

    def apply(params: PyTree, state: PyTree, *inputs: Any) -> PyTree:
        args, named = as_call(inputs)
        whole = nnx.merge(graphdef, _as_state(held_params, params), state)
        return whole(*args, **call_kwargs, **named)

    def split(module: nnx.Module) -> tuple[PyTree, PyTree]:
        _, params, state = nnx.split(module, nnx.Param, ...)
        return nnx.to_pure_dict(params), state

    def join(params: PyTree, state: PyTree) -> nnx.Module:
        nnx.update(module, _as_state(held_params, params), state)
        return module

    params = nnx.to_pure_dict(held_params)
    return Model(
        "nnx",
        apply,
        abstract(params),
        abstract(held_state),
        abstract(inputs),
        own_values(params, held_state),
        join,
        split,
    )


def _as_state(like: nnx.State, params: PyTree) -> nnx.State:
    state = jax.tree.map(lambda leaf: leaf, like)
    nnx.replace_by_pure_dict(state, params)
    return state
