"""Closed forms of the recipe: schedule, decay, momentum and clipping."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.config import Optimization
from experiments.optimization import is_kernel, learning_rate, make_optimizer

PARAMS = {
    "conv": {"kernel": jnp.full((3, 3, 2, 4), 2.0), "bias": jnp.full((4,), 2.0)},
    "norm": {"scale": jnp.full((4,), 2.0), "bias": jnp.full((4,), 2.0)},
    "multiplier": jnp.float32(2.0),
}
ZERO = {
    "conv": {"kernel": jnp.zeros((3, 3, 2, 4)), "bias": jnp.zeros((4,))},
    "norm": {"scale": jnp.zeros((4,)), "bias": jnp.zeros((4,))},
    "multiplier": jnp.float32(0.0),
}


def test_only_kernels_decay() -> None:
    assert is_kernel(PARAMS) == {
        "conv": {"kernel": True, "bias": False},
        "norm": {"scale": False, "bias": False},
        "multiplier": False,
    }


@pytest.mark.parametrize(
    # Nesterov's first step looks ahead: lr * wd * w * (1 + momentum). AdamW's is lr * wd * w.
    ("optimizer", "expected"),
    [("sgd", -0.5 * 0.01 * 2.0 * 1.9), ("adamw", -0.5 * 0.01 * 2.0)],
)
def test_decay_without_gradient(optimizer: str, expected: float) -> None:
    recipe = Optimization(optimizer=optimizer, weight_decay=0.01, momentum=0.9)
    transformation = make_optimizer(recipe, optax.constant_schedule(0.5))
    updates, _ = transformation.update(ZERO, transformation.init(PARAMS), PARAMS)
    np.testing.assert_allclose(updates["conv"]["kernel"], expected, rtol=1e-6)
    for leaf in (*updates["norm"].values(), updates["conv"]["bias"], updates["multiplier"]):
        np.testing.assert_array_equal(leaf, 0.0)


def test_sgd_is_nesterov_momentum() -> None:
    """Two steps of a constant gradient g: lr g (1 + m), then lr g (1 + m + m^2)."""
    recipe = Optimization(weight_decay=0.0, momentum=0.5, clip=None)
    transformation = make_optimizer(recipe, optax.constant_schedule(0.1))
    weight, gradient = jnp.ones((2, 2)), jnp.full((2, 2), 3.0)
    state = transformation.init(weight)
    first, state = transformation.update(gradient, state, weight)
    second, state = transformation.update(gradient, state, weight)
    np.testing.assert_allclose(first, -0.1 * 3 * 1.5, rtol=1e-6)
    np.testing.assert_allclose(second, -0.1 * 3 * 1.75, rtol=1e-6)


def test_clipping_bounds_the_gradient_before_anything_else() -> None:
    recipe = Optimization(weight_decay=0.0, momentum=0.0, clip=10.0)
    transformation = make_optimizer(recipe, optax.constant_schedule(1.0))
    weight = jnp.ones((2, 2))
    updates, _ = transformation.update(jnp.full((2, 2), 1e8), transformation.init(weight), weight)
    assert float(optax.tree.norm(updates)) == pytest.approx(10.0, rel=1e-5)


def test_adam_is_indifferent_to_the_scale_of_the_gradient() -> None:
    recipe = Optimization(optimizer="adamw", weight_decay=0.0, clip=None)
    transformation = make_optimizer(recipe, optax.constant_schedule(3e-3))
    weight = jnp.ones((2, 2))
    for scale in (1e-2, 1e2):
        gradient = jnp.full((2, 2), scale)
        updates, _ = transformation.update(gradient, transformation.init(weight), weight)
        np.testing.assert_allclose(updates, -3e-3, rtol=1e-4)


def test_warm_up_then_cosine() -> None:
    recipe = Optimization(learning_rate=0.4, warmup_epochs=2)
    schedule = learning_rate(recipe, total_steps=110, steps_per_epoch=5)
    expected = {0: 0.0, 5: 0.2, 10: 0.4, 60: 0.2, 110: 0.0}
    for step, rate in expected.items():
        assert float(schedule(step)) == pytest.approx(rate, abs=1e-7)


def test_no_warm_up_starts_at_the_peak() -> None:
    schedule = learning_rate(Optimization(learning_rate=0.4), total_steps=100, steps_per_epoch=5)
    assert float(schedule(jnp.int32(0))) == pytest.approx(0.4)
    assert float(schedule(jnp.int32(25))) == pytest.approx(0.2 * (1 + np.sqrt(0.5)))
