"""The same losses from jit and pmap, on one device and on several, from one compilation each."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import step as step_module
from experiments.advance import MAX_CHUNK, all_at_once, compile_steps, resident_steps
from experiments.config import Execution, TrainConfig
from experiments.data import ArrayData, DataInfo
from experiments.experiment import make_recipe
from experiments.feed import ResidentFeed
from experiments.pmapped import Pmapped
from experiments.records import METRICS, read_records
from experiments.sharded import Sharded, Split
from experiments.step import Recipe, TrainState, initial_state
from experiments.train import train

pytestmark = pytest.mark.usefixtures("quick_compilation")

INFO = DataInfo("noise", 10, (4, 4, 1), 64, 8, (0.5,), (0.25,))


class Normalized(nn.Module):
    """Two dense layers with a batch norm between them."""

    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = nn.Dense(8)(x.reshape(len(x), -1))
        x = nn.BatchNorm(use_running_average=not train, axis_name=self.axis_name)(x)
        return nn.Dense(10)(nn.relu(x))


@pytest.fixture
def noise() -> ArrayData:
    """64 images of noise with labels of chance."""
    rng = np.random.default_rng(20250311)
    images = rng.integers(0, 256, (64, 4, 4, 1)).astype(np.uint8)
    return ArrayData(images, rng.integers(0, 10, 64).astype(np.int32))


def recipe_for(config: TrainConfig, axis_name: str | None = None) -> Recipe:
    recipe = make_recipe(config, INFO, 8, 4)
    return recipe._replace(network=Normalized(axis_name), axis_name=axis_name)


def start(config: TrainConfig, placement: Sharded) -> TrainState:
    variables = Normalized().init(jax.random.key(3), jnp.zeros((1, *INFO.image_shape)))
    rate = jnp.float32(config.optimization.learning_rate)
    state = initial_state(recipe_for(config), jax.random.key(4), rate, variables)
    return placement.replicate(state)


def eight_steps(placement: Sharded, noise: ArrayData, config: TrainConfig) -> list[np.ndarray]:
    """Metrics of two epochs in chunks of 3, 1 and 4 steps, then parameters and statistics."""
    feed = ResidentFeed(placement, recipe_for(config, placement.axis_name), noise, 16, seed=1)
    state, first = feed.run(start(config, placement), 0, 3)
    state, second = feed.run(state, 3, 1)
    state, third = feed.run(state, 4, 4)
    metrics = np.concatenate([np.stack(m) for m in (first, second, third)], axis=1)
    return [metrics, *jax.tree.leaves(jax.device_get((state.params, state.statistics)))]


@pytest.mark.parametrize(
    ("how", "shape"), [(Split.WHOLE, (4, 4)), (Split.ROWS, (2, 4)), (Split.COLUMNS, (4, 2))]
)
def test_each_split_divides_its_axis(how: Split, shape: tuple[int, ...]) -> None:
    """No value is a tuple: Python 3.11.2 puts `object(*value)` in its place if it can."""
    assert not isinstance(how.value, tuple)
    assert Sharded(jax.devices()[:2]).shardings[how].shard_shape((4, 4)) == shape


def test_losses_do_not_depend_on_parallelism(
    noise: ArrayData, small_run: Callable[..., TrainConfig]
) -> None:
    config = small_run()
    expected = eight_steps(Sharded(jax.devices()[:1]), noise, config)
    for kind, devices in ((Sharded, 2), (Sharded, 8), (Pmapped, 1), (Pmapped, 2), (Pmapped, 8)):
        given = eight_steps(kind(jax.devices()[:devices]), noise, config)
        for array, expected_array in zip(given, expected, strict=True):
            np.testing.assert_allclose(array, expected_array, rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize("kind", [Sharded, Pmapped])
def test_a_loop_on_the_device_gives_what_single_steps_give(
    kind: type[Sharded], noise: ArrayData, small_run: Callable[..., TrainConfig]
) -> None:
    config, placement = small_run(), kind(jax.devices()[:2])
    recipe = recipe_for(config, placement.axis_name)
    feed = ResidentFeed(placement, recipe, noise, 16, seed=1)
    batches = feed.epoch(0)
    state, expected = compile_steps(placement, recipe)(start(config, placement), batches, 4)

    def steps(*arguments: object) -> object:
        return resident_steps(recipe, *arguments)  # type: ignore[arg-type] -- passed through

    splits = type(batches)(Split.WHOLE, Split.WHOLE, Split.COLUMNS)
    loop = all_at_once(placement.compile(steps, splits, Split.WHOLE))
    looped, metrics = loop(start(config, placement), batches, 4)
    assert metrics.loss.shape == (4,)
    assert MAX_CHUNK > 4
    np.testing.assert_allclose(np.stack(metrics), np.stack(expected), rtol=2e-5)
    assert int(looped.step) == int(state.step) == 4


def test_whole_runs_agree_and_compile_their_step_once(
    tmp_path: Path,
    small_run: Callable[..., TrainConfig],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Several chunks, epochs, evaluations and checkpoints, the last epoch half as long."""
    traces = []
    loss = step_module.smoothed_loss

    def counted(*arguments: object) -> object:
        traces.append(1)
        return loss(*arguments)  # type: ignore[arg-type] -- passed through

    monkeypatch.setattr(step_module, "smoothed_loss", counted)

    def losses(parallel: Literal["jit", "pmap"], devices: int) -> list[float]:
        run_dir = tmp_path / parallel
        execution = Execution(
            parallel=parallel,
            devices=devices,
            checkpoint_steps=9,
            progress=False,
            tensorboard=False,
        )
        train(small_run(epochs=1.5), run_dir, execution)
        return [record["loss"] for record in read_records(run_dir / METRICS)]

    single = losses("jit", 1)
    assert len(traces) == 1
    assert len(single) == 33 + 2
    np.testing.assert_allclose(losses("pmap", 8), single, rtol=1e-4)
    assert len(traces) == 2
