"""A value consumed as a kernel: what a contraction or a lookup does with its dimensions."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from idinit_jax.tracing.table.law import Shape

PRODUCTS = frozenset(("dot_general", "conv_general_dilated", "ragged_dot_general"))
LOOKUPS = frozenset(("gather", "dynamic_slice"))


class Consumption(NamedTuple):
    """What becomes of the dimensions of a weight; those in none of the three are spatial.

    Attributes:
        contracted: summed over with the signal.
        produced: dimensions of the output that the weight alone brings.
        grouped: shared with the signal.
        features: the output's dimensions along which the weight varies.
        groups: feature groups of a convolution.
    """

    contracted: tuple[int, ...]
    produced: tuple[int, ...]
    grouped: tuple[int, ...]
    features: frozenset[int]
    groups: int = 1


class Use(NamedTuple):
    """A consumption of kernels.

    Attributes:
        node: index of the node.
        signal, weight, output: values. The weight is the signal's too where a kernel was
            multiplied with the signal and is summed now.
        how: what becomes of the weight's dimensions.
    """

    node: int
    signal: int
    weight: int
    output: int
    how: Consumption


def consumption(
    operation: str, params: Mapping[str, Any], shapes: Sequence[Shape], side: int
) -> Consumption | None:
    """How an operation consumes operand `side` as a weight; None if it cannot."""
    if operation == "dot_general":
        return _of_dot_general(params, [len(shape) for shape in shapes], side)
    if operation == "conv_general_dilated" and side == 1:
        out_dim, in_dim, *_ = params["dimension_numbers"].rhs_spec
        features = frozenset({params["dimension_numbers"].out_spec[1]})
        return Consumption((in_dim,), (out_dim,), (), features, params["feature_group_count"])
    if operation == "ragged_dot_general" and side == 1:
        return _of_ragged_dot(params, len(shapes[1]))
    if operation in LOOKUPS and side == 0:
        return _of_lookup(operation, params, shapes[0])
    return None


def _of_dot_general(params: Mapping[str, Any], ranks: Sequence[int], side: int) -> Consumption:
    contracting, batch = params["dimension_numbers"]
    contracted, grouped = tuple(contracting[side]), tuple(batch[side])
    produced = tuple(a for a in range(ranks[side]) if a not in (*contracted, *grouped))
    free = ranks[1 - side] - len(contracted) - len(grouped)
    start = len(grouped) + (free if side else 0)
    features = (*range(len(grouped)), *range(start, start + len(produced)))
    return Consumption(contracted, produced, grouped, frozenset(features))


def _of_ragged_dot(params: Mapping[str, Any], rank: int) -> Consumption:
    numbers = params["ragged_dot_dimension_numbers"]
    contracting, batch = numbers.dot_dimension_numbers
    contracted = tuple(contracting[1])
    grouped = (*batch[1], *numbers.rhs_group_dimensions)
    produced = tuple(a for a in range(rank) if a not in (*contracted, *grouped))
    return Consumption(contracted, produced, grouped, frozenset({1}))


def _of_lookup(operation: str, params: Mapping[str, Any], shape: Shape) -> Consumption:
    """Rows of a table: what a slice takes whole is carried along."""
    indexed = tuple(a for a, size in enumerate(params["slice_sizes"]) if size < shape[a])
    produced = tuple(a for a in range(len(shape)) if a not in indexed)
    features = produced if operation == "dynamic_slice" else params["dimension_numbers"].offset_dims
    return Consumption(indexed, produced, (), frozenset(features))
