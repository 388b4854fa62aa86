"""Attention and routers: what a distribution weighs, and where its axis comes from.

A sum that a distribution weighs is attention where the axis comes from one factor of a product of
signals: that is the key, the other one the query. It is the work of a router where a kernel
produced the axis and other kernels made what lies along it. Else it is pooling.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from idinit_jax.tracing.answers.attended import attended_uses
from idinit_jax.tracing.answers.contractions import Contraction
from idinit_jax.tracing.answers.dimensions import Dimensions, Origin, Place, Product
from idinit_jax.tracing.facts import Facts, Made
from idinit_jax.tracing.facts.uses import LOOKUPS
from idinit_jax.tracing.graph import AttentionPart

_PARTS: tuple[AttentionPart, ...] = ("query", "key", "value", "output")


class Distributions(NamedTuple):
    """What a model's distributions are for.

    Attributes:
        parts: contraction -> what it computes for an attention.
        routers: contractions whose output, as a distribution, weighs or selects what others make.
        queries: parameters that are signals, since they ask for positions.
        sums: nodes that sum what a router's distribution weighs.
        scaled: dimensions along which a router's distribution scales a value.
    """

    parts: Mapping[int, tuple[AttentionPart, ...]]
    routers: frozenset[int]
    queries: frozenset[int]
    sums: frozenset[int]
    scaled: frozenset[Place]


def find_distributions(
    facts: Facts, contractions: Sequence[Contraction], sums: set[int]
) -> Distributions:
    """Tell attention, routers and learned queries.

    Args:
        facts: of the program.
        contractions: all uses of kernels.
        sums: values that are residual sums; a search for the nearest kernels does not pass them.
    """
    finder = _Finder(facts, contractions, sums)
    for index in range(len(facts.line.nodes)):
        if (product := finder.dimensions.product(index)) is not None:
            finder.weigh(product)
        finder.select(index)
    for node in attended_uses(facts, finder.attended):
        finder.note({finder.number[node]}, "output")
    return Distributions(
        {index: tuple(sorted(found, key=_PARTS.index)) for index, found in finder.parts.items()},
        frozenset(finder.routers),
        frozenset(finder.queries()),
        frozenset(finder.routed),
        frozenset(finder.scaled),
    )


class _Finder:
    def __init__(self, facts: Facts, contractions: Sequence[Contraction], sums: set[int]) -> None:
        self.facts, self.sums = facts, sums
        self.contractions = contractions
        self.dimensions = Dimensions(facts)
        self.number = {one.use.node: index for index, one in enumerate(contractions)}
        self.parts: dict[int, set[AttentionPart]] = {}
        self.attended: set[int] = set()
        self.routers: set[int] = set()
        self.combining: set[int] = set()
        self.routed: set[int] = set()
        self.scaled: set[Place] = set()
        self.pooled: list[int] = []

    def note(self, contractions: set[int], part: AttentionPart) -> None:
        for index in contractions:
            self.parts.setdefault(index, set()).add(part)

    # -- what is weighed

    def weigh(self, product: Product) -> None:
        """What a product is if one factor is a distribution."""
        for dims in product.summed:
            places = list(zip(product.factors, dims, strict=True))
            found = [self.dimensions.distributed(*place) for place in places]
            if sum(map(bool, found)) != 1:
                continue
            for side, over in enumerate(found):
                for axis in over:
                    self.sum_over(product, axis, places[:side] + places[side + 1 :])
        if self.facts.line.nodes[product.node].operation == "reduce_sum":
            return
        for side, factor in enumerate(product.factors):
            for root, axes in self.dimensions.probabilities(factor).items():
                for axis in axes:
                    self.scale_by(product, side, (root, axis))

    def sum_over(self, product: Product, axis: Place, weighed: Sequence[Place]) -> None:
        """A sum that a distribution weighs: attention, the work of a router, or pooling."""
        scores = [one for one in self.dimensions.origins(*axis) if one.kind == "product"]
        if scores:
            self.attended.add(self.facts.line.nodes[product.node].outputs[0])
            for origin in scores:
                self.attend(origin)
            for value, _ in weighed:
                self.note(self.nearest(value), "value")
        elif not self.makers(axis):
            self.pooled.append(axis[0])
        elif not all(map(self.are_positions, weighed)):
            self.routers |= self.makers(axis)
            self.combining |= self.makers(axis)
            self.routed.add(product.node)

    def attend(self, scores: Origin) -> None:
        """Query and key are the factors of the scores; the key brings the axis."""
        product = self.dimensions.product(scores.node)
        for side, value in enumerate(product.factors if product else ()):
            self.note(self.nearest(value), "key" if side == scores.side else "query")

    def scale_by(self, product: Product, side: int, axis: Place) -> None:
        """Part of a distribution scales what it was not computed for, for example one expert."""
        routers = self.makers(axis)
        if not routers:
            return
        factor = product.factors[side]
        relation = self.facts.relation(factor, axis[0])
        held = {d for d, atoms in enumerate(relation.dims) if axis[1] in {a.axis for a in atoms}}
        (output,) = self.facts.line.nodes[product.node].outputs
        places = [
            self.dimensions.sides(product, d) for d in range(len(self.facts.line.shapes[output]))
        ]
        kept = [one for one in places if any(dim in held for _, dim in one[side])]
        if held and not kept:
            return  # it is summed over
        if not kept or self.is_new(places, kept, side):
            self.routers |= routers
            self.scaled |= {
                (output, d)
                for d, one in enumerate(places)
                if any(axis in self.dimensions.distributed(*place) for place in one[side])
            }

    def is_new(
        self, places: Sequence[list[list[Place]]], kept: Sequence[list[list[Place]]], side: int
    ) -> bool:
        """Whether the other factor lacks the distribution's axis, or has features besides it.

        Else the distribution gates the very features that it was computed for.
        """
        brought = [place for one in kept for place in one[1 - side]]
        besides = [
            place
            for one in places
            if not any(self.dimensions.origins(*place) for place in one[side])
            for place in one[1 - side]
        ]
        return not any(self.dimensions.origins(*place) for place in brought) or any(
            map(self.makers, besides)
        )

    def makers(self, place: Place) -> set[int]:
        """The kernels that bring a dimension, if it is not one of positions.

        Pieces of different kernels laid side by side are as if one had made them.
        """
        found: set[int] = set()
        for origin in self.dimensions.origins(*place):
            if origin.kind in ("kernel", "group"):
                found.add(self.number[origin.node])
            elif origin.kind == "pieces":
                pieces = [self.nearest(x) for x in self.facts.line.nodes[origin.node].inputs]
                if any(one != pieces[0] for one in pieces):
                    found.update(*pieces)
        return found

    def are_positions(self, place: Place) -> bool:
        return bool(self.dimensions.origins(*place)) and not self.makers(place)

    # -- what is selected

    def select(self, index: int) -> None:
        """The order of a router's outputs selects kernels, or what kernels have made."""
        facts, node = self.facts, self.facts.line.nodes[index]
        if index in facts.uses:
            return
        if node.operation in LOOKUPS:
            table, *indices = node.inputs
            if set(facts.made_of(table)) & facts.assumed.kernels:
                for value in indices:
                    for place in self.ordered(value):
                        self.routers |= self.makers(place)
            elif node.operation == "gather" and facts.is_signal(table):
                axes = node.params["dimension_numbers"].collapsed_slice_dims
                self.pick(indices[0], [(table, axis) for axis in axes])
        elif node.operation == "dot_general":
            for side, dims in enumerate(node.params["dimension_numbers"][0]):
                signal, rows = node.inputs[side], node.inputs[1 - side]
                if facts.is_signal(signal) and facts.is_data(rows) and not facts.is_signal(rows):
                    self.pick(rows, [(signal, axis) for axis in dims])

    def pick(self, chooser: int, picked: Sequence[Place]) -> None:
        """What other kernels made is picked by an index, or by the rows of a one-hot array."""
        made = set[int]().union(*map(self.makers, picked))
        for place in self.ordered(chooser) if made else ():
            if made - self.makers(place):
                self.routers |= self.makers(place)

    def ordered(self, value: int) -> Iterator[Place]:
        """The axes of values whose largest entries an index names."""
        facts, stack, seen = self.facts, [value], set()
        while stack:
            value = stack.pop()
            node = facts.node_of(value)
            if value in seen or node is None:
                continue
            seen.add(value)
            if node.operation in ("argmax", "argmin"):
                yield from ((node.inputs[0], axis) for axis in node.params["axes"])
            elif node.operation == "top_k":
                rank = len(facts.line.shapes[node.inputs[0]])
                yield node.inputs[0], node.params.get("axis", rank - 1) % rank
            elif not facts.inexact[value] or node.operation == "convert_element_type":
                stack.extend(x for x in node.inputs if facts.is_data(x))

    # -- what asks

    def queries(self) -> set[int]:
        """Parameters that meet a score kernel before any data do.

        The scores are normalized over positions, so that what does not run along the features
        that are summed is what asks; the factors of a router that combines are none.
        """
        found = set()
        for value in self.pooled:
            for index in self.nearest(value) - self.combining:
                use = self.contractions[index].use
                made = self.facts.made_of(use.weight)
                asking = [p for p, one in made.items() if _asks(one, use.how.contracted)]
                if 0 < len(asking) < len(made):
                    found.add(max(asking, key=lambda p: _rank(made[p])))
        return found

    def nearest(self, value: int) -> set[int]:
        """The last kernels before a value."""
        facts, found, seen, stack = self.facts, set(), set(), [value]
        while stack:
            value = stack.pop()
            producer = facts.line.producers[value]
            if value in seen or value in self.sums or producer is None:
                continue
            seen.add(value)
            if producer in self.number:
                found.add(self.number[producer])
                continue
            law = facts.law(value)
            choosers = law.choosers if law else ()
            operands = enumerate(facts.operands[producer])
            stack.extend(x for at, x in operands if at not in choosers and facts.is_data(x))
        return found


def _asks(made: Made, contracted: Sequence[int]) -> bool:
    """Whether a parameter was summed with another one before the features are."""
    dims = made.relation.dims
    along = any(atom.axis >= 0 and atom.size > 1 for axis in contracted for atom in dims[axis])
    return bool(made.relation.summed) and not along


def _rank(made: Made) -> tuple[bool, int]:
    """What a norm divides comes first, then what has more axes."""
    return made.degree == 0, len(made.relation.digits)
