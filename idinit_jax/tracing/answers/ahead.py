"""What becomes of a digit of a value: where it goes over the moves of the rows."""

import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from idinit_jax.tracing.answers.distributions import Distributions
from idinit_jax.tracing.answers.single import kept_single
from idinit_jax.tracing.facts import Facts, Use
from idinit_jax.tracing.facts.uses import LOOKUPS
from idinit_jax.tracing.program.flatten import Node, readers
from idinit_jax.tracing.table.law import Atom, Dim, Law

# A loop whose digits have not settled after so many passes is left as it is.
MOST_PASSES = 8


class Digit(NamedTuple):
    """Part of an axis of a value: the digit of this stride and size of its index."""

    value: int
    axis: int
    stride: int
    size: int


Fate = Literal["shared", "summed", "routed"]
SUMMED: frozenset[Fate] = frozenset({"summed"})
SHARED: frozenset[Fate] = frozenset({"shared"})
ROUTED: frozenset[Fate] = frozenset({"routed"})
NOTHING: frozenset[Fate] = frozenset()


class Ahead:
    """The fates of digits, each followed once.

    A digit is "shared" where a kernel has it as batch, "summed" where a kernel sums over it, or a
    plain sum that kernels follow, and "routed" where it is summed with a router's distribution.
    """

    def __init__(self, facts: Facts, distributions: Distributions) -> None:
        self.facts, self.distributions = facts, distributions
        self.readers = readers(facts.line)
        self.carries = {around: carry for carry, around in facts.line.loops}
        self.leads = _lead_to_kernels(facts)
        self._known: dict[Digit, frozenset[Fate]] = {}

    def is_group(self, digit: Digit) -> bool:
        """Whether independent kernels lie along a digit that a kernel produced."""
        if digit not in self._known:
            self._solve(digit)
        return bool(self._known[digit]) and "summed" not in self._known[digit]

    def is_summed_next(self, digit: Digit) -> bool:
        """Whether a plain sum over a digit follows, with nothing but movement between."""
        line = self.facts.line
        while len(self.readers[digit.value]) == 1:
            (index,) = self.readers[digit.value]
            node = line.nodes[index]
            law = self.facts.law(node.outputs[0])
            if index in self.facts.uses or law is None or law.signs != (((0,), -1),):
                return False
            moved = list(_moved(law, 0, digit, node.outputs[0]))
            if not moved and node.operation == "reduce_sum":
                return self._ended(index, node) == SUMMED
            if [one.size for one in moved] != [digit.size]:
                return False
            (digit,) = moved
        return False

    def routed_inputs(self) -> dict[int, set[int]]:
        """Dimensions of kernels that sum over experts which a router has weighed before."""
        facts, found = self.facts, {}
        stack, seen = list(self.distributions.scaled), set(self.distributions.scaled)
        while stack:
            value, axis = stack.pop()
            digit = Digit(value, axis, 1, facts.line.shapes[value][axis])
            for index in self.readers[value]:
                use = facts.uses.get(index)
                if use is not None:
                    paired = contracted_with(facts.line.nodes[index], use, value, axis)
                    found.setdefault(index, set()).update(paired)
                    continue
                for law, position, output in self._reading(index, value):
                    if law is None or not law.scaling:
                        continue
                    places = {
                        (one.value, one.axis)
                        for one in _moved(law, position, digit, output)
                        if one.size == digit.size
                    }
                    stack.extend(places - seen)
                    seen |= places
        return found

    def _solve(self, start: Digit) -> None:
        steps: dict[Digit, tuple[frozenset[Fate], list[Digit]]] = {}
        stack = [start]
        while stack:
            digit = stack.pop()
            if digit not in steps and digit not in self._known:
                steps[digit] = self._step(digit)
                stack.extend(steps[digit][1])
        ordered = sorted(steps, reverse=True)
        self._known |= dict.fromkeys(ordered, NOTHING)
        for _ in range(MOST_PASSES if self.facts.line.loops else 1):
            before = [self._known[digit] for digit in ordered]
            for digit in ordered:
                fates, after = steps[digit]
                self._known[digit] = self._seen_by(
                    digit, fates.union(*(self._known[one] for one in after))
                )
            if before == [self._known[digit] for digit in ordered]:
                return

    def _seen_by(self, digit: Digit, fates: frozenset[Fate]) -> frozenset[Fate]:
        """What has been weighed is routed where it is summed."""
        weighed = (digit.value, digit.axis) in self.distributions.scaled
        return fates - SUMMED | ROUTED if weighed and "summed" in fates else fates

    def _step(self, digit: Digit) -> tuple[frozenset[Fate], list[Digit]]:
        """What the next nodes do with a digit, and where they leave it."""
        fates, after = NOTHING, []
        for index in self.readers[digit.value]:
            node, use = self.facts.line.nodes[index], self.facts.uses.get(index)
            for law, position, output in self._reading(index, digit.value):
                if law is None or position not in law.moves:
                    fates |= SUMMED
                    continue
                moved = self._after(node, law, position, digit, output)
                after.extend(moved)
                whole = bool(moved) and math.prod(one.size for one in moved) >= digit.size
                if use is not None:
                    fates |= self._met(use, node, position, digit, whole)
                elif not whole:
                    fates |= self._ended(index, node)
        if digit.value in self.carries:
            after.append(digit._replace(value=self.carries[digit.value]))
        return fates, [] if "summed" in self._seen_by(digit, fates) else after

    def _reading(self, index: int, value: int) -> Iterator[tuple[Law | None, int, int]]:
        """The law of every output of a node, at every position that reads a value."""
        node = self.facts.line.nodes[index]
        for output in node.outputs:
            law = self.facts.law(output)
            for position, x in enumerate(node.inputs):
                if x == value and not (law and position in law.choosers):
                    yield law, position, output

    def _after(self, node: Node, law: Law, position: int, digit: Digit, output: int) -> list[Digit]:
        if digit.size > 1:
            return list(_moved(law, position, digit, output))
        shapes, index = self.facts.line.shapes, node.outputs.index(output)
        place = kept_single(node, shapes, position, digit.axis, index)
        return [] if place is None else [Digit(output, place, 1, 1)]

    def _met(
        self, use: Use, node: Node, position: int, digit: Digit, whole: bool
    ) -> frozenset[Fate]:
        """What a kernel does with a digit of its signal, or of itself if the data made it."""
        if node.operation in LOOKUPS:
            return NOTHING
        if not whole:
            return SUMMED
        if node.inputs[position] != use.signal:
            return NOTHING
        if node.operation == "conv_general_dilated":
            return self._convolved(use, digit)
        shared = use.how.grouped
        if node.operation == "dot_general":
            shared = node.params["dimension_numbers"][1][position]
        return SHARED if digit.axis in shared else NOTHING

    def _convolved(self, use: Use, digit: Digit) -> frozenset[Fate]:
        """The outer digits of the channels are members, if the kernels store an axis for them."""
        channels = self.facts.line.nodes[use.node].params["dimension_numbers"].lhs_spec[1]
        length = self.facts.line.shapes[use.signal][channels]
        for made in self.facts.made_of(use.weight).values():
            members = math.prod(a.size for a in member_groups(use, made.relation.dims))
            if digit.axis == channels and members > 1 and digit.stride >= length // members:
                return SHARED
        return NOTHING

    def _ended(self, index: int, node: Node) -> frozenset[Fate]:
        if index in self.distributions.sums:
            return ROUTED
        reduced = node.operation.startswith(("reduce_", "arg"))
        return SUMMED if reduced and self.leads[node.outputs[0]] else NOTHING


