"""Singular values and ranks of the kernels themselves, or of what training added to them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from idinit_jax.signal.build import layer_name
from idinit_jax.signal.units import unit_matrices
from idinit_jax.tracing import traced_with
from idinit_jax.tracing.program import PyTree


class WeightRow(NamedTuple):
    """The spectrum of one kernel, or of one layer of a stacked one, as a matrix (out, in).

    The in axis holds the receptive field. Groups are blocks of one block-diagonal matrix.

    Attributes:
        name: its path, with "[i]" for layer i of a stack.
        role: of the kernel.
        shape: (outputs, inputs of an output).
        largest, smallest: singular values.
        mean_square: of all singular values.
        effective_rank: (sum of squared singular values)^2 over the sum of their fourth powers.
        rank: singular values above `tolerance` times the largest.
    """

    name: str
    role: str
    shape: tuple[int, int]
    largest: float
    smallest: float
    mean_square: float
    effective_rank: float
    rank: int

    @property
    def condition(self) -> float:
        """Largest over smallest singular value."""
        return self.largest / self.smallest if self.smallest > 0 else float("inf")


def weight_spectra(
    model: Any,
    values: PyTree,
    *inputs: PyTree,
    reference: PyTree = None,
    tolerance: float = 1e-6,
    call_kwargs: Mapping[str, Any] = {},
) -> tuple[WeightRow, ...]:
    """Singular values and ranks of every kernel, or of its update.

    Args:
        model, values, inputs, call_kwargs: see `measure`; inputs may be ShapeDtypeStructs.
        reference: earlier values of the model; what is looked at then is values - reference.
        tolerance: below this fraction of the largest a singular value counts as zero.

    >>> import jax, jax.numpy as jnp, idinit_jax
    >>> kernel = idinit_jax.idinit(noise=0.0)(jax.random.key(0), (4, 8))
    >>> row, = weight_spectra(lambda w, x: x @ w, kernel, jnp.ones((1, 4)))
    >>> row.shape, row.rank, round(row.largest, 3)
    ((8, 4), 4, 1.414)
    """
    traced = traced_with(model, values, inputs, call_kwargs)
    apart, graph = traced.model, traced.graph
    arrays = _leaves(graph.program.paths, apart.split(values)[0])
    if reference is not None:
        earlier = _leaves(graph.program.paths, apart.split(reference)[0])
        arrays = {path: array - earlier[path] for path, array in arrays.items()}
    rows = []
    for kernel in graph.kernels:
        matrices = np.asarray(unit_matrices(kernel, arrays[kernel.path]))
        for layer, groups in enumerate(matrices):
            name = layer_name(kernel.path, layer if kernel.stack_axes else None)
            rows.append(_row(name, kernel.role, groups, tolerance))
    return tuple(rows)


def _row(name: str, role: str, groups: np.ndarray, tolerance: float) -> WeightRow:
    count, outputs, inputs = groups.shape
    sigma = np.sort(np.linalg.svd(groups.astype(np.float64), compute_uv=False).ravel())[::-1]
    energy, fourth = np.sum(sigma**2), np.sum(sigma**4)
    return WeightRow(
        name,
        role,
        (count * outputs, inputs),
        float(sigma[0]),
        float(sigma[-1]),
        float(np.mean(sigma**2)),
        float(energy**2 / fourth) if fourth > 0 else 0.0,
        int(np.sum(sigma > tolerance * sigma[0])),
    )


def _leaves(paths: tuple[str, ...], params: PyTree) -> dict[str, jax.Array]:
    return dict(zip(paths, jax.tree.leaves(params), strict=True))
