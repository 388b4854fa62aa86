"""The ways that gradients take: what lies between two values, and what every way passes."""

import functools
import operator
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import jax.numpy as jnp

from idinit_jax.tracing.answers.vanishing import Vanishing
from idinit_jax.tracing.facts import Facts

# What dominates values that several sources reach; each list holds its entry last.
SOURCES = -1
# Operations whose operands, and whose outputs, may lie on different ways from one value.
ADDITIONS = frozenset(("add", "sub", "add_any"))
PIECES = frozenset(("slice", "split"))


class Paths(NamedTuple):
    """What lies on the ways to a value, or between two values that all ways pass.

    Attributes:
        fewest, most: kernels on a way.
        gates: factors that cannot vanish beside others that can, on the way with the fewest.
        products: contractions of two signals, on the way with the most.
    """

    fewest: int = 0
    most: int = 0
    gates: int = 0
    products: int = 0

    def since(self, start: "Paths") -> "Paths":
        return Paths(*(here - there for here, there in zip(self, start, strict=True)))


class Edges:
    """The operands through which a gradient reaches the data.

    Attributes:
        facts: of the program.
        operands: for every node those operands, each once.
        gates: those of them that cannot vanish where others can.
        around: outputs of kernels that signals reach only from an earlier turn of a loop.
        carried: for every value the bits of the sources that it brings a gradient to.
    """

    def __init__(self, facts: Facts, vanishing: Vanishing) -> None:
        self.facts = facts
        self.operands: list[tuple[int, ...]] = []
        self.gates: list[frozenset[int]] = []
        self.around: set[int] = set()
        later: set[int] = set()
        self.carried = [0] * len(facts.line.shapes)
        for value, bits in facts.bits.items():
            is_mask = facts.line.dtypes[value] == jnp.bool_
            self.carried[value] = 0 if is_mask else bits & facts.data
        for index, node in enumerate(facts.line.nodes):
            found = self._signals(index)
            self.operands.append(found)
            self.gates.append(_gates(vanishing, node.outputs, found))
            if self._comes_around(index) or not later.isdisjoint(found):
                later.update(node.outputs)
                self.around.update(node.outputs if index in facts.uses else ())
            for value in node.outputs:
                if found or index in facts.uses:
                    self.carried[value] = facts.gradients[value] & facts.data

    def _signals(self, index: int) -> tuple[int, ...]:
        """Choosers have no gradient, but a lookup stands for a product with their one-hot code."""
        facts, node = self.facts, self.facts.line.nodes[index]
        if node.operation == "stop_gradient" or not node.outputs:
            return ()
        law = facts.law(node.outputs[0])
        choosers = law.choosers if law and index not in facts.uses else ()
        found = (x for place, x in enumerate(node.inputs) if place not in choosers)
        return tuple(dict.fromkeys(x for x in found if self.carried[x]))

    def _comes_around(self, index: int) -> bool:
        """Whether a kernel reads what has a gradient, but none in the first turn."""
        use = self.facts.uses.get(index)
        if use is None or self.carried[use.signal]:
            return False
        return bool(self.facts.gradients[use.signal] & self.facts.data)

    def before(self, value: int) -> tuple[int, ...]:
        producer = self.facts.line.producers[value]
        return () if producer is None else self.operands[producer]


def _gates(vanishing: Vanishing, outputs: Sequence[int], operands: Sequence[int]) -> frozenset[int]:
    if len(operands) < 2 or not outputs:
        return frozenset()
    closing = {x for one in vanishing.sets[outputs[0]] for x in one}
    return frozenset(operands) - closing if closing.intersection(operands) else frozenset()


