"""Schemes that keep the variance of the signal: He, Xavier, LeCun, and the orthonormal ones."""

from idinit_jax.initializers import (
    Initializer,
    delta_orthogonal,
    gain,
    lecun,
    lsuv,
    orthogonal,
    xavier,
)
from idinit_jax.schemes.rules import (
    STANDARD_PARAMETERS,
    because,
    everywhere,
    nonlinearity_of,
    traced_he,
)
from idinit_jax.schemes.scheme import Scheme, register, rule
from idinit_jax.tracing.graph import Kernel, ModelGraph


@rule
def traced_orthogonal(kernel: Kernel, graph: ModelGraph) -> tuple[Initializer, str]:
    """Orthonormal times the gain of the nonlinearity that follows."""
    del graph
    nonlinearity, known = nonlinearity_of(kernel)
    return orthogonal(gain(nonlinearity)), known


@rule
def traced_delta_orthogonal(kernel: Kernel, graph: ModelGraph) -> tuple[Initializer, str]:
    """Orthonormal at the tap where SAME padding aligns input and output."""
    del graph
    nonlinearity, known = nonlinearity_of(kernel)
    if not kernel.spatial_axes:
        return orthogonal(gain(nonlinearity)), known
    tap = tuple((kernel.view[axis] - 1) // 2 for axis in kernel.spatial_axes)
    return delta_orthogonal(gain(nonlinearity), tap=tap), f"{known}; at tap {tap}"


register(
    Scheme(
        "he",
        "variance gain^2 / fan_in, gain by the traced nonlinearity (He et al. 2015)",
        everywhere(traced_he),
        STANDARD_PARAMETERS,
    )
)
register(
    Scheme(
        "xavier",
        "uniform, variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010)",
        everywhere(because(xavier(), "both directions alike")),
        STANDARD_PARAMETERS,
    )
)
register(
    Scheme(
        "lecun",
        "variance 1 / fan_in (LeCun et al. 1998)",
        everywhere(because(lecun(), "a linear layer keeps the variance")),
        STANDARD_PARAMETERS,
    )
)
register(
    Scheme(
        "orthogonal",
        "Haar-random orthonormal kernels times the gain (Saxe et al. 2014)",
        everywhere(traced_orthogonal),
        STANDARD_PARAMETERS,
    )
)
register(
    Scheme(
        "delta_orthogonal",
        "orthonormal at the centre tap of a convolution (Xiao et al. 2018)",
        everywhere(traced_delta_orthogonal),
        STANDARD_PARAMETERS,
    )
)
register(
    Scheme(
        "lsuv",
        "the orthonormal start of LSUV; its pass over data follows (Mishkin and Matas 2016)",
        everywhere(because(lsuv(), "orthonormal")),
        STANDARD_PARAMETERS,
    )
)
