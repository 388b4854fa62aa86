"""Sums on the device and statistics from them, against NumPy in double precision."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from idinit_jax.signal.statistics import (
    backward_statistics,
    forward_statistics,
    is_nonfinite,
    is_zero,
    mean_cosine,
    norm_of,
    participation,
    summarize,
    sums_of,
)


def forward_of(y: np.ndarray, features: tuple[int, ...] = (-1,)):
    return forward_statistics(jax.jit(lambda y: summarize(y, features))(jnp.asarray(y)), y.size)


@hypothesis.settings(max_examples=8)
@hypothesis.given(
    shape=st.sampled_from([(3,), (4, 5), (2, 3, 4, 5), (9, 1, 7)]),
    power=st.integers(-30, 30),
    shift=st.floats(-3, 3),
)
def test_moments_are_right_whatever_the_scale(
    shape: tuple[int, ...], power: int, shift: float
) -> None:
    y = (np.random.default_rng(0).standard_normal(shape) + shift) * 10.0**power
    y = y.astype(np.float32)
    found, exact = forward_of(y), y.astype(np.float64)
    scale = np.sqrt((exact**2).mean())
    assert found.mean == pytest.approx(exact.mean(), abs=1e-5 * scale)
    assert found.std == pytest.approx(exact.std(), rel=1e-3)
    assert found.rms == pytest.approx(scale, rel=1e-5)
    assert found.largest == pytest.approx(np.abs(exact).max(), rel=1e-6)
    gradient = backward_statistics(jax.jit(sums_of)(jnp.asarray(y))[0], y.size)
    assert gradient.norm == pytest.approx(np.linalg.norm(exact), rel=1e-5)


def test_zeros_and_what_is_not_finite_are_counted_by_their_bits() -> None:
    y = jnp.asarray([0.0, -0.0, 1e-38, -1.0, 3e38, jnp.inf, -jnp.inf, jnp.nan])
    assert is_zero(y).tolist() == [1, 1, 0, 0, 0, 0, 0, 0]
    assert is_nonfinite(y).tolist() == [0, 0, 0, 0, 0, 1, 1, 1]
    found = forward_of(np.asarray(y))
    assert (found.zeros, found.nonfinite) == (2 / 8, 3 / 8)
    assert not np.isfinite(found.rms)


def test_the_largest_possible_count_stays_exact() -> None:
    # A float32 counter would stop at 2^24.
    (sums,) = sums_of(jnp.zeros(2**24 + 3))
    assert sums.zeros == 2**24 + 3


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32])
def test_low_precision_is_summed_in_float32(dtype) -> None:
    y = jnp.full((64, 129), 1.5, dtype)
    found = forward_statistics(summarize(y), y.size)
    assert (found.mean, found.std, found.rms) == (1.5, 0.0, 1.5)


def test_cosines_and_rank_of_constructed_rows() -> None:
    eye = forward_of(np.eye(6, dtype=np.float32))
    assert eye.cosine == pytest.approx(0.0)
    assert eye.effective_rank == pytest.approx(6.0)
    assert np.isnan(eye.position_cosine)
    same = forward_of(np.ones((6, 5), np.float32))
    assert same.cosine == pytest.approx(1.0)
    assert same.effective_rank == pytest.approx(1.0)
    # Positions of one example agree, examples are orthogonal.
    tokens = np.repeat(np.eye(4, dtype=np.float32)[:, None], 3, axis=1)
    found = forward_of(tokens)
    assert found.position_cosine == pytest.approx(1.0)
    assert found.cosine == pytest.approx(0.0)


def test_features_are_where_the_caller_says() -> None:
    y = np.random.default_rng(0).standard_normal((4, 8, 3, 3)).astype(np.float32)
    moved = np.moveaxis(y, 1, -1).copy()
    np.testing.assert_allclose(forward_of(y, (1,)), forward_of(moved), rtol=1e-5)


def test_zero_rows_have_no_direction() -> None:
    gram = np.diag([1.0, 0.0, 4.0])
    gram[0, 2] = gram[2, 0] = 2.0
    assert mean_cosine(gram) == pytest.approx(1.0)
    assert np.isnan(mean_cosine(np.zeros((2, 2))))
    assert np.isnan(participation(np.zeros((2, 2))))


def test_a_large_sum_keeps_its_digits() -> None:
    y = jax.random.normal(jax.random.key(0), (4096, 1024))
    exact = float(np.sum(np.asarray(y, np.float64) ** 2))
    (sums,) = sums_of(y)
    assert norm_of(sums.squares) ** 2 == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize("value", [0.0, 1e-36, 1.0, 3e38, np.inf, np.nan])
def test_a_norm_is_right_from_zero_to_the_largest_number(value: float) -> None:
    """Compiled, as XLA may reorder products."""
    (sums,) = jax.jit(sums_of)(jnp.full((3, 3), value))
    assert norm_of(sums.squares) == pytest.approx(3 * np.float64(np.float32(value)), nan_ok=True)


def test_arrays_that_are_reduced_together_do_not_mix() -> None:
    arrays = [jax.random.normal(jax.random.key(i), (7, 5)) * 10.0**i for i in range(3)]
    for one, array in zip(sums_of(*arrays), arrays, strict=True):
        assert norm_of(one.squares) == pytest.approx(float(jnp.linalg.norm(array)), rel=1e-5)
        assert float(one.largest) == float(jnp.abs(array).max())
