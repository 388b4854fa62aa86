"""Products of two arrays summed over axes."""

from collections.abc import Callable
from typing import Any

import numpy as np
from applications.draw import Build, Draw, Make, makers
from jax import lax

Built = tuple[Callable, list[Any]]


def _dot(left: str, right: str, contracted: str, batch: str = "") -> Build:
    """Axes by letters; equal letters have one size."""
    numbers = tuple(
        (tuple(map(left.index, letters)), tuple(map(right.index, letters)))
        for letters in (contracted, batch)
    )

    def build(draw: Draw) -> Built:
        letters = sorted({*left, *right})
        sizes = dict(zip(letters, draw.sizes(len(letters), 2, 3), strict=True))
        shapes = [tuple(sizes[letter] for letter in operand) for operand in (left, right)]
        return lambda x, y: lax.dot_general(x, y, numbers), [draw.normal(*s) for s in shapes]

    return build


def _cube(draw: Draw) -> Built:
    """All sizes equal."""
    numbers = (((1,), (2,)), ((2,), (0,)))
    return lambda x, y: lax.dot_general(x, y, numbers), [draw.normal(2, 2, 2), draw.normal(2, 2, 2)]


def _ragged(draw: Draw) -> Built:
    rows = np.array([2, 3], np.int32)
    return lax.ragged_dot, [draw.normal(5, 3), draw.normal(2, 3, 2), rows]


def _ragged_sum(draw: Draw) -> Built:
    numbers = lax.RaggedDotDimensionNumbers((((0,), (0,)), ((), ())), (0,), ())
    rows = np.array([2, 3], np.int32)
    return (
        lambda x, y, g: lax.ragged_dot_general(x, y, g, numbers),
        [draw.normal(5, 3), draw.normal(5, 2), rows],
    )


def _ragged_in_batch(draw: Draw) -> Built:
    """Groups of rows, in every member of a batch of its own."""
    numbers = lax.RaggedDotDimensionNumbers((((2,), (2,)), ((0,), (1,))), (1,), (0,))
    rows = np.array([[1, 3], [2, 2]], np.int32)
    return (
        lambda x, y, g: lax.ragged_dot_general(x, y, g, numbers),
        [draw.normal(2, 4, 3), draw.normal(2, 2, 3, 2), rows],
    )


def _convolved(
    signal: tuple[int, ...],
    kernel: tuple[int, ...],
    layout: tuple[str, str, str],
    padding: Any = "VALID",
    strides: tuple[int, ...] | None = None,
    **settings: Any,
) -> Build:
    steps = strides or (1,) * (len(signal) - 2)
    return lambda draw: (
        lambda x, w: lax.conv_general_dilated(
            x, w, steps, padding, dimension_numbers=layout, **settings
        ),
        [draw.normal(*signal), draw.normal(*kernel)],
    )


_LAST, _FIRST = ("NHC", "HIO", "NHC"), ("NCH", "OIH", "NCH")
_MIXED = ("HNC", "OHI", "CNH")

_BUILDS: dict[str, list[Build]] = {
    "dot_general": [
        _dot("ab", "bc", "b"),
        _dot("abc", "cd", "c"),
        _dot("abcd", "abed", "d", "ab"),
        _dot("acb", "bda", "b", "a"),
        _dot("ab", "cb", "b"),
        _dot("abc", "cbd", "bc"),
        _dot("a", "b", ""),
        _cube,
    ],
    "ragged_dot_general": [_ragged, _ragged_sum, _ragged_in_batch],
    "conv_general_dilated": [
        _convolved((2, 4, 3), (3, 3, 2), _LAST, "SAME"),
        _convolved((2, 4, 3), (1, 3, 3), _LAST),
        _convolved((3, 4, 2), (1, 2, 3), _LAST, [(1, 1)]),
        _convolved((2, 4, 2), (1, 2, 2), _LAST, strides=(2,)),
        _convolved((2, 3, 2), (1, 2, 2), _LAST, [(0, 0)], lhs_dilation=(2,)),
        _convolved((2, 4, 3), (2, 1, 6), _LAST, feature_group_count=3),
        _convolved((2, 4, 4), (6, 2, 2), _FIRST, feature_group_count=2, rhs_dilation=(2,)),
        _convolved((4, 2, 3), (4, 2, 2), _FIRST, batch_group_count=2),
        _convolved((2, 2, 3), (2, 2, 2), _FIRST, batch_group_count=2),
        _convolved((3, 2, 2), (2, 2, 2), _MIXED, [(1, 0)]),
        _convolved((1, 2, 3, 2), (2, 2, 2, 1), ("NHWC", "HWIO", "NHWC"), "SAME"),
    ],
}

CONTRACTIONS: dict[str, list[Make]] = makers(_BUILDS)
