"""Haiku's transformed functions, with state or without."""

import inspect
import sys
from typing import Any

import jax
import jax.numpy as jnp

from idinit_jax.tracing.frameworks.arrays import PyTree, abstract, as_call, combine, partition
from idinit_jax.tracing.frameworks.model import Model


def is_haiku(model: Any) -> bool:
    haiku = sys.modules.get("haiku")
    kinds = (haiku.Transformed, haiku.TransformedWithState) if haiku else ()
    return isinstance(model, kinds)


def adapt_haiku(transformed: Any, inputs: tuple, call_kwargs: dict) -> Model:
    given, static = partition(inputs)
    inputs = abstract(inputs)
    dynamic = abstract(given)
    stateful = hasattr(transformed, "_fields") and "WithState" in type(transformed).__name__

    @jax.jit  # traced once, for the shapes here and for `own` later
    def init(key: jax.Array, dynamic: list) -> tuple[PyTree, PyTree]:
        args, named = as_call(combine(dynamic, static))
        values = transformed.init(key, *args, **call_kwargs, **named)
        return values if stateful else (values, {})

    # hk.without_apply_rng takes the key out of apply's signature.
    draws = "rng" in inspect.signature(transformed.apply).parameters

    def apply(params: PyTree, state: PyTree, *inputs: Any) -> PyTree:
        key = (jax.random.key(0),) if draws else ()
        held = (params, state) if stateful else (params,)
        args, named = as_call(inputs)
        output = transformed.apply(*held, *key, *args, **call_kwargs, **named)
        return output[0] if stateful else output

    def join(params: PyTree, state: PyTree) -> PyTree:
        return (params, state) if stateful else params

    def split(values: PyTree) -> tuple[PyTree, PyTree]:
        return values if stateful else (values, {})

    def own(key: jax.Array) -> tuple[PyTree, PyTree]:
        # Haiku's batch norm starts its averages from the data.
        return init(key, [_values(leaf, key) for leaf in given])

    params, state = jax.eval_shape(init, jax.random.key(0), dynamic)
    return Model("haiku", apply, params, state, inputs, own, join, split)


def _values(leaf: Any, key: jax.Array) -> Any:
    """A sample input; where only its shape is known, noise for reals and zeros for the rest."""
    if not isinstance(leaf, jax.ShapeDtypeStruct):
        return leaf
    if jnp.issubdtype(leaf.dtype, jnp.floating):
        return jax.random.normal(key, leaf.shape, leaf.dtype)
    return jnp.zeros(leaf.shape, leaf.dtype)
