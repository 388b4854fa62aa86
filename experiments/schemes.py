"""From the name of a scheme, and an ablation's departures from it, to the initializers of a model.

Standard means what the paper of the network used: He's normal for convolutions and hidden layers,
LeCun's for the head.
"""

from typing import NamedTuple

from experiments.config import Initialization, Kernel, Norm, Tail
from idinit_jax import (
    Initializer,
    constant,
    he,
    idinit,
    lecun,
    ones,
    orthogonal,
    xavier,
    zero_hadamard,
    zeros,
    zeros_identity,
    zeros_perturbed,
)

LITERAL_EPSILON = 1e-6
NORM_AWARE_EPSILON = 0.1
NORM_AWARE_SCALE = 1e-3


class Tails(NamedTuple):
    """How a residual branch ends: its last kernel, and the scale of the norm after it."""

    kernel: Initializer
    norm_scale: Initializer


class Initializers(NamedTuple):
    """One initializer a role, and the style of the residual sums that the scheme asks for.

    None leaves the choice to the model, whose Fixup style knows the number of its branches.
    """

    stem: Initializer
    hidden: Initializer | None
    tail: Initializer | None
    tail_scale: Initializer
    shortcut: Initializer
    head: Initializer | None
    residual: str


def initializers(init: Initialization, norm: Norm) -> Initializers:
    """The initializers that ``init`` asks for in a network with this norm.

    Args:
        init: the scheme and its departures.
        norm: "batch", "layer" or "none"; decides where the smallness of an identity tail sits.

    Returns:
        One initializer a role.

    >>> initializers(Initialization("idinit"), norm="none").tail
    zeros_identity(epsilon=1e-06, layout='channel')
    """
    hidden = _hidden(init)
    tails = _tails(init, hidden, norm)
    fixup = init.scheme == "fixup"
    return Initializers(
        stem=_chosen(init.stem, init, he()),
        hidden=None if fixup else hidden,
        tail=None if fixup and init.tail is None else tails.kernel,
        tail_scale=tails.norm_scale,
        shortcut=_chosen(init.shortcut_start or _scheme_shortcut(init), init, he()),
        head=None if fixup and init.head == "standard" else _chosen(init.head, init, lecun()),
        residual=init.scheme if init.scheme in ("skipinit", "rezero", "fixup") else "plain",
    )


def _hidden(init: Initialization) -> Initializer:
    """Every kernel of a branch but the last, and every layer of a plain chain but its ends."""
    rules: dict[str, Initializer] = {
        "xavier": xavier(),
        "lecun": lecun(),
        "orthogonal": orthogonal(),
        "zero": zeros(),
        "zero_perturbed": zeros_perturbed(),
        "zero_hadamard": zero_hadamard(),
        "idinit": idinit(layout=init.layout),
        "idinit_literal": idinit(layout=init.layout),
    }
    return rules.get(init.scheme, he())


def _tails(init: Initialization, hidden: Initializer, norm: Norm) -> Tails:
    tail = init.tail or _scheme_tail(init, norm)
    if tail == "literal":
        return Tails(zeros_identity(LITERAL_EPSILON, layout=init.layout), ones())
    if tail == "norm_aware":
        kernel = zeros_identity(NORM_AWARE_EPSILON, layout=init.layout)
        return Tails(kernel, constant(NORM_AWARE_SCALE))
    if tail == "norm_aware_he":
        return Tails(he(), constant(NORM_AWARE_SCALE))
    if init.scheme == "zero_gamma":
        return Tails(zeros(), ones()) if norm == "none" else Tails(he(), zeros())
    if init.scheme == "zero_hadamard":
        return Tails(zeros(), ones())
    return Tails(he() if init.scheme.startswith("idinit") else hidden, ones())


def _scheme_tail(init: Initialization, norm: Norm) -> Tail:
    """Literal IDIZ in front of a norm is undone by it: there the norm's scale is small instead."""
    if init.scheme == "idinit_literal":
        return "literal"
    if init.scheme == "idinit":
        return "literal" if norm == "none" else "norm_aware"
    return "standard"


def _scheme_shortcut(init: Initialization) -> Kernel:
    return "identity" if init.scheme.startswith("idinit") else "standard"


def _chosen(kernel: Kernel, init: Initialization, standard: Initializer) -> Initializer:
    return idinit(layout=init.layout) if kernel == "identity" else standard
