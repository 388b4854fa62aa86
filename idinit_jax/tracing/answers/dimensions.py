"""Where a dimension of a value comes from: walked back over the moves of the rows."""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from idinit_jax.tracing.facts import Facts, Use
from idinit_jax.tracing.facts.uses import LOOKUPS
from idinit_jax.tracing.program.flatten import Node
from idinit_jax.tracing.table.law import Law, Move

Place = tuple[int, int]  # a value and one of its dimensions

# A loop whose dimensions have not settled after so many passes is left as it is.
MOST_PASSES = 8


class Origin(NamedTuple):
    """What brings a dimension.

    Attributes:
        kind: a "product" of two signals of which one brings it; a "kernel" that produced it; a
            kernel of which it is the "group" axis; "pieces" that were laid side by side;
            "positions" of the data.
        node: where; none for positions.
        side: the factor of the product that brings it.
    """

    kind: Literal["product", "kernel", "group", "pieces", "positions"]
    node: int = -1
    side: int = 0


POSITIONS = Origin("positions")


class Product(NamedTuple):
    """Signals that are multiplied and summed.

    Attributes:
        node: where the sum is made.
        factors: the values.
        summed: for every dimension that is summed over its place in each factor.
    """

    node: int
    factors: tuple[int, ...]
    summed: tuple[tuple[int, ...], ...]


