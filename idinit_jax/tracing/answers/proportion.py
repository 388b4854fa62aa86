"""Which values follow one parameter when that is rescaled, and which hold its own entries."""

from collections.abc import Iterator
from typing import NamedTuple

from idinit_jax.tracing.facts import Facts
from idinit_jax.tracing.program import Site
from idinit_jax.tracing.program.flatten import CUSTOM, LAYER_SLICE, RESHARD, Node
from idinit_jax.tracing.table.moves import MOVES

# Rows that place something beside the entries, or read their bits.
_BESIDE = {"pad", "concatenate", "stack", "dynamic_update_slice", "bitcast_convert_type"}
MOVING = (MOVES.keys() - _BESIDE) | {
    *("convert_element_type", "reduce_precision", "pvary", LAYER_SLICE, RESHARD, CUSTOM)
}


class Proportion(NamedTuple):
    """How a value follows a parameter.

    Attributes:
        scans: the scans that hand the parameter out, turn by turn.
        unscaled: whether the value holds the parameter's own entries, only moved.
    """

    scans: frozenset[Site]
    unscaled: bool


def proportion(facts: Facts, value: int, parameter: int) -> Proportion | None:
    """How a value is the parameter times what does not depend on it; None where it is not.

    A weight that was standardized, or that is a sum of several kernels, does not follow its kernel.
    """
    if (facts.degrees[value] or {}).get(parameter) != 1:
        return None
    way = list(_way(facts, value, parameter))
    return Proportion(
        frozenset(node.site for node in way if node.operation == LAYER_SLICE),
        all(node.operation in MOVING for node in way),
    )


def _way(facts: Facts, value: int, parameter: int) -> Iterator[Node]:
    """The nodes through which a value comes from a parameter."""
    pending, seen = [value], {value}
    while pending:
        node = facts.node_of(pending.pop())
        if node is None:
            continue
        yield node
        before = {x for x in read_by(node) if parameter in (facts.degrees[x] or {})} - seen
        pending.extend(before)
        seen |= before


def read_by(node: Node) -> tuple[int, ...]:
    """What a node computes with: a function with a derivative of its own gives on what it made."""
    return node.inputs[:1] if node.operation == CUSTOM else node.inputs


def is_sum_with_parameter(facts: Facts, value: int) -> bool:
    """Whether a value is a signal plus something made of parameters, perhaps moved since."""
    node = facts.node_of(value)
    while node is not None and node.operation in MOVING:
        node = facts.node_of(node.inputs[0])
    if node is None or node.operation not in ("add", "add_any"):
        return False
    return any(map(facts.is_weight, node.inputs))
