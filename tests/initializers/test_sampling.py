"""Random rules against their exact distributions.

Every key is fixed. With fresh ones, each Kolmogorov-Smirnov check here would fail 1 time in
10,000 (p < 1e-4) and each moment check 1 time in 10^6 (5 sigma).
"""

import jax
import numpy as np
import pytest
from scipy import stats

from idinit_jax.initializers import (
    he,
    lecun,
    normal,
    perturbed,
    truncated_normal,
    truncated_normal_exact,
    uniform,
    variance_scaling,
    xavier,
    zeros_identity,
    zeros_perturbed,
)
from idinit_jax.initializers.sampling import draw_normal, draw_truncated, draw_uniform, merged

SHAPE = (3, 5, 20, 60)  # 18,000 values; in groups of 2, fan_in 300 and fan_out 450.
FAN_IN, FAN_OUT = 300, 450
CUT_STD = stats.truncnorm(-2, 2).std()


def normal_law(std):
    return stats.norm(0, std)


def uniform_law(std):
    return stats.uniform(-np.sqrt(3) * std, 2 * np.sqrt(3) * std)


def truncated_law(std):
    return stats.truncnorm(-2, 2, scale=std / CUT_STD)


@pytest.mark.parametrize(
    ("rule", "law"),
    [
        (he(groups=2), normal_law(np.sqrt(2 / FAN_IN))),
        (
            he("fan_out", "leaky_relu", "uniform", negative_slope=0.5, groups=2),
            uniform_law(np.sqrt(2 / 1.25 / FAN_OUT)),
        ),
        (xavier(gain=3.0, groups=2), uniform_law(3 * np.sqrt(2 / (FAN_IN + FAN_OUT)))),
        (lecun(groups=2), truncated_law(np.sqrt(1 / FAN_IN))),
        (variance_scaling(0.1, "fan_out", "normal", groups=2), normal_law(np.sqrt(0.1 / FAN_OUT))),
        (normal(0.3), normal_law(0.3)),
        (truncated_normal(0.3), stats.truncnorm(-2, 2, scale=0.3)),
        (truncated_normal(0.3, cut=1.0), stats.truncnorm(-1, 1, scale=0.3)),
        (truncated_normal_exact(0.3), truncated_law(0.3)),
        (uniform(-0.5, 1.5), stats.uniform(-0.5, 2.0)),
        (zeros_perturbed(1e-3), normal_law(1e-3)),
    ],
    ids=lambda value: "law" if hasattr(value, "cdf") else repr(value),
)
def test_distribution_is_exact(rule, law, key):
    values = np.asarray(rule(key, SHAPE), np.float64).ravel()
    assert stats.kstest(values, law.cdf).pvalue > 1e-4
    mean, variance, kurtosis = law.stats("mvk")
    count = len(values)
    assert abs(values.mean() - mean) < 5 * np.sqrt(variance / count)
    spread = variance * np.sqrt((kurtosis + 2) / count)
    assert abs(values.var() - variance) < 5 * spread


def test_the_two_truncated_normals_differ_by_the_std_of_the_cut(key):
    parent, exact = truncated_normal(1.0)(key, (64, 64)), truncated_normal_exact(1.0)(key, (64, 64))
    np.testing.assert_allclose(parent, exact * np.float32(CUT_STD), rtol=1e-5)
    assert abs(parent).max() <= 2.0


def test_perturbation_adds_to_the_rule(key):
    rule = zeros_identity(epsilon=0.5)
    noise = np.asarray(perturbed(rule, 0.1)(key, (100, 100)) - rule(None, (100, 100)), np.float64)
    assert stats.kstest(noise.ravel(), normal_law(0.1).cdf).pvalue > 1e-4


@pytest.mark.parametrize("shape", [(3, 20), ()], ids=str)
def test_draws_are_those_of_jax(shape, key):
    """Merging axes changes the cost of compiling, not the numbers."""

    def both(k):
        ours = (
            draw_normal(0.3, k, shape, "float32"),
            draw_truncated(0.3, 1.5, k, shape, "float32"),
            draw_uniform(-1.0, 2.0, k, shape, "float32"),
        )
        theirs = (
            0.3 * jax.random.normal(k, shape, "float32"),
            0.3 * jax.random.truncated_normal(k, -1.5, 1.5, shape, "float32"),
            jax.random.uniform(k, shape, "float32", -1.0, 2.0),
        )
        return ours, theirs

    for ours, theirs in zip(*jax.jit(both)(key), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_merged_axes_hold_the_same_number_and_keep_long_ones():
    assert merged((16384, 4096)) == (16384, 4096)
    assert merged((3, 3, 512, 512)) == (4608, 512)
    assert merged((4096, 12, 64)) == (4096, 768)
    assert merged((1000, 7)) == (7000,)
    assert merged((0, 3)) == (0,)
    assert merged(()) == (1,)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: he(mode="fan_inn"), ValueError, "did you mean 'fan_in'?"),
        (lambda: he(nonlinearity="RELU"), ValueError, "did you mean 'relu'?"),
        (lambda: he(distribution="gauss"), ValueError, "not one of 'normal', 'uniform'"),
        (lambda: he(negative_slope=0.1), ValueError, "relu has no parameter"),
        (lambda: xavier(gain=0.0), ValueError, "gain must be positive, got 0.0"),
        (lambda: variance_scaling(-1.0), ValueError, "scale must be positive, got -1.0"),
        (lambda: normal(-1.0), ValueError, "std must be zero or positive, got -1.0"),
        (lambda: truncated_normal(cut=0.0), ValueError, "cut must be positive, got 0.0"),
        (lambda: truncated_normal_exact(-1.0), ValueError, "std must be zero or positive"),
        (lambda: uniform(1.0, 1.0), ValueError, "needs low < high, got low=1.0, high=1.0"),
        (lambda: zeros_perturbed(-1.0), ValueError, "std must be zero or positive"),
        (lambda: perturbed(len), TypeError, "rule must be an initializer such as ones()"),
    ],
)
def test_refuses_what_has_no_meaning(make, error, message):
    with pytest.raises(error) as caught:
        make()
    assert message in str(caught.value)
