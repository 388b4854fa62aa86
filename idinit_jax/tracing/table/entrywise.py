"""Functions of the entries at one place."""

import math
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from idinit_jax.tracing.table import intervals
from idinit_jax.tracing.table.intervals import Bounds, Interval
from idinit_jax.tracing.table.law import (
    Applied,
    Law,
    Operands,
    Row,
    broadcast,
    without_absent,
)

_UNIT = intervals.always(0.0, 1.0)
_BOTH: Operands = (0, 1)


def entrywise(
    scaling: tuple[tuple[Operands, float], ...] = (),
    vanishing: tuple[Operands, ...] = (),
    signs: tuple[tuple[Operands, int], ...] = (),
    bounds: Bounds = intervals.everywhere,
    choosers: Operands = (),
) -> Row:
    """A row of a function of entries; operands may be scalars or repeated along axes of size 1."""

    def row(applied: Applied) -> Law:
        moves = {i: broadcast(shape, applied.out) for i, shape in enumerate(applied.ins)}
        return Law(scaling, choosers, vanishing, signs, without_absent(moves), bounds)

    return row


def unary(
    degree: float | None = None,
    vanishes: bool = False,
    sign: int | None = None,
    bounds: Bounds = intervals.everywhere,
) -> Row:
    """A function of one entry: its degree if it is homogeneous, whether f(0) = 0, its parity."""
    return entrywise(
        scaling=() if degree is None else (((0,), degree),),
        vanishing=((0,),) if vanishes else (),
        signs=() if sign is None else (((0,), sign),),
        bounds=bounds,
    )


def odd(bounds: Bounds = intervals.sign_kept) -> Row:
    """An odd function, so f(0) = 0."""
    return unary(None, True, -1, bounds)


def step(vanishes: bool = False, sign: int | None = None, bounds: Bounds = _UNIT) -> Row:
    """A locally constant function of one entry."""
    return entrywise(
        choosers=(0,),
        vanishing=((0,),) if vanishes else (),
        signs=() if sign is None else (((0,), sign),),
        bounds=bounds,
    )


def choice(bounds: Bounds) -> Row:
    """A locally constant function of two entries."""
    return entrywise(choosers=_BOTH, bounds=bounds)


def together(sign: int | None, bounds: Bounds) -> Row:
    """Two entries of one degree."""
    return entrywise(((_BOTH, 1),), (_BOTH,), () if sign is None else ((_BOTH, sign),), bounds)


def integer_power(applied: Applied) -> Law:
    exponent = applied.params["y"]
    parity = 1 if exponent % 2 == 0 else -1
    return unary(exponent, exponent > 0, parity, intervals.power(exponent))(applied)


def converted(applied: Applied) -> Law:
    """Numbers of another type; integers and booleans are steps."""
    kind = applied.params["new_dtype"]
    if jnp.issubdtype(kind, np.inexact):
        return unary(1, True, -1, lambda operands: operands[0])(applied)
    if jnp.issubdtype(kind, np.bool_):
        return step(True, 1, _nonzero)(applied)
    if jnp.issubdtype(kind, np.unsignedinteger):
        return step(True, None, _truncated(kind))(applied)
    if jnp.issubdtype(kind, np.integer):
        return step(True, -1, _truncated(kind))(applied)
    return entrywise(choosers=(0,))(applied)


def _nonzero(operands: Sequence[Interval]) -> Interval:
    low, high = operands[0]
    return float(low > 0 or high < 0), float((low, high) != (0, 0))


def _truncated(kind: np.dtype) -> Bounds:
    """Towards 0; what the type cannot hold may become any of its numbers."""
    limits = jnp.iinfo(kind)

    def bounds(operands: Sequence[Interval]) -> Interval:
        if not limits.min <= operands[0][0] <= operands[0][1] <= limits.max:
            return float(limits.min), float(limits.max)
        low, high = (float(math.trunc(end)) for end in operands[0])
        return low, high

    return bounds


def rounded(applied: Applied) -> Law:
    """To the nearest integer, halves away from 0 or to even ones."""
    to_even = applied.params["rounding_method"] == jax.lax.RoundingMethod.TO_NEAREST_EVEN
    function = np.round if to_even else _half_away
    return step(True, -1, intervals.increasing(function))(applied)


def _half_away(entry: float) -> float:
    return math.copysign(np.floor(abs(entry) + 0.5), entry)


def polynomial(applied: Applied) -> Law:
    """Linear in the coefficients, which stand behind the entry."""
    coefficients = tuple(range(1, len(applied.ins)))
    row = entrywise(((coefficients, 1),), ((0, 1), coefficients), ((coefficients, -1),))
    return row(applied)


def _negated_square(operands: Sequence[Interval]) -> Interval:
    return intervals.negated(intervals.power(2)(operands))


def select(applied: Applied) -> Law:
    """One of the cases, by a predicate."""
    cases = tuple(range(1, len(applied.ins)))
    row = entrywise(((cases, 1),), (cases,), ((cases, -1),), intervals.selected, (0,))
    return row(applied)


