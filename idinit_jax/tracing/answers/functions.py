"""What follows a use of kernels: the function of one entry of its output, and whether a norm."""

import heapq
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from idinit_jax.tracing.answers import curves
from idinit_jax.tracing.answers.contractions import Contraction
from idinit_jax.tracing.answers.curves import Curve
from idinit_jax.tracing.facts import Facts
from idinit_jax.tracing.program.flatten import CARRY, CUSTOM, JOIN, RESHARD, Node, readers
from idinit_jax.tracing.table.law import Law

# Every entry stays what it is, perhaps in another shape.
_RESHAPING = frozenset(
    [
        *("reshape", "transpose", "squeeze", "expand_dims", "broadcast_in_dim", "copy", "copy_p"),
        *("stop_gradient", "optimization_barrier", "sharding_constraint", "name", "pvary"),
        *("reduce_precision", "mesh_cast", RESHARD, CARRY, CUSTOM),
    ]
)
# Other signals may stand beside the one that is followed.
_BESIDE = frozenset(("concatenate", "pad", "dynamic_update_slice", "scatter", JOIN))
# What an operand counts as that is no function of the entry: it starts there, or is a statistic.
_SUMS = frozenset(("add", "add_any", "sub"))
_FACTORS = frozenset(("mul", "div"))
_COMPARISONS = frozenset(("eq", "ne", "lt", "le", "gt", "ge"))
# Functions by which a statistic is taken.
OF_STATISTICS = frozenset((*curves.EVEN, curves.UNNAMED))


class Following(NamedTuple):
    """What follows a use, up to the next kernel or sum.

    Attributes:
        nonlinearity: the first function of one entry, None if none is heard.
        norm_follows: whether a norm of the output, or of a linear image, comes first.
    """

    nonlinearity: str | None
    norm_follows: bool


class Entry(NamedTuple):
    """A value as a function of an entry of the output.

    Attributes:
        curve: the function.
        place: of which entry; functions of different ones have no curve together.
        pooled: over how many sums the entry was taken; a mean is 0 beside what it is of.
        heard: the name of a function that was moved, pooled or scaled by a parameter since. What
            it is part of from there on has no name of its own.
    """

    curve: Curve
    place: tuple[Any, ...] = ()
    pooled: int = 0
    heard: str | None = None

    @property
    def name(self) -> str | None:
        return self.heard or self.curve.name


class _Loop(NamedTuple):
    """The nodes of a loop's body, and the carries before it."""

    first: int
    last: int


# The loops of which a value is in the second turn, outermost first.
_Turn = tuple[_Loop, ...]


def find_functions(facts: Facts, contractions: Sequence[Contraction]) -> list[Following]:
    """What follows every contraction."""
    paths = _Paths(facts)
    return [_Walk(paths, one).run() for one in contractions]


