"""A model's forward pass as one jaxpr over flat parameters, state and inputs."""

import sys
from dataclasses import dataclass
from typing import Any

from jax.extend import core

# The address of an equation: its index in the outermost jaxpr, then, for every call, loop or
# branch entered, the index of the sub-jaxpr and of the equation in it.
Site = tuple[int, ...]
PyTree = Any


def is_state(value: Any) -> bool:
    """Whether an input is state that a model hands from call to call, as Equinox does."""
    equinox = sys.modules.get("equinox")
    return equinox is not None and isinstance(value, equinox.nn.State)


@dataclass(frozen=True)
class Program:
    """The traced forward pass.

    The jaxpr's invars are the leaves of `params`, of `state` and of `inputs`, in this order.

    Attributes:
        jaxpr: closed over the constants that the model itself holds.
        params: tree of ShapeDtypeStruct, what training changes.
        state: tree of ShapeDtypeStruct, what the model reads but does not train.
        inputs: tuple of trees of ShapeDtypeStruct; an Equinox `State` among them is state.
        out_tree: structure of the model's output.
        paths: one "/"-joined path a parameter leaf, in leaf order.
    """

    jaxpr: core.ClosedJaxpr
    params: PyTree
    state: PyTree
    inputs: tuple[PyTree, ...]
    out_tree: Any
    paths: tuple[str, ...]
