"""Sparse kernels: an exact count of zeros in every column, at places that vary."""

import math

import numpy as np
import pytest
from scipy import stats

from idinit_jax.initializers import sparse


@pytest.mark.parametrize("sparsity", [0.3, 1.0])
def test_every_column_has_its_zeros(sparsity, key):
    """PyTorch's sparse_: ceil(sparsity * rows) zeros a column, in each group."""
    kernel = np.asarray(sparse(sparsity, 1.0, groups=2)(key, (3, 4, 2 * 7)))
    zeros = (kernel.reshape(3, 4, 2, 7) == 0).sum(axis=-1)
    np.testing.assert_array_equal(zeros, math.ceil(sparsity * 7))


def test_swapped_axes_bound_the_inputs_of_each_unit(key):
    kernel = np.asarray(sparse(0.75, in_axis=-1, out_axis=-2)(key, (20, 6)))
    np.testing.assert_array_equal((kernel == 0).sum(axis=0), 15)


def test_places_and_values_are_random(key):
    """The key is fixed; a fresh one would fail 2 times in 10,000."""
    kernel = np.asarray(sparse(0.5, 0.2)(key, (2000, 10)), np.float64)
    assert stats.chisquare((kernel == 0).sum(axis=0)).pvalue > 1e-4
    assert stats.kstest(kernel[kernel != 0], stats.norm(0, 0.2).cdf).pvalue > 1e-4


def test_refuses_what_has_no_meaning():
    with pytest.raises(ValueError, match=r"sparsity must lie in \[0, 1\], got 1\.5"):
        sparse(1.5)
    with pytest.raises(ValueError, match="std must be zero or positive"):
        sparse(std=-1.0)
