"""What flows where: one forward pass over the straight line of a model.

For every value it finds whether the data reach it, which parameters it is made of, how many
kernels lie before it, and what a reader would call it (normalized, saturating, a statistic).
"""

import enum
import functools
import math
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp

from idinit_jax.tracing import contraction as contractions
from idinit_jax.tracing import flatten, lineage, operations
from idinit_jax.tracing.contraction import Contraction, Share
from idinit_jax.tracing.flatten import Node, StraightLine
from idinit_jax.tracing.lineage import Lineage


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


class Effect(NamedTuple):
    """A parameter that meets the data outside of a contraction."""

    node: int
    lineage: Lineage
    how: str
    traits: Trait
    features: frozenset[int] | None
    origin: int | None


class Flow(NamedTuple):
    """The result, one entry a value unless stated otherwise.

    Attributes:
        is_data: whether the data reach the value.
        sources: bit mask of the inputs that do.
        traits: see `Trait`.
        origins: the contractions it is a linear image of, several only beside each other.
        contractions: all uses of kernels, in forward order.
        by_node: node -> index of its contraction.
        effects: everything else that parameters do to the data, in forward order.
        scales: node -> parameters that it scales the data by.
        activations: contraction -> elementwise operations applied to its output, in order.
        normalized: contractions whose output is normalized.
        signals: values that a kernel consumes like a signal, which `analyse` should be told of.
    """

    is_data: list[bool]
    sources: list[int]
    traits: list[Trait]
    origins: list[tuple[int, ...]]
    contractions: list[Contraction]
    by_node: dict[int, int]
    effects: list[Effect]
    scales: dict[int, tuple[int, ...]]
    activations: dict[int, list[str]]
    normalized: set[int]
    signals: set[int]


# What a function of a value has in common with the value.
_KEPT_BY_FUNCTIONS = (
    Trait.REDUCED | Trait.STATISTIC | Trait.EXPANDED | Trait.SATURATING | Trait.PROBABILITY
)


def analyse(line: StraightLine, signals: frozenset[int] = frozenset()) -> Flow:
    """Follow data and parameters through the program.

    Args:
        line: the program.
        signals: values that are signals although no input reaches them, such as learned queries.
    """
    return _Analysis(line, signals).run()


def reached(line: StraightLine, seeds: Sequence[int]) -> list[bool]:
    """Which values depend on the seeds, through the turns of loops too."""
    mark = [False] * len(line.shapes)
    for seed in seeds:
        mark[seed] = True
    leaving = dict(line.loops)
    changed = True
    while changed:
        changed = False
        for node in line.nodes:
            hit = any(mark[value] for value in node.inputs)
            if node.operation == flatten.CARRY:
                hit = hit or mark[leaving[node.outputs[0]]]
            for value in node.outputs:
                if hit and not mark[value]:
                    mark[value] = changed = True
        changed = changed and bool(line.loops)
    return mark


