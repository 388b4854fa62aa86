"""Uses of kernels that only a derivative makes: they say nothing of what a kernel is for.

A gradient inside the function starts from a number and meets the kernels in reverse, with inputs
and outputs swapped; a directional derivative starts from a direction that no data reach.
"""

from collections.abc import Sequence
from typing import NamedTuple

from idinit_jax.tracing.answers.contractions import Contraction, Share
from idinit_jax.tracing.answers.repeats import first_equals
from idinit_jax.tracing.facts import Facts


class Derivatives(NamedTuple):
    """Contractions by index.

    Attributes:
        silent: those that a derivative makes of a kernel that is used otherwise too, also by
            computing the function itself once more.
        reversed: those of kernels that only a gradient uses, from their outputs to their inputs.
        backward: all that a gradient makes.
    """

    silent: frozenset[int]
    reversed: frozenset[int]
    backward: frozenset[int]


def find_derivatives(facts: Facts, contractions: Sequence[Contraction]) -> Derivatives:
    """The contractions that belong to a derivative inside the function."""
    seeds = _seeds(facts, contractions)
    cotangent = _cotangents(facts, seeds)
    backward = {
        index
        for index, one in enumerate(contractions)
        if one.use.node in seeds or (cotangent[one.use.signal] and one.use.signal != one.use.weight)
    }
    aimless = {
        index
        for index, one in enumerate(contractions)
        if not facts.sources[one.use.signal] & facts.data and not facts.learned[one.use.signal]
    }
    spoken = {
        share.parameter
        for index, one in enumerate(contractions)
        if index not in backward | aimless
        for share in one.shares
    }
    silent = {
        index
        for index in backward | aimless
        if all(share.parameter in spoken for share in contractions[index].shares)
    }
    first = first_equals(facts.line)
    again = {i for i, one in enumerate(contractions) if first[one.use.output] != one.use.output}
    return Derivatives(frozenset(silent | again), frozenset(backward - silent), frozenset(backward))


def as_used_forward(
    contractions: Sequence[Contraction], derivatives: Derivatives
) -> list[Contraction]:
    """The contractions with the axes that they have in the function itself."""
    return [
        one._replace(shares=tuple(map(_swapped, one.shares)))
        if index in derivatives.reversed
        else one
        for index, one in enumerate(contractions)
    ]


def _swapped(share: Share) -> Share:
    return share._replace(in_atoms=share.out_atoms, out_atoms=share.in_atoms)


def _seeds(facts: Facts, contractions: Sequence[Contraction]) -> set[int]:
    """Nodes where a gradient starts: every output counts alike, and a kernel is met in reverse.

    A direction of a derivative may be a number too, but meets kernels as the data do.
    """
    forward = {
        (share.parameter, share.in_atoms)
        for one in contractions
        if facts.sources[one.use.signal] & facts.data
        for share in one.shares
    }
    return {
        one.use.node
        for one in contractions
        if (facts.numbers[one.use.signal] or _is_basis(facts, one.use.signal))
        and not any((share.parameter, share.in_atoms) in forward for share in one.shares)
    }


def _is_basis(facts: Facts, value: int) -> bool:
    """Whether a value holds rows of the identity, or one of them: outputs by themselves."""
    node = facts.node_of(value)
    while node is not None and node.operation != "eq" and len(node.inputs) == 1:
        node = facts.node_of(node.inputs[0])
    if node is None or node.operation not in ("eq", "pad"):
        return False
    if node.operation == "pad":
        return [bool(facts.numbers[x]) for x in node.inputs] == [True, False]
    return all(_counts(facts, x) for x in node.inputs)


def _counts(facts: Facts, value: int) -> bool:
    """Whether a value counts positions, perhaps from another number on."""
    node = facts.node_of(value)
    while node is not None and node.operation == "add":
        node = next((facts.node_of(x) for x in node.inputs if facts.numbers[x] is None), None)
    return node is not None and node.operation == "iota"


def _cotangents(facts: Facts, seeds: set[int]) -> list[bool]:
    """Values that are linear in what a gradient starts from."""
    found = [False] * len(facts.line.shapes)
    for index, node in enumerate(facts.line.nodes):
        use = facts.uses.get(index)
        for value in node.outputs:
            if use is None:
                found[value] = _is_linear_in(facts, index, value, found)
            else:
                found[value] = found[use.signal] or index in seeds
    return found


def _is_linear_in(facts: Facts, index: int, value: int, found: Sequence[bool]) -> bool:
    """Whether one group of operands holds nothing but cotangents, and the law is linear in it."""
    law, operands = facts.law(value), facts.operands[index]
    if law is None or not any(found[x] for x in operands):
        return False
    signs = dict(law.signs)
    return any(
        power == 1
        and signs.get(group) == -1
        and all(found[operands[x]] or facts.degrees[operands[x]] is None for x in group)
        for group, power in law.scaling
    )
