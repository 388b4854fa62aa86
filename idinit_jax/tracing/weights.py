"""Arrays that the data do not reach: parameters on their way to the signal."""

from collections.abc import Container, Sequence

from idinit_jax.tracing import affine, choices, contraction, lineage, movement, numbers, operations
from idinit_jax.tracing.flatten import Node, StraightLine
from idinit_jax.tracing.lineage import Lineage
from idinit_jax.tracing.reach import carries_signal, reached
from idinit_jax.tracing.traits import Trait

Lineages = tuple[Lineage, ...]


class Weights:
    """Follows every parameter through such arrays, node by node.

    Attributes:
        lineages: for every value the parameters that it is made of.
        signals: values that a kernel consumes like a signal, such as learned queries.
    """

    def __init__(
        self,
        line: StraightLine,
        traits: Sequence[Trait],
        chosen: Container[int],
        known_signals: Container[int],
    ) -> None:
        """`traits` are of all values, as far as the pass that calls `visit` has come."""
        self.line, self.traits, self.chosen = line, traits, chosen
        self.signals: set[int] = set()
        self.is_state = [value in line.state for value in range(len(line.shapes))]
        self.lineages: list[Lineages] = [()] * len(line.shapes)
        for leaf, value in enumerate(line.params):
            if value not in known_signals:
                self.lineages[value] = (lineage.stored(leaf, line.shapes[value]),)

    def visit(self, node: Node) -> Trait:
        """Follow the parameters through a node; the traits of its outputs."""
        known = [self.line.constants.get(value) for value in node.inputs]
        operands = [self.lineages[value] for value in node.inputs]
        if node.operation == "dot_general" and all(operands):
            found = self.multiplied(node, operands)
        else:
            self.signals |= self.constant_signals(node, operands)
            found = self.moved(node, operands, known)
        for index, value in enumerate(node.outputs):
            self.lineages[value] = lineage.merge(self.resized(found, node, index))
            self.is_state[value] = any(self.is_state[read] for read in node.inputs)
        self.propagate_constant(node, known)
        return self.traits_of(node)

    def multiplied(self, node: Node, operands: Sequence[Lineages]) -> Lineages:
        if not self.signals:  # what follows the first one may change once it counts as data
            learned = contraction.learned_signals(operands)
            self.signals |= {self.line.params[leaf] for leaf in learned}
        shapes = [self.line.shapes[value] for value in node.inputs]
        return contraction.product(operands, node.params, shapes)

    def moved(
        self, node: Node, operands: Sequence[Lineages], known: Sequence[float | None]
    ) -> Lineages:
        shapes = self.line.shapes
        picks = node.operation in choices.LOOKUPS and node.outputs[0] in self.chosen
        position = known[-1] if len(known) > 1 else None
        found = (
            movement.through(
                movement.CHOOSE if picks else node.operation,
                node.params,
                single,
                shapes[value],
                shapes[node.outputs[0]],
                None if position is None else int(position),
            )
            for value, held in zip(node.inputs, operands, strict=True)
            for single in held
        )
        masks = (self.line.arrays.get(value) for value in node.inputs)
        mask = next((array for array in masks if array is not None), None)
        return tuple(affine.after(node.operation, single, known, mask) for single in found)

    def resized(self, found: Lineages, node: Node, index: int) -> Lineages:
        """Outputs after the first (of a split) differ from it in size only."""
        if index == 0:
            return found
        shape = self.line.shapes[node.outputs[index]]
        return tuple(movement.through("split", {}, single, shape, shape) for single in found)

    def constant_signals(self, node: Node, operands: Sequence[Lineages]) -> set[int]:
        """Tables that a kernel consumes like a signal, such as sines of the position."""
        if node.operation not in operations.PRODUCTS or not any(operands):
            return set()
        return {
            value
            for value, held in zip(node.inputs, operands, strict=True)
            if not held
            and value not in self.line.constants
            and carries_signal(self.line.dtypes[value])
            and not (self.is_state[value] and self.measures(node, operands))
        }

    def measures(self, node: Node, operands: Sequence[Lineages]) -> bool:
        """Whether a product with the model's state only measures the kernel that it then scales.

        Spectral normalization divides a kernel by its norm along vectors that are state.
        """
        measured = reached(self.line, node.outputs)
        learned = {self.line.params[single.param] for held in operands for single in held}
        apart = reached(self.line, learned, node.outputs)
        return any(
            any(measured[value] for value in other.inputs)
            and any(apart[value] and not measured[value] for value in other.inputs)
            for other in self.line.nodes
        )

    def propagate_constant(self, node: Node, known: Sequence[float | None]) -> None:
        number = numbers.folded(node.operation, node.params, known)
        if number is not None:
            self.line.constants[node.outputs[0]] = number
        if node.operation in operations.RESHAPES and node.inputs[0] in self.line.arrays:
            self.line.arrays[node.outputs[0]] = self.line.arrays[node.inputs[0]]

    def traits_of(self, node: Node) -> Trait:
        """A root of the model's state, such as a running variance, makes a norm's statistic."""
        if node.operation in ("rsqrt", "sqrt") and self.is_state[node.inputs[0]]:
            return Trait.STATISTIC
        for value in node.outputs[:1]:
            if any(single.root and not single.reduced for single in self.lineages[value]):
                return Trait.STATISTIC
        kept = Trait.NONE
        for value in node.inputs:
            kept |= self.traits[value] & Trait.STATISTIC
        return kept
