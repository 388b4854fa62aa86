"""The model's own start, for what a scheme leaves alone, and for state such as batch statistics.

Only what is wanted is computed: the framework's draws for all other parameters are cut out of its
program first. Most of what remains are constants (means 0, variances 1), which are read off the
program without compiling or running any of it.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.extend import core
from jax.interpreters import partial_eval

from idinit_jax.schemes.paths import paths_of
from idinit_jax.tracing.frameworks import Model
from idinit_jax.tracing.frameworks.arrays import PyTree
from idinit_jax.tracing.program.first_values import start_program, uniform_outputs


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
    if model.holds_values:
        params, state = model.own(key)
        leaves = jax.tree.leaves(params)
        return [leaf if flag else None for leaf, flag in zip(leaves, wanted, strict=True)], state
    states, tree = jax.tree.flatten(model.state)
    program = start_program(model, model.own, key)
    values = outputs_of(program, [*wanted, *[True] * len(states)], key)
    split = len(wanted)
    return values[:split], jax.tree.unflatten(tree, values[split:])


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
