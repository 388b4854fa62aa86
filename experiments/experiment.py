"""A config brought to life: data, network, recipe, compiled step and compiled evaluation."""

from typing import NamedTuple

import jax

from experiments.config import Data, Execution, TrainConfig
from experiments.data import ArrayData, Augmentation, DataInfo, Dataset, load, split_validation
from experiments.evaluate import Evaluate, make_evaluation, whole_batches
from experiments.feed import Feed, ResidentFeed
from experiments.networks import build_network
from experiments.optimization import learning_rate, make_optimizer
from experiments.sharded import Sharded
from experiments.step import Recipe, TrainState, initial_state

EVAL_BATCH = 500
VALIDATION_SEED = 0


class Experiment(NamedTuple):
    """Everything the training loop needs.

    Args:
        info: the data set.
        steps_per_epoch: updates in one pass over the training images.
        total_steps: of the whole run.
        initial: the state before the first step, placed on the devices.
        feed: runs training steps.
        evaluate: loss and accuracy of a state on the images held out.
        split: what those images are: "test" or "validation".
    """

    info: DataInfo
    steps_per_epoch: int
    total_steps: int
    initial: TrainState
    feed: Feed
    evaluate: Evaluate
    split: str


def set_up(config: TrainConfig, execution: Execution) -> Experiment:
    """Load the data, build and initialize the network, place both on the devices.

    Raises:
        ValueError: if the batch is larger than the data set, or the devices do not divide it.
    """
    devices = chosen_devices(execution.devices)
    check_batch(config.data.batch_size, len(devices))
    dataset = select_images(load(config.data.dataset, execution.data_dir), config.data)
    steps_per_epoch = len(dataset.train.labels) // config.data.batch_size
    if not steps_per_epoch:
        raise ValueError(
            f"a batch of {config.data.batch_size} is more than the "
            f"{len(dataset.train.labels)} training images; choose a smaller --batch-size"
        )
    total_steps = max(1, round(config.optimization.epochs * steps_per_epoch))
    recipe = make_recipe(config, dataset.info, total_steps, steps_per_epoch)
    placement = Sharded(devices)
    advance = placement.compile(recipe, loop=devices[0].platform != "cpu")
    feed = ResidentFeed(placement, advance, dataset.train, config.data.batch_size, config.seed)
    tests = [placement.shard(batch) for batch in whole_batches(dataset.test, EVAL_BATCH)]
    return Experiment(
        info=dataset.info,
        steps_per_epoch=steps_per_epoch,
        total_steps=total_steps,
        initial=placement.replicate(first_state(recipe, config.seed, dataset.info)),
        feed=feed,
        evaluate=make_evaluation(recipe, dataset.info, lambda: tests, placement.replicated),
        split="validation" if config.data.validation else "test",
    )


def chosen_devices(count: int | None) -> list[jax.Device]:
    """The first ``count`` devices, or all."""
    devices = jax.devices()
    if count is not None and not 0 < count <= len(devices):
        raise ValueError(f"--devices must lie in 1 .. {len(devices)}, got {count}")
    return devices[:count]


def check_batch(batch_size: int, devices: int) -> None:
    """Raise ValueError unless every device gets the same number of images."""
    if batch_size <= 0 or batch_size % devices:
        raise ValueError(
            f"--batch-size must be a positive multiple of the {devices} devices, got {batch_size}"
        )


def select_images(dataset: Dataset, data: Data) -> Dataset:
    """The part of a data set that a config trains and evaluates on."""
    train, test = dataset.train, dataset.test
    if data.validation:
        train, test = split_validation(train, data.validation, VALIDATION_SEED)
    if data.train_examples is not None:
        train = ArrayData(*(array[: data.train_examples] for array in train))
    return Dataset(dataset.info, train, test)


def make_recipe(
    config: TrainConfig, info: DataInfo, total_steps: int, steps_per_epoch: int
) -> Recipe:
    """The training step's ingredients."""
    schedule = learning_rate(config.optimization, total_steps, steps_per_epoch)
    return Recipe(
        network=build_network(config, info.num_classes),
        optimizer=make_optimizer(config.optimization, schedule),
        schedule=schedule,
        augmentation=Augmentation(info.mean, info.std, config.data.pad, config.data.flip),
        label_smoothing=config.optimization.label_smoothing,
    )


def first_state(recipe: Recipe, seed: int, info: DataInfo) -> TrainState:
    """The state before the first step, from one compiled program."""
    return jax.jit(lambda key: initial_state(recipe, key, info.image_shape))(jax.random.key(seed))
