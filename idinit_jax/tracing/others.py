"""Parameters that are no kernels, told by what they do to the signal."""

from collections.abc import Sequence

import jax

from idinit_jax.tracing.flatten import StraightLine
from idinit_jax.tracing.flow import Effect, Flow
from idinit_jax.tracing.graph import Parameter, ParameterKind
from idinit_jax.tracing.program import Program
from idinit_jax.tracing.reach import reached
from idinit_jax.tracing.residuals import Sum
from idinit_jax.tracing.roles import Judgement
from idinit_jax.tracing.traits import Trait

_INSERTIONS = frozenset(
    ("concatenate", "select_n", "dynamic_update_slice", "scatter", "scatter-add", "pad")
)


def describe_others(
    program: Program,
    line: StraightLine,
    flow: Flow,
    sums: Sequence[Sum],
    judgements: Sequence[Judgement],
    kernels: set[str],
) -> tuple[Parameter, ...]:
    """Every parameter whose path is not among the kernels, in tree order."""
    effects = _telling_effects(flow)
    ends = {param: index for index, one in enumerate(sums) for param in one.ends}
    described = []
    for leaf, (path, array) in enumerate(
        zip(program.paths, jax.tree.leaves(program.params), strict=True)
    ):
        if path in kernels:
            continue
        effect = effects.get(leaf)
        kind, reason = _absent(line, flow, leaf) if effect is None else kind_of(effect)
        origin = None if effect is None else effect.origin
        described.append(
            Parameter(
                path,
                tuple(array.shape),
                str(array.dtype),
                kind,
                reason,
                kernel=_kernel_path(program, flow, origin),
                branch=ends.get(leaf, None if origin is None else judgements[origin].branch),
                ends_branch=leaf in ends,
                factor=effect.lineage.factor if effect and effect.lineage.affine else 1.0,
                offset=effect.lineage.offset if effect and effect.lineage.affine else 0.0,
                bent=effect is not None and effect.lineage.bent,
                stack_axes=_stack_axes(effect),
            )
        )
    return tuple(described)


def _telling_effects(flow: Flow) -> dict[int, Effect]:
    """Of a parameter's effects the first that it has by itself, else the first.

    Before the data arrive (in the first step of a recurrent cell) parameters meet each other.
    """
    effects: dict[int, Effect] = {}
    for effect in flow.effects:
        held = effects.setdefault(effect.lineage.param, effect)
        if effect.lineage.affine and not held.lineage.affine:
            effects[effect.lineage.param] = effect
    return effects


def kind_of(effect: Effect) -> tuple[ParameterKind, str]:
    """What a parameter is, by its effect on the signal."""
    normed = bool(effect.traits & (Trait.NORMALIZED | Trait.STATISTIC))
    if effect.how == "kernel":
        return "kernel_scale", "rescales a kernel before its use"
    if effect.how == "mul" and effect.lineage.root:
        return "norm_scale", "the signal is divided by its root: a running variance"
    if effect.how == "mul" and Trait.DISCRETE in effect.traits:
        return "class_token", "placed where a mask is set"
    if effect.how == "mul":
        # One number for all features, such as a temperature, is no part of a norm.
        if normed and Trait.SCALED not in effect.traits and effect.lineage.own_dims:
            return "norm_scale", "multiplies a normalized signal"
        return "multiplier", "multiplies the signal"
    if effect.how == "add" and normed:
        return "norm_bias", "added to a normalized signal"
    if effect.how == "add":
        return _addend(effect)
    if effect.how in _INSERTIONS:
        return "class_token", "placed beside the signal"
    if effect.how == "carry":
        return "class_token", "initial state of a loop"
    return "unknown", f"meets the signal in {effect.how}"


def _addend(effect: Effect) -> tuple[ParameterKind, str]:
    """A bias varies along what a kernel produces, a position embedding along positions too."""
    own = effect.lineage.own_dims
    if len(own) <= 1 or (effect.features is not None and own <= effect.features):
        return "bias", "added to the signal"
    return "position_embedding", "added to the signal, varies with the position"


def _absent(line: StraightLine, flow: Flow, leaf: int) -> tuple[ParameterKind, str]:
    value = line.params[leaf]
    if flow.is_data[value]:
        return "class_token", "a learned signal that kernels consume"
    reaches = reached(line, [value])
    if any(reaches[output] for output in line.outputs):
        return "unknown", "reaches the output without meeting the data"
    return "unused", "does not reach the output"


def _kernel_path(program: Program, flow: Flow, origin: int | None) -> str | None:
    if origin is None:
        return None
    return program.paths[flow.contractions[origin].shares[0].param]


def _stack_axes(effect: Effect | None) -> tuple[int, ...]:
    picked = effect.lineage.picked if effect else ()
    return tuple(sorted({atom.axis for atom, _ in picked if atom.stride == 1}))