class Regions:
    """What lies between two values, as sets of bits: one for every value that may be asked for.

    Those are outputs of kernels, operands and outputs of additions, pieces that are cut out, and
    whatever goes several ways.
    """

    def __init__(self, edges: Edges) -> None:
        self._values = sorted(_marked(edges))
        self._place = {value: place for place, value in enumerate(self._values)}
        self._kernels = self.bits(use.output for use in edges.facts.uses.values())
        count = len(edges.carried)
        self._before, self._bare, self._after = [0] * count, [0] * count, [0] * count
        nodes = edges.facts.line.nodes
        self._around = self.bits(edges.around)
        for index, node in enumerate(nodes):
            is_kernel = index in edges.facts.uses
            self._enter(node.outputs, edges.operands[index], edges.gates[index], is_kernel)
        for index in range(len(nodes) - 1, -1, -1):
            after = _union(self._with(self._after, value) for value in nodes[index].outputs)
            for x in edges.operands[index]:
                self._after[x] = self._after[x] | after if self._after[x] else after

    def _enter(
        self,
        outputs: Sequence[int],
        operands: Sequence[int],
        gates: frozenset[int],
        is_kernel: bool,
    ) -> None:
        before = _union(self._with(self._before, x) for x in operands)
        passing = () if is_kernel else [x for x in operands if x not in gates]
        bare = _union(self._with(self._bare, x) for x in passing)
        for value in outputs:
            self._before[value], self._bare[value] = before, bare

    def _with(self, held: Sequence[int], value: int) -> int:
        place = self._place.get(value)
        return held[value] if place is None else held[value] | 1 << place

    def bits(self, values: Iterable[int]) -> int:
        return sum(1 << self._place[value] for value in values)

    def values(self, bits: int) -> Iterator[int]:
        """What a set holds, in order."""
        while bits:
            lowest = bits & -bits
            yield self._values[lowest.bit_length() - 1]
            bits ^= lowest

    def reaches(self, start: int, value: int) -> bool:
        """Whether a way leads from one value to another."""
        return bool(self._before[value] >> self._place[start] & 1)

    def passes_kernels(self, start: int, value: int) -> bool:
        """Whether every way from one value to another passes a kernel, but for gates."""
        return not self._bare[value] >> self._place[start] & 1

    def between(self, start: int, value: int) -> int:
        """What lies on the ways from one value to another, the second included."""
        return self._with(self._before, value) & self._after[start]

    def kernels_between(self, start: int, value: int) -> int:
        return self.between(start, value) & self._kernels

    def kernels_after(self, start: int, value: int) -> int:
        """Kernels between two values, with those that only what comes around a loop reaches."""
        later = self._with(self._before, value) & self._around & -1 << self._place[start] + 1
        return self.kernels_between(start, value) | later


def _marked(edges: Edges) -> set[int]:
    facts, read = edges.facts, Counter(x for found in edges.operands for x in found)
    marked = {value for value, times in read.items() if times > 1}
    nodes = facts.line.nodes
    cut = {x for node in nodes if node.operation in PIECES for x in node.inputs}
    for index, node in enumerate(nodes):
        adds = node.operation in ADDITIONS
        if index in facts.uses or adds or not cut.isdisjoint(node.inputs):
            marked.update(node.outputs)
        if adds or len(node.outputs) > 1:
            marked.update(node.inputs)
    return marked


def _union(sets: Iterable[int]) -> int:
    """One set is itself, not a copy."""
    return functools.reduce(operator.or_, sets) if (sets := list(sets)) else 0


class Dominance:
    """What all ways to a value pass, of the ways that lead to one source."""

    def __init__(self, edges: Edges, source: int) -> None:
        self.facts, self.edges = edges.facts, edges
        count = len(edges.carried) + 1
        self._above, self._jump, self._depth = [SOURCES] * count, [SOURCES] * count, [1] * count
        self._depth[SOURCES] = 0
        self.paths = [Paths()] * count
        for index, node in enumerate(self.facts.line.nodes):
            found = [x for x in edges.operands[index] if not source & ~edges.carried[x]]
            if found:
                self._enter(index, node.outputs, found)

    def _enter(self, index: int, outputs: Sequence[int], operands: Sequence[int]) -> None:
        above = operands[0]
        for x in operands[1:]:
            above = self.common(above, x)
        jump = self._jump[above]
        level = self._depth[above] - self._depth[jump]
        even = level == self._depth[jump] - self._depth[self._jump[jump]]
        for value in outputs:
            self._above[value] = above
            self._depth[value] = self._depth[above] + 1
            self._jump[value] = self._jump[jump] if even and above != SOURCES else above
            self.paths[value] = self._passed(index, operands)

    def _passed(self, index: int, operands: Sequence[int]) -> Paths:
        before = [self.paths[x] for x in operands]
        kernel = int(index in self.facts.uses)
        gates = self.edges.gates[index] if len(operands) > 1 else ()
        multiplies = self.facts.line.nodes[index].operation == "dot_general"
        return Paths(
            min(paths.fewest for paths in before) + kernel,
            max(paths.most for paths in before) + kernel,
            min(paths.gates + (x in gates) for x, paths in zip(operands, before, strict=True)),
            max(paths.products for paths in before)
            + int(multiplies and not kernel and len(self.edges.operands[index]) > 1),
        )

    def common(self, one: int, other: int) -> int:
        """The last value that all ways to both pass; `SOURCES` if there is none."""
        above, jump, depth = self._above, self._jump, self._depth
        if depth[one] < depth[other]:
            one, other = other, one
        while depth[one] > depth[other]:
            one = jump[one] if depth[jump[one]] >= depth[other] else above[one]
        while one != other:
            apart = jump[one] != jump[other]
            one, other = (jump[one], jump[other]) if apart else (above[one], above[other])
        return one

    def between(self, start: int, value: int) -> Paths:
        """What lies between a value and one that all ways to it pass."""
        return self.paths[value].since(self.paths[start])


def kernels_before(facts: Facts) -> list[int]:
    """Kernels on the longest path to each value, every loop turned once."""
    depth = [0] * len(facts.line.shapes)
    for index, node in enumerate(facts.line.nodes):
        here = max((depth[x] for x in node.inputs), default=0) + (index in facts.uses)
        for value in node.outputs:
            depth[value] = here
    return depth
