"""Streams: every example, in an order that does not depend on hosts or interruptions."""

import contextlib

import grain
import jax
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from tiny_data import Prepared, image_features, labelled_images, prepare

from experiments.data import (
    PADDING_LABEL,
    ArrayData,
    describe_stream,
    evaluation_stream,
    to_device,
    train_stream,
)


def training(
    data: Prepared,
    batch_size: int = 8,
    seed: int = 0,
    shard: grain.sharding.ShardOptions | None = None,
) -> grain.IterDataset:
    return train_stream(
        "tiny_photographs",
        batch_size=batch_size,
        image_size=12,
        seed=seed,
        data_dir=data.data_dir,
        shard=shard,
    )


def evaluation(
    data: Prepared, image_size: int = 12, shard: grain.sharding.ShardOptions | None = None
) -> list[ArrayData]:
    return list(
        evaluation_stream(
            "tiny_photographs",
            batch_size=4,
            image_size=image_size,
            data_dir=data.data_dir,
            shard=shard,
        )
    )


def take(stream, count: int) -> list[ArrayData]:
    iterator = iter(stream)
    return [next(iterator) for _ in range(count)]


def assert_same(first: list[ArrayData], second: list[ArrayData]) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.labels, other.labels)


def interleave(hosts: list[list[ArrayData]]) -> list[ArrayData]:
    """Global batches from those of each host: position p belongs to host p mod H."""
    return [
        ArrayData(*(np.stack(parts, axis=1).reshape(-1, *parts[0].shape[1:]) for parts in fields))
        for fields in (zip(*step, strict=True) for step in zip(*hosts, strict=True))
    ]


def test_every_epoch_visits_every_example_once_in_a_new_order(tiny_photographs):
    labels = np.concatenate([batch.labels for batch in take(training(tiny_photographs), 25)])
    epochs = labels.reshape(4, 50)
    np.testing.assert_array_equal(np.sort(epochs, axis=1), np.tile(np.arange(50), (4, 1)))
    assert len(np.unique(epochs, axis=0)) == 4


def test_crops_differ_between_epochs(tiny_photographs):
    batches = take(training(tiny_photographs, batch_size=50), 2)
    first, second = (batch.images[np.argsort(batch.labels)] for batch in batches)
    assert (first != second).any(axis=(1, 2, 3)).all()


def test_shapes_and_types(tiny_photographs):
    (batch,) = take(training(tiny_photographs), 1)
    assert (batch.images.shape, batch.images.dtype) == ((8, 12, 12, 3), np.uint8)
    assert (batch.labels.shape, batch.labels.dtype) == ((8,), np.int32)


def test_grey_images_keep_their_channel(tmp_path):
    examples = {
        split: labelled_images(4, lambda _: (9, 7, 1), seed=0) for split in ("train", "test")
    }
    prepare(tmp_path, "grey_images", image_features((9, 7, 1), 4), examples)
    arguments = {"batch_size": 4, "image_size": 5, "data_dir": str(tmp_path)}
    (train,) = take(train_stream("grey_images", seed=0, **arguments), 1)
    (test,) = evaluation_stream("grey_images", **arguments)
    assert train.images.shape == test.images.shape == (4, 5, 5, 1)
    assert len(describe_stream("grey_images", 5, str(tmp_path)).mean) == 1


