"""Residual sums: which operand of an addition is the branch, which the shortcut, what ends it."""

import math
from typing import NamedTuple

import jax.numpy as jnp

from idinit_jax.tracing import ancestry
from idinit_jax.tracing.ancestry import Ways
from idinit_jax.tracing.flatten import StraightLine
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


class _Finder:
    def __init__(self, line: StraightLine, flow: Flow) -> None:
        self.line, self.flow = line, flow
        inputs = [value for value in line.inputs if flow.sources[value]]
        largest = max(inputs, key=lambda value: math.prod(line.shapes[value]), default=None)
        self.main_input = flow.sources[largest] if largest is not None else 0
        self.candidates: dict[int, _Candidate] = {}

    def examine(self, index: int) -> _Candidate | None:
        """The addition as a residual sum, if it is one."""
        if not self.is_sum_of_signals(index):
            return None
        operands = self.line.nodes[index].inputs
        streams = self.streams(*operands)
        meeting = ancestry.meet(self.line, self.flow, *streams)
        if meeting is None or ancestry.reads_apart(self.line, meeting):
            return None
        ancestor = meeting.ancestor
        ways = ancestry.ways_from(self.line, self.flow, ancestor, meeting.sides)
        branch = _longer(*(ways[value] for value in streams))
        if branch is None or streams[branch] != operands[branch]:
            return None
        shortcut = streams[1 - branch]
        if ways[shortcut].mixes or not self.carries_signal(shortcut, operands[branch], ways):
            return None
        cone, shortcut_cone = (self.cone(end, ancestor) for end in (operands[branch], shortcut))
        return _Candidate(index, branch, ancestor, cone, shortcut_cone, ways[shortcut].longest)

    def streams(self, first: int, second: int) -> tuple[int, int]:
        """The operands; of x + f(x) only x where the other operand branches off before it.

        In x + f(x) + g(x) the second addition has the shortcut x too.
        """
        while (meeting := ancestry.meet(self.line, self.flow, first, second)) is not None:
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
            and jnp.issubdtype(self.line.dtypes[node.outputs[0]], jnp.inexact)
        )

    def carries_signal(self, shortcut: int, branch: int, ways: dict[int, Ways]) -> bool:
        """A projected condition that is added to the signal is no shortcut of it."""
        if ways[shortcut].longest == 0:
            return True
        if Trait.EXPANDED in self.flow.traits[shortcut]:
            return False
        misses_main = not self.flow.sources[shortcut] & self.main_input
        return not (misses_main and self.flow.sources[branch] & self.main_input)

    def finish(self) -> list[Sum]:
        """Drop the merges of parallel branches, then find what ends each branch."""
        merges = {
            value
            for outer in self.candidates.values()
            for value in outer.cone
            if (inner := self.candidates.get(value)) is not None and self.merges(inner, outer)
        }
        genuine = {value: one for value, one in self.candidates.items() if value not in merges}
        return [self.sum(candidate, genuine) for candidate in genuine.values()]

    def merges(self, inner: _Candidate, outer: _Candidate) -> bool:
        """x + (f(x) + g(x)): the inner addition joins two branches of the outer one."""
        start = outer.cone.get(inner.ancestor)
        return inner.shortcut_kernels > 0 and start is not None and start.longest == 0

    def sum(self, candidate: _Candidate, genuine: dict[int, _Candidate]) -> Sum:
        end = self.line.nodes[candidate.node].inputs[candidate.branch_operand]
        tails, scales, ends = self.end_of_branch(end, candidate, genuine)
        return Sum(
            candidate.node,
            candidate.branch_operand,
            candidate.ancestor,
            self.contractions(candidate.cone, candidate.ancestor),
            self.contractions(candidate.shortcut_cone, candidate.ancestor),
            tails,
            scales,
            ends,
        )

    def contractions(self, cone: dict[int, Ways], ancestor: int) -> tuple[int, ...]:
        producers = (self.line.producers[value] for value in cone if value != ancestor)
        found = (self.flow.by_node.get(node) for node in producers if node is not None)
        return tuple(sorted({use for use in found if use is not None}))

    def end_of_branch(
        self, end: int, candidate: _Candidate, genuine: dict[int, _Candidate]
    ) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Walk back from the sum to the last kernels, noting what scales the branch on the way."""
        tails: set[int] = set()
        scales: dict[int, None] = {}
        ends: dict[int, None] = {}
        seen: set[int] = set()
        stack = [(end, False)]
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
            before = self.carriers(producer) if inner is None else self.nested(inner, candidate)
            stack.extend((read, scaled or bool(here)) for read in before)
        return tuple(sorted(tails)), tuple(scales), tuple(ends)

    def nested(self, inner: _Candidate, outer: _Candidate) -> list[int]:
        """Where a branch ends in a sum itself: what is left once that sum is the identity."""
        operands = self.line.nodes[inner.node].inputs
        shortcut = operands[1 - inner.branch_operand]
        reached = outer.cone.get(shortcut)
        return [shortcut] if reached is not None and reached.longest else list(operands)

    def carriers(self, index: int) -> list[int]:
        """The operands whose vanishing makes the result vanish in the ordinary way: no gates."""
        node, flow = self.line.nodes[index], self.flow
        data = [value for value in node.inputs if flow.is_data[value]]
        if node.operation == "div":
            data = data[:1] if flow.is_data[node.inputs[0]] else []
        if node.operation not in ("mul", "dot_general") or len(data) < 2:
            return data
        ranks = [self.gate_rank(value) for value in data]
        return [value for value, rank in zip(data, ranks, strict=True) if rank == min(ranks)]

    def gate_rank(self, value: int) -> int:
        """0 for a plain signal, 1 for an activation, 2 for a bounded gate or a statistic."""
        traits = self.flow.traits[value]
        if traits & (Trait.SATURATING | Trait.STATISTIC | Trait.REDUCED):
            return 2
        producer = self.line.producers[value]
        activated = producer is not None and self.line.nodes[producer].operation == "nonlinearity"
        return int(activated)


def _longer(first: Ways, second: Ways) -> int | None:
    """Which of two ways passes more kernels on every path; None if neither does."""
    if first.longest < second.shortest:
        return 1
    return 0 if second.longest < first.shortest else None
