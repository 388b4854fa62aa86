"""What flows where: one forward pass over the straight line of a model.

For every value it finds whether the data reach it, which parameters it is made of, how many
kernels lie before it, and what a reader would call it (normalized, saturating, a statistic).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp

from idinit_jax.tracing import affine, features, flatten, lineage, operations
from idinit_jax.tracing import contraction as contractions
from idinit_jax.tracing.contraction import Contraction
from idinit_jax.tracing.flatten import Node, StraightLine
from idinit_jax.tracing.lineage import Lineage
from idinit_jax.tracing.traits import Trait, main_operand, traits_of


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
            found = tuple(affine.after(node.operation, single, known) for single in found)
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
        described = traits_of(node, data, self.traits, self.line.shapes)
        for value in node.outputs:
            self.traits[value] = described
        self.follow(index, node, data)

    def contracts(self, index: int, node: Node, data: list[int], weighted: list[int]) -> bool:
        """Record a use of kernels, if the node is one."""
        weight, signal = weighted[0], data[0]
        shapes = [self.line.shapes[value] for value in node.inputs]
        one_hot = Trait.ONE_HOT in self.traits[signal]
        how = contractions.consumption(node, node.inputs.index(weight), shapes, one_hot)
        if how is None:
            return False
        use, output = len(self.contractions), node.outputs[0]
        whole, modifiers = contractions.kernels_and_modifiers(self.lineages[weight])
        self.effects.extend(
            Effect(index, single, "kernel", Trait.NONE, None, use) for single in modifiers
        )
        shares = tuple(contractions.share(single, how.dims) for single in whole)
        attended = Trait.ATTENDED in self.traits[signal]
        self.contractions.append(
            Contraction(
                index, how.operation, signal, output, shares, how.groups, how.features, attended
            )
        )
        self.by_node[index], self.origins[output] = use, (use,)
        self.features[output] = how.features
        return True

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

    def follow(self, index: int, node: Node, data: list[int]) -> None:
        """Carry on from which contraction the value comes, and note what acts on it."""
        main = (
            data[0] if len(data) == 1 else main_operand(node, data, self.traits, self.line.shapes)
        )
        beside = data if node.operation == "concatenate" else [main] if main is not None else []
        if not beside:
            return
        output = node.outputs[0]
        origins = tuple(dict.fromkeys(origin for value in beside for origin in self.origins[value]))
        if node.operation in operations.ARITHMETIC or node.operation in operations.REARRANGEMENTS:
            before = self.line.shapes[beside[0]]
            moved = features.moved(node, self.features[beside[0]], before, self.line.shapes[output])
            for value in node.outputs:
                self.origins[value], self.features[value] = origins, moved
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


def _described(name: str, node: Node) -> str:
    return f"{name}{node.params['y']}" if name == "integer_pow" else name
