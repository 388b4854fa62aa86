"""Which dimensions of a value a kernel produced, through the operations that move them."""

from collections.abc import Sequence

from idinit_jax.tracing import lineage
from idinit_jax.tracing.contraction import dot_general_places, gather_places
from idinit_jax.tracing.flatten import Node

Features = frozenset[int] | None
# The operand of a scatter that is not its target and not its indices.
_UPDATES = 2


def moved(
    node: Node, features: Features, before: tuple[int, ...], after: tuple[int, ...]
) -> Features:
    """Where the dimensions lie after a node; None once that is not known.

    Args:
        node: an operation that keeps values.
        features: the dimensions of the operand that a kernel produced.
        before, after: shapes of the operand and of the output.
    """
    if features is None or node.operation in ("concatenate", "squeeze", "broadcast_in_dim", "tile"):
        return None if before != after else features
    if node.operation == "transpose":
        order = node.params["permutation"]
        return frozenset(target for target, axis in enumerate(order) if axis in features)
    if node.operation == "reshape":
        return _regrouped(features, before, after)
    return features if len(before) == len(after) else None


def passed(node: Node, side: int, features: Features, ranks: Sequence[int]) -> Features:
    """Where the dimensions lie after operand `side` alone has passed a sum over positions.

    None where the features themselves are summed over or chosen from.
    """
    if features is None:
        return None
    kept = kept_dims(node, side, ranks)
    if not features <= kept.keys():
        return None
    return frozenset(kept[axis] for axis in features)


def kept_dims(node: Node, side: int, ranks: Sequence[int]) -> dict[int, int]:
    """Dimensions of one operand that lie whole in the output of a sum over positions -> where."""
    params = node.params
    match node.operation:
        case "dot_general":
            return dot_general_places(params, side, ranks)
        case "conv_general_dilated":
            numbers, depthwise = params["dimension_numbers"], params["feature_group_count"] > 1
            return {numbers.lhs_spec[1]: numbers.out_spec[1]} if depthwise and side == 0 else {}
        case "gather":
            return gather_places(params["dimension_numbers"], ranks[0])
        case "cumsum":
            return {axis: axis for axis in range(ranks[0])}
        case "scatter" | "scatter-add" | "scatter-max" | "scatter-min" if side == _UPDATES:
            numbers = params["dimension_numbers"]
            gone = (*numbers.inserted_window_dims, *numbers.operand_batching_dims)
            places = [axis for axis in range(ranks[0]) if axis not in gone]
            return dict(zip(numbers.update_window_dims, places, strict=True))
        case _:
            return {}


def _regrouped(
    features: frozenset[int], before: tuple[int, ...], after: tuple[int, ...]
) -> Features:
    dims = lineage.regroup(lineage.stored(0, before).dims, after)
    if dims is None:
        return None
    inside = [{atom.axis in features for atom in dim} for dim in dims]
    if any(len(kinds) > 1 for kinds in inside):
        return None
    return frozenset(index for index, kinds in enumerate(inside) if kinds == {True})
