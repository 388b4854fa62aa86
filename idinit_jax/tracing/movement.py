"""How each operation moves, splits and merges the atoms of a parameter's axes."""

import math
from collections.abc import Sequence
from typing import Any

from idinit_jax.tracing.contraction import gather_places
from idinit_jax.tracing.flatten import LAYER_SLICE, RESHARD
from idinit_jax.tracing.lineage import SPREAD, Atom, Dim, Lineage, regroup

# The operation of a lookup by a computed index that gives a kernel.
CHOOSE = "choose"


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
    windows = gather_places(numbers, len(lineage.dims))
    gone = [axis for axis in range(len(lineage.dims)) if axis not in windows]
    dims: list[Dim] = list(_spread_dims(out_shape))
    for axis, target in windows.items():
        dims[target] = _resized(lineage.dims[axis], sizes[axis])
    batch = [axis for axis in range(len(out_shape)) if axis not in numbers.offset_dims]
    if len(gone) == 1 and not batch:
        taken = _take(lineage, gone[0], position)
        return lineage._replace(dims=tuple(dims), picked=taken.picked)
    if len(gone) == 1 and batch:
        longest = max(batch, key=lambda axis: out_shape[axis])
        dims[longest] = _resized(lineage.dims[gone[0]], out_shape[longest])
    return lineage._replace(dims=tuple(dims))


def _choose(params: dict, lineage: Lineage, out_shape: Sequence[int], _: Any) -> Lineage:
    """Positions chosen by the data, with `gather` or `dynamic_slice`."""
    sizes = [math.prod(atom.size for atom in dim) for dim in lineage.dims]
    windows = dict(enumerate(range(len(sizes))))
    if "dimension_numbers" in params:
        windows = gather_places(params["dimension_numbers"], len(sizes))
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
