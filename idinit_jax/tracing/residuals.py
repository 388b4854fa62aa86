"""Residual sums: which operand of an addition is the branch, which the shortcut, what ends it."""

import functools
import math
import operator
from typing import NamedTuple

import jax.numpy as jnp

from idinit_jax.tracing import ancestry, gates, operations
from idinit_jax.tracing.ancestry import Meeting, Ways
from idinit_jax.tracing.flatten import Node, StraightLine, readers
from idinit_jax.tracing.flow import Flow
from idinit_jax.tracing.traits import Trait

_ADDITIONS = frozenset(("add", "sub", "add_any"))


class Sum(NamedTuple):
    """A residual sum, in terms of values and contractions.

    Attributes:
        node: the addition.
        branch_operand: 0 or 1.
        ancestor: the nearest value that both operands depend on.
        branch, shortcut: contractions on either way, in forward order.
        tails: contractions that end the branch.
        scales: leaves of the parameters that scale the branch after its tails, last first.
        ends: those of them that no other one follows on their way to the sum.
    """

    node: int
    branch_operand: int
    ancestor: int
    branch: tuple[int, ...]
    shortcut: tuple[int, ...]
    tails: tuple[int, ...]
    scales: tuple[int, ...]
    ends: tuple[int, ...]


def find_sums(line: StraightLine, flow: Flow) -> list[Sum]:
    """All residual sums, in forward order."""
    finder = _Finder(line, flow)
    for index, node in enumerate(line.nodes):
        if node.operation in _ADDITIONS and (found := finder.examine(index)) is not None:
            finder.candidates[node.outputs[0]] = found
    return finder.finish()


class _Candidate(NamedTuple):
    node: int
    branch_operand: int
    ancestor: int
    cone: dict[int, Ways]
    shortcut_cone: dict[int, Ways]
    shortcut_kernels: int


class _End(NamedTuple):
    """What ends a branch; the fields are those of a `Sum`."""

    tails: tuple[int, ...]
    scales: tuple[int, ...]
    ends: tuple[int, ...]


