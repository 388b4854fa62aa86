"""Schemes for residual networks that count branches: Fixup, SkipInit, ReZero."""

from idinit_jax.initializers import Initializer, gain, variance_scaling, zeros
from idinit_jax.schemes.rules import (
    STANDARD_PARAMETERS,
    at_branch_end,
    branch_of,
    ends_in,
    everywhere,
    linear_head,
    needs_branch_end,
    nonlinearity_of,
    own_multiplier,
    scale_of,
    traced_he,
)
from idinit_jax.schemes.scheme import Scheme, register, rule
from idinit_jax.tracing.graph import Kernel, ModelGraph

_ADVICE = (
    "Put them in, starting at 0: variables = initialize(model, key, x, scheme='he');"
    " apply, params = insert_multipliers(model, variables, x). The scheme idinit needs none."
)


@rule
def fixup_branch(kernel: Kernel, graph: ModelGraph) -> tuple[Initializer | None, str]:
    """He's std times L^(-1 / (2m - 2)): L branches, m kernels on this one."""
    branch = branch_of(kernel, graph)
    if branch is None:
        return traced_he(kernel, graph)
    depth, length = graph.branches, len(branch.branch_kernels)
    if length < 2:
        return zeros(), "the only kernel of its branch"
    factor = depth ** (-1 / (2 * length - 2))
    nonlinearity, known = nonlinearity_of(kernel)
    initializer = variance_scaling((gain(nonlinearity) * factor) ** 2)
    return initializer, f"He times {depth}^(-1/{2 * length - 2}); {known}"


@rule
def fixup_tail(kernel: Kernel, graph: ModelGraph) -> tuple[Initializer, str]:
    """Zero; a branch without the multiplier that Fixup trains says so."""
    branch = branch_of(kernel, graph)
    if branch is None or ends_in(branch, ("multiplier",), graph):
        return zeros(), "last of a branch"
    return zeros(), "last of a branch; it has no multiplier, insert_fixup puts one there"


@rule
def fixup_head(kernel: Kernel, graph: ModelGraph) -> tuple[Initializer | None, str]:
    """Zero; He's where the model divides the output by its norm, which zero has none of."""
    return traced_he(kernel, graph) if kernel.norm_follows else (zeros(), "classifier")


fixup_multiplier = at_branch_end(scale_of(1.0, "Fixup's multiplier"), own_multiplier)


register(
    Scheme(
        "fixup",
        "branch kernels He times L^(-1/(2m-2)), their last and the head 0, multipliers 1 "
        "(Zhang et al. 2019)",
        {
            **everywhere(traced_he),
            "hidden": fixup_branch,
            "tail": fixup_tail,
            "head": fixup_head,
        },
        {**STANDARD_PARAMETERS, "multiplier": fixup_multiplier},
    )
)

_ZERO_AT_END = at_branch_end(
    scale_of(0.0, "the multiplier of its branch"), scale_of(1.0, "multiplies by one")
)
for _name, _summary in (
    ("skipinit", "He, and the learned multiplier of each branch 0 (De and Smith 2020)"),
    ("rezero", "x + alpha F(x) with alpha = 0, He elsewhere (Bachlechner et al. 2021)"),
):
    register(
        Scheme(
            _name,
            _summary,
            everywhere(traced_he, linear_head),
            {**STANDARD_PARAMETERS, "multiplier": _ZERO_AT_END},
            needs_branch_end(_name, ("multiplier",), _ADVICE),
        )
    )
