"""A config brought to life: data, network, recipe, compiled step and compiled evaluation."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax

from experiments.config import Data, Execution, TrainConfig
from experiments.data import (
    ArrayData,
    Augmentation,
    DataInfo,
    Dataset,
    describe_stream,
    evaluation_stream,
    load,
    split_validation,
    to_device,
    train_stream,
)
from experiments.evaluate import Evaluate, make_evaluation, whole_batches
from experiments.feed import Feed, ResidentFeed, StreamedFeed
from experiments.machine import chosen_devices
from experiments.milestones import Milestones
from experiments.networks import build_network
from experiments.optimization import learning_rate, make_optimizer
from experiments.pmapped import Pmapped
from experiments.sharded import Sharded, Split
from experiments.step import Recipe, TrainState, initial_state

EVALUATION_BATCH = 500
VALIDATION_SEED = 0

PARALLEL = {"jit": Sharded, "pmap": Pmapped}


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
    """

    steps_per_epoch: int
    milestones: Milestones
    recipe: Recipe
    initial: TrainState
    feed: Feed
    evaluate: Evaluate
    split: str


def set_up(config: TrainConfig, execution: Execution) -> Experiment:
    """Load the data, build and initialize the network, place both on the devices.

    Raises:
        ValueError: if the devices do not divide the batch, the batch is larger than the data set,
            or a streamed data set is asked for a part.
    """
    mesh = Sharded(chosen_devices(execution.devices))
    check_batch(config.data.batch_size, len(mesh.devices))
    placement = PARALLEL[execution.parallel](mesh.devices)
    dataset = None if config.data.image_size else select_images(config, execution)
    info = dataset.info if dataset else describe(config.data, execution)
    steps_per_epoch = info.train_size // config.data.batch_size
    if not steps_per_epoch:
        raise ValueError(
            f"a batch of {config.data.batch_size} is more than the {info.train_size} training "
            "images; choose a smaller --batch-size"
        )
    total_steps = max(1, round(config.optimization.epochs * steps_per_epoch))
    recipe = make_recipe(config, info, total_steps, steps_per_epoch)
    on_devices = in_parallel(recipe, config, info, placement.axis_name)
    return Experiment(
        steps_per_epoch=steps_per_epoch,
        milestones=Milestones(
            total_steps, config.eval_epochs * steps_per_epoch, execution.checkpoint_steps
        ),
        recipe=recipe,
        initial=mesh.replicate(first_state(recipe, config.seed, info)),
        feed=make_feed(config, execution, placement, on_devices, dataset),
        evaluate=make_evaluation(
            recipe,
            info,
            held_out(config.data, execution, mesh, dataset),
            mesh.shardings[Split.WHOLE],
        ),
        split="validation" if config.data.validation else "test",
    )


def check_batch(batch_size: int, devices: int) -> None:
    """Raise ValueError unless every device gets the same number of images."""
    if batch_size <= 0 or batch_size % devices:
        raise ValueError(
            f"--batch-size must be a positive multiple of the {devices} devices, got {batch_size}"
        )


def select_images(config: TrainConfig, execution: Execution) -> Dataset:
    """The images in memory that a config trains and evaluates on."""
    dataset, data = load(config.data.dataset, execution.data_dir), config.data
    train, test = dataset.train, dataset.test
    if data.validation:
        train, test = split_validation(train, data.validation, VALIDATION_SEED)
    train = ArrayData(*(array[: data.train_examples] for array in train))
    sizes = {"train_size": len(train.labels), "test_size": len(test.labels)}
    return Dataset(dataclasses.replace(dataset.info, **sizes), train, test)


def describe(data: Data, execution: Execution) -> DataInfo:
    """The description of a data set that is streamed, whole."""
    if data.train_examples is not None or data.validation:
        raise ValueError(
            "--train-examples and --validation need the data set in memory; "
            "leave out --image-size, or them"
        )
    assert data.image_size is not None  # what makes it streamed
    return describe_stream(data.dataset, data.image_size, execution.data_dir)


def make_recipe(
    config: TrainConfig, info: DataInfo, total_steps: int, steps_per_epoch: int
) -> Recipe:
    """The ingredients of a training step on global arrays."""
    schedule = learning_rate(config.optimization, total_steps, steps_per_epoch)
    return Recipe(
        network=build_network(config, info.num_classes),
        optimizer=make_optimizer(config.optimization, schedule),
        schedule=schedule,
        augmentation=Augmentation(info.mean, info.std, config.data.pad, config.data.flip),
        label_smoothing=config.optimization.label_smoothing,
    )


def in_parallel(
    recipe: Recipe, config: TrainConfig, info: DataInfo, axis_name: str | None
) -> Recipe:
    """The recipe of a step that sees one device's part, and averages over ``axis_name``."""
    network = build_network(config, info.num_classes, axis_name)
    return recipe._replace(network=network, axis_name=axis_name)


def first_state(recipe: Recipe, seed: int, info: DataInfo) -> TrainState:
    """The state before the first step, from one compiled program."""
    return jax.jit(lambda key: initial_state(recipe, key, info.image_shape))(jax.random.key(seed))


def make_feed(
    config: TrainConfig,
    execution: Execution,
    placement: Sharded,
    recipe: Recipe,
    dataset: Dataset | None,
) -> Feed:
    """The training images: ``dataset`` where there is one, else streamed."""
    data = config.data
    if dataset is not None:
        return ResidentFeed(placement, recipe, dataset.train, data.batch_size, config.seed)
    assert data.image_size is not None  # what makes it streamed
    stream = train_stream(
        data.dataset,
        batch_size=data.batch_size,
        image_size=data.image_size,
        seed=config.seed,
        data_dir=execution.data_dir,
    )
    return StreamedFeed(placement, recipe, stream)


def held_out(
    data: Data, execution: Execution, mesh: Sharded, dataset: Dataset | None
) -> Callable[[], Iterable[ArrayData]]:
    """What gives the batches of images held out, split over the mesh."""
    devices = len(mesh.devices)
    batch_size = -(-EVALUATION_BATCH // devices) * devices
    if dataset is not None:
        batches = [
            ArrayData(*(mesh.split(array, Split.ROWS) for array in batch))
            for batch in whole_batches(dataset.test, batch_size)
        ]
        return lambda: batches
    assert data.image_size is not None  # what makes it streamed
    stream = evaluation_stream(
        data.dataset,
        batch_size=batch_size,
        image_size=data.image_size,
        data_dir=execution.data_dir,
    )
    return lambda: to_device(stream, mesh.shardings[Split.ROWS])
