"""A decoded image data set: its description, its arrays, and a stratified split."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

_CHUNK = 1000


@dataclass(frozen=True)
class DataInfo:
    """What a model and an optimizer need to know of a data set.

    Args:
        name: the name it was loaded by.
        num_classes: labels are 0 .. num_classes - 1.
        image_shape: (height, width, channels) in pixels.
        train_size: number of training examples.
        test_size: number of test examples.
        mean: per channel, of the training pixels, in units where white is 1.
        std: per channel, likewise.
    """

    name: str
    num_classes: int
    image_shape: tuple[int, int, int]
    train_size: int
    test_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


class ArrayData(NamedTuple):
    """Decoded examples: images uint8 (N, H, W, C) and labels int32 (N,)."""

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Dataset:
    """A description with the decoded training and test examples."""

    info: DataInfo
    train: ArrayData
    test: ArrayData


def describe(name: str, num_classes: int, train: ArrayData, test: ArrayData) -> DataInfo:
    """The description of decoded arrays; mean and std are those of the training pixels."""
    mean, std = channel_moments(train.images)
    return DataInfo(
        name=name,
        num_classes=num_classes,
        image_shape=train.images.shape[1:],
        train_size=len(train.labels),
        test_size=len(test.labels),
        mean=mean,
        std=std,
    )


def channel_moments(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel of uint8 images, in units where white is 1.

    Exact: an 8-bit channel is summed up by its 256 counts, in integers. A constant channel gets
    std 1, so that normalizing it gives zeros instead of a division by zero.
    """
    # In chunks, because counting widens the pixels to 64 bits.
    chunks = (images[i : i + _CHUNK] for i in range(0, len(images), _CHUNK))
    counts = sum((_level_counts(chunk) for chunk in chunks), start=np.zeros((1, 256), np.int64))
    mean, variance = zip(*map(_moments, counts.tolist()), strict=True)
    return mean, tuple(v**0.5 or 1.0 for v in variance)


def _level_counts(images: np.ndarray) -> np.ndarray:
    channels = np.moveaxis(images, -1, 0)
    return np.stack([np.bincount(channel.ravel(), minlength=256) for channel in channels])


def _moments(counts: list[int]) -> tuple[float, float]:
    pixels = sum(counts)
    first = sum(level * count for level, count in enumerate(counts))
    second = sum(level**2 * count for level, count in enumerate(counts))
    return first / (255 * pixels), (pixels * second - first**2) / (255 * pixels) ** 2


def split_validation(data: ArrayData, fraction: float, seed: int) -> tuple[ArrayData, ArrayData]:
    """Hold out `fraction` of every class.

    Of a class with n examples, round(fraction * n) are held out, chosen at random. Both parts keep
    the order of `data`.

    Args:
        data: N decoded examples.
        fraction: share to hold out, in (0, 1).
        seed: chooses the examples; the same seed gives the same split.

    Returns:
        (kept, held out).

    Raises:
        ValueError: if `fraction` is outside (0, 1), or one of the parts would be empty.

    >>> data = ArrayData(np.zeros((10, 2, 2, 1), np.uint8), np.arange(10, dtype=np.int32) % 2)
    >>> kept, held_out = split_validation(data, fraction=0.2, seed=0)
    >>> len(kept.labels), sorted(held_out.labels.tolist())
    (8, [0, 1])
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction to hold out must lie in (0, 1), got {fraction}")
    rng = np.random.default_rng(seed)
    held_out = np.zeros(len(data.labels), bool)
    for label in np.unique(data.labels):
        members = rng.permutation(np.flatnonzero(data.labels == label))
        held_out[members[: round(fraction * len(members))]] = True
    if held_out.all() or not held_out.any():
        raise ValueError(
            f"holding out {fraction} of each class of {len(data.labels)} examples leaves one part "
            "empty; choose another fraction"
        )
    return _select(data, ~held_out), _select(data, held_out)


def _select(data: ArrayData, mask: np.ndarray) -> ArrayData:
    return ArrayData(data.images[mask], data.labels[mask])
