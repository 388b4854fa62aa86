"""Where the scalars of Fixup, SkipInit and ReZero go in a model that lacks them."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp

from idinit_jax.tracing import Parameter, ResidualSum, Traced
from idinit_jax.tracing.answers.activations import Activation, find_activations
from idinit_jax.tracing.answers.curves import UNNAMED
from idinit_jax.tracing.answers.proportion import is_sum_with_parameter, read_by
from idinit_jax.tracing.program import Program, Site
from idinit_jax.tracing.program.flatten import LAYER_SLICE, readers
from idinit_jax.tracing.program.sites import Operand, in_caller, scans_around


class Reading(NamedTuple):
    """One operand of one equation, on which a scalar will act.

    Attributes:
        operand: where it is.
        turns: lengths of the scans around the equation, outermost first.
        layers: the same with 1 where all turns of a scan share the scalar, as in a recurrent cell.
    """

    operand: Operand
    turns: tuple[int, ...]
    layers: tuple[int, ...]

    def each_turn(self, scalars: jax.Array) -> jax.Array:
        """The scalar that each turn uses."""
        return jnp.broadcast_to(scalars.reshape(self.layers), self.turns)


class Place(NamedTuple):
    """A value, as some of its readers see it.

    Attributes:
        name: of the scalar that will act on it, unique among its kind.
        shape: of the scalars: one for each layer of the scans that stack layers.
        readings: where the readers read it.
    """

    name: str
    shape: tuple[int, ...]
    readings: tuple[Reading, ...]


def ends_of_branches(known: Traced) -> tuple[Place, ...]:
    """The branch of every residual sum that no learned multiplier ends yet."""
    stacking = _stacking_scans(known)
    sums = [one for one in known.graph.residuals if not _has_multiplier(one, known)]
    names = _unique(one.tails[0] if one.tails else "branch" for one in sums)
    return tuple(
        _place(known.program, stacking, name, [Operand(one.site, one.branch_operand)])
        for name, one in zip(names, sums, strict=True)
    )


def before_layers(known: Traced) -> tuple[Place, ...]:
    """Where Fixup has a scalar bias: before each kernel and each elementwise activation.

    Not before a stem or an embedding, which see the data themselves, and not where the model adds
    a learned bias anyway.
    """
    stacking = _stacking_scans(known)
    found = sorted([*_before_kernels(known), *_before_activations(known)])
    names = _unique(name for _, name, _ in found)
    return tuple(
        _place(known.program, stacking, name, operands)
        for name, (_, _, operands) in zip(names, found, strict=True)
    )


def _place(program: Program, stacking: set[Site], name: str, operands: Iterable[Operand]) -> Place:
    around = {one: scans_around(program, one.site) for one in operands}
    shared = set.intersection(*map(set, around.values())) & stacking
    readings = tuple(
        Reading(
            operand,
            tuple(scans.values()),
            tuple(length if scan in shared else 1 for scan, length in scans.items()),
        )
        for operand, scans in around.items()
    )
    return Place(name, tuple(n for n in readings[0].layers if n > 1), readings)


def _stacking_scans(known: Traced) -> set[Site]:
    """The scans that hand out parameters layer by layer."""
    return {
        node.site
        for node in known.line.nodes
        if node.operation == LAYER_SLICE and known.facts.is_weight(node.inputs[0])
    }


def _has_multiplier(one: ResidualSum, known: Traced) -> bool:
    entries = [known.graph[path] for path in one.scales]
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


# The node that comes first, a name, and the operands.
_Found = tuple[int, str, list[Operand]]


def _before_kernels(known: Traced) -> Iterator[_Found]:
    """The signal of every kernel but stems and embeddings."""
    names = {
        use.site: kernel.path
        for kernel in known.graph.kernels
        for use in kernel.uses
        if use.role not in ("stem", "embedding")
    }
    for contraction in known.answers.contractions:
        use = contraction.use
        node = known.line.nodes[use.node]
        if node.site in names and not is_sum_with_parameter(known.facts, use.signal):
            yield use.node, names[node.site], [Operand(node.site, node.inputs.index(use.signal))]


def _before_activations(known: Traced) -> Iterator[_Found]:
    for one in find_activations(known.facts):
        if not is_sum_with_parameter(known.facts, one.value):
            name = "activation" if one.name == UNNAMED else one.name
            yield min(one.readers), name, _operands(known, one)


def _operands(known: Traced, activation: Activation) -> list[Operand]:
    """Where the activation reads its argument, from as far outside as nothing else reads it.

    A function with a derivative of its own keeps it where it is called as a whole.
    """
    nodes, value = known.line.nodes, activation.value
    others = [
        nodes[index].site
        for index in readers(known.line)[value]
        if index not in activation.readers and value in read_by(nodes[index])
    ]
    found = []
    for index in sorted(activation.readers):
        places = (place for place, read in enumerate(nodes[index].inputs) if read == value)
        for operand in (Operand(nodes[index].site, place) for place in places):
            outer: Operand | None = operand
            while outer and not any(_lies_in(site, outer.site) for site in others):
                operand, outer = outer, in_caller(known.program, outer)
            found.append(operand)
    return list(dict.fromkeys(found))


def _lies_in(site: Site, outer: Site) -> bool:
    return site[: len(outer)] == outer
