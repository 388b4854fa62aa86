"""Sparse kernels (Martens 2010)."""

import dataclasses
import math
from typing import Any

import jax
from jax import numpy as jnp

from idinit_jax.initializers.arguments import check_not_negative, check_real
from idinit_jax.initializers.axes import KernelAxes
from idinit_jax.initializers.contract import KernelRule, Key
from idinit_jax.initializers.sampling import draw_normal, draw_uniform


@dataclasses.dataclass(frozen=True, repr=False)
class sparse(KernelRule):
    """Normal values of which a fixed share of each input's is zero.

    In the matrix `(D_out, D_in)`, D_in = c_in / groups * taps, each column has exactly
    `ceil(sparsity * D_out)` zeros at places drawn at random, and N(0, std^2) elsewhere: columns
    as in PyTorch's `sparse_`. To bound the incoming connections of each unit instead, as in the
    text of Martens 2010 ("Deep learning via Hessian-free optimization", section 5), swap in_axis
    and out_axis.

    Args:
        sparsity: share of zeros in a column, in [0, 1].
        std: standard deviation of the other values, at least 0.
        in_axis, out_axis, batch_axis, groups: see `KernelRule`.

    Returns:
        An initializer.

    Raises:
        ValueError: sparsity is outside [0, 1], or std is negative.

    >>> import idinit_jax, jax
    >>> kernel = idinit_jax.sparse(0.75)(jax.random.key(0), (3, 8))
    >>> (kernel == 0).sum(axis=1)
    Array([6, 6, 6], dtype=int32)
    """

    sparsity: float = 0.9
    std: float = 1e-2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_real("sparsity", self.sparsity)
        if not 0 <= self.sparsity <= 1:
            raise ValueError(f"sparsity must lie in [0, 1], got {self.sparsity!r}")
        check_not_negative("std", self.std)

    def kernel(self, key: Key, axes: KernelAxes, dtype: Any) -> jax.Array:
        value_key, place_key = jax.random.split(key)
        values = draw_normal(self.std, value_key, axes.matrix_shape, dtype)
        places = draw_uniform(0.0, 1.0, place_key, axes.matrix_shape, dtype)
        rank = places.argsort(axis=-2).argsort(axis=-2)
        zeros = math.ceil(self.sparsity * axes.out_size)
        return axes.fold(jnp.where(rank < zeros, jnp.zeros((), dtype), values))
