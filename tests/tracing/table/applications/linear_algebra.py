"""Decompositions and solutions of matrices, and Fourier transforms."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from applications.draw import Build, Draw, Make, makers
from jax import lax
from jax._src.lax import linalg as kernels

Array = np.ndarray
Built = tuple[Callable, list[Any]]


def positive_definite(draw: Draw, batch: int, size: int) -> Array:
    factor = draw.normal(batch, size, size)
    return factor @ factor.transpose(0, 2, 1) + np.eye(size)


def one(function: Callable, rows: int = 3, columns: int = 3) -> list[Build]:
    return [lambda draw: (function, [draw.normal(2, rows, columns)])]


def symmetric(function: Callable) -> list[Build]:
    def build(draw: Draw) -> Built:
        matrix = draw.normal(2, 3, 3)
        return function, [matrix + matrix.transpose(0, 2, 1)]

    return [build]


def _solved(left: bool, unit: bool = False, transposed: bool = False) -> Build:
    def build(draw: Draw) -> Built:
        matrix = np.tril(draw.normal(2, 3, 3)) + 3 * np.eye(3)
        given = draw.normal(2, 3, 2) if left else draw.normal(2, 2, 3)
        return (
            lambda a, b: lax.linalg.triangular_solve(
                a, b, left_side=left, lower=True, unit_diagonal=unit, transpose_a=transposed
            ),
            [matrix, given],
        )

    return build


def _tridiagonal(draw: Draw) -> Built:
    return lax.linalg.tridiagonal_solve, [
        draw.unit(2, 3),
        3 + draw.positive(2, 3),
        draw.unit(2, 3),
        draw.normal(2, 3, 2),
    ]


def _solve(draw: Draw) -> Built:
    """The matrix is what the functions that solve hold."""

    def solved(matrix: Any, given: Any) -> Any:
        return lax.custom_linear_solve(
            lambda x: matrix @ x,
            given,
            lambda _, b: jnp.linalg.inv(matrix) @ b,
            symmetric=True,
        )

    return solved, [positive_definite(draw, 1, 3)[0], draw.normal(3)]


def _factored(draw: Draw) -> Built:
    return lax.linalg.householder_product, [draw.normal(2, 3, 2), draw.unit(2, 2)]


def _updated(draw: Draw) -> Built:
    factor = np.linalg.cholesky(positive_definite(draw, 1, 3)[0]).T
    return lax.linalg.cholesky_update, [factor, draw.normal(3)]


def _symmetric_product(draw: Draw) -> Built:
    return (
        lambda a, c: lax.linalg.symmetric_product(a, c, alpha=2.0, beta=0.5),
        [draw.normal(2, 3, 2), draw.normal(2, 3, 3)],
    )


def _transformed(function: Callable, *axes: int, length: int | None = None) -> Build:
    lengths = None if length is None else (length,) * len(axes)
    return lambda draw: (
        lambda x: function(x, s=lengths, axes=axes),
        [draw.normal(2, 3, 4)],
    )


def _back(draw: Draw) -> Built:
    spectrum = draw.normal(2, 4) + 1j * draw.normal(2, 4)
    return lambda x: lax.fft(x, lax.FftType.IRFFT, (6,)), [spectrum]


_BUILDS: dict[str, list[Build]] = {
    "cholesky": [lambda draw: (lax.linalg.cholesky, [positive_definite(draw, 2, 3)])],
    "cholesky_update": [_updated],
    "eig": one(lax.linalg.eig),
    "eigh": symmetric(lambda x: lax.linalg.eigh(x, symmetrize_input=False)),
    "geqp3": one(lambda x: kernels.geqp3(x, jnp.zeros((2, 3), jnp.int32))),
    "geqrf": one(kernels.geqrf, 3, 2),
    "hessenberg": one(lax.linalg.hessenberg),
    "householder_product": [_factored],
    "lu": [*one(lax.linalg.lu), *one(lax.linalg.lu, 2, 3)],
    "lu_pivots_to_permutation": [
        lambda _: (
            lambda p: lax.linalg.lu_pivots_to_permutation(p, 4),
            [np.array([[1, 3, 2], [0, 2, 2]], np.int32)],
        )
    ],
    "ormqr": [
        lambda draw: (
            lambda a, t, c: kernels.ormqr(a, t, c),
            [draw.normal(2, 3, 2), draw.unit(2, 2), draw.normal(2, 3, 2)],
        )
    ],
    "qr": [
        *one(lambda x: lax.linalg.qr(x, full_matrices=False), 3, 2),
        *one(lambda x: lax.linalg.qr(x, full_matrices=True), 3, 2),
        *one(lambda x: lax.linalg.qr(x, pivoting=True), 2, 3),
    ],
    "schur": one(lax.linalg.schur),
    "svd": [
        *one(lambda x: lax.linalg.svd(x, full_matrices=False), 3, 2),
        *one(lambda x: lax.linalg.svd(x, compute_uv=False), 2, 3),
    ],
    "symmetric_product": [_symmetric_product],
    "triangular_solve": [
        _solved(True),
        _solved(False),
        _solved(True, unit=True),
        _solved(False, transposed=True),
    ],
    "tridiagonal": symmetric(lambda x: lax.linalg.tridiagonal(x, lower=True)),
    "tridiagonal_solve": [_tridiagonal],
    "custom_linear_solve": [_solve],
    "fft": [
        _transformed(jnp.fft.fftn, 2),
        _transformed(jnp.fft.fftn, 1, 2),
        _transformed(jnp.fft.rfftn, 2),
        _back,
    ],
}

LINEAR_ALGEBRA: dict[str, list[Make]] = makers(_BUILDS)
