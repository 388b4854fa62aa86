"""From a model to its graph."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
from jax.extend import core
from jax.interpreters import partial_eval

from idinit_jax.tracing import axes as axes_of
from idinit_jax.tracing.attention import Parts, find_attention
from idinit_jax.tracing.collection import paused_collection
from idinit_jax.tracing.contraction import LOOKUPS, Share
from idinit_jax.tracing.flatten import StraightLine, flatten
from idinit_jax.tracing.flow import Flow, analyse
from idinit_jax.tracing.frameworks import Model, is_array, take_apart
from idinit_jax.tracing.graph import Kernel, ModelGraph, ResidualSum, Role, Use
from idinit_jax.tracing.main_path import past_branches
from idinit_jax.tracing.members import with_members
from idinit_jax.tracing.nonlinearity import following
from idinit_jax.tracing.others import describe_others
from idinit_jax.tracing.program import Program, Site
from idinit_jax.tracing.residuals import Sum, find_sums
from idinit_jax.tracing.roles import Judgement, judge
from idinit_jax.tracing.starts import with_own_biases


def trace(model: Any, *inputs: Any, call_kwargs: Mapping[str, Any] = {}) -> ModelGraph:
    """Read from a model's own jaxpr what each of its parameters is for.

    Nothing of the model is run and nothing of its size is allocated.

    Args:
        model: a Linen module, an NNX module, an Equinox module, a Haiku transformed function, or
            a function `apply(params, *inputs)`.
        *inputs: sample inputs, arrays or `jax.ShapeDtypeStruct`; for a function its parameter
            tree comes first.
        call_kwargs: keyword arguments of the model's call, such as `{"train": False}`.

    Returns:
        The graph: kernels with axes and roles in forward order, the other parameters, the
        residual sums.

    Raises:
        TypeError: the model is of no known kind.
        ValueError: it has no parameters, or a kernel plays different roles in the branches of
            a conditional.

    Example:
        >>> import jax.numpy as jnp
        >>> import flax.linen as nn
        >>> graph = trace(nn.Sequential([nn.Dense(8), nn.relu, nn.Dense(2)]), jnp.ones((1, 4)))
        >>> [(kernel.path, kernel.role) for kernel in graph.kernels]
        [('layers_0/kernel', 'stem'), ('layers_2/kernel', 'head')]
    """
    return trace_model(take_apart(model, inputs, call_kwargs))


@paused_collection()
def trace_model(model: Model) -> ModelGraph:
    """Read the graph of a model that has been taken apart."""
    return with_own_biases(read_graph(make_program(model)), model)


def read_graph(program: Program) -> ModelGraph:
    """Read the graph of a traced forward pass."""
    line = flatten(program)
    flow, sums, parts = _analyse(line)
    main = past_branches(line, sums)
    judgements = judge(line, flow, sums, parts, main)
    kernels = _kernels(program, line, flow, judgements, parts)
    return ModelGraph(
        kernels,
        describe_others(program, line, flow, sums, judgements, {one.path for one in kernels}),
        tuple(_residual(program, line, flow, one, main) for one in sums),
        program,
    )


def make_program(model: Model) -> Program:
    """The model's forward pass as a jaxpr, without what does not reach the output."""
    if model.joint and model.joint.forward:
        jaxpr, out_tree = model.joint.forward, model.joint.out_tree
    else:
        jaxpr, out_tree = _trace_forward(model)
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(model.params)]
    names = tuple(jax.tree_util.keystr(path, simple=True, separator="/") for path in paths)
    return Program(jaxpr, model.params, model.state, model.inputs, out_tree, names)


def _trace_forward(model: Model) -> tuple[core.ClosedJaxpr, Any]:
    """The jaxpr of the model's call, and the structure of its output."""
    leaves, tree = jax.tree.flatten((model.params, model.state, model.inputs))
    arrays = [leaf for leaf in leaves if is_array(leaf)]
    structure = []

    def forward(*values: Any) -> list[Any]:
        rest = iter(values)
        filled = [next(rest) if is_array(leaf) else leaf for leaf in leaves]
        outputs = model.apply(*_spread(jax.tree.unflatten(tree, filled)))
        out_leaves, out_tree = jax.tree.flatten(outputs)
        structure.append(out_tree)
        return [leaf for leaf in out_leaves if is_array(leaf)]

    return _live(jax.make_jaxpr(forward)(*arrays)), structure[-1]


def _live(closed: core.ClosedJaxpr) -> core.ClosedJaxpr:
    outputs = [True] * len(closed.jaxpr.outvars)
    jaxpr, _ = partial_eval.dce_jaxpr(closed.jaxpr, outputs, instantiate=True)
    return core.ClosedJaxpr(jaxpr, closed.consts)


def _spread(tree: tuple) -> tuple:
    params, state, inputs = tree
    return (params, state, *inputs)


def _analyse(line: StraightLine) -> tuple[Flow, list[Sum], Parts]:
    """Follow the data; where something else turns out to be a signal too, once more."""
    signals: frozenset[int] = frozenset()
    while True:
        flow = analyse(line, signals)
        if flow.signals:
            signals |= flow.signals
            continue
        sums = find_sums(line, flow)
        ends = {line.nodes[one.node].outputs[0] for one in sums}
        attention = find_attention(line, flow, ends)
        if not attention.tokens:
            return with_members(line, flow), sums, attention.parts
        signals |= {line.params[leaf] for leaf in attention.tokens}


