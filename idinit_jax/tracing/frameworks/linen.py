"""Flax Linen modules."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.core import DenyList, unfreeze

from idinit_jax.tracing.frameworks.arrays import PyTree, abstract, as_call, combine, partition
from idinit_jax.tracing.frameworks.forward import Forward
from idinit_jax.tracing.frameworks.joint import trace_jointly
from idinit_jax.tracing.frameworks.model import Model


def adapt_linen(module: nn.Module, inputs: tuple, call_kwargs: dict) -> Model:
    inputs = abstract(inputs)
    dynamic, static = partition(inputs)

    def call(arrays: list) -> tuple[tuple, dict[str, Any]]:
        args, named = as_call(combine(arrays, static))
        return args, {**call_kwargs, **named}

    joint = trace_jointly(module, call, dynamic)
    boxed = {"params": joint.params, **joint.state}

    def split(variables: Mapping[str, Any]) -> tuple[PyTree, PyTree]:
        variables = dict(nn.meta.unbox(unfreeze(dict(variables))))
        return variables.pop("params", {}), variables

    def join(params: PyTree, state: PyTree) -> PyTree:
        return nn.meta.replace_boxed(boxed, {"params": params, **state})

    def apply(params: PyTree, state: PyTree, *inputs: Any) -> PyTree:
        key = jax.random.key(0)
        args, named = as_call(inputs)
        output, _ = module.apply(
            {"params": params, **state},
            *args,
            rngs={"params": key, "dropout": key},
            mutable=DenyList(("params",)),
            **call_kwargs,
            **named,
        )
        return output

    def own(key: jax.Array) -> tuple[PyTree, PyTree]:
        zeros = [jnp.zeros(leaf.shape, leaf.dtype) for leaf in dynamic]
        rngs = {"params": key, "dropout": jax.random.fold_in(key, 1)}
        args, kwargs = call(zeros)
        return split(module.init(rngs, *args, **kwargs))

    params, state = split(boxed)
    forward = Forward(joint.forward, joint.out_tree) if joint.forward else None
    return Model("linen", apply, params, state, inputs, own, join, split, forward, joint)
