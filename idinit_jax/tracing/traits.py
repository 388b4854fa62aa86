"""What a reader would call a value: normalized, saturating, a statistic."""

import enum
import functools
import math
import operator
from collections.abc import Sequence

from idinit_jax.tracing import operations
from idinit_jax.tracing.flatten import Node


class Trait(enum.Flag):
    """What is known of a value besides its numbers."""

    NONE = 0
    REDUCED = enum.auto()  # summed over part of the data: a mean, a variance
    STATISTIC = enum.auto()  # one over a standard deviation, what a norm multiplies by
    NORMALIZED = enum.auto()  # a signal that a norm has scaled
    SATURATING = enum.auto()  # bounded: a gate, a probability
    PROBABILITY = enum.auto()  # an exponential, as in a softmax
    ONE_HOT = enum.auto()  # rows with a single one
    EXPANDED = enum.auto()  # broadcast to more positions than it was computed for
    ATTENDED = enum.auto()  # a mean of values, weighted by a softmax


# What a function of a value has in common with the value.
_KEPT_BY_FUNCTIONS = (
    Trait.REDUCED | Trait.STATISTIC | Trait.EXPANDED | Trait.SATURATING | Trait.PROBABILITY
)


def traits_of(
    node: Node, data: list[int], traits: Sequence[Trait], shapes: Sequence[tuple[int, ...]]
) -> Trait:
    """Traits of a node's outputs, from those of the values before it.

    Args:
        node: the operation.
        data: which of its inputs the data reach.
        traits, shapes: of all values.
    """
    kept = _inherited(node, data, traits, shapes) | _acquired(node)
    every = [traits[value] for value in node.inputs]
    if node.operation in ("rsqrt", "sqrt", "pow") and kept & Trait.REDUCED:
        kept |= Trait.STATISTIC
    if _normalizes(node, data, traits, shapes):
        kept = (kept | Trait.NORMALIZED) & ~(Trait.STATISTIC | Trait.REDUCED)
    if data and node.operation not in operations.CONTRACTIONS and _grows(node, data, shapes):
        kept |= Trait.EXPANDED
    if node.operation == "dot_general" and any(Trait.PROBABILITY in one for one in every):
        kept |= Trait.ATTENDED
    return kept


def main_operand(
    node: Node, data: list[int], traits: Sequence[Trait], shapes: Sequence[tuple[int, ...]]
) -> int | None:
    """The operand that is the signal, where all others are numbers, parameters, statistics."""
    aside = Trait.REDUCED | Trait.STATISTIC
    signals = [value for value in data if not traits[value] & aside]
    if not signals:  # a signal that was pooled is a statistic only beside its own mean
        full = shapes[node.outputs[0]]
        signals = [
            value
            for value in data
            if shapes[value] == full and not traits[value] & (Trait.EXPANDED | Trait.STATISTIC)
        ]
    return signals[0] if len(signals) == 1 else None


def _acquired(node: Node) -> Trait:
    """Traits that the operation itself gives."""
    operation, gained = node.operation, Trait.NONE
    if operation in operations.REDUCTIONS:
        gained |= Trait.REDUCED
    if operation in operations.SATURATING or node.params.get("name") in operations.SQUASHING:
        gained |= Trait.SATURATING
    if operation == "exp":
        gained |= Trait.PROBABILITY
    if operation == "eq":
        gained |= Trait.ONE_HOT
    return gained


def _inherited(
    node: Node, data: list[int], traits: Sequence[Trait], shapes: Sequence[tuple[int, ...]]
) -> Trait:
    """Traits that the output has because its data operands have them."""
    if not data or node.operation in operations.CONTRACTIONS:
        return Trait.NONE
    common = functools.reduce(operator.and_, (traits[value] for value in data))
    if not _keeps_values(node):
        return common & _KEPT_BY_FUNCTIONS
    main = main_operand(node, data, traits, shapes)
    if main is not None:
        common |= traits[main] & (Trait.ATTENDED | Trait.NORMALIZED)
    if node.operation == "mul":
        common |= functools.reduce(operator.or_, (traits[value] for value in data)) & Trait.ATTENDED
    return common


def _keeps_values(node: Node) -> bool:
    return node.operation in operations.REARRANGEMENTS or node.operation in operations.ARITHMETIC


def _normalizes(
    node: Node, data: list[int], traits: Sequence[Trait], shapes: Sequence[tuple[int, ...]]
) -> bool:
    """Whether a signal is multiplied or divided by its own statistic."""
    return (
        node.operation in ("mul", "div")
        and main_operand(node, data, traits, shapes) is not None
        and any(Trait.STATISTIC in traits[value] for value in node.inputs)
    )


def _grows(node: Node, data: list[int], shapes: Sequence[tuple[int, ...]]) -> bool:
    """Whether the signal is repeated over positions that it was not computed for."""
    largest = max(math.prod(shapes[value]) for value in data)
    elementwise = node.operation == "broadcast_in_dim" or node.operation in operations.ARITHMETIC
    return elementwise and largest < math.prod(shapes[node.outputs[0]])
