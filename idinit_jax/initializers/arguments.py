"""Checks of a factory's arguments: what was given, what is allowed, which valid name is nearest."""

import difflib
import math
import numbers
import operator
from collections.abc import Iterable, Sequence
from typing import Any

Axes = int | Sequence[int]


def check_choice(name: str, value: Any, allowed: Iterable[str]) -> None:
    """Refuses a name that is not among `allowed`, and proposes the nearest one."""
    allowed = tuple(allowed)
    if value in allowed:
        return
    nearest = difflib.get_close_matches(str(value).lower(), allowed, n=1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    raise ValueError(f"{name}={value!r} is not one of {', '.join(map(repr, allowed))}{hint}")


def check_real(name: str, value: Any) -> None:
    """Refuses anything but a finite Python or NumPy real number."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a real number, got {value!r} of type {_type(value)}")
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value!r}")


def check_positive(name: str, value: Any) -> None:
    """Refuses anything but a finite number above zero."""
    check_real(name, value)
    if value <= 0:
        raise ValueError(f"{name} must be positive, got {value!r}")


def check_not_negative(name: str, value: Any) -> None:
    """Refuses anything but a finite number of at least zero."""
    check_real(name, value)
    if value < 0:
        raise ValueError(f"{name} must be zero or positive, got {value!r}")


def check_count(name: str, value: Any) -> int:
    """The given whole number of at least one, as a Python int."""
    count = _integer(name, value)
    if count < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
    return count


def check_axes(name: str, value: Any, *, required: bool) -> int | tuple[int, ...]:
    """The given axis or axes in hashable form; at least one where `required`."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return _integer(name, value)
    if required and not value:
        raise ValueError(f"{name}={value!r} names no axis; a kernel needs at least one")
    return tuple(_integer(name, axis) for axis in value)


def _integer(name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: expected int, got {value!r} of type {_type(value)}") from None


def _type(value: Any) -> str:
    return type(value).__name__
