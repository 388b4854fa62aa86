"""Sums that only look like residual ones, and readers that only look at a branch."""

from idinit_jax.tracing.answers.dominance import PIECES, Edges, Regions
from idinit_jax.tracing.facts import Facts
from idinit_jax.tracing.program.flatten import Node, readers
from idinit_jax.tracing.table.law import Law, Shape

_REDUCTIONS = frozenset(
    ("reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "argmax", "argmin")
)


class Unlike:
    """What keeps an addition from being a residual sum, however long the ways to it are.

    Attributes:
        readers: for every value the nodes that read it.
        outputs: the values that leave the program.
    """

    def __init__(self, facts: Facts, edges: Edges, regions: Regions) -> None:
        self.facts, self.line = facts, facts.line
        self.edges, self.regions = edges, regions
        self.readers = readers(facts.line)
        self.outputs = frozenset(facts.line.outputs)

    def is_none(self, node: Node) -> bool:
        """Whether a sum is one of statistics, a distance or a logit."""
        output = node.outputs[0]
        if node.operation == "sub" and self.only_size_counts(output):
            return True
        if all(self.is_statistic(x) for x in node.inputs):
            return True
        return any(self.is_product(x) for x in node.inputs) and self.is_exponent(output)

    def is_statistic(self, value: int) -> bool:
        """Whether a value is summed, or a maximum, over axes of all that it is made of."""
        roots = [root for root in self.facts.degrees[value] or () if self.edges.carried[root]]
        return bool(roots) and all(self.facts.relation(value, root).summed for root in roots)

    def is_statistic_of(self, value: int, start: int, shape: Shape) -> bool:
        """Whether a value repeats a sum over axes that a start, or what comes after it, has."""
        before = self.facts.degrees[start] or {}
        roots = [root for root in self.facts.degrees[value] or () if self.edges.carried[root]]
        found = [(self.facts.relation(value, root), root) for root in roots]
        gone = [
            one.gone - self.facts.relation(start, root).gone if root in before else one.gone
            for one, root in found
        ]
        repeats = self.line.shapes[value] != shape or any(one.repeats > 1 for one, _ in found)
        return repeats and bool(gone) and all(gone)

    def only_size_counts(self, value: int) -> bool:
        """Whether only the size of a difference counts, as in a loss."""
        stack, seen, read = [value], {value}, False
        while stack:
            for index in self.readers[stack.pop()]:
                node = self.line.nodes[index]
                read = True
                if self.is_even(node):
                    continue
                if not self.moves(node):
                    return False
                stack.extend(x for x in node.outputs if x not in seen)
                seen.update(node.outputs)
        return read

    def is_even(self, node: Node) -> bool:
        """Whether an operation gives the same for a number and for its opposite."""
        if len(node.inputs) == 2:
            return node.operation == "mul" and node.inputs[0] == node.inputs[1]
        law = self.facts.law(node.outputs[0])
        return law is not None and ((0,), 1) in law.signs

    def moves(self, node: Node) -> bool:
        """Whether an operation leaves the entries of its operand what they are."""
        law = self.facts.law(node.outputs[0])
        return _is_linear(law) and len(node.inputs) == 1 and node.operation not in _REDUCTIONS

    def is_product(self, value: int) -> bool:
        """Whether a value is the product of two signals, as far back as only numbers act on it."""
        producer = self.line.producers[value]
        while producer is not None and producer not in self.facts.uses:
            before = self.edges.operands[producer]
            if self.line.nodes[producer].operation == "dot_general":
                return len(before) > 1
            if len(before) != 1:
                return False
            producer = self.line.producers[before[0]]
        return False

    def is_exponent(self, value: int) -> bool:
        """Whether an exponential is taken of a value, as far on as sums and factors change it."""
        seen, stack = {value}, [value]
        while stack:
            for index in self.readers[stack.pop()]:
                node = self.line.nodes[index]
                if node.operation == "exp":
                    return True
                if index not in self.facts.uses and self.is_homogeneous(node):
                    stack.extend(x for x in node.outputs if x not in seen)
                    seen.update(node.outputs)
        return False

    def is_homogeneous(self, node: Node) -> bool:
        law = self.facts.law(node.outputs[0]) if node.outputs else None
        return law is not None and any(power == 1 for _, power in law.scaling)

    def reads_apart(self, start: int, one: int, other: int, gated: bool) -> bool:
        """Whether the ways read different pieces of one value.

        They come from different time steps then, or are the gate and the signal of one kernel.
        """
        pieces = self.pieces(start)
        if not pieces:
            return False
        taken = [
            {piece for piece in pieces if piece == end or self.regions.reaches(piece, end)}
            for end in (one, other)
        ]
        begun = [{pieces[value] for value in values} for values in taken]
        if not all(taken) or begun[0] & begun[1] or None in begun[0] | begun[1]:
            return False
        return gated or all(1 in self.line.shapes[value] for value in taken[0] | taken[1])

    def pieces(self, value: int) -> dict[int, object]:
        """What is made of a value -> where the piece of it begins, None if it is no piece."""
        nodes = [self.line.nodes[index] for index in self.readers[value]]
        if not any(node.operation in PIECES for node in nodes):
            return {}
        return {x: _start(node, x) for node in nodes for x in node.outputs}

    def ends_in(self, value: int, index: int) -> bool:
        """Whether a signal ends in a node, which makes a statistic or a mask of it."""
        node = self.line.nodes[index]
        return node.operation in _REDUCTIONS or value not in self.edges.operands[index]


def _is_linear(law: Law | None) -> bool:
    return law is not None and law.scaling == (((0,), 1),) and ((0,), -1) in law.signs


def _start(node: Node, value: int) -> object:
    """Where the piece that a node cuts out begins; None if it cuts out none."""
    if node.operation == "slice":
        return tuple(node.params["start_indices"])
    return node.outputs.index(value) if node.operation == "split" else None
