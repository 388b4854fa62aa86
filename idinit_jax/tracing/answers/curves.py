"""Functions of one number, run on a grid and told apart by what they make of it."""

import functools
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from scipy import special

# Functions are compared here; wide enough to tell a relu that is cut off at 6.
GRID = np.linspace(-8.0, 8.0, 161)
UNNAMED = "another function"
EVEN = ("square", "abs")

# Relative deviations up to which two functions are the same, or one stands for the other.
_SAME, _NEAR = 1e-4, 0.03
_MOST_ARGUMENTS = 4

Function = Callable[..., Any]


@dataclass(frozen=True, eq=False)
class Curve:
    """A function of one number.

    Attributes:
        rows: its values on the grid, by the value that learned factors take.
        arguments: (a, b) where a function was taken of a z + b.
        inner: the curve that this one is a function of, if of one alone.
    """

    rows: np.ndarray
    arguments: tuple[tuple[float, float], ...] = ()
    inner: "Curve | None" = None

    @functools.cached_property
    def line(self) -> tuple[float, float] | None:
        """(a, b) if the function is a z + b, whatever the learned factors are."""
        lines = [_line_through(row) for row in self.rows]
        return None if None in lines else lines[0]

    @functools.cached_property
    def name(self) -> str | None:
        """What it is called up to scale, by the nearest of the known ones; None if linear.

        A function of a known one has that one's name, if it has none itself: exp(tanh(z)) is
        heard as tanh. A square inside makes something else of it: exp(-z^2) is none of the known.
        """
        name = _name_of(self.rows, self.arguments)
        if name != UNNAMED or self.inner is None:
            return name
        before = self.inner.name
        return UNNAMED if before in (None, *EVEN) else before


IDENTITY = Curve(np.stack([GRID, GRID]))
# What a learned factor counts as. It starts at 1, the slope of a PReLU below 1: the second row
# is asked where the first is linear.
LEARNED_FACTOR = Curve(np.stack([np.ones_like(GRID), np.full_like(GRID, 0.25)]))

_ENTRYWISE: Mapping[str, Function] = {
    "neg": np.negative,
    "abs": np.abs,
    "sign": np.sign,
    "square": np.square,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "cbrt": np.cbrt,
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "logistic": special.expit,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "erf": special.erf,
    "erfc": special.erfc,
    "erf_inv": special.erfinv,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": np.round,
    "is_finite": np.isfinite,
    "not": np.logical_not,
    "and": np.logical_and,
    "or": np.logical_or,
    "xor": np.logical_xor,
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "add": np.add,
    "add_any": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "max": np.maximum,
    "min": np.minimum,
    "pow": np.power,
    "atan2": np.arctan2,
    "rem": np.fmod,
    "clamp": lambda low, x, high: np.minimum(np.maximum(x, low), high),
    "select_n": lambda which, *cases: np.choose(
        np.clip(which, 0, len(cases) - 1).astype(int), cases
    ),
}


def is_entrywise(operation: str) -> bool:
    return operation in _ENTRYWISE or operation in ("integer_pow", "convert_element_type")


def applied(operation: str, params: Mapping[str, Any], operands: Sequence[Curve | float]) -> Curve:
    """An entrywise operation on curves and numbers."""
    return _applied(operation, params.get("y", params.get("new_dtype")), *operands)


@functools.lru_cache(maxsize=4096)
def _applied(operation: str, parameter: Hashable, *operands: Curve | float) -> Curve:
    """The same operation on the same curves is evaluated once: most layers are alike."""
    values = [one.rows if isinstance(one, Curve) else one for one in operands]
    with np.errstate(all="ignore"):
        made = np.asarray(_function(operation, parameter)(*values), float)
    rows = np.broadcast_to(made, IDENTITY.rows.shape)
    curves = [one for one in operands if isinstance(one, Curve) and one is not LEARNED_FACTOR]
    arguments = [argument for curve in curves for argument in curve.arguments]
    if _line_through(rows[0]) is None:
        arguments += [curve.line for curve in curves if curve.line and curve.line[0]]
    inner = curves[0] if len(curves) == 1 else None
    return Curve(rows, tuple(dict.fromkeys(arguments))[:_MOST_ARGUMENTS], inner)


def _function(operation: str, parameter: Any) -> Function:
    if operation == "integer_pow":
        return lambda x: x ** float(parameter)
    if operation == "convert_element_type":
        return _conversion(parameter)
    return _ENTRYWISE[operation]


def _conversion(dtype: Any) -> Function:
    if jnp.issubdtype(dtype, jnp.bool_):
        return lambda x: x != 0
    return np.trunc if jnp.issubdtype(dtype, jnp.integer) else np.asarray


