"""Image classification data sets that TensorFlow Datasets prepared, read without TensorFlow."""

import difflib
from dataclasses import dataclass

import numpy as np
import tensorflow_datasets as tfds

from experiments.data.arrays import ArrayData, Dataset, describe
from experiments.data.decoding import decode_split

# Splits to evaluate on, the first that exists; ImageNet's test labels are not public.
_EVALUATION_SPLITS = ("test", "validation")
_UNLABELLED_TEST = ("imagenet2012",)


@dataclass(frozen=True)
class Prepared:
    """A prepared data set: where it is, and which of its features and splits to use.

    Args:
        builder: TensorFlow Datasets' own handle on the data set.
        image: name of the image feature.
        label: name of the label feature.
        train_split: what to train on.
        test_split: what to evaluate on.
    """

    builder: tfds.core.DatasetBuilder
    image: str
    label: str
    train_split: str
    test_split: str

    @property
    def num_classes(self) -> int:
        """Labels are 0 .. num_classes - 1."""
        return self.builder.info.features[self.label].num_classes

    @property
    def image_shape(self) -> tuple[int | None, int | None, int]:
        """(height, width, channels); None where it varies between images."""
        return self.builder.info.features[self.image].shape

    def size(self, split: str) -> int:
        """Number of examples in a split."""
        return self.builder.info.splits[split].num_examples


def open_prepared(name: str, data_dir: str | None) -> Prepared:
    """Find a prepared image classification data set, or say how to get it.

    Args:
        name: as TensorFlow Datasets knows it, with `/config` where it has configurations.
        data_dir: where to look; None for TensorFlow Datasets' default.

    Raises:
        ValueError: if no data set has this name, or it is not image classification.
        FileNotFoundError: if it is not prepared there in a format with random access.
    """
    builder = _builder(name, data_dir)
    _require_prepared(builder, name, data_dir)
    image, label = _supervised_features(builder, name)
    train_split, test_split = _choose_splits(builder, name)
    return Prepared(builder, image, label, train_split, test_split)


def load_prepared(name: str, data_dir: str | None) -> Dataset:
    """Decode all of a prepared data set whose images have one size; see `load`."""
    prepared = open_prepared(name, data_dir)
    if None in prepared.image_shape:
        raise ValueError(
            f"the images of {name!r} vary in size, {prepared.image_shape}, and are not held in "
            "memory: use train_stream and evaluation_stream"
        )
    train, test = (
        ArrayData(*decode_split(prepared.builder, split, prepared.image, prepared.label))
        for split in (prepared.train_split, prepared.test_split)
    )
    return Dataset(describe(name, prepared.num_classes, train, test), train, test)


def _builder(name: str, data_dir: str | None) -> tfds.core.DatasetBuilder:
    try:
        return tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        known = ["digits", *tfds.list_builders(with_community_datasets=False)]
        nearest = difflib.get_close_matches(name, known) or ["digits", "cifar10", "fashion_mnist"]
        raise ValueError(
            f"no data set is called {name!r}; the nearest names are {', '.join(nearest)}"
        ) from None


def _require_prepared(builder: tfds.core.DatasetBuilder, name: str, data_dir: str | None) -> None:
    if builder.info.splits and builder.info.file_format.name in ("ARRAY_RECORD", "PARQUET"):
        return
    where = "" if data_dir is None else f", data_dir={data_dir!r}"
    raise FileNotFoundError(
        f"data set {name!r} is not prepared as array_record in {builder.data_dir}. Prepare it once "
        "(writing needs tensorflow installed, reading does not):\n"
        '  python -c "import tensorflow_datasets as tfds; '
        f"tfds.builder({name!r}{where}, file_format='array_record').download_and_prepare()\""
    )


def _supervised_features(builder: tfds.core.DatasetBuilder, name: str) -> tuple[str, str]:
    image, label = builder.info.supervised_keys or ("image", "label")
    features = dict(builder.info.features.items())
    if (
        isinstance(features.get(image), tfds.features.Image)
        and isinstance(features.get(label), tfds.features.ClassLabel)
        and features[image].np_dtype == np.uint8
    ):
        return image, label
    raise ValueError(
        f"{name!r} is not image classification: it needs a uint8 Image and a ClassLabel, and has "
        + ", ".join(f"{key}: {type(feature).__name__}" for key, feature in features.items())
    )


def _choose_splits(builder: tfds.core.DatasetBuilder, name: str) -> tuple[str, str]:
    splits = set(builder.info.splits)
    if builder.name in _UNLABELLED_TEST:
        splits -= {"test"}
    if "train" not in splits:
        raise ValueError(f"{name!r} has no split called train, only {', '.join(sorted(splits))}")
    for candidate in _EVALUATION_SPLITS:
        if candidate in splits:
            return "train", candidate
    # Preparing shuffles, so that the last tenth is a fair sample.
    return "train[:90%]", "train[90%:]"
