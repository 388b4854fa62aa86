"""Smaller images for smaller machines."""

import numpy as np

from experiments.data.arrays import ArrayData, Dataset, describe

_CHUNK = 1000


def shrink(dataset: Dataset, factor: int) -> Dataset:
    """The same examples, every ``factor`` x ``factor`` pixels averaged to one of 8 bits.

    Args:
        dataset: with images of one size.
        factor: a divisor of the images' height and width; 1 changes nothing.

    Returns:
        A data set with a description of its own.

    Raises:
        ValueError: if ``factor`` does not divide the images.

    >>> ramp = ArrayData(np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1), np.zeros(1, np.int32))
    >>> small = shrink(Dataset(describe("ramp", 1, ramp, ramp), ramp, ramp), 2)
    >>> small.train.images[0, :, :, 0].tolist()
    [[2, 4], [10, 12]]
    """
    if factor == 1:
        return dataset
    height, width, _ = dataset.info.image_shape
    if factor < 1 or height % factor or width % factor:
        raise ValueError(f"--shrink must divide images of {height} x {width}, got {factor}")
    train, test = (
        ArrayData(_averaged(data.images, factor), data.labels)
        for data in (dataset.train, dataset.test)
    )
    return Dataset(describe(dataset.info.name, dataset.info.num_classes, train, test), train, test)


def _averaged(images: np.ndarray, factor: int) -> np.ndarray:
    count, height, width, channels = images.shape
    small = np.empty((count, height // factor, width // factor, channels), np.uint8)
    for start in range(0, count, _CHUNK):  # in chunks, because sums are wider than pixels
        part = images[start : start + _CHUNK]
        tiles = part.reshape(len(part), height // factor, factor, width // factor, factor, channels)
        small[start : start + _CHUNK] = np.rint(tiles.mean(axis=(2, 4), dtype=np.float32))
    return small
