"""Data sets by name."""

from experiments.data.arrays import Dataset
from experiments.data.digits import load_digits
from experiments.data.prepared import load_prepared


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
        ValueError: if no data set has this name, or it is not image classification with uint8
            images of one size.
        FileNotFoundError: if it is not prepared; the message gives the command that prepares it.

    >>> load("digits").info.image_shape
    (8, 8, 1)
    """
    return load_digits() if name == "digits" else load_prepared(name, data_dir)
