"""Whether an experiment agrees with a law: every statement is run.

A statement of which only numbers that are none are left is not confirmed.
"""

import math
from collections.abc import Iterator

import numpy as np
from experiment import LARGE_STEPS, SMALL_STEP, TIMES, Experiment

from idinit_jax.tracing.table.law import Atom, Law, Move, Shape


def violations(law: Law, experiment: Experiment, index: int) -> Iterator[str]:
    """The statements about an output that the experiment contradicts."""
    yield from _scaling(law, experiment, index)
    yield from _choosers(law, experiment, index)
    yield from _vanishing(law, experiment, index)
    yield from _signs(law, experiment, index)
    yield from _moves(law, experiment, index)
    yield from _range(law, experiment, index)


def _scaling(law: Law, experiment: Experiment, index: int) -> Iterator[str]:
    for group, degree in law.scaling:
        if all(map(experiment.is_number, group)) and not _close(
            experiment.times(group, TIMES)[index],
            experiment.base[index] * TIMES ** float(degree),
        ):
            yield f"degree {degree} in {group}"


def _choosers(law: Law, experiment: Experiment, index: int) -> Iterator[str]:
    for operand in filter(experiment.is_number, law.choosers):
        if experiment.changed(operand, (SMALL_STEP, -SMALL_STEP))[index].any():
            yield f"locally constant in {operand}"


def _vanishing(law: Law, experiment: Experiment, index: int) -> Iterator[str]:
    for group in law.vanishing:
        out = experiment.times(group, 0)[index]
        if not np.any(out == out) or np.any((out != 0) & (out == out)):
            yield f"0 where {group} are"


def _signs(law: Law, experiment: Experiment, index: int) -> Iterator[str]:
    for group, sign in law.signs:
        if all(map(experiment.is_number, group)) and not _close(
            experiment.times(group, -1)[index], experiment.base[index] * sign
        ):
            yield f"sign {sign} in {group}"


def _close(actual: np.ndarray, expected: np.ndarray) -> bool:
    rtol = 1e-9 if actual.dtype in (np.float64, np.complex128) else 1e-5
    spoken_of = ~(np.isnan(actual) | np.isnan(expected))
    close = np.allclose(actual[spoken_of], expected[spoken_of], rtol, rtol)
    return bool(spoken_of.any()) and close


def _moves(law: Law, experiment: Experiment, index: int) -> Iterator[str]:
    applied = experiment.applied(index)
    for operand, move in law.moves.items():
        if not fits(move, applied.out):
            yield f"sizes of {operand}: {move} in {applied.out}"
            continue
        if not hasattr(experiment.values[operand], "copy"):
            continue
        changed = experiment.changed(operand, (SMALL_STEP, *LARGE_STEPS))[index]
        if (changed & ~allowed(move, applied.ins[operand], applied.out)).any():
            yield f"move of {operand}: {move}"


def _range(law: Law, experiment: Experiment, index: int) -> Iterator[str]:
    for operands, outputs in experiment.ranges():
        low, high = law.range(operands)
        least, most = outputs[index]
        slack = 1e-6 * (1 + max(abs(least), abs(most))) if math.isfinite(least + most) else 0
        if least < low - slack or most > high + slack:
            yield f"range {(low, high)}, not {(least, most)}"


def fits(move: Move, out: Shape) -> bool:
    """Whether the digits make up the dimensions."""
    return tuple(math.prod(atom.size for atom in dim) for dim in move) == tuple(out)


def allowed(move: Move, shape: Shape, out: Shape) -> np.ndarray:
    """For every entry of the operand the entries of the output that may depend on it."""
    entries = np.indices(shape).reshape(len(shape), -1) if shape else np.zeros((0, 1), int)
    found = np.ones((entries.shape[1], *out), bool)
    for dimension, dim in enumerate(move):
        position, inner = np.arange(out[dimension]), 1
        for atom in reversed(dim):
            if atom.axis >= 0 and atom.exact:
                wanted = position // inner % atom.size + atom.start
                digit = entries[atom.axis] // atom.stride % _radix(atom, move, shape)
                sides = [1] * len(out)
                sides[dimension] = -1
                match = digit[:, None] == wanted[None]
                found &= match.reshape(len(digit), *sides)
            inner *= atom.size
    return found


def _radix(atom: Atom, move: Move, shape: Shape) -> int:
    """What fits between a digit and the next one of its axis."""
    strides = [a.stride for dim in move for a in dim if a.axis == atom.axis]
    next_stride = min((s for s in strides if s > atom.stride), default=shape[atom.axis])
    return next_stride // atom.stride
