"""From contractions and residual sums to the roles of kernels."""

from collections.abc import Container, Sequence
from typing import NamedTuple

from idinit_jax.tracing import ancestry
from idinit_jax.tracing.contraction import LOOKUPS
from idinit_jax.tracing.flatten import StraightLine
from idinit_jax.tracing.flow import Flow
from idinit_jax.tracing.graph import Role
from idinit_jax.tracing.main_path import find_networks
from idinit_jax.tracing.reach import reached
from idinit_jax.tracing.residuals import Sum


class Position(NamedTuple):
    """Where a contraction stands between the input and the output of the model.

    Attributes:
        depth: kernels on the longest path before it, in the first turn of every loop.
        first, last: whether no kernel lies before or after it, in any turn.
        first_turn, last_turn: likewise in the first turn, the last turn of its loop.
    """

    depth: int
    first: bool
    last: bool
    first_turn: bool
    last_turn: bool


class Judgement(NamedTuple):
    """The role of a contraction in the middle of a loop, at its first and at its last turn."""

    role: Role
    reason: str
    first_turn: Role
    last_turn: Role
    depth: int
    branch: int | None
    main: bool


class Surroundings(NamedTuple):
    """What a contraction's role depends on besides its position.

    Attributes:
        lookup: whether rows are looked up by index.
        lost: why its axes cannot be read; empty if they can.
        tail, shortcut, on_block: whether it ends a branch, lies on a shortcut, inside a block.
        attends: whether it makes the queries, keys or values of an attention.
    """

    lookup: bool
    lost: str
    tail: bool
    shortcut: bool
    on_block: bool
    attends: bool


def judge(
    line: StraightLine,
    flow: Flow,
    sums: Sequence[Sum],
    attending: Container[int],
    main: Sequence[bool],
) -> list[Judgement]:
    """The role of every contraction.

    Args:
        line, flow, sums: the program, what flows in it, its residual sums.
        attending: the contractions that belong to an attention.
        main: the values that reach the output past all branches.
    """
    tails = {use for one in sums for use in one.tails}
    branches = _innermost(sums, [one.branch for one in sums])
    shortcuts = _innermost(sums, [one.shortcut for one in sums])
    networks = find_networks(sums)
    judgements = []
    for index, (use, position) in enumerate(
        zip(flow.contractions, _positions(line, flow), strict=True)
    ):
        branch, shortcut = branches.get(index), shortcuts.get(index)
        around = Surroundings(
            use.operation in LOOKUPS,
            use.shares[0].lost,
            index in tails,
            shortcut is not None and _nearer(sums, shortcut, branch),
            branch is not None and branch not in networks,
            index in attending,
        )
        judgements.append(_judgement(around, position, branch, main[use.output]))
    return judgements


def _judgement(
    around: Surroundings, position: Position, branch: int | None, main: bool
) -> Judgement:
    role, reason = _role(around, position.first, position.last)
    first_turn, _ = _role(around, position.first_turn, position.last)
    last_turn, _ = _role(around, position.first, position.last_turn)
    return Judgement(role, reason, first_turn, last_turn, position.depth, branch, main)


def _role(around: Surroundings, first: bool, last: bool) -> tuple[Role, str]:
    if around.lost:
        return "unknown", f"its axes cannot be read: {around.lost}"
    if around.lookup:
        return "embedding", "rows are looked up by index"
    if around.tail:
        return "tail", "last kernel of a residual branch"
    if around.shortcut:
        return "shortcut", "on the shorter way to a residual sum"
    if around.on_block:
        return "hidden", "inside a residual branch"
    if around.attends and not last:
        return "hidden", "makes queries, keys or values"
    if last:
        return "head", "no kernel between it and the output"
    if first:
        return "stem", "no kernel between the input and it"
    return "hidden", "between other kernels"


def _nearer(sums: Sequence[Sum], shortcut: int, branch: int | None) -> bool:
    """Whether the sum that a kernel is a shortcut of lies within the branch that it is on."""
    return branch is None or len(sums[shortcut].branch) <= len(sums[branch].branch)


def _innermost(sums: Sequence[Sum], members: Sequence[Sequence[int]]) -> dict[int, int]:
    """For every contraction on a way, the sum with the shortest branch that claims it."""
    owner: dict[int, int] = {}
    for index, contractions in enumerate(members):
        for use in contractions:
            held = owner.get(use)
            if held is None or len(sums[index].branch) < len(sums[held].branch):
                owner[use] = index
    return owner


def _positions(line: StraightLine, flow: Flow) -> list[Position]:
    depth = ancestry.kernels_before(line, flow)
    before = reached(line, [use.output for use in flow.contractions])
    after, after_last_turn = (_any_after(line, flow, turns) for turns in (True, False))
    return [
        Position(
            depth[use.data],
            first=not before[use.data] and flow.sources[use.data] > 0,
            last=not after[use.output],
            first_turn=depth[use.data] == 0 and flow.sources[use.data] > 0,
            last_turn=not after_last_turn[use.output],
        )
        for use in flow.contractions
    ]


def _any_after(line: StraightLine, flow: Flow, turns: bool) -> list[bool]:
    """Whether any kernel lies between a value and the output; in later turns too, if asked."""
    after = [False] * len(line.shapes)
    changed = True
    while changed:
        changed = False
        for index in range(len(line.nodes) - 1, -1, -1):
            node = line.nodes[index]
            needed = index in flow.by_node or any(after[value] for value in node.outputs)
            for value in node.inputs:
                if needed and flow.is_data[value] and not after[value]:
                    after[value] = changed = True
        for carry, leaving in line.loops if turns else ():
            if after[carry] and not after[leaving]:
                after[leaving] = changed = True
        changed = changed and turns and bool(line.loops)
    return after
