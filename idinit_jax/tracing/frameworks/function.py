"""A function `apply(params, *inputs)` with its parameter tree."""

from collections.abc import Callable
from typing import Any

import jax

from idinit_jax.tracing.frameworks.arrays import PyTree, abstract, as_call, is_array
from idinit_jax.tracing.frameworks.model import Model, own_values


def adapt_function(function: Callable, inputs: tuple, call_kwargs: dict) -> Model:
    if not inputs:
        raise TypeError("a function needs its parameter tree first: (apply, params, *inputs)")
    tree, *inputs_ = inputs
    params = _arrays(tree)

    def whole(params: PyTree) -> PyTree:
        """The tree with what it holds besides arrays, such as an Equinox module's functions."""
        return jax.tree.map(
            lambda array, leaf: leaf if array is None else array,
            params,
            tree,
            is_leaf=lambda leaf: leaf is None,
        )

    def apply(params: PyTree, state: PyTree, *inputs: Any) -> PyTree:
        del state
        args, named = as_call(inputs)
        return function(whole(params), *args, **call_kwargs, **named)

    return Model(
        "function",
        apply,
        abstract(params),
        {},
        abstract(tuple(inputs_)),
        own_values(params, {}),
        join=lambda params, _: whole(params),
        split=lambda tree: (_arrays(tree), {}),
    )


def _arrays(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: leaf if is_array(leaf) else None, tree)
