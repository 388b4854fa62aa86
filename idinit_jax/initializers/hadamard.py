"""ZerO (Zhao, Schäfer, Anandkumar, TMLR 2022, arXiv 2110.12661)."""

import dataclasses
from typing import Any

import jax
from jax import numpy as jnp

from idinit_jax.initializers.axes import KernelAxes
from idinit_jax.initializers.contract import KernelRule, Key, Keyless
from idinit_jax.initializers.patterns import hadamard_signs, kernel_matrix, padded_identity


@dataclasses.dataclass(frozen=True, repr=False)
class zero_hadamard(Keyless, KernelRule):
    """ZerO: partial identity where D_out <= D_in, a scaled Hadamard matrix where it grows.

    For D_out > D_in, `W = I(D_out, p) H_p I(p, D_in) / sqrt(p)` with p the power of two at or
    above D_out, that is `W[m, n] = (-1)^popcount(m & n) / sqrt(p)`. A convolution has it at the
    centre tap. Zhao et al. 2022, Algorithm 1; branch tails are zero there, which is `zeros()`.

    Nothing is random: any key and None will do.

    Args:
        in_axis, out_axis, batch_axis, groups: see `KernelRule`.

    Returns:
        An initializer.

    >>> import idinit_jax
    >>> idinit_jax.zero_hadamard()(None, (2, 4))
    Array([[ 0.5,  0.5,  0.5,  0.5],
           [ 0.5, -0.5,  0.5, -0.5]], dtype=float32)
    """

    def kernel(self, key: Key, axes: KernelAxes, dtype: Any) -> jax.Array:
        del key  # nothing is random
        matrix = kernel_matrix(axes, "channel")
        if matrix.rows <= matrix.columns:
            values = padded_identity(matrix).astype(dtype)
        else:
            order = 1 << (matrix.rows - 1).bit_length()
            values = hadamard_signs(matrix).astype(dtype) * order**-0.5
        return jnp.broadcast_to(values, axes.shape)
