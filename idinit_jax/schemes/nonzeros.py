"""Where identity kernels are not zero: a few positions instead of a comparison an entry."""

import numpy as np

from idinit_jax.initializers import KernelAxes, Layout


def identity_entries(axes: KernelAxes, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Row-major positions and signs of IDI, one entry an output: column `row mod D_in`.

    >>> from idinit_jax.initializers import kernel_axes
    >>> identity_entries(kernel_axes((2, 3)), "patch")
    (array([0, 4, 2]), array([1, 1, 1]))
    """
    rows = np.arange(axes.out_size)
    ones = _positions(axes, layout, rows, rows % _columns(axes, layout))
    return ones, np.ones_like(ones)


def zero_sum_entries(axes: KernelAxes, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Row-major positions and signs of IDIZ: IDI, and its opposite elsewhere in each row."""
    rows, columns = np.arange(axes.out_size), _columns(axes, layout)
    ones, plus = identity_entries(axes, layout)
    if columns == 1:
        return ones, np.tile(1 - 2 * (rows % 2), axes.size(axes.batch) * axes.groups)
    wide = len(rows) < columns
    opposite = len(rows) + rows % (columns - len(rows)) if wide else (rows + 1) % columns
    others = _positions(axes, layout, rows, opposite)
    return np.concatenate([ones, others]), np.concatenate([plus, -plus])


def _columns(axes: KernelAxes, layout: Layout) -> int:
    return axes.in_size if layout == "channel" else axes.fan_in


def _positions(
    axes: KernelAxes, layout: Layout, rows: np.ndarray, columns: np.ndarray
) -> np.ndarray:
    """Positions of the entries (rows, columns) of every copy and group, copies outermost."""
    copies, groups, out_size, _ = axes.matrix_shape
    if layout == "channel":
        channel, tap = columns, np.full_like(columns, axes.centre)
    elif layout == "tap":
        tap, channel = np.divmod(columns, axes.in_size)
    else:
        channel, tap = np.divmod(columns, axes.receptive)
    copy, group = (index[..., None] for index in np.indices((copies, groups)))
    position = _offsets(axes, axes.batch, copy) + _offsets(axes, axes.outs, group * out_size + rows)
    position = position + _offsets(axes, axes.ins, channel) + _offsets(axes, axes.spatial, tap)
    return position.reshape(-1)


def _offsets(axes: KernelAxes, along: tuple[int, ...], index: np.ndarray) -> np.ndarray:
    """What the row-major index along some axes adds to the position in the stored array."""
    strides = np.cumprod((1, *axes.shape[:0:-1]))[::-1]
    offset = np.zeros_like(index)
    for axis in reversed(along):
        index, place = np.divmod(index, axes.shape[axis])
        offset = offset + place * strides[axis]
    return offset
