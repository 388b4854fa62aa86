"""Axes of length 1: no digit tells them apart, so they are followed by their place."""

import math
from collections.abc import Sequence

from idinit_jax.tracing.facts import Facts
from idinit_jax.tracing.program.flatten import Node
from idinit_jax.tracing.table import law_of
from idinit_jax.tracing.table.law import Applied, Shape


def kept_single(
    node: Node, shapes: Sequence[Shape], position: int, axis: int, index: int = 0
) -> int | None:
    """Where an axis of length 1 of an operand lies in an output of a node; None: it is gone."""
    ins, out = [shapes[x] for x in node.inputs], shapes[node.outputs[index]]
    before = ins[position]
    kept = axis if len(before) == len(out) else None
    if node.operation == "broadcast_in_dim":
        kept = node.params["broadcast_dimensions"][axis]
    elif node.operation == "reshape":
        kept = _reshaped(before, out, axis)
    elif kept is None or node.operation in ("dot_general", "transpose"):
        ins[position] = (*before[:axis], 2, *before[axis + 1 :])  # long enough to have a digit
        law = law_of(node.operation, Applied(node.params, ins, [out], 0))
        move = law.moves.get(position, ()) if law else ()
        kept = next((d for d, atoms in enumerate(move) if axis in {a.axis for a in atoms}), None)
    return kept if kept is not None and out[kept] == 1 else None


def _reshaped(before: Shape, after: Shape, axis: int) -> int | None:
    """The axis of length 1 at the same place between the others, if as many are there."""
    here, there = _places(before), _places(after)
    alike = [one for one, place in enumerate(here) if place == here[axis]]
    found = [one for one, place in enumerate(there) if place == here[axis]]
    return found[alike.index(axis)] if len(found) == len(alike) else None


def _places(shape: Shape) -> list[int | None]:
    """For every axis of length 1 how many entries lie behind it."""
    return [math.prod(shape[axis:]) if size == 1 else None for axis, size in enumerate(shape)]


def single_axes(facts: Facts, parameter: int, weight: int) -> dict[int, int]:
    """The stored axes of length 1 and where they lie in a weight made of the parameter."""
    shapes = facts.line.shapes
    axes = [axis for axis, size in enumerate(shapes[parameter]) if size == 1]
    way = _way(facts, parameter, weight) if axes else []
    found: dict[int, int] = {}
    for axis in axes:
        place: int | None = axis
        for node, position in way:
            place = None if place is None else kept_single(node, shapes, position, place)
        if place is not None and place < len(shapes[weight]):
            found[axis] = place
    return found


def _way(facts: Facts, parameter: int, weight: int) -> list[tuple[Node, int]]:
    """The nodes from a parameter to a weight, each with the operand that it comes through."""
    way: list[tuple[Node, int]] = []
    value = weight
    while value != parameter and (node := facts.node_of(value)) is not None:
        position = next(
            (
                at
                for at, x in enumerate(node.inputs)
                if x == parameter or parameter in facts.made_of(x)
            ),
            0,
        )
        way.append((node, position))
        value = node.inputs[position] if node.inputs else parameter
    return way[::-1]
