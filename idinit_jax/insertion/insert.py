"""Fixup, SkipInit and ReZero for a model that was written without their scalars."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from idinit_jax.insertion.places import Place, before_layers, ends_of_branches
from idinit_jax.tracing import Traced, traced_with
from idinit_jax.tracing.frameworks import abstract, with_named
from idinit_jax.tracing.program import Program, PyTree, Site
from idinit_jax.tracing.program.evaluate import Compute, Hook, evaluate

# Places by the group of parameters that acts on them.
Places = dict[str, tuple[Place, ...]]
# What becomes of which operand.
Action = tuple[int, Callable[[jax.Array, jax.Array], jax.Array]]
_OPERATIONS = {"multipliers": jnp.multiply, "biases": jnp.add}


class Inserted(NamedTuple):
    """A model with more parameters than it was written with, as a plain function.

    Attributes:
        apply: (params, *inputs, **arrays) -> outputs; pure, and a model like any other: it can be
            traced, initialized, jitted and differentiated. The arrays are those that the model was
            given by keyword.
        params: `{"model": ..., "multipliers": {name: scalars}}`, under Fixup `"biases"` too. The
            scalars are float32; in a scan over layers they have its length as an axis.
    """

    apply: Callable[..., PyTree]
    params: dict[str, PyTree]


def insert_multipliers(
    model: Any,
    values: Any,
    *inputs: Any,
    value: float = 0.0,
    call_kwargs: Mapping[str, Any] = {},
) -> Inserted:
    """Put a learned multiplier at the end of every residual branch: `x + alpha F(x)`.

    With alpha = 0 this is SkipInit (De and Smith 2020, arXiv 2002.10444) and ReZero (Bachlechner
    et al. 2021, arXiv 2003.04887): every block is its shortcut, and alpha has a gradient. Branches
    are found by tracing; one that ends in a learned multiplier already is left as it is.

    Args:
        model: a Linen, NNX or Equinox module, a Haiku transformed function, a function
            `apply(params, *inputs)`, or any of them `traced`.
        values: the initialized model, or its shapes: what Linen's and Haiku's `init` return, the
            NNX or Equinox module, the function's parameter tree.
        *inputs: sample inputs, arrays or ShapeDtypeStructs.
        value: every multiplier's first value; 1 leaves the function as it was.
        call_kwargs: keyword arguments of the model's call, such as `{"train": True}`.

    Returns:
        The new model. What it does not train (batch statistics) stays as it is in `values`. To
        carry such state from step to step, give a function
        `apply(params, state, *inputs) -> (outputs, state)`, for which it is an input and output.

    Raises:
        TypeError: a model of no known kind.
        ValueError: the model has no residual sum, or puts out something that is no array.

    >>> import flax.linen as nn, jax, jax.numpy as jnp
    >>> class Block(nn.Module):
    ...     @nn.compact
    ...     def __call__(self, x):
    ...         return x + nn.Dense(4)(nn.relu(nn.Dense(8)(x)))
    >>> x = jnp.ones((2, 4))
    >>> block = insert_multipliers(Block(), Block().init(jax.random.key(0), x), x)
    >>> block.params["multipliers"]
    {'Dense_0/kernel': Array(0., dtype=float32)}
    >>> bool((block.apply(block.params, x) == x).all())
    True
    """

    def places(known: Traced) -> Places:
        return {"multipliers": ends_of_branches(known)}

    return _insert(model, values, inputs, call_kwargs, places, {"multipliers": value})


def insert_fixup(
    model: Any, values: Any, *inputs: Any, call_kwargs: Mapping[str, Any] = {}
) -> Inserted:
    """Put Fixup's scalars into a model: multipliers of 1 and biases of 0, which change nothing yet.

    A multiplier ends every residual branch; a scalar bias stands before each kernel and each
    elementwise activation, but for the stem and embeddings, and wherever the model adds a learned
    bias itself. Zhang et al. 2019, "Fixup initialization", arXiv 1901.09321, section 3.2, rule 3;
    rules 1 and 2, which start the kernels, are the scheme "fixup", for the new model's own
    `initialize`.

    Args:
        model, values, inputs, call_kwargs: as for `insert_multipliers`.

    Returns:
        The new model, see `insert_multipliers`.

    Raises:
        TypeError: a model of no known kind.
        ValueError: the model has no residual sum, or puts out something that is no array.

    >>> import flax.linen as nn, jax, jax.numpy as jnp
    >>> class Block(nn.Module):
    ...     @nn.compact
    ...     def __call__(self, x):
    ...         x = nn.Dense(4, name="stem")(x)
    ...         y = nn.relu(nn.Dense(8, use_bias=False, name="first")(x))
    ...         return x + nn.Dense(4, use_bias=False, name="tail")(y)
    >>> x = jnp.ones((2, 4))
    >>> block = insert_fixup(Block(), Block().init(jax.random.key(0), x), x)
    >>> list(block.params["multipliers"]), list(block.params["biases"])
    (['tail/kernel'], ['relu', 'tail/kernel'])
    """

    def places(known: Traced) -> Places:
        return {"multipliers": ends_of_branches(known), "biases": before_layers(known)}

    return _insert(model, values, inputs, call_kwargs, places, {"multipliers": 1.0, "biases": 0.0})


def _insert(
    model: Any,
    values: Any,
    inputs: tuple[Any, ...],
    call_kwargs: Mapping[str, Any],
    find: Callable[[Traced], Places],
    starts: Mapping[str, float],
) -> Inserted:
    known = traced_with(model, values, inputs, call_kwargs)
    params, state = known.model.split(values)
    places = _checked(known, find(known))

    @functools.cache
    def remembered(leaves: tuple[Any, ...], tree: Any) -> tuple[Program, Places]:
        again = known.with_inputs(jax.tree.unflatten(tree, leaves))
        return again.program, places if again is known else _checked(again, find(again))

    def apply(params: dict[str, PyTree], *inputs: Any, **arrays: Any) -> PyTree:
        inputs, rest = with_named(inputs, arrays)
        if rest:
            raise TypeError(f"{sorted(rest)} are part of the trace: give them as call_kwargs")
        leaves, tree = jax.tree.flatten(abstract(inputs))
        program, places = remembered(tuple(leaves), tree)
        hooks, extras = _hooks(places, params)
        outputs, _ = evaluate(program, params["model"], state, inputs, hooks, extras)
        return jax.tree.unflatten(program.out_tree, outputs)

    scalars = {
        group: {place.name: jnp.full(place.shape, starts[group], jnp.float32) for place in found}
        for group, found in places.items()
    }
    return Inserted(apply, {"model": params, **scalars})


def _checked(known: Traced, places: Places) -> Places:
    if not known.graph.residuals:
        raise ValueError("the model has no residual sum at which a multiplier could stand")
    if known.program.out_tree.num_leaves != len(known.program.jaxpr.jaxpr.outvars):
        raise ValueError("the model puts out something that is no array; wrap it without that")
    return places


def _hooks(
    places: Places, params: Mapping[str, PyTree]
) -> tuple[dict[Site, Hook], dict[Site, list[jax.Array]]]:
    """Hooks that let the scalars act, and the scalars of every turn."""
    actions: dict[Site, list[Action]] = {}
    scalars: dict[Site, list[jax.Array]] = {}
    for group, found in places.items():
        for place in found:
            for reading in place.readings:
                site, operand = reading.operand
                actions.setdefault(site, []).append((operand, _OPERATIONS[group]))
                turns = reading.each_turn(params[group][place.name])
                scalars.setdefault(site, []).append(turns)
    return {site: _hook(found) for site, found in actions.items()}, scalars


def _hook(actions: Sequence[Action]) -> Hook:
    def hook(
        compute: Compute, operands: list[jax.Array], scalars: PyTree
    ) -> tuple[list[jax.Array], None]:
        changed = list(operands)
        for (operand, operation), scalar in zip(actions, scalars, strict=True):
            changed[operand] = operation(changed[operand], scalar.astype(changed[operand].dtype))
        return compute(*changed), None

    return hook
