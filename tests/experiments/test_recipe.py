"""A step with everything random in it depends on the run's key and its number alone."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.config import (
    Data,
    Execution,
    Initialization,
    Optimization,
    TrainConfig,
    VisionTransformer,
)
from experiments.data import ArrayData, DataInfo
from experiments.experiment import check_recipe, first_state, in_parallel, make_recipe, set_up
from experiments.feed import ResidentFeed
from experiments.mixup import blend_neighbours, draw_share
from experiments.pmapped import Pmapped
from experiments.sharded import Sharded
from experiments.step import Batch, Recipe, TrainState, augmented, cross_entropy, targets_of

INFO = DataInfo("noise", 10, (8, 8, 3), 32, 8, (0.5,) * 3, (0.25,) * 3)
CONFIG = TrainConfig(
    VisionTransformer(width=8, depth=2, heads=2, dropout=0.2, stochastic_depth=0.3),
    Initialization("idinit"),
    Data(batch_size=8, pad=1, flip=True, distortions=1),
    Optimization(
        optimizer="adamw",
        learning_rate=1e-2,
        clip=1.0,
        warmup_epochs=1,
        label_smoothing=0.1,
        mixup=0.4,
    ),
)
STEPS = 3
ALONE = Sharded(jax.devices()[:1])

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(scope="module")
def noise() -> ArrayData:
    """32 images of noise with labels of chance."""
    rng = np.random.default_rng(20250311)
    images = rng.integers(0, 256, (32, 8, 8, 3)).astype(np.uint8)
    return ArrayData(images, rng.integers(0, 10, 32).astype(np.int32))


@functools.cache
def recipe() -> Recipe:
    return make_recipe(CONFIG, INFO, total_steps=8, steps_per_epoch=4)


@functools.cache
def initial() -> TrainState:
    return first_state(recipe(), CONFIG, INFO)


def make_feed(placement: Sharded, noise: ArrayData) -> ResidentFeed:
    parallel = in_parallel(recipe(), CONFIG, INFO, placement.axis_name)
    return ResidentFeed(placement, parallel, noise, CONFIG.data.batch_size, seed=1)


def start(placement: Sharded) -> TrainState:
    # A copy, because the step takes the memory of the state that it is given.
    return placement.replicate(jax.tree.map(lambda leaf: leaf.copy(), initial()))


def on_host(state: TrainState) -> TrainState:
    return jax.device_get(state._replace(key=jax.random.key_data(state.key)))


@pytest.fixture(scope="module")
def feed(noise: ArrayData) -> ResidentFeed:
    """On one device."""
    return make_feed(ALONE, noise)


@pytest.fixture(scope="module")
def uninterrupted(feed: ResidentFeed) -> tuple[np.ndarray, TrainState]:
    """Metrics and last state of three steps on one device."""
    state, metrics = feed.run(start(ALONE), 0, STEPS)
    return np.stack(metrics), on_host(state)


@pytest.mark.parametrize("kind", [Sharded, Pmapped])
def test_losses_do_not_depend_on_parallelism(
    kind: type[Sharded], noise: ArrayData, uninterrupted: tuple[np.ndarray, TrainState]
) -> None:
    placement = kind(jax.devices()[:2])
    _, metrics = make_feed(placement, noise).run(start(placement), 0, STEPS)
    np.testing.assert_allclose(np.stack(metrics), uninterrupted[0], rtol=1e-4, atol=2e-6)


def test_steps_over_the_end_of_an_epoch_take_the_next_epochs_images(feed: ResidentFeed) -> None:
    at_once, metrics = feed.run(start(ALONE), 0, 6)
    state, losses = start(ALONE), []
    for step in range(6):
        state, one = feed.run(state, step, 1)
        losses.append(one.loss[0])
    np.testing.assert_array_equal(metrics.loss, losses)
    jax.tree.map(np.testing.assert_array_equal, on_host(at_once), on_host(state))


def test_a_run_that_goes_on_from_saved_arrays_ends_with_the_same_bits(
    feed: ResidentFeed, uninterrupted: tuple[np.ndarray, TrainState]
) -> None:
    state, _ = feed.run(start(ALONE), 0, 1)
    saved = jax.tree.map(jnp.asarray, on_host(state))
    restored = saved._replace(key=jax.random.wrap_key_data(saved.key))
    state, _ = feed.run(ALONE.replicate(restored), 1, STEPS - 1)
    jax.tree.map(np.testing.assert_array_equal, on_host(state), uninterrupted[1])


def test_steps_draw_anew(noise: ArrayData) -> None:
    state = initial()
    batch = Batch(jnp.asarray(noise.images[:8]), jnp.asarray(noise.labels[:8]))
    inputs = jax.jit(functools.partial(augmented, recipe()))
    first, second = (inputs(state._replace(step=jnp.int32(step)), batch) for step in (0, 1))
    assert not np.allclose(first, second)


def test_images_and_labels_are_blended_by_the_same_share() -> None:
    """Without other augmentation, images of one level per label tell the blend of the labels."""
    data = dataclasses.replace(CONFIG.data, pad=0, flip=False, distortions=0)
    config = dataclasses.replace(CONFIG, data=data)
    mixing = make_recipe(config, INFO, 8, 4)._replace(label_smoothing=0.0)
    labels = jnp.arange(8, dtype=jnp.int32)
    images = jnp.broadcast_to((10 * labels).astype(jnp.uint8)[:, None, None, None], (8, 8, 8, 3))
    state = initial()
    inputs = augmented(mixing, state, Batch(images, labels))
    levels = (np.asarray(inputs)[:, 0, 0, 0] * 0.25 + 0.5) * 25.5
    targets = np.asarray(targets_of(mixing, state, labels))
    np.testing.assert_allclose(targets @ np.arange(10), levels, atol=1e-4)
    np.testing.assert_allclose(targets.sum(axis=1), 1.0, rtol=1e-6)
    assert np.count_nonzero(targets, axis=1).tolist() == [2] * 8


def test_smoothing_spreads_its_share_over_all_classes() -> None:
    plain = recipe()._replace(mixup=0.0, label_smoothing=0.1)
    state = initial()
    targets = targets_of(plain, state, jnp.asarray([3]))
    expected = np.full((1, 10), 0.01)
    expected[0, 3] = 0.91
    np.testing.assert_allclose(targets, expected, rtol=1e-6)
    # The smallest loss is the targets' own entropy.
    entropy = -(expected * np.log(expected)).sum()
    assert float(cross_entropy(jnp.log(targets), targets)) == pytest.approx(entropy, rel=1e-5)


def test_shares_follow_the_beta_distribution(key: jax.Array) -> None:
    """Mean 1/2 and variance 1 / (4 (2 a + 1)), within 5 standard errors of 2000 draws."""
    shares = np.asarray(jax.vmap(lambda k: draw_share(k, 0.2))(jax.random.split(key, 2000)))
    variance = 1 / (4 * (2 * 0.2 + 1))
    assert abs(shares.mean() - 0.5) < 5 * np.sqrt(variance / 2000)
    assert shares.var() == pytest.approx(variance, rel=0.1)


def test_a_full_share_changes_nothing() -> None:
    rows = jnp.arange(8.0).reshape(4, 2)
    np.testing.assert_array_equal(blend_neighbours(rows, jnp.float32(1.0)), rows)
    np.testing.assert_array_equal(
        blend_neighbours(rows, jnp.float32(0.0)), rows[jnp.asarray([1, 0, 3, 2])]
    )


def test_half_a_pair_on_a_device_is_refused() -> None:
    config = dataclasses.replace(CONFIG, data=Data(batch_size=6))
    with pytest.raises(ValueError, match="must be a multiple of 4, got 6"):
        set_up(config, Execution(devices=2))


@pytest.mark.parametrize(
    "wrong",
    [
        {"learning_rate": 0.0},
        {"momentum": 1.0},
        {"weight_decay": -1e-4},
        {"clip": 0.0},
        {"epochs": 0.0},
        {"epochs": 2.0, "warmup_epochs": 3.0},
        {"label_smoothing": 1.0},
        {"mixup": -0.2},
    ],
)
def test_a_recipe_out_of_range_is_refused(wrong: dict[str, float]) -> None:
    name = [*wrong][-1].replace("_", "-")
    with pytest.raises(ValueError, match=f"--{name} must be .*, got {[*wrong.values()][-1]}"):
        check_recipe(Optimization(**wrong))
