"""Every use of kernels with the part that each parameter has in it."""

import math
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from idinit_jax.tracing.answers.factors import Inner, inner_digits
from idinit_jax.tracing.facts import Facts, Made, Relation, Use
from idinit_jax.tracing.facts.relation import stored
from idinit_jax.tracing.facts.uses import LOOKUPS
from idinit_jax.tracing.table.law import Atom, Shape


class Share(NamedTuple):
    """One parameter's part in a use, as digits of its stored axes.

    Attributes:
        parameter: its value.
        in_atoms, out_atoms, group_atoms, spatial_atoms: digits by what the contraction does.
        picked: digits of which one position was taken, and which.
        unit: stored axes over which a norm of the parameter is taken that it is divided by.
        linear: whether the weight is linear in the parameter.
        lost: why the axes cannot be read; empty if they can.
    """

    parameter: int
    in_atoms: tuple[Atom, ...]
    out_atoms: tuple[Atom, ...]
    group_atoms: tuple[Atom, ...]
    spatial_atoms: tuple[Atom, ...]
    picked: tuple[tuple[Atom, int | None], ...]
    unit: frozenset[int]
    linear: bool
    lost: str


class Contraction(NamedTuple):
    """A use of kernels, told apart.

    Attributes:
        use: where it is and what it does.
        operation: the primitive, or "one_hot" for a lookup spelled as a product.
        shares: one a kernel; several where the weight is a sum or product of kernels.
        modifiers: parameters that only rescale the weight.
        groups: feature groups of the stored kernel of a convolution.
    """

    use: Use
    operation: str
    shares: tuple[Share, ...]
    modifiers: tuple[int, ...]
    groups: int

    @property
    def is_lookup(self) -> bool:
        return self.operation in LOOKUPS or self.operation == "one_hot"


def find_contractions(facts: Facts) -> list[Contraction]:
    """All uses of kernels, in forward order.

    The first use says what a parameter is: one that only rescales a kernel there is none later.
    """
    found: list[Contraction] = []
    scales: set[int] = set()
    for node in sorted(facts.uses):
        found.append(_contraction(facts, facts.uses[node], scales))
        scales.update(found[-1].modifiers)
    return found


def _contraction(facts: Facts, use: Use, scales: Collection[int]) -> Contraction:
    made = facts.made_of(use.weight)
    among = _kernels_among(use, made)
    whole = [parameter for parameter in among if parameter not in scales] or among
    inner = inner_digits(facts, use, made)
    operation = facts.line.nodes[use.node].operation
    if operation == "dot_general" and is_one_hot(facts, use.signal):
        operation = "one_hot"
    return Contraction(
        use,
        operation,
        tuple(_share(facts, use, parameter, made[parameter], inner) for parameter in whole),
        tuple(parameter for parameter in made if parameter not in whole),
        _own_groups(use, made[whole[0]].relation) if whole else 1,
    )


def is_one_hot(facts: Facts, value: int) -> bool:
    """Whether the rows of a value are comparisons of an index with all positions."""
    while (node := facts.node_of(value)) is not None:
        law = facts.law(value)
        if node.operation == "eq":
            return bool(facts.sources[value] & facts.data)
        if law is None or len(node.inputs) != 1 or facts.learned[value]:
            return False
        value = node.inputs[0]
    return False


def _kernels_among(use: Use, made: dict[int, Made]) -> list[int]:
    """Tell the parameters that make up a weight from those that only rescale it."""
    whole = [parameter for parameter in made if _is_kernel(use, parameter, made)]
    if whole:
        return whole
    rank = {
        parameter: (bool(one.relation.lost), not _leads_through(use, one), one.relation.spread)
        for parameter, one in made.items()
    }
    return [parameter for parameter in made if rank[parameter] == min(rank.values())]


def _is_kernel(use: Use, parameter: int, made: dict[int, Made]) -> bool:
    """Whether a parameter varies wherever the weight does, or is one of several factors."""
    one = made[parameter]
    if one.relation.lost:
        return not one.linear
    if one.relation.summed:
        return one.degree != 0
    return one.relation.spread == 1 or _is_kronecker_factor(use, parameter, made)


def _is_kronecker_factor(use: Use, parameter: int, made: dict[int, Made]) -> bool:
    """Whether a parameter has inputs and outputs to itself."""
    relation = made[parameter].relation
    others = (one.relation.own_spans for other, one in made.items() if other != parameter)
    apart = not any(s.meets(spans) for spans in others for s in relation.own_spans)
    return apart and _leads_through(use, made[parameter])


def _leads_through(use: Use, made: Made) -> bool:
    """Whether a parameter runs along inputs and along outputs."""
    own = made.relation.own_dims
    return bool(own & set(use.how.contracted)) and bool(own & set(use.how.produced))


def _own_groups(use: Use, relation: Relation) -> int:
    """Feature groups of the stored kernel, without those that only repeat it (a mapped one)."""
    produced = [atom for axis in use.how.produced for atom in relation.dims[axis]]
    copies = math.prod(atom.size for atom in produced if atom.axis < 0)
    return max(1, use.how.groups // copies)


def _share(facts: Facts, use: Use, parameter: int, made: Made, inner: Inner) -> Share:
    """Read the stored axes of one parameter off the dimensions of the weight."""
    shape = facts.line.shapes[parameter]
    relation, how = _readable(facts, use, shape, made), use.how
    named = {*how.contracted, *how.produced, *how.grouped}
    spatial = [axis for axis in range(len(relation.dims)) if axis not in named]
    picked = tuple((a, position) for a, position in relation.picked if shape[a.axis] > 1)
    unit = {atom.axis for atom in relation.gone} if made.degree == 0 else set()
    into, out_of = inner.get(parameter, ((), ()))
    return Share(
        parameter,
        _own(relation, how.contracted) + into,
        _own(relation, how.produced) + out_of,
        relation.chosen + _own(relation, how.grouped),
        _own(relation, spatial),
        picked,
        frozenset(unit),
        made.linear,
        relation.lost,
    )


def _readable(facts: Facts, use: Use, shape: Shape, made: Made) -> Relation:
    """A function of a whole matrix, such as its inverse, has the axes of the matrix."""
    alike = facts.line.shapes[use.weight] == shape
    return stored(shape) if made.relation.lost and alike and not made.linear else made.relation


def _own(relation: Relation, axes: Iterable[int]) -> tuple[Atom, ...]:
    """Digits of some dimensions that the parameter itself brings."""
    dims: Sequence[int] = tuple(axes)
    if relation.lost:
        return ()
    return tuple(atom for axis in dims for atom in relation.dims[axis] if atom.axis >= 0)
