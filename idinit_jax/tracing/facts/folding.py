"""Numbers that a program computes from numbers, such as one over the square root of a width."""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "neg": operator.neg,
    "max": max,
    "min": min,
    "pow": operator.pow,
    "square": lambda x: x * x,
    "sqrt": math.sqrt,
    "rsqrt": lambda x: 1 / math.sqrt(x),
    "exp": math.exp,
    "log": math.log,
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
# The same number, perhaps at more or fewer positions.
_KEEPING = frozenset(
    [
        *("broadcast_in_dim", "convert_element_type", "reshape", "transpose", "squeeze", "copy"),
        *("copy_p", "stop_gradient", "optimization_barrier", "pvary", "sharding_constraint"),
        *("reduce_max", "reduce_min", "slice", "rev", "layer_slice", "layer_stack", "reshard"),
        *("name", "expand_dims", "mesh_cast", "reduce_precision"),
    ]
)


def folded(
    operation: str, params: Mapping[str, Any], known: Sequence[float | None]
) -> float | None:
    """What an operation makes of known numbers; None for an unknown one, or outside its domain."""
    numbers = [number for number in known if number is not None]
    if not numbers or len(numbers) < len(known):
        return None
    if operation in _KEEPING:
        return numbers[0]
    if operation == "integer_pow":
        return _tried(lambda x: x ** params["y"], numbers)
    function = _FUNCTIONS.get(operation)
    return None if function is None else _tried(function, numbers)


def _tried(function: Callable[..., Any], numbers: Sequence[float]) -> float | None:
    try:
        return float(function(*numbers))
    except (ArithmeticError, ValueError, TypeError):
        return None
