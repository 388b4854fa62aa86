"""Models of any framework as pure functions of parameters, state and inputs.

Equinox and Haiku are recognised by the modules that a caller has imported; nothing is imported
here that the caller does not use.
"""

import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import nnx
from flax.core import DenyList, unfreeze

from idinit_jax.tracing.collection import paused_collection
from idinit_jax.tracing.joint import Joint, trace_jointly

PyTree = Any


class Model(NamedTuple):
    """A model taken apart.

    Attributes:
        framework: "linen", "nnx", "equinox", "haiku" or "function".
        apply: (params, state, *inputs) -> outputs, pure.
        params: tree of ShapeDtypeStruct, what training changes.
        state: tree of ShapeDtypeStruct or of static leaves, what else `apply` reads.
        inputs: the sample inputs as trees of ShapeDtypeStruct, static arguments as they are.
        own: key -> (params, state) as the framework itself would start them; None where the model
            holds shapes only and has no initializer.
        join: (params, state) -> what the framework calls an initialized model.
        split: its inverse.
        joint: what one trace of its initialization gave, for a Linen module.
    """

    framework: str
    apply: Callable[..., PyTree]
    params: PyTree
    state: PyTree
    inputs: tuple[PyTree, ...]
    own: Callable[[jax.Array], tuple[PyTree, PyTree]] | None
    join: Callable[[PyTree, PyTree], Any]
    split: Callable[[Any], tuple[PyTree, PyTree]]
    joint: Joint | None = None


@paused_collection()
def take_apart(model: Any, inputs: tuple[Any, ...], call_kwargs: Mapping[str, Any] = {}) -> Model:
    """Recognise the framework of `model` and take it apart; nothing of it is run.

    Args:
        model: a Linen module, an NNX module, an Equinox module, a Haiku transformed function, or
            a function `apply(params, *inputs)`.
        inputs: sample inputs, arrays or ShapeDtypeStructs; for a function the parameter tree
            comes first. Python bools, numbers, strings and None are passed on as they are.
        call_kwargs: keyword arguments of the model's own call, such as {"train": False}.

    Raises:
        TypeError: the model is none of these.
        ValueError: it has no parameters.
    """
    for recognises, adapter in _ADAPTERS:
        if recognises(model):
            adapted = adapter(model, inputs, dict(call_kwargs))
            break
    else:
        raise TypeError(
            f"cannot trace a {type(model).__name__}: give a Linen, NNX or Equinox module, a Haiku "
            "transformed function, or apply(params, *inputs) followed by its parameter tree"
        )
    if not jax.tree.leaves(adapted.params):
        raise ValueError(f"the {adapted.framework} model has no parameters to initialize")
    return adapted


def is_array(leaf: Any) -> bool:
    """Whether a leaf is an array or stands for one."""
    return hasattr(leaf, "shape") and hasattr(leaf, "dtype")


def abstract(tree: PyTree) -> PyTree:
    """The tree with every array replaced by its ShapeDtypeStruct; other leaves stay."""
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(jnp.shape(leaf), leaf.dtype) if is_array(leaf) else leaf,
        tree,
    )


def _has_values(tree: PyTree) -> bool:
    return not any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(tree))


def _own_values(params: PyTree, state: PyTree) -> Callable | None:
    """A model that is already there starts from the values that it holds."""
    if _has_values((params, state)):
        return lambda _: (params, state)
    return None


def _adapt_linen(module: nn.Module, inputs: tuple, call_kwargs: dict) -> Model:
    inputs = abstract(inputs)
    dynamic, static = _partition(inputs)

    joint = trace_jointly(module, lambda arrays: (_combine(arrays, static), call_kwargs), dynamic)
    boxed = {"params": joint.params, **joint.state}

    def split(variables: Mapping[str, Any]) -> tuple[PyTree, PyTree]:
        variables = dict(nn.meta.unbox(unfreeze(dict(variables))))
        return variables.pop("params", {}), variables

    def join(params: PyTree, state: PyTree) -> PyTree:
        return nn.meta.replace_boxed(boxed, {"params": params, **state})

    def apply(params: PyTree, state: PyTree, *inputs: Any) -> PyTree:
        key = jax.random.key(0)
        output, _ = module.apply(
            {"params": params, **state},
            *inputs,
            rngs={"params": key, "dropout": key},
            mutable=DenyList(("params",)),
            **call_kwargs,
        )
        return output

    def own(key: jax.Array) -> tuple[PyTree, PyTree]:
        zeros = [jnp.zeros(leaf.shape, leaf.dtype) for leaf in dynamic]
        rngs = {"params": key, "dropout": jax.random.fold_in(key, 1)}
        return split(module.init(rngs, *_combine(zeros, static), **call_kwargs))

    params, state = split(boxed)
    return Model("linen", apply, params, state, inputs, own, join, split, joint)


def _adapt_nnx(module: nnx.Module, inputs: tuple, call_kwargs: dict) -> Model:
    graphdef, held_params, held_state = nnx.split(module, nnx.Param, ...)

    def apply(params: PyTree, state: PyTree, *inputs: Any) -> PyTree:
        return nnx.merge(graphdef, _as_state(held_params, params), state)(*inputs, **call_kwargs)

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
        _own_values(params, held_state),
        join,
        split,
    )


def _as_state(like: nnx.State, params: PyTree) -> nnx.State:
    state = jax.tree.map(lambda leaf: leaf, like)
    nnx.replace_by_pure_dict(state, params)
    return state


