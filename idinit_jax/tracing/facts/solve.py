"""One solver for every fact: sweeps over the straight line until no loop changes any more."""

import math
from collections.abc import Sequence

import jax.numpy as jnp

from idinit_jax.tracing.facts.facts import Facts
from idinit_jax.tracing.facts.folding import folded
from idinit_jax.tracing.facts.kernels import find_use
from idinit_jax.tracing.facts.values import Assumed, Degree
from idinit_jax.tracing.program.flatten import CARRY, CUSTOM, Node, StraightLine
from idinit_jax.tracing.table.law import Law

# A number of this size in a sum guards a division or a root; it is no part of the signal.
GUARD = 1e-2
# A value that is made of more roots becomes a root itself.
MOST_ROOTS = 24
# A carry that has not settled after so many sweeps is taken for a root.
MOST_SWEEPS = 12
# What never counts in a maximum or minimum.
_NEUTRAL = {"max": -math.inf, "min": math.inf}


def solve(line: StraightLine, assumed: Assumed) -> Facts:
    """The facts of a program, given what earlier solutions have shown."""
    return _Solver(Facts(line, assumed)).run()


class _Solver:
    def __init__(self, facts: Facts) -> None:
        self.facts, self.line = facts, facts.line
        self.topped: set[int] = set()
        self.unnumbered: set[int] = set()
        self.sweeps = 0

    def run(self) -> Facts:
        self.enter()
        changed = True
        while changed:
            self.sweeps += 1
            self.facts.forget()
            self.facts.uses.clear()
            changed = False
            for index, node in enumerate(self.line.nodes):
                changed |= self.visit(index, node) and node.operation == CARRY
            changed |= self.sweeps == 1 and bool(self.line.loops)
        return self.facts

    def enter(self) -> None:
        """Facts of what no node makes: what enters, numbers, arrays."""
        facts, line = self.facts, self.line
        for value, producer in enumerate(line.producers):
            if producer is not None:
                continue
            if value in line.constants:
                number = line.constants[value]
                facts.numbers[value] = number
                facts.degrees[value] = None if number == 0 else {}
            elif value in facts.bits:
                facts.sources[value] = facts.bits[value]
                is_mask = jnp.issubdtype(line.dtypes[value], jnp.bool_)
                facts.gradients[value] = 0 if is_mask else facts.bits[value]
                facts.degrees[value] = {value: 1}
            else:
                facts.degrees[value] = {}

    def visit(self, index: int, node: Node) -> bool:
        """The facts of a node's outputs; whether any of them changed."""
        facts, operands = self.facts, self.facts.operands[index]
        law = facts.law(node.outputs[0]) if node.outputs else None
        sources, gradients, learned = self.reach(node, operands, law)
        use = find_use(facts, index, node)
        if use is not None:
            facts.uses[index] = use
            learned = True
            gradients |= sources
        changed = False
        for value in node.outputs:
            before = self.state_of(value)
            facts.sources[value], facts.learned[value] = sources, learned
            facts.gradients[value] = (
                gradients if facts.inexact[value] or not self.cuts(value) else 0
            )
            if use is not None:
                facts.degrees[value] = {value: 1}
            else:
                facts.degrees[value], facts.numbers[value] = self.solved(node, operands, value)
            changed |= before != self.state_of(value)
        return changed

    def state_of(self, value: int) -> tuple:
        facts = self.facts
        return (
            facts.degrees[value],
            facts.numbers[value],
            facts.sources[value],
            facts.gradients[value],
            facts.learned[value],
        )

    def reach(self, node: Node, operands: Sequence[int], law: Law | None) -> tuple[int, int, bool]:
        facts = self.facts
        sources = gradients = 0
        learned = False
        choosers = law.choosers if law else ()
        for position, value in enumerate(operands):
            sources |= facts.sources[value]
            if position not in choosers:
                learned |= facts.learned[value]
                gradients |= facts.gradients[value]
        return sources, 0 if node.operation == "stop_gradient" else gradients, learned

    def cuts(self, value: int) -> bool:
        """Whether no gradient can come through a value, since it counts or compares."""
        law = self.facts.law(value)
        return law is not None and not law.scaling

    def solved(
        self, node: Node, operands: Sequence[int], value: int
    ) -> tuple[Degree, float | None]:
        """Degree and number of an output that is no use of kernels."""
        facts = self.facts
        if node.operation == CARRY:
            return self.carried(operands, value)
        known = [facts.numbers[x] for x in operands]
        if node.operation == "select_n" and known[0] is not None and math.isfinite(known[0]):
            case = operands[1 + int(known[0])]
            if facts.line.shapes[case] == facts.line.shapes[value]:
                return facts.degrees[case], facts.numbers[case]
        number = folded(node.operation, node.params, known)
        if number is None and node.operation in ("join", "select_n", "concatenate"):
            number = _same(known[node.operation == "select_n" :])
        if number is not None:
            return (None if number == 0 else {}), number
        return self.scaled(node, operands, value, known), None

    def carried(self, operands: Sequence[int], value: int) -> tuple[Degree, float | None]:
        facts, entering, around = self.facts, operands[0], operands[-1]
        number = facts.numbers[entering]
        if self.sweeps > 1 and facts.numbers[around] != number:
            self.unnumbered.add(value)
        if value in self.unnumbered:
            number = None
        if number is not None:
            return facts.degrees[entering], number
        degree = self.sum_of(operands)
        late = self.sweeps > MOST_SWEEPS and degree != facts.degrees[value]
        if degree is _UNEQUAL or late or value in self.topped:
            self.topped.add(value)
            return {value: 1}, None
        return degree, None

    def scaled(
        self,
        node: Node,
        operands: Sequence[int],
        value: int,
        known: Sequence[float | None],
    ) -> Degree:
        """The degree of a value, by the law of its primitive."""
        facts, law, own = self.facts, self.facts.law(value), {value: 1}
        if law is None:
            return own
        if node.operation == CUSTOM:  # locally constant, but not for the derivative
            steps = facts.degrees[operands[0]] == {} and facts.gradients[value]
            return own if steps else facts.degrees[operands[0]]
        scaling = law.scaling
        degrees = [facts.degrees[x] for x in operands]
        if node.operation == "pow" and known[1] is not None:
            scaling = (((0,), known[1]),)
            degrees[1] = {}
        if any(all(degrees[x] is None for x in zeros) for zeros in law.vanishing):
            return None
        held = {x for group, _ in scaling for x in group} | set(law.choosers)
        if any(
            degree not in ({}, None) or (degree is None and scaling == ())
            for position, degree in enumerate(degrees)
            if position not in held
        ):
            return own
        total: dict[int, float] = {}
        for group, power in scaling:
            joined = self.sum_of([operands[x] for x in group], node.operation)
            if joined is _UNEQUAL:
                return own
            for root, exponent in (joined or {}).items():
                total[root] = _rounded(total.get(root, 0) + power * exponent)
        return own if len(total) > MOST_ROOTS else total

    def sum_of(self, operands: Sequence[int], operation: str = "") -> Degree:
        """The degree of a sum; `_UNEQUAL` where the terms scale differently."""
        facts = self.facts
        terms = [x for x in operands if facts.degrees[x] is not None and not self.is_nan(x)]
        neutral = _NEUTRAL.get(operation)
        terms = [x for x in terms if facts.numbers[x] != neutral or neutral is None]
        if len(terms) > 1:
            terms = [x for x in terms if not self.is_guard(x)] or terms
        if not terms:
            return None
        first = facts.degrees[terms[0]]
        return first if all(facts.degrees[x] == first for x in terms) else _UNEQUAL

    def is_nan(self, value: int) -> bool:
        number = self.facts.numbers[value]
        return number is not None and math.isnan(number)

    def is_guard(self, value: int) -> bool:
        number = self.facts.numbers[value]
        return number is not None and abs(number) <= GUARD


_UNEQUAL: Degree = {-1: math.nan}


def _same(known: Sequence[float | None]) -> float | None:
    return known[0] if len(set(known)) == 1 else None


def _rounded(power: float) -> float:
    return round(power, 6)
