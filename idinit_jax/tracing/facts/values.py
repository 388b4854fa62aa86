"""What is known of every value of a program, and how it depends on its roots."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp

from idinit_jax.tracing.facts import relation as relations
from idinit_jax.tracing.facts.relation import Relation
from idinit_jax.tracing.facts.uses import LOOKUPS, Use
from idinit_jax.tracing.program.flatten import CARRY, Node, StraightLine
from idinit_jax.tracing.table import law_of
from idinit_jax.tracing.table.law import Applied, Law

# Bits of the sources of a value; the inputs' bits follow.
PARAMETER, STATE, FIRST_INPUT = 1, 2, 4

# root -> exponent: scaling the root by t > 0 scales the value by t ** exponent, and entries of
# exponent 0 are kept. None: the value is exactly zero.
Degree = Mapping[int, float] | None


class Assumed(NamedTuple):
    """What a solution rests on that an earlier one has shown.

    Attributes:
        signals: parameters that are signals, such as learned queries.
        kernels: parameters of which the data pick kernels, instead of rows that are signals.
        settled: whether it is known which are.
        tables: products of a kernel with the model's state alone, in which that is a signal; else
            they measure the kernel, for example for its spectral norm.
    """

    signals: frozenset[int] = frozenset()
    kernels: frozenset[int] = frozenset()
    settled: bool = False
    tables: frozenset[int] = frozenset()


class Values:
    """One entry a value, and the uses of kernels; the solver fills them in.

    Attributes:
        line: the program.
        assumed: what the solution rests on.
        operands: for every node what it reads; a carry reads what enters and what comes around.
        degrees: exponents by root; a value that is no power of anything is its own root.
        numbers: the number that all entries are, if it is known.
        sources: bits of what reaches the value.
        gradients: bits of the sources to which a gradient of the value reaches.
        learned: whether a kernel lies behind the value.
        uses: node -> use of kernels.
        bits: of what enters.
        entering, data: bits of the inputs; of inputs and learned signals.
    """

    def __init__(self, line: StraightLine, assumed: Assumed) -> None:
        count = len(line.shapes)
        self.line, self.assumed = line, assumed
        leaving = dict(line.loops)
        self.operands: list[tuple[int, ...]] = [
            (*node.inputs, leaving[node.outputs[0]])
            if node.operation == CARRY and node.outputs[0] in leaving
            else node.inputs
            for node in line.nodes
        ]
        self.parameters = {v: leaf for leaf, v in enumerate(line.params)}
        self.weights = {v: leaf for v, leaf in self.parameters.items() if v not in assumed.signals}
        self.inexact = [
            dtype is not None and jnp.issubdtype(dtype, jnp.inexact) for dtype in line.dtypes
        ]
        self.degrees: list[Degree] = [None] * count
        self.numbers: list[float | None] = [None] * count
        self.sources = [0] * count
        self.gradients = [0] * count
        self.learned = [False] * count
        self.uses: dict[int, Use] = {}
        self.bits = self._bits()
        self.entering = sum(self.bits[value] for value in line.inputs)
        self.data = self.entering + sum(self.bits[value] for value in assumed.signals)
        self.laws: dict[int, Law | None] = {}
        self._relations: dict[tuple[int, int], Relation] = {}

    def _bits(self) -> dict[int, int]:
        bits = dict.fromkeys(self.weights, PARAMETER)
        bits |= dict.fromkeys(self.line.state, STATE)
        entering = (*self.line.inputs, *sorted(self.assumed.signals))
        return bits | {value: FIRST_INPUT << index for index, value in enumerate(entering)}

    def forget(self) -> None:
        """Answers that rest on facts which a sweep is about to change."""
        moving = [v for v in self.laws if self._by_number(v)]
        for value in moving:  # an index that a loop counts is no number after all
            del self.laws[value]
        self._relations.clear()

    # -- one value

    def is_data(self, value: int) -> bool:
        """Whether inputs or learned signals reach a value, or a kernel lies behind it."""
        return bool(self.sources[value] & self.data) or self.learned[value]

    def is_weight(self, value: int) -> bool:
        """Whether a value is made of parameters, before any kernel has been used.

        The data may choose among them, by an index or a mask.
        """
        by_parameters = self.sources[value] & PARAMETER and self.degrees[value]
        return bool(by_parameters) and not self.learned[value] and not self.is_signal(value)

    def is_signal(self, value: int) -> bool:
        """Whether a gradient of the value reaches the data."""
        return bool(self.gradients[value] & self.data)

    def node_of(self, value: int) -> Node | None:
        producer = self.line.producers[value]
        return None if producer is None else self.line.nodes[producer]

    def is_root(self, value: int) -> bool:
        degree = self.degrees[value]
        return degree is not None and value in degree

    def law(self, value: int) -> Law | None:
        """The law of the node that makes a value, for that output."""
        if value not in self.laws:
            self.laws[value] = self._law(value)
        return self.laws[value]

    def _by_number(self, value: int) -> bool:
        node = self.node_of(value)
        return node is not None and node.operation == "dynamic_slice"

    def _law(self, value: int) -> Law | None:
        producer = self.line.producers[value]
        if producer is None:
            return None
        node, shapes = self.line.nodes[producer], self.line.shapes
        operands = self.operands[producer]
        ins, outs = [shapes[x] for x in operands], [shapes[x] for x in node.outputs]
        index = node.outputs.index(value)
        if node.operation == "dynamic_slice":
            starts = [s for s in map(self.numbers.__getitem__, operands[1:]) if s is not None]
            if len(starts) == len(operands) - 1 and all(map(math.isfinite, starts)):
                fixed = {"start_indices": tuple(map(int, starts)), "strides": None}
                known = law_of("slice", Applied(fixed, ins[:1], outs, index))
                return known._replace(choosers=tuple(range(1, len(operands)))) if known else None
        return law_of(node.operation, Applied(node.params, ins, outs, index))

    # -- relations

    def relation(self, value: int, root: int) -> Relation:
        """How a value depends on a root, entry by entry."""
        pending, active = [value], set()
        while pending:
            here = pending[-1]
            if (here, root) in self._relations:
                pending.pop()
                continue
            before = [x for _, x in self._carriers(here, root)] if here != root else []
            missing = [x for x in before if (x, root) not in self._relations and x not in active]
            if missing and here not in active:
                active.add(here)
                pending.extend(missing)
                continue
            self._relations[here, root] = self._relation(here, root)
            pending.pop()
        return self._relations[value, root]

    def _relation(self, value: int, root: int) -> Relation:
        shapes = self.line.shapes
        if value == root:
            return relations.stored(shapes[root])
        node, law = self.node_of(value), self.law(value)
        found = [
            relations.through(
                self._relations[x, root],
                law.moves.get(position) if law else None,
                shapes[x],
                shapes[value],
                self._operation(node),
            )
            for position, x in self._carriers(value, root)
            if (x, root) in self._relations
        ]
        if not found:
            unknown = relations.stored(shapes[value])
            return Relation(unknown.dims, lost="it is followed through a loop alone")
        return relations.merged(found)

    def _operation(self, node: Node | None) -> str:
        """What a node does to positions: a lookup by the data chooses."""
        if node is None:
            return ""
        by_data = any(self.sources[x] & self.data for x in node.inputs[1:])
        return relations.CHOOSE if node.operation in LOOKUPS and by_data else node.operation

    def _carriers(self, value: int, root: int) -> list[tuple[int, int]]:
        """(position, operand) through which a value depends on a root."""
        producer = self.line.producers[value]
        if producer is None:
            return []
        law = self.law(value)
        choosers = law.choosers if law else ()
        return [
            (position, x)
            for position, x in enumerate(self.operands[producer])
            if root in (self.degrees[x] or ()) and position not in choosers
        ]

    def roots_before(self, value: int) -> list[int]:
        """The roots that a value is made of, before it becomes a root itself."""
        producer = self.line.producers[value]
        if producer is None or producer in self.uses:
            return []
        law = self.law(value)
        choosers = law.choosers if law else ()
        found = (
            root
            for position, x in enumerate(self.operands[producer])
            if position not in choosers
            for root in self.degrees[x] or ()
            if root != value
        )
        return list(dict.fromkeys(found))
