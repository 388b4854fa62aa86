"""The order of an epoch."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from experiments.data import epoch_order


@given(size=st.sampled_from([1, 2, 7, 64]), epoch=st.integers(0, 10_000))
def test_visits_every_example_once(size, epoch):
    order = epoch_order(jax.random.key(0), epoch, size)
    assert order.dtype == jnp.int32
    np.testing.assert_array_equal(np.sort(order), np.arange(size))


def test_is_a_pure_function_of_key_and_epoch(key):
    later = epoch_order(key, 7, 100)
    traced = jax.jit(epoch_order, static_argnums=2)(key, jnp.int32(7), 100)
    np.testing.assert_array_equal(later, traced)
    assert (epoch_order(key, 8, 100) != later).any()
    assert (epoch_order(jax.random.key(1), 7, 100) != later).any()


def test_all_orders_are_equally_likely(key):
    # Chi-square over the 4! orders of 4 examples in 24,000 epochs; false alarms: 1e-6.
    orders = jax.vmap(lambda epoch: epoch_order(key, epoch, 4))(jnp.arange(24_000))
    _, counts = np.unique(np.asarray(orders) @ [64, 16, 4, 1], return_counts=True)
    assert len(counts) == math.factorial(4)
    assert stats.chisquare(counts).pvalue > 1e-6
