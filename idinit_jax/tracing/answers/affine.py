"""What number times a parameter, plus what number, an array is."""

import math
from typing import Any, NamedTuple

import numpy as np

from idinit_jax.tracing.facts import Facts
from idinit_jax.tracing.table.moves import MOVES
from idinit_jax.tracing.table.scatter import SCATTER

# The same numbers at other positions, chosen, or beside others.
_MOVING = (
    MOVES.keys()
    | SCATTER.keys()
    | {
        *("convert_element_type", "reduce_precision", "select_n", "layer_slice", "layer_stack"),
        *("reshard", "real", "complex", "psum", "psum_invariant", "pvary", "all_gather"),
    }
)


class Affine(NamedTuple):
    """factor * parameter + offset, entry by entry; masked: times an array of constants besides.

    The root mean square of the mask is in the factor then.
    """

    factor: float = 1.0
    offset: float = 0.0
    masked: bool = False

    def times(self, number: float) -> "Affine":
        return self._replace(factor=self.factor * number, offset=self.offset * number)

    def plus(self, number: float) -> "Affine":
        return self._replace(offset=self.offset + number)


def affine(facts: Facts, value: int, parameter: int) -> Affine | None:
    """How a value follows from one parameter; None where it is not by scaling and shifting.

    A signal that has been multiplied in does not count, it modulates the kernel.
    """
    if value == parameter:
        return Affine()
    node = facts.node_of(value)
    carriers = [] if node is None else [x for x in node.inputs if holds(facts, x, parameter)]
    if node is None or len(carriers) != 1:
        return None
    before = affine(facts, carriers[0], parameter)
    if before is None or node.operation in _MOVING:
        return before
    others = [x for x in node.inputs if x != carriers[0]]
    return _after(facts, node.operation, before, others, carriers[0] == node.inputs[0])


def _after(
    facts: Facts, operation: str, before: Affine, others: list[int], first: bool
) -> Affine | None:
    """After an operation with one other operand, or none."""
    if operation == "neg":
        return before.times(-1)
    if len(others) != 1:
        return None
    number = facts.numbers[others[0]]
    if number is None:
        return _masked(facts, operation, before, others[0])
    match operation:
        case "mul":
            return before.times(number)
        case "div" if first and number:
            return before.times(1 / number)
        case "add" | "add_any":
            return before.plus(number)
        case "sub" if first:
            return before.plus(-number)
        case "sub":
            return before.times(-1).plus(number)
    return None


def _masked(facts: Facts, operation: str, before: Affine, other: int) -> Affine | None:
    if operation != "mul" or before.offset:
        return None
    if facts.is_data(other):
        return before
    mask = _array(facts, other)
    if mask is None:
        return None
    size = math.sqrt(float(np.mean(np.square(mask, dtype=np.float64))))
    return Affine(before.factor * size, masked=True)


def _array(facts: Facts, value: int) -> Any:
    """The array of constants that a value holds, moved at most."""
    while value not in facts.line.arrays:
        node = facts.node_of(value)
        if node is None or node.operation not in _MOVING or len(node.inputs) != 1:
            return None
        value = node.inputs[0]
    array = np.asarray(facts.line.arrays[value])
    return array if array.dtype.kind in "fiub" else None


def holds(facts: Facts, value: int, parameter: int) -> bool:
    """Whether a value is made of a parameter."""
    return value == parameter or parameter in facts.made_of(value)


def is_bent(facts: Facts, value: int, parameter: int) -> bool:
    """Whether a value is not zero where its parameter is, as under a sigmoid or an exponential."""
    return affine(facts, value, parameter) is None and not _vanishes(facts, value, parameter)


def _vanishes(facts: Facts, value: int, parameter: int) -> bool:
    """Whether a value is zero once the parameter is, by the laws alone."""
    if value == parameter or facts.degrees[value] is None:
        return True
    producer, law = facts.line.producers[value], facts.law(value)
    if producer is None or law is None or not holds(facts, value, parameter):
        return False
    operands = facts.line.nodes[producer].inputs
    return any(
        all(x < len(operands) and _vanishes(facts, operands[x], parameter) for x in zeros)
        for zeros in law.vanishing
    )


def scales_table(facts: Facts, value: int, parameter: int) -> bool:
    """Whether a parameter multiplies numbers that vary by position, such as distances."""
    node = facts.node_of(value)
    if value == parameter or node is None:
        return False
    carriers = [x for x in node.inputs if holds(facts, x, parameter)]
    others = [x for x in node.inputs if x not in carriers]
    varying = any(_holds_table(facts, x) for x in others)
    if node.operation in ("mul", "div", "dot_general") and varying:
        return True
    return any(scales_table(facts, x, parameter) for x in carriers)


def _holds_table(facts: Facts, value: int) -> bool:
    """Whether a value is made of numbers that vary by position, scaled by parameters at most."""
    if not facts.sources[value]:
        return facts.numbers[value] is None and math.prod(facts.line.shapes[value]) > 1
    return facts.is_weight(value) and any(
        scales_table(facts, value, parameter) for parameter in facts.made_of(value)
    )