def _line_through(row: np.ndarray) -> tuple[float, float] | None:
    """(a, b) if the function is a z + b."""
    if not np.isfinite(row).all():
        return None
    slope, offset = (row[-1] - row[0]) / (GRID[-1] - GRID[0]), row[len(row) // 2]
    apart = np.abs(row - slope * GRID - offset).max()
    return (float(slope), float(offset)) if apart <= 1e-6 * np.abs(row).max() else None


def _name_of(rows: np.ndarray, arguments: Sequence[tuple[float, float]]) -> str | None:
    for row in rows:
        if not np.isfinite(row).all():
            return UNNAMED
        if _line_through(row) is None:
            return _name_of_bent(row, arguments)
    return None


def _name_of_bent(row: np.ndarray, arguments: Sequence[tuple[float, float]]) -> str:
    if kinked := _name_of_kinked(row):
        return kinked
    found = [_deviations(row, *argument) for argument in ((1.0, 0.0), *arguments)]
    for deviations in (one for both in found for one in both):
        same = np.flatnonzero(deviations < _SAME)
        if same.size:
            return _NAMES[same[0]]
    if saturating := _name_of_exponential(row):
        return saturating
    for straight, _ in found:
        if straight.min() < _NEAR:
            return _NAMES[straight.argmin()]
    return UNNAMED


def _name_of_kinked(row: np.ndarray) -> str | None:
    """The name of a function that is linear on both sides of 0."""
    slopes = -row[0] / GRID[-1], row[-1] / GRID[-1]
    kinked = np.where(GRID < 0, slopes[0] * GRID, slopes[1] * GRID)
    if np.abs(row - kinked).max() > _SAME * np.abs(row).max():
        return None
    flat, steep = sorted(slopes, key=abs)
    if abs(flat) < _SAME * abs(steep):
        return "relu"
    return "abs" if abs(flat + steep) < _SAME * abs(steep) else "leaky_relu"


def _name_of_exponential(row: np.ndarray) -> str | None:
    """The name of c z above 0 and a (exp(k z) - 1) below, whatever a and k."""
    slope, below = row[-1] / GRID[-1], GRID < 0
    left = 1 - row[GRID.searchsorted(-0.5)] / row[0] if row[0] else 0.0
    if not 0 < left < 1:
        return None
    rate = -2 * np.log(left)
    depth = row[0] / np.expm1(rate * GRID[0])
    made = np.where(below, depth * np.expm1(rate * np.minimum(GRID, 0)), slope * GRID)
    if np.abs(row - made).max() > _NEAR / 10 * np.abs(row).max():
        return None
    return "celu" if abs(depth * rate - slope) < _NEAR * abs(slope) else "elu"


def _deviations(row: np.ndarray, slope: float, offset: float) -> tuple[np.ndarray, np.ndarray]:
    """How far all known functions of slope z + offset, scaled, and shifted too, are from one."""
    known = _known(slope, offset)
    scale = known @ row / (known * known).sum(1)
    straight = np.abs(row - scale[:, None] * known).max(1) / np.abs(row).max()
    centered, rest = known - known.mean(1, keepdims=True), row - row.mean()
    scale = centered @ rest / (centered * centered).sum(1)
    apart = rest - scale[:, None] * centered
    shifted = (apart.max(1) - apart.min(1)) / (row.max() - row.min())
    return np.nan_to_num(straight, nan=1.0), np.nan_to_num(shifted, nan=1.0)


@functools.lru_cache(maxsize=256)
def _known(slope: float, offset: float) -> np.ndarray:
    """The known functions of slope z + offset, then of the negative."""
    with np.errstate(all="ignore"):
        argument = slope * GRID + offset
        rows = [f(sign * argument) for sign in (1, -1) for _, f in _KNOWN]
    return np.stack(rows)


def _softplus(z: np.ndarray) -> np.ndarray:
    return np.logaddexp(z, 0)


def _elu(z: np.ndarray) -> np.ndarray:
    return np.where(z > 0, z, np.expm1(np.minimum(z, 0)))


def _relu6(z: np.ndarray) -> np.ndarray:
    return np.clip(z, 0, 6)


_SELU_ALPHA = 1.6732632423543772
_KNOWN: tuple[tuple[str, Callable[[np.ndarray], np.ndarray]], ...] = (
    ("relu", lambda z: np.maximum(z, 0)),
    ("gelu", lambda z: z * special.ndtr(z)),
    ("silu", lambda z: z * special.expit(z)),
    ("silu", lambda z: z * special.expit(1.702 * z)),
    ("tanh", np.tanh),
    ("sigmoid", special.expit),
    ("tanh", lambda z: np.tanh(z / 2)),
    ("softplus", _softplus),
    ("log_sigmoid", lambda z: -_softplus(-z)),
    ("elu", _elu),
    ("selu", lambda z: np.where(z > 0, z, _SELU_ALPHA * _elu(np.minimum(z, 0)))),
    ("mish", lambda z: z * np.tanh(_softplus(z))),
    ("relu6", _relu6),
    ("hard_tanh", lambda z: np.clip(z, -1, 1)),
    ("hard_sigmoid", lambda z: _relu6(z + 3) / 6),
    ("hard_silu", lambda z: z * _relu6(z + 3) / 6),
    ("soft_sign", lambda z: z / (1 + np.abs(z))),
    ("squareplus", lambda z: (z + np.sqrt(z * z + 4)) / 2),
    ("relu_squared", lambda z: np.square(np.maximum(z, 0))),
    ("square", np.square),
    ("abs", np.abs),
    ("exp", np.exp),
    ("sin", np.sin),
    ("sin", np.cos),
)
_NAMES = [name for _ in (1, -1) for name, _ in _KNOWN]
