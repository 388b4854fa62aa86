"""Uses of kernels whose signal comes straight from an attention."""

from collections.abc import Iterable, Sequence

from idinit_jax.tracing.facts import Facts
from idinit_jax.tracing.program.flatten import CARRY


def attended_uses(facts: Facts, attended: Iterable[int]) -> list[int]:
    """The nodes that use kernels on what is linear in attended values, and in nothing else."""
    held = set(attended)
    if not held:
        return []
    # A carry that starts at zero holds what comes around, if that is attended.
    carries = {
        value
        for node in facts.line.nodes
        if node.operation == CARRY and facts.degrees[node.inputs[0]] is None
        for value in node.outputs
    }
    while True:
        found = _spread(facts, held | carries)
        refuted = {
            carry for carry, around in facts.line.loops if carry in carries and around not in found
        }
        if not refuted:
            return [index for index, use in facts.uses.items() if use.signal in found]
        carries -= refuted


def _spread(facts: Facts, held: set[int]) -> set[int]:
    """All values that are linear in some that are held."""
    found = set(held)
    for index, node in enumerate(facts.line.nodes):
        if index in facts.uses or node.operation == CARRY:
            continue
        if any(x in found for x in node.inputs):
            found.update(v for v in node.outputs if _is_linear(facts, v, node.inputs, found))
    return found


def _is_linear(facts: Facts, value: int, operands: Sequence[int], held: set[int]) -> bool:
    """Whether a value is linear in held operands and adds no other signal to them."""
    law = facts.law(value)
    odd = [set(group) for group, sign in law.signs if sign == -1] if law else []
    return any(
        power == 1
        and set(group) in odd
        and any(operands[x] in held for x in group)
        and all(operands[x] in held or not facts.is_signal(operands[x]) for x in group)
        for group, power in (law.scaling if law else ())
    )
