"""Data sets by name."""

import math

from experiments.data.arrays import Dataset, describe
from experiments.data.decoding import decode_split
from experiments.data.digits import load_digits
from experiments.data.prepared import PreparedImages, open_images

# Decoded images that a run may hold: CIFAR takes 0.2 GB, ImageNet at 224 pixels 190 GB.
_MEMORY_LIMIT = 4 * 2**30


def load(name: str, data_dir: str | None = None) -> Dataset:
    """A whole data set, decoded, in memory.

    Args:
        name: "digits", which needs no download, or any image classification data set of
            TensorFlow Datasets with images of one size: "cifar10", "cifar100", "fashion_mnist", ...
        data_dir: where TensorFlow Datasets prepared it; by default its own choice, the environment
            variable TFDS_DATA_DIR or ~/tensorflow_datasets. "digits" does not look.

    Returns:
        The description and the decoded training and test examples.

    Raises:
        ValueError: if no data set has this name, it is not image classification with 8-bit
            images, or it does not fit in memory.
        FileNotFoundError: if it is not prepared; the message gives the command that prepares it.

    >>> load("digits").info.image_shape
    (8, 8, 1)
    """
    if name == "digits":
        return load_digits()
    prepared = open_images(name, data_dir)
    shape = _shape_in_memory(prepared)
    if shape is None:
        raise ValueError(
            f"the images of {name!r} vary in size or are too many to be held in memory: "
            "use train_stream and evaluation_stream"
        )
    train = decode_split(prepared, prepared.train_split, shape)
    test = decode_split(prepared, prepared.test_split, shape)
    return Dataset(describe(name, prepared.num_classes, train, test), train, test)


def fits_in_memory(name: str, data_dir: str | None = None) -> bool:
    """Whether `load` can hold a data set: its images have one size and take at most 4 GiB.

    Args, Raises: as for `load`.

    >>> fits_in_memory("digits")
    True
    """
    return name == "digits" or _shape_in_memory(open_images(name, data_dir)) is not None


def _shape_in_memory(prepared: PreparedImages) -> tuple[int, int, int] | None:
    shape = prepared.fixed_shape
    examples = prepared.size(prepared.train_split) + prepared.size(prepared.test_split)
    if shape is None or examples * math.prod(shape) > _MEMORY_LIMIT:
        return None
    return shape
