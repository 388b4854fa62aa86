"""One trace of a Linen module for its start and its forward pass together.

Initialization runs the forward pass on the variables that it makes, so its jaxpr holds the
framework's draws and the forward pass. Cut at the variables it falls into both, which saves a
second trace.

Not every module can be cut: one that asks whether it is being initialized, or whether its variables
are there, may do something else in earnest, and variables that are made inside a scan have no place
to cut at. Then the forward pass takes a trace of its own.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
from jax.extend import core
from jax.interpreters import partial_eval

from idinit_jax.tracing.frameworks.arrays import PyTree, output_arrays
from idinit_jax.tracing.frameworks.questions import asks

_PLAIN_STATE = {"batch_stats"}


class Joint(NamedTuple):
    """What one trace of a module's initialization gives.

    Attributes:
        params: tree of ShapeDtypeStruct.
        state: likewise, all other variables by their collections.
        start: key -> leaves of params and state; None where they depend on the inputs.
        forward: (*leaves of params and state, *arrays) -> array leaves of the output; None where
            it takes a trace of its own.
        out_tree: structure of the output.
    """

    params: PyTree
    state: PyTree
    start: core.ClosedJaxpr | None
    forward: core.ClosedJaxpr | None
    out_tree: Any


def trace_jointly(module: nn.Module, call: Callable[[list], PyTree], arrays: list) -> Joint:
    """Trace a module's initialization, and cut the forward pass out of it if that is safe.

    Args:
        module: the module.
        call: arrays -> (args, kwargs) of the module's call.
        arrays: ShapeDtypeStructs.
    """
    sources: dict[int, Any] = {}  # by identity, once each
    structure = []

    def note(method: Callable, args: tuple, kwargs: dict, context: Any) -> Any:
        for source in (type(context.module), *vars(context.module).values()):
            sources[id(source)] = source
        return method(*args, **kwargs)

    def both(key: jax.Array, *arrays: jax.Array) -> tuple[PyTree, list]:
        args, kwargs = call(list(arrays))
        rngs = {"params": key, "dropout": jax.random.key(0)}
        output, variables = module.init_with_output(rngs, *args, **kwargs)
        leaves, tree = output_arrays(output)
        structure.append(tree)
        state = dict(variables)
        return (state.pop("params", {}), state), leaves

    with nn.intercept_methods(note):
        closed, ((params, state), _) = jax.make_jaxpr(both, return_shape=True)(
            jax.random.key(0), *arrays
        )
    counts = [len(jax.tree.leaves(tree)) for tree in (params, state)]
    start, forward = _cut(closed, *counts)
    if not set(state) <= _PLAIN_STATE or asks(sources.values()):
        forward = None
    return Joint(params, state, start, forward, structure[-1])


def _cut(
    closed: core.ClosedJaxpr, params: int, states: int
) -> tuple[core.ClosedJaxpr | None, core.ClosedJaxpr | None]:
    """Split (key, *arrays) -> (*params, *states, *outputs) at params and states, if it is clean.

    It is if one equation makes each of them, and the rest reads all params and not the key.
    """
    count = params + states
    key, *arrays = closed.jaxpr.invars
    held, outputs = closed.jaxpr.outvars[:count], closed.jaxpr.outvars[count:]
    start = _live(closed, closed.jaxpr.invars, held, closed.jaxpr.eqns)
    if _used(start) & set(arrays):
        return None, None
    start = core.ClosedJaxpr(start.replace(invars=[key]), closed.consts)
    wanted = {var for var in held if isinstance(var, core.Var)}
    makers = {id(eqn): eqn for eqn in closed.jaxpr.eqns if wanted & set(eqn.outvars)}
    if len(makers) != count or any(len(eqn.outvars) > 1 for eqn in makers.values()):
        return start, None
    rest = [eqn for eqn in closed.jaxpr.eqns if id(eqn) not in makers]
    forward = _live(closed, [*held, key, *arrays], outputs, rest)
    if key in _used(forward) or not set(held[:params]) <= _used(forward):
        return start, None
    return start, core.ClosedJaxpr(forward.replace(invars=[*held, *arrays]), closed.consts)


def _live(closed: core.ClosedJaxpr, invars: list, outvars: list, eqns: list) -> Any:
    """The equations that the outputs need."""
    jaxpr = closed.jaxpr.replace(invars=invars, outvars=outvars, eqns=eqns)
    live, _ = partial_eval.dce_jaxpr(jaxpr, [True] * len(outvars), instantiate=True)
    return live


def _used(jaxpr: Any) -> set:
    """The variables that a jaxpr reads or returns."""
    read = [var for eqn in jaxpr.eqns for var in eqn.invars]
    return {var for var in (*read, *jaxpr.outvars) if isinstance(var, core.Var)}
