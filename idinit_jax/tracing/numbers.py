"""Numbers that a program computes from numbers, such as one over the square root of a width."""

import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

from idinit_jax.tracing import operations

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
}


def folded(operation: str, params: dict[str, Any], known: Sequence[float | None]) -> float | None:
    """What an operation makes of known numbers; None for an unknown one, or outside its domain."""
    numbers = [number for number in known if number is not None]
    if not numbers or len(numbers) < len(known):
        return None
    if operation in operations.RESHAPES:
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
