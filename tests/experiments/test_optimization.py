"""Closed forms of the recipe: schedule, decay, momentum and clipping."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments.config import MLP, Data, Optimization, TrainConfig
from experiments.data import DataInfo
from experiments.experiment import first_state, make_recipe
from experiments.optimization import is_kernel, make_optimizer, relative_rate
from experiments.step import Batch, train_step

INFO = DataInfo("noise", 10, (2, 2, 1), 32, 8, (0.5,), (0.25,))

PARAMS = {
    "conv": {"kernel": jnp.full((3, 3, 2, 4), 2.0), "bias": jnp.full((4,), 2.0)},
    "norm": {"scale": jnp.full((3, 4), 2.0), "bias": jnp.full((3, 4), 2.0)},
    "multiplier": jnp.float32(2.0),
}
ZERO = {
    "conv": {"kernel": jnp.zeros((3, 3, 2, 4)), "bias": jnp.zeros((4,))},
    "norm": {"scale": jnp.zeros((3, 4)), "bias": jnp.zeros((3, 4))},
    "multiplier": jnp.float32(0.0),
}


def full(value: float) -> dict[str, jax.Array]:
    return {"kernel": jnp.full((2, 2), value)}


WEIGHT = full(1.0)


def test_only_kernels_decay() -> None:
    """Also where the layers of a scan are stacked, and their norms have two axes."""
    assert is_kernel(PARAMS) == {
        "conv": {"kernel": True, "bias": False},
        "norm": {"scale": False, "bias": False},
        "multiplier": False,
    }


@pytest.mark.parametrize(
    # Nesterov's first step looks ahead: wd * w * (1 + momentum). AdamW's is wd * w.
    ("optimizer", "expected"),
    [("sgd", 0.01 * 2.0 * 1.9), ("adamw", 0.01 * 2.0)],
)
def test_decay_without_gradient(optimizer: str, expected: float) -> None:
    recipe = Optimization(optimizer=optimizer, weight_decay=0.01, momentum=0.9)
    transformation = make_optimizer(recipe)
    ascent, _ = transformation.update(ZERO, transformation.init(PARAMS), PARAMS)
    np.testing.assert_allclose(ascent["conv"]["kernel"], expected, rtol=1e-6)
    for leaf in (*ascent["norm"].values(), ascent["conv"]["bias"], ascent["multiplier"]):
        np.testing.assert_array_equal(leaf, 0.0)


def test_sgd_is_nesterov_momentum() -> None:
    """Two steps of a constant gradient g: g (1 + m), then g (1 + m + m^2)."""
    recipe = Optimization(weight_decay=0.0, momentum=0.5, clip=None)
    transformation = make_optimizer(recipe)
    state = transformation.init(WEIGHT)
    first, state = transformation.update(full(3.0), state, WEIGHT)
    second, state = transformation.update(full(3.0), state, WEIGHT)
    np.testing.assert_allclose(first["kernel"], 3 * 1.5, rtol=1e-6)
    np.testing.assert_allclose(second["kernel"], 3 * 1.75, rtol=1e-6)


def test_clipping_bounds_the_gradient_before_anything_else() -> None:
    recipe = Optimization(weight_decay=0.0, momentum=0.0, clip=10.0)
    transformation = make_optimizer(recipe)
    ascent, _ = transformation.update(full(1e8), transformation.init(WEIGHT), WEIGHT)
    assert float(optax.tree.norm(ascent)) == pytest.approx(10.0, rel=1e-5)


def test_adam_is_indifferent_to_the_scale_of_the_gradient() -> None:
    recipe = Optimization(optimizer="adamw", weight_decay=0.0, clip=None)
    transformation = make_optimizer(recipe)
    for scale in (1e-2, 1e2):
        ascent, _ = transformation.update(full(scale), transformation.init(WEIGHT), WEIGHT)
        np.testing.assert_allclose(ascent["kernel"], 1.0, rtol=1e-4)


def test_warm_up_then_cosine() -> None:
    schedule = relative_rate(Optimization(warmup_epochs=2), total_steps=110, steps_per_epoch=5)
    expected = {0: 0.0, 5: 0.5, 10: 1.0, 60: 0.5, 110: 0.0}
    for step, share in expected.items():
        assert float(schedule(step)) == pytest.approx(share, abs=1e-7)


def test_no_warm_up_starts_at_the_peak() -> None:
    schedule = relative_rate(Optimization(), total_steps=100, steps_per_epoch=5)
    assert float(schedule(jnp.int32(0))) == pytest.approx(1.0)
    assert float(schedule(jnp.int32(25))) == pytest.approx(0.5 * (1 + np.sqrt(0.5)))


@pytest.mark.parametrize("learning_rate", [0.5, 0.125])
def test_a_step_goes_down_by_the_learning_rate_of_the_state(learning_rate: float) -> None:
    """SGD moves the head's bias by -lr times the mean of softmax minus one-hot labels."""
    config = TrainConfig(
        MLP(features=()),
        data=Data(batch_size=8),
        optimization=Optimization(momentum=0.0, clip=None),
    )
    recipe = make_recipe(config, INFO, total_steps=4, steps_per_epoch=4)
    state = first_state(recipe, config, INFO)
    batch = Batch(jnp.zeros((8, 2, 2, 1), jnp.uint8), jnp.arange(8, dtype=jnp.int32))
    changed = state._replace(learning_rate=jnp.float32(learning_rate))
    moved, metrics = train_step(recipe, changed, batch)

    black = -0.5 / 0.25
    logits = black * np.asarray(state.params["head"]["kernel"], np.float64).sum(axis=0)
    softmax = np.exp(logits) / np.exp(logits).sum()
    gradient = softmax - (np.arange(10) < 8) / 8
    np.testing.assert_allclose(moved.params["head"]["bias"], -learning_rate * gradient, atol=1e-6)
    assert float(metrics.learning_rate) == learning_rate
