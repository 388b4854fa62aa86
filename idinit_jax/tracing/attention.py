"""Attention told by its pattern: a softmax of one product of signals weighs another."""

from collections.abc import Sequence
from typing import NamedTuple

from idinit_jax.tracing import lineage
from idinit_jax.tracing.flatten import Node, StraightLine
from idinit_jax.tracing.flow import Flow
from idinit_jax.tracing.graph import AttentionPart
from idinit_jax.tracing.traits import Trait

Parts = dict[int, tuple[AttentionPart, ...]]


class Attention(NamedTuple):
    """Where attention stands in a model.

    Attributes:
        parts: contraction -> what it computes for an attention.
        tokens: parameters that serve as queries or keys without any kernel.
    """

    parts: Parts
    tokens: frozenset[int]


def find_attention(line: StraightLine, flow: Flow, sums: set[int]) -> Attention:
    """Tell query, key, value and output kernels apart.

    Args:
        line, flow: the program and what flows in it.
        sums: values that are residual sums; a search for kernels does not pass them.
    """
    found: dict[int, dict[AttentionPart, None]] = {}
    tokens: set[int] = set()

    def note(contractions: set[int], part: AttentionPart) -> None:
        for index in contractions:
            found.setdefault(index, {})[part] = None

    for index, node in enumerate(line.nodes):
        if not _weighs_values(flow, index, node):
            continue
        side = int(Trait.PROBABILITY in flow.traits[node.inputs[1]])
        axis = node.params["dimension_numbers"][0][side][0]
        logits = _logits(line, flow, node.inputs[side], axis)
        if logits is None:
            continue
        producer, key_side = logits
        if producer in flow.by_node:
            tokens |= _learned(line, flow, producer)
            continue
        query, key = (
            line.nodes[producer].inputs[1 - key_side],
            line.nodes[producer].inputs[key_side],
        )
        note(nearest_contractions(line, flow, query, sums), "query")
        note(nearest_contractions(line, flow, key, sums), "key")
        note(nearest_contractions(line, flow, node.inputs[1 - side], sums), "value")
    for index, use in enumerate(flow.contractions):
        if use.attended:
            note({index}, "output")
    return Attention({index: tuple(parts) for index, parts in found.items()}, frozenset(tokens))


def nearest_contractions(line: StraightLine, flow: Flow, value: int, stops: set[int]) -> set[int]:
    """The last kernels before a value."""
    found, seen, stack = set(), set(), [value]
    while stack:
        value = stack.pop()
        producer = line.producers[value]
        if value in seen or value in stops or producer is None:
            continue
        seen.add(value)
        if producer in flow.by_node:
            found.add(flow.by_node[producer])
        else:
            stack.extend(read for read in line.nodes[producer].inputs if flow.is_data[read])
    return found


def _weighs_values(flow: Flow, index: int, node: Node) -> bool:
    """Whether a node sums one signal with the probabilities that another one gives."""
    if node.operation != "dot_general" or index in flow.by_node:
        return False
    contracting, _ = node.params["dimension_numbers"]
    if not contracting[0] or not all(flow.is_data[value] for value in node.inputs):
        return False
    return sum(Trait.PROBABILITY in flow.traits[value] for value in node.inputs) == 1


def _logits(line: StraightLine, flow: Flow, value: int, axis: int) -> tuple[int, int] | None:
    """The product behind the probabilities, and which of its operands brings the summed axis."""
    while True:
        producer = line.producers[value]
        if producer is None:
            return None
        node = line.nodes[producer]
        if node.operation == "dot_general":
            return producer, _side_of(line, node, axis)
        operands = flow.signal_inputs[producer]
        step = step_back(line, operands, node, value, axis)
        if step is None:
            return None
        value, axis = step


def step_back(
    line: StraightLine, operands: Sequence[int], node: Node, value: int, axis: int
) -> tuple[int, int] | None:
    """The operand that a value of the same axes comes from, and the axis there."""
    shape = line.shapes[value]
    if not operands:
        return None
    if node.operation == "transpose":
        return operands[0], node.params["permutation"][axis]
    if node.operation == "squeeze":
        kept = [here for here in _axes(line, operands[0]) if here not in node.params["dimensions"]]
        return operands[0], kept[axis]
    if node.operation == "broadcast_in_dim" and axis in node.params["broadcast_dimensions"]:
        return operands[0], node.params["broadcast_dimensions"].index(axis)
    same = [read for read in operands if line.shapes[read] == shape]
    if same:
        return same[0], axis
    if node.operation == "reshape":
        before = line.shapes[operands[0]]
        dims = lineage.regroup(lineage.stored(0, shape).dims, before)
        inside = (
            []
            if dims is None
            else [index for index, dim in enumerate(dims) if any(atom.axis == axis for atom in dim)]
        )
        return (operands[0], inside[-1]) if inside else None
    return None


def _axes(line: StraightLine, value: int) -> range:
    return range(len(line.shapes[value]))


def _side_of(line: StraightLine, node: Node, axis: int) -> int:
    """Which operand of a product brings dimension `axis` of its output."""
    contracting, batch = node.params["dimension_numbers"]
    rank = len(line.shapes[node.inputs[0]])
    free = rank - len(contracting[0]) - len(batch[0])
    return int(axis >= len(batch[0]) + free)


def _learned(line: StraightLine, flow: Flow, producer: int) -> set[int]:
    """Attention with a parameter in place of one signal: the smallest one is the signal.

    A vector that gives every position one score is a kernel.
    """
    shares = flow.contractions[flow.by_node[producer]].shares
    if not any(atom.size > 1 for share in shares for atom in share.out_atoms):
        return set()

    def size(param: int) -> int:
        extent = 1
        for length in line.shapes[line.params[param]]:
            extent *= length
        return extent

    return {min((share.param for share in shares), key=size)}
