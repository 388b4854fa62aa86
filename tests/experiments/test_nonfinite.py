"""A value that is not finite stops the run at its step and names its layer."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.advance import Batches, resident_steps
from experiments.config import CifarResNet, Execution, TrainConfig
from experiments.data import DataInfo
from experiments.experiment import first_state, make_recipe
from experiments.nonfinite import NonFiniteError, find_offence
from experiments.records import METRICS
from experiments.sharded import Sharded
from experiments.step import Batch, TrainState
from experiments.train import train
from experiments.watch import Watch, make_watch

pytestmark = pytest.mark.usefixtures("quick_compilation")

INFO = DataInfo("noise", 10, (8, 8, 1), 32, 8, (0.5,), (0.25,))


def watched(model: CifarResNet) -> tuple[Watch, TrainState]:
    config = TrainConfig(model)
    recipe = make_recipe(config, INFO, 8, 4)
    watch = make_watch(recipe, Sharded(jax.devices()[:1]), (8, *INFO.image_shape))
    return watch, first_state(recipe, config, INFO)


@pytest.fixture(scope="module")
def resnet() -> tuple[Watch, TrainState]:
    """ResNet-8 without norms, from He."""
    return watched(CifarResNet(depth=8, norm="none"))


@pytest.fixture(scope="module")
def batch() -> Batch:
    """Eight images of noise."""
    rng = np.random.default_rng(20250311)
    images = rng.integers(0, 256, (8, 8, 8, 1)).astype(np.uint8)
    return Batch(jnp.asarray(images), jnp.asarray(rng.integers(0, 10, 8).astype(np.int32)))


def scaled(params: Any, layer: str, factor: float) -> Any:
    """The parameters with one kernel multiplied."""

    def scale(path: Any, leaf: jax.Array) -> jax.Array:
        here = jax.tree_util.keystr(path, simple=True, separator="/") == f"{layer}/kernel"
        return leaf * factor if here else leaf

    return jax.tree.map_with_path(scale, params)


def test_an_overflow_forward_is_found_in_its_layer(
    resnet: tuple[Watch, TrainState], batch: Batch
) -> None:
    watch, state = resnet
    params = scaled(state.params, "stage_1/first/tail", 3e38)
    offence = find_offence(watch(state._replace(params=params), batch))
    assert offence.layer == "stage_1/first/tail/kernel"
    assert "of the activation" in offence.reason


def test_an_overflow_backward_is_found_in_its_layer(
    resnet: tuple[Watch, TrainState], batch: Batch
) -> None:
    """The signal fades at the stem: gradients overflow, from the huge kernels above it."""
    watch, state = resnet
    params = scaled(state.params, "stem", 1e-30)
    params = scaled(scaled(params, "stage_0/first/tail", 1e15), "stage_0/first/conv_0", 1e15)
    params = scaled(scaled(params, "stage_1/first/tail", 1e10), "stage_1/first/conv_0", 1e10)
    offence = find_offence(watch(state._replace(params=params), batch))
    assert offence.layer == "stem/kernel"
    assert "of the gradient" in offence.reason


def test_a_parameter_that_is_not_finite_is_named(
    resnet: tuple[Watch, TrainState], batch: Batch
) -> None:
    watch, state = resnet
    params = scaled(state.params, "stage_2/first/conv_0", float("nan"))
    offence = find_offence(watch(state._replace(params=params), batch))
    assert offence.layer == "stage_2/first/conv_0/kernel"
    assert "before the step" in offence.reason


def test_a_layer_of_a_scan_is_named_by_its_number(batch: Batch) -> None:
    watch, state = watched(CifarResNet(depth=26, norm="none", scan=True))
    kernel = state.params["stage_1"]["blocks"]["tail"]["kernel"]
    state.params["stage_1"]["blocks"]["tail"]["kernel"] = kernel.at[1].multiply(3e38)
    assert find_offence(watch(state, batch)).layer == "stage_1/blocks/tail/kernel[1]"


def test_finite_gradients_whose_norm_overflows_are_named(
    resnet: tuple[Watch, TrainState], batch: Batch
) -> None:
    watch, state = resnet
    params = scaled(state.params, "head", 1e25)
    offence = find_offence(watch(state._replace(params=params), batch))
    assert "norm overflows" in offence.reason


def test_a_run_stops_at_the_first_bad_step(
    tmp_path: Path, small_run: Callable[..., TrainConfig], quiet: Execution
) -> None:
    config = small_run(learning_rate=1e30, clip=None)
    with pytest.raises(NonFiniteError, match=r"step 2: .*not finite at head") as stopped:
        train(config, tmp_path, quiet)
    assert stopped.value.step == 2
    assert (tmp_path / METRICS).read_text().count("\n") == 1


def test_the_state_stays_as_it_was_before_the_bad_step(
    small_run: Callable[..., TrainConfig], batch: Batch
) -> None:
    """In a chunk on the device the bad step is known, and those after it change nothing."""
    config = small_run(learning_rate=1e30, clip=None)
    recipe = make_recipe(config, INFO, 8, 4)
    state = first_state(recipe, config, INFO)
    order = jnp.arange(8, dtype=jnp.int32).reshape(1, 8)
    batches = Batches(batch.images, batch.labels, order)
    run = jax.jit(lambda state, count: resident_steps(recipe, state, batches, count))
    one = run(state, jnp.int32(1)).state
    many = run(state, jnp.int32(6))
    assert bool(many.state.halted)
    assert int(many.state.step) == 1
    finite = np.isfinite(many.metrics.gradient_norm[:6]) & np.isfinite(many.metrics.loss[:6])
    assert finite.tolist() == [True] + [False] * 5
    for kept, expected in zip(
        jax.tree.leaves(many.state.params), jax.tree.leaves(one.params), strict=True
    ):
        np.testing.assert_array_equal(kept, expected)


def test_a_large_gradient_is_reported(
    tmp_path: Path,
    small_run: Callable[..., TrainConfig],
    capsys: pytest.CaptureFixture[str],
) -> None:
    config = dataclasses.replace(small_run(epochs=0.1), gradient_alarm=1e-3)
    train(config, tmp_path, Execution(devices=1, tensorboard=False))
    assert "step 1: gradient norm" in capsys.readouterr().err
