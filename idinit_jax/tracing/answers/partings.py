"""Additions of two values of which one has come a longer way than the other."""

import functools
import math
import operator
from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp

from idinit_jax.tracing.answers.dominance import (
    ADDITIONS,
    SOURCES,
    Dominance,
    Edges,
    Regions,
    kernels_before,
)
from idinit_jax.tracing.answers.unlike import Unlike
from idinit_jax.tracing.facts import Facts


class Parting(NamedTuple):
    """An addition, and where its operands part.

    Attributes:
        node: index of the addition.
        branch_operand: 0 or 1, the longer way.
        start: the value that both operands depend on.
        shortcut: the end of the shorter way; in x + f(x) + g(x) it is x for the second sum too.
        branch: the end of the longer way.
    """

    node: int
    branch_operand: int
    start: int
    shortcut: int
    branch: int


class _Ways(NamedTuple):
    """Two values of which one comes the longer way from a start."""

    start: int
    shortcut: int
    branch: int


def find_partings(
    facts: Facts, edges: Edges, regions: Regions, unlike: Unlike
) -> dict[int, Parting]:
    """Sums that are residual ones unless their tails are read elsewhere, by value."""
    return _Finder(facts, edges, regions, unlike).run()


class _Finder:
    def __init__(self, facts: Facts, edges: Edges, regions: Regions, unlike: Unlike) -> None:
        self.facts, self.line = facts, facts.line
        self.edges, self.regions, self.unlike = edges, regions, unlike
        self.entering = _entering(facts, kernels_before(facts))
        self.sources = _by_size(facts)
        self.main_input = next((bit for bit in self.sources if bit & self.entering), 0)
        self.dominances: dict[int, Dominance] = {}
        self.found: dict[int, Parting] = {}
        self.branches = 0

    def run(self) -> dict[int, Parting]:
        for index, node in enumerate(self.line.nodes):
            if node.operation in ADDITIONS and (parting := self.examine(index)) is not None:
                self.found[node.outputs[0]] = parting
                if self.is_stream(parting):
                    self.branches |= self.regions.bits([parting.branch])
        return self.found

    def examine(self, index: int) -> Parting | None:
        """The operands of an addition, if one of them has come a longer way."""
        node = self.line.nodes[index]
        if not self.is_sum_of_signals(index) or self.unlike.is_none(node):
            return None
        ways = self.part(*node.inputs)
        if ways is None or ways.branch not in node.inputs or not self.carries_signal(ways):
            return None
        shape = self.line.shapes[node.outputs[0]]
        if self.unlike.is_statistic_of(ways.shortcut, ways.start, shape):
            return None
        side = node.inputs.index(ways.branch)
        if node.operation == "sub" and side == 0:
            return None  # f(x) - x is no identity without f
        if ways.start == ways.shortcut and self.is_branch_before(ways):
            return None
        return Parting(index, side, *ways)

    def is_sum_of_signals(self, index: int) -> bool:
        node = self.line.nodes[index]
        one, other = node.inputs
        return (
            one != other
            and len(self.line.shapes[one]) == len(self.line.shapes[other])
            and all(self.edges.carried[x] for x in node.inputs)
            and bool(jnp.issubdtype(self.line.dtypes[node.outputs[0]], jnp.inexact))
        )

    def dominance(self, one: int, other: int) -> Dominance | None:
        """What dominates on the ways from the largest source that two values share."""
        shared = self.edges.carried[one] & self.edges.carried[other]
        bits = (self.main_input, *self.sources)
        source = next((bit for bit in bits if bit & shared), None)
        if source is not None and source not in self.dominances:
            self.dominances[source] = Dominance(self.edges, source)
        return None if source is None else self.dominances[source]

    def part(self, one: int, other: int) -> _Ways | None:
        """Tell the longer way of two values."""
        first, second = sorted((one, other))
        if self.regions.reaches(first, second):
            longer = self.regions.passes_kernels(first, second)
            return _Ways(first, first, second) if longer else None
        ways = self.dominance(one, other)
        start = SOURCES if ways is None else ways.common(one, other)
        if ways is None or start == SOURCES:
            return None
        streams = self.stream(one, start), self.stream(other, start)
        if streams != (one, other) and streams[0] != streams[1]:
            return self.part(*streams)
        return self.longer(ways, start, one, other)

    def stream(self, value: int, start: int) -> int:
        """The shortcut of a sum whose ways part at a start or before; any other value itself."""
        parting = self.found.get(value)
        return value if parting is None or parting.start > start else parting.shortcut

    def longer(self, ways: Dominance, start: int, one: int, other: int) -> _Ways | None:
        """The way with more kernels on each path is the branch; the other may be a projection."""
        shortcut, branch = sorted((one, other), key=lambda value: ways.paths[value].most)
        short, long = ways.between(start, shortcut), ways.between(start, branch)
        by_gates = short.most == 0 and self.regions.passes_kernels(start, branch)
        if not by_gates and short.most >= long.fewest:
            return None
        if short.products or (short.most and long.gates):
            return None
        if self.unlike.reads_apart(start, shortcut, branch, bool(long.gates)):
            return None
        return _Ways(start, shortcut, branch)

    def carries_signal(self, ways: _Ways) -> bool:
        """A mask, or a projected condition that is added to the signal, is no shortcut of it."""
        carried = self.edges.carried
        if not carried[ways.shortcut] & self.entering:
            return False
        if not self.regions.kernels_between(ways.start, ways.shortcut):
            return True
        misses_main = not carried[ways.shortcut] & self.main_input
        return not (misses_main and carried[ways.branch] & self.main_input)

    def is_branch_before(self, ways: _Ways) -> bool:
        """Whether kernels read a shortcut only as the branch of sums: k + f(z + k), k = f(z)."""
        passed = self.regions.between(ways.start, ways.branch) | self.regions.bits([ways.start])
        if not passed & self.branches:
            return False
        stack, seen = [ways.start], {ways.start}
        while stack:
            value = stack.pop()
            for index in self.unlike.readers[value]:
                made = self.line.nodes[index].outputs[0]
                if index in self.facts.uses:
                    if made == ways.branch or self.regions.reaches(made, ways.branch):
                        return False
                elif made not in seen and not self.is_branch(value, made):
                    seen.add(made)
                    stack.append(made)
        return True

    def is_branch(self, value: int, made: int) -> bool:
        """Whether a value is the branch of a sum of the main signal."""
        parting = self.found.get(made)
        return parting is not None and parting.branch == value and self.is_stream(parting)

    def is_stream(self, parting: Parting) -> bool:
        return bool(self.edges.carried[parting.shortcut] & self.main_input)


def _entering(facts: Facts, depth: Sequence[int]) -> int:
    """Bits of the inputs that a first kernel reads, which no mask is, and of learned signals."""
    first = [use.signal for use in facts.uses.values() if depth[use.signal] == 0]
    bits = (facts.gradients[x] for x in (*first, *facts.assumed.signals))
    return functools.reduce(operator.or_, bits, 0) & facts.data


def _by_size(facts: Facts) -> list[int]:
    """The bits of the sources, that of the largest one first."""
    shapes = facts.line.shapes
    found = [(math.prod(shapes[x]), bit) for x, bit in facts.bits.items() if bit & facts.data]
    return [bit for _, bit in sorted(found, key=lambda one: -one[0])]
