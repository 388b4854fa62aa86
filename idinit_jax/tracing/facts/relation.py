"""Where each dimension of a value comes from: the digits of a root's axes, step by step."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from idinit_jax.tracing.table.law import REPEAT, Atom, Dim, Move, Shape, identity

# Where an axis that is dropped has one position taken; others sum over it.
PICKING = frozenset(("layer_slice", "gather"))
# A lookup by an index that the data give.
CHOOSE = "choose"


class Span(NamedTuple):
    """Digits of a dimension: what a step is worth, and what the whole is worth."""

    dim: int
    low: int
    high: int

    def within(self, spans: Iterable["Span"]) -> bool:
        return any(
            self.dim == one.dim and one.low <= self.low and self.high <= one.high for one in spans
        )

    def meets(self, spans: Iterable["Span"]) -> bool:
        return any(
            self.dim == one.dim and self.low < one.high and one.low < self.high for one in spans
        )


class Relation(NamedTuple):
    """How a value depends on one of its roots, entry by entry.

    Attributes:
        dims: for every dimension of the value the digits of the root's axes, outermost first.
        gone: digits over which a sum, a contraction or a maximum ran on some way.
        picked: digits of which one position was taken, and which, None where a loop
            decides.
        chosen: digits along which the data choose, such as experts.
        lost: what made the dimensions unreadable; empty while they are known.
    """

    dims: tuple[Dim, ...]
    gone: frozenset[Atom] = frozenset()
    picked: tuple[tuple[Atom, int | None], ...] = ()
    chosen: tuple[Atom, ...] = ()
    lost: str = ""

    @property
    def digits(self) -> tuple[Atom, ...]:
        """All digits that the root brings."""
        return tuple(atom for dim in self.dims for atom in dim if atom.axis >= 0)

    def placed(self) -> Iterator[tuple[Span, Atom]]:
        """The root's digits and where the value has them."""
        for index, dim in enumerate(self.dims):
            worth = 1
            for atom in reversed(dim):
                if atom.axis >= 0 and atom.size > 1:
                    yield Span(index, worth, worth * atom.size), atom
                worth *= atom.size

    def carried(self, spans: Iterable[Span]) -> Iterator[Span]:
        """Where the value has digits of its root."""
        held = tuple(spans)
        for place, atom in self.placed():
            for one in held:
                low = max(atom.stride, one.low)
                high = min(atom.stride * atom.size, one.high)
                if one.dim == atom.axis and low < high:
                    step = place.low / atom.stride
                    yield Span(place.dim, round(low * step), round(high * step))

    @property
    def own_spans(self) -> frozenset[Span]:
        """Digits of the value along which the root varies."""
        return frozenset(span for span, _ in self.placed())

    @property
    def own_dims(self) -> frozenset[int]:
        """Dimensions of the value along which the root varies."""
        return frozenset(span.dim for span, _ in self.placed())

    @property
    def repeats(self) -> int:
        """Over how many positions other than its own the root is repeated."""
        return math.prod(a.size for dim in self.dims for a in dim if a.axis == REPEAT)

    @property
    def spread(self) -> int:
        """Over how many positions the value extends along which the root does not vary."""
        return math.prod(a.size for dim in self.dims for a in dim if a.axis < 0)

    @property
    def summed(self) -> tuple[Atom, ...]:
        """Digits that are in no dimension any more."""
        held = {(atom.axis, atom.stride) for atom in self.digits}
        return tuple(sorted(atom for atom in self.gone if (atom.axis, atom.stride) not in held))


def stored(shape: Shape) -> Relation:
    """A value's relation to itself."""
    return Relation(identity(shape))


