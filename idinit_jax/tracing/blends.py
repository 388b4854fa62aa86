"""Kernels that meet the signal before they are contracted.

A kernel may be multiplied by one signal and then contracted with another (StyleGAN 2 modulates its
convolutions so), or multiplied by the signal and then summed, which is a contraction written out.
"""

from typing import NamedTuple

from idinit_jax.tracing import movement, operations
from idinit_jax.tracing.contraction import Consumption, WeightDims
from idinit_jax.tracing.flatten import Node, StraightLine
from idinit_jax.tracing.lineage import Lineage

Dims = frozenset[int]


class Blend(NamedTuple):
    """An array that is a parameter times a signal.

    Attributes:
        lineages: how the parameter enters.
        signal: the value that it was multiplied by.
        across: dimensions along which the parameter varies and the signal does not.
        modulated: whether there are any such, in arrays that were made of it too.
    """

    lineages: tuple[Lineage, ...]
    signal: int
    across: Dims
    modulated: bool


def blended(
    line: StraightLine, node: Node, signal: int, weight: int, lineages: tuple[Lineage, ...]
) -> Blend | None:
    """The product of a signal and of a weight with these lineages, where a node is one."""
    if node.operation != "mul" or not lineages:
        return None
    grown = _through(line, node, weight, lineages)
    if any(single.lost or single.root for single in grown):
        return None
    own = frozenset().union(*(single.own_dims for single in grown))
    across = own & _repeated(line, signal)
    return Blend(grown, signal, across, bool(across))


def moved(line: StraightLine, node: Node, value: int, blend: Blend) -> Blend | None:
    """What a node makes of a blend, None where it is no longer proportional to the parameter."""
    scales = node.operation == "mul" or (node.operation == "div" and node.inputs[0] == value)
    if not scales and node.operation not in operations.REARRANGEMENTS:
        return None
    lineages = _through(line, node, value, blend.lineages)
    if not blend.modulated or any(single.lost for single in lineages):
        return None
    return blend._replace(lineages=lineages, across=frozenset())


def summed(
    node: Node, blend: Blend, features: Dims | None, is_only_use: bool
) -> Consumption | None:
    """A sum of products as a contraction.

    Args:
        node: what reads the blend.
        blend: it.
        features: dimensions of the signal that a kernel produced, None if that is not known.
        is_only_use: whether nothing else reads the products.
    """
    if node.operation != "reduce_sum" or not is_only_use:
        return None
    own = frozenset().union(*(single.own_dims for single in blend.lineages))
    over = frozenset(node.params["axes"])
    reads_features = features is not None and over <= features
    if not over <= own - blend.across or not (blend.across or reads_features):
        return None
    left = [axis for axis in range(len(blend.lineages[0].dims)) if axis not in over]
    produced, grouped = blend.across - over, own - blend.across - over
    dims = WeightDims(tuple(sorted(over)), tuple(sorted(produced)), tuple(sorted(grouped)))
    varying = frozenset(index for index, axis in enumerate(left) if axis in own)
    return Consumption(node.operation, dims, varying)


def _through(
    line: StraightLine, node: Node, value: int, lineages: tuple[Lineage, ...]
) -> tuple[Lineage, ...]:
    shapes = line.shapes[value], line.shapes[node.outputs[0]]
    return tuple(
        movement.through(node.operation, node.params, single, *shapes) for single in lineages
    )


def _repeated(line: StraightLine, value: int) -> Dims:
    """Dimensions along which an array is constant, because it was broadcast."""
    shape = line.shapes[value]
    repeated = {axis for axis, size in enumerate(shape) if size == 1}
    producer = line.producers[value]
    if producer is not None and line.nodes[producer].operation == "broadcast_in_dim":
        node = line.nodes[producer]
        before, targets = line.shapes[node.inputs[0]], node.params["broadcast_dimensions"]
        kept = {axis for axis, size in zip(targets, before, strict=True) if size == shape[axis]}
        repeated |= set(range(len(shape))) - kept
    return frozenset(repeated)
