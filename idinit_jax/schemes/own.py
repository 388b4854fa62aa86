"""The model's own start, for what a scheme leaves alone, and for state such as batch statistics.

Only what is wanted is computed: the framework's draws for all other parameters are cut out of its
program first. Most of what remains are constants (means 0, variances 1), which are read off the
program without compiling or running any of it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp
from jax.extend import core
from jax.interpreters import partial_eval

from idinit_jax.schemes.paths import paths_of
from idinit_jax.schemes.stream import is_traced
from idinit_jax.tracing.frameworks import Model
from idinit_jax.tracing.frameworks.arrays import PyTree

_RESHAPED = {"broadcast_in_dim", "reshape", "squeeze", "transpose", "slice", "copy", "copy_p"}
_CALLS = {"pjit", "jit", "closed_call", "core_call", "remat2", "checkpoint", "custom_jvp_call"}
_NOT_COMPUTED = ("nnx", "equinox", "function")


def own_start(model: Model, key: jax.Array, wanted: Sequence[bool]) -> tuple[list[Any], PyTree]:
    """Values of the wanted parameter leaves, None for the others, and all of the state.

    Args:
        model: a model taken apart.
        key: of the framework's own initialization.
        wanted: one flag a parameter leaf.

    Raises:
        ValueError: values are wanted, but the model holds shapes only.
    """
    if model.own is None:
        return _without_values(model, wanted)
    if model.framework in _NOT_COMPUTED:
        params, state = model.own(key)
        leaves = jax.tree.leaves(params)
        return [leaf if flag else None for leaf, flag in zip(leaves, wanted, strict=True)], state
    states, tree = jax.tree.flatten(model.state)
    program = _program(model, model.own, key)
    values = outputs_of(program, [*wanted, *[True] * len(states)], key)
    split = len(wanted)
    return values[:split], jax.tree.unflatten(tree, values[split:])


def _program(model: Model, own: Callable, key: jax.Array) -> core.ClosedJaxpr:
    """key -> leaves of parameters and state."""
    start = model.joint and model.joint.start
    if start and key.dtype == start.in_avals[0].dtype:
        return start
    return jax.make_jaxpr(own)(key)


def _without_values(model: Model, wanted: Sequence[bool]) -> tuple[list[Any], PyTree]:
    kept = [path for path, flag in zip(paths_of(model.params), wanted, strict=True) if flag]
    kept += [path for path in paths_of(model.state) if path]
    if kept:
        more = f" and {len(kept) - 5} more" if len(kept) > 5 else ""
        raise ValueError(
            f"the {model.framework} model holds shapes only, so the start that it gives itself is"
            f" not known; {', '.join(kept[:5])}{more} would keep it. Make the model with values, a"
            " large one under the same jit as initialize, which leaves out its own draws; or give"
            " overrides for parameters. plan and explain need no values"
        )
    return [None] * len(wanted), model.state


def outputs_of(program: core.ClosedJaxpr, wanted: Sequence[bool], key: jax.Array) -> list[Any]:
    """The wanted outputs of a program of one key, None for the others."""
    found = uniform_outputs(program.jaxpr, program.consts, [None])
    values: list[Any] = [
        np.full(var.aval.shape, value) if flag and value is not None else None
        for var, value, flag in zip(program.jaxpr.outvars, found, wanted, strict=True)
    ]
    rest = [flag and value is None for flag, value in zip(wanted, values, strict=True)]
    computed = iter(_run(program, rest, key) if any(rest) else ())
    return [
        next(computed) if missing else _as_array(value)
        for value, missing in zip(values, rest, strict=True)
    ]


def _as_array(value: np.ndarray | None) -> jax.Array | None:
    return None if value is None else jax.device_put(value)


def _run(program: core.ClosedJaxpr, wanted: Sequence[bool], key: jax.Array) -> list[jax.Array]:
    needed, (uses_key,) = partial_eval.dce_jaxpr(program.jaxpr, list(wanted))
    run = jax.jit(core.jaxpr_as_fun(core.ClosedJaxpr(needed, program.consts)))
    return run(key) if uses_key else run()


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
    if is_traced(value) or np.size(value) != 1:
        return None
    return (
        None if isinstance(value, jax.Array) and _is_key(value) else np.asarray(value).reshape(())
    )


def _is_key(value: jax.Array) -> bool:
    return jnp.issubdtype(value.dtype, jax.dtypes.prng_key)
