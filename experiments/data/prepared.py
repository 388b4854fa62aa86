"""Data sets that TensorFlow Datasets prepared, found and checked without TensorFlow."""

import difflib
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

# What to evaluate on: the first of these that a data set has, else the last tenth of train (the
# examples lie in random order). The test labels of ImageNet were never published.
_EVALUATION_SPLITS = ("test", "validation")
_UNLABELLED_TEST = ("imagenet2012",)
_RANDOM_ACCESS = ("ARRAY_RECORD", "PARQUET")


@dataclass(frozen=True)
class PreparedImages:
    """A prepared image classification data set and what to read from it.

    Args:
        builder: TensorFlow Datasets' own handle; its types are too loose to check.
        image: name of the feature that holds the image.
        label: name of the feature that holds the label.
        image_shape: (height, width, channels); height and width are None where they vary.
        num_classes: labels are 0 .. num_classes - 1.
        train_split: what to train on.
        test_split: what to evaluate on.
    """

    builder: Any
    image: str
    label: str
    image_shape: tuple[int | None, int | None, int]
    num_classes: int
    train_split: str
    test_split: str

    @property
    def fixed_shape(self) -> tuple[int, int, int] | None:
        """(height, width, channels) where all images have one size, else None."""
        height, width, channels = self.image_shape
        return None if height is None or width is None else (height, width, channels)

    def size(self, split: str) -> int:
        """Number of examples in a split."""
        return self.builder.info.splits[split].num_examples


def open_images(name: str, data_dir: str | None) -> PreparedImages:
    """Find a prepared image classification data set, or say how to get it.

    Args:
        name: as TensorFlow Datasets knows it, followed by /config where it has configurations.
        data_dir: where to look; None for TensorFlow Datasets' default.

    Returns:
        A handle; nothing is read yet.

    Raises:
        ValueError: if no data set has this name, or it is not image classification.
        FileNotFoundError: if it is not prepared there in a format with random access.
    """
    builder = open_builder(name, data_dir)
    image, label = _supervised_features(name, builder.info)
    train_split, test_split = _choose_splits(name, builder)
    return PreparedImages(
        builder,
        image,
        label,
        image_shape=builder.info.features[image].shape,
        num_classes=builder.info.features[label].num_classes,
        train_split=train_split,
        test_split=test_split,
    )


def open_builder(name: str, data_dir: str | None) -> Any:
    """TensorFlow Datasets' handle on any prepared data set; raises as `open_images` does."""
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        raise ValueError(
            f"no data set is called {name!r}; the nearest names are {', '.join(_nearest(name))}"
        ) from None
    info: Any = builder.info
    if not info.splits or info.file_format.name not in _RANDOM_ACCESS:
        raise FileNotFoundError(_how_to_prepare(name, data_dir, builder.data_dir))
    return builder


def _nearest(name: str) -> list[str]:
    known = ["digits", *tfds.list_builders(with_community_datasets=False)]
    return difflib.get_close_matches(name, known) or ["digits", "cifar10", "fashion_mnist"]


def _how_to_prepare(name: str, data_dir: str | None, looked_in: str) -> str:
    where = "" if data_dir is None else f", data_dir={data_dir!r}"
    return (
        f"data set {name!r} is not prepared as array_record in {looked_in}. Prepare it once "
        "(writing needs tensorflow installed, reading does not):\n"
        '  python -c "import tensorflow_datasets as tfds; '
        f"tfds.builder({name!r}{where}, file_format='array_record').download_and_prepare()\""
    )


def _supervised_features(name: str, info: Any) -> tuple[str, str]:
    features = dict(info.features.items())
    keys = info.supervised_keys
    image, label = keys if keys and len(keys) == 2 else ("image", "label")
    if not _is_image(features.get(image)) or not _is_label(features.get(label)):
        found = ", ".join(
            f"{key}: {type(feature).__name__}" for key, feature in sorted(features.items())
        )
        raise ValueError(
            f"{name!r} is not image classification: it has {found}; an 8-bit Image and a "
            "ClassLabel are needed"
        )
    return image, label


def _is_image(feature: Any) -> bool:
    return isinstance(feature, tfds.features.Image) and feature.np_dtype == np.uint8


def _is_label(feature: Any) -> bool:
    return isinstance(feature, tfds.features.ClassLabel)


def _choose_splits(name: str, builder: Any) -> tuple[str, str]:
    splits = set(builder.info.splits)
    if builder.name in _UNLABELLED_TEST:
        splits.discard("test")
    if "train" not in splits:
        raise ValueError(f"{name!r} has no split called train, only {', '.join(sorted(splits))}")
    for split in _EVALUATION_SPLITS:
        if split in splits:
            return "train", split
    return "train[:90%]", "train[90%:]"