def _adapt_equinox(module: Any, inputs: tuple, call_kwargs: dict) -> Model:
    equinox = sys.modules["equinox"]

    def is_param(leaf: Any) -> bool:
        return is_array(leaf) and jnp.issubdtype(leaf.dtype, jnp.inexact)

    held_params, held_state = equinox.partition(module, is_param)
    arrays, static = equinox.partition(held_state, is_array)

    def apply_one(params: PyTree, state: PyTree, *inputs: Any) -> PyTree:
        return equinox.combine(params, state, static)(*inputs, **call_kwargs)

    def join(params: PyTree, state: PyTree) -> Any:
        return equinox.combine(params, state, static)

    def split(module: Any) -> tuple[PyTree, PyTree]:
        params, state = equinox.partition(module, is_param)
        return params, equinox.filter(state, is_array)

    params, state, inputs = abstract(held_params), abstract(arrays), abstract(inputs)
    apply = _batched_if_needed(apply_one, params, state, inputs)
    own = _own_values(held_params, arrays)
    return Model("equinox", apply, params, state, inputs, own, join, split)


def _batched_if_needed(
    apply_one: Callable, params: PyTree, state: PyTree, inputs: tuple
) -> Callable:
    """Equinox modules see one example: map over the first axis where only a batch fits."""

    def apply_batch(params: PyTree, state: PyTree, *inputs: Any) -> PyTree:
        dynamic, static = _partition(inputs)
        return jax.vmap(lambda *one: apply_one(params, state, *_combine(list(one), static)))(
            *dynamic
        )

    try:
        _abstract_call(apply_one, params, state, inputs)
    except Exception as one_example:
        try:
            _abstract_call(apply_batch, params, state, inputs)
        except Exception:
            raise one_example  # noqa: B904 the other error is part of the story
        return apply_batch
    return apply_one


def _abstract_call(apply: Callable, params: PyTree, state: PyTree, inputs: tuple) -> PyTree:
    dynamic, static = _partition(inputs)
    return jax.eval_shape(lambda p, s, d: apply(p, s, *_combine(d, static)), params, state, dynamic)


def _adapt_haiku(transformed: Any, inputs: tuple, call_kwargs: dict) -> Model:
    inputs = abstract(inputs)
    dynamic, static = _partition(inputs)
    stateful = hasattr(transformed, "_fields") and "WithState" in type(transformed).__name__

    @jax.jit  # traced once, for the shapes here and for `own` later
    def init(key: jax.Array, dynamic: list) -> tuple[PyTree, PyTree]:
        values = transformed.init(key, *_combine(dynamic, static), **call_kwargs)
        return values if stateful else (values, {})

    # hk.without_apply_rng takes the key out of apply's signature.
    draws = "rng" in inspect.signature(transformed.apply).parameters

    def apply(params: PyTree, state: PyTree, *inputs: Any) -> PyTree:
        key = (jax.random.key(0),) if draws else ()
        held = (params, state) if stateful else (params,)
        output = transformed.apply(*held, *key, *inputs, **call_kwargs)
        return output[0] if stateful else output

    def join(params: PyTree, state: PyTree) -> PyTree:
        return (params, state) if stateful else params

    def split(values: PyTree) -> tuple[PyTree, PyTree]:
        return values if stateful else (values, {})

    def own(key: jax.Array) -> tuple[PyTree, PyTree]:
        return init(key, [jnp.zeros(leaf.shape, leaf.dtype) for leaf in dynamic])

    params, state = jax.eval_shape(init, jax.random.key(0), dynamic)
    return Model("haiku", apply, params, state, inputs, own, join, split)


def _adapt_function(function: Callable, inputs: tuple, call_kwargs: dict) -> Model:
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
        return function(whole(params), *inputs, **call_kwargs)

    return Model(
        "function",
        apply,
        abstract(params),
        {},
        abstract(tuple(inputs_)),
        _own_values(params, {}),
        join=lambda params, _: whole(params),
        split=lambda tree: (_arrays(tree), {}),
    )


def _arrays(tree: PyTree) -> PyTree:
    return jax.tree.map(lambda leaf: leaf if is_array(leaf) else None, tree)


def _partition(inputs: tuple) -> tuple[list, Any]:
    """Array leaves, and what is needed to put the rest around them again."""
    leaves, tree = jax.tree.flatten(inputs)
    return [leaf for leaf in leaves if is_array(leaf)], (leaves, tree)


def _combine(dynamic: list, static: Any) -> tuple:
    leaves, tree = static
    arrays = iter(dynamic)
    return jax.tree.unflatten(tree, [next(arrays) if is_array(leaf) else leaf for leaf in leaves])


def _is_equinox(model: Any) -> bool:
    equinox = sys.modules.get("equinox")
    return equinox is not None and isinstance(model, equinox.Module)


def _is_haiku(model: Any) -> bool:
    haiku = sys.modules.get("haiku")
    kinds = (haiku.Transformed, haiku.TransformedWithState) if haiku else ()
    return isinstance(model, kinds)


_ADAPTERS = (
    (lambda model: isinstance(model, nn.Module), _adapt_linen),
    (lambda model: isinstance(model, nnx.Module), _adapt_nnx),
    (_is_equinox, _adapt_equinox),
    (_is_haiku, _adapt_haiku),
    (callable, _adapt_function),
)
