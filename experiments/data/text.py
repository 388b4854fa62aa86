"""Text data sets, as bytes."""

from typing import NamedTuple

import numpy as np

from experiments.data.prepared import open_builder


class TextData(NamedTuple):
    """Three texts as bytes, each uint8 (N,)."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def load_text(name: str = "tiny_shakespeare", data_dir: str | None = None) -> TextData:
    """The text of a data set of TensorFlow Datasets that has a feature called text.

    Args:
        name: with splits train, validation and test.
        data_dir: as for `load`.

    Returns:
        The texts of each split, joined.

    Raises:
        ValueError: if no data set has this name, or it lacks text or a split.
        FileNotFoundError: if it is not prepared; the message gives the command that prepares it.
    """
    builder = open_builder(name, data_dir)
    features, splits = set(dict(builder.info.features.items())), set(builder.info.splits)
    if "text" not in features or not set(TextData._fields) <= splits:
        raise ValueError(
            f"{name!r} has the features {sorted(features)} and the splits {sorted(splits)}; text "
            f"and {', '.join(TextData._fields)} are needed"
        )
    return TextData(*(_join(builder.as_data_source(split)) for split in TextData._fields))


def _join(source) -> np.ndarray:
    return np.frombuffer(b"".join(example["text"] for example in source), np.uint8)
