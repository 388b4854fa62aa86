"""What reaches what: forward from values, backward from the outputs, with a gradient or without."""

from collections.abc import Collection, Iterable

from idinit_jax.tracing.facts import Facts


def reached(facts: Facts, seeds: Iterable[int], stops: Collection[int] = ()) -> list[bool]:
    """Which values have a gradient with respect to the seeds; no way leads through the stops."""
    found = [False] * len(facts.line.shapes)
    for value in seeds:
        found[value] = True
    changed = True
    while changed:
        changed = False
        for index, node in enumerate(facts.line.nodes):
            if not any(found[x] for x in signals_into(facts, index)):
                continue
            for value in node.outputs:
                if not found[value] and value not in stops:
                    found[value] = changed = True
        changed = changed and bool(facts.line.loops)
    return found


def signals_into(facts: Facts, index: int) -> list[int]:
    """The operands of a node through which a gradient goes; indices and masks only select."""
    node = facts.line.nodes[index]
    law = facts.law(node.outputs[0]) if node.outputs else None
    choosers = law.choosers if law else ()
    if node.operation == "stop_gradient":
        return []
    return [x for place, x in enumerate(facts.operands[index]) if place not in choosers]


def reaching_output(facts: Facts) -> list[bool]:
    """Which values reach an output of the model."""
    return _backward(facts, differentiable=False)


def with_gradient(facts: Facts) -> list[bool]:
    """Which values an output of the model has a gradient with respect to."""
    return _backward(facts, differentiable=True)


def _backward(facts: Facts, differentiable: bool) -> list[bool]:
    line = facts.line
    found = [False] * len(line.shapes)
    for value in line.outputs:
        found[value] = not differentiable or facts.inexact[value]
    changed = True
    while changed:
        changed = False
        for index in range(len(line.nodes) - 1, -1, -1):
            needed = [value for value in line.nodes[index].outputs if found[value]]
            if not needed:
                continue
            read = (
                _differentiable(facts, index, needed) if differentiable else facts.operands[index]
            )
            for value in read:
                if not found[value]:
                    found[value] = changed = True
        changed = changed and bool(line.loops)
    return found


def _differentiable(facts: Facts, index: int, outputs: Iterable[int]) -> list[int]:
    """The operands through which a gradient of some outputs goes."""
    if facts.line.nodes[index].operation == "stop_gradient":
        return []
    cut = [facts.law(value) for value in outputs]
    return [
        value
        for position, value in enumerate(facts.operands[index])
        if facts.inexact[value] and any(law is None or position not in law.choosers for law in cut)
    ]
