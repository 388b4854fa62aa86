"""What a value is made of: signs, bounds, and the parameters of a weight."""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from idinit_jax.tracing.facts import relation as relations
from idinit_jax.tracing.facts.relation import Relation
from idinit_jax.tracing.facts.uses import PRODUCTS
from idinit_jax.tracing.facts.values import PARAMETER, Assumed, Values
from idinit_jax.tracing.program.flatten import CARRY, CUSTOM, Node, StraightLine
from idinit_jax.tracing.table.intervals import EVERYWHERE, Interval
from idinit_jax.tracing.table.law import OTHER, Law

# Sums, choices and places side by side: linear in what they are made of.
ADDITIVE = frozenset(
    [
        *("add", "sub", "add_any", "select_n", "concatenate", "pad", "dynamic_update_slice"),
        *("scatter", "scatter-add", "carry", "join"),
    ]
)


class Made(NamedTuple):
    """How a value is made of a parameter.

    Attributes:
        relation: of the value to the parameter.
        linear: whether it is linear in the parameter, or linear over a norm of it.
        degree: exponent of the parameter in the value, 1 through a sum.
    """

    relation: Relation
    linear: bool
    degree: float


class Composition(Values):
    """Questions about what values are made of, answered once each."""

    def __init__(self, line: StraightLine, assumed: Assumed) -> None:
        super().__init__(line, assumed)
        self._parities: dict[tuple[int, int], int | None] = {}
        self._intervals: dict[int, Interval] = {}
        self._made: dict[int, dict[int, Made]] = {}

    def forget(self) -> None:
        super().forget()
        self._parities.clear()
        self._intervals.clear()
        self._made.clear()

    def parity(self, value: int, root: int) -> int | None:
        """What negating a root does to a value: 1 nothing, -1 negate it, None something else."""
        key = value, root
        if key not in self._parities:
            self._parities[key] = None  # what a loop brings around is not known
            self._parities[key] = -1 if value == root else self._parity(value, root)
        return self._parities[key]

    def _parity(self, value: int, root: int) -> int | None:
        """Sums and choices are odd up to what is added: shifted by numbers a weight is linear."""
        law, node = self.law(value), self.node_of(value)
        signs = {place: self.parity(x, root) for place, x in self._carriers(value, root)}
        if law is None or node is None or None in signs.values():
            return None
        odd = {place for place, sign in signs.items() if sign == -1}
        if node.operation == CUSTOM:
            return signs.get(0)
        if not odd:
            return 1
        if node.operation in ADDITIVE or self._is_bound_at_infinity(node):
            steps = any(
                self._is_step(x) for place, x in enumerate(node.inputs) if place not in signs
            )
            return None if steps or len(odd) < len(signs) else -1
        whole = self._without_statistics(value, root)
        if len(whole) == 1:
            return sign_of(law, odd & whole) if odd & whole else None
        shared = node.operation in PRODUCTS and len(whole) > 1 and self._produces(value, whole)
        return None if shared else sign_of(law, odd)

    def _without_statistics(self, value: int, root: int) -> set[int]:
        """Of the operands that depend on a root those that are no mean or norm of it."""
        carriers = self._carriers(value, root)
        whole = {place for place, x in carriers if not self.relation(x, root).gone}
        return whole or {place for place, x in carriers if not self.relation(x, root).summed}

    def _produces(self, value: int, operands: Iterable[int]) -> bool:
        """Whether a product leaves dimensions that one of its operands brings alone."""
        law = self.law(value)
        moves = [law.moves[place] for place in operands if law and place in law.moves]
        return any(atom.axis == OTHER for move in moves for dim in move for atom in dim)

    def _is_step(self, value: int) -> bool:
        """Whether a value is locally constant in parameters, such as their signs."""
        return self.degrees[value] == {} and bool(self.sources[value] & PARAMETER)

    def _is_bound_at_infinity(self, node: Node) -> bool:
        numbers = [self.numbers[x] for x in node.inputs]
        return node.operation in ("max", "min") and math.inf in map(abs, filter(None, numbers))

    def interval(self, value: int) -> Interval:
        """Bounds of every entry of a value."""
        pending = [value]
        while pending:
            here = pending[-1]
            missing = [x for x in self._bounding(here) if x not in self._intervals]
            pending.extend(missing)
            if not missing:
                self._intervals[here] = self._interval(here)
                pending.pop()
        return self._intervals[value]

    def _bounding(self, value: int) -> tuple[int, ...]:
        """The operands that bounds are made of; none through a loop, whose turns may grow."""
        producer = self.line.producers[value]
        if producer is None or value in self._intervals:
            return ()
        return () if self.line.nodes[producer].operation == CARRY else self.operands[producer]

    def _interval(self, value: int) -> Interval:
        number, producer = self.numbers[value], self.line.producers[value]
        if number is not None and not math.isnan(number):
            return (number, number)
        if producer is None:
            return _held_interval(self.line, value)
        operands, law = self.operands[producer], self.law(value)
        operation = self.line.nodes[producer].operation
        if law is None or operation == CARRY:
            return EVERYWHERE
        if operation == "mul" and operands[0] == operands[1]:
            return (0.0, math.inf)
        low, high = law.range([self._intervals[x] for x in operands])
        return (-math.inf if math.isnan(low) else low, math.inf if math.isnan(high) else high)

    def made_of(self, value: int) -> dict[int, Made]:
        """The parameters that a weight is made of, through roots that are functions of them."""
        if value not in self._made:
            self._made[value] = {}
            self._fill_made(value, self._made[value])
        return self._made[value]

    def _fill_made(self, value: int, found: dict[int, Made]) -> None:
        """In place: a loop that comes back to the value sees what entered it."""
        degree = self.degrees[value] or {}
        additive = True
        roots: Mapping[int, float] = degree
        if value in degree and value not in self.weights:
            node = self.node_of(value)
            additive = node is not None and node.operation in ADDITIVE
            roots = dict.fromkeys(self.roots_before(value), 1.0)
        for root, power in roots.items():
            for parameter, made in self._made_through(value, root, power).items():
                made = made._replace(linear=made.linear and additive)
                held = found.get(parameter)
                found[parameter] = made if held is None else _both(held, made)

    def _made_through(self, value: int, root: int, power: float) -> dict[int, Made]:
        if root != value and not (root in self.weights or self.is_weight(root)):
            return {}
        outer = self.relation(value, root)
        straight = self.parity(value, root) == -1 and power in (0, 1)
        if root in self.weights:
            return {root: Made(outer, straight, power)}
        shapes = self.line.shapes
        return {
            parameter: Made(
                relations.chained(made.relation, outer, shapes[root], shapes[value]),
                made.linear and straight,
                power,
            )
            for parameter, made in self.made_of(root).items()
        }


