"""What is zero once the kernels before it are: the values that the end of a branch can close."""

from typing import NamedTuple

from idinit_jax.tracing.facts import Facts

Operands = tuple[int, ...]


class Vanishing(NamedTuple):
    """What can vanish, one entry a value.

    Attributes:
        sets: sets of operands that can vanish altogether, so that the value does. Empty where a
            kernel makes the value or nothing does, and where it cannot vanish.
        can: whether the value can vanish.
        latest: the latest output of a kernel that it may vanish with, -1 without one.
    """

    sets: list[tuple[Operands, ...]]
    can: list[bool]
    latest: list[int]


def find_vanishing(facts: Facts) -> Vanishing:
    """The most that can vanish, loops included.

    Outputs of kernels, zeros, parameters and state can; inputs and other numbers cannot; anything
    else can if its law says so of operands that can.
    """
    every = [_zero_sets(facts, value) for value in range(len(facts.line.shapes))]
    can = _greatest(facts, every)
    sets = [
        tuple(one for one in found or () if all(can[x] for x in one)) if held else ()
        for found, held in zip(every, can, strict=True)
    ]
    return Vanishing(sets, can, _latest_kernels(facts, sets))


def _zero_sets(facts: Facts, value: int) -> tuple[Operands, ...] | None:
    """Sets of operands each of which makes a value zero; None: it can be zero as it stands."""
    producer = facts.line.producers[value]
    if producer in facts.uses or facts.degrees[value] is None:
        return None
    if producer is None:
        return None if value in facts.parameters or value in facts.line.state else ()
    if facts.numbers[value] is not None:
        return ()
    operands, operation = facts.operands[producer], facts.line.nodes[producer].operation
    first = facts.numbers[operands[0]] if operands else None
    if operation == "select_n" and first is not None:
        return ((operands[1 + int(first)],),)
    if operation == "pow" and (facts.numbers[operands[1]] or 0) > 0:
        return ((operands[0],),)
    law = facts.law(value)
    return tuple(tuple(operands[x] for x in one) for one in law.vanishing) if law else ()


def _greatest(facts: Facts, sets: list[tuple[Operands, ...] | None]) -> list[bool]:
    """Take every value for one that can, then sweep until none is found that cannot."""
    can = [True] * len(sets)
    changed = True
    while changed:
        changed = False
        for value, found in enumerate(sets):
            if found is not None and can[value]:
                can[value] = any(all(can[x] for x in one) for one in found)
                changed |= not can[value]
        changed &= bool(facts.line.loops)
    return can


def _latest_kernels(facts: Facts, sets: list[tuple[Operands, ...]]) -> list[int]:
    latest = [-1] * len(sets)
    for use in facts.uses.values():
        latest[use.output] = use.output
    changed = True
    while changed:
        changed = False
        for value, found in enumerate(sets):
            here = max((latest[x] for one in found for x in one), default=-1)
            if here > latest[value]:
                latest[value] = here
                changed = True
        changed &= bool(facts.line.loops)
    return latest
