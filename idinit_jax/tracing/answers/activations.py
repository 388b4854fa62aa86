"""Where elementwise functions of the signal begin, wherever they stand."""

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from idinit_jax.tracing.answers import curves
from idinit_jax.tracing.answers.functions import OF_STATISTICS, Entry, made_entries
from idinit_jax.tracing.answers.proportion import read_by
from idinit_jax.tracing.facts import Facts
from idinit_jax.tracing.program.flatten import CARRY


class Activation(NamedTuple):
    """A function of every entry of a value that is not linear.

    Attributes:
        name: of the function.
        value: what it is a function of: the last linear image of what was there before.
        readers: nodes of the function that read the value.
    """

    name: str
    value: int
    readers: frozenset[int]


def find_activations(facts: Facts) -> list[Activation]:
    """One a value, in forward order; not softmaxes, and nothing before the first kernel."""
    found: dict[int, Activation] = {}
    for name, begin, end in _Sweep(facts).ends():
        readers = frozenset(_readers_between(facts, begin, end))
        held = found.get(begin, Activation(name, begin, frozenset()))
        found[begin] = held._replace(readers=held.readers | readers)
    return sorted(found.values(), key=lambda one: min(one.readers))


def _readers_between(facts: Facts, begin: int, end: int) -> Iterator[int]:
    """The nodes between two values that read the first."""
    pending, seen = [end], {end}
    while pending:
        producer = facts.line.producers[pending.pop()]
        if producer is None:
            continue
        before = set(read_by(facts.line.nodes[producer]))
        if begin in before:
            yield producer
        new = {value for value in before - seen if value > begin}
        pending.extend(new)
        seen |= new


class _Known(NamedTuple):
    """A value as a function of one entry of an earlier one.

    Attributes:
        entry: the function.
        start: of what: a kernel's output, or one at which several signals meet.
        begin: the last value that is linear in the start and that this one is a function of;
            the value itself if it is linear.
    """

    entry: Entry
    start: int
    begin: int


class _Sweep:
    """Goes over the program once, and starts anew wherever signals meet."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.known: dict[int, _Known] = {}
        # A value that is linear in its start -> the one before it.
        self.before: dict[int, int] = {}

    def ends(self) -> Iterator[tuple[str, int, int]]:
        """(name, begin, end) of functions that end: at a kernel, another signal, the output."""
        facts = self.facts
        for index, node in enumerate(facts.line.nodes):
            held = {x: self.known[x] for x in read_by(node) if x in self.known}
            made = self.after(index, held) if held else {}
            if not made:
                yield from self.named(held)
            for value in node.outputs:
                if value in made:
                    self.known[value] = made[value]
                elif facts.learned[value]:
                    self.known[value] = _Known(Entry(curves.IDENTITY, (value,)), value, value)
        leaving = {*facts.line.outputs, *(value for _, value in facts.line.loops)}
        yield from self.named(leaving)

    def after(self, index: int, held: Mapping[int, _Known]) -> dict[int, _Known]:
        """The outputs of a node; nothing where it is a kernel's use, or where signals meet."""
        facts, node = self.facts, self.facts.line.nodes[index]
        pooled = min(one.entry.pooled for one in held.values())
        beside = {x: one for x, one in held.items() if one.entry.pooled == pooled}
        starts = {one.start for one in beside.values()}
        if index in facts.uses or node.operation == CARRY or len(starts) > 1:
            return {}
        begin = self.common({one.begin for one in beside.values()})
        made = made_entries(facts, node, {x: one.entry for x, one in held.items()}) or {}
        found = {}
        for value, entry in made.items():
            linear = entry.curve.line is not None
            if linear:
                self.before[value] = begin
            found[value] = _Known(entry, min(starts), value if linear else begin)
        return found

    def common(self, values: set[int]) -> int:
        """The nearest value that all of them are linear in."""
        while len(values) > 1:
            last = max(values)
            values = values - {last} | {self.before[last]}
        return min(values)

    def named(self, values: Collection[int]) -> Iterator[tuple[str, int, int]]:
        for value in sorted(values):
            if value in self.known and self.facts.inexact[value]:
                entry, _, begin = self.known[value]
                of_statistic = entry.pooled and entry.name in OF_STATISTICS
                if entry.name and not of_statistic and self.is_activation(value, entry):
                    yield entry.name, begin, value

    def is_activation(self, value: int, entry: Entry) -> bool:
        finite = bool(np.isfinite(entry.curve.rows).all())
        return finite and not self.facts.is_probability(value)
