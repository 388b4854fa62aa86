"""Values that are computed twice, as where a function and its gradient are both put out."""

from collections.abc import Hashable

from idinit_jax.tracing.program.flatten import CARRY, LAYER_SLICE, Node, StraightLine

# In another loop these may be something else in the same turn.
_TURNING = frozenset((CARRY, LAYER_SLICE))


def first_equals(line: StraightLine) -> list[int]:
    """For every value the first one that the same operations make of the same values."""
    first = list(range(len(line.shapes)))
    numbers: dict[Hashable, int] = {}
    for value, number in line.constants.items():
        key = number, line.shapes[value], line.dtypes[value]
        first[value] = numbers.setdefault(key, value)
    seen: dict[Hashable, Node] = {}
    for node in line.nodes:
        if node.operation in _TURNING:
            continue
        key = (
            node.operation,
            tuple(first[x] for x in node.inputs),
            tuple(line.shapes[x] for x in node.outputs),
            _held(node),
        )
        before = seen.setdefault(key, node)
        for value, equal in zip(node.outputs, before.outputs, strict=True):
            first[value] = equal
    return first


def _held(node: Node) -> Hashable:
    """The parameters of a node; where they cannot be compared, what no other node has."""
    try:
        return frozenset(node.params.items())
    except TypeError:
        return node.outputs
