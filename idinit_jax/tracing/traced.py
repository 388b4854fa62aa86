"""A model traced once, for all that is asked of it."""

from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Any

import flax.linen as nn
import jax

from idinit_jax.tracing.answers.reading import Answers, find_answers, write_graph
from idinit_jax.tracing.facts import Facts
from idinit_jax.tracing.frameworks import (
    Model,
    abstract,
    is_array,
    take_apart,
    takes_parameters,
    trace_forward,
    with_named,
)
from idinit_jax.tracing.graph import ModelGraph
from idinit_jax.tracing.program import Program
from idinit_jax.tracing.program.collection import paused_collection
from idinit_jax.tracing.program.first_values import with_own_biases
from idinit_jax.tracing.program.flatten import StraightLine, flatten

_REMEMBERED = 8


class Traced:
    """A model with its program, the facts of its values, and its graph; each made on first use.

    Attributes:
        model: the model taken apart.
    """

    def __init__(self, model: Model) -> None:
        self.model = model

    @cached_property
    def program(self) -> Program:
        """The model's forward pass as a jaxpr."""
        with paused_collection():
            return make_program(self.model)

    @cached_property
    def line(self) -> StraightLine:
        """The program without calls."""
        return flatten(self.program)

    @cached_property
    def answers(self) -> Answers:
        """What is known of every value, and what follows from it."""
        with paused_collection():
            return find_answers(self.line)

    @property
    def facts(self) -> Facts:
        """What is known of every value."""
        return self.answers.facts

    @cached_property
    def graph(self) -> ModelGraph:
        """Kernels with axes and roles, residual sums, and everything else that is learned."""
        with paused_collection():
            return with_own_biases(write_graph(self.program, self.answers), self.model)

    def with_inputs(self, inputs: tuple[Any, ...]) -> "Traced":
        """The same model on inputs of other shapes, which takes another trace of its call."""
        inputs = abstract(inputs)
        if jax.tree.flatten(inputs) == jax.tree.flatten(self.model.inputs):
            return self
        return Traced(self.model._replace(inputs=inputs, forward=None))


def trace(model: Any, *inputs: Any, call_kwargs: Mapping[str, Any] = {}) -> ModelGraph:
    """Read from a model's own jaxpr what each of its parameters is for.

    Nothing of the model is run and nothing of its size is allocated.

    Args:
        model: a Linen module, an NNX module, an Equinox module, a Haiku transformed function, or
            a function `apply(params, *inputs)`.
        *inputs: sample inputs, arrays or `jax.ShapeDtypeStruct`; for a function its parameter
            tree comes first.
        call_kwargs: keyword arguments of the model's call, such as `{"train": False}`; arrays and
            shapes among them are inputs like the others.

    Returns:
        The graph: kernels with axes and roles in forward order, the other parameters, the
        residual sums.

    Raises:
        TypeError: the model is of no known kind, or gives back something that is no array.
        ValueError: it has no parameters, or a kernel plays different roles in the branches of
            a conditional.

    Example:
        >>> import jax.numpy as jnp
        >>> import flax.linen as nn
        >>> graph = trace(nn.Sequential([nn.Dense(8), nn.relu, nn.Dense(2)]), jnp.ones((1, 4)))
        >>> [(kernel.path, kernel.role) for kernel in graph.kernels]
        [('layers_0/kernel', 'stem'), ('layers_2/kernel', 'head')]
    """
    return traced(model, inputs, call_kwargs).graph


def traced(model: Any, inputs: tuple[Any, ...] = (), call_kwargs: Mapping[str, Any] = {}) -> Traced:
    """A model with its trace, which every function that takes a model takes in its place.

    Linen modules are values: equal ones compute the same, so the last few are remembered by their
    shapes. Other models hold values of their own and are traced every time; what is traced of
    them holds the values that they had.

    Args:
        model: as for `trace`; one that is traced already stays what it is.
        inputs: sample inputs, arrays or `jax.ShapeDtypeStruct`; for a function its parameter
            tree comes first.
        call_kwargs: as for `trace`.

    Raises:
        TypeError: the model is of no known kind.
        ValueError: it has no parameters, or was traced for other inputs than these.

    Example:
        >>> import idinit_jax, jax, jax.numpy as jnp
        >>> import flax.linen as nn
        >>> x = jnp.ones((4, 8))
        >>> model = traced(nn.Sequential([nn.Dense(8), nn.relu, nn.Dense(2)]), (x,))
        >>> variables = idinit_jax.initialize(model, jax.random.key(0))
        >>> idinit_jax.signal.diagnose(model, variables, x).healthy
        True
    """
    if isinstance(model, Traced):
        _check_same(model, inputs, call_kwargs)
        return model
    leaves, tree = jax.tree.flatten(abstract((inputs, dict(call_kwargs))))
    call = (model, tree, *leaves)
    if not isinstance(model, nn.Module) or not _is_hashable(call):
        return Traced(take_apart(model, inputs, call_kwargs))
    double = jax.config.jax_enable_x64  # pyright: ignore[reportAttributeAccessIssue] made at run time
    return _remembered(model, tree, tuple(leaves), double)


def traced_with(
    model: Any, values: Any, inputs: tuple[Any, ...], call_kwargs: Mapping[str, Any] = {}
) -> Traced:
    """`traced` for a model whose values are at hand: for a function they are its parameter tree."""
    first = (values,) if takes_parameters(model) else ()
    return traced(model, (*first, *inputs), call_kwargs)


def _check_same(known: Traced, inputs: tuple[Any, ...], call_kwargs: Mapping[str, Any]) -> None:
    """Refuse what a trace was not made for; it can be left out."""
    inputs, rest = with_named(inputs, call_kwargs)
    expected, given = _shapes(known.model.inputs), _shapes(inputs)
    if rest or (inputs and given != expected):
        what = f"the keyword arguments {sorted(rest)}" if rest else f"inputs of shapes {given}"
        raise ValueError(
            f"the model was traced for inputs of shapes {expected}, and its keyword arguments are"
            f" part of the trace; got {what}. Leave them out, or trace the model for them"
        )


def _shapes(inputs: tuple[Any, ...]) -> list[tuple[int, ...]]:
    return [tuple(leaf.shape) for leaf in jax.tree.leaves(inputs) if is_array(leaf)]


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


@lru_cache(maxsize=_REMEMBERED)
def _remembered(model: Any, tree: Any, leaves: tuple, double: bool) -> Traced:
    del double  # part of what is remembered: the same shapes trace to other dtypes
    inputs, call_kwargs = jax.tree.unflatten(tree, leaves)
    return Traced(take_apart(model, inputs, call_kwargs))


def make_program(model: Model) -> Program:
    """The model's forward pass as a jaxpr, without what does not reach the output."""
    forward = model.forward or trace_forward(model.apply, model.params, model.state, model.inputs)
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(model.params)]
    names = tuple(jax.tree_util.keystr(path, simple=True, separator="/") for path in paths)
    return Program(forward.jaxpr, model.params, model.state, model.inputs, forward.out_tree, names)
