"""What ends a branch: the kernels that it vanishes with, and the parameters that scale it after."""

import functools
import heapq
from collections.abc import Mapping
from typing import NamedTuple

from idinit_jax.tracing.answers import windows
from idinit_jax.tracing.answers.affine import is_bent
from idinit_jax.tracing.answers.dominance import Regions
from idinit_jax.tracing.answers.vanishing import Operands, Vanishing
from idinit_jax.tracing.answers.windows import Window
from idinit_jax.tracing.facts import Facts


class End(NamedTuple):
    """What ends a branch.

    Attributes:
        tails: outputs of the kernels that it vanishes with.
        kernels: those of their parameters that lie in the part that it needs.
        scales: parameters that multiply it after them, last first.
        ends: those of them that no other one follows.
    """

    tails: tuple[int, ...]
    kernels: tuple[int, ...]
    scales: tuple[int, ...]
    ends: tuple[int, ...]


class Ending(NamedTuple):
    """What it takes to find the end of a branch.

    Attributes:
        facts, vanishing, regions: of the program.
        depth: kernels before every value.
    """

    facts: Facts
    vanishing: Vanishing
    regions: Regions
    depth: list[int]

    def find(self, start: int, branch: int, identities: Mapping[int, int]) -> End:
        """Walk back to the last kernels, from the latest value on.

        Args:
            start: where the branch begins.
            branch: where it ends.
            identities: residual sums -> their shortcut, which a sum is once its branch vanishes.
        """
        tails: list[int] = []
        kernels: dict[int, None] = {}
        scales: dict[int, None] = {}
        ends: dict[int, None] = {}
        shapes = self.facts.line.shapes
        scaled, parts = {branch: False}, {branch: windows.everything(shapes[branch])}
        heap = [-branch]
        while heap:
            value = -heapq.heappop(heap)
            producer = self.facts.line.producers[value]
            if value <= start or producer is None:
                continue
            if producer in self.facts.uses:
                tails.append(value)
                kernels |= dict.fromkeys(self.kernels(producer, parts[value]))
                continue
            before = self.closing(start, value, identities)
            here = dict.fromkeys(self.scales(value, before))
            scales |= here
            ends |= here if not scaled[value] else {}
            for x in before:
                part = self.needed(value, parts[value], x)
                if x not in scaled:
                    heapq.heappush(heap, -x)
                scaled[x] = scaled.get(x, True) and (scaled[value] or bool(here))
                parts[x] = windows.hull(parts[x], part) if x in parts else part
        return End(tuple(sorted(tails)), tuple(kernels), tuple(scales), tuple(ends))

    def needed(self, value: int, part: Window, operand: int) -> Window:
        """The part of an operand that a part of a value is made of."""
        law, shapes = self.facts.law(value), self.facts.line.shapes
        producer = self.facts.line.producers[value]
        if law is None or producer is None:
            return windows.everything(shapes[operand])
        places = [i for i, x in enumerate(self.facts.operands[producer]) if x == operand]
        moves = [law.moves.get(place) for place in places]
        found = [windows.needed(part, shapes[value], move, shapes[operand]) for move in moves]
        return functools.reduce(windows.hull, found)

    def kernels(self, node: int, part: Window) -> list[int]:
        """The parameters of a weight that lie in what a part of the output is made of."""
        facts, use = self.facts, self.facts.uses[node]
        shape = facts.line.shapes[use.weight]
        window = self.needed(use.output, part, use.weight)
        return [
            parameter
            for parameter, made in facts.made_of(use.weight).items()
            if windows.holds(window, shape, made.relation, facts.line.shapes[parameter])
        ]

    def closing(self, start: int, value: int, identities: Mapping[int, int]) -> Operands:
        """The operands that have to vanish for a value to do so.

        With two small factors neither would have a gradient: the one on the branch counts, then
        the one with more kernels.
        """
        identity = identities.get(value, start)
        if identity > start and self.regions.kernels_between(start, identity):
            return (identity,)
        sets = self.vanishing.sets[value]
        live = [one for one in sets if any(self.vanishing.latest[x] > start for x in one)]

        def weight(operands: Operands) -> tuple[bool, int]:
            on_branch = any(self.regions.kernels_between(start, x) for x in operands)
            return on_branch, max(self.depth[x] for x in operands)

        return max(live, key=weight) if len(live) > 1 else (*live, *sets, ())[0]

    def scales(self, value: int, closing: Operands) -> list[int]:
        """Parameters that a value is multiplied by besides what has to vanish."""
        facts, producer, law = self.facts, self.facts.line.producers[value], self.facts.law(value)
        if producer is None or law is None or len(law.scaling) < 2:
            return []
        operands = facts.operands[producer]
        others = [operands[x] for group, _ in law.scaling for x in group]
        return [
            parameter
            for factor in others
            if factor not in closing
            for root, power in (facts.degrees[factor] or {}).items()
            if facts.is_weight(root) and power in (1, -1)
            for parameter, made in facts.made_of(root).items()
            if made.degree >= 1 and not is_bent(facts, root, parameter)
        ]