class _Finder:
    def __init__(self, line: StraightLine, flow: Flow) -> None:
        self.line, self.flow = line, flow
        self.readers = readers(line)
        self.outputs = set(line.outputs)
        self.entering = _entering(line, flow)
        inputs = [value for value in line.inputs if flow.sources[value] & self.entering]
        largest = max(inputs, key=lambda value: math.prod(line.shapes[value]), default=None)
        self.main_input = flow.sources[largest] if largest is not None else 0
        self.candidates: dict[int, _Candidate] = {}

    def examine(self, index: int) -> _Candidate | None:
        """The addition as a residual sum, if it is one."""
        if not self.is_sum_of_signals(index) or self.is_distance(index) or self.is_logits(index):
            return None
        operands = self.line.nodes[index].inputs
        streams = self.streams(*operands)
        meeting = self.meet(*streams)
        if meeting is None:
            return None
        ancestor = meeting.ancestor
        ways = ancestry.ways_from(self.line, self.flow, ancestor, meeting.sides)
        branch = _longer(*(ways[value] for value in streams))
        if branch is None or streams[branch] != operands[branch]:
            return None
        shortcut = streams[1 - branch]
        if self.reads_apart(meeting, ways[operands[branch]]):
            return None
        if ways[shortcut].mixes or not self.carries_signal(shortcut, operands[branch], ways):
            return None
        if ways[shortcut].longest and not self.is_alternative(operands[branch], ancestor, ways):
            return None
        cone, shortcut_cone = (self.cone(end, ancestor) for end in (operands[branch], shortcut))
        return _Candidate(index, branch, ancestor, cone, shortcut_cone, ways[shortcut].longest)

    def meet(self, first: int, second: int) -> Meeting | None:
        """Where two values come from; a condition that both depend on does not count."""
        return ancestry.meet(self.line, self.flow, first, second, self.main_input)

    def reads_apart(self, meeting: Meeting, branch: Ways) -> bool:
        """Whether the operands come from different time steps, or gate and signal of one kernel."""
        pieces = ancestry.reads_apart(self.line, meeting)
        steps = all(1 in self.line.shapes[piece] for piece in pieces)
        return bool(pieces) and (steps or not branch.carried)

    def streams(self, first: int, second: int) -> tuple[int, int]:
        """The operands; of x + f(x) only x where the other operand branches off before it.

        In x + f(x) + g(x) the second addition has the shortcut x too.
        """
        while (meeting := self.meet(first, second)) is not None:
            before = first, second
            if meeting.ancestor not in before:
                first, second = (self.stream(value, meeting.ancestor) for value in before)
            if (first, second) == before or first == second:
                return before
        return first, second

    def stream(self, value: int, ancestor: int) -> int:
        """What a residual sum that spans the ancestor is a sum with; any other value itself."""
        candidate = self.candidates.get(value)
        if candidate is None or candidate.ancestor > ancestor:
            return value
        return self.line.nodes[candidate.node].inputs[1 - candidate.branch_operand]

    def cone(self, end: int, ancestor: int) -> dict[int, Ways]:
        """Everything between an ancestor and an operand."""
        values = ancestry.ancestors(self.line, self.flow, end, ancestor)
        return ancestry.ways_from(self.line, self.flow, ancestor, values)

    def is_sum_of_signals(self, index: int) -> bool:
        node, flow = self.line.nodes[index], self.flow
        shapes = [self.line.shapes[value] for value in node.inputs]
        return (
            all(flow.is_data[value] for value in node.inputs)
            and shapes[0] == shapes[1]
            and node.inputs[0] != node.inputs[1]
            and not all(Trait.REDUCED in flow.traits[value] for value in node.inputs)
            and jnp.issubdtype(self.line.dtypes[node.outputs[0]], jnp.inexact)
        )

    def is_distance(self, index: int) -> bool:
        """Whether only the size of a difference counts, as in a loss."""
        node = self.line.nodes[index]
        return node.operation == "sub" and self.only_size_counts(node.outputs[0])

    def only_size_counts(self, value: int) -> bool:
        read = [self.line.nodes[index] for index in self.readers[value]]
        return bool(read) and all(
            _is_even(node)
            or (
                node.operation in operations.REARRANGEMENTS
                and self.only_size_counts(node.outputs[0])
            )
            for node in read
        )

    def is_logits(self, index: int) -> bool:
        """Whether the sum is what an attention takes the softmax of: a product, and what biases it.

        Layers may share a bias that the data give, which looks like a shortcut then.
        """
        node = self.line.nodes[index]
        return any(
            ancestry.ends_in_product(self.line, self.flow, value) for value in node.inputs
        ) and ancestry.is_exponent(self.line, self.readers, node.outputs[0])

    def carries_signal(self, shortcut: int, branch: int, ways: dict[int, Ways]) -> bool:
        """A mask, or a projected condition that is added to the signal, is no shortcut of it."""
        sources = self.flow.sources[shortcut]
        if sources and not sources & self.entering:
            return False
        if ways[shortcut].longest == 0:
            return True
        if Trait.EXPANDED in self.flow.traits[shortcut]:
            return False
        misses_main = not self.flow.sources[shortcut] & self.main_input
        return not (misses_main and self.flow.sources[branch] & self.main_input)

    def is_alternative(self, branch: int, ancestor: int, ways: dict[int, Ways]) -> bool:
        """A projection is a shortcut only past a branch that carries the same signal, and no other.

        What gates the branch is not carried; what has come past the ancestor is another signal.
        """
        return ways[branch].carried and not ancestry.bypasses(
            self.line, self.flow, branch, ancestor, self.main_input
        )

    def finish(self) -> list[Sum]:
        """Drop the merges of parallel branches, then find what ends each branch."""
        merges = {
            value
            for outer in self.candidates.values()
            for value in outer.cone
            if (inner := self.candidates.get(value)) is not None and self.merges(inner, outer)
        }
        genuine: dict[int, _Candidate] = {}
        sums = []
        for value, candidate in self.candidates.items():
            if value in merges:
                continue
            end = self.end_of_branch(candidate, genuine)
            if not self.escapes(candidate, end.tails):
                genuine[value] = candidate
                sums.append(self.sum(candidate, end))
        return sums

    def merges(self, inner: _Candidate, outer: _Candidate) -> bool:
        """x + (f(x) + g(x)): the inner addition joins two branches of the outer one."""
        start = outer.cone.get(inner.ancestor)
        return inner.shortcut_kernels > 0 and start is not None and start.longest == 0

    def sum(self, candidate: _Candidate, end: _End) -> Sum:
        return Sum(
            candidate.node,
            candidate.branch_operand,
            candidate.ancestor,
            self.contractions(candidate.cone, candidate.ancestor),
            self.contractions(candidate.shortcut_cone, candidate.ancestor),
            end.tails,
            end.scales,
            end.ends,
        )

    def contractions(self, cone: dict[int, Ways], ancestor: int) -> tuple[int, ...]:
        producers = (self.line.producers[value] for value in cone if value != ancestor)
        found = (self.flow.by_node.get(node) for node in producers if node is not None)
        return tuple(sorted({use for use in found if use is not None}))

    def end_of_branch(self, candidate: _Candidate, genuine: dict[int, _Candidate]) -> _End:
        """Walk back from the sum to the last kernels, noting what scales the branch on the way."""
        tails: set[int] = set()
        scales: dict[int, None] = {}
        ends: dict[int, None] = {}
        seen: set[int] = set()
        stack = [(self.line.nodes[candidate.node].inputs[candidate.branch_operand], False)]
        while stack:
            value, scaled = stack.pop()
            producer = self.line.producers[value]
            outside = value not in candidate.cone or value == candidate.ancestor
            if outside or value in seen or producer is None:
                continue
            seen.add(value)
            if producer in self.flow.by_node:
                tails.add(self.flow.by_node[producer])
                continue
            here = dict.fromkeys(self.flow.scales.get(producer, ()))
            scales.update(here)
            if not scaled:
                ends.update(here)
            inner = genuine.get(value)
            before = (
                self.factors(candidate, producer)
                if inner is None
                else self.nested(inner, candidate)
            )
            stack.extend((read, scaled or bool(here)) for read in before)
        return _End(tuple(sorted(tails)), tuple(scales), tuple(ends))

    def factors(self, candidate: _Candidate, producer: int) -> list[int]:
        """What has to vanish for a value to do so: of a product of signals one factor is enough.

        With two small factors neither would have a gradient; the one with more kernels counts.
        """
        carriers = gates.carriers(self.line, self.flow, producer)
        if self.line.nodes[producer].operation not in gates.PRODUCTS or len(carriers) < 2:
            return carriers
        return [max(carriers, key=lambda value: self.kernels_on(candidate, value))]

    def kernels_on(self, candidate: _Candidate, value: int) -> int:
        ways = candidate.cone.get(value)
        return -1 if ways is None else ways.longest

    def escapes(self, candidate: _Candidate, tails: tuple[int, ...]) -> bool:
        """Whether the end of the branch is a signal elsewhere too, and so not free to vanish."""
        stack = [self.flow.contractions[use].output for use in tails]
        seen = set(stack)
        while stack:
            value = stack.pop()
            if value in self.outputs:
                return True
            for index in self.readers[value]:
                if index == candidate.node or self.ends_in(value, index):
                    continue
                made = self.line.nodes[index].outputs
                if index in self.flow.by_node:
                    if made[0] not in candidate.cone:
                        return True
                else:
                    stack.extend(output for output in made if output not in seen)
                    seen.update(made)
        return False

    def ends_in(self, value: int, index: int) -> bool:
        """Whether a signal ends in a node, which makes a statistic or a mask of it."""
        node = self.line.nodes[index]
        return (
            node.operation in operations.REDUCTIONS or value not in self.flow.signal_inputs[index]
        )

    def nested(self, inner: _Candidate, outer: _Candidate) -> list[int]:
        """Where a branch ends in a sum itself: what is left once that sum is the identity."""
        operands = self.line.nodes[inner.node].inputs
        shortcut = operands[1 - inner.branch_operand]
        reached = outer.cone.get(shortcut)
        return [shortcut] if reached is not None and reached.longest else list(operands)


def _entering(line: StraightLine, flow: Flow) -> int:
    """Bits of the inputs that a first kernel reads; those of masks are not among them."""
    depth = ancestry.kernels_before(line, flow)
    first = [use.data for use in flow.contractions if depth[use.data] == 0]
    return functools.reduce(operator.or_, (flow.sources[value] for value in first), 0)


def _is_even(node: Node) -> bool:
    """Whether an operation gives the same for a number and for its opposite."""
    if node.operation == "integer_pow":
        return node.params["y"] % 2 == 0
    squares = node.operation == "mul" and node.inputs[0] == node.inputs[1]
    return squares or node.operation in ("square", "abs")


def _longer(first: Ways, second: Ways) -> int | None:
    """Which of two ways passes more kernels on every path; None if neither does."""
    if first.longest < second.shortest:
        return 1
    return 0 if second.longest < first.shortest else None
