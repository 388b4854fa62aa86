"""Data sets too large for memory, read from disk while training: a pipeline of Grain.

Every batch is a pure function of the seed and the step. With H hosts, position p of the global
order goes to host p mod H, so that the batches of all hosts together do not depend on H.
"""

import os
from dataclasses import dataclass
from typing import Any

import grain
import jax
import numpy as np

from experiments.data.arrays import ArrayData, DataInfo
from experiments.data.photographs import central_crop, random_crop
from experiments.data.prepared import PreparedImages, open_images
from experiments.data.selection import EVERYTHING, Selection, select

# The usual moments of photographs, ImageNet's: red, green, blue; for grey images their average.
_COLOUR_MEAN, _COLOUR_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_GREY_MEAN, _GREY_STD = (0.449,), (0.226,)

PADDING_LABEL = -1


def describe_stream(
    name: str, image_size: int, data_dir: str | None = None, selection: Selection = EVERYTHING
) -> DataInfo:
    """The description of a data set that is streamed at image_size x image_size pixels."""
    prepared = select(open_images(name, data_dir), selection)
    channels = prepared.image_shape[-1]
    return DataInfo(
        name=name,
        num_classes=prepared.num_classes,
        image_shape=(image_size, image_size, channels),
        train_size=prepared.size(prepared.train_split),
        test_size=prepared.size(prepared.test_split),
        mean=_GREY_MEAN if channels == 1 else _COLOUR_MEAN,
        std=_GREY_STD if channels == 1 else _COLOUR_STD,
    )


def train_stream(
    name: str,
    *,
    batch_size: int,
    image_size: int,
    seed: int,
    data_dir: str | None = None,
    selection: Selection = EVERYTHING,
    shard: grain.sharding.ShardOptions | None = None,
) -> grain.IterDataset:
    """Endless shuffled batches of random crops, a new order and new crops in each epoch.

    Args:
        name: any image classification data set of TensorFlow Datasets.
        batch_size: examples in a step, over all hosts.
        image_size: height and width of the crops in pixels.
        seed: of order and crops, 0 .. 2^32 - 1.
        data_dir: as for `load`.
        selection: which of the examples.
        shard: which host this is, of how many; by default what JAX says.

    Returns:
        Batches of this host: images uint8 (batch_size / hosts, image_size, image_size, C) and
        labels int32. Iterators over it have get_state and set_state.

    Raises:
        ValueError: as `load`, or for an image_size below 1, a batch_size that the hosts do not
            divide, or a selection that is empty.
        FileNotFoundError: as `load`.
    """
    shard = _checked_shard(shard, batch_size, image_size)
    prepared = select(open_images(name, data_dir), selection)
    source = prepared.builder.as_data_source(prepared.train_split)
    examples = (
        grain.MapDataset.source(source)
        .seed(seed)
        .shuffle()
        .random_map(_RandomCrop(prepared, image_size))
        .repeat()
    )
    return _batches(examples, batch_size, shard)


def evaluation_stream(
    name: str,
    *,
    batch_size: int,
    image_size: int,
    data_dir: str | None = None,
    selection: Selection = EVERYTHING,
    shard: grain.sharding.ShardOptions | None = None,
) -> grain.IterDataset:
    """Every test example, or every one held out, once, centrally cropped.

    All hosts get the same number of full batches: the last is filled up with black images of label
    -1, which are not to be counted.

    Args, Returns, Raises: as `train_stream`.
    """
    shard = _checked_shard(shard, batch_size, image_size)
    prepared = select(open_images(name, data_dir), selection)
    examples = _CentralCrops(prepared, image_size, multiple=batch_size)
    return _batches(grain.MapDataset.source(examples), batch_size, shard)


def to_device(
    stream: grain.IterDataset, sharding: jax.sharding.Sharding, first_step: int = 0
) -> grain.DatasetIterator:
    """Iterate over a stream on the devices, two batches ahead of the training step.

    Args:
        stream: of `train_stream` or `evaluation_stream`.
        sharding: of the batch axis, over the devices of all hosts.
        first_step: batches to skip, at no cost, when a run resumes.

    Returns:
        An iterator over ArrayData of global jax.Arrays. Its get_state counts the batches that it
        has given, not those it has read ahead. It reads in a thread of its own: `close` it, or use
        contextlib.closing.
    """

    def put(batch: ArrayData) -> ArrayData:
        return jax.tree.map(
            lambda local: jax.make_array_from_process_local_data(sharding, local), batch
        )

    ahead = grain.experimental.ThreadPrefetchIterDataset(stream.map(put), prefetch_buffer_size=2)
    iterator = iter(ahead)
    grain.experimental.set_next_index(iterator, first_step)
    return iterator


def _checked_shard(
    shard: grain.sharding.ShardOptions | None, batch_size: int, image_size: int
) -> grain.sharding.ShardOptions:
    shard = shard or grain.sharding.ShardByJaxProcess()
    if image_size < 1:
        raise ValueError(f"image_size must be 1 pixel or more, got {image_size}")
    if batch_size < 1 or batch_size % shard.shard_count:
        raise ValueError(
            f"a batch of {batch_size} examples cannot be divided among {shard.shard_count} hosts"
        )
    return shard


def _batches(
    examples: grain.MapDataset, batch_size: int, shard: grain.sharding.ShardOptions
) -> grain.IterDataset:
    local = examples[shard.shard_index :: shard.shard_count]
    # A thread makes a whole batch; decoding releases Python's lock.
    threads = os.cpu_count() or 1
    return local.batch(batch_size // shard.shard_count, drop_remainder=True).to_iter_dataset(
        grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads)
    )


@dataclass(frozen=True)
class _RandomCrop(grain.transforms.RandomMap):
    prepared: PreparedImages
    image_size: int

    def random_map(self, element: dict[str, Any], rng: np.random.Generator) -> ArrayData:
        image = random_crop(element[self.prepared.image], self.image_size, rng)
        return ArrayData(image, _as_label(element[self.prepared.label]))


class _CentralCrops:
    """Random access to test examples, filled up to a multiple of the batch."""

    def __init__(self, prepared: PreparedImages, image_size: int, multiple: int) -> None:
        self._prepared = prepared
        self._image_size = image_size
        self._source = prepared.builder.as_data_source(prepared.test_split)
        self._length = -(-len(self._source) // multiple) * multiple

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> ArrayData:
        if index >= len(self._source):
            shape = (self._image_size, self._image_size, self._prepared.image_shape[-1])
            return ArrayData(np.zeros(shape, np.uint8), _as_label(PADDING_LABEL))
        element = self._source[index]
        image = central_crop(element[self._prepared.image], self._image_size)
        return ArrayData(image, _as_label(element[self._prepared.label]))


def _as_label(label: int) -> np.ndarray:
    return np.asarray(label, np.int32)
