"""A scheme: which initializer each part of a model gets, as a table from role to rule."""

import dataclasses
import difflib
import functools
from collections.abc import Callable, Mapping
from typing import NamedTuple

from idinit_jax.initializers import Initializer
from idinit_jax.tracing.graph import Kernel, ModelGraph, Parameter

Entry = Kernel | Parameter


class Choice(NamedTuple):
    """What a parameter starts as, and why.

    `initializer` is None where the model's own start stays. A kernel's traced axes are given to
    it later; here it stands as one would write it.
    """

    initializer: Initializer | None
    reason: str


@dataclasses.dataclass(frozen=True)
class SchemeRule:
    """A pure function (entry, graph) -> Choice; made with `rule`."""

    choose: Callable[[Entry, ModelGraph], Choice]

    def __call__(self, entry: Entry, graph: ModelGraph) -> Choice:
        return self.choose(entry, graph)


def rule(choose: Callable[..., tuple[Initializer | None, str]]) -> SchemeRule:
    """Make a rule of a function from an entry of a graph to an initializer and a reason.

    >>> import idinit_jax
    >>> @rule
    ... def half_he(kernel, graph):
    ...     return idinit_jax.variance_scaling(1.0), "half of He's variance"
    """

    @functools.wraps(choose)
    def checked(entry: Entry, graph: ModelGraph) -> Choice:
        return Choice(*choose(entry, graph))

    return SchemeRule(checked)


def as_rule(value: SchemeRule | Initializer) -> SchemeRule:
    """A rule as it is; an initializer as the rule that gives it to everything.

    Raises:
        TypeError: value is neither.
    """
    if isinstance(value, SchemeRule):
        return value
    if not callable(value):
        raise TypeError(f"expected an initializer or a rule made with @rule, got {value!r}")
    return SchemeRule(lambda _entry, _graph: Choice(value, "as given"))


@dataclasses.dataclass(frozen=True)
class Scheme:
    """A table from role to rule for kernels, and from kind to rule for everything else.

    Args:
        name: by which it is asked for.
        summary: one line, with the paper.
        kernels: role -> rule or initializer. "unknown" is the fallback for kernels whose role
            tracing could not decide.
        parameters: kind -> rule or initializer.
        check: raises ValueError for a model that the method does not fit; None for any model.
    """

    name: str
    summary: str
    kernels: Mapping[str, SchemeRule | Initializer]
    parameters: Mapping[str, SchemeRule | Initializer]
    check: Callable[[ModelGraph], None] | None = None

    def rule_for(self, entry: Entry) -> SchemeRule | None:
        """The rule for an entry of a graph, None where the tables have none."""
        if isinstance(entry, Kernel):
            found = self.kernels.get(entry.role)
        else:
            found = self.parameters.get(entry.kind)
        return None if found is None else as_rule(found)


_REGISTRY: dict[str, Scheme] = {}


def register(scheme: Scheme) -> Scheme:
    """Make a scheme known by its name.

    Raises:
        ValueError: another scheme has this name.

    >>> import idinit_jax
    >>> from idinit_jax import schemes as s
    >>> he = s.get_scheme("he")
    >>> mine = s.Scheme("he_small_head", "He with a small head",
    ...                 {**he.kernels, "head": idinit_jax.normal(1e-3)}, he.parameters)
    >>> _ = s.register(mine)
    """
    if _REGISTRY.get(scheme.name, scheme) != scheme:
        raise ValueError(f"a scheme named {scheme.name!r} exists already; choose another name")
    _REGISTRY[scheme.name] = scheme
    return scheme


def schemes() -> tuple[str, ...]:
    """Names of all registered schemes, in alphabetical order."""
    return tuple(sorted(_REGISTRY))


def get_scheme(scheme: str | Scheme) -> Scheme:
    """A scheme by its name; a Scheme as it is.

    Raises:
        ValueError: no scheme has this name; the nearest names are told.
    """
    if isinstance(scheme, Scheme):
        return scheme
    if scheme in _REGISTRY:
        return _REGISTRY[scheme]
    near = difflib.get_close_matches(str(scheme), schemes(), n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    raise ValueError(f"unknown scheme {scheme!r}; {hint}There are {', '.join(schemes())}")