class _Analysis:
    """The tables that the pass fills, and one method a kind of node."""

    def __init__(self, line: StraightLine, signals: frozenset[int]) -> None:
        self.line = line
        count = len(line.shapes)
        inputs = [value for value in line.inputs if _carries_signal(line.dtypes[value])]
        self.is_data = reached(line, [*inputs, *signals])
        self.sources = [0] * count
        for bit, value in enumerate(inputs):
            self.sources[value] = 1 << bit
        state = set(line.state)
        self.is_state = [value in state for value in range(count)]
        self.lineages: list[tuple[Lineage, ...]] = [()] * count
        for leaf, value in enumerate(line.params):
            if value not in signals:
                self.lineages[value] = (lineage.stored(leaf, line.shapes[value]),)
        self.traits = [Trait.NONE] * count
        self.origins: list[tuple[int, ...]] = [()] * count
        self.features: list[frozenset[int] | None] = [None] * count
        self.carried_scales: dict[int, tuple[int, ...]] = {}
        self.contractions: list[Contraction] = []
        self.by_node: dict[int, int] = {}
        self.effects: list[Effect] = []
        self.scales: dict[int, tuple[int, ...]] = {}
        self.activations: dict[int, list[str]] = {}
        self.normalized: set[int] = set()
        self.signals: set[int] = set()

    def run(self) -> Flow:
        for index, node in enumerate(self.line.nodes):
            if any(self.is_data[value] for value in node.outputs):
                self.data_node(index, node)
            else:
                self.parameter_node(node)
        return Flow(
            self.is_data,
            self.sources,
            self.traits,
            self.origins,
            self.contractions,
            self.by_node,
            self.effects,
            self.scales,
            self.activations,
            self.normalized,
            self.signals,
        )

    # Arrays that the data do not reach.

    def parameter_node(self, node: Node) -> None:
        shapes = self.line.shapes
        known = [self.line.constants.get(value) for value in node.inputs]
        operands = [self.lineages[value] for value in node.inputs]
        if node.operation == "dot_general" and all(operands):
            pair = [shapes[value] for value in node.inputs]
            if not self.signals:  # what follows the first one may change once it counts as data
                learned = contractions.learned_signals(operands)
                self.signals |= {self.line.params[leaf] for leaf in learned}
            found = contractions.product(operands, node.params, pair)
        else:
            self.signals |= self.constant_signals(node, operands)
            position = known[-1] if len(node.inputs) > 1 else None
            found = tuple(
                lineage.through(
                    node.operation,
                    node.params,
                    single,
                    shapes[value],
                    shapes[node.outputs[0]],
                    None if position is None else int(position),
                )
                for value, held in zip(node.inputs, operands, strict=True)
                for single in held
            )
            found = tuple(_arithmetic(node.operation, single, known) for single in found)
        for index, value in enumerate(node.outputs):
            self.lineages[value] = lineage.merge(_resized(found, shapes, node, index))
            self.is_state[value] = any(self.is_state[read] for read in node.inputs)
            self.traits[value] = self.parameter_traits(node)
        self.propagate_constant(node, known)

    def constant_signals(self, node: Node, operands: list[tuple[Lineage, ...]]) -> set[int]:
        """Tables that a kernel consumes like a signal, such as sines of the position."""
        if node.operation not in operations.PRODUCTS or not any(operands):
            return set()
        return {
            value
            for value, held in zip(node.inputs, operands, strict=True)
            if not held
            and not self.is_state[value]
            and value not in self.line.constants
            and _carries_signal(self.line.dtypes[value])
        }

    def parameter_traits(self, node: Node) -> Trait:
        """A root of the model's state, such as a running variance, makes a norm's statistic."""
        if node.operation in ("rsqrt", "sqrt") and self.is_state[node.inputs[0]]:
            return Trait.STATISTIC
        if any(single.root and not single.reduced for single in self.lineages[node.outputs[0]]):
            return Trait.STATISTIC
        kept = Trait.NONE
        for value in node.inputs:
            kept |= self.traits[value] & Trait.STATISTIC
        return kept

    def propagate_constant(self, node: Node, known: Sequence[float | None]) -> None:
        if node.operation in ("broadcast_in_dim", "convert_element_type", "reshape") and (
            known[0] is not None
        ):
            self.line.constants[node.outputs[0]] = known[0]

    # Arrays that the data reach.

    def data_node(self, index: int, node: Node) -> None:
        data = [value for value in node.inputs if self.is_data[value]]
        sources = 0
        for value in data:
            sources |= self.sources[value]
        for value in node.outputs:
            self.sources[value] = sources
        weighted = [value for value in node.inputs if self.lineages[value]]
        if data and weighted and self.contracts(index, node, data, weighted):
            return
        if not data and node.operation != flatten.CARRY:
            return
        for value in weighted:
            self.meet(index, node, data, value)
        self.describe(node, data)
        self.follow(index, node, data)

    def contracts(self, index: int, node: Node, data: list[int], weighted: list[int]) -> bool:
        """Record a use of kernels, if the node is one."""
        weight = weighted[0]
        ranks = [len(self.line.shapes[value]) for value in node.inputs]
        side = node.inputs.index(weight)
        operation, groups = node.operation, 1
        if operation == "dot_general":
            dims = contractions.dot_general_dims(node.params, side, ranks)
            features = contractions.dot_general_features(node.params, side, ranks)
            if Trait.ONE_HOT in self.traits[data[0]]:
                operation = "one_hot"
        elif operation == "conv_general_dilated" and side == 1:
            dims, groups = contractions.conv_dims(node.params), node.params["feature_group_count"]
            features = frozenset({node.params["dimension_numbers"].out_spec[1]})
        elif operation == "gather" and side == 0:
            dims = contractions.lookup_dims(node.params["slice_sizes"], self.line.shapes[weight])
            features = frozenset(node.params["dimension_numbers"].offset_dims)
        elif operation == "dynamic_slice" and side == 0:
            dims = contractions.lookup_dims(node.params["slice_sizes"], self.line.shapes[weight])
            features = frozenset(dims.produced)
        elif operation == "ragged_dot_general" and side == 1:
            dims, features = contractions.ragged_dot_dims(node.params, ranks[1]), frozenset({1})
        else:
            return False
        whole, modifiers = contractions.kernels_and_modifiers(self.lineages[weight])
        for single in modifiers:
            self.effects.append(
                Effect(index, single, "kernel", Trait.NONE, None, len(self.contractions))
            )
        self.add_contraction(index, node, operation, data[0], whole, dims, groups, features)
        return True

    def add_contraction(
        self,
        index: int,
        node: Node,
        operation: str,
        data: int,
        whole: Sequence[Lineage],
        dims: contractions.WeightDims,
        groups: int,
        features: frozenset[int],
    ) -> None:
        shares: tuple[Share, ...] = tuple(contractions.share(single, dims) for single in whole)
        attended = Trait.ATTENDED in self.traits[data]
        output = node.outputs[0]
        use = Contraction(index, operation, data, output, shares, groups, features, attended)
        self.by_node[index] = len(self.contractions)
        self.origins[output] = (len(self.contractions),)
        self.features[output] = features
        self.contractions.append(use)

    def meet(self, index: int, node: Node, data: list[int], weight: int) -> None:
        """A parameter enters the signal by arithmetic, concatenation or selection."""
        partner = data[0] if data else weight
        how = {"sub": "add", "add_any": "add", "div": "mul"}.get(node.operation, node.operation)
        for single in self.lineages[weight]:
            self.effects.append(
                Effect(
                    index,
                    single,
                    how,
                    self.traits[partner] | (self.traits[weight] & Trait.STATISTIC),
                    self.features[partner],
                    self.origins[partner][0] if len(self.origins[partner]) == 1 else None,
                )
            )
        if how == "mul":
            params = tuple(single.param for single in self.lineages[weight] if not single.root)
            self.scales[index] = self.scales.get(index, ()) + params
            if self.traits[partner] & Trait.STATISTIC:
                self.carried_scales[node.outputs[0]] = params

    def describe(self, node: Node, data: list[int]) -> None:
        """Traits of the output."""
        kept = self.inherited(node, data)
        operation = node.operation
        every = [self.traits[value] for value in node.inputs]
        if operation in operations.REDUCTIONS:
            kept |= Trait.REDUCED
        if operation in ("rsqrt", "sqrt", "pow") and kept & Trait.REDUCED:
            kept |= Trait.STATISTIC
        if operation in operations.SATURATING or node.params.get("name") in operations.SQUASHING:
            kept |= Trait.SATURATING
        if operation == "exp":
            kept |= Trait.PROBABILITY
        if operation == "eq":
            kept |= Trait.ONE_HOT
        if (
            operation in ("mul", "div")
            and self.main_operand(node, data) is not None
            and any(Trait.STATISTIC in traits for traits in every)
        ):
            kept = (kept | Trait.NORMALIZED) & ~(Trait.STATISTIC | Trait.REDUCED)
        if data and operation not in operations.CONTRACTIONS and self.grows(node, data):
            kept |= Trait.EXPANDED
        if operation == "dot_general" and any(Trait.PROBABILITY in traits for traits in every):
            kept |= Trait.ATTENDED
        for value in node.outputs:
            self.traits[value] = kept

    def inherited(self, node: Node, data: list[int]) -> Trait:
        """Traits that the output has because its data operands have them."""
        if not data or node.operation in operations.CONTRACTIONS:
            return Trait.NONE
        traits = [self.traits[value] for value in data]
        common = functools.reduce(operator.and_, traits)
        if (
            node.operation not in operations.REARRANGEMENTS
            and node.operation not in operations.ARITHMETIC
        ):
            return common & _KEPT_BY_FUNCTIONS
        main = self.main_operand(node, data)
        if main is not None:
            common |= self.traits[main] & (Trait.ATTENDED | Trait.NORMALIZED)
        if node.operation == "mul":
            common |= functools.reduce(operator.or_, traits) & Trait.ATTENDED
        return common

    def grows(self, node: Node, data: list[int]) -> bool:
        """Whether the signal is repeated over positions that it was not computed for."""
        largest = max(math.prod(self.line.shapes[value]) for value in data)
        elementwise = (
            node.operation == "broadcast_in_dim" or node.operation in operations.ARITHMETIC
        )
        return elementwise and largest < math.prod(self.line.shapes[node.outputs[0]])

    def main_operand(self, node: Node, data: list[int]) -> int | None:
        """The operand that is the signal, where all others are numbers, parameters, statistics."""
        aside = Trait.REDUCED | Trait.STATISTIC
        signals = [value for value in data if not self.traits[value] & aside]
        if not signals:  # a signal that was pooled is a statistic only beside its own mean
            full = self.line.shapes[node.outputs[0]]
            signals = [
                value
                for value in data
                if self.line.shapes[value] == full
                and not self.traits[value] & (Trait.EXPANDED | Trait.STATISTIC)
            ]
        return signals[0] if len(signals) == 1 else None

    def follow(self, index: int, node: Node, data: list[int]) -> None:
        """Carry on from which contraction the value comes, and note what acts on it."""
        main = data[0] if len(data) == 1 else self.main_operand(node, data)
        beside = data if node.operation == "concatenate" else [main] if main is not None else []
        if not beside:
            return
        output = node.outputs[0]
        origins = tuple(dict.fromkeys(origin for value in beside for origin in self.origins[value]))
        if node.operation in operations.ARITHMETIC or node.operation in operations.REARRANGEMENTS:
            for value in node.outputs:
                self.origins[value] = origins
                self.features[value] = self.moved_features(node, beside[0])
            self.carry_scales(index, node, data)
            if Trait.NORMALIZED in self.traits[output]:
                self.normalized.update(origins)
        elif node.operation in operations.POOLING:
            self.origins[output], self.features[output] = origins, self.features[beside[0]]
        elif node.operation not in operations.REDUCTIONS:
            name = node.params.get("name") if node.operation == "nonlinearity" else node.operation
            for origin in origins:
                self.activations.setdefault(origin, []).append(_described(str(name), node))

    def carry_scales(self, index: int, node: Node, data: list[int]) -> None:
        """A norm multiplies its scale into the statistic first, the signal after."""
        held = tuple(param for value in data for param in self.carried_scales.get(value, ()))
        if not held:
            return
        if any(Trait.STATISTIC in self.traits[value] for value in node.outputs):
            self.carried_scales[node.outputs[0]] = held
        else:
            self.scales[index] = self.scales.get(index, ()) + held

    def moved_features(self, node: Node, main: int) -> frozenset[int] | None:
        """Where the kernel's output dimensions lie after a shape operation."""
        features, shapes = self.features[main], self.line.shapes
        before, after = shapes[main], shapes[node.outputs[0]]
        if features is None or node.operation in ("concatenate", "squeeze", "broadcast_in_dim"):
            return None if before != after else features
        if node.operation == "transpose":
            order = node.params["permutation"]
            return frozenset(target for target, axis in enumerate(order) if axis in features)
        if node.operation == "reshape":
            return _regrouped_features(features, before, after)
        return features if len(before) == len(after) else None


