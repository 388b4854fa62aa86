"""One trace of a model's forward pass."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax.extend import core
from jax.interpreters import partial_eval

from idinit_jax.tracing.frameworks.arrays import PyTree, combine, output_arrays, partition


class Forward(NamedTuple):
    """A forward pass as a jaxpr.

    Attributes:
        jaxpr: (*leaves of params, state and inputs) -> array leaves of the output.
        out_tree: structure of the output.
    """

    jaxpr: core.ClosedJaxpr
    out_tree: Any


def trace_forward(
    apply: Callable[..., PyTree], params: PyTree, state: PyTree, inputs: tuple[PyTree, ...]
) -> Forward:
    """Trace a call without what does not reach the output."""
    arrays, static = partition((params, state, inputs))
    structure = []

    def forward(*values: Any) -> list[Any]:
        params, state, inputs = combine(list(values), static)
        leaves, tree = output_arrays(apply(params, state, *inputs))
        structure.append(tree)
        return leaves

    return Forward(_live(jax.make_jaxpr(forward)(*arrays)), structure[-1])


def _live(closed: core.ClosedJaxpr) -> core.ClosedJaxpr:
    outputs = [True] * len(closed.jaxpr.outvars)
    jaxpr, _ = partial_eval.dce_jaxpr(closed.jaxpr, outputs, instantiate=True)
    return core.ClosedJaxpr(jaxpr, closed.consts)
