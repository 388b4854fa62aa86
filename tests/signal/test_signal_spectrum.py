"""Jacobian spectra against the singular values of a matrix that is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from idinit_jax import signal

pytestmark = pytest.mark.usefixtures("quick_compilation")

WIDTH = 96
KERNELS = jnp.asarray(np.random.default_rng(0).standard_normal((3, WIDTH, WIDTH)) / 10, jnp.float32)
X = jax.random.normal(jax.random.key(0), (1, WIDTH))


def network(kernels: jax.Array, x: jax.Array) -> jax.Array:
    return jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, kernels)[0]


def dense_jacobian(first: int, last: int) -> np.ndarray:
    """From the pre-activation of one layer to that of another, by the chain rule."""
    x, product = X, np.eye(WIDTH)
    for layer, kernel in enumerate(KERNELS):
        y = x @ kernel
        if layer == last:
            return product @ np.asarray(kernel, np.float64)
        slope = np.asarray(1 - jnp.tanh(y[0]) ** 2, np.float64)
        product = np.diag(slope) if layer <= first else product @ np.asarray(kernel) * slope
        x = jnp.tanh(y)
    return product


def test_all_singular_values_between_input_and_output() -> None:
    exact = np.asarray(jax.jacobian(lambda x: network(KERNELS, x[None])[0])(X[0]), np.float64)
    sigma = np.linalg.svd(exact, compute_uv=False)
    found = signal.spectrum(network, KERNELS, X)
    assert found.method == "exact"
    np.testing.assert_allclose(found.singular_values, sigma, atol=1e-5 * sigma[0])
    assert found.mean_square == pytest.approx(np.mean(sigma**2), rel=1e-4)
    # float32 knows the smallest value to eps times the largest.
    rounding = np.finfo(np.float32).eps * sigma[0] / sigma[-1]
    assert found.condition == pytest.approx(sigma[0] / sigma[-1], rel=rounding)
    assert found.shape == (WIDTH, WIDTH)


def test_between_two_layers_of_one_scan() -> None:
    sigma = np.linalg.svd(dense_jacobian(0, 2), compute_uv=False)
    found = signal.spectrum(network, KERNELS, X, start="kernel[0]", end="kernel[2]")
    np.testing.assert_allclose(found.singular_values, sigma, atol=1e-4 * sigma[0])


def test_lanczos_bounds_hold_and_tighten() -> None:
    exact = signal.spectrum(network, KERNELS, X).singular_values
    errors = []
    for products in (30, 60):
        found = signal.spectrum(network, KERNELS, X, exact_limit=8, products=products, count=8)
        assert found.method == "lanczos"
        assert found.products <= products
        for value, error in zip(found.singular_values, found.errors, strict=True):
            assert np.abs(exact - value).min() <= error * (1 + 1e-6)
        deviation = abs(found.mean_square - np.mean(exact**2))
        assert deviation <= 4 * found.mean_square_error + 1e-6
        assert found.condition <= exact[0] / exact[-1] * (1 + 1e-3)
        errors.append(found.errors[3])
    assert errors[1] < errors[0]


def test_a_matrix_of_low_rank_ends_the_iteration_without_ghosts() -> None:
    left = jnp.asarray(np.random.default_rng(1).standard_normal((WIDTH, 3)), jnp.float32)
    found = signal.spectrum(lambda w, x: x @ w, left @ left.T, X, exact_limit=8, count=6)
    sigma = np.linalg.svd(np.asarray(left @ left.T), compute_uv=False)
    np.testing.assert_allclose(found.singular_values[:3], sigma[:3], rtol=1e-4)
    assert np.all(found.singular_values[3:] < 1e-4 * sigma[0])


def test_isometry_and_criticality_are_two_things() -> None:
    stretched = jnp.diag(jnp.asarray([1.4, 0.2, 1.4, 0.2]))
    found = signal.spectrum(lambda w, x: x @ w, stretched, jnp.ones((1, 4)))
    assert found.mean_square == pytest.approx(1.0)
    assert found.condition == pytest.approx(7.0, rel=1e-5)
    with pytest.raises(AssertionError, match=r"singular value 3 of 4 is 0\.2, expected 1"):
        signal.assert_isometry(found)


def test_points_are_checked_by_name() -> None:
    with pytest.raises(ValueError, match=r"no point 'kernel\[7\]'.*kernel\[0\.\.2\]"):
        signal.spectrum(network, KERNELS, X, start="kernel[7]")
    with pytest.raises(ValueError, match="starts before the output"):
        signal.spectrum(network, KERNELS, X, start="output")
    with pytest.raises(ValueError, match="too few"):
        signal.spectrum(network, KERNELS, X, products=5)
    tokens, table = jnp.zeros((1, 3), jnp.int32), jnp.ones((5, 4))
    with pytest.raises(ValueError, match="behind the embedding"):
        signal.spectrum(lambda table, tokens: table[tokens], table, tokens)


def test_weights_and_updates_have_ranks() -> None:
    kernel = jnp.diag(jnp.asarray([3.0, 1.0, 0.0, 0.0]))
    x = jnp.ones((1, 4))
    row = signal.weight_spectra(lambda w, x: x @ w, kernel, x)[0]
    assert (row.largest, row.smallest, row.rank) == (3.0, 0.0, 2)
    assert row.effective_rank == pytest.approx(100 / 82)
    assert row.condition == np.inf
    update = signal.weight_spectra(
        lambda w, x: x @ w, kernel.at[3, 0].set(0.5), x, reference=kernel
    )[0]
    assert (update.rank, update.largest) == (1, 0.5)
