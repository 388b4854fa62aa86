"""Parameters that need no compiled random numbers, whose compilation would dominate small tests."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest


@pytest.fixture
def rng():
    return np.random.default_rng(20250311)


@pytest.fixture
def ramp():
    """An initializer without symmetry."""

    def initializer(key, shape, dtype=jnp.float32):
        del key
        return jnp.sin(jnp.arange(math.prod(shape), dtype=dtype)).reshape(shape)

    return initializer


@pytest.fixture
def fill(rng):
    """Any positive variables for a model, without running its initializers."""

    def filled(model, *inputs):
        shapes = jax.eval_shape(model.init, jax.random.key(0), *inputs)
        return jax.tree.map(lambda s: rng.uniform(0.0, 0.2, s.shape).astype(s.dtype), shapes)

    return filled
