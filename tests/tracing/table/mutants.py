"""Laws that differ from a law in one statement, which is false if the law says what there is."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from experiment import Experiment

from idinit_jax.tracing.table.intervals import Bounds, Interval
from idinit_jax.tracing.table.law import Atom, Law, Move, Operands

Mutant = tuple[str, Law]


def mutants(law: Law, experiment: Experiment) -> Iterator[Mutant]:
    """Mutants of a law, with what was done to it."""
    numbers = tuple(filter(experiment.is_number, range(len(experiment.values))))
    yield from _scaling(law, numbers)
    yield from _choosers(law, numbers)
    yield from _vanishing(law, numbers)
    yield from _signs(law, numbers)
    for operand, move in law.moves.items():
        for name, moved in _moves(move):
            yield f"{name} of {operand}", law._replace(moves={**law.moves, operand: moved})
    for name, cut in _CUTS.items():
        yield name, law._replace(range=cut(law.range))


def _dropped(group: Operands) -> Iterator[Operands]:
    """The group without one of several operands."""
    for operand in group if len(group) > 1 else ():
        yield tuple(other for other in group if other != operand)


def _scaling(law: Law, numbers: Operands) -> Iterator[Mutant]:
    for place, (group, degree) in enumerate(law.scaling):
        others = (*law.scaling[:place], *law.scaling[place + 1 :])
        if not set(group) <= set(numbers):
            continue
        for wrong in (degree + 1, degree - 1):
            yield f"degree {wrong} in {group}", law._replace(scaling=((group, wrong), *others))
        for fewer in _dropped(group):
            yield f"degree in {fewer} alone", law._replace(scaling=((fewer, degree), *others))
    grouped = {operand for group, _ in law.scaling for operand in group} | {*law.choosers}
    for operand in set(numbers) - grouped:
        for degree in (0, 1):
            added = law._replace(scaling=(*law.scaling, ((operand,), degree)))
            yield f"degree {degree} in {operand} too", added


def _choosers(law: Law, numbers: Operands) -> Iterator[Mutant]:
    for operand in set(numbers) - set(law.choosers):
        yield f"locally constant in {operand}", law._replace(choosers=(*law.choosers, operand))


def _vanishing(law: Law, numbers: Operands) -> Iterator[Mutant]:
    """No subset of a set, and no operand outside of all, makes the output vanish."""
    sets = [*map(set, law.vanishing)]
    wrong = {fewer for group in law.vanishing for fewer in _dropped(group)}
    wrong |= {(operand,) for operand in numbers}
    for group in sorted(wrong):
        if not any(known <= set(group) for known in sets):
            yield f"0 where {group} are", law._replace(vanishing=(*law.vanishing, group))


def _signs(law: Law, numbers: Operands) -> Iterator[Mutant]:
    for place, (group, sign) in enumerate(law.signs):
        others = (*law.signs[:place], *law.signs[place + 1 :])
        if set(group) <= set(numbers):
            yield f"sign {-sign} in {group}", law._replace(signs=((group, -sign), *others))
            for fewer in _dropped(group):
                yield f"sign in {fewer} alone", law._replace(signs=((fewer, sign), *others))
    spoken_of = {operand for group, _ in law.signs for operand in group} | {*law.choosers}
    for operand in set(numbers) - spoken_of:
        for sign in (1, -1):
            added = law._replace(signs=(*law.signs, ((operand,), sign)))
            yield f"sign {sign} in {operand} too", added


def _moves(move: Move) -> Iterator[tuple[str, Move]]:
    for dimension, dim in enumerate(move):
        for place, atom in enumerate(dim):
            if atom.axis < 0:
                continue
            for name, wrong in _atoms(atom):
                changed = (*dim[:place], wrong, *dim[place + 1 :])
                yield f"{name} in {dimension}", (*move[:dimension], changed, *move[dimension + 1 :])
    exact = [i for i, dim in enumerate(move) if any(a.exact and a.axis >= 0 for a in dim)]
    for first, second in pairwise(exact):
        swapped = list(move)
        swapped[first], swapped[second] = swapped[second], swapped[first]
        yield f"dimensions {first} and {second} swapped", tuple(swapped)


def _atoms(atom: Atom) -> Iterator[tuple[str, Atom]]:
    if not atom.exact:
        yield "positions", atom._replace(exact=True)
        return
    for shift in (1, -1):
        yield f"start {shift}", atom._replace(start=atom.start + shift)
    if not atom.start and atom.size > 1:
        yield "stride", atom._replace(stride=atom.stride + 1)


# -- ranges


def _raised(bounds: Bounds) -> Bounds:
    """Without the lowest quarter, or what is below 0."""

    def cut(operands: Sequence[Interval]) -> Interval:
        low, high = bounds(operands)
        if math.isinf(low):
            return min(0.0, high), high
        return low + _margin(low, high), high

    return cut


def _lowered(bounds: Bounds) -> Bounds:
    """Without the highest quarter, or what is above 0."""

    def cut(operands: Sequence[Interval]) -> Interval:
        low, high = bounds(operands)
        if math.isinf(high):
            return low, max(0.0, low)
        return low, high - _margin(low, high)

    return cut


def _margin(low: float, high: float) -> float:
    return max((high - low) / 4, 1e-2) if math.isfinite(high - low) else 1e-2


_CUTS = {"range without its low end": _raised, "range without its high end": _lowered}
