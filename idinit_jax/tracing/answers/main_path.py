"""The main path of a model: what is on no branch of a block."""

from collections.abc import Sequence

from idinit_jax.tracing.answers.residuals import Sum
from idinit_jax.tracing.program.flatten import StraightLine


def find_networks(sums: Sequence[Sum]) -> set[int]:
    """Sums whose branch contains other residual sums: a network, rather than a block."""
    branch_sets = [set(one.branch) for one in sums]
    owners: dict[int, list[int]] = {}
    for index, contractions in enumerate(branch_sets):
        for use in contractions:
            owners.setdefault(use, []).append(index)
    return {
        outer
        for index, one in enumerate(sums)
        if one.branch
        for outer in owners.get(one.branch[0], ())
        if outer != index and branch_sets[index] < branch_sets[outer]
    }


def past_branches(line: StraightLine, sums: Sequence[Sum]) -> list[bool]:
    """Which values reach the output on a way that is on no branch of a block."""
    networks = find_networks(sums)
    branches = {
        one.node: line.nodes[one.node].inputs[one.branch_operand]
        for index, one in enumerate(sums)
        if index not in networks
    }
    reach = [False] * len(line.shapes)
    for value in line.outputs:
        reach[value] = True
    changed = True
    while changed:
        for index in range(len(line.nodes) - 1, -1, -1):
            node = line.nodes[index]
            if any(reach[value] for value in node.outputs):
                for value in node.inputs:
                    reach[value] = reach[value] or value != branches.get(index)
        returning = [leaving for carry, leaving in line.loops if reach[carry] > reach[leaving]]
        for leaving in returning:
            reach[leaving] = True
        changed = bool(returning)
    return reach
