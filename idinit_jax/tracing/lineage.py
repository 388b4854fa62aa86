"""Where each axis of a parameter goes as the parameter is reshaped, sliced and combined.

Every dimension of an array that is made from parameters alone is written as a product of atoms:
strided pieces of stored axes. Shape operations move, split and merge atoms, so that a contraction
deep inside the model can be read back as axes of the array that is stored.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from idinit_jax.tracing.flatten import LAYER_SLICE, RESHARD

# The axis of an atom that no axis of the parameter feeds: it was broadcast, or another parameter
# brought it in.
SPREAD = -1
# The operation of a lookup by a computed index that gives a kernel.
CHOOSE = "choose"


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


def through(
    operation: str,
    params: dict[str, Any],
    lineage: Lineage,
    shape: Sequence[int],
    out_shape: Sequence[int],
    picked_index: int | None = None,
) -> Lineage:
    """The lineage after one operation that takes the array from `shape` to `out_shape`."""
    if lineage.lost:
        return lineage
    rule = _RULES.get(operation)
    if rule is not None:
        return rule(params, lineage, out_shape, picked_index)
    if tuple(shape) == tuple(out_shape):
        return lineage
    if not shape:
        return lineage._replace(dims=_spread_dims(out_shape))
    if _broadcasts(shape, out_shape):
        return _resize(params, lineage, out_shape, None)
    return lose(lineage, f"{operation} from {tuple(shape)} to {tuple(out_shape)}", out_shape)


def _broadcasts(shape: Sequence[int], out_shape: Sequence[int]) -> bool:
    """Elementwise operations repeat axes of size 1 (written out in JAX 0.10, implied in 0.12)."""
    return len(shape) == len(out_shape) and all(
        size in (1, out) for size, out in zip(shape, out_shape, strict=True)
    )


def lose(lineage: Lineage, why: str, out_shape: Sequence[int]) -> Lineage:
    return lineage._replace(dims=_spread_dims(out_shape), lost=why)


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


def _spread_dims(shape: Sequence[int]) -> tuple[Dim, ...]:
    return tuple((Atom(SPREAD, 1, size),) if size != 1 else () for size in shape)


def _resized(dim: Dim, size: int) -> Dim:
    """A dimension after slicing, padding or concatenation: the outermost atom takes the change."""
    if math.prod(atom.size for atom in dim) == size:
        return dim
    inner = math.prod(atom.size for atom in dim[1:])
    if all(atom.size == 1 for atom in dim) or size % inner:
        return (Atom(SPREAD, 1, size),)
    return (Atom(dim[0].axis, dim[0].stride, size // inner), *dim[1:])


def _take(lineage: Lineage, index: int, position: int | None) -> Lineage:
    """One position of dimension `index` is taken: its stored axis is picked from."""
    atoms = [atom for atom in lineage.dims[index] if atom.axis != SPREAD and atom.size > 1]
    picked = tuple((atom, position if len(atoms) == 1 else None) for atom in atoms)
    dims = list(lineage.dims)
    dims[index] = ()
    return lineage._replace(dims=tuple(dims), picked=lineage.picked + picked)


def _sliced(lineage: Lineage, out_shape: Sequence[int], starts: Sequence[int | None]) -> Lineage:
    for index, (size, start) in enumerate(zip(out_shape, starts, strict=True)):
        if size == 1 and math.prod(atom.size for atom in lineage.dims[index]) > 1:
            lineage = _take(lineage, index, start)
        else:
            dims = list(lineage.dims)
            dims[index] = _resized(dims[index], size)
            lineage = lineage._replace(dims=tuple(dims))
    return lineage


def _reshape(params: dict, lineage: Lineage, out_shape: Sequence[int], _: Any) -> Lineage:
    del params
    dims = regroup(lineage.dims, out_shape)
    if dims is None:
        return lose(lineage, f"reshape to {tuple(out_shape)} mixes its axes", out_shape)
    return lineage._replace(dims=dims)


def _transpose(params: dict, lineage: Lineage, out_shape: Sequence[int], _: Any) -> Lineage:
    del out_shape
    return lineage._replace(dims=tuple(lineage.dims[axis] for axis in params["permutation"]))


def _squeeze(params: dict, lineage: Lineage, out_shape: Sequence[int], _: Any) -> Lineage:
    del out_shape
    dropped = {axis % len(lineage.dims) for axis in params["dimensions"]}
    kept = tuple(dim for axis, dim in enumerate(lineage.dims) if axis not in dropped)
    return lineage._replace(dims=kept)


def _broadcast(params: dict, lineage: Lineage, out_shape: Sequence[int], _: Any) -> Lineage:
    dims = list(_spread_dims(out_shape))
    for dim, target in zip(lineage.dims, params["broadcast_dimensions"], strict=True):
        if math.prod(atom.size for atom in dim) == out_shape[target]:
            dims[target] = dim
    return lineage._replace(dims=tuple(dims))


def _slice(params: dict, lineage: Lineage, out_shape: Sequence[int], _: Any) -> Lineage:
    return _sliced(lineage, out_shape, params["start_indices"])


def _dynamic_slice(
    params: dict, lineage: Lineage, out_shape: Sequence[int], position: int | None
) -> Lineage:
    del params
    return _sliced(lineage, out_shape, [position] * len(out_shape))


def _resize(params: dict, lineage: Lineage, out_shape: Sequence[int], _: Any) -> Lineage:
    del params
    if len(out_shape) != len(lineage.dims):
        return lose(lineage, f"its size changes to {tuple(out_shape)}", out_shape)
    pairs = zip(lineage.dims, out_shape, strict=True)
    return lineage._replace(dims=tuple(_resized(dim, size) for dim, size in pairs))


def _tile(params: dict, lineage: Lineage, out_shape: Sequence[int], _: Any) -> Lineage:
    del out_shape
    dims = (
        dim if times == 1 else (Atom(SPREAD, 1, times), *dim)
        for dim, times in zip(lineage.dims, params["reps"], strict=True)
    )
    return lineage._replace(dims=tuple(dims))


def _layer_slice(params: dict, lineage: Lineage, out_shape: Sequence[int], _: Any) -> Lineage:
    del params, out_shape
    taken = _take(lineage, 0, None)
    return taken._replace(dims=taken.dims[1:])


def _reduce(params: dict, lineage: Lineage, out_shape: Sequence[int], _: Any) -> Lineage:
    del out_shape
    kept = tuple(dim for axis, dim in enumerate(lineage.dims) if axis not in params["axes"])
    gone = (lineage.dims[axis] for axis in params["axes"])
    summed = tuple(atom for dim in gone for atom in dim if atom.axis != SPREAD)
    return lineage._replace(dims=kept, reduced=True, affine=False, summed=lineage.summed + summed)


def _gather(
    params: dict, lineage: Lineage, out_shape: Sequence[int], position: int | None
) -> Lineage:
    """Positions chosen by a constant index: offsets keep their axis, the rest is indexed."""
    numbers, sizes = params["dimension_numbers"], params["slice_sizes"]
    gone = {*numbers.collapsed_slice_dims, *getattr(numbers, "operand_batching_dims", ())}
    windows = [axis for axis in range(len(lineage.dims)) if axis not in gone]
    dims: list[Dim] = list(_spread_dims(out_shape))
    for axis, target in zip(windows, numbers.offset_dims, strict=True):
        dims[target] = _resized(lineage.dims[axis], sizes[axis])
    batch = [axis for axis in range(len(out_shape)) if axis not in numbers.offset_dims]
    if len(gone) == 1 and not batch:
        taken = _take(lineage, next(iter(gone)), position)
        return lineage._replace(dims=tuple(dims), picked=taken.picked)
    if len(gone) == 1 and batch:
        longest = max(batch, key=lambda axis: out_shape[axis])
        dims[longest] = _resized(lineage.dims[next(iter(gone))], out_shape[longest])
    return lineage._replace(dims=tuple(dims))


def _choose(params: dict, lineage: Lineage, out_shape: Sequence[int], _: Any) -> Lineage:
    """Positions chosen by the data, with `gather` or `dynamic_slice`."""
    sizes = [math.prod(atom.size for atom in dim) for dim in lineage.dims]
    windows = dict(enumerate(range(len(sizes))))
    if "dimension_numbers" in params:
        numbers = params["dimension_numbers"]
        kept = [axis for axis in windows if axis not in numbers.collapsed_slice_dims]
        windows = dict(zip(kept, numbers.offset_dims, strict=True))
    targets = {
        axis: target
        for axis, target in windows.items()
        if out_shape[target] > 1 or sizes[axis] == 1
    }
    dims: list[Dim] = list(_spread_dims(out_shape))
    for axis, target in targets.items():
        dims[target] = _resized(lineage.dims[axis], out_shape[target])
    by_index = [dim for axis, dim in enumerate(lineage.dims) if axis not in targets]
    own = tuple(atom for dim in by_index for atom in dim if atom.axis != SPREAD)
    return lineage._replace(dims=tuple(dims), chosen=lineage.chosen + own)


_RULES = {
    "reshape": _reshape,
    "transpose": _transpose,
    "squeeze": _squeeze,
    "broadcast_in_dim": _broadcast,
    "slice": _slice,
    "dynamic_slice": _dynamic_slice,
    "gather": _gather,
    "concatenate": _resize,
    "pad": _resize,
    "split": _resize,
    "tile": _tile,
    RESHARD: _resize,
    CHOOSE: _choose,
    LAYER_SLICE: _layer_slice,
    **dict.fromkeys(("reduce_sum", "reduce_max", "reduce_min", "reduce_prod"), _reduce),
}