def _kernels(
    program: Program,
    line: StraightLine,
    flow: Flow,
    judgements: Sequence[Judgement],
    parts: Parts,
) -> tuple[Kernel, ...]:
    uses: dict[int, list[tuple[int, Share]]] = {}
    for index, contraction in enumerate(flow.contractions):
        for share in contraction.shares:
            uses.setdefault(share.param, []).append((index, share))
    return tuple(
        _kernel(program, line, flow, judgements, parts, param, held) for param, held in uses.items()
    )


def _kernel(
    program: Program,
    line: StraightLine,
    flow: Flow,
    judgements: Sequence[Judgement],
    parts: Parts,
    param: int,
    held: list[tuple[int, Share]],
) -> Kernel:
    leaf = jax.tree.leaves(program.params)[param]
    # A table that is looked up and used elsewhere is read by its rows.
    first_index, first_share = next(
        (one for one in held if flow.contractions[one[0]].operation in LOOKUPS), held[0]
    )
    axes = axes_of.read_axes(leaf.shape, first_share)
    readable = axes is not None
    axes = axes or axes_of.assumed_axes(leaf.shape)
    uses = tuple(
        _use(line, flow, index, judgements[index], parts, axes_of.layer_index(axes, share))
        for index, share in held
    )
    _agree_across_branches(program.paths[param], uses, line)
    role, reason = _agreed(uses) if readable else ("unknown", _why_unreadable(first_share))
    return Kernel(
        program.paths[param],
        tuple(leaf.shape),
        str(leaf.dtype),
        *axes,
        flow.contractions[first_index].groups,
        uses,
        role,
        reason,
        _layer_roles(axes, uses, judgements[first_index]),
        tuple(sorted(first_share.unit)),
        _agreed_factor([share.factor for _, share in held]),
        any(share.masked for _, share in held),
    )


def _agreed_factor(factors: Sequence[float]) -> float:
    """What all uses multiply a kernel by, 1 where they differ or nothing is left of it."""
    return factors[0] if factors[0] and len(set(factors)) == 1 else 1.0


def _why_unreadable(share: Share) -> str:
    return f"its axes cannot be read: {share.lost or 'one stored axis has several meanings'}"


def _use(
    line: StraightLine,
    flow: Flow,
    index: int,
    judgement: Judgement,
    parts: Parts,
    layer: int | None,
) -> Use:
    node = line.nodes[flow.contractions[index].node]
    return Use(
        node.site,
        flow.contractions[index].operation,
        judgement.role,
        judgement.reason,
        judgement.depth,
        judgement.branch,
        judgement.main,
        following(flow.activations.get(index, ())),
        index in flow.normalized,
        parts.get(index, ()),
        layer,
        node.repeats,
    )


def _agreed(uses: Sequence[Use]) -> tuple[Role, str]:
    """The role of a kernel with several uses."""
    roles = dict.fromkeys(use.role for use in uses)
    if len(roles) == 1:
        return uses[0].role, uses[0].reason
    if "embedding" in roles:
        return "embedding", "looked up by index, and used elsewhere"
    if set(roles) <= {"stem", "hidden", "head"}:
        return "hidden", f"shared between places: {', '.join(roles)}"
    return "unknown", f"its uses disagree: {', '.join(roles)}"


def _agree_across_branches(path: str, uses: Sequence[Use], line: StraightLine) -> None:
    """A kernel in several branches of one conditional has one role in all of them."""
    for one in uses:
        for other in uses:
            if one.role != other.role and _alternatives(one.site, other.site, line):
                raise ValueError(
                    f"{path} is {one.role} in one branch of a conditional and {other.role} in "
                    "another; give each branch kernels of its own, or trace them apart"
                )


def _alternatives(one: Site, other: Site, line: StraightLine) -> bool:
    return any(
        one[: len(site)] == other[: len(site)] == site
        and one[len(site) : len(site) + 1] != other[len(site) : len(site) + 1]
        for site in line.conditionals
    )


def _layer_roles(axes: axes_of.Axes, uses: Sequence[Use], judgement: Judgement) -> tuple[Role, ...]:
    if not axes.stack_axes:
        return ()
    layers = math.prod(axes.view[axis] for axis in axes.stack_axes)
    if any(use.layer is not None for use in uses):
        by_layer: dict[int | None, Role] = {use.layer: use.role for use in uses}
        return tuple(by_layer.get(layer, uses[0].role) for layer in range(layers))
    if layers == 1:
        first = judgement.first_turn
        return (judgement.last_turn if first == judgement.role else first,)
    middle: list[Role] = [judgement.role] * (layers - 2)
    return (judgement.first_turn, *middle, judgement.last_turn)


def _residual(
    program: Program, line: StraightLine, flow: Flow, one: Sum, main: Sequence[bool]
) -> ResidualSum:
    def paths(contractions: Sequence[int]) -> tuple[str, ...]:
        shares = [share for index in contractions for share in flow.contractions[index].shares]
        return tuple(dict.fromkeys(program.paths[share.param] for share in shares))

    node = line.nodes[one.node]
    return ResidualSum(
        node.site,
        one.branch_operand,
        paths(one.branch),
        paths(one.shortcut),
        paths(one.tails),
        tuple(program.paths[param] for param in one.scales),
        max(node.repeats, _layers_turned(flow, one.branch)),
        main[node.outputs[0]],
    )


def _layers_turned(flow: Flow, contractions: Sequence[int]) -> int:
    """Layers that a loop picks from a stack: a while loop does not tell how often it turns."""
    stacks = (
        [atom.size for atom, position in share.picked if position is None]
        for index in contractions
        for share in flow.contractions[index].shares
    )
    return max(map(math.prod, stacks), default=1)
