"""IDInit (Pan et al., ICLR 2025, arXiv 2503.04626), norm-aware and literal."""

from idinit_jax.initializers import Initializer, idinit, lecun, normal, zeros, zeros_identity
from idinit_jax.schemes.rules import (
    STANDARD_PARAMETERS,
    at_branch_end,
    because,
    branch_of,
    but_when_unknown,
    embedding,
    keep,
    scale_of,
    single_token,
    traced_he,
)
from idinit_jax.schemes.scheme import Scheme, register, rule
from idinit_jax.tracing.graph import Kernel, ModelGraph, Parameter

# The choices that the paper leaves open, in one place.
STEM = traced_he
HEAD = because(lecun(), "head: standard")
# The identity would let a single feature choose the expert, and the same one for several.
ROUTER = because(lecun(), "router: unit variance of the logits; an identity picks single features")
HIDDEN = idinit()
SHORTCUT = idinit()
TAIL = zeros_identity(1e-6)
# Where something scales the branch after its last kernel, it is the scale that starts small: a
# norm divides a small kernel's output by its size again, but it cannot undo its own scale.
SCALED_TAIL = zeros_identity(0.1)
BRANCH_SCALE = 1e-3
# Branches that start near zero bring a token nothing: the norm behind them sees it as it starts,
# and its derivative is one over the token's size, at zero one over the root of its epsilon.
TOKEN = single_token(normal(1.0), "the size of a normalized signal: norms magnify a small token")

_OWN_SCALE = keep("the scale of a reparametrized kernel keeps the model's own start")
_SMALL = scale_of(BRANCH_SCALE, "the last thing that scales its branch: nearly zero")


@rule
def norm_aware_tail(kernel: Kernel, graph: ModelGraph) -> tuple[Initializer, str]:
    """An ordinary size where the branch is scaled after the kernel, else nearly zero."""
    branch = branch_of(kernel, graph)
    if branch is not None and branch.scales:
        return SCALED_TAIL, f"last of a branch, made small by {branch.scales[0]}"
    if kernel.norm_follows:
        return TAIL, "last of a branch; the norm that follows has no scale and undoes most of it"
    return TAIL, "last of a branch: nearly zero, with a gradient"


@rule
def scale_of_kernel(parameter: Parameter, graph: ModelGraph) -> tuple[Initializer | None, str]:
    """Small where it alone sets the size of a tail, whose own is divided out."""
    kernel = graph[parameter.kernel] if parameter.kernel else None
    if isinstance(kernel, Kernel) and kernel.role == "tail" and kernel.unit_axes:
        branch = branch_of(kernel, graph)
        if branch is not None and not branch.scales:
            return _SMALL(parameter, graph)
    return _OWN_SCALE(parameter, graph)


_KERNELS = {
    "stem": STEM,
    "hidden": because(HIDDEN, "identity-preserving"),
    "tail": norm_aware_tail,
    "shortcut": because(SHORTCUT, "projection shortcut: identity-preserving"),
    "router": ROUTER,
    "head": HEAD,
    "embedding": embedding,
    "unknown": but_when_unknown(traced_he),
}
_PARAMETERS = {
    **STANDARD_PARAMETERS,
    "position_embedding": because(zeros(), "positions start alike"),
    "class_token": TOKEN,
}
# The layout that the paper's "patch-maintain" most likely means.
_PUBLISHED = idinit(layout="patch")
register(
    Scheme(
        "idinit",
        "Norm-aware IDInit: identity kernels; each branch starts near zero through the last thing "
        "that scales it (after Pan et al. 2025)",
        _KERNELS,
        {
            **_PARAMETERS,
            "norm_scale": at_branch_end(_SMALL, scale_of(1.0, "norms start without effect")),
            "kernel_scale": scale_of_kernel,
            "multiplier": at_branch_end(_SMALL, keep("a multiplier inside a branch, or of none")),
        },
    )
)
register(
    Scheme(
        "idinit_literal",
        "IDInit as published: identity kernels, the last kernel of a branch at 1e-6, norms at 1 "
        "(Pan et al. 2025)",
        {
            **_KERNELS,
            "hidden": because(_PUBLISHED, "identity-preserving"),
            "shortcut": because(_PUBLISHED, "projection shortcut: identity-preserving"),
            "tail": because(
                zeros_identity(1e-6, layout="patch"), "last of a branch: zero-preserving"
            ),
        },
        _PARAMETERS,
    )
)
