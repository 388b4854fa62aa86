"""The gain table against PyTorch's documented values, and gelu and silu against their integrals."""

import math

import pytest
from scipy import integrate, stats

from idinit_jax.initializers import NONLINEARITIES, gain

TORCH = {
    "linear": 1.0,
    "conv1d": 1.0,
    "conv2d": 1.0,
    "conv3d": 1.0,
    "conv_transpose1d": 1.0,
    "conv_transpose2d": 1.0,
    "conv_transpose3d": 1.0,
    "sigmoid": 1.0,
    "tanh": 1.6666666666666667,
    "relu": 1.4142135623730951,
    "leaky_relu": 1.4141428569978354,
    "selu": 0.75,
}

ACTIVATIONS = {
    "relu": lambda z: max(z, 0.0),
    "gelu": lambda z: z * stats.norm.cdf(z),
    "silu": lambda z: z / (1 + math.exp(-z)),
}


def test_table_is_that_of_torch_and_two_more():
    assert {name: gain(name) for name in TORCH} == TORCH
    assert set(NONLINEARITIES) == {*TORCH, "gelu", "silu"}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_second_moment_is_kept(name):
    moment, _ = integrate.quad(
        lambda z: ACTIVATIONS[name](z) ** 2 * stats.norm.pdf(z), -12, 12, points=[0]
    )
    assert gain(name) == pytest.approx(moment**-0.5, rel=1e-9)


def test_gelu_has_a_closed_form():
    moment = 1 / 3 + 1 / (2 * math.pi * math.sqrt(3))
    assert gain("gelu") == pytest.approx(moment**-0.5, rel=1e-12)


@pytest.mark.parametrize("slope", [-0.2, 0.0, 0.3, 1.0])
def test_leaky_relu_takes_its_slope(slope):
    assert gain("leaky_relu", slope) == math.sqrt(2 / (1 + slope**2))


def test_refuses_what_has_no_meaning():
    with pytest.raises(ValueError, match=r"'rleu' is not one of .*did you mean 'relu'\?"):
        gain("rleu")
    with pytest.raises(ValueError, match=r"tanh has no parameter, got param=0\.1"):
        gain("tanh", 0.1)
    with pytest.raises(TypeError, match="param must be a real number"):
        gain("leaky_relu", "0.1")