class Dimensions:
    """The origins of dimensions, each found once."""

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self._known: dict[Place, frozenset[Origin]] = {}
        self._products: dict[int, Product | None] = {}
        self._distributed: dict[Place, tuple[Place, ...]] = {}
        self._totals = _totals(facts)

    # -- origins

    def origins(self, value: int, dim: int) -> frozenset[Origin]:
        """What brings a dimension of a value; nothing where it is repeated or counted out."""
        place = value, dim
        if place not in self._known:
            self._solve(place)
        return self._known[place]

    def _solve(self, start: Place) -> None:
        """The least solution of all places that one rests on, in forward order."""
        places, stack = {start}, [start]
        while stack:
            for place in self._before(*stack.pop()):
                if place not in self._known and place not in places:
                    places.add(place)
                    stack.append(place)
        ordered = sorted(places)
        self._known |= dict.fromkeys(ordered, frozenset())
        for _ in range(MOST_PASSES if self.facts.line.loops else 1):
            before = [self._known[place] for place in ordered]
            for place in ordered:
                self._known[place] = self._found(*place)
            if before == [self._known[place] for place in ordered]:
                return

    def _before(self, value: int, dim: int) -> list[Place]:
        """The places that the origins of a place rest on."""
        producer, law = self.facts.line.producers[value], self.facts.law(value)
        if producer is None or law is None or not self.facts.is_data(value):
            return []
        use = self.facts.uses.get(producer)
        if use is not None:
            signal = self._signal_places(use, law, dim)
            return [*signal, *((use.signal, axis) for axis in self._contracted(use))]
        product = self.product(producer)
        if product is not None and product.node == producer:
            return [place for side in self.sides(product, dim) for place in side]
        return list(_carried(self.facts, producer, law, dim))

    def _found(self, value: int, dim: int) -> frozenset[Origin]:
        facts = self.facts
        producer, law = facts.line.producers[value], facts.law(value)
        if not facts.is_data(value):
            return frozenset()
        if producer is None or law is None:
            return frozenset({POSITIONS})
        use = facts.uses.get(producer)
        if use is not None:
            return self._through_kernel(use, law, dim)
        product = self.product(producer)
        if product is not None:
            return self._through_product(product, dim)
        if not _told(facts, producer, law):
            return frozenset({POSITIONS})
        node = facts.line.nodes[producer]
        before = self._joined(_carried(facts, producer, law, dim))
        if not before and _lays_along(node, dim, len(facts.line.shapes[value])):
            return frozenset({Origin("pieces", producer)})
        return before

    def _joined(self, places: Sequence[Place] | Iterator[Place]) -> frozenset[Origin]:
        return frozenset().union(*(self._known.get(place, frozenset()) for place in places))

    def _through_kernel(self, use: Use, law: Law, dim: int) -> frozenset[Origin]:
        """A kernel brings a dimension, has it as group axis, or leaves it alone.

        What it sums over is no product's alone then: a score is a product that kernels at most
        mix, such as talking heads.
        """
        node = self.facts.line.nodes[use.node]
        if node.operation in LOOKUPS:
            return frozenset({Origin("kernel", use.node) if dim in use.how.features else POSITIONS})
        before = self._joined(self._signal_places(use, law, dim))
        if self._brings(use, law, dim):
            return frozenset({Origin("group" if before else "kernel", use.node)})
        summed = self._joined((use.signal, axis) for axis in self._contracted(use))
        mixed = {origin.node for origin in summed if origin.kind == "product"}
        return frozenset(
            POSITIONS if one.node in mixed or one.kind == "pieces" else one for one in before
        )

    def _through_product(self, product: Product, dim: int) -> frozenset[Origin]:
        sides = [self._joined(side) for side in self.sides(product, dim)]
        bringing = [side for side, found in enumerate(sides) if found]
        signals = all(map(self.facts.is_signal, product.factors))
        if len(bringing) != 1 or not product.summed or not signals:
            return frozenset().union(*sides)
        (side,) = bringing
        weighing = self.weighing(product)
        if weighing and side not in weighing:
            return sides[side]
        return frozenset({POSITIONS if weighing else Origin("product", product.node, side)})

    def sides(self, product: Product, dim: int) -> list[list[Place]]:
        """The places that a dimension of a product comes from in each factor."""
        law = self.facts.law(self.facts.line.nodes[product.node].outputs[0])
        moves = law.moves if law else {}
        split = len(moves) == len(product.factors)  # else they have been multiplied before
        return [
            [(factor, axis) for axis in _axes(moves.get(side if split else 0), dim)]
            for side, factor in enumerate(product.factors)
        ]

    def _signal_places(self, use: Use, law: Law, dim: int) -> list[Place]:
        node = self.facts.line.nodes[use.node]
        if node.operation in LOOKUPS:
            return []
        places = [
            (x, axis)
            for position, x in enumerate(node.inputs)
            if x == use.signal
            for axis in _axes(law.moves.get(position), dim)
        ]
        return [] if use.signal == use.weight and self._brings(use, law, dim) else places

    def _brings(self, use: Use, law: Law, dim: int) -> bool:
        """Whether a kernel has a dimension of its output."""
        node = self.facts.line.nodes[use.node]
        own = {*use.how.produced, *use.how.grouped}
        return any(
            axis in own
            for position, x in enumerate(node.inputs)
            if x == use.weight
            for axis in _axes(law.moves.get(position), dim)
        )

    def _contracted(self, use: Use) -> tuple[int, ...]:
        """Dimensions of the signal that a kernel sums over."""
        node = self.facts.line.nodes[use.node]
        if use.signal == use.weight:
            return use.how.contracted
        if node.operation == "dot_general":
            return tuple(node.params["dimension_numbers"][0][node.inputs.index(use.signal)])
        if node.operation == "conv_general_dilated":
            return (node.params["dimension_numbers"].lhs_spec[1],)
        return ()

    # -- products and distributions

    def product(self, index: int) -> Product | None:
        """The product of signals that a node is or sums up; None if it is none."""
        if index not in self._products:
            self._products[index] = self._product(index)
        return self._products[index]

    def _product(self, index: int) -> Product | None:
        facts, node = self.facts, self.facts.line.nodes[index]
        if index in facts.uses:
            return None
        if node.operation == "dot_general" and all(map(facts.is_data, node.inputs)):
            (left, right), _ = node.params["dimension_numbers"]
            return Product(index, node.inputs, tuple(zip(left, right, strict=True)))
        if node.operation == "mul" and all(map(facts.is_signal, node.inputs)):
            return Product(index, node.inputs, ())
        if node.operation == "reduce_sum":
            factors = self._factors(node.inputs[0])
            if len(factors) > 1:
                return Product(
                    index, factors, tuple((axis,) * len(factors) for axis in node.params["axes"])
                )
        return None

    def _factors(self, value: int) -> tuple[int, ...]:
        """The signals that are multiplied to a value, entry by entry."""
        node = self._unwrapped(value)
        if (
            node is None
            or node.operation != "mul"
            or not all(map(self.facts.is_signal, node.inputs))
        ):
            return (value,)
        shapes = self.facts.line.shapes
        return tuple(
            factor
            for x in node.inputs
            for factor in (self._factors(x) if len(shapes[x]) == len(shapes[value]) else (x,))
        )

    def _unwrapped(self, value: int) -> Node | None:
        """The node that makes a value, before a change of type."""
        node = self.facts.node_of(value)
        while node is not None and node.operation in ("convert_element_type", "copy"):
            node = self.facts.node_of(node.inputs[0])
        return node

    def weighing(self, product: Product) -> set[int]:
        """The factors of a product that are distributions over what it sums."""
        return {
            side
            for dims in product.summed
            for side, dim in enumerate(dims)
            if self.distributed(product.factors[side], dim)
        }

    def distributed(self, value: int, dim: int) -> tuple[Place, ...]:
        """The axes of roots that a value is a distribution over along a dimension.

        A kernel that leaves the dimension alone is passed.
        """
        place = value, dim
        if place not in self._distributed:
            self._distributed[place] = ()
            self._distributed[place] = self._spread_over(value, dim)
        return self._distributed[place]

    def _spread_over(self, value: int, dim: int) -> tuple[Place, ...]:
        facts = self.facts
        found = tuple(
            (root, axis)
            for root, axes in (self.probabilities(value) | self.undivided(value)).items()
            for axis in self._running(value, dim, root, axes)
        )
        if found:
            return found
        return tuple(
            place
            for root, power in (facts.degrees[value] or {}).items()
            if power == 1
            for atom in facts.relation(value, root).dims[dim]
            if atom.axis >= 0
            for before, axis in self._left_alone(root, atom.axis)
            for place in self.distributed(before, axis)
        )

    def _left_alone(self, root: int, dim: int) -> list[Place]:
        """Where a dimension of a root was before a kernel that leaves it alone, or its bias."""
        facts, law = self.facts, self.facts.law(root)
        producer = facts.line.producers[root]
        if producer is None or law is None:
            return []
        use = facts.uses.get(producer)
        if use is not None:
            return [] if self._brings(use, law, dim) else self._signal_places(use, law, dim)
        node = facts.line.nodes[producer]
        alone = sum(map(facts.is_data, node.inputs)) == 1
        return (
            list(_carried(facts, producer, law, dim)) if node.operation == "add" and alone else []
        )

    def _running(self, value: int, dim: int, root: int, axes: Sequence[int]) -> list[int]:
        """The axes of a root's distribution that a dimension of a value runs along.

        Where none of its dimensions has the axis any more, since one was picked, the rows of a
        one-hot array may have laid it out again.
        """
        dims = self.facts.relation(value, root).dims
        along = [atom.axis for atom in dims[dim] if atom.axis in axes]
        held = {atom.axis for one in dims for atom in one}
        if along or held & set(axes) or self.origins(value, dim):
            return along
        return list(axes)

    def probabilities(self, value: int) -> dict[int, list[int]]:
        """Roots by a sum of which a value is divided, none of them negative, and the axes."""
        facts = self.facts
        degree = facts.degrees[value] or {}
        if not any(power == 0 for power in degree.values()) or facts.interval(value)[0] < 0:
            return {}
        return {
            root: sorted({atom.axis for atom in facts.relation(value, root).gone})
            for root in facts.normalized_by(value)
            if facts.interval(root)[0] >= 0
        }

    def undivided(self, value: int) -> dict[int, list[int]]:
        """Roots that are summed elsewhere, to divide what they have weighed by their sum."""
        return {
            root: self._totals[root]
            for root, power in (self.facts.degrees[value] or {}).items()
            if power == 1 and root in self._totals and self.facts.interval(value)[0] >= 0
        }


