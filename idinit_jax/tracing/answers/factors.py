"""Products of kernels: which way the digits lead that the factors share.

In x (A B) the shared digit is the output of A, which the data meet first, and the input of B.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from idinit_jax.tracing.facts import Facts, Made, Use
from idinit_jax.tracing.table.law import Atom

# Parameter -> the digits shared with other factors that are inputs, and those that are outputs.
Inner = Mapping[int, tuple[tuple[Atom, ...], tuple[Atom, ...]]]


class _Meeting(NamedTuple):
    """A parameter in a product of weights: what is summed, and the parameters on the other side."""

    parameter: int
    digits: tuple[Atom, ...]
    others: tuple[int, ...]


def inner_digits(facts: Facts, use: Use, made: Mapping[int, Made]) -> Inner:
    """For every factor of a weight the digits that it shares with others."""
    if not any(one.relation.summed and one.degree for one in made.values()):
        return {}
    found: dict[int, tuple[tuple[Atom, ...], tuple[Atom, ...]]] = {}
    for meeting in _meetings(facts, use.weight, set()):
        into, out_of = found.get(meeting.parameter, ((), ()))
        rank = len(facts.line.shapes[meeting.parameter])
        for digit in meeting.digits:
            if _leads_out(use, made, meeting, 2 * digit.axis >= rank):
                out_of += (digit,)
            else:
                into += (digit,)
        found[meeting.parameter] = (into, out_of)
    return found


def _leads_out(use: Use, made: Mapping[int, Made], meeting: _Meeting, trails: bool) -> bool:
    """Whether the other factors stand between a parameter and the output.

    Where neither they nor the parameter tell, as in a tensor train, trailing axes are outputs.
    """
    others = [made[one] for one in meeting.others if one in made]
    inputs, outputs = (_varies(others, dims) for dims in (use.how.contracted, use.how.produced))
    if inputs != outputs:
        return outputs
    own = [made[meeting.parameter]] if meeting.parameter in made else []
    inputs, outputs = (_varies(own, dims) for dims in (use.how.contracted, use.how.produced))
    return inputs if inputs != outputs else trails


def _varies(made: Iterable[Made], dims: Sequence[int]) -> bool:
    return any(one.relation.own_dims & set(dims) for one in made)


def _meetings(facts: Facts, value: int, seen: set[int]) -> Iterator[_Meeting]:
    """All products of weights that a weight is made by."""
    node = facts.node_of(value)
    if value in seen or node is None or not facts.is_weight(value):
        return
    seen.add(value)
    for operand in node.inputs:
        yield from _meetings(facts, operand, seen)
    if node.operation == "dot_general" and all(map(facts.is_weight, node.inputs)):
        contracted = node.params["dimension_numbers"][0]
        for side in (0, 1):
            others = tuple(facts.made_of(node.inputs[1 - side]))
            for parameter, one in facts.made_of(node.inputs[side]).items():
                atoms = [atom for axis in contracted[side] for atom in _dim(one, axis)]
                digits = tuple(atom for atom in atoms if atom.axis >= 0)
                yield _Meeting(parameter, digits, others)


def _dim(made: Made, axis: int) -> Iterable[Atom]:
    return () if made.relation.lost else made.relation.dims[axis]
