"""What becomes of the output of a kernel, up to the next kernel or sum."""

from collections.abc import Sequence

from idinit_jax.tracing import features, nonlinearity, operations
from idinit_jax.tracing.flatten import Node, StraightLine
from idinit_jax.tracing.traits import Trait, main_operand


class Outputs:
    """Follows the outputs of contractions, node by node.

    Attributes:
        origins: for every value the contractions it is a linear image of.
        features: for every value the dimensions that its kernel produced, None if not known.
        activations: contraction -> elementwise operations applied to its output, in order.
        normalized: contractions whose output is normalized.
    """

    def __init__(self, line: StraightLine, traits: Sequence[Trait]) -> None:
        """`traits` are of all values, as far as the pass that calls `follow` has come."""
        count = len(line.shapes)
        self.line, self.traits = line, traits
        self.origins: list[tuple[int, ...]] = [()] * count
        self.features: list[frozenset[int] | None] = [None] * count
        self.activations: dict[int, list[str]] = {}
        self.normalized: set[int] = set()
        self.has_kernels = [False] * count
        # Of what a value is a function of one variable, and which functions were taken.
        self.arguments = list(range(count))
        self.functions: list[tuple[str, ...]] = [()] * count

    def produce(self, use: int, output: int, produced: frozenset[int]) -> None:
        """A contraction makes a value."""
        self.origins[output], self.features[output] = (use,), produced
        self.has_kernels[output] = True

    def follow(self, node: Node, data: list[int], signals: Sequence[int]) -> bool:
        """Carry on from which contraction values come, and note what acts on them.

        Args:
            node: an operation that is no contraction with a kernel.
            data: which of its inputs the data reach.
            signals: through which of them a gradient comes.

        Returns:
            Whether it keeps the signal's values, but for arithmetic.
        """
        learned = any(self.has_kernels[value] for value in data)
        for value in node.outputs:
            self.has_kernels[value] = learned
        if node.operation in operations.PASSING:
            self.pass_positions(node, signals)
            return False
        beside = self.beside(node, data)
        if not beside:
            return False
        output = node.outputs[0]
        origins = tuple(dict.fromkeys(origin for value in beside for origin in self.origins[value]))
        if node.operation in operations.ARITHMETIC or node.operation in operations.REARRANGEMENTS:
            self.move(node, beside[0], origins)
            return True
        if node.operation in operations.POOLING:
            self.origins[output], self.features[output] = origins, self.features[beside[0]]
        elif node.operation in nonlinearity.ACTIVATIONS:
            self.activate(origins, (self.named(node),))
            if self.line.shapes[output] == self.line.shapes[beside[0]]:
                self.features[output] = self.features[beside[0]]
        return False

    def beside(self, node: Node, data: list[int]) -> list[int]:
        """The operands that the outputs hold: the signal, or several side by side."""
        if node.operation == "concatenate" or len(data) == 1:
            return data
        main = main_operand(node, data, self.traits, self.line.shapes)
        return [] if main is None else [main]

    def move(self, node: Node, operand: int, origins: tuple[int, ...]) -> None:
        """Values stay, perhaps elsewhere, but for arithmetic with what is no signal."""
        before, after = self.line.shapes[operand], self.line.shapes[node.outputs[0]]
        moved = features.moved(node, self.features[operand], before, after)
        for value in node.outputs:
            self.origins[value], self.features[value] = origins, moved
        if Trait.NORMALIZED in self.traits[node.outputs[0]]:
            self.normalized.update(origins)

    def pass_positions(self, node: Node, signals: Sequence[int]) -> None:
        """A sum over positions keeps what a kernel produced, if nothing but numbers weigh it."""
        learned = [value for value in signals if self.has_kernels[value]] or signals
        if len(learned) != 1:
            return
        value, output = learned[0], node.outputs[0]
        ranks = [len(self.line.shapes[read]) for read in node.inputs]
        side = node.inputs.index(value)
        self.features[output] = features.passed(node, side, self.features[value], ranks)
        if self.features[output] is not None:
            self.origins[output] = self.origins[value]

    def follow_argument(self, node: Node, data: list[int]) -> None:
        """Remember of what a value is a function of one variable, entry by entry.

        The product of x with a bounded function of x is an activation too: x sigmoid(x).
        """
        arguments = {self.arguments[value] for value in data}
        output = node.outputs[0]
        shapes = self.line.shapes
        if len(arguments) != 1 or node.operation not in operations.ENTRYWISE:
            return
        if any(shapes[value] != shapes[output] for value in data):
            return
        self.arguments[output] = arguments.pop()
        applied = [name for value in data for name in self.functions[value]]
        if node.operation in nonlinearity.ACTIVATIONS:
            applied.append(self.named(node))
        self.functions[output] = tuple(dict.fromkeys(applied))
        linear = [value for value in data if self.origins[value]]
        if node.operation in ("mul", "div") and len(data) == 2 and len(linear) == 1:
            gate = data[1 - data.index(linear[0])]
            marks = (*self.functions[gate], nonlinearity.GATED)
            self.activate(self.origins[linear[0]], marks)

    def activate(self, origins: tuple[int, ...], names: tuple[str, ...]) -> None:
        for origin in origins:
            self.activations.setdefault(origin, []).extend(names)

    def named(self, node: Node) -> str:
        """What to call an operation: a power by its exponent, a bound other than zero a clip."""
        name = str(node.params["name"]) if node.operation == "nonlinearity" else node.operation
        if name == "integer_pow":
            return f"{name}{node.params['y']}"
        bounds = [self.line.constants.get(value) for value in node.inputs]
        if name in ("max", "min") and any(bounds):
            return nonlinearity.CLIPPED
        return name