def sign_of(law: Law, negated: set[int]) -> int | None:
    """What negating some operands does: the product over groups of the law that make them up."""
    groups = [(set(operands), sign) for operands, sign in law.signs]
    for operands, sign in groups:
        if operands == negated:
            return sign
    singles = {next(iter(operands)): sign for operands, sign in groups if len(operands) == 1}
    if negated <= singles.keys():
        return math.prod(singles[position] for position in negated)
    return None


def _both(held: Made, other: Made) -> Made:
    """A parameter that comes in two ways; one of them may be a norm of it."""
    ways = [one for one in (held, other) if one.relation.digits] or [held, other]
    return Made(
        relations.merged((held.relation, other.relation)),
        all(one.linear for one in ways),
        held.degree if held.degree == other.degree else 1.0,
    )


def _held_interval(line: StraightLine, value: int) -> Interval:
    """The interval of what no node makes: a mask, an array of constants, an input."""
    dtype, held = line.dtypes[value], line.arrays.get(value)
    if dtype is not None and jnp.issubdtype(dtype, jnp.bool_):
        return (0.0, 1.0)
    array = None if held is None else np.asarray(held)
    if array is None or not array.size or jnp.issubdtype(array.dtype, jnp.complexfloating):
        return EVERYWHERE
    low, high = float(array.min()), float(array.max())
    return EVERYWHERE if math.isnan(low) or math.isnan(high) else (low, high)
