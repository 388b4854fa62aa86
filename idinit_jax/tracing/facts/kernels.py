"""Which nodes consume a kernel: what a signal is contracted with is a kernel."""

import math

from idinit_jax.tracing.facts.facts import Facts
from idinit_jax.tracing.facts.uses import LOOKUPS, PRODUCTS, Consumption, Use, consumption
from idinit_jax.tracing.facts.values import STATE
from idinit_jax.tracing.program.flatten import Node


def find_use(facts: Facts, index: int, node: Node) -> Use | None:
    """The use of kernels that a node is, if it is one."""
    if node.operation in LOOKUPS:
        return _lookup(facts, index, node)
    if node.operation == "reduce_sum":
        return _sum_of_products(facts, index, node)
    if node.operation not in PRODUCTS:
        return None
    side = _weight_side(facts, index, node)
    how = None if side is None else _consumed(facts, node, side)
    if side is None or how is None or (node.operation == "dot_general" and not how.contracted):
        return None  # an elementwise or outer product
    return Use(index, node.inputs[1 - side], node.inputs[side], node.outputs[0], how)


def _consumed(facts: Facts, node: Node, side: int) -> Consumption | None:
    shapes = [facts.line.shapes[value] for value in node.inputs]
    return consumption(node.operation, node.params, shapes, side)


def _weight_side(facts: Facts, index: int, node: Node) -> int | None:
    """Which operand of a product is the kernel."""
    weights = [side for side in (0, 1) if facts.is_weight(node.inputs[side])]
    if node.operation != "dot_general":
        weights = [side for side in weights if side == 1]
    if len(weights) == 2:
        made = [facts.made_of(value).keys() for value in node.inputs]
        if made[0] & made[1]:  # a power of a kernel, as in a power iteration for its norm
            return None
        shown = [side for side in weights if _shows_signal(facts, node.inputs[side])]
        return 1 - shown[0] if len(shown) == 1 else None
    if weights:
        other = node.inputs[1 - weights[0]]
        measures = facts.sources[other] == STATE and index not in facts.assumed.tables
        return None if measures else weights[0]
    sides = (0, 1) if node.operation == "dot_general" else (1,)
    return next((side for side in sides if _is_modulated(facts, node, side)), None)


def _shows_signal(facts: Facts, value: int) -> bool:
    """Whether something made of parameters is a signal: repeated for each example, or normalized.

    The factors of a low-rank kernel are neither.
    """
    made = facts.made_of(value).values()
    return any(
        (one.degree == 0 and one.relation.gone)
        or (one.relation.repeats > 1 and not one.relation.summed)
        for one in made
    )


def _is_modulated(facts: Facts, node: Node, side: int) -> bool:
    """Whether a signal has been multiplied into a kernel that is contracted with another one.

    A parameter runs along what is summed over and along what is produced then.
    """
    value, how = node.inputs[side], _consumed(facts, node, side)
    if how is None or not facts.is_data(value):
        return False
    return any(
        set(how.contracted) & along and set(how.produced) & along
        for along in (
            facts.relation(value, root).own_dims
            for root, power in (facts.degrees[value] or {}).items()
            if root in facts.weights and power in (0, 1)
        )
    )


def _lookup(facts: Facts, index: int, node: Node) -> Use | None:
    """A row that the data look up is a signal; a matrix may turn out to be a kernel."""
    table, *indices = node.inputs
    if not facts.is_weight(table) or not any(facts.sources[x] & facts.data for x in indices):
        return None
    how = _consumed(facts, node, 0)
    shape = facts.line.shapes[table]
    sizes = [shape[axis] for axis in how.produced] if how else []
    if how is None or math.prod(sizes) == 1:
        return None  # a number
    if set(facts.made_of(table)) & facts.assumed.kernels:
        return None
    if sum(size > 1 for size in sizes) > 1 and not facts.assumed.settled:
        return None
    return Use(
        index,
        next(x for x in indices if facts.sources[x] & facts.data),
        table,
        node.outputs[0],
        how,
    )


def _sum_of_products(facts: Facts, index: int, node: Node) -> Use | None:
    """A contraction that is written as a product and a sum."""
    value = node.inputs[0]
    degree = facts.degrees[value] or {}
    if not facts.is_data(value) or not any(root in facts.weights for root in degree):
        return None
    over = set(node.params["axes"])
    signals = [root for root, power in degree.items() if power >= 0 and root not in facts.weights]
    varying = {span.dim for span in facts.varying(value, signals)}
    # What a norm has scaled is averaged besides, by the next one.
    sized = any(degree[root] > 0 for root in signals)
    for root, power in degree.items():
        if root not in facts.weights or power != 1:
            continue
        own = set(facts.relation(value, root).own_dims)
        produced = own - varying
        scores = sized and over <= _feature_dims(facts, value)
        if over and over <= own & varying and (produced or scores):
            return _spelled(facts, index, node, over, own, produced)
    return None


def _feature_dims(facts: Facts, value: int) -> set[int]:
    """Dimensions that are features as a whole."""
    shape = facts.line.shapes[value]
    return {s.dim for s in facts.features(value) if (s.low, s.high) == (1, shape[s.dim])}


def _spelled(
    facts: Facts, index: int, node: Node, over: set[int], own: set[int], produced: set[int]
) -> Use:
    value = node.inputs[0]
    left = [axis for axis in range(len(facts.line.shapes[value])) if axis not in over]
    features = frozenset(place for place, axis in enumerate(left) if axis in own)
    grouped = tuple(sorted(own - over - produced))
    how = Consumption(tuple(sorted(over)), tuple(sorted(produced)), grouped, features)
    return Use(index, value, value, node.outputs[0], how)
