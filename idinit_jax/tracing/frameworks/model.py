"""A model of any framework as a pure function of parameters, state and inputs."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from idinit_jax.tracing.frameworks.arrays import PyTree
from idinit_jax.tracing.frameworks.forward import Forward
from idinit_jax.tracing.frameworks.joint import Joint


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
        forward: a trace of the call, where taking the model apart has made one.
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
    forward: Forward | None = None
    joint: Joint | None = None

    @property
    def holds_values(self) -> bool:
        """Whether `own` answers with values that are there, instead of computing them."""
        return self.framework in ("nnx", "equinox", "function")


def _has_values(tree: PyTree) -> bool:
    return not any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(tree))


def own_values(params: PyTree, state: PyTree) -> Callable | None:
    """A model that is already there starts from the values that it holds."""
    if _has_values((params, state)):
        return lambda _: (params, state)
    return None
