"""Where a loss or gradient first stopped being finite: the layer, by name."""

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core

from experiments.step import Batch, Recipe, TrainState, augmented, smoothed_loss


class Offence(NamedTuple):
    """The layer where values first stopped being finite, and a sentence about it."""

    layer: str
    reason: str


class NonFiniteError(FloatingPointError):
    """Training stopped because a loss or gradient was not finite.

    Args:
        step: the update that was not made, counted from 1.
        offence: where the first value that is not finite comes from.
        loss: of the step.
        gradient_norm: of the step.
    """

    def __init__(self, step: int, offence: Offence, loss: float, gradient_norm: float) -> None:
        found = f"loss {loss:g}, gradient norm {gradient_norm:g}"
        super().__init__(f"step {step}: {found}; {offence.reason}")
        self.step = step
        self.layer = offence.layer


def find_offence(recipe: Recipe, state: TrainState, batch: Batch) -> Offence:
    """Repeat a step operation by operation, up to the first value that is not finite.

    Args:
        recipe: of the step.
        state: before the step.
        batch: the whole batch of the step.

    Returns:
        The layer of the first operation that makes a value which is not finite out of finite
        ones, in the forward pass and then the backward pass, as Flax names its scope; or the first
        parameter that was not finite to begin with.
    """
    for path, leaf in jax.tree.leaves_with_path(state.params):
        if not all_finite(leaf):
            name = jax.tree_util.keystr(path, simple=True, separator="/")
            return Offence(name, f"parameter {name} is not finite before the step")
    inputs = augmented(recipe, state, batch)

    def loss(params: Any) -> jax.Array:
        return smoothed_loss(recipe, params, state.statistics, inputs, batch.labels)[0]

    program = jax.make_jaxpr(jax.value_and_grad(loss))(state.params)
    for scope, operation in bad_operations(program, jax.tree.leaves(state.params)):
        layer, direction = layer_of(scope)
        found = f"{operation} in the {direction} pass of {layer} makes the first value"
        return Offence(layer, f"{found} that is not finite")
    name = largest_leaf(jax.grad(loss)(state.params))
    return Offence(name, f"the gradient's norm overflows; its largest entry belongs to {name}")


def largest_leaf(tree: Any) -> str:
    """Path of the leaf that holds the entry of largest magnitude."""
    path, _ = max(jax.tree.leaves_with_path(tree), key=lambda item: float(jnp.abs(item[1]).max()))
    return jax.tree_util.keystr(path, simple=True, separator="/")


def bad_operations(program: core.ClosedJaxpr, inputs: list[Any]) -> Iterator[tuple[str, str]]:
    """Scope and name of each operation that makes a non-finite value out of finite ones."""
    values: dict[Any, Any] = dict(zip(program.jaxpr.constvars, program.consts, strict=True))
    values.update(zip(program.jaxpr.invars, inputs, strict=True))
    for eqn in program.jaxpr.eqns:
        arguments = [v.val if isinstance(v, core.Literal) else values[v] for v in eqn.invars]
        results = eqn.primitive.bind(*arguments, **eqn.primitive.get_bind_params(eqn.params))
        results = results if eqn.primitive.multiple_results else [results]
        values.update(zip(eqn.outvars, results, strict=True))
        if all(map(all_finite, arguments)) and not all(map(all_finite, results)):
            yield str(eqn.source_info.name_stack), eqn.primitive.name


def all_finite(value: Any) -> bool:
    """Whether an array holds neither infinity nor NaN; true of integers and keys."""
    if not jnp.issubdtype(jnp.result_type(value), jnp.floating):
        return True
    return bool(jnp.isfinite(value).all())


def layer_of(scope: str) -> tuple[str, str]:
    """A layer's path and "forward" or "backward", from a scope that transformations wrap.

    >>> layer_of("transpose(jvp(ResNet))/stage_0/first/first.conv/tail")
    ('stage_0/first/tail', 'backward')
    """
    direction = "backward" if "transpose(" in scope else "forward"
    network, *path = re.sub(r"\w+\(|\)", "", scope).split("/")
    layer = "/".join(part for part in path if "." not in part)  # a dot marks a method's own scope
    return layer or network or "the loss", direction
