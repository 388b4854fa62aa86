"""From a config to the scheme that a run starts from: the library's, with an ablation's departures.

A departure replaces a row of the scheme's table by the same row of another scheme. Standard rows
are those of He, identity rows those of IDInit.
"""

import dataclasses

from experiments.config import Initialization, KernelStart, Tail
from experiments.networks import RESIDUAL_STYLES
from idinit_jax import (
    Initializer,
    Kernel,
    Layout,
    ModelGraph,
    Scheme,
    idinit,
    rule,
    zeros_identity,
)
from idinit_jax.schemes import Choice, SchemeRule, get_scheme
from idinit_jax.schemes.scheme import as_rule

Row = SchemeRule | Initializer

# Tail: the scheme whose last kernel of a branch it takes, and the one whose scales after it.
TAILS: dict[Tail, tuple[str, str]] = {
    "standard": ("he", "he"),
    "literal": ("idinit_literal", "idinit_literal"),
    "norm_aware": ("idinit", "idinit"),
    "norm_aware_he": ("he", "idinit"),
}
SCALES = ("norm_scale", "multiplier")


def scheme_of(init: Initialization) -> Scheme:
    """The library's scheme, and in it whatever ``init`` departs in.

    >>> scheme_of(Initialization("he")) == get_scheme("he")
    True
    >>> he_but_for_tails = scheme_of(Initialization("he", tail="literal"))
    >>> he_but_for_tails.kernels["hidden"] == get_scheme("he").kernels["hidden"]
    True
    """
    scheme = base_scheme(init.scheme)
    kernels, parameters = {**scheme.kernels}, {**scheme.parameters}
    starts: dict[str, KernelStart | None] = {
        "stem": init.stem,
        "shortcut": init.shortcut_start,
        "head": init.head,
    }
    for role, start in starts.items():
        if start is not None:
            kernels[role] = kernel_row(init, role, start)
    if init.tail is not None:
        kernel_scheme, scale_scheme = map(get_scheme, TAILS[init.tail])
        kernels["tail"] = kernel_scheme.kernels["tail"]
        parameters |= {kind: scale_scheme.parameters[kind] for kind in SCALES}
    if init.layout is not None:
        kernels = {role: laid_out(row, init.layout) for role, row in kernels.items()}
    return dataclasses.replace(scheme, kernels=kernels, parameters=parameters)


def base_scheme(name: str) -> Scheme:
    """The library's scheme of this name.

    Under a residual style the network is built with the scalars that the scheme needs, and starts
    them itself: the scheme's kernels are left, and its check that the scalars are there is not
    needed.
    """
    scheme = get_scheme(name)
    if name not in RESIDUAL_STYLES:
        return scheme
    own = get_scheme("framework").parameters
    return dataclasses.replace(scheme, parameters=own, check=None)


def kernel_row(init: Initialization, role: str, start: KernelStart) -> Row:
    """The customary start of a role, or IDI as the run's own scheme has it."""
    if start == "standard":
        return get_scheme("he").kernels[role]
    own = init.scheme if init.scheme.startswith("idinit") else "idinit"
    return get_scheme(own).kernels["hidden"]


def laid_out(row: Row, layout: Layout) -> SchemeRule:
    """The same row, its identity initializers in this layout."""

    @rule
    def choose(kernel: Kernel, graph: ModelGraph) -> Choice:
        initializer, reason = as_rule(row)(kernel, graph)
        if isinstance(initializer, idinit | zeros_identity):
            initializer = dataclasses.replace(initializer, layout=layout)
        return Choice(initializer, reason)

    return choose
