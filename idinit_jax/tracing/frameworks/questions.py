"""Whether a Linen module may do something else while it is initialized: read off its code.

Behaviour cannot be compared without a second trace, but a module that never names one of the
questions cannot know the difference.
"""

import contextlib
import functools
from collections.abc import Iterable, Iterator, Mapping
from types import CodeType, FunctionType, ModuleType
from typing import Any

# By these a module learns whether it is being initialized.
_QUESTIONS = {
    "get_variable",
    "has_rng",
    "has_variable",
    "is_initializing",
    "is_mutable_collection",
    "put_variable",
    "scope",
    "variables",
}
# Flax's modules ask in order to update batch statistics or about other state; this project's, in
# order to draw a row of blocks together.
_TRUSTED = ("idinit_jax", "flax", "jax", "numpy", "builtins")


def asks(sources: Iterable[Any]) -> bool:
    """Whether modules may ask for their variables.

    Args:
        sources: the modules' classes and what their attributes hold, which is all the code that
            they may run. Functions that it names or encloses are searched too.
    """
    seen: set[CodeType] = set()
    return any(
        _QUESTIONS & set(code.co_names)
        for source in sources
        for member in _members(source)
        for code in _codes(member, seen)
    )


def _members(source: Any) -> Iterator[Any]:
    """What a class and its bases hold; anything else as it is."""
    if not isinstance(source, type):
        yield source
        return
    for base in source.__mro__:
        if not _is_trusted(base.__module__):
            yield from vars(base).values()


def _codes(member: Any, seen: set[CodeType]) -> Iterator[CodeType]:
    """The code of a function and of all that it names, once each."""
    function = _function_of(member)
    if function is None or _is_trusted(function.__module__) or function.__code__ in seen:
        return
    pending = [function.__code__]
    while pending:
        code = pending.pop()
        seen.add(code)
        yield code
        pending += [const for const in code.co_consts if isinstance(const, CodeType)]
        for named in _named(code, function.__globals__):
            yield from _codes(named, seen)
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # a name that is not bound yet
            yield from _codes(cell.cell_contents, seen)


def _named(code: CodeType, names: Mapping[str, Any]) -> Iterator[Any]:
    """What a piece of code names: globals, and members of modules among them."""
    for name in code.co_names:
        named = names.get(name)
        yield named
        if isinstance(named, ModuleType) and not _is_trusted(named.__name__):
            yield from (vars(named).get(member) for member in code.co_names)


def _function_of(member: Any) -> FunctionType | None:
    """The innermost function of a method, a property or a wrapper, None for anything else."""
    match member:
        case FunctionType():
            return _function_of(member.__wrapped__) if hasattr(member, "__wrapped__") else member
        case staticmethod() | classmethod():
            return _function_of(member.__func__)
        case property():
            return _function_of(member.fget)
        case functools.partial() | functools.cached_property():
            return _function_of(member.func)
    if type(member).__module__.split(".")[0] in ("flax", "jaxlib"):  # their own wrappers
        inner = getattr(member, "__wrapped__", None) or getattr(member, "wrapped", None)
        return _function_of(inner)
    return None


def _is_trusted(module: str | None) -> bool:
    return (module or "").split(".")[0] in _TRUSTED