def through(
    relation: Relation, move: Move | None, shape: Shape, out: Shape, operation: str
) -> Relation:
    """The relation after one operation, whose operand has `shape`."""
    if relation.lost:
        return relation._replace(dims=_unknown(out))
    if move is None or any(map(_unreadable, relation.dims, shape)):
        return relation._replace(dims=_unknown(out), lost=f"{operation} to {out} mixes its axes")
    if operation == CHOOSE:
        move = tuple(tuple(atom for atom in dim if atom.exact) for dim in move)
    windows = _windows(move)
    dims = tuple(
        _fitted(_composed(relation, dim, shape, windows), size)
        for dim, size in zip(move, out, strict=True)
    )
    covered = {atom.axis for dim in move for atom in dim}
    left = [
        atom
        for axis, dim in enumerate(relation.dims)
        if axis not in covered
        for atom in dim
        if atom.axis >= 0 and atom.size > 1
    ]
    if operation == CHOOSE:
        chosen = _once((*relation.chosen, *left))
        return Relation(dims, relation.gone, relation.picked, chosen)
    picked = (*relation.picked, *_picks(relation, move, shape))
    if operation in PICKING:
        return Relation(
            dims, relation.gone, _once((*picked, *((a, None) for a in left))), relation.chosen
        )
    return Relation(dims, relation.gone | frozenset(left), _once(picked), relation.chosen)


def merged(relations: Iterable[Relation]) -> Relation:
    """The relation of one root that several operands bring."""
    first, *rest = relations
    for other in rest:
        readable = sorted((first, other), key=lambda one: (bool(one.lost), one.spread))
        first = Relation(
            readable[0].dims
            if readable[1].lost
            else tuple(map(_joined, readable[0].dims, readable[1].dims)),
            first.gone | other.gone,
            _once(first.picked + other.picked),
            _once(first.chosen + other.chosen),
            readable[0].lost,
        )
    return first


def _picks(relation: Relation, move: Move, shape: Shape) -> list[tuple[Atom, int | None]]:
    """Digits of which the move takes one position, and which."""
    return [
        (digit, digit.start + atom.start if atom.exact and len(held) == 1 else None)
        for dim in move
        for atom in dim
        if atom.axis >= 0 and atom.size == 1 < shape[atom.axis]
        for held in (relation.dims[atom.axis],)
        for digit in held
        if digit.axis >= 0
    ]


def _once(items: Iterable) -> tuple:
    return tuple(dict.fromkeys(items))


def _windows(move: Move) -> Mapping[int, bool]:
    """Axes that one digit of stride 1 runs over: a window on them, not a digit of several."""
    held: dict[int, list[Atom]] = {}
    for dim in move:
        for atom in dim:
            held.setdefault(atom.axis, []).append(atom)
    return {axis: len(atoms) == 1 and atoms[0].stride == 1 for axis, atoms in held.items()}


def _composed(relation: Relation, dim: Dim, shape: Shape, windows: Mapping[int, bool]) -> Dim:
    """The root's digits along a dimension that runs over digits of the operand."""
    found: list[Atom] = []
    for atom in dim:
        if atom.axis < 0:
            found.append(atom)
            continue
        if atom.size == 1 < shape[atom.axis]:
            continue  # one position is picked
        held, size = relation.dims[atom.axis], shape[atom.axis]
        if not held:  # an axis of size 1, or a number that is repeated
            held = (Atom(REPEAT, 1, size),) if size > 1 else ()
        if (atom.stride, atom.size, atom.start) == (1, size, 0):
            cut: Dim | None = held
        elif not atom.exact:
            cut = None
        elif windows[atom.axis]:
            cut = _window(held, atom.size, atom.start)
        else:
            cut = _digit(held, atom.stride, atom.size)
        if cut is None:
            cut = _along(held, atom.size)
        found.extend(one._replace(exact=one.exact and atom.exact) for one in cut)
    return fused(found)


