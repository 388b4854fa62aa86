"""Functions of the entries at one place."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from applications.draw import Build, Draw, Make, makers
from jax import lax
from jax.extend.core import primitives

Array = np.ndarray


def one(function: Callable, make: Callable[..., Array] = Draw.normal) -> list[Build]:
    return [lambda draw: (function, [make(draw, *draw.sizes(2))])]


def two(
    function: Callable,
    left: Callable[..., Array] = Draw.normal,
    right: Callable[..., Array] = Draw.normal,
) -> list[Build]:
    return several(function, left, right)


def several(function: Callable, *some: Callable[..., Array]) -> list[Build]:
    def build(draw: Draw) -> tuple[Callable, list[Array]]:
        shape = draw.sizes(2)
        return function, [make(draw, *shape) for make in some]

    return [build]


def few(function: Callable, *some: Callable[..., Array]) -> list[Build]:
    """Functions that take long."""
    return [lambda draw: (function, [make(draw, 3) for make in some])]


def integers(draw: Draw, *shape: int) -> Array:
    return draw.whole(9, *shape, low=-8)


def counts(draw: Draw, *shape: int) -> Array:
    """From 0 to 3, each of them if there are as many."""
    return np.asarray(draw.rng.permutation(np.prod(shape)).reshape(shape) % 4, np.int32)


def large_integers(draw: Draw, *shape: int) -> Array:
    return draw.whole(2**31 - 1, *shape, low=-(2**31))


def long_integers(draw: Draw, *shape: int) -> Array:
    """0, whose bits are all clear, -1, whose bits are all set, and others."""
    return np.asarray(counts(draw, *shape) - 1, np.int64)


def above_one(draw: Draw, *shape: int) -> Array:
    return 1 + draw.positive(*shape)


def complex_numbers(draw: Draw, *shape: int) -> Array:
    return draw.normal(*shape) + 1j * draw.normal(*shape)


def _select(count: int) -> Build:
    def build(draw: Draw) -> tuple[Callable, list[Array]]:
        shape = draw.sizes(2)
        places = np.arange(np.prod(shape)).reshape(shape)
        which = places % 2 == 0 if count == 2 else np.asarray(places % count, np.int32)
        return lax.select_n, [which, *(draw.normal(*shape) for _ in range(count))]

    return build


def _scalar_choice(draw: Draw) -> tuple[Callable, list[Array]]:
    shape = draw.sizes(2)
    return lax.select_n, [np.asarray(True), draw.normal(*shape), draw.normal(*shape)]


def _scalar_bounds(draw: Draw) -> tuple[Callable, list[Array]]:
    return lax.clamp, [np.asarray(-1.0), draw.normal(*draw.sizes(2)), np.asarray(1.2)]


def _converted(kind: object) -> Build:
    return lambda draw: (lambda x: lax.convert_element_type(x, kind), [draw.normal(*draw.sizes(2))])


def _powered(exponent: int) -> Build:
    return lambda draw: (
        lambda x: lax.integer_pow(x, exponent),
        [draw.normal(*draw.sizes(2))],
    )


def _rounded(method: lax.RoundingMethod) -> Build:
    return lambda draw: (
        lambda x: lax.round(x, method),
        [draw.normal(*draw.sizes(2))],
    )


_BUILDS: dict[str, list[Build]] = {
    "neg": one(lax.neg),
    "abs": [*one(lax.abs), *one(lax.abs, complex_numbers)],
    "square": one(lax.square),
    "integer_pow": [_powered(exponent) for exponent in (-3, -2, 2, 3, 4)],
    "sqrt": one(lax.sqrt, Draw.positive),
    "rsqrt": one(lax.rsqrt, Draw.positive),
    "cbrt": one(lax.cbrt),
    "convert_element_type": [
        _converted(kind) for kind in (jnp.float32, jnp.int32, jnp.uint8, jnp.bool_, jnp.int8)
    ],
    "reduce_precision": one(lambda x: lax.reduce_precision(x, 11, 40)),
    "real": one(lax.real, complex_numbers),
    "imag": one(lax.imag, complex_numbers),
    "conj": one(lax.conj, complex_numbers),
    "tanh": one(lax.tanh),
    "erf": one(lax.erf),
    "sin": one(lax.sin),
    "tan": one(lax.tan),
    "sinh": one(lax.sinh),
    "asin": one(lax.asin, Draw.unit),
    "atan": one(lax.atan),
    "asinh": one(lax.asinh),
    "atanh": one(lax.atanh, Draw.unit),
    "erf_inv": one(lax.erf_inv, Draw.unit),
    "bessel_i1e": one(lax.bessel_i1e),
    "expm1": one(lax.expm1),
    "log1p": one(lax.log1p, Draw.unit),
    "cos": one(lax.cos),
    "cosh": one(lax.cosh),
    "bessel_i0e": one(lax.bessel_i0e),
    "exp": one(lax.exp),
    "exp2": one(lax.exp2),
    "log": one(lax.log, Draw.positive),
    "logistic": one(lax.logistic),
    "erfc": one(lax.erfc),
    "acos": one(lax.acos, Draw.unit),
    "acosh": one(lax.acosh, above_one),
    "lgamma": [*one(lax.lgamma), *one(lax.lgamma, above_one)],
    "digamma": one(lax.digamma),
    "sign": [*one(lax.sign), *one(lax.sign, integers)],
    "floor": one(lax.floor),
    "ceil": one(lax.ceil),
    "round": [*map(_rounded, lax.RoundingMethod)],
    "is_finite": one(lambda x: lax.is_finite(1 / jnp.floor(x))),
    "not": [*one(lax.bitwise_not, integers), *one(lax.bitwise_not, Draw.truth)],
    "population_count": one(lax.population_count, long_integers),
    "clz": one(lax.clz, long_integers),
    "eq": [*two(lax.eq, counts, counts), *two(lax.eq)],
    "ne": [*two(lax.ne, counts, counts), *two(lax.ne)],
    "lt": two(lax.lt),
    "ge": two(lax.ge),
    "gt": two(lax.gt),
    "le": two(lax.le),
    "eq_to": two(primitives.eq_to_p.bind, counts, counts),
    "lt_to": two(primitives.lt_to_p.bind),
    "le_to": two(primitives.le_to_p.bind),
    "and": [*two(lax.bitwise_and, Draw.truth, Draw.truth), *two(lax.bitwise_and, integers, counts)],
    "or": [*two(lax.bitwise_or, Draw.truth, Draw.truth), *two(lax.bitwise_or, counts, counts)],
    "xor": [*two(lax.bitwise_xor, Draw.truth, Draw.truth), *two(lax.bitwise_xor, counts, counts)],
    "shift_left": two(lax.shift_left, integers, counts),
    "shift_right_logical": [
        *two(lax.shift_right_logical, integers, counts),
        *two(lax.shift_right_logical, counts, counts),
    ],
    "shift_right_arithmetic": [
        *two(lax.shift_right_arithmetic, integers, counts),
        *two(lax.shift_right_arithmetic, counts, counts),
    ],
    "mulhi": two(lax.mulhi, large_integers, large_integers),
    "add": two(lax.add),
    "add_any": two(primitives.add_jaxvals_p.bind),
    "sub": two(lax.sub),
    "max": two(lax.max),
    "min": two(lax.min),
    "clamp": [
        *several(lax.clamp, Draw.normal, Draw.normal, Draw.normal),
        _scalar_bounds,
    ],
    "complex": two(lax.complex),
    "select_n": [_select(2), _select(3), _scalar_choice],
    "mul": two(lax.mul),
    "div": [*two(lax.div), *two(lax.div, Draw.normal, Draw.positive)],
    "rem": two(lax.rem),
    "atan2": two(lax.atan2),
    "nextafter": two(lax.nextafter),
    "pow": [
        *two(lax.pow, Draw.positive, Draw.normal),
        *two(lax.pow, Draw.normal, lambda draw, *shape: 1.0 * counts(draw, *shape)),
    ],
    "igamma": few(lax.igamma, Draw.positive, Draw.positive),
    "igammac": few(lax.igammac, Draw.positive, Draw.positive),
    "igamma_grad_a": few(lax.igamma_grad_a, Draw.positive, Draw.positive),
    "regularized_incomplete_beta": few(
        lambda a, b, x: lax.betainc(a, b, abs(x)), Draw.positive, Draw.positive, Draw.unit
    ),
    "polygamma": two(lax.polygamma, lambda draw, *s: 1.0 * draw.whole(3, *s, low=1), Draw.positive),
    "zeta": two(lax.zeta, above_one, Draw.positive),
}


def _repeated(function: Callable, left: tuple[int, ...], right: tuple[int, ...]) -> Build:
    return lambda draw: (function, [draw.normal(*left), draw.normal(*right)])


def _polynomial(draw: Draw) -> tuple[Callable, list[Array]]:
    coefficients = [draw.normal(2, 3) for _ in range(3)]
    return lambda x, *some: lax.polynomial(x, some), [draw.normal(2, 3), *coefficients]


def _newer_builds() -> dict[str, list[Build]]:
    """Of primitives, and of shapes, that older versions of JAX do not have."""
    if not hasattr(lax, "polynomial"):
        return {}
    return {
        "log2": one(lax.log2, Draw.positive),
        "one_minus_square": one(lax.one_minus_square),
        "polynomial": [_polynomial],
        "add": [
            *_BUILDS["add"],
            _repeated(primitives.add_p.bind, (1, 3), (2, 3)),
            _repeated(primitives.add_p.bind, (2, 3), ()),
        ],
    }


ENTRYWISE: dict[str, list[Make]] = makers({**_BUILDS, **_newer_builds()})
