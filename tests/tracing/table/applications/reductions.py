"""Sums, maxima and orders along axes."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from applications.draw import Build, Draw, Make, makers
from jax import lax
from jax.extend.core import primitives

Array = np.ndarray
Built = tuple[Callable, list[Any]]


def reduced(
    reduce: Callable[[Any, tuple[int, ...]], Any], make: Callable[..., Array] = Draw.normal
) -> list[Build]:
    """Over axes in turn, and over all."""

    def over(axes: tuple[int, ...]) -> Build:
        return lambda draw: (lambda x: reduce(x, axes), [make(draw, *draw.sizes(3, 2, 3))])

    return [over(axes) for axes in ((1,), (0, 2), (0, 1, 2))]


def _cube(reduce: Callable[[Any, tuple[int, ...]], Any]) -> Build:
    """All sizes equal."""
    return lambda draw: (lambda x: reduce(x, (1,)), [draw.normal(2, 2, 2)])


def _counts(draw: Draw, *shape: int) -> Array:
    return draw.whole(7, *shape)


def _argument(function: Callable, *axes: int) -> list[Build]:
    def over(axis: int) -> Build:
        return lambda draw: (
            lambda x: function(x, axis, jnp.int32),
            [draw.normal(*draw.sizes(3, 2, 3))],
        )

    return [over(axis) for axis in axes]


def _any(draw: Draw) -> Built:
    """A function that is none of the known ones."""
    return (
        lambda x, start: lax.reduce(x, start, lambda a, b: a + 2 * b, (1,)),
        [draw.normal(*draw.sizes(3, 2, 3)), draw.normal()],
    )


def _any_of_two(draw: Draw) -> Built:
    shape = draw.sizes(2)
    starts = (np.float64(0.5), np.float64(1))
    return (
        lambda *some: lax.reduce(some, starts, lambda a, b: (a[0] + b[1], a[1] * b[0]), (0,)),
        [draw.normal(*shape), draw.normal(*shape)],
    )


def _cumulative(function: Callable) -> list[Build]:
    def along(axis: int, reverse: bool) -> Build:
        return lambda draw: (
            lambda x: function(x, axis=axis, reverse=reverse),
            [draw.normal(*draw.sizes(2))],
        )

    return [along(axis, reverse) for axis in (0, 1) for reverse in (False, True)]


def _windowed(start: float, function: Callable) -> list[Build]:
    """Sizes, strides, padding, dilation of the signal and of the window along the second axis."""

    def over(
        size: int,
        stride: int = 1,
        padding: tuple[int, int] = (0, 0),
        dilation: int = 1,
        holes: int = 1,
    ) -> Build:
        return lambda draw: (
            lambda x: lax.reduce_window(
                x,
                np.float64(start),
                function,
                (1, size),
                (1, stride),
                ((0, 0), padding),
                (1, dilation),
                (1, holes),
            ),
            [draw.normal(3, 5)],
        )

    return [
        over(2),
        over(2, 2),
        over(3, 1, (1, 1)),
        over(1, 1, (2, 0)),
        over(1, 2),
        over(2, 1, (0, 0), 2),
        over(2, 1, (1, 1), 1, 2),
        over(1, 1, (0, 0), 3),
    ]


_WINDOWS: dict[str, Any] = {
    "window_dimensions": (1, 2),
    "window_strides": (1, 2),
    "padding": ((0, 0), (0, 1)),
}
_UNDILATED: dict[str, Any] = {"base_dilation": (1, 1), "window_dilation": (1, 1)}


def _scattered_back(draw: Draw) -> Built:
    def scattered(source: Any, operand: Any) -> Any:
        return primitives.select_and_scatter_add_p.bind(
            source, operand, select_prim=lax.ge_p, **_WINDOWS
        )

    return scattered, [draw.normal(3, 2), draw.normal(3, 4)]


def _gathered(draw: Draw) -> Built:
    def gathered(tangents: Any, operand: Any) -> Any:
        return primitives.select_and_gather_add_p.bind(
            tangents, operand, select_prim=lax.ge_p, **_WINDOWS, **_UNDILATED
        )

    return gathered, [
        np.asarray(draw.normal(3, 4), np.float32),
        np.asarray(draw.normal(3, 4), np.float32),
    ]


def _sorted(dimension: int, keys: int, operands: int) -> Build:
    """Few first keys, so that the later ones decide."""

    def build(draw: Draw) -> Built:
        shape = draw.sizes(2, 3, 4)
        first = draw.whole(2, *shape) if keys > 1 else draw.normal(*shape)
        rest = [draw.normal(*shape) for _ in range(operands - 1)]
        return (
            lambda *some: lax.sort(some, dimension=dimension, num_keys=keys),
            [first, *rest],
        )

    return build


def _best(axis: int) -> Build:
    return lambda draw: (
        lambda x: lax.top_k(x, 2, axis=axis),
        [draw.normal(*draw.sizes(2, 3, 4))],
    )


def _nearly_best(function: Callable, axis: int) -> Build:
    return lambda draw: (
        lambda x: function(x, 2, reduction_dimension=axis),
        [np.asarray(draw.normal(*draw.sizes(2, 3, 4)), np.float32)],
    )


_BUILDS: dict[str, list[Build]] = {
    "reduce_sum": [*reduced(lax.reduce_sum), _cube(lax.reduce_sum)],
    "reduce_max": [*reduced(lax.reduce_max), _cube(lax.reduce_max)],
    "reduce_min": reduced(lax.reduce_min),
    "reduce_prod": reduced(lax.reduce_prod),
    "reduce_and": [
        *reduced(lax.reduce_and, Draw.truth),
        *reduced(lax.reduce_and, _counts),
    ],
    "reduce_or": [*reduced(lax.reduce_or, Draw.truth), *reduced(lax.reduce_or, _counts)],
    "reduce_xor": [*reduced(lax.reduce_xor, Draw.truth), *reduced(lax.reduce_xor, _counts)],
    "reduce": [_any, _any_of_two],
    "argmax": _argument(lax.argmax, 0, 1, 2),
    "argmin": _argument(lax.argmin, 0, 1, 2),
    "cumsum": _cumulative(lax.cumsum),
    "cummax": _cumulative(lax.cummax),
    "cummin": _cumulative(lax.cummin),
    "cumprod": _cumulative(lax.cumprod),
    "cumlogsumexp": _cumulative(lax.cumlogsumexp),
    "reduce_window_sum": _windowed(0.0, lax.add),
    "reduce_window_max": _windowed(-np.inf, lax.max),
    "reduce_window_min": _windowed(np.inf, lax.min),
    "reduce_window": _windowed(1.0, lambda a, b: a + 2 * b),
    "select_and_scatter_add": [_scattered_back],
    "select_and_gather_add": [_gathered],
    "sort": [
        _sorted(0, 1, 1),
        _sorted(1, 1, 1),
        _sorted(1, 1, 3),
        _sorted(0, 2, 3),
    ],
    "top_k": [_best(1), _best(0)],
    "approx_top_k": [
        _nearly_best(lax.approx_max_k, 1),
        _nearly_best(lax.approx_min_k, 0),
    ],
}

REDUCTIONS: dict[str, list[Make]] = makers(_BUILDS)
