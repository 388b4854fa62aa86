"""Identity patterns of any kernel, from comparisons of indices: no gather, scatter or matmul.

A pattern reads a kernel as a matrix with D_out rows (the outputs of one group) and D_in columns
(its inputs), and is elementwise in the stored array. So it costs one pass, compiles in a few
operations, and each device makes its own part of a sharded kernel.
"""

from typing import Literal, NamedTuple

import jax
from jax import lax
from jax import numpy as jnp

from idinit_jax.initializers.axes import KernelAxes

Layout = Literal["patch", "tap", "channel"]
LAYOUTS: tuple[Layout, ...] = ("patch", "tap", "channel")
# What won on CIFAR-10 with batch norm; without norms none did: results/cifar10_ablation.md.
DEFAULT_LAYOUT: Layout = "channel"


class KernelMatrix(NamedTuple):
    """Where each stored entry stands in the matrix `(rows, columns)` of its group.

    `row` and `column` are int32 and broadcast to the kernel's shape. An entry outside the matrix,
    a tap off the centre under `channel`, has column -1.
    """

    row: jax.Array
    column: jax.Array
    rows: int
    columns: int


def kernel_matrix(axes: KernelAxes, layout: Layout) -> KernelMatrix:
    """Reads a kernel as a matrix in one of three layouts.

    | layout | columns | D_in |
    |---|---|---|
    | `patch` | (in, taps), as in a row-major OIHW kernel | c_in / groups * taps |
    | `tap` | (taps, in) | c_in / groups * taps |
    | `channel` | in, at the centre tap alone | c_in / groups |
    """
    row = axes.index(axes.outs) % axes.out_size
    channel, tap = axes.index(axes.ins), axes.index(axes.spatial)
    if layout == "channel":
        column = jnp.where(tap == axes.centre, channel, -1)
        return KernelMatrix(row, column, axes.out_size, axes.in_size)
    if layout == "tap":
        return KernelMatrix(row, tap * axes.in_size + channel, axes.out_size, axes.fan_in)
    return KernelMatrix(row, channel * axes.receptive + tap, axes.out_size, axes.fan_in)


def stacked_identity(matrix: KernelMatrix) -> jax.Array:
    """True where IDI is not zero: `row mod D_in == column`, identities stacked to fill all rows."""
    return lax.rem(matrix.row, jnp.int32(matrix.columns)) == matrix.column


def padded_identity(matrix: KernelMatrix) -> jax.Array:
    """True on the main diagonal alone; rows or columns beyond the square are zero."""
    return matrix.row == matrix.column


def zero_sum_signs(matrix: KernelMatrix) -> jax.Array:
    """The signs of IDIZ, int32 in {-1, 0, 1}: IDI, and in each row its opposite one column on.

    | shape | columns of -1 |
    |---|---|
    | D_out < D_in | IDI of shape (D_out, D_in - D_out), to the right of the identity |
    | D_out >= D_in > 1 | (row + 1) mod D_in |
    | D_in = 1 | none: the one column alternates 1, -1 over the rows |

    Every row sums to zero exactly where D_in > 1.
    """
    row, column, rows, columns = matrix
    if columns == 1:
        return jnp.where(column == 0, 1 - 2 * (row % 2), 0)
    wide = rows < columns
    opposite = rows + row % (columns - rows) if wide else (row + 1) % columns
    return stacked_identity(matrix).astype(jnp.int32) - (opposite == column).astype(jnp.int32)


def hadamard_signs(matrix: KernelMatrix) -> jax.Array:
    """Entries of the Sylvester Hadamard matrix, `(-1)^popcount(row & column)`, 0 outside."""
    odd = lax.population_count(matrix.row & matrix.column) & 1
    return jnp.where(matrix.column >= 0, 1 - 2 * odd, 0)
