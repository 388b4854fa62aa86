"""The images of a run: whole in memory, or streamed from disk; to train on and held out."""

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import NamedTuple

from experiments.config import Execution, TrainConfig
from experiments.data import (
    ArrayData,
    DataInfo,
    Dataset,
    Selection,
    describe_stream,
    evaluation_stream,
    fits_in_memory,
    load,
    shrink,
    split_validation,
    to_device,
    train_stream,
)
from experiments.evaluate import whole_batches
from experiments.feed import Feed, ResidentFeed, StreamedFeed
from experiments.sharded import Sharded, Split
from experiments.step import Batch, Recipe

EVALUATION_BATCH = 500
VALIDATION_SEED = 0


class Images(NamedTuple):
    """A data set as a run needs it.

    Args:
        info: with the sizes of what is really trained and evaluated on.
        feed: makes what runs training steps, from a placement and a recipe for it.
        held_out: gives the batches to evaluate on, split over the mesh, as often as it is called.
    """

    info: DataInfo
    feed: Callable[[Sharded, Recipe], Feed]
    held_out: Callable[[], Iterable[Batch]]


def open_images(config: TrainConfig, execution: Execution, mesh: Sharded) -> Images:
    """The images that a config asks for.

    Raises:
        ValueError: if the data set has to be streamed and no image size is given, a streamed one
            is to be shrunk, or a part that is asked for would be empty.
    """
    if config.data.image_size is not None:
        return streamed_images(config, config.data.image_size, execution, mesh)
    if not fits_in_memory(config.data.dataset, execution.data_dir):
        raise ValueError(
            f"{config.data.dataset!r} does not fit in memory; "
            "give --image-size to stream it, cropped to so many pixels"
        )
    return resident_images(config, execution, mesh)


def resident_images(config: TrainConfig, execution: Execution, mesh: Sharded) -> Images:
    """A decoded data set on the devices."""
    data = config.data
    dataset = whole_data_set(data.dataset, execution.data_dir, data.shrink)
    train, test = dataset.train, dataset.test
    if data.validation:
        train, test = split_validation(train, data.validation, VALIDATION_SEED)
    train = ArrayData(train.images[: data.train_examples], train.labels[: data.train_examples])
    info = dataclasses.replace(
        dataset.info, train_size=len(train.labels), test_size=len(test.labels)
    )
    batches = [
        Batch(*(mesh.split(array, Split.ROWS) for array in batch))
        for batch in whole_batches(test, evaluation_batch(mesh))
    ]
    return Images(
        info,
        lambda placement, recipe: ResidentFeed(
            placement, recipe, train, data.batch_size, config.seed
        ),
        lambda: batches,
    )


@functools.lru_cache(maxsize=1)
def whole_data_set(name: str, data_dir: str | None, factor: int) -> Dataset:
    """A decoded and shrunk data set, read-only: runs that follow one another share it."""
    dataset = shrink(load(name, data_dir), factor)
    for array in (*dataset.train, *dataset.test):
        array.setflags(write=False)
    return dataset


def streamed_images(
    config: TrainConfig, image_size: int, execution: Execution, mesh: Sharded
) -> Images:
    """A data set that is read from disk as it is needed."""
    data, name, data_dir = config.data, config.data.dataset, execution.data_dir
    if data.shrink != 1:
        raise ValueError("--shrink needs the data set in memory; leave it out, or --image-size")
    selection = Selection(data.validation, data.train_examples)
    rows = mesh.shardings[Split.ROWS]
    train = train_stream(
        name,
        batch_size=data.batch_size,
        image_size=image_size,
        seed=config.seed,
        data_dir=data_dir,
        selection=selection,
    )
    test = evaluation_stream(
        name,
        batch_size=evaluation_batch(mesh),
        image_size=image_size,
        data_dir=data_dir,
        selection=selection,
    )
    return Images(
        describe_stream(name, image_size, data_dir, selection),
        lambda placement, recipe: StreamedFeed(
            placement, recipe, lambda step: map(Batch._make, to_device(train, rows, step))
        ),
        lambda: map(Batch._make, to_device(test, rows)),
    )


def evaluation_batch(mesh: Sharded) -> int:
    """Images evaluated at a time, a multiple of the devices."""
    devices = len(mesh.devices)
    return -(-EVALUATION_BATCH // devices) * devices