def _window(held: Dim, size: int, start: int) -> Dim | None:
    """Positions start .. start + size - 1 of what the digits count together."""
    if not held:
        return None
    inner = math.prod(atom.size for atom in held[1:])
    outer = held[0]
    if start % inner == 0 and size % inner == 0:
        first = start // inner if outer.axis >= 0 else 0
        return (outer._replace(size=size // inner, start=outer.start + first), *held[1:])
    if start >= 0 and start // inner == (start + size - 1) // inner:
        rest = _window(held[1:], size, start % inner)
        return None if rest is None else rest
    return None


def _digit(held: Dim, stride: int, size: int) -> Dim | None:
    """The digits between two strides; None if one would have to be cut unevenly."""
    found: list[Atom] = []
    inner, end = 1, stride * size
    for atom in reversed(held):
        low, high = inner, inner * atom.size
        inner = high
        first, last = max(low, stride), min(high, end)
        if first >= last:
            continue
        step = first // low
        whole = last - first == high - low
        if first % low or last % first or high % last or (atom.start % step if not whole else 0):
            return None
        if whole:
            found.append(atom)
        elif last == high:  # the outer part keeps where it starts
            found.append(
                atom._replace(
                    stride=atom.stride * step, size=last // first, start=atom.start // step
                )
            )
        elif atom.start % (last // low):
            return None
        else:
            found.append(atom._replace(stride=atom.stride * step, size=last // first, start=0))
    return tuple(reversed(found))


def _along(held: Dim, size: int) -> Dim:
    own = [atom for atom in held if atom.axis >= 0]
    if not own:
        return (Atom(REPEAT, 1, size),) if size > 1 else ()
    return (own[0]._replace(size=size, start=0, exact=False),)


def _fitted(dim: Dim, size: int) -> Dim:
    """A dimension that an inexact move has resized."""
    have = math.prod(atom.size for atom in dim)
    if have == size:
        return dim
    return _along(dim, size)


def _joined(one: Dim, other: Dim) -> Dim:
    """A dimension along which two operands bring the same root."""
    if one == other:
        return one
    owns = [any(atom.axis >= 0 for atom in dim) for dim in (one, other)]
    if not all(owns):
        return one if owns[0] or not owns[1] else other
    return tuple(atom._replace(exact=False) for atom in one)


def _unreadable(dim: Dim, size: int) -> bool:
    return bool(dim) and math.prod(atom.size for atom in dim) != size


def _unknown(out: Shape) -> tuple[Dim, ...]:
    return tuple((Atom(REPEAT, 1, size),) if size != 1 else () for size in out)


def fused(dim: Sequence[Atom]) -> Dim:
    """Neighbouring digits of one axis written as one."""
    found: list[Atom] = []
    for atom in dim:
        last = found[-1] if found else None
        if (
            last
            and last.axis == atom.axis >= 0
            and last.stride == atom.stride * atom.size
            and last.exact
            and atom.exact
            and not atom.start
        ):
            size, start = last.size * atom.size, last.start * atom.size
            found[-1] = Atom(atom.axis, atom.stride, size, start)
        else:
            found.append(atom)
    return tuple(found)


def chained(inner: Relation, outer: Relation, shape: Shape, out: Shape) -> Relation:
    """The relation to a root's root: `inner` is that of the root, of this shape, to its own."""
    if inner.lost or outer.lost:
        lost = inner.lost or outer.lost
        return Relation(_unknown(out), inner.gone, inner.picked, inner.chosen, lost)
    step = through(inner, outer.dims, shape, out, "chain")

    def digits(atoms: Iterable[Atom]) -> tuple[Atom, ...]:
        """What the digits of the root's axes are in terms of its own root."""
        return tuple(a for atom in atoms for a in inner.dims[atom.axis] if a.axis >= 0)

    picked = tuple((a, position) for atom, position in outer.picked for a in digits([atom]))
    return Relation(
        step.dims,
        inner.gone | frozenset(digits(outer.gone)),
        _once(inner.picked + picked),
        _once(inner.chosen + digits(outer.chosen)),
    )
