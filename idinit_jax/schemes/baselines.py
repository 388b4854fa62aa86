"""Baselines that IDInit is compared with: zeros, a zero at the end of each branch, ZerO, own."""

from idinit_jax.initializers import Initializer, zero_hadamard, zeros, zeros_perturbed
from idinit_jax.schemes.rules import (
    STANDARD_PARAMETERS,
    at_branch_end,
    because,
    but_when_unknown,
    embedding,
    everywhere,
    keep,
    linear_head,
    needs_branch_end,
    scale_of,
    traced_he,
)
from idinit_jax.schemes.scheme import Scheme, SchemeRule, register, rule
from idinit_jax.tracing.graph import ModelGraph, Parameter

_STANDARD_SCALE = scale_of(1.0, "norms start without effect")


def _only_on_branches(initializer: Initializer, reason: str) -> SchemeRule:
    """For norm scales: an initializer on residual branches, one elsewhere."""

    @rule
    def scale(parameter: Parameter, graph: ModelGraph) -> tuple[Initializer | None, str]:
        if parameter.branch is None:
            return _STANDARD_SCALE(parameter, graph)
        return initializer, reason

    return scale


def _branches_of(initializer: Initializer, reason: str) -> dict[str, SchemeRule | Initializer]:
    """Stem, shortcuts, routers and head as usual; every other kernel by one initializer."""
    small = because(initializer, reason)
    return {
        "stem": traced_he,
        "hidden": small,
        "tail": small,
        "shortcut": traced_he,
        "router": traced_he,
        "head": linear_head,
        "embedding": embedding,
        "unknown": but_when_unknown(small),
    }


register(
    Scheme(
        "zero",
        "naive zeros: hidden kernels and the norm scales of branches 0. Does not train a branch: "
        "behind a zero scale a zero kernel has no gradient, and the other way round",
        _branches_of(zeros(), "naive zero"),
        {**STANDARD_PARAMETERS, "norm_scale": _only_on_branches(zeros(), "naive zero")},
    )
)
register(
    Scheme(
        "zero_perturbed",
        "naive zeros plus N(0, 1e-3^2)",
        _branches_of(zeros_perturbed(1e-3), "zero, symmetry broken"),
        {
            **STANDARD_PARAMETERS,
            "norm_scale": _only_on_branches(zeros_perturbed(1e-3), "zero, symmetry broken"),
        },
    )
)
register(
    Scheme(
        "zero_gamma",
        "He, and the scale of the last norm of each branch 0 (Goyal et al. 2017)",
        everywhere(traced_he, linear_head),
        {
            **STANDARD_PARAMETERS,
            "norm_scale": at_branch_end(scale_of(0.0, "last of its branch"), _STANDARD_SCALE),
        },
        needs_branch_end("zero_gamma", ("norm_scale",), "Use idinit, or rezero with multipliers."),
    )
)
register(
    Scheme(
        "zero_hadamard",
        "ZerO: partial identities and Hadamard matrices, zeros at the end of each branch "
        "(Zhao et al. 2022)",
        {
            **everywhere(because(zero_hadamard(), "identity, or Hadamard where it widens")),
            "tail": because(zeros(), "last of a branch"),
        },
        STANDARD_PARAMETERS,
    )
)
register(
    Scheme(
        "framework",
        "the model's own start",
        everywhere(keep("as the model itself starts"))
        | {"embedding": keep("as the model itself starts")},
        dict.fromkeys(STANDARD_PARAMETERS, keep("as the model itself starts")),
    )
)