def test_depends_on_the_seed_alone(tiny_photographs):
    first, again, other = (take(training(tiny_photographs, seed=s), 3) for s in (1, 1, 2))
    assert_same(first, again)
    assert any((a.labels != b.labels).any() for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize("hosts", [2, 4])
def test_hosts_together_see_what_one_would(tiny_photographs, hosts):
    # 50 examples do not divide among 4 hosts, and batches straddle the epochs.
    shards = [grain.sharding.ShardOptions(i, hosts) for i in range(hosts)]
    parts = [take(training(tiny_photographs, shard=shard), 20) for shard in shards]
    assert_same(interleave(parts), take(training(tiny_photographs), 20))


def test_resumes_from_its_state(tiny_photographs):
    expected = take(training(tiny_photographs), 12)
    iterator = iter(training(tiny_photographs))
    for _ in range(5):
        next(iterator)
    state = iterator.get_state()
    resumed = iter(training(tiny_photographs))
    resumed.set_state(state)
    assert_same([next(resumed) for _ in range(7)], expected[5:])


def batch_sharding() -> NamedSharding:
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    return NamedSharding(mesh, PartitionSpec("data"))


def test_on_the_device_batches_are_the_same_and_sharded(tiny_photographs):
    stream = training(tiny_photographs)
    with contextlib.closing(to_device(stream, batch_sharding())) as iterator:
        batches = take(iterator, 4)
    assert batches[0].images.sharding.is_equivalent_to(batch_sharding(), 4)
    assert len(batches[0].labels.addressable_shards) == 8
    assert_same(batches, take(stream, 4))


def test_on_the_device_it_resumes_from_a_step_and_from_its_state(tiny_photographs):
    stream = training(tiny_photographs)
    expected = take(stream, 12)
    with contextlib.closing(to_device(stream, batch_sharding(), first_step=5)) as iterator:
        assert_same([next(iterator) for _ in range(3)], expected[5:8])
        # Batches read ahead but not yet given do not count.
        state = iterator.get_state()
    with contextlib.closing(to_device(stream, batch_sharding())) as resumed:
        resumed.set_state(state)
        assert_same([next(resumed) for _ in range(4)], expected[8:])


def test_evaluation_shows_every_example_once(tiny_photographs):
    batches = evaluation(tiny_photographs)
    labels = np.concatenate([batch.labels for batch in batches])
    images = np.concatenate([batch.images for batch in batches])
    assert [len(batch.labels) for batch in batches] == [4, 4, 4]
    assert sorted(labels) == [PADDING_LABEL, *range(11)]
    assert images[labels == PADDING_LABEL].max() == 0


def test_evaluation_takes_the_middle_of_the_image(tiny_images):
    # 7/8 of the shorter side of 8 x 6 pixels are 5 pixels: at that size nothing is resized.
    stream = evaluation_stream(
        "tiny_images", batch_size=11, image_size=5, data_dir=tiny_images.data_dir
    )
    (batch,) = stream
    for image, label in zip(*batch, strict=True):
        whole = tiny_images.examples["test"][label]["image"]
        np.testing.assert_array_equal(image, whole[1:6, 0:5])


def test_evaluation_hosts_get_equally_many_batches(tiny_photographs):
    shards = [grain.sharding.ShardOptions(i, 2) for i in range(2)]
    parts = [evaluation(tiny_photographs, shard=shard) for shard in shards]
    assert_same(interleave(parts), evaluation(tiny_photographs))


def test_description(tiny_photographs):
    info = describe_stream("tiny_photographs", 224, tiny_photographs.data_dir)
    assert (info.num_classes, info.image_shape) == (50, (224, 224, 3))
    assert (info.train_size, info.test_size) == (50, 11)
    assert info.mean == (0.485, 0.456, 0.406)


@pytest.mark.parametrize("batch_size", [3, 0, -2])
def test_a_batch_that_hosts_cannot_share_is_refused(batch_size):
    arguments = {"batch_size": batch_size, "image_size": 8}
    arguments["shard"] = grain.sharding.ShardOptions(0, 2)
    expected = f"batch of {batch_size} examples cannot be divided among 2 hosts"
    with pytest.raises(ValueError, match=expected):
        train_stream("cifar10", seed=0, **arguments)
    with pytest.raises(ValueError, match=expected):
        evaluation_stream("cifar10", **arguments)


def test_empty_images_are_refused():
    with pytest.raises(ValueError, match="image_size must be 1 pixel or more, got 0"):
        train_stream("cifar10", batch_size=4, image_size=0, seed=0)
