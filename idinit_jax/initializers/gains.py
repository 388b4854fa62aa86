"""Gain of a nonlinearity: the factor that makes up for what it takes from a signal."""

import math
from collections.abc import Callable
from functools import cache

import numpy as np

from idinit_jax.initializers.arguments import check_choice, check_real

_DEFAULT_SLOPE = 0.01

_FIXED = {
    "linear": 1.0,
    "conv1d": 1.0,
    "conv2d": 1.0,
    "conv3d": 1.0,
    "conv_transpose1d": 1.0,
    "conv_transpose2d": 1.0,
    "conv_transpose3d": 1.0,
    "sigmoid": 1.0,
    "tanh": 5 / 3,
    "relu": math.sqrt(2),
    "selu": 3 / 4,
}

_MEASURED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "gelu": lambda z: z * _normal_cdf(z),
    "silu": lambda z: z / (1 + np.exp(-z)),
}

NONLINEARITIES: tuple[str, ...] = (*_FIXED, "leaky_relu", *_MEASURED)


def gain(nonlinearity: str, param: float | None = None) -> float:
    """The gain of a nonlinearity, equal to PyTorch's table and extended by gelu and silu.

    | nonlinearity | gain |
    |---|---|
    | linear, conv1d to conv3d, conv_transpose1d to 3d, sigmoid | 1 |
    | tanh | 5 / 3 |
    | relu | sqrt(2) |
    | leaky_relu | sqrt(2 / (1 + param^2)), param 0.01 by default |
    | selu | 3 / 4 |
    | gelu | E[gelu(z)^2]^(-1/2) = (1/3 + 1 / (2 pi sqrt(3)))^(-1/2), about 1.5335 |
    | silu | E[silu(z)^2]^(-1/2), about 1.6766 |

    Two conventions meet here. relu, leaky_relu, gelu and silu have the gain that keeps the second
    moment of z ~ N(0, 1) (He et al. 2015, section 2.2, arXiv 1502.01852). Those of sigmoid, tanh
    and selu are PyTorch's, found by other means: by the same rule they would be 1.85, 1.59 and 1.

    Args:
        nonlinearity: a name of the table.
        param: the negative slope of leaky_relu; None for the others.

    Returns:
        The gain, a factor on the standard deviation of a kernel.

    Raises:
        ValueError: an unknown name, or a param for a nonlinearity that has none.

    >>> import idinit_jax
    >>> round(idinit_jax.gain("relu"), 4)
    1.4142
    >>> idinit_jax.gain("leaky_relu", 1.0)
    1.0
    """
    check_choice("nonlinearity", nonlinearity, NONLINEARITIES)
    if nonlinearity == "leaky_relu":
        slope = _DEFAULT_SLOPE if param is None else param
        check_real("param", slope)
        return math.sqrt(2 / (1 + slope**2))
    if param is not None:
        raise ValueError(f"{nonlinearity} has no parameter, got param={param!r}; leaky_relu has")
    return _FIXED[nonlinearity] if nonlinearity in _FIXED else _second_moment_gain(nonlinearity)


@cache
def _second_moment_gain(nonlinearity: str) -> float:
    """`E[f(z)^2]^(-1/2)`, z ~ N(0, 1); the trapezoidal rule is exact to rounding on a Gaussian."""
    z = np.linspace(-12.0, 12.0, 2401)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    moment = np.sum(_MEASURED[nonlinearity](z) ** 2 * density) * (z[1] - z[0])
    return float(moment**-0.5)


def _normal_cdf(z: np.ndarray) -> np.ndarray:
    return np.array([math.erfc(-value / math.sqrt(2)) / 2 for value in z])
