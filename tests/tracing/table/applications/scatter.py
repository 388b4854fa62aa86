"""Updates written into an array."""

from collections.abc import Callable
from typing import Any

import numpy as np
from applications.draw import Build, Draw, Make, makers
from jax import lax

Built = tuple[Callable, list[Any]]
Numbers = lax.ScatterDimensionNumbers


def _rows(function: Callable, indices: list[int], mode: str | None = None) -> Build:
    numbers = Numbers((1,), (0,), (0,))
    places = np.asarray(indices, np.int32)[:, None]
    return lambda draw: (
        lambda x, i, u: function(x, i, u, numbers, mode=mode),
        [draw.normal(4, 3), places, draw.normal(len(indices), 3)],
    )


def _columns(function: Callable) -> Build:
    """Into the second axis, and several places for one index."""
    numbers = Numbers((0,), (1,), (0,))
    return lambda draw: (
        lambda x, i, u: function(x, i, u, numbers),
        [draw.normal(2, 4), np.array([[[0], [1]]], np.int32), draw.normal(2, 1, 2)],
    )


def _entries(function: Callable) -> Build:
    numbers = Numbers((), (0, 1), (0, 1))
    return lambda draw: (
        lambda x, i, u: function(x, i, u, numbers),
        [draw.normal(3, 3), np.array([[0, 1], [2, 2]], np.int32), draw.normal(2)],
    )


def _windows(function: Callable) -> Build:
    """Windows shorter than the array, that meet."""
    numbers = Numbers((1, 2), (), (0, 1))
    return lambda draw: (
        lambda x, i, u: function(x, i, u, numbers),
        [draw.normal(4, 3), np.array([[0, 0], [2, 0]], np.int32), draw.normal(2, 2, 3)],
    )


def _batched(function: Callable) -> Build:
    numbers = Numbers(
        (2,), (0,), (0,), operand_batching_dims=(1,), scatter_indices_batching_dims=(0,)
    )
    return lambda draw: (
        lambda x, i, u: function(x, i, u, numbers),
        [draw.normal(3, 2, 3), np.array([[[0], [2]], [[1], [0]]], np.int32), draw.normal(2, 2, 3)],
    )


def _all(function: Callable, *, meeting: bool) -> list[Build]:
    """Updates meet where the order does not matter."""
    return [
        _rows(function, [2, 0, 2] if meeting else [2, 0, 1]),
        _rows(function, [1, 9], "drop"),
        _rows(function, [1, 9], "clip"),
        _columns(function),
        _entries(function),
        _windows(function),
        _batched(function),
    ]


def _applied(draw: Draw) -> Built:
    numbers = Numbers((1,), (0,), (0,))
    return (
        lambda x, i: lax.scatter_apply(x, i, lambda a: 1 + a, numbers, update_shape=(1, 3)),
        [draw.normal(4, 3), np.array([[1]], np.int32)],
    )


_BUILDS: dict[str, list[Build]] = {
    "scatter": [*_all(lax.scatter, meeting=False), _applied],
    "scatter-add": _all(lax.scatter_add, meeting=True),
    "scatter-sub": _all(lax.scatter_sub, meeting=True),
    "scatter-mul": _all(lax.scatter_mul, meeting=True),
    "scatter-max": _all(lax.scatter_max, meeting=True),
    "scatter-min": _all(lax.scatter_min, meeting=True),
}

SCATTER: dict[str, list[Make]] = makers(_BUILDS)
