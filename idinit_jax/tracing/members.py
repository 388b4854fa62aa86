"""Ensembles on one input: several networks side by side, all of which read the same.

The first kernel of each member contracts with an input that they share, so their axis looks like
outputs there. It is an axis of independent kernels if later kernels have it too and no kernel ever
sums over it, unlike the heads of an attention.
"""

from collections.abc import Iterator, Sequence

from idinit_jax.tracing import attention, contraction, features, operations
from idinit_jax.tracing.contraction import Contraction
from idinit_jax.tracing.flatten import Node, StraightLine, readers
from idinit_jax.tracing.flow import Flow
from idinit_jax.tracing.reach import reached


def with_members(line: StraightLine, flow: Flow) -> Flow:
    """The flow with the members' axes of first kernels counted as groups."""
    read_by = readers(line)
    contractions = list(flow.contractions)
    for first, axis in dict.fromkeys(_shared_axes(line, flow)):
        if _stays_apart(line, flow, read_by, contractions[first].output, axis):
            contractions[first] = _grouped(line, contractions[first], axis)
    return flow._replace(contractions=contractions)


def _shared_axes(line: StraightLine, flow: Flow) -> Iterator[tuple[int, int]]:
    """A kernel and an axis of its output that a later kernel has kernels of its own along."""
    for use in flow.contractions:
        node = line.nodes[use.node]
        if use.operation != "dot_general" or not any(one.group_atoms for one in use.shares):
            continue
        _, batch = node.params["dimension_numbers"]
        for axis in batch[node.inputs.index(use.data)]:
            source = _source(line, flow, use.data, axis)
            if source is not None:
                yield source


def _source(line: StraightLine, flow: Flow, value: int, axis: int) -> tuple[int, int] | None:
    """The kernel that an axis of a value comes from, and the axis of that kernel's output."""
    while (producer := line.producers[value]) is not None:
        if producer in flow.by_node:
            use = flow.by_node[producer]
            return (use, axis) if _produces(line, flow.contractions[use], axis) else None
        node = line.nodes[producer]
        step = attention.step_back(line, flow.signal_inputs[producer], node, value, axis)
        if step is None:
            return None
        value, axis = step
    return None


def _produces(line: StraightLine, use: Contraction, axis: int) -> bool:
    return use.operation == "dot_general" and axis in _produced(line, use)


def _produced(line: StraightLine, use: Contraction) -> dict[int, int]:
    """Axes of the output that the kernel alone brings -> the kernel's dimension."""
    node = line.nodes[use.node]
    ranks = [len(line.shapes[value]) for value in node.inputs]
    side = 1 - node.inputs.index(use.data)
    kept = features.kept_dims(node, side, ranks)
    return {kept[dim]: dim for dim in use.dims.produced}


def _stays_apart(
    line: StraightLine, flow: Flow, read_by: Sequence[Sequence[int]], value: int, axis: int
) -> bool:
    """Whether an axis can be followed up to the output without any kernel summing over it."""
    stack, seen = [(value, axis)], {(value, axis)}
    while stack:
        value, axis = stack.pop()
        for index in read_by[value]:
            node = line.nodes[index]
            if node.operation in operations.REDUCTIONS and axis in node.params["axes"]:
                after = reached(line, node.outputs)
                if any(after[use.data] for use in flow.contractions):
                    return False
                continue
            moved = _moved(line, node, value, axis)
            if moved is None:
                return False
            following = {(output, moved) for output in node.outputs} - seen
            stack.extend(following)
            seen |= following
    return True


def _moved(line: StraightLine, node: Node, value: int, axis: int) -> int | None:
    """Where an axis lies after a node."""
    before, after = line.shapes[value], line.shapes[node.outputs[0]]
    ranks = [len(line.shapes[read]) for read in node.inputs]
    if node.operation in operations.PASSING:
        found = features.passed(node, node.inputs.index(value), frozenset({axis}), ranks)
    elif node.operation in operations.REDUCTIONS:
        left = [here for here in range(len(before)) if here not in node.params["axes"]]
        found = frozenset({left.index(axis)})
    else:
        found = features.moved(node, frozenset({axis}), before, after)
    return next(iter(found)) if found and len(found) == 1 else None


def _grouped(line: StraightLine, use: Contraction, axis: int) -> Contraction:
    moved = _produced(line, use)[axis]
    dims = use.dims._replace(
        produced=tuple(dim for dim in use.dims.produced if dim != moved),
        grouped=(*use.dims.grouped, moved),
    )
    shares = tuple(contraction.share(lineage, dims) for lineage in use.lineages)
    return use._replace(shares=shares, dims=dims)