def _totals(facts: Facts) -> dict[int, list[int]]:
    """Roots that are positive, such as exponentials, and the axes that they are summed over."""
    found: dict[int, list[int]] = {}
    for index, node in enumerate(facts.line.nodes):
        if node.operation != "reduce_sum" or index in facts.uses:
            continue
        (value,) = node.inputs
        for root, power in (facts.degrees[value] or {}).items():
            law = facts.law(root)
            if (
                power != 1
                or law is None
                or law.scaling
                or law.vanishing
                or facts.interval(root)[0] < 0
            ):
                continue
            dims = facts.relation(value, root).dims
            axes = [atom.axis for axis in node.params["axes"] for atom in dims[axis]]
            found.setdefault(root, []).extend(axis for axis in axes if axis >= 0)
    return found


def _lays_along(node: Node, dim: int, rank: int) -> bool:
    """Whether a node lays its operands side by side along a dimension."""
    if node.operation == "concatenate":
        return node.params["dimension"] == dim
    return node.operation == "stack" and node.params["axis"] % rank == dim


def _told(facts: Facts, index: int, law: Law) -> bool:
    """Whether it is known how a node moves the data that it depends on."""
    return all(
        position in law.moves or position in law.choosers or not facts.is_data(x)
        for position, x in enumerate(facts.operands[index])
    )


def _carried(facts: Facts, index: int, law: Law, dim: int) -> Iterator[Place]:
    """The places of a node's operands that bring a dimension."""
    for position, x in enumerate(facts.operands[index]):
        if position not in law.choosers and facts.is_data(x):
            for axis in _axes(law.moves.get(position), dim):
                yield x, axis


def _axes(move: Move | None, dim: int) -> list[int]:
    """The operand's axes that a dimension runs along."""
    return [] if move is None else [atom.axis for atom in move[dim] if atom.axis >= 0]