def contracted_with(node: Node, use: Use, value: int, axis: int) -> list[int]:
    """The dimensions of a weight that are summed together with one of its signal."""
    if use.signal == use.weight:
        return [axis] if axis in use.how.contracted else []
    if node.operation != "dot_general" or use.signal != value:
        return []
    contracted, side = node.params["dimension_numbers"][0], node.inputs.index(value)
    pairs = zip(contracted[side], contracted[1 - side], strict=True)
    return [weight for signal, weight in pairs if signal == axis]


def member_groups(use: Use, dims: Sequence[Dim]) -> list[Atom]:
    """Stored axes that are feature groups of a convolution, the outer digits of its outputs."""
    found: list[Atom] = []
    left = use.how.groups
    for axis in use.how.produced if left > 1 else ():
        for index, atom in enumerate(dims[axis][:-1]):
            inner = {other.axis for other in dims[axis][index + 1 :]}
            if left % atom.size or atom.axis in inner:
                break
            left //= atom.size
            found.append(atom)
    return found


def _moved(law: Law, position: int, digit: Digit, output: int) -> Iterator[Digit]:
    """Where a digit of an operand lies in an output."""
    low, high = digit.stride, digit.stride * digit.size
    for axis, dim in enumerate(law.moves.get(position, ())):
        inner = math.prod(atom.size for atom in dim)
        for atom in dim:
            inner = inner // atom.size if atom.size else 0
            if atom.axis != digit.axis:
                continue
            if not atom.exact or atom.start:
                yield Digit(output, axis, inner, atom.size)
                continue
            first, last = max(low, atom.stride), min(high, atom.stride * atom.size)
            if first < last:
                yield Digit(output, axis, inner * (first // atom.stride), last // first)


def _lead_to_kernels(facts: Facts) -> list[bool]:
    """For every value whether kernels follow."""
    line = facts.line
    found = [False] * len(line.shapes)
    for _ in range(1 + bool(line.loops)):
        for index in range(len(line.nodes) - 1, -1, -1):
            node = line.nodes[index]
            if index in facts.uses or any(found[value] for value in node.outputs):
                for value in facts.operands[index]:
                    found[value] = True
    return found
