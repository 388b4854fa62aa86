"""From contractions, residual sums and distributions to the roles of kernels."""

from collections.abc import Container, Sequence
from typing import NamedTuple

from idinit_jax.tracing.answers.contractions import Contraction
from idinit_jax.tracing.answers.distributions import Distributions
from idinit_jax.tracing.answers.main_path import find_networks
from idinit_jax.tracing.answers.reach import reached, signals_into
from idinit_jax.tracing.answers.residuals import Sum, kernels_before
from idinit_jax.tracing.facts import Facts
from idinit_jax.tracing.graph import Role


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
        router: whether its distribution chooses among kernels.
        tail, shortcut, on_block: whether it ends a branch, lies on a shortcut, inside a block.
        attends: whether it makes the queries, keys or values of an attention.
    """

    lookup: bool
    lost: str
    router: bool
    tail: bool
    shortcut: bool
    on_block: bool
    attends: bool


class Found(NamedTuple):
    """What roles follow from.

    Attributes:
        facts, contractions: the program and its uses of kernels.
        trained: one a contraction, whether an output has a gradient with respect to its kernel.
        sums, distributions: its residual sums, attention and routers.
        reversed: contractions that a gradient makes, from a kernel's outputs to its inputs.
    """

    facts: Facts
    contractions: Sequence[Contraction]
    trained: Sequence[bool]
    sums: Sequence[Sum]
    distributions: Distributions
    reversed: Container[int]


def judge(found: Found, main: Sequence[bool]) -> list[Judgement]:
    """The role of every contraction.

    Args:
        found: what roles follow from.
        main: the values that reach the output past all branches.
    """
    sums = found.sums
    tails = {use for one in sums for use in one.tails}
    branches = _innermost(sums, [one.branch for one in sums])
    shortcuts = _innermost(sums, [one.shortcut for one in sums])
    networks = find_networks(sums)
    judgements = []
    for index, (one, position) in enumerate(
        zip(found.contractions, _positions(found), strict=True)
    ):
        branch, shortcut = branches.get(index), shortcuts.get(index)
        around = Surroundings(
            one.is_lookup,
            _why_lost(one),
            index in found.distributions.routers,
            index in tails,
            shortcut is not None and _nearer(sums, shortcut, branch),
            branch is not None and branch not in networks,
            index in found.distributions.parts,
        )
        judgements.append(_judgement(around, position, branch, main[one.use.output]))
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
    if around.router:
        return "router", "its distribution chooses among kernels"
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


def _why_lost(contraction: Contraction) -> str:
    """A function of a kernel keeps the model's own start, whatever its axes are."""
    return next((one.lost for one in contraction.shares if one.linear), "")


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


def _positions(found: Found) -> list[Position]:
    """Where the contractions stand among those of kernels that are trained."""
    facts, uses = found.facts, [one.use for one in found.contractions]
    trained = {use.node for use, yes in zip(uses, found.trained, strict=True) if yes}
    depth = kernels_before(facts)
    before = reached(facts, [use.output for use in uses if use.node in trained])
    after, after_last_turn = (_any_after(facts, trained, turns) for turns in (True, False))
    positions = []
    for index, use in enumerate(uses):
        enters = bool(facts.sources[use.signal] & facts.entering)
        deepest = max(depth[use.signal], depth[use.weight])
        is_first = not (before[use.signal] or before[use.weight])
        if index in found.reversed:
            positions.append(Position(deepest, not after[use.output], is_first, False, is_first))
            continue
        positions.append(
            Position(
                deepest,
                first=is_first and enters,
                last=not after[use.output],
                first_turn=(deepest == 0 or is_first) and enters,
                last_turn=not after_last_turn[use.output],
            )
        )
    return positions


def _any_after(facts: Facts, trained: Container[int], turns: bool) -> list[bool]:
    """Whether any kernel lies between a value and the output; in later turns too, if asked."""
    line = facts.line
    after = [False] * len(line.shapes)
    changed = True
    while changed:
        changed = False
        for index in range(len(line.nodes) - 1, -1, -1):
            node = line.nodes[index]
            needed = index in trained or any(after[value] for value in node.outputs)
            read = signals_into(facts, index) if needed else ()
            for value in set(node.inputs).intersection(read):
                if facts.is_data(value) and not after[value]:
                    after[value] = changed = True
        for carry, leaving in line.loops if turns else ():
            if after[carry] and not after[leaving]:
                after[leaving] = changed = True
        changed = changed and turns and bool(line.loops)
    return after
