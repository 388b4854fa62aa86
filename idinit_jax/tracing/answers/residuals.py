"""Residual sums: which operand of an addition is the branch, which the shortcut, what ends it."""

from collections.abc import Sequence
from typing import NamedTuple

from idinit_jax.tracing.answers.contractions import Contraction
from idinit_jax.tracing.answers.dominance import Edges, Regions, kernels_before
from idinit_jax.tracing.answers.partings import Parting, find_partings
from idinit_jax.tracing.answers.repeats import first_equals
from idinit_jax.tracing.answers.tails import End, Ending
from idinit_jax.tracing.answers.unlike import Unlike
from idinit_jax.tracing.answers.vanishing import find_vanishing
from idinit_jax.tracing.facts import Facts


class Sum(NamedTuple):
    """A residual sum, in terms of values and contractions.

    Attributes:
        node: the addition.
        branch_operand: 0 or 1.
        branch, shortcut: contractions on either way, in forward order.
        tails: contractions that end the branch.
        tail_kernels: leaves of their kernels, of those beside each other the ones that end it.
        scales: leaves of the parameters that scale the branch after its tails, last first.
        ends: those of them that no other one follows on their way to the sum.
    """

    node: int
    branch_operand: int
    branch: tuple[int, ...]
    shortcut: tuple[int, ...]
    tails: tuple[int, ...]
    tail_kernels: tuple[int, ...]
    scales: tuple[int, ...]
    ends: tuple[int, ...]


def find_sums(facts: Facts, contractions: Sequence[Contraction]) -> list[Sum]:
    """All residual sums, in forward order."""
    return _Finder(facts, contractions).run()


class _Finder:
    def __init__(self, facts: Facts, contractions: Sequence[Contraction]) -> None:
        self.facts, self.line, self.contractions = facts, facts.line, contractions
        self.by_output = {one.use.output: index for index, one in enumerate(contractions)}
        vanishing = find_vanishing(facts)
        edges = Edges(facts, vanishing)
        self.regions = Regions(edges)
        self.unlike = Unlike(facts, edges, self.regions)
        self.ending = Ending(facts, vanishing, self.regions, kernels_before(facts))
        self.partings = find_partings(facts, edges, self.regions, self.unlike)

    def run(self) -> list[Sum]:
        """Drop repeated sums and merges of parallel branches, then find what ends each branch."""
        merges, first = self.merges(), first_equals(self.line)
        identities: dict[int, int] = {}
        sums = []
        for value, one in self.partings.items():
            if value in merges or first[value] in identities:
                continue
            end = self.ending.find(one.start, one.branch, identities)
            bare = not self.regions.kernels_between(one.start, one.branch)
            if not (bare and not end.tails) and not self.escapes(one, end.tails):
                identities[value] = self.line.nodes[one.node].inputs[1 - one.branch_operand]
                sums.append(self.sum(one, end))
        return sums

    def merges(self) -> set[int]:
        """In x + (f(x) + g(x)) the inner addition joins two branches of the outer one."""
        projected = {
            value: one
            for value, one in self.partings.items()
            if self.regions.kernels_between(one.start, one.shortcut)
        }
        marked = self.regions.bits(projected)
        found: set[int] = set()
        for outer in self.partings.values():
            inside = self.regions.between(outer.start, outer.branch)
            for value in self.regions.values(inside & marked):
                if self.joins(projected[value], value, outer):
                    found.add(value)
        return found

    def joins(self, inner: Parting, value: int, outer: Parting) -> bool:
        """Whether no kernel lies between the starts of two sums, nor always between their ends."""
        starts = inner.start == outer.start or self.regions.reaches(outer.start, inner.start)
        if not starts or self.regions.kernels_between(outer.start, inner.start):
            return False
        return value == outer.branch or not self.regions.passes_kernels(value, outer.branch)

    def escapes(self, one: Parting, tails: Sequence[int]) -> bool:
        """Whether the end of the branch is a signal elsewhere too, and so not free to vanish."""
        inside = self.regions.between(one.start, one.branch)
        stack, seen = list(tails), set(tails)
        while stack:
            value = stack.pop()
            if value in self.unlike.outputs:
                return True
            for index in self.unlike.readers[value]:
                if index == one.node or self.unlike.ends_in(value, index):
                    continue
                made = self.line.nodes[index].outputs
                if index in self.facts.uses:
                    if not self.regions.bits(made) & inside:
                        return True
                else:
                    stack.extend(x for x in made if x not in seen)
                    seen.update(made)
        return False

    def sum(self, one: Parting, end: End) -> Sum:
        leaves = self.facts.parameters
        tails = tuple(self.by_output[value] for value in end.tails)
        kernels = (share.parameter for index in tails for share in self.contractions[index].shares)
        return Sum(
            one.node,
            one.branch_operand,
            self.between(one.start, one.branch),
            self.between(one.start, one.shortcut),
            tails,
            tuple(leaves[x] for x in dict.fromkeys(kernels) if x in end.kernels),
            tuple(leaves[x] for x in end.scales),
            tuple(leaves[x] for x in end.ends),
        )

    def between(self, start: int, end: int) -> tuple[int, ...]:
        if start == end:
            return ()
        kernels = self.regions.kernels_after(start, end)
        return tuple(self.by_output[x] for x in self.regions.values(kernels))
