"""IDInit (Pan et al., ICLR 2025, arXiv 2503.04626), and the Dirac kernel it is compared with."""

import dataclasses
from typing import Any

import jax
from jax import numpy as jnp

from idinit_jax.initializers.arguments import check_choice, check_not_negative, check_positive
from idinit_jax.initializers.axes import KernelAxes
from idinit_jax.initializers.contract import KernelRule, Key, Keyless
from idinit_jax.initializers.patterns import (
    DEFAULT_LAYOUT,
    LAYOUTS,
    Layout,
    kernel_matrix,
    padded_identity,
    stacked_identity,
    zero_sum_signs,
)
from idinit_jax.initializers.sampling import draw_normal


@dataclasses.dataclass(frozen=True, repr=False)
class idinit(KernelRule):
    """Identity-preserving kernel, IDI_tau, with noise that tells stacked rows apart.

    A kernel read as a matrix `W` of shape `(D_out, D_in)` has
    `W[m, n] = tau + noise * z_m` where `m mod D_in == n`, and zero elsewhere, `z_m ~ N(0, 1)`.
    A square kernel is tau times the identity; a tall one stacks identities, so that training can
    reach a rank above D_in; a wide one is `[tau I | 0]`.
    Pan et al. 2025, "identity-preserving" and "loose condition".

    In bfloat16 and float16 a noise of 1e-6 rounds away beside tau = 1.

    Args:
        tau: the identity's scale, positive.
        noise: standard deviation of the noise on each nonzero entry, at least 0. At 0 no key is
            needed: any key and None will do.
        layout: how a convolution kernel is read as a matrix. `patch`: columns run over
            (in, taps), so one output is a shifted copy of one input; `tap`: over (taps, in);
            `channel`: the centre tap alone, a spatial identity.
        in_axis, out_axis, batch_axis, groups: see `KernelRule`.

    Returns:
        An initializer.

    Raises:
        ValueError: tau is not positive, noise is negative, or layout is unknown.

    >>> import idinit_jax
    >>> idinit_jax.idinit(noise=0.0)(None, (2, 4))
    Array([[1., 0., 1., 0.],
           [0., 1., 0., 1.]], dtype=float32)
    """

    tau: float = 1.0
    noise: float = 1e-6
    layout: Layout = DEFAULT_LAYOUT

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("tau", self.tau)
        check_not_negative("noise", self.noise)
        check_choice("layout", self.layout, LAYOUTS)

    @property
    def needs_key(self) -> bool:
        return self.noise > 0

    def kernel(self, key: Key, axes: KernelAxes, dtype: Any) -> jax.Array:
        ones = stacked_identity(kernel_matrix(axes, self.layout))
        return jnp.where(ones, self._diagonal(key, axes, dtype), jnp.zeros((), dtype))

    def _diagonal(self, key: Key, axes: KernelAxes, dtype: Any) -> jax.Array:
        """One value a row, since a row has one nonzero entry: size 1 along in and taps."""
        rows = axes.batch + axes.outs
        shape = [size if axis in rows else 1 for axis, size in enumerate(axes.shape)]
        if key is None:
            return jnp.full(shape, self.tau, dtype)
        return self.tau + draw_normal(self.noise, key, shape, dtype)


@dataclasses.dataclass(frozen=True, repr=False)
class zeros_identity(Keyless, KernelRule):
    """Zero-preserving kernel, IDIZ_epsilon, for the last kernel of a residual branch.

    Each row of the matrix `(D_out, D_in)` holds epsilon where IDI has its one and -epsilon in
    another column, so that it sums to zero (where D_in > 1; the single column of D_in = 1
    alternates epsilon, -epsilon over the rows). Inputs of variance 1 give outputs of mean 0 and
    variance 2 epsilon^2: nearly zero, yet the kernels before it get a gradient from the first
    step and no unit is dead. Pan et al. 2025, "zero-preserving".

    Nothing is random: any key and None will do.

    Args:
        epsilon: size of the entries, positive.
        layout: how a convolution kernel is read as a matrix; see `idinit`.
        in_axis, out_axis, batch_axis, groups: see `KernelRule`.

    Returns:
        An initializer.

    Raises:
        ValueError: epsilon is not positive, or layout is unknown.

    >>> import idinit_jax
    >>> idinit_jax.zeros_identity(epsilon=0.5)(None, (2, 4))
    Array([[ 0.5, -0.5,  0.5, -0.5],
           [-0.5,  0.5, -0.5,  0.5]], dtype=float32)
    """

    epsilon: float = 1e-6
    layout: Layout = DEFAULT_LAYOUT

    def __post_init__(self) -> None:
        super().__post_init__()
        check_positive("epsilon", self.epsilon)
        check_choice("layout", self.layout, LAYOUTS)

    def kernel(self, key: Key, axes: KernelAxes, dtype: Any) -> jax.Array:
        del key  # nothing is random
        signs = zero_sum_signs(kernel_matrix(axes, self.layout))
        return jnp.broadcast_to(self.epsilon * signs.astype(dtype), axes.shape)


@dataclasses.dataclass(frozen=True, repr=False)
class dirac(Keyless, KernelRule):
    """Zero-padded identity at the centre tap: `W[m, n] = 1` where `m == n`, zero elsewhere.

    The baseline that IDInit improves on: outputs beyond the inputs are zero, which caps the rank
    of what training adds at D_in. PyTorch's `dirac_`, and `eye_` for a dense kernel.

    Nothing is random: any key and None will do.

    Args:
        in_axis, out_axis, batch_axis, groups: see `KernelRule`.

    Returns:
        An initializer.

    >>> import idinit_jax
    >>> idinit_jax.dirac()(None, (2, 4))
    Array([[1., 0., 0., 0.],
           [0., 1., 0., 0.]], dtype=float32)
    """

    def kernel(self, key: Key, axes: KernelAxes, dtype: Any) -> jax.Array:
        del key  # nothing is random
        ones = padded_identity(kernel_matrix(axes, "channel"))
        return jnp.broadcast_to(ones.astype(dtype), axes.shape)
