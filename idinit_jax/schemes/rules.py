"""Rules that several schemes share."""

import math
from collections.abc import Callable

from idinit_jax.initializers import (
    NONLINEARITIES,
    Initializer,
    constant,
    he,
    lecun,
    normal,
    zeros,
)
from idinit_jax.schemes.scheme import Entry, SchemeRule, rule
from idinit_jax.tracing.graph import Kernel, ModelGraph, Parameter, ResidualSum


def branch_of(entry: Entry, graph: ModelGraph) -> ResidualSum | None:
    """The residual sum whose branch an entry is on."""
    return None if entry.branch is None else graph.residuals[entry.branch]


def nonlinearity_of(kernel: Kernel) -> tuple[str, str]:
    """The nonlinearity that a kernel's gain should make up for, and how it is known.

    A known one follows; query, key, value, output, router and head are followed by none; elsewhere
    relu, as in the networks that He's rule was derived for: it stands behind the next sum.
    """
    followed_by = kernel.nonlinearity
    if followed_by in NONLINEARITIES:
        return followed_by, f"{followed_by} follows"
    if kernel.role in ("head", "router") or kernel.attention:
        return "linear", "no nonlinearity follows"
    if followed_by is None:
        return "relu", "relu assumed: none before the next kernel or sum"
    return "relu", f"relu assumed: {followed_by} has no known gain"


def effective(value: float, parameter: Parameter) -> Initializer:
    """The constant that makes `factor * stored + offset` equal `value`, times the factor's size.

    A constant factor belongs to the architecture: `(1 + scale) / 8` starts at an eighth.
    """
    return constant((value * abs(parameter.factor) - parameter.offset) / parameter.factor)


def scale_of(value: float, why: str) -> SchemeRule:
    """A rule that makes whatever scales the signal scale it by `value`."""

    @rule
    def scale(parameter: Parameter, graph: ModelGraph) -> tuple[Initializer | None, str]:
        del graph
        if parameter.bent:
            return None, "scales through a function, so it keeps the model's own start"
        stored = (parameter.factor, parameter.offset) != (1.0, 0.0)
        note = f"; used as {parameter.factor:g} * stored + {parameter.offset:g}" if stored else ""
        return effective(value, parameter), why + note

    return scale


def at_branch_end(ending: SchemeRule, elsewhere: SchemeRule) -> SchemeRule:
    """One rule for the last thing that scales a branch, another for the rest."""

    @rule
    def scale(parameter: Parameter, graph: ModelGraph) -> tuple[Initializer | None, str]:
        return (ending if parameter.ends_branch else elsewhere)(parameter, graph)

    return scale


def because(initializer: Initializer, reason: str) -> SchemeRule:
    """A rule that gives the same initializer to everything, with its reason."""

    @rule
    def same(entry: Entry, graph: ModelGraph) -> tuple[Initializer, str]:
        del entry, graph
        return initializer, reason

    return same


def keep(reason: str) -> SchemeRule:
    """A rule that leaves the model's own start."""

    @rule
    def own(entry: Entry, graph: ModelGraph) -> tuple[None, str]:
        del graph
        return None, f"{reason}: {entry.reason}" if entry.reason else reason

    return own


def but_when_unknown(fallback: SchemeRule) -> SchemeRule:
    """A fallback that says why it had to be used."""

    @rule
    def unknown(kernel: Kernel, graph: ModelGraph) -> tuple[Initializer | None, str]:
        initializer, reason = fallback(kernel, graph)
        return initializer, f"role unknown ({kernel.reason}), fallback: {reason}"

    return unknown


@rule
def traced_he(kernel: Kernel, graph: ModelGraph) -> tuple[Initializer, str]:
    """He's variance with the gain of the nonlinearity that follows."""
    del graph
    nonlinearity, known = nonlinearity_of(kernel)
    return he(nonlinearity=nonlinearity), known


@rule
def embedding(kernel: Kernel, graph: ModelGraph) -> tuple[Initializer, str]:
    """Rows of length about 1: `std = features^(-1/2)`."""
    del graph
    features = max(1, kernel.fan_out)
    return normal(features**-0.5), f"rows of length 1 for {features} features"


def single_token(initializer: Initializer, reason: str) -> SchemeRule:
    """A rule for a token in a single place; several must differ from the start."""

    @rule
    def token(parameter: Parameter, graph: ModelGraph) -> tuple[Initializer | None, str]:
        del graph
        if math.prod(parameter.shape[:-1]) > 1:
            return None, "tokens that started alike would stay alike: the model's own start"
        if math.prod(parameter.shape) == 1:
            return zeros(), "one number for all features starts at zero"
        return initializer, reason

    return token


@rule
def bias(parameter: Parameter, graph: ModelGraph) -> tuple[Initializer | None, str]:
    """Zero, or what the model chose: a forget gate's 1, a detector's prior, rates."""
    del graph
    if parameter.designed:
        return None, "uneven where the model's other biases are not: its own start"
    if parameter.start:
        return constant(parameter.start), "a constant that the model chose"
    return zeros(), "biases start at zero"


def everywhere(
    kernels: SchemeRule | Initializer, head: SchemeRule | Initializer | None = None
) -> dict[str, SchemeRule | Initializer]:
    """A kernel table with one rule for all roles but embeddings, and perhaps head and router.

    A router's outputs are the logits of a choice, as a head's are.
    """
    roles: tuple[str, ...] = ("stem", "hidden", "tail", "shortcut", "router", "head")
    table: dict[str, SchemeRule | Initializer] = dict.fromkeys(roles, kernels)
    if head is not None:
        table |= {"head": head, "router": head}
    fallback = kernels if isinstance(kernels, SchemeRule) else because(kernels, "as elsewhere")
    return {**table, "embedding": embedding, "unknown": but_when_unknown(fallback)}


linear_head = because(lecun(), "head: unit variance of the logits")

own_multiplier = keep("a learned multiplier keeps the model's own start")

STANDARD_PARAMETERS: dict[str, SchemeRule | Initializer] = {
    "norm_scale": scale_of(1.0, "norms start without effect"),
    "norm_bias": because(zeros(), "norms start without effect"),
    "bias": bias,
    "multiplier": own_multiplier,
    "kernel_scale": keep("the scale of a reparametrized kernel keeps the model's own start"),
    "position_embedding": because(normal(0.02), "positions start nearly alike"),
    "class_token": single_token(zeros(), "the token starts empty"),
    "unused": keep("reaches no output, keeps the model's own start"),
    "unknown": keep("kind unknown, keeps the model's own start"),
}

_Check = Callable[[ModelGraph], None]


def needs_branch_end(method: str, kinds: tuple[str, ...], advice: str) -> _Check:
    """A check that every residual branch ends in a parameter of one of some kinds."""

    def check(graph: ModelGraph) -> None:
        missing = [sum_ for sum_ in graph.residuals if not ends_in(sum_, kinds, graph)]
        if missing or not graph.residuals:
            where = ", ".join(" + ".join(sum_.tails) for sum_ in missing[:5]) or "no residual sum"
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            raise ValueError(
                f"{method} needs a {' or '.join(kinds)} at the end of every residual branch;"
                f" without: {where}{more}. {advice}"
            )

    return check


def ends_in(sum_: ResidualSum, kinds: tuple[str, ...], graph: ModelGraph) -> bool:
    """Whether a branch is scaled by a parameter of one of some kinds."""
    entries = [graph[path] for path in sum_.scales]
    return any(isinstance(entry, Parameter) and entry.kind in kinds for entry in entries)
