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
    DISCRETE = enum.auto()  # a comparison, an index: no gradient comes through
    SCALED = enum.auto()  # multiplied by a norm's own scale


# What a function of a value has in common with the value.
_KEPT_BY_FUNCTIONS = (
    Trait.REDUCED
    | Trait.STATISTIC
    | Trait.EXPANDED
    | Trait.SATURATING
    | Trait.PROBABILITY
    | Trait.DISCRETE
)
# What a signal keeps when something else is added to it or multiplied with it.
_KEPT_BY_SIGNALS = Trait.ATTENDED | Trait.NORMALIZED | Trait.SCALED


def traits_of(
    node: Node, data: list[int], traits: Sequence[Trait], shapes: Sequence[tuple[int, ...]]
) -> Trait:
    """Traits of a node's outputs, from those of the values before it.

    Args:
        node: the operation.
        data: which of its inputs the data reach.
        traits, shapes: of all values.
    """
    data = continuous(data, traits)
    kept = _inherited(node, data, traits, shapes) | _acquired(node)
    every = [traits[value] for value in node.inputs]
    if node.operation in ("rsqrt", "sqrt", "pow") and kept & Trait.REDUCED:
        kept |= Trait.STATISTIC
    if normalizes(node, data, traits, shapes):
        scaled = any(Trait.STATISTIC | Trait.SCALED in one for one in every)
        kept = (kept | Trait.NORMALIZED) & ~(Trait.STATISTIC | Trait.REDUCED | Trait.SCALED)
        kept |= Trait.SCALED if scaled else Trait.NONE
    if node.operation == "div" and len(data) == 2 and all(Trait.STATISTIC in one for one in every):
        kept &= ~Trait.STATISTIC  # without a unit it compares responses, it does not normalize
    if data and node.operation not in operations.CONTRACTIONS and _grows(node, data, shapes):
        kept |= Trait.EXPANDED
    if (
        node.operation == "dot_general"
        and any(Trait.PROBABILITY in one and Trait.DISCRETE not in one for one in every)
        and Trait.PROBABILITY not in kept
    ):
        kept |= Trait.ATTENDED
    return kept


def continuous(values: list[int], traits: Sequence[Trait]) -> list[int]:
    """Those through which a gradient comes, if there are any: masks and indices only select."""
    return [value for value in values if Trait.DISCRETE not in traits[value]] or values


def main_operand(
    node: Node, data: list[int], traits: Sequence[Trait], shapes: Sequence[tuple[int, ...]]
) -> int | None:
    """The operand that is the signal, where all others are numbers, parameters, statistics."""
    data = continuous(data, traits)
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
    if not data:
        return Trait.NONE
    common = functools.reduce(operator.and_, (traits[value] for value in data))
    if node.operation in operations.CONTRACTIONS:
        # With a mask or one-hot rows it sums or picks; with another signal it makes a new one.
        return common & (_KEPT_BY_FUNCTIONS if len(data) == 1 else Trait.DISCRETE)
    if not _keeps_values(node):
        return common & _KEPT_BY_FUNCTIONS
    main = main_operand(node, data, traits, shapes)
    if main is not None:
        common |= traits[main] & _KEPT_BY_SIGNALS
    if node.operation == "mul":
        common |= functools.reduce(operator.or_, (traits[value] for value in data)) & Trait.ATTENDED
    return common


def _keeps_values(node: Node) -> bool:
    return node.operation in operations.REARRANGEMENTS or node.operation in operations.ARITHMETIC


def normalizes(
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
