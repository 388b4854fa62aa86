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
from idinit_jax.tracing.graph import ModelGraph, Parameter

_RESHAPED = {"broadcast_in_dim", "reshape", "squeeze", "transpose", "slice", "copy", "copy_p"}
_CALLS = {"pjit", "jit", "closed_call", "core_call", "remat2", "checkpoint", "custom_jvp_call"}


def with_own_biases(graph: ModelGraph, model: Model) -> ModelGraph:
    """The graph with the constant at which the model itself starts each bias, if it is one."""
    biases = {one.path for one in graph.parameters if one.kind == "bias"}
    if not biases or model.own is None:
        return graph
    starts = dict(zip(graph.program.paths, _starts(model, model.own, biases, graph), strict=True))
    return dataclasses.replace(
        graph, parameters=tuple(_started(one, starts[one.path]) for one in graph.parameters)
    )


def _started(one: Parameter, start: Any) -> Parameter:
    return one if start is None else dataclasses.replace(one, start=float(start))


def _starts(model: Model, own: Callable, biases: set[str], graph: ModelGraph) -> list[Any]:
    """For every parameter leaf the constant it starts at; None where it is none, or no bias."""
    key = jax.random.key(0)
    if model.holds_values:
        found = [
            _if_uniform(leaf) if path in biases else None
            for path, leaf in zip(graph.program.paths, jax.tree.leaves(own(key)[0]), strict=True)
        ]
    else:
        program = start_program(model, own, key)
        found = uniform_outputs(program.jaxpr, program.consts, [None])
    paths = graph.program.paths
    return [one if path in biases else None for path, one in zip(paths, found, strict=False)]


def _if_uniform(value: Any) -> Any:
    """The entry that all are equal to; of a single one it is not known how it came about."""
    if isinstance(value, Tracer) or np.size(value) < 2:
        return None
    array = np.asarray(value)
    first = array.reshape(-1)[0]
    return first if (array == first).all() else None


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
