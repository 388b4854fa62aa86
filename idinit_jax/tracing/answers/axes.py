"""From the atoms of a share to axes of the stored array."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from idinit_jax.tracing.answers.contractions import Share
from idinit_jax.tracing.table.law import Atom


class Axes(NamedTuple):
    """How a kernel's stored array is to be read; axes refer to `view`."""

    view: tuple[int, ...]
    in_axes: tuple[int, ...]
    out_axes: tuple[int, ...]
    group_axes: tuple[int, ...]
    stack_axes: tuple[int, ...]


class _Piece(NamedTuple):
    """Part of a stored axis that has one meaning."""

    stride: int
    size: int
    meaning: str


def read_axes(shape: Sequence[int], share: Share) -> Axes | None:
    """The meaning of every stored axis; None where one axis has several that do not nest."""
    pieces: list[list[_Piece]] = [[] for _ in shape]
    for meaning, atoms in _by_meaning(share).items():
        for atom in atoms:
            pieces[atom.axis].append(_Piece(atom.stride, atom.size, meaning))
    if share.lost or not all(map(_nests, pieces, shape)):
        return None
    view: list[int] = []
    meanings: list[str] = []
    for size, held in zip(shape, pieces, strict=True):
        if len({piece.meaning for piece in held}) <= 1:
            view.append(size)
            meanings.append(held[0].meaning if held else "")
        else:
            ordered = sorted(held, reverse=True)
            view.extend(piece.size for piece in ordered)
            meanings.extend(piece.meaning for piece in ordered)
    return _named(view, _adopt_single(view, meanings))


def assumed_axes(shape: Sequence[int]) -> Axes:
    """The customary reading (inputs, then outputs, last), for kernels that can't be read."""
    rank = len(shape)
    return Axes(tuple(shape), (rank - 2,) if rank > 1 else (), (rank - 1,) if rank else (), (), ())


def _by_meaning(share: Share) -> dict[str, tuple[Atom, ...]]:
    return {
        "in": share.in_atoms,
        "out": share.out_atoms,
        "group": share.group_atoms,
        "spatial": share.spatial_atoms,
        "stack": tuple(atom for atom, _ in share.picked),
    }


def _nests(pieces: Sequence[_Piece], size: int) -> bool:
    """Several meanings of one axis must together be a reshape of it."""
    if len({piece.meaning for piece in pieces}) <= 1:
        return True
    expected = 1
    for piece in sorted(pieces):
        if piece.stride != expected:
            return False
        expected *= piece.size
    return expected == size


def _adopt_single(view: Sequence[int], meanings: Sequence[str]) -> list[str]:
    """Axes of size 1 that reshapes dropped: a missing input or output, else spatial."""
    adopted = list(meanings)
    for axis, (size, meaning) in enumerate(zip(view, meanings, strict=True)):
        if not meaning and size == 1:
            missing = [name for name in ("in", "out") if name not in adopted]
            adopted[axis] = missing[0] if missing else "spatial"
    return adopted


def _named(view: Sequence[int], meanings: Sequence[str]) -> Axes:
    def axes(name: str) -> tuple[int, ...]:
        return tuple(axis for axis, meaning in enumerate(meanings) if meaning == name)

    return Axes(tuple(view), axes("in"), axes("out"), axes("group"), axes("stack"))


def layer_index(axes: Axes, share: Share) -> int | None:
    """Which layer a use picks, flattened over the stack axes; None if a loop picks them all."""
    if not share.picked or any(position is None for _, position in share.picked):
        return None
    index = 0
    for atom, position in sorted(share.picked):
        index = index * atom.size + (position or 0)
    return index if index < math.prod(axes.view[axis] for axis in axes.stack_axes) else None