class _Paths:
    """Who reads a value, at once or in a loop's next turn."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.readers = readers(facts.line)
        self.loops = _loops(facts)
        self.carries: dict[int, list[int]] = {}
        for carry, leaving in facts.line.loops:
            self.carries.setdefault(leaving, []).append(carry)

    def turn_of(self, index: int, turn: _Turn) -> _Turn:
        """The loops of a turn that a node is in."""
        while turn and not turn[-1].first <= index <= turn[-1].last:
            turn = turn[:-1]
        return turn


def _loops(facts: Facts) -> dict[int, _Loop]:
    """The loop of every carry."""
    nodes, producers = facts.line.nodes, facts.line.producers
    starts: dict[tuple[int, ...], list[int]] = {}
    for carry, _ in facts.line.loops:
        starts.setdefault(nodes[producers[carry] or 0].site, []).append(carry)
    found: dict[int, _Loop] = {}
    for site, carries in starts.items():
        first = last = producers[carries[0]] or 0
        inside = (*site, 0)
        while last + 1 < len(nodes) and (
            nodes[last + 1].site[: len(inside)] == inside or nodes[last + 1].outputs[0] in carries
        ):
            last += 1
        found |= dict.fromkeys(carries, _Loop(first, last))
    return found


class _Walk:
    """Follows one output forward, in the order in which things happen, until a function ends."""

    def __init__(self, paths: _Paths, contraction: Contraction) -> None:
        self.paths, self.facts = paths, paths.facts
        self.entries: dict[tuple[_Turn, int], Entry] = {}
        self.waiting: list[tuple[tuple[int, ...], _Turn]] = []
        self.pushed: set[tuple[int, ...]] = set()
        self.norm_follows = False
        self.enter(contraction.use.output, (), Entry(curves.IDENTITY))

    def run(self) -> Following:
        name = next(self.heard(), None)
        return Following(name, self.norm_follows)

    def heard(self) -> Iterator[str]:
        """Names of the functions that end somewhere: at a kernel, a sum, another signal."""
        line = self.facts.line
        while self.waiting:
            (*_, index), turn = heapq.heappop(self.waiting)
            node = line.nodes[index]
            held = {x: entry for x in node.inputs if (entry := self.entry(x, turn))}
            made = {} if index in self.facts.uses else made_entries(self.facts, node, held)
            if made is None or not made:
                yield from self.named(held)
                continue
            for value, entry in made.items():
                self.enter(value, turn, entry)
        yield from self.named({x: e for x in line.outputs if (e := self.entries.get(((), x)))})

    def entry(self, value: int, turn: _Turn) -> Entry | None:
        producer = self.facts.line.producers[value]
        return self.entries.get(
            (self.paths.turn_of(-1 if producer is None else producer, turn), value)
        )

    def named(self, held: dict[int, Entry]) -> Iterator[str]:
        for value, entry in sorted(held.items()):
            name = entry.name if self.facts.inexact[value] else None
            if name and not (entry.pooled and name in OF_STATISTICS):
                yield name

    def enter(self, value: int, turn: _Turn, entry: Entry) -> None:
        """Note a value and who reads it; it leaves a loop after the last turn, as it is."""
        for length in range(len(turn) + 1):
            self.entries.setdefault((turn[:length], value), entry)
        self.norm_follows = self.norm_follows or self.is_normalized(value, turn, entry)
        for index in self.paths.readers[value]:
            self.push(index, turn)
        for carry in self.paths.carries.get(value, ()):
            loop = self.paths.loops[carry]
            around = self.paths.turn_of(loop.first, turn)
            if loop not in turn:
                self.enter(carry, (*around, loop), entry)

    def push(self, index: int, turn: _Turn) -> None:
        turn = self.paths.turn_of(index, turn)
        moment = (*(loop.last for loop in turn), index)
        if moment not in self.pushed:
            self.pushed.add(moment)
            heapq.heappush(self.waiting, (moment, turn))

    def is_normalized(self, value: int, turn: _Turn, entry: Entry) -> bool:
        """Whether a norm has set the size of a linear image of the output."""
        facts = self.facts
        if entry.curve.line is None or not facts.is_normalized(value):
            return False
        roots = facts.normalized_by(value)
        return not roots or any(self.entry(root, turn) for root in roots)


def made_entries(facts: Facts, node: Node, held: dict[int, Entry]) -> dict[int, Entry] | None:
    """The outputs of a node as functions of the entry; None where they are none."""
    if curves.is_entrywise(node.operation):
        entry = _evaluated(facts, node, held)
        return None if entry is None else {node.outputs[0]: entry}
    if node.operation in _RESHAPING:
        return {
            value: held[x] for value, x in zip(node.outputs, node.inputs, strict=False) if x in held
        }
    found = {
        value: entry
        for index, value in enumerate(node.outputs)
        if (law := facts.law(value)) and (entry := _moved(facts, node, held, law, index))
    }
    return found or None


def _evaluated(facts: Facts, node: Node, held: dict[int, Entry]) -> Entry | None:
    """An entrywise operation, where all that it reads is a function of one entry or counts as one.

    What is pooled more than the rest is a statistic of it.
    """
    pooled = min(entry.pooled for entry in held.values())
    beside = [entry for entry in held.values() if entry.pooled == pooled]
    if len({entry.place for entry in beside}) > 1:
        return None
    if node.operation == "select_n" and node.inputs[0] not in held:
        return _selected(facts, node, held)
    operands = [
        entry.curve
        if (entry := held.get(x)) and entry.pooled == pooled
        else _neutral(facts, node.operation, x, x in held)
        for x in node.inputs
    ]
    if any(operand is None for operand in operands):
        return None
    scaled = any(facts.is_weight(x) for x in node.inputs)
    names = {entry.name if scaled else entry.heard for entry in beside}
    return beside[0]._replace(
        curve=curves.applied(node.operation, node.params, operands),
        heard=names.pop() if len(names) == 1 else None,
    )


def _neutral(facts: Facts, operation: str, value: int, statistic: bool) -> Any:
    """What a value counts as beside the curve; None if it is another signal."""
    if (number := facts.numbers[value]) is not None:
        return None if operation in _FACTORS and number == 0 else number
    weight = facts.is_weight(value)
    aside = statistic or weight or not facts.is_signal(value)
    if operation in _SUMS and aside:
        return 0.0
    if operation in _FACTORS and (aside or not _is_learned_factor(facts, value)):
        return curves.LEARNED_FACTOR if weight else 1.0
    return 0.0 if operation in _COMPARISONS and statistic else None


def _is_learned_factor(facts: Facts, value: int) -> bool:
    """Whether a kernel lies behind it; a distribution takes means over positions, like a mask."""
    return facts.learned[value] and not facts.is_probability(value)


def _selected(facts: Facts, node: Node, held: dict[int, Entry]) -> Entry | None:
    """What a mask keeps: one function beside what is no signal."""
    cases = node.inputs[1:]
    known = facts.numbers[node.inputs[0]]
    if known is not None and 0 <= known < len(cases):
        return held.get(cases[int(known)])
    others = [x for x in cases if x not in held and facts.is_signal(x)]
    found = [held[x] for x in cases if x in held]
    return None if others or not found or not _same(found) else found[0]


def _moved(facts: Facts, node: Node, held: dict[int, Entry], law: Law, index: int) -> Entry | None:
    """Entries at other places, or sums of them; beside numbers, masks and data alone."""
    positions = [position for position, x in enumerate(node.inputs) if x in held]
    group = next((g for g, power in law.scaling if power == 1 and set(positions) <= set(g)), None)
    if group is None or not _same([held[node.inputs[position]] for position in positions]):
        return None
    others = [
        x
        for position, x in enumerate(node.inputs)
        if x not in held and position not in law.choosers
        if not (position in group and node.operation in _BESIDE)
    ]
    if any(_is_learned_factor(facts, x) for x in others):
        return None
    position = positions[0]
    entry = held[node.inputs[position]]
    rest = tuple(x for x in node.inputs if x not in held)
    place = (*entry.place, node.operation, position, index, rest, repr(node.params))
    pooled = entry.pooled + _sums(facts, node, law, position)
    return entry._replace(place=place, pooled=pooled, heard=entry.name)


def _same(entries: Sequence[Entry]) -> bool:
    first, *rest = (entry.curve.rows for entry in entries)
    return all(rows is first or bool((rows == first).all()) for rows in rest)


def _sums(facts: Facts, node: Node, law: Law, position: int) -> bool:
    """Whether entries of an operand are taken together."""
    move = law.moves.get(position)
    if move is None:
        return True
    atoms = [atom for dim in move for atom in dim if atom.axis >= 0]
    kept = {atom.axis for atom in atoms}
    shape = facts.line.shapes[node.inputs[position]]
    gone = any(size > 1 and axis not in kept for axis, size in enumerate(shape))
    return gone or not all(atom.exact for atom in atoms)
