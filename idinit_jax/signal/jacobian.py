"""The Jacobian of a model between two of its points, as products with it and its transpose."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from idinit_jax.signal.sites import INPUT, OUTPUT, Place, find_places, first_floating
from idinit_jax.tracing import ModelGraph, Traced
from idinit_jax.tracing.frameworks import is_array
from idinit_jax.tracing.program import PyTree, Site
from idinit_jax.tracing.program.evaluate import Hook, evaluate
from idinit_jax.tracing.program.sites import equation_at


class Point(NamedTuple):
    """One turn of a place, or an edge of the model: its site, its turn and its turns."""

    site: Site
    turn: int = 0
    loops: tuple[int, ...] = ()

    def mask(self) -> jax.Array:
        """One at this turn, zero at the others."""
        count = math.prod(self.loops)
        return jnp.asarray(np.eye(count, dtype=np.float32)[self.turn].reshape(self.loops))


class Between(NamedTuple):
    """What lies between two points of a model with given values and inputs.

    Attributes:
        function: (held, flat perturbation at the start) -> flat value at the end.
        held: parameters, arrays of the state and of the inputs; arguments of a compiled program,
            which would compute with constants while it compiles.
        inputs, outputs: sizes of the two.
    """

    function: Callable[[PyTree, jax.Array], jax.Array]
    held: PyTree
    inputs: int
    outputs: int


def between(
    traced: Traced, values: PyTree, inputs: Sequence[PyTree], start: str, end: str
) -> Between:
    """The part of a model between two named points.

    Raises:
        ValueError: no point has this name, or the start has no derivative.
    """
    graph = traced.graph
    places = find_places(graph)
    first, last = find_point(places, start), find_point(places, end)
    params, state = traced.model.split(values)
    arrays = _arrays(tuple(inputs))
    held = (params, _arrays(state), arrays)
    shape, dtype = _start_aval(graph, arrays, first)

    def function(held: PyTree, perturbation: jax.Array) -> jax.Array:
        params, state, arrays = held
        delta = perturbation.reshape(shape).astype(dtype)
        entering = list(arrays)
        if first.site == INPUT:
            entering[_floating(entering)] += delta
        hooks, extras = _hooks(first, last, delta)
        outputs, records = evaluate(graph.program, params, state, entering, hooks, extras)
        if last.site == OUTPUT:
            reached = outputs[_floating(outputs)]
        else:
            reached = records[last.site].reshape(math.prod(last.loops), -1)[last.turn]
        return jnp.ravel(reached).astype(jnp.float32)

    size = math.prod(shape)
    end_shape = jax.eval_shape(function, held, jax.ShapeDtypeStruct((size,), jnp.float32)).shape
    return Between(function, held, size, end_shape[0])


def _arrays(tree: PyTree) -> list:
    return [leaf for leaf in jax.tree.leaves(tree) if is_array(leaf)]


def find_point(places: Sequence[Place], name: str) -> Point:
    """The point that a row of a report names: "input", "output", a kernel or a sum."""
    if name in ("input", "output"):
        return Point(INPUT if name == "input" else OUTPUT)
    match = re.fullmatch(r"(.*?)(?:\[(\d+)\])?", name)
    path, layer = match.groups() if match else (name, None)
    for place in places:
        turns = [place.layer(turn) for turn in range(place.turns)]
        wanted = None if layer is None else int(layer)
        if place.name == path and wanted in turns:
            return Point(
                place.site, turns.index(wanted), tuple(loop.length for loop in place.loops)
            )
    raise ValueError(
        f"no point {name!r}; there are 'input', 'output' and"
        f" {[_spelled(place) for place in places]}"
    )


def _spelled(place: Place) -> str:
    return place.name if place.turns == 1 else f"{place.name}[0..{place.turns - 1}]"


def _start_aval(graph: ModelGraph, arrays: list, point: Point) -> tuple[tuple[int, ...], Any]:
    if point.site == OUTPUT:
        raise ValueError("a Jacobian starts before the output; give start='input' or a layer")
    if point.site == INPUT:
        held = arrays[_floating(arrays)]
        return held.shape, held.dtype
    aval: Any = equation_at(graph.program, point.site).outvars[0].aval
    return aval.shape, aval.dtype


def _floating(arrays: Sequence[jax.Array]) -> int:
    index = first_floating(arrays)
    if index is None:
        raise ValueError(
            "integers have no derivative; give a start behind the embedding, such as its kernel's"
            " path"
        )
    return index


def _hooks(first: Point, last: Point, delta: jax.Array) -> tuple[dict[Site, Hook], dict]:
    """Add `delta` at one point, record the other; both may be turns of one equation."""
    hooks: dict[Site, Hook] = {}
    if last.site != OUTPUT:
        hooks[last.site] = _record
    if first.site == INPUT:
        return hooks, {}
    records = first.site == last.site

    def perturb(compute: Callable, operands: list, mask: jax.Array) -> tuple[list, Any]:
        y, *rest = compute(*operands)
        y = y + delta * mask.astype(y.dtype)
        return [y, *rest], y if records else None

    hooks[first.site] = perturb
    return hooks, {first.site: first.mask()}


def _record(compute: Callable, operands: list, extra: None) -> tuple[list, Any]:
    del extra
    outputs = compute(*operands)
    return outputs, outputs[0]
