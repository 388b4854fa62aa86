"""What a model's own initialization makes, as far as it can be read off without running it."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend import core

from idinit_jax.tracing.frameworks import Model
from idinit_jax.tracing.graph import ModelGraph

_RESHAPED = {"broadcast_in_dim", "reshape", "squeeze", "transpose", "slice", "copy", "copy_p"}
_CALLS = {"pjit", "jit", "closed_call", "core_call", "remat2", "checkpoint", "custom_jvp_call"}


def with_own_biases(graph: ModelGraph, model: Model) -> ModelGraph:
    """The graph with what is known of the model's own start of each bias."""
    biases = {one.path for one in graph.parameters if one.kind == "bias"}
    if not biases or model.own is None:
        return graph
    find = _held if model.holds_values else _computed
    starts = find(model, model.own, biases, graph.program.paths)
    return dataclasses.replace(
        graph,
        parameters=tuple(
            dataclasses.replace(one, **starts.get(one.path, {})) for one in graph.parameters
        ),
    )


def _computed(
    model: Model, own: Callable, biases: set[str], paths: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """The constants that the model's initialization gives to biases."""
    program = start_program(model, own, jax.random.key(0))
    found = uniform_outputs(program.jaxpr, program.consts, [None])
    return {
        path: {"start": float(value)}
        for path, value in zip(paths, found, strict=False)
        if path in biases and value is not None
    }


def _held(
    model: Model, own: Callable, biases: set[str], paths: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """The constants that a model holds as biases, and those of its biases that are designed.

    Where most are uneven, they are random, as Equinox's always are, or trained. Of a single entry
    it is not known how it came about.
    """
    leaves = jax.tree.leaves(own(jax.random.key(0))[0])
    told = {
        path: np.asarray(leaf)
        for path, leaf in zip(paths, leaves, strict=True)
        if path in biases and not isinstance(leaf, Tracer) and np.size(leaf) > 1
    }
    uneven = {path for path, array in told.items() if is_uneven(array)}
    few = 2 * len(uneven) <= len(told) and model.framework != "equinox"
    return {
        path: {"designed": few} if path in uneven else {"start": float(array.reshape(-1)[0])}
        for path, array in told.items()
    }


def is_uneven(array: np.ndarray) -> bool:
    """Whether the entries of an array differ from one another."""
    return bool((array != array.reshape(-1)[:1]).any())


def start_program(model: Model, own: Callable, key: jax.Array) -> core.ClosedJaxpr:
    """key -> leaves of parameters and state."""
    start = model.joint and model.joint.start
    if start and key.dtype == start.in_avals[0].dtype:
        return start
    return jax.make_jaxpr(own)(key)


def uniform_outputs(jaxpr: Any, consts: Sequence[Any], inputs: Sequence[Any]) -> list[Any]:
    """For each output the one value that all its entries have, None where that is not plain."""
    known: dict[Any, Any] = dict(zip(jaxpr.invars, inputs, strict=True))
    known |= {var: _if_single(value) for var, value in zip(jaxpr.constvars, consts, strict=True)}

    def value_of(atom: Any) -> Any:
        return _if_single(atom.val) if isinstance(atom, core.Literal) else known.get(atom)

    for equation in jaxpr.eqns:
        operands = [value_of(atom) for atom in equation.invars]
        known |= zip(equation.outvars, _uniform_results(equation, operands), strict=True)
    return [value_of(atom) for atom in jaxpr.outvars]


def _uniform_results(equation: Any, operands: list[Any]) -> list[Any]:
    name, params = equation.primitive.name, equation.params
    if name in _RESHAPED:
        return operands[:1]
    if name == "convert_element_type" and operands[0] is not None:
        return [operands[0].astype(params["new_dtype"])]
    inner = params.get("jaxpr", params.get("call_jaxpr"))
    if inner is not None and name in _CALLS:
        return uniform_outputs(*_opened(inner), operands)
    if inner is not None and name == "scan":
        # What every turn puts out whatever it is given is put out by all turns together.
        opened, consts = _opened(inner)
        return uniform_outputs(opened, consts, [None] * len(opened.invars))
    return [None] * len(equation.outvars)


def _opened(inner: Any) -> tuple[Any, Sequence[Any]]:
    closed = isinstance(inner, core.ClosedJaxpr)
    return (inner.jaxpr, inner.consts) if closed else (inner, ())


def _if_single(value: Any) -> Any:
    if isinstance(value, Tracer) or np.size(value) != 1:
        return None
    return (
        None if isinstance(value, jax.Array) and _is_key(value) else np.asarray(value).reshape(())
    )


def _is_key(value: jax.Array) -> bool:
    return jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
