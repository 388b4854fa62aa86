"""What a row of the table states about a primitive: a law, each part of it a theorem.

A law speaks of one output of one application of a primitive, with given shapes and parameters.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from idinit_jax.tracing.table.intervals import Bounds, Interval, everywhere, hull

# Axes of atoms that no axis of the operand feeds: the operand is repeated along the digit, or
# another operand brings it.
REPEAT, OTHER = -1, -2


class Atom(NamedTuple):
    """A digit of an axis, as in a mixed-radix numeral.

    Along the digit position j of a dimension depends on the entries of the array it comes from
    whose index along `axis` has `index // stride % radix == j + start`, and on no others, where
    `radix` is what fits between this stride and the next digit's. Positions outside of the array
    depend on nothing. Not exact: on entries at any position along the axis.

    Attributes:
        axis: of the array that the dimension comes from; REPEAT or OTHER where it does not.
        stride: how many steps along the axis one step of the digit is.
        size: number of positions.
        start: the digit's position on the axis at position 0 of the dimension; negative where the
            array begins later (behind a padding or another operand of a concatenation).
        exact: whether positions are kept.
    """

    axis: int
    stride: int
    size: int
    start: int = 0
    exact: bool = True


Dim = tuple[Atom, ...]  # outermost digit first; empty for a dimension of size 1
Move = tuple[Dim, ...]  # one an output dimension
Shape = tuple[int, ...]
Operands = tuple[int, ...]


class Applied(NamedTuple):
    """A primitive with all that its law may depend on.

    Attributes:
        params: of the equation.
        ins, outs: shapes of the operands and of the outputs.
        index: the output that is spoken of.
    """

    params: Mapping[str, Any]
    ins: Sequence[Shape]
    outs: Sequence[Shape]
    index: int = 0

    @property
    def out(self) -> Shape:
        return self.outs[self.index]


class Law(NamedTuple):
    """What holds for all values of the operands.

    Attributes:
        scaling: (operands, d): multiplying all these operands by t > 0 multiplies the output by
            t ** d. Operands in no group and not among the choosers: nothing is claimed.
        choosers: operands in which the output is locally constant (indices, predicates).
        vanishing: sets of operands; where all of a set are 0, so is the output.
        signs: (operands, s): negating all these operands multiplies the output by s, 1 or -1.
        moves: operand -> for every output dimension the digits of the operand's axes that it runs
            over. Axes in no atom are summed over, or a maximum is taken over them. Absent: any
            entry of the output may depend on any entry of the operand.
        range: the interval of the output from those of the operands.

    Entries that are not a number are not spoken of, nor are arrays without entries; ranges speak
    of real numbers.
    """

    scaling: tuple[tuple[Operands, float], ...] = ()
    choosers: Operands = ()
    vanishing: tuple[Operands, ...] = ()
    signs: tuple[tuple[Operands, int], ...] = ()
    moves: Mapping[int, Move] = {}
    range: Bounds = everywhere


Row = Callable[[Applied], Law]


def digit(axis: int, stride: int, size: int, start: int = 0, exact: bool = True) -> Dim:
    """A dimension of one digit."""
    return () if size == 1 else (Atom(axis, stride, size, start, exact),)


def whole(axis: int, size: int, exact: bool = True) -> Dim:
    """A dimension that runs along a whole axis, one of size 1 too."""
    return (Atom(axis, 1, size, 0, exact),)


def part(axis: int, size: int, start: int = 0, exact: bool = True) -> Dim:
    """A dimension of some size that runs along an axis, from a position on.

    A single position of a longer axis keeps its digit, so that it is known which one it is.
    """
    return (Atom(axis, 1, size, start, exact),)


def along(axis: int, size: int) -> Dim:
    """A dimension that comes from an axis, at other positions."""
    return part(axis, size, exact=False)


def kept_or_along(axis: int, length: int, size: int) -> Dim:
    """A dimension that runs along a whole axis if it has its length, else comes from it."""
    return whole(axis, length) if size == length else along(axis, size)


def repeated(size: int) -> Dim:
    """A dimension along which the operand is repeated."""
    return digit(REPEAT, 1, size)


def brought(size: int) -> Dim:
    """A dimension that something else than the operand brings."""
    return digit(OTHER, 1, size)


def identity(shape: Shape) -> Move:
    """Every dimension where it was."""
    return tuple(whole(axis, size) for axis, size in enumerate(shape))


def broadcast(shape: Shape, out: Shape) -> Move | None:
    """Axes of size 1, or all of those that a scalar lacks, are repeated; None: not told."""
    if not shape:
        return tuple(map(repeated, out))
    if len(shape) != len(out):
        return None
    return tuple(
        whole(axis, size) if size == wanted else repeated(wanted)
        for axis, (size, wanted) in enumerate(zip(shape, out, strict=True))
    )


def without_absent(moves: Mapping[int, Move | None]) -> dict[int, Move]:
    """The moves that could be told."""
    return {operand: move for operand, move in moves.items() if move is not None}


def linear(
    group: Operands,
    moves: Mapping[int, Move | None],
    choosers: Operands = (),
    bounds: Bounds = hull,
) -> Law:
    """The law of what is linear in a group of operands, such as their movement.

    `bounds` makes the range from those of the group alone.
    """

    def of_group(operands: Sequence[Interval]) -> Interval:
        return bounds([operands[i] for i in group])

    return Law(((group, 1),), choosers, (group,), ((group, -1),), without_absent(moves), of_group)
