"""Which dimensions of a value a kernel produced, through the operations that move them."""

from idinit_jax.tracing import lineage
from idinit_jax.tracing.flatten import Node

Features = frozenset[int] | None


def moved(
    node: Node, features: Features, before: tuple[int, ...], after: tuple[int, ...]
) -> Features:
    """Where the dimensions lie after a node; None once that is not known.

    Args:
        node: an operation that keeps values.
        features: the dimensions of the operand that a kernel produced.
        before, after: shapes of the operand and of the output.
    """
    if features is None or node.operation in ("concatenate", "squeeze", "broadcast_in_dim"):
        return None if before != after else features
    if node.operation == "transpose":
        order = node.params["permutation"]
        return frozenset(target for target, axis in enumerate(order) if axis in features)
    if node.operation == "reshape":
        return _regrouped(features, before, after)
    return features if len(before) == len(after) else None


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
