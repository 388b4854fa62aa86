"""ZerO against its formula, with SciPy's Hadamard matrix."""

import numpy as np
import pytest
from scipy.linalg import hadamard

from idinit_jax.initializers import zero_hadamard


def zero_matrix(d_out: int, d_in: int) -> np.ndarray:
    """Zhao et al. 2022: I H I / 2^(log2(p) / 2) where the width grows, else a partial identity."""
    if d_out <= d_in:
        return np.eye(d_out, d_in)
    power = int(np.ceil(np.log2(d_out)))
    p = 2**power
    return np.eye(d_out, p) @ hadamard(p) @ np.eye(p, d_in) / 2 ** (power / 2)


@pytest.mark.parametrize(
    ("d_in", "d_out"), [(1, 1), (1, 2), (3, 4), (3, 8), (5, 9), (4, 64), (8, 3), (6, 6)]
)
def test_dense_kernel(d_in, d_out):
    kernel = np.asarray(zero_hadamard()(None, (d_in, d_out)))
    np.testing.assert_allclose(kernel.T, zero_matrix(d_out, d_in), rtol=1e-7)


@pytest.mark.parametrize("groups", [1, 2])
def test_convolution_has_it_at_the_centre_of_each_group(groups):
    kernel = np.asarray(zero_hadamard(groups=groups)(None, (3, 4, 3, 5 * groups)))
    expected = np.zeros_like(kernel)
    expected[1, 1] = np.concatenate([zero_matrix(5, 3).T] * groups, axis=1)
    np.testing.assert_allclose(kernel, expected, rtol=1e-7)


def test_growing_layers_have_full_column_rank():
    kernel = np.asarray(zero_hadamard()(None, (12, 40)))
    assert np.linalg.matrix_rank(kernel) == 12
