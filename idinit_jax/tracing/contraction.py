"""What a contraction or a gather does with each axis of the parameters it consumes."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from idinit_jax.tracing.flatten import Node
from idinit_jax.tracing.lineage import SPREAD, Atom, Lineage

# Operations that read rows of a table: by an index, or by a row with a single one.
LOOKUPS = frozenset(("gather", "dynamic_slice", "one_hot"))


class Share(NamedTuple):
    """One parameter's part in a contraction, as atoms of its stored axes, times a number."""

    param: int
    in_atoms: tuple[Atom, ...]
    out_atoms: tuple[Atom, ...]
    group_atoms: tuple[Atom, ...]
    spatial_atoms: tuple[Atom, ...]
    picked: tuple[tuple[Atom, int | None], ...]
    unit: frozenset[int]
    factor: float
    masked: bool
    lost: str


class WeightDims(NamedTuple):
    """The dimensions of the weight operand by what the contraction does with them."""

    contracted: tuple[int, ...]
    produced: tuple[int, ...]
    grouped: tuple[int, ...] = ()


class Contraction(NamedTuple):
    """One use of kernels.

    Attributes:
        node: index of the node.
        operation: its primitive, or "one_hot".
        data, output: the values that enter and leave.
        lineages: one a kernel; several where a weight is a sum or product of kernels.
        dims: the weight's dimensions by what becomes of them.
        shares: what that makes of each kernel's axes.
        groups: feature groups of a convolution.
        features: dimensions of the output that the kernel varies along.
        attended: whether the data come straight from an attention.
    """

    node: int
    operation: str
    data: int
    output: int
    lineages: tuple[Lineage, ...]
    dims: WeightDims
    shares: tuple[Share, ...]
    groups: int
    features: frozenset[int]
    attended: bool


def dot_general_dims(params: dict[str, Any], weight: int, ranks: Sequence[int]) -> WeightDims:
    """Dimensions of operand `weight` (0 or 1) of a dot_general."""
    contracting, batch = params["dimension_numbers"]
    contracted, grouped = tuple(contracting[weight]), tuple(batch[weight])
    taken = {*contracted, *grouped}
    produced = tuple(axis for axis in range(ranks[weight]) if axis not in taken)
    return WeightDims(contracted, produced, grouped)


def dot_general_places(params: dict[str, Any], side: int, ranks: Sequence[int]) -> dict[int, int]:
    """Dimensions of operand `side` (0 or 1) that a dot_general leaves -> where they are then."""
    dims = dot_general_dims(params, side, ranks)
    others = ranks[0] - len(params["dimension_numbers"][0][0]) - len(dims.grouped)
    start = len(dims.grouped) + (others if side == 1 else 0)
    return {
        **{axis: place for place, axis in enumerate(dims.grouped)},
        **{axis: start + place for place, axis in enumerate(dims.produced)},
    }


def dot_general_features(
    params: dict[str, Any], weight: int, ranks: Sequence[int]
) -> frozenset[int]:
    """Dimensions of the output along which the products have kernels of their own."""
    return frozenset(dot_general_places(params, weight, ranks).values())


def gather_places(numbers: Any, rank: int) -> dict[int, int]:
    """Dimensions of a table that a gather takes slices along -> where they are then."""
    gone = {*numbers.collapsed_slice_dims, *numbers.operand_batching_dims}
    windows = [axis for axis in range(rank) if axis not in gone]
    return dict(zip(windows, numbers.offset_dims, strict=True))


def conv_dims(params: dict[str, Any]) -> WeightDims:
    """Dimensions of a convolution's kernel; the others are spatial."""
    out_dim, in_dim, *_ = params["dimension_numbers"].rhs_spec
    return WeightDims((in_dim,), (out_dim,))


def ragged_dot_dims(params: dict[str, Any], rank: int) -> WeightDims:
    """Dimensions of the kernels of a ragged_dot_general, its right operand."""
    numbers = params["ragged_dot_dimension_numbers"]
    contracting, batch = numbers.dot_dimension_numbers
    contracted = tuple(contracting[1])
    grouped = (*batch[1], *numbers.rhs_group_dimensions)
    produced = tuple(axis for axis in range(rank) if axis not in {*contracted, *grouped})
    return WeightDims(contracted, produced, grouped)


def lookup_dims(slice_sizes: Sequence[int], shape: Sequence[int]) -> WeightDims:
    """Dimensions of a table: those that a slice takes whole are carried along."""
    pairs = list(enumerate(zip(slice_sizes, shape, strict=True)))
    indexed = tuple(axis for axis, (taken, size) in pairs if taken < size)
    return WeightDims(indexed, tuple(axis for axis, _ in pairs if axis not in indexed))


class Consumption(NamedTuple):
    """How an operation consumes its weight operand.

    Attributes:
        operation: its name, or "one_hot".
        dims: the weight's dimensions by what becomes of them.
        features: the output dimensions that the weight varies along.
        groups: feature groups of a convolution.
    """

    operation: str
    dims: WeightDims
    features: frozenset[int]
    groups: int = 1