def _regrouped_features(
    features: frozenset[int], before: tuple[int, ...], after: tuple[int, ...]
) -> frozenset[int] | None:
    dims = lineage.regroup(lineage.stored(0, before).dims, after)
    if dims is None:
        return None
    inside = [{atom.axis in features for atom in dim} for dim in dims]
    if any(len(kinds) > 1 for kinds in inside):
        return None
    return frozenset(index for index, kinds in enumerate(inside) if kinds == {True})


def _carries_signal(dtype: Any) -> bool:
    return dtype is not None and any(
        jnp.issubdtype(dtype, kind) for kind in (jnp.number, jnp.bool_)
    )


def _resized(
    found: tuple[Lineage, ...], shapes: list[tuple[int, ...]], node: Node, index: int
) -> tuple[Lineage, ...]:
    """Outputs after the first (of a split) differ from it in size only."""
    if index == 0:
        return found
    shape = shapes[node.outputs[index]]
    return tuple(lineage.through("split", {}, single, shape, shape) for single in found)


def _arithmetic(operation: str, single: Lineage, known: Sequence[float | None]) -> Lineage:
    """Scaling and shifting by numbers is kept, anything else forgets the numbers."""
    if operation in ("rsqrt", "sqrt"):
        return single._replace(root=True, affine=False)
    if operation in operations.REARRANGEMENTS:
        return single
    number = next((value for value in known if value is not None), None)
    if operation == "neg":
        return single._replace(factor=-single.factor, offset=-single.offset)
    if number is None or operation not in operations.ARITHMETIC:
        return single._replace(affine=False)
    if operation == "mul":
        return single._replace(factor=single.factor * number, offset=single.offset * number)
    if operation == "add":
        return single._replace(offset=single.offset + number)
    if operation == "sub" and known[0] is None:
        return single._replace(offset=single.offset - number)
    if operation == "div" and known[0] is None:
        return single._replace(factor=single.factor / number, offset=single.offset / number)
    return single._replace(affine=False)


def _described(name: str, node: Node) -> str:
    return f"{name}{node.params['y']}" if name == "integer_pow" else name
