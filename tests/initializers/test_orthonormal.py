"""Orthonormality in every dtype and shape, Haar measure, and the delta kernel's isometry."""

import jax
import numpy as np
import pytest
from jax import lax
from jax import numpy as jnp
from scipy import stats

from idinit_jax.initializers import delta_orthogonal, lsuv, orthogonal


def gram(matrix: np.ndarray) -> np.ndarray:
    """W W^T or W^T W, whichever is smaller."""
    return matrix @ matrix.T if len(matrix) <= len(matrix.T) else matrix.T @ matrix


def matrices(kernel, groups: int = 1) -> list[np.ndarray]:
    """The matrices (c_out / groups, taps * c_in / groups) of a kernel (*taps, in, out)."""
    flat = np.asarray(kernel, np.float64).reshape(-1, kernel.shape[-1])
    return [part.T for part in np.split(flat, groups, axis=1)]


@pytest.mark.parametrize(
    ("shape", "groups", "dtype"),
    [
        ((6, 6), 1, "float32"),
        ((4, 9), 1, "bfloat16"),
        ((9, 4), 1, "float16"),
        ((3, 3, 2, 5), 1, "float32"),
        ((1, 3, 8), 2, "bfloat16"),
        ((5, 1, 3), 3, "float32"),
    ],
    ids=str,
)
def test_rows_or_columns_are_orthonormal(shape, groups, dtype, key):
    kernel = orthogonal(gain=2.0, groups=groups)(key, shape, dtype)
    # Rounding of one entry, of at most gain, enters twice in each of up to 18 products.
    tolerance = 40 * float(jnp.finfo(dtype).eps)
    for matrix in matrices(kernel, groups):
        product = gram(matrix)
        np.testing.assert_allclose(product, 4 * np.eye(len(product)), atol=tolerance)


def test_float64_is_orthonormal_to_float64(key):
    with jax.enable_x64(True):
        (matrix,) = matrices(orthogonal()(key, (8, 5), jnp.float64))
    np.testing.assert_allclose(gram(matrix), np.eye(5), atol=1e-14)


def test_groups_and_copies_differ(key):
    kernel = np.asarray(orthogonal(batch_axis=0, groups=2)(key, (2, 4, 8)))
    blocks = [kernel[0, :, :4], kernel[0, :, 4:], kernel[1, :, :4], kernel[1, :, 4:]]
    for i, first in enumerate(blocks):
        np.testing.assert_allclose(first @ first.T, np.eye(4), atol=1e-5)
        assert all(abs(first - other).max() > 0.01 for other in blocks[:i])


def test_measure_is_uniform(key):
    """The square of one entry of a Haar-random n x n matrix is Beta(1/2, (n - 1) / 2).

    Without the sign fix the diagonal of Q has one sign, and the second check fails. The key is
    fixed; fresh ones would fail 2 times in 10,000.
    """
    kernels = np.asarray(orthogonal(batch_axis=0)(key, (3000, 5, 5)), np.float64)
    for i in (0, 4):
        entry = kernels[:, i, i]
        assert stats.kstest(entry**2, stats.beta(0.5, 2.0).cdf).pvalue > 1e-4
        assert stats.binomtest(int((entry > 0).sum()), len(entry)).pvalue > 1e-4


def test_lsuv_starts_from_the_same_matrices(key):
    np.testing.assert_array_equal(lsuv()(key, (3, 4, 8)), orthogonal()(key, (3, 4, 8)))


@pytest.mark.parametrize(("c_in", "c_out"), [(4, 4), (3, 6)])
def test_delta_orthogonal_keeps_the_norm_of_every_input(c_in, c_out, key):
    kernel = delta_orthogonal()(key, (3, 3, c_in, c_out))
    inputs = np.random.default_rng(0).normal(size=(2, 6, 6, c_in)).astype(np.float32)
    outputs = convolve(inputs, kernel)
    np.testing.assert_allclose(
        np.linalg.norm(outputs, axis=-1), np.linalg.norm(inputs, axis=-1), rtol=1e-5
    )


def test_delta_orthogonal_takes_fewer_outputs_than_inputs(key):
    kernel = np.asarray(delta_orthogonal(gain=3.0)(key, (3, 6, 4)))
    np.testing.assert_allclose(kernel[1].T @ kernel[1], 9 * np.eye(4), atol=1e-5)
    assert not kernel[[0, 2]].any()


def test_delta_orthogonal_does_not_guess_the_centre_of_an_even_kernel(key):
    with pytest.raises(ValueError, match=r"\(4, 3\) taps has no centre; give .*tap=\(1, 1\)"):
        delta_orthogonal()(key, (4, 3, 2, 2))
    kernel = np.asarray(delta_orthogonal(tap=(1, 2))(key, (4, 3, 2, 2)))
    np.testing.assert_allclose(kernel[1, 2] @ kernel[1, 2].T, np.eye(2), atol=1e-6)
    assert np.count_nonzero(kernel) == 4
    for outside in ((4, 0), (0, -1), (0,), 0):
        with pytest.raises(ValueError, match="outside a receptive field"):
            delta_orthogonal(tap=outside)(key, (4, 3, 2, 2))


def convolve(inputs, kernel):
    return lax.conv_general_dilated(
        inputs,
        kernel,
        (1, 1),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision="highest",
    )
