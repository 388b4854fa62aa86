"""Where each axis of a parameter goes as the parameter is reshaped, sliced and combined.

Every dimension of an array that is made from parameters alone is written as a product of atoms:
strided pieces of stored axes. Shape operations move, split and merge atoms, so that a contraction
deep inside the model can be read back as axes of the array that is stored.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

# The axis of an atom that no axis of the parameter feeds: it was broadcast, or another parameter
# brought it in.
SPREAD = -1


class Atom(NamedTuple):
    """Positions stride * (0 .. size - 1) along one stored axis."""

    axis: int
    stride: int
    size: int


Dim = tuple[Atom, ...]


class Lineage(NamedTuple):
    """How one parameter enters one array.

    Attributes:
        param: leaf index of the parameter.
        dims: the atoms of every dimension, outermost first.
        picked: (atom, position or None) for axes from which one position was taken.
        chosen: atoms of axes along which the data choose, such as experts.
        inner: atoms summed over in a product with another parameter.
        factor, offset: the array is `factor * stored + offset`, as far as `affine`.
        affine: whether nothing but scaling and shifting by numbers happened.
        masked: whether it was multiplied by an array of constants besides, last of all.
        bent: whether a function was taken that is not zero at zero, such as a sigmoid.
        reduced: whether the parameter was summed over on the way (a statistic of a kernel).
        root: whether it stands under a square root (a variance).
        summed: atoms of the dimensions that it was summed over.
        unit: stored axes over which a norm of the parameter is taken that it is divided by.
        lost: what made the axes unreadable; empty while they are known.
    """

    param: int
    dims: tuple[Dim, ...]
    picked: tuple[tuple[Atom, int | None], ...] = ()
    chosen: tuple[Atom, ...] = ()
    inner: tuple[Atom, ...] = ()
    factor: float = 1.0
    offset: float = 0.0
    affine: bool = True
    masked: bool = False
    bent: bool = False
    reduced: bool = False
    root: bool = False
    summed: tuple[Atom, ...] = ()
    unit: frozenset[int] = frozenset()
    lost: str = ""

    @property
    def spread(self) -> int:
        """How many positions other than the parameter's own the array repeats it over."""
        return math.prod(atom.size for dim in self.dims for atom in dim if atom.axis == SPREAD)

    @property
    def own_dims(self) -> frozenset[int]:
        """Dimensions of the array along which the parameter varies."""
        return frozenset(
            index
            for index, dim in enumerate(self.dims)
            if any(atom.axis != SPREAD and atom.size > 1 for atom in dim)
        )


def stored(param: int, shape: Sequence[int]) -> Lineage:
    """A parameter as it is stored."""
    return Lineage(param, tuple((Atom(axis, 1, size),) for axis, size in enumerate(shape)))


def merge(lineages: Iterable[Lineage]) -> tuple[Lineage, ...]:
    """One lineage a parameter: the one in which it keeps most of its axes."""
    best: dict[int, Lineage] = {}
    for lineage in lineages:
        held = best.get(lineage.param)
        if held is None:
            best[lineage.param] = lineage
        else:
            kept, other = sorted((held, lineage), key=_dilution)
            norm = {atom.axis for atom in other.summed} if other.reduced and other.root else set()
            best[lineage.param] = kept._replace(affine=False, unit=kept.unit | norm)
    return tuple(best.values())


def _dilution(lineage: Lineage) -> tuple[bool, bool, int]:
    return (bool(lineage.lost), lineage.reduced, lineage.spread)


def regroup(dims: Sequence[Dim], shape: Sequence[int]) -> tuple[Dim, ...] | None:
    """The atoms of `dims` distributed over a new shape of the same size; None if they don't fit."""
    queue = [atom for dim in dims for atom in dim if atom.size != 1]
    regrouped = []
    for size in shape:
        dim, have = [], 1
        while have < size:
            if not queue:
                return None
            atom = queue.pop(0)
            want = size // have
            if atom.size > want:
                if size % have or atom.size % want:
                    return None
                rest = atom.size // want
                queue.insert(0, Atom(atom.axis, atom.stride, rest))
                atom = Atom(atom.axis, atom.stride * rest, want)
            dim.append(atom)
            have *= atom.size
        if have != size:
            return None
        regrouped.append(_fused(dim))
    return tuple(regrouped)


def _fused(dim: Sequence[Atom]) -> Dim:
    """Neighbouring pieces of one stored axis written as one piece."""
    fused: list[Atom] = []
    for atom in dim:
        last = fused[-1] if fused else None
        if last and last.axis == atom.axis and last.stride == atom.stride * atom.size:
            fused[-1] = Atom(atom.axis, atom.stride, last.size * atom.size)
        else:
            fused.append(atom)
    return tuple(fused)
