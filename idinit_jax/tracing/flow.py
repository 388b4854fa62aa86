"""What flows where: one forward pass over the straight line of a model.

For every value it finds whether the data reach it, which parameters it is made of, how many
kernels lie before it, and what a reader would call it (normalized, saturating, a statistic).
"""

from typing import NamedTuple

from idinit_jax.tracing import blends, flatten, operations
from idinit_jax.tracing import contraction as contractions
from idinit_jax.tracing.blends import Blend
from idinit_jax.tracing.contraction import Consumption, Contraction
from idinit_jax.tracing.flatten import Node, StraightLine, readers
from idinit_jax.tracing.lineage import Lineage
from idinit_jax.tracing.outputs import Outputs
from idinit_jax.tracing.reach import data_reach, is_bool, is_real
from idinit_jax.tracing.traits import Trait, continuous, main_operand, normalizes, traits_of
from idinit_jax.tracing.weights import Weights

# What parameters do to the signal where they meet it; a contraction that sums nothing multiplies.
_MEETINGS = {"sub": "add", "add_any": "add", "div": "mul", "dot_general": "mul"}


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
        signal_inputs: for every node the inputs through which a gradient reaches the data.
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
    signal_inputs: list[tuple[int, ...]]
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


class _Analysis:
    """The tables that the pass fills, and one method a kind of node."""

    def __init__(self, line: StraightLine, signals: frozenset[int]) -> None:
        self.line = line
        count = len(line.shapes)
        self.is_data, chosen = data_reach(line, signals)
        inputs = [value for value in line.inputs if self.is_data[value]]
        self.sources = [0] * count
        self.traits = [Trait.NONE] * count
        for bit, value in enumerate(inputs):
            self.sources[value] = 1 << bit
            if is_bool(line.dtypes[value]):
                self.traits[value] = Trait.DISCRETE
        self.weights = Weights(line, self.traits, chosen, signals)
        self.lineages = self.weights.lineages
        self.readers = readers(line)
        self.outputs = Outputs(line, self.traits)
        self.blends: dict[int, Blend] = {}
        self.carried_scales: dict[int, tuple[int, ...]] = {}
        self.contractions: list[Contraction] = []
        self.by_node: dict[int, int] = {}
        self.effects: list[Effect] = []
        self.scales: dict[int, tuple[int, ...]] = {}

    def run(self) -> Flow:
        for index, node in enumerate(self.line.nodes):
            if any(self.is_data[value] for value in node.outputs):
                self.data_node(index, node)
            else:
                traits = self.weights.visit(node)
                for value in node.outputs:
                    self.traits[value] = traits
        return Flow(
            self.is_data,
            [self.signal_inputs(node) for node in self.line.nodes],
            self.sources,
            self.traits,
            self.outputs.origins,
            self.contractions,
            self.by_node,
            self.effects,
            self.scales,
            self.outputs.activations,
            self.outputs.normalized,
            self.weights.signals,
        )

    def signal_inputs(self, node: Node) -> tuple[int, ...]:
        if node.operation == "stop_gradient":
            return ()
        dtypes = self.line.dtypes
        casts = node.operation == "convert_element_type"
        # An integer that makes no integer, but for a cast, is an index.
        indexes = not casts and bool(node.outputs) and is_real(dtypes[node.outputs[0]])
        return tuple(
            value
            for value in node.inputs
            if self.is_data[value]
            and Trait.DISCRETE not in self.traits[value]
            and (is_real(dtypes[value]) or not indexes)
        )

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
        if any(value in self.blends for value in data) and self.contracts_blend(index, node, data):
            return
        if not data and node.operation != flatten.CARRY:
            return
        for value in weighted:
            self.meet(index, node, data, value)
        described = self.described(node, data, weighted)
        if normalizes(node, data, self.traits, self.line.shapes):
            described |= self.scaled_before(node, data)
        for value in node.outputs:
            self.traits[value] = described | self.discreteness(data, value)
        if self.outputs.follow(node, data, self.signal_inputs(node)):
            self.carry_scales(index, node, data)
        if not weighted:
            self.outputs.follow_argument(node, data)
        self.blend(node, data, weighted)

    def described(self, node: Node, data: list[int], weighted: list[int]) -> Trait:
        """Traits of a node's outputs; a norm has one scale, and its bias ends it."""
        signals = list(self.signal_inputs(node)) or data
        traits = traits_of(node, signals, self.traits, self.line.shapes)
        met = any(not single.root for value in weighted for single in self.lineages[value])
        if met and node.operation in ("add", "sub", "add_any"):
            return traits & ~(Trait.NORMALIZED | Trait.SCALED)
        normed = traits & (Trait.NORMALIZED | Trait.STATISTIC)
        if met and normed and node.operation in ("mul", "div"):
            return traits | Trait.SCALED
        return traits

    def scaled_before(self, node: Node, data: list[int]) -> Trait:
        """A norm's scale may come first: (scale * x) / std(x)."""
        signal = main_operand(node, data, self.traits, self.line.shapes)
        producer = None if signal is None else self.line.producers[signal]
        if signal is None or producer is None or not self.scales.get(producer):
            return Trait.NONE
        if any(self.depends(value, signal) for value in node.inputs if value != signal):
            return Trait.NONE
        for index, effect in enumerate(self.effects):
            if effect.node == producer:
                normed = effect.traits | Trait.NORMALIZED
                self.effects[index] = effect._replace(traits=normed)
        return Trait.SCALED

    def depends(self, value: int, on: int) -> bool:
        seen, stack = {value}, [value]
        while stack:
            producer = self.line.producers[stack.pop()]
            before = () if producer is None else self.line.nodes[producer].inputs
            stack.extend(read for read in before if read >= on and read not in seen)
            seen.update(stack)
        return on in seen

    def discreteness(self, data: list[int], output: int) -> Trait:
        """Comparisons, and the places of largest values, are no functions with a gradient."""
        dtypes = self.line.dtypes
        of_reals = any(is_real(dtypes[value]) for value in data)
        selects = is_bool(dtypes[output]) or (of_reals and not is_real(dtypes[output]))
        return Trait.DISCRETE if selects else Trait.NONE

    def contracts(self, index: int, node: Node, data: list[int], weighted: list[int]) -> bool:
        """Record a use of kernels, if the node is one."""
        weight, signal = weighted[0], data[0]
        how = self.consumption(node, weight, Trait.ONE_HOT in self.traits[signal])
        if how is None:
            return False
        self.record(index, node, signal, self.lineages[weight], how)
        return True

    def contracts_blend(self, index: int, node: Node, data: list[int]) -> bool:
        """Record a use of kernels that another signal has been multiplied into, if it is one."""
        value = next(value for value in data if value in self.blends)
        blend = self.blends[value]
        if node.operation in operations.PRODUCTS and blend.modulated:
            how = self.consumption(node, value, one_hot=False)
            signal = next(read for read in node.inputs if read != value)
            learned = {self.line.params[single.param] for single in self.lineages[signal]}
            self.weights.signals |= learned
        else:
            only = len(self.readers[value]) == 1
            how = blends.summed(node, blend, self.outputs.features[blend.signal], only)
            signal = blend.signal
        if how is None or not (self.is_data[signal] or self.lineages[signal]):
            return False
        self.record(index, node, signal, blend.lineages, how)
        return True

    def consumption(self, node: Node, weight: int, one_hot: bool) -> Consumption | None:
        shapes = [self.line.shapes[value] for value in node.inputs]
        return contractions.consumption(node, node.inputs.index(weight), shapes, one_hot)

    def record(
        self, index: int, node: Node, signal: int, lineages: tuple[Lineage, ...], how: Consumption
    ) -> None:
        use, output = len(self.contractions), node.outputs[0]
        whole, modifiers = contractions.kernels_and_modifiers(lineages)
        self.effects.extend(
            Effect(index, single, "kernel", Trait.NONE, None, use) for single in modifiers
        )
        shares = tuple(contractions.share(single, how.dims) for single in whole)
        groups = contractions.own_groups(how, whole[0])
        attended = Trait.ATTENDED in self.traits[signal]
        self.contractions.append(
            Contraction(
                index,
                how.operation,
                signal,
                output,
                whole,
                how.dims,
                shares,
                groups,
                how.features,
                attended,
            )
        )
        self.by_node[index] = use
        self.outputs.produce(use, output, how.features)

    def blend(self, node: Node, data: list[int], weighted: list[int]) -> None:
        """Remember a parameter that may turn out to be a kernel once it is contracted."""
        output = node.outputs[0]
        held = [value for value in data if value in self.blends]
        if len(weighted) == len(data) == 1:
            normed = self.traits[output] & (Trait.NORMALIZED | Trait.STATISTIC)
            lineages = () if normed else self.lineages[weighted[0]]
            found = blends.blended(self.line, node, data[0], weighted[0], lineages)
        elif len(held) == 1 and not weighted:
            found = blends.moved(self.line, node, held[0], self.blends[held[0]])
        else:
            found = None
        if found is not None:
            self.blends[output] = found

    def meet(self, index: int, node: Node, data: list[int], weight: int) -> None:
        """A parameter enters the signal by arithmetic, concatenation or selection."""
        partner = continuous(data, self.traits)[0] if data else weight
        origins = self.outputs.origins[partner]
        how = _MEETINGS.get(node.operation, node.operation)
        for single in self.lineages[weight]:
            self.effects.append(
                Effect(
                    index,
                    single,
                    how,
                    self.traits[partner] | (self.traits[weight] & Trait.STATISTIC),
                    self.outputs.features[partner],
                    origins[0] if len(origins) == 1 else None,
                )
            )
        if how == "mul":
            params = tuple(
                single.param
                for single in self.lineages[weight]
                if not single.root and not single.bent
            )
            self.scales[index] = self.scales.get(index, ()) + params
            if self.traits[partner] & Trait.STATISTIC:
                self.carried_scales[node.outputs[0]] = params

    def carry_scales(self, index: int, node: Node, data: list[int]) -> None:
        """A norm multiplies its scale into the statistic first, the signal after."""
        held = tuple(param for value in data for param in self.carried_scales.get(value, ()))
        if not held:
            return
        if any(Trait.STATISTIC in self.traits[value] for value in node.outputs):
            self.carried_scales[node.outputs[0]] = held
        else:
            self.scales[index] = self.scales.get(index, ()) + held
