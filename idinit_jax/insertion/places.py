"""Where the scalars of Fixup, SkipInit and ReZero go in a model that lacks them."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp

from idinit_jax.tracing.flatten import LAYER_SLICE, Node, StraightLine, flatten
from idinit_jax.tracing.graph import ModelGraph, Parameter, ResidualSum
from idinit_jax.tracing.program import Site
from idinit_jax.tracing.proportion import MOVES, Proportion, proportions
from idinit_jax.tracing.reach import data_reach, reached
from idinit_jax.tracing.surroundings import scans_around


class Place(NamedTuple):
    """One operand of one equation, which a scalar will act on.

    Attributes:
        name: of the scalar, unique among its kind.
        site: the equation.
        operand: index of the operand.
        turns: lengths of the scans around the equation, outermost first.
        layers: the same with 1 where all turns of a scan share the scalar, as in a recurrent cell.
    """

    name: str
    site: Site
    operand: int
    turns: tuple[int, ...]
    layers: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """One scalar for each layer of the scans that stack layers."""
        return tuple(length for length in self.layers if length > 1)

    def each_turn(self, scalars: jax.Array) -> jax.Array:
        """The scalar that each turn uses."""
        return jnp.broadcast_to(scalars.reshape(self.layers), self.turns)


def ends_of_branches(graph: ModelGraph) -> tuple[Place, ...]:
    """The branch of every residual sum that no learned multiplier ends yet."""
    stacking = _stacking_scans(flatten(graph.program))
    sums = [one for one in graph.residuals if not _has_multiplier(one, graph)]
    names = _unique(one.tails[0] if one.tails else "branch" for one in sums)
    return tuple(
        _place(graph, stacking, name, one.site, one.branch_operand)
        for name, one in zip(names, sums, strict=True)
    )


def before_layers(graph: ModelGraph) -> tuple[Place, ...]:
    """Where Fixup has a scalar bias: before each kernel and each elementwise activation.

    Not before a stem or an embedding, which see the data themselves, and not where the model adds
    a learned bias anyway.
    """
    line = flatten(graph.program)
    stacking = _stacking_scans(line)
    found = dict(_without_bias(line, graph))
    names = _unique(name for name, _ in found.values())
    return tuple(
        _place(graph, stacking, name, site, operand)
        for name, (site, (_, operand)) in zip(names, found.items(), strict=True)
    )


def _place(graph: ModelGraph, stacking: set[Site], name: str, site: Site, operand: int) -> Place:
    scans = scans_around(graph.program, site)
    layers = tuple(length if scan in stacking else 1 for scan, length in scans.items())
    return Place(name, site, operand, tuple(scans.values()), layers)


def _stacking_scans(line: StraightLine) -> set[Site]:
    """The scans that hand out parameters layer by layer."""
    of_params, of_data = reached(line, list(line.params)), reached(line, list(line.inputs))
    return {
        node.site
        for node in line.nodes
        if node.operation == LAYER_SLICE
        and of_params[node.inputs[0]]
        and not of_data[node.inputs[0]]
    }


def _has_multiplier(one: ResidualSum, graph: ModelGraph) -> bool:
    entries = [graph[path] for path in one.scales]
    return any(
        isinstance(entry, Parameter) and entry.kind == "multiplier" and entry.ends_branch
        for entry in entries
    )


def _unique(names: Iterable[str]) -> Iterator[str]:
    """Names told apart by a number where they repeat."""
    seen: dict[str, int] = {}
    for name in names:
        seen[name] = seen.get(name, -1) + 1
        yield f"{name}:{seen[name]}" if seen[name] else name


def _without_bias(line: StraightLine, graph: ModelGraph) -> Iterator[tuple[Site, tuple[str, int]]]:
    """site -> (name, operand) in forward order."""
    kernels = {
        use.site: kernel.path
        for kernel in graph.kernels
        for use in kernel.uses
        if use.role not in ("stem", "embedding")
    }
    of_data, found = data_reach(line).is_data, proportions(line)
    for node in line.nodes:
        name = kernels.get(node.site) or _activation(node, line)
        signals = [index for index, value in enumerate(node.inputs) if of_data[value]]
        if name and signals and not _has_bias(line, found, node.inputs[signals[0]]):
            yield node.site, (name, signals[0])


def _activation(node: Node, line: StraightLine) -> str | None:
    """The name of an elementwise activation."""
    if node.operation == "nonlinearity":
        return node.params["name"]
    if node.operation in ("tanh", "logistic"):
        return node.operation
    if node.operation == "max" and any(line.constants.get(value) == 0 for value in node.inputs):
        return "relu"
    return None


def _has_bias(line: StraightLine, found: list[Proportion | None], value: int) -> bool:
    """Whether the value is a sum with a parameter, perhaps cast or reshaped since."""
    producer = line.producers[value]
    while producer is not None and line.nodes[producer].operation in MOVES:
        producer = line.producers[line.nodes[producer].inputs[0]]
    if producer is None:
        return False
    node = line.nodes[producer]
    return node.operation == "add" and any(found[read] is not None for read in node.inputs)