ENTRYWISE: Mapping[str, Row] = {
    # Homogeneous.
    "neg": unary(1, True, -1, lambda operands: intervals.negated(operands[0])),
    "abs": unary(1, True, 1, intervals.absolute),
    "square": unary(2, True, 1, intervals.power(2)),
    "integer_pow": integer_power,
    "sqrt": unary(0.5, True, None, intervals.increasing(np.sqrt, 0.0)),
    "rsqrt": unary(
        -0.5, False, None, intervals.decreasing(lambda x: 1 / np.sqrt(np.float64(x)), 0.0)
    ),
    "cbrt": unary(1 / 3, True, -1, intervals.increasing(np.cbrt)),
    "convert_element_type": converted,
    "reduce_precision": unary(1, True, -1, intervals.sign_kept),
    "real": unary(1, True, -1),
    "imag": unary(1, True, -1),
    "conj": unary(1, True, -1),
    # Not homogeneous; odd ones are 0 at 0.
    "tanh": odd(intervals.increasing(np.tanh)),
    "erf": odd(intervals.increasing(math.erf)),
    "sin": odd(intervals.always(-1.0, 1.0)),
    "tan": odd(intervals.everywhere),
    "sinh": odd(intervals.increasing(np.sinh)),
    "asin": odd(intervals.increasing(np.arcsin, -1.0, 1.0)),
    "atan": odd(intervals.increasing(np.arctan)),
    "asinh": odd(intervals.increasing(np.arcsinh)),
    "atanh": odd(intervals.increasing(np.arctanh, -1.0, 1.0)),
    "erf_inv": odd(),
    "bessel_i1e": odd(intervals.always(-0.22, 0.22)),
    "expm1": unary(vanishes=True, bounds=intervals.increasing(np.expm1)),
    "log1p": unary(vanishes=True, bounds=intervals.increasing(np.log1p, -1.0)),
    "cos": unary(sign=1, bounds=intervals.always(-1.0, 1.0)),
    "one_minus_square": unary(
        sign=1, bounds=lambda operands: intervals.added([(1.0, 1.0), _negated_square(operands)])
    ),
    "cosh": unary(sign=1, bounds=intervals.always(1.0, math.inf)),
    "bessel_i0e": unary(sign=1, bounds=_UNIT),
    "exp": unary(bounds=intervals.increasing(np.exp)),
    "exp2": unary(bounds=intervals.increasing(np.exp2)),
    "log": unary(bounds=intervals.increasing(np.log, 0.0)),
    "log2": unary(bounds=intervals.increasing(np.log2, 0.0)),
    "logistic": unary(bounds=intervals.increasing(intervals.logistic)),
    "erfc": unary(bounds=intervals.decreasing(math.erfc)),
    "acos": unary(bounds=intervals.decreasing(np.arccos, -1.0, 1.0)),
    "acosh": unary(bounds=intervals.increasing(np.arccosh, 1.0)),
    "lgamma": unary(),
    "digamma": unary(),
    # Locally constant.
    "sign": step(True, -1, intervals.increasing(np.sign)),
    "floor": step(True, None, intervals.increasing(np.floor)),
    "ceil": step(True, None, intervals.increasing(np.ceil)),
    "round": rounded,
    "is_finite": step(),
    "not": step(bounds=intervals.everywhere),
    "population_count": step(True, None, intervals.always(0.0, 64.0)),
    "clz": step(bounds=intervals.always(0.0, 64.0)),
    "eq": choice(intervals.equal),
    "ne": choice(intervals.not_(intervals.equal)),
    "lt": choice(intervals.less),
    "ge": choice(intervals.not_(intervals.less)),
    "gt": choice(intervals.greater),
    "le": choice(intervals.not_(intervals.greater)),
    "eq_to": choice(_UNIT),
    "lt_to": choice(_UNIT),
    "le_to": choice(_UNIT),
    "and": choice(intervals.bits_of_both),
    "or": choice(intervals.bits_of_any),
    "xor": choice(intervals.bits_of_any),
    "shift_left": choice(intervals.everywhere),
    "shift_right_logical": choice(intervals.shifted_right),
    "shift_right_arithmetic": choice(intervals.shifted_right),
    "mulhi": choice(intervals.everywhere),
    # Of several entries.
    "add": together(-1, intervals.added),
    "add_any": together(-1, intervals.added),
    "sub": together(-1, intervals.subtracted),
    "max": together(None, intervals.largest),
    "min": together(None, intervals.smallest),
    "clamp": entrywise((((0, 1, 2), 1),), ((0, 2), (1, 2)), bounds=intervals.clamped),
    "complex": together(-1, intervals.everywhere),
    "select_n": select,
    "polynomial": polynomial,
    "mul": entrywise(
        (((0,), 1), ((1,), 1)), ((0,), (1,)), (((0,), -1), ((1,), -1)), intervals.multiplied
    ),
    "div": entrywise((((0,), 1), ((1,), -1)), ((0,),), (((0,), -1), ((1,), -1)), intervals.divided),
    "rem": entrywise(((_BOTH, 1),), ((0,),), (((0,), -1), ((1,), 1)), intervals.remainder),
    "atan2": entrywise(((_BOTH, 0),), (), (((0,), -1),), intervals.always(-math.pi, math.pi)),
    "nextafter": entrywise(signs=((_BOTH, -1),)),
    "pow": entrywise(bounds=intervals.of_power),
    "igamma": entrywise(vanishing=((1,),), bounds=_UNIT),
    "igammac": entrywise(bounds=_UNIT),
    "igamma_grad_a": entrywise(),
    "regularized_incomplete_beta": entrywise(vanishing=((2,),), bounds=_UNIT),
    "polygamma": entrywise(),
    "zeta": entrywise(),
}
