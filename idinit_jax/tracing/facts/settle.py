"""What one solution shows that the next one rests on: learned signals, picked kernels, tables."""

import math

from idinit_jax.tracing.facts.composition import Made
from idinit_jax.tracing.facts.facts import Facts
from idinit_jax.tracing.facts.solve import solve
from idinit_jax.tracing.facts.uses import LOOKUPS
from idinit_jax.tracing.facts.values import STATE, Assumed
from idinit_jax.tracing.program.flatten import StraightLine


def find_facts(line: StraightLine, signals: frozenset[int] = frozenset()) -> Facts:
    """Solve until what is assumed is what is found.

    Args:
        line: the program.
        signals: parameters that are known to be signals.
    """
    assumed = Assumed(signals)
    while True:
        facts = solve(line, assumed)
        shown = _shown(facts)
        if shown == assumed:
            return facts
        assumed = shown


def _shown(facts: Facts) -> Assumed:
    """What a solution rests on if it is taken at its word."""
    assumed = facts.assumed
    if tables := _state_tables(facts):
        return assumed._replace(tables=assumed.tables | tables)
    if not assumed.settled and _pending_lookups(facts):
        return assumed._replace(kernels=_picked_kernels(facts), settled=True)
    if learned := _learned_signals(facts):
        return assumed._replace(signals=assumed.signals | learned)
    return assumed


def _learned_signals(facts: Facts) -> frozenset[int]:
    """Parameters that a kernel consumes like a signal, or that a signal modulates after a norm."""
    consumed = {
        _signal_among(facts.made_of(use.signal))
        for use in facts.uses.values()
        if use.signal != use.weight and facts.is_weight(use.signal)
    }
    kernels = {p for use in facts.uses.values() for p in facts.made_of(use.weight)}
    modulated = {
        root
        for node in facts.line.nodes
        if node.operation == "mul" and any(map(facts.is_signal, node.inputs))
        for value in node.inputs
        if facts.is_weight(value)
        for root in facts.normalized_by(value)
        if root in facts.weights
    }
    shifts = _shifts(facts) if consumed else set()
    return frozenset(consumed - shifts | modulated - kernels | _tokens(facts))


def _tokens(facts: Facts) -> set[int]:
    """Parameters that stand beside the signal and that a branch is added to."""
    beside, summed = set(), set()
    for node in facts.line.nodes:
        held = {"concatenate": beside, "add": summed, "add_any": summed}.get(node.operation)
        if held is None or not any(map(facts.is_signal, node.inputs)):
            continue
        held.update(
            root
            for value in node.inputs
            if facts.is_weight(value)
            for root in facts.degrees[value] or ()
            if root in facts.weights
        )
    return beside & summed


def _shifts(facts: Facts) -> set[int]:
    """Parameters that are added to a normalized signal: what a norm makes of a memory of zeros."""
    return {
        parameter
        for node in facts.line.nodes
        if node.operation in ("add", "add_any")
        for one, other in (node.inputs, node.inputs[::-1])
        if facts.is_weight(one) and facts.is_signal(other) and facts.is_normalized(other)
        for parameter in facts.made_of(one)
    }


def _signal_among(made: dict[int, Made]) -> int:
    """Of the parameters that a signal is made of the one that a norm divides, else the largest."""

    def rank(parameter: int) -> tuple[bool, int]:
        one = made[parameter]
        normalized = one.degree == 0 and bool(one.relation.gone)
        return normalized, math.prod(atom.size for atom in one.relation.digits)

    return max(made, key=rank)


def _pending_lookups(facts: Facts) -> list[int]:
    """Lookups by the data that are followed through, to see what becomes of their result."""
    return [
        index
        for index, node in enumerate(facts.line.nodes)
        if node.operation in LOOKUPS
        and index not in facts.uses
        and facts.is_weight(node.inputs[0])
        and any(facts.sources[x] & facts.data for x in node.inputs[1:])
    ]


def _picked_kernels(facts: Facts) -> frozenset[int]:
    """Parameters of which the data pick kernels, and the biases that are picked with them."""
    picking = [
        (use, parameter)
        for use in facts.uses.values()
        if facts.line.nodes[use.node].operation not in LOOKUPS
        for parameter, made in facts.made_of(use.weight).items()
        if made.relation.chosen
    ]
    kernels = {parameter for _, parameter in picking}
    outputs = {use.output for use, _ in picking}
    biases = {
        parameter
        for node in facts.line.nodes
        if node.operation in ("add", "add_any")
        for one, other in (node.inputs, node.inputs[::-1])
        if outputs & set(facts.degrees[one] or ())
        for parameter in _rows_in(facts, other)
    }
    return frozenset(kernels | biases)


def _rows_in(facts: Facts, value: int) -> list[int]:
    """Tables that a value is rows of, moved at most."""
    degree = facts.degrees[value] or {}
    if len(degree) != 1:
        return []
    (root,) = degree
    use = facts.use_of(root)
    if use is None or facts.line.nodes[use.node].operation not in LOOKUPS:
        return []
    return list(facts.made_of(use.weight))


def _state_tables(facts: Facts) -> frozenset[int]:
    """Products of a parameter and the model's state that are the parameter's only contractions."""
    used = {parameter for use in facts.uses.values() for parameter in facts.made_of(use.weight)}
    return frozenset(
        index
        for index, node in enumerate(facts.line.nodes)
        if node.operation == "dot_general"
        and index not in facts.uses
        and any(facts.sources[x] == STATE for x in node.inputs)
        for x in node.inputs
        if facts.is_weight(x) and not used & facts.made_of(x).keys()
    )