def consumption(
    node: Node, side: int, shapes: Sequence[tuple[int, ...]], one_hot: bool
) -> Consumption | None:
    """How a node consumes operand `side` as a weight; None if it is no contraction or lookup.

    Args:
        node: the operation.
        side: position of the weight among the operands.
        shapes: of the operands.
        one_hot: whether the data operand has a single one in each row.
    """
    params, ranks = node.params, [len(shape) for shape in shapes]
    kind = (node.operation, side)
    if node.operation == "dot_general":
        dims = dot_general_dims(params, side, ranks)
        if not dims.contracted:  # an elementwise or outer product
            return None
        name = "one_hot" if one_hot else node.operation
        return Consumption(name, dims, dot_general_features(params, side, ranks))
    if kind == ("conv_general_dilated", 1):
        features = frozenset({params["dimension_numbers"].out_spec[1]})
        groups = params["feature_group_count"]
        return Consumption(node.operation, conv_dims(params), features, groups)
    if kind == ("gather", 0):
        dims = lookup_dims(params["slice_sizes"], shapes[0])
        return Consumption(node.operation, dims, frozenset(params["dimension_numbers"].offset_dims))
    if kind == ("dynamic_slice", 0):
        dims = lookup_dims(params["slice_sizes"], shapes[0])
        return Consumption(node.operation, dims, frozenset(dims.produced))
    if kind == ("ragged_dot_general", 1):
        return Consumption(node.operation, ragged_dot_dims(params, ranks[1]), frozenset({1}))
    return None


def kernels_and_modifiers(
    lineages: Iterable[Lineage],
) -> tuple[tuple[Lineage, ...], tuple[Lineage, ...]]:
    """Tell the parameters that make up a weight from those that only rescale it."""
    lineages = tuple(lineages)
    whole = [
        lineage
        for lineage in lineages
        if not lineage.reduced and not lineage.lost and (lineage.spread == 1 or lineage.inner)
    ]
    if not whole:
        candidates = [lineage for lineage in lineages if not lineage.reduced] or list(lineages)
        fewest = min(lineage.spread for lineage in candidates)
        whole = [lineage for lineage in candidates if lineage.spread == fewest]
    return tuple(whole), tuple(lineage for lineage in lineages if lineage not in whole)


def own_groups(how: Consumption, lineage: Lineage) -> int:
    """Feature groups of the stored kernel, without those that only repeat it (a mapped one)."""
    produced = [atom for axis in how.dims.produced for atom in lineage.dims[axis]]
    copies = math.prod(atom.size for atom in produced if atom.axis == SPREAD)
    return max(1, how.groups // copies)


def share(lineage: Lineage, dims: WeightDims) -> Share:
    """Read the stored axes of one parameter off the dimensions of the weight."""
    spatial = [
        axis
        for axis in range(len(lineage.dims))
        if axis not in {*dims.contracted, *dims.produced, *dims.grouped}
    ]
    in_atoms = _atoms(lineage, dims.contracted)
    out_atoms = _atoms(lineage, dims.produced)
    # In a product of kernels the shared dimension is the output of the first, the input of the
    # second; the first is the one that the data contract with.
    if lineage.inner and any(atom.size > 1 for atom in in_atoms):
        out_atoms += lineage.inner
    elif lineage.inner:
        in_atoms += lineage.inner
    return Share(
        lineage.param,
        in_atoms,
        out_atoms,
        lineage.chosen + _atoms(lineage, dims.grouped),
        _atoms(lineage, spatial),
        lineage.picked,
        lineage.unit,
        lineage.factor if (lineage.affine or lineage.masked) and not lineage.offset else 1.0,
        lineage.masked,
        lineage.lost,
    )


def learned_signals(operands: Sequence[tuple[Lineage, ...]]) -> set[int]:
    """Parameters that act as the signal in a product of two parameters.

    A learned query or token is repeated over the batch or normalized before a kernel consumes it;
    the factors of a low-rank kernel are not. What scales or shifts it on the way is repeated more
    often than the signal itself.
    """
    for shows_signal in (_is_repeated, _is_processed):
        found = [[one for one in held if shows_signal(one)] for held in operands]
        if sum(map(bool, found)) == 1:
            signals = found[0] or found[1]
            factors = [one for held in operands for one in held if one.inner]
            if factors:  # a kernel's product with a table, and a bias that varies as the kernel
                own = frozenset().union(*(one.own_dims for one in signals))
                return {one.param for one in factors if not one.own_dims & own}
            fewest = min(one.spread for one in signals)
            return {one.param for one in signals if one.spread == fewest}
    return set()


def _is_repeated(lineage: Lineage) -> bool:
    return not lineage.inner and not lineage.lost and bool(lineage.dims) and lineage.spread > 1


def _is_processed(lineage: Lineage) -> bool:
    return not lineage.inner and not lineage.lost and not lineage.affine


def product(
    operands: Sequence[tuple[Lineage, ...]],
    params: dict[str, Any],
    shapes: Sequence[tuple[int, ...]],
) -> tuple[Lineage, ...]:
    """Lineages of a dot_general of two arrays that both are made of parameters."""
    return tuple(
        _factor(lineage, params, side, shapes) for side in (0, 1) for lineage in operands[side]
    )


def _factor(
    lineage: Lineage, params: dict[str, Any], side: int, shapes: Sequence[tuple[int, ...]]
) -> Lineage:
    if lineage.lost:
        return lineage
    ranks = [len(shape) for shape in shapes]
    dims = dot_general_dims(params, side, ranks)
    other = dot_general_dims(params, 1 - side, ranks)
    batch = [lineage.dims[axis] for axis in dims.grouped]
    own = [lineage.dims[axis] for axis in dims.produced]
    foreign = [(Atom(SPREAD, 1, shapes[1 - side][axis]),) for axis in other.produced]
    ordered = [*batch, *own, *foreign] if side == 0 else [*batch, *foreign, *own]
    inner = lineage.inner + _atoms(lineage, dims.contracted)
    return lineage._replace(dims=tuple(ordered), inner=inner, affine=False)


def _atoms(lineage: Lineage, axes: Sequence[int]) -> tuple[Atom, ...]:
    """Atoms of the dimensions `axes`, those that the parameter itself brings."""
    if lineage.lost:
        return ()
    return tuple(atom for axis in axes for atom in lineage.dims[axis] if atom.axis != SPREAD)
