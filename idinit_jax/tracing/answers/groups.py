"""Whether an axis that a kernel produces is one of outputs or of kernels: where it goes.

Members of an ensemble, experts and heads look alike in the first kernel that reads their common
input: it produces their axis. They are kernels of their own where a later kernel has the axis too,
or a router's distribution weighs them, and none sums over it.
"""

import math
from collections.abc import Iterable, Iterator, Sequence

from idinit_jax.tracing.answers.ahead import Ahead, Digit, member_groups
from idinit_jax.tracing.answers.contractions import Contraction, Share
from idinit_jax.tracing.answers.distributions import Distributions
from idinit_jax.tracing.answers.single import kept_single, single_axes
from idinit_jax.tracing.facts import Facts, Use
from idinit_jax.tracing.table.law import Atom, Dim


def with_groups(
    facts: Facts, contractions: Sequence[Contraction], distributions: Distributions
) -> list[Contraction]:
    """The contractions with the axes of members and experts counted as groups."""
    ahead = Ahead(facts, distributions)
    routed = ahead.routed_inputs()

    def regrouped(use: Use, share: Share) -> Share:
        if share.lost:
            return share
        return _regrouped(facts, ahead, use, _with_single(facts, ahead, use, share), routed)

    found = []
    for one in contractions:
        if not one.is_lookup:
            shares = tuple(regrouped(one.use, share) for share in one.shares)
            one = one._replace(shares=shares, groups=_groups_left(facts, one, shares))
        found.append(one)
    return found


def _groups_left(facts: Facts, contraction: Contraction, shares: Sequence[Share]) -> int:
    """Feature groups of a convolution besides those that have a stored axis of their own."""
    if contraction.groups == 1 or not shares:
        return contraction.groups
    (dim,) = _produced(facts, contraction.use, shares[0])
    own = [atom.size for atom in dim if atom in shares[0].group_atoms]
    return max(1, contraction.groups // math.prod(own))


def _produced(facts: Facts, use: Use, share: Share) -> list[Dim]:
    dims = facts.made_of(use.weight)[share.parameter].relation.dims
    return [dims[axis] for axis in use.how.produced]


def _regrouped(
    facts: Facts, ahead: Ahead, use: Use, share: Share, routed: dict[int, set[int]]
) -> Share:
    """A share with its digits where they belong; a kernel keeps inputs and outputs."""
    dims = facts.made_of(use.weight)[share.parameter].relation.dims
    together = [
        atom
        for atom, digit in _digits(facts, use, dims, use.how.grouped)
        if ahead.is_summed_next(digit)
    ]
    apart = [
        atom for atom, digit in _digits(facts, use, dims, use.how.produced) if ahead.is_group(digit)
    ]
    apart += member_groups(use, dims)
    weighed = [atom for axis in routed.get(use.node, ()) for atom in dims[axis]]
    out, members = _parted(share.out_atoms, apart)
    inside, experts = _parted(share.in_atoms, weighed)
    groups = tuple(atom for atom in share.group_atoms if atom in together)
    return share._replace(
        in_atoms=inside + groups,
        out_atoms=out,
        group_atoms=tuple(a for a in share.group_atoms if a not in groups) + members + experts,
    )


def _parted(
    atoms: Sequence[Atom], moving: Iterable[Atom]
) -> tuple[tuple[Atom, ...], tuple[Atom, ...]]:
    """Atoms that stay and those that move; all stay if none would be left."""
    moved = set(moving)
    left = tuple(atom for atom in atoms if atom not in moved)
    return (left, tuple(atom for atom in atoms if atom in moved)) if left else (tuple(atoms), ())


def _digits(
    facts: Facts, use: Use, dims: Sequence[Dim], axes: Iterable[int]
) -> Iterator[tuple[Atom, Digit]]:
    """The digits of a parameter along dimensions of a weight, and what they are in the output."""
    node, law = facts.line.nodes[use.node], facts.law(use.output)
    move = law.moves.get(node.inputs.index(use.weight), ()) if law else ()
    places = {atom.axis: place for place, atoms in enumerate(move) for atom in atoms}
    for axis in axes:
        stride = math.prod(atom.size for atom in dims[axis])
        for atom in dims[axis]:
            stride //= atom.size
            if atom.axis >= 0 and axis in places:
                yield atom, Digit(use.output, places[axis], stride, atom.size)


def _with_single(facts: Facts, ahead: Ahead, use: Use, share: Share) -> Share:
    """A share with its axes of length 1."""
    node, shapes = facts.line.nodes[use.node], facts.line.shapes
    inside, out, groups = list(share.in_atoms), list(share.out_atoms), list(share.group_atoms)
    for axis, dim in single_axes(facts, share.parameter, use.weight).items():
        if dim in use.how.contracted:
            inside.append(Atom(axis, 1, 1))
        elif dim in use.how.grouped:
            groups.append(Atom(axis, 1, 1))
        elif dim in use.how.produced:
            place = kept_single(node, shapes, node.inputs.index(use.weight), dim)
            apart = place is not None and ahead.is_group(Digit(use.output, place, 1, 1))
            (groups if apart else out).append(Atom(axis, 1, 1))
    return share._replace(in_atoms=tuple(inside), out_atoms=tuple(out), group_atoms=tuple(groups))
