"""A config brought to life: images, network, recipe, compiled step and compiled evaluation."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from experiments.config import Data, Execution, Optimization, TrainConfig
from experiments.data import Augmentation, DataInfo
from experiments.evaluate import Evaluate, make_evaluation
from experiments.feed import Feed
from experiments.images import open_images
from experiments.machine import chosen_devices
from experiments.milestones import Milestones
from experiments.networks import build_network
from experiments.optimization import make_optimizer, relative_rate
from experiments.pmapped import Pmapped
from experiments.schemes import scheme_of
from experiments.sharded import Sharded, Split
from experiments.step import Batch, Recipe, TrainState, augmented, initial_state
from experiments.watch import Watch, make_watch
from idinit_jax import initialize, lsuv_calibrate

PLACEMENTS = {"jit": Sharded, "pmap": Pmapped}


class Experiment(NamedTuple):
    """Everything the training loop needs.

    Args:
        steps_per_epoch: updates in one pass over the training images.
        milestones: the run's end, and when it is evaluated and saved.
        recipe: of a step on global arrays.
        initial: the state before the first step, placed on the devices.
        feed: runs training steps.
        evaluate: loss and accuracy of a state on the images held out.
        split: what those images are: "test" or "validation".
        watch: the signal of a step, layer by layer.
    """

    steps_per_epoch: int
    milestones: Milestones
    recipe: Recipe
    initial: TrainState
    feed: Feed
    evaluate: Evaluate
    split: str
    watch: Watch


def set_up(config: TrainConfig, execution: Execution) -> Experiment:
    """Load the images, build and initialize the network, place both on the devices.

    Raises:
        ValueError: if the devices do not divide the batch, the batch is larger than the data set,
            or the data, the network and the scheme do not go together.
    """
    mesh = Sharded(chosen_devices(execution.devices))
    check_recipe(config.optimization)
    check_batch(config, len(mesh.devices))
    placement = PLACEMENTS[execution.parallel](mesh.devices)
    images = open_images(config, execution, mesh)
    steps = steps_per_epoch(images.info, config.data.batch_size)
    total = max(1, round(config.optimization.epochs * steps))
    recipe = make_recipe(config, images.info, total, steps)
    on_device = in_parallel(recipe, config, images.info, placement.axis_name)
    feed = images.feed(placement, on_device)
    initial = first_state(recipe, config, images.info)
    if config.init.scheme == "lsuv":
        initial = calibrated(recipe, initial, feed.batch(0))
    whole = mesh.shardings[Split.WHOLE]
    return Experiment(
        steps_per_epoch=steps,
        milestones=Milestones(
            total, config.eval_epochs * steps, execution.checkpoint_steps, execution.signal_every
        ),
        recipe=recipe,
        initial=mesh.replicate(initial),
        feed=feed,
        evaluate=make_evaluation(recipe, images.info, images.held_out, whole),
        split="validation" if config.data.validation else "test",
        watch=make_watch(recipe, mesh, (config.data.batch_size, *images.info.image_shape)),
    )


def check_batch(config: TrainConfig, devices: int) -> None:
    """Raise ValueError unless every device gets as many images, and under mixup whole pairs."""
    batch_size = config.data.batch_size
    if batch_size <= 0 or batch_size % devices:
        raise ValueError(
            f"--batch-size must be a positive multiple of the {devices} devices, got {batch_size}"
        )
    if config.optimization.mixup and batch_size % (2 * devices):
        raise ValueError(
            f"mixup pairs the images of each of the {devices} devices: --batch-size must be a "
            f"multiple of {2 * devices}, got {batch_size}"
        )


def check_recipe(recipe: Optimization) -> None:
    """Raise ValueError for numbers that no recipe has."""
    ranges = (
        ("learning-rate", recipe.learning_rate > 0, "positive"),
        ("momentum", 0 <= recipe.momentum < 1, "in [0, 1)"),
        ("weight-decay", recipe.weight_decay >= 0, "at least 0"),
        ("clip", recipe.clip is None or recipe.clip > 0, "positive, or None"),
        ("epochs", recipe.epochs > 0, "positive"),
        ("warmup-epochs", 0 <= recipe.warmup_epochs <= recipe.epochs, "from 0 to the epochs"),
        ("label-smoothing", 0 <= recipe.label_smoothing < 1, "in [0, 1)"),
        ("mixup", recipe.mixup >= 0, "at least 0"),
    )
    for name, holds, range_ in ranges:
        if not holds:
            given = getattr(recipe, name.replace("-", "_"))
            raise ValueError(f"--{name} must be {range_}, got {given}")


def steps_per_epoch(info: DataInfo, batch_size: int) -> int:
    """Full batches in the training images."""
    if info.train_size < batch_size:
        raise ValueError(
            f"a batch of {batch_size} is more than the {info.train_size} training images; "
            "choose a smaller --batch-size"
        )
    return info.train_size // batch_size


def make_recipe(
    config: TrainConfig, info: DataInfo, total_steps: int, steps_per_epoch: int
) -> Recipe:
    """The ingredients of a training step on global arrays."""
    return Recipe(
        network=build_network(config, info.num_classes),
        optimizer=make_optimizer(config.optimization),
        schedule=relative_rate(config.optimization, total_steps, steps_per_epoch),
        augmentation=make_augmentation(config.data, info),
        num_classes=info.num_classes,
        label_smoothing=config.optimization.label_smoothing,
        mixup=config.optimization.mixup,
    )


def make_augmentation(data: Data, info: DataInfo) -> Augmentation:
    """What is done to training images."""
    return Augmentation(
        mean=info.mean,
        std=info.std,
        pad=data.pad,
        flip=data.flip,
        distortions=data.distortions,
        magnitude=data.magnitude,
    )


def in_parallel(
    recipe: Recipe, config: TrainConfig, info: DataInfo, axis_name: str | None
) -> Recipe:
    """The recipe of a step that sees one device's part, and averages over ``axis_name``."""
    network = build_network(config, info.num_classes, axis_name)
    return recipe._replace(network=network, axis_name=axis_name)


def first_state(recipe: Recipe, config: TrainConfig, info: DataInfo) -> TrainState:
    """The state before the first step, the network's parameters as the scheme starts them."""
    run_key, init_key = jax.random.split(jax.random.key(config.seed))
    images = jax.ShapeDtypeStruct((config.data.batch_size, *info.image_shape), jnp.float32)
    variables = initialize(recipe.network, init_key, images, scheme=scheme_of(config.init))
    learning_rate = jnp.float32(config.optimization.learning_rate)
    return jax.jit(functools.partial(initial_state, recipe))(run_key, learning_rate, variables)


def calibrated(recipe: Recipe, state: TrainState, batch: Batch) -> TrainState:
    """The state with every kernel rescaled to unit output variance on a batch, as LSUV does."""
    variables = {"params": state.params}
    if state.statistics:
        variables["batch_stats"] = state.statistics
    images = augmented(recipe, state, batch)
    values, _ = lsuv_calibrate(recipe.network, variables, images, call_kwargs={"train": True})
    return state._replace(params=values["params"])
