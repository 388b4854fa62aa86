"""Decompositions and solutions of matrices, in the last two axes, and Fourier transforms."""

import math
from collections.abc import Mapping

from idinit_jax.tracing.table import intervals
from idinit_jax.tracing.table.law import (
    Applied,
    Law,
    Move,
    Operands,
    Row,
    along,
    brought,
    identity,
    linear,
    whole,
)

_POSITIVE = intervals.always(0.0, math.inf)


def batched(applied: Applied, operand: int, core: int = 2) -> Move:
    """Batch dimensions keep their positions, the others come from the axes after those."""
    shape, out = applied.ins[operand], applied.out
    lead = len(shape) - core
    return tuple(
        whole(axis, size)
        if axis < lead
        else along(axis, size)
        if axis < len(shape)
        else brought(size)
        for axis, size in enumerate(out)
    )


def opaque(*cores: int) -> Row:
    """Functions of which nothing else is known; of every operand how many axes are no batch."""
    return lambda applied: Law(moves={i: batched(applied, i, core) for i, core in enumerate(cores)})


def parts(*degrees: float | None, bounds: Mapping[int, intervals.Bounds] | None = None) -> Row:
    """The parts of a decomposition and their degrees in the matrix; None: it has none."""

    def row(applied: Applied) -> Law:
        degree = degrees[applied.index]
        return Law(
            scaling=() if degree is None else (((0,), degree),),
            vanishing=((0,),) if degree else (),
            moves={0: batched(applied, 0)},
            range=(bounds or {}).get(applied.index, intervals.everywhere),
        )

    return row


def lu(applied: Applied) -> Law:
    """The factors in one array, of two degrees, then pivots and the permutation."""
    law = opaque(2)(applied)
    return law if applied.index == 0 else law._replace(choosers=(0,), range=_POSITIVE)


def qr(applied: Applied) -> Law:
    """An orthogonal matrix, a triangular one and, with pivoting, the pivots."""
    if applied.index == 2:
        return Law(choosers=(0,), moves={0: batched(applied, 0)}, range=_POSITIVE)
    return parts(0, 1)(applied)


def svd(applied: Applied) -> Law:
    """Singular values, then the vectors on both sides."""
    return parts(1, 0, 0, bounds={0: _POSITIVE})(applied)


def cholesky_update(applied: Applied) -> Law:
    """The factor of R'R + ww': scaling both scales it."""
    del applied
    return Law(scaling=(((0, 1), 1),), vanishing=((0, 1),))


def pivoted_reflectors(applied: Applied) -> Law:
    """The factors in one array, of two degrees, the pivots, the lengths of the reflectors."""
    law = opaque(2, 1)(applied)
    if applied.index == 1:
        return law._replace(choosers=(0, 1), range=_POSITIVE)
    return law._replace(scaling=(((0,), 0),)) if applied.index == 2 else law


def symmetric_product(applied: Applied) -> Law:
    """The product of rows with rows, and an array added at its place."""
    return Law(moves={0: batched(applied, 0), 1: identity(applied.out)})


def permutation(applied: Applied) -> Law:
    return Law(choosers=(0,), moves={0: batched(applied, 0, 1)}, range=_POSITIVE)


def triangular_solve(applied: Applied) -> Law:
    """Solves for each column, or row, on its own."""
    given = applied.ins[1]
    rows = len(given) - 2
    solved = rows if applied.params["left_side"] else rows + 1
    columns = 2 * rows + 1 - solved
    moves: dict[int, Move] = {
        0: tuple(
            brought(size) if axis == columns else whole(axis, size, axis != solved)
            for axis, size in enumerate(given)
        ),
        1: tuple(whole(axis, size, axis != solved) for axis, size in enumerate(given)),
    }
    law = linear((1,), moves, bounds=intervals.everywhere)
    if applied.params["unit_diagonal"]:
        return law
    return law._replace(scaling=(((0,), -1), ((1,), 1)), signs=(((0,), -1), ((1,), -1)))


def tridiagonal_solve(applied: Applied) -> Law:
    """The three diagonals together, and the right-hand sides, each on its own."""
    diagonals: Operands = (0, 1, 2)
    given = applied.ins[3]
    moves = {
        **{i: batched(applied, i, 1) for i in diagonals},
        3: tuple(whole(axis, size, axis != len(given) - 2) for axis, size in enumerate(given)),
    }
    return Law(
        scaling=((diagonals, -1), ((3,), 1)),
        vanishing=((3,),),
        signs=((diagonals, -1), ((3,), -1)),
        moves=moves,
    )


def linear_solve(applied: Applied) -> Law:
    """The right-hand sides stand behind what the functions that solve hold."""
    n_consts = sum(applied.params["const_lengths"])
    return linear(tuple(range(n_consts, len(applied.ins))), {}, bounds=intervals.everywhere)


def fourier(applied: Applied) -> Law:
    """Over the last axes."""
    first = len(applied.out) - len(applied.params["fft_lengths"])
    move = tuple(
        whole(axis, size) if axis < first else along(axis, size)
        for axis, size in enumerate(applied.out)
    )
    return linear((0,), {0: move}, bounds=intervals.everywhere)


LINEAR_ALGEBRA: Mapping[str, Row] = {
    "cholesky": opaque(2),
    "cholesky_update": cholesky_update,
    "eig": parts(1, 0, 0),
    "eigh": parts(0, 1),
    "geqp3": pivoted_reflectors,
    "geqrf": parts(None, 0),
    "hessenberg": parts(None, 0),
    "householder_product": opaque(2, 1),
    "lu": lu,
    "lu_pivots_to_permutation": permutation,
    "ormqr": opaque(2, 1, 2),
    "qr": qr,
    "schur": parts(1, 0),
    "svd": svd,
    "symmetric_product": symmetric_product,
    "triangular_solve": triangular_solve,
    "tridiagonal": parts(None, 1, 1, 0),
    "tridiagonal_solve": tridiagonal_solve,
    "custom_linear_solve": linear_solve,
    "fft": fourier,
}
