"""Which arrays of a program are one parameter times something that does not depend on it.

Only such an array follows its parameter when that is rescaled: a weight that was standardized, or
that is a sum of several kernels, does not.
"""

from typing import NamedTuple

from idinit_jax.tracing.flatten import LAYER_SLICE, RESHARD, Node, StraightLine
from idinit_jax.tracing.program import Site
from idinit_jax.tracing.reach import data_reach

_RESHAPING = {"reshape", "transpose", "squeeze", "expand_dims", "broadcast_in_dim", "rev"}
_PICKING = {"slice", "dynamic_slice", "split", "gather", LAYER_SLICE}
_CASTING = {"convert_element_type", "reduce_precision", "copy", "copy_p", "stop_gradient", "name"}
_PLACING = {"sharding_constraint", "pvary", "reshard", "mesh_cast", RESHARD}
MOVES = _RESHAPING | _PICKING | _CASTING | _PLACING


class Proportion(NamedTuple):
    """What an array is proportional to.

    Attributes:
        leaf: index of the parameter.
        scans: the scans that have sliced it, outermost first.
        unscaled: whether it holds the parameter's own entries, only moved.
    """

    leaf: int
    scans: tuple[Site, ...] = ()
    unscaled: bool = True


def proportions(line: StraightLine) -> list[Proportion | None]:
    """For every value the parameter that it is proportional to, None where there is none."""
    is_data = data_reach(line).is_data
    found: list[Proportion | None] = [None] * len(line.shapes)
    # Bit masks of the parameters that a value depends on.
    depends = [0] * len(line.shapes)
    for leaf, value in enumerate(line.params):
        found[value], depends[value] = Proportion(leaf), 1 << leaf
    for node in line.nodes:
        proportion = _through(node, found, depends)
        for value in node.outputs:
            for read in node.inputs:
                depends[value] |= depends[read]
            if not is_data[value]:
                found[value] = proportion
    return found


def _through(node: Node, found: list[Proportion | None], depends: list[int]) -> Proportion | None:
    """What the outputs of a node are proportional to."""
    if not node.inputs:
        return None
    first = found[node.inputs[0]]
    if node.operation == LAYER_SLICE and first is not None:
        return first._replace(scans=(*first.scans, node.site))
    if node.operation in MOVES:
        return first
    if node.operation == "neg" and first is not None:
        return first._replace(unscaled=False)
    if node.operation in ("mul", "div"):
        candidates = node.inputs if node.operation == "mul" else node.inputs[:1]
        return next(filter(None, (_scaled(one, node, found, depends) for one in candidates)), None)
    return None


def _scaled(
    value: int, node: Node, found: list[Proportion | None], depends: list[int]
) -> Proportion | None:
    """A factor, as far as the other one is free of its parameter."""
    proportion = found[value]
    others = [other for other in node.inputs if other != value]
    if proportion is None or not others:
        return None
    if any(depends[other] >> proportion.leaf & 1 for other in others):
        return None
    return proportion._replace(unscaled=False)
