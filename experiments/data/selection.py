"""Which of its examples a streamed data set is trained and evaluated on."""

import dataclasses
from typing import NamedTuple

from experiments.data.prepared import PreparedImages


class Selection(NamedTuple):
    """A part of the examples; by default all to train on, and the test split to evaluate on.

    Args:
        validation: share of the training examples to hold out, the last in the files, and to
            evaluate on instead of the test split; in [0, 1).
        train_examples: train on the first so many of the others only; None for all.
    """

    validation: float = 0.0
    train_examples: int | None = None


EVERYTHING = Selection()


def select(prepared: PreparedImages, selection: Selection) -> PreparedImages:
    """The same data set with other splits; nothing is read.

    Of n training examples, round(validation * n) are held out. They lie in the files in random
    order, so that the last of them are a random sample.

    Args:
        prepared: as `open_images` found it.
        selection: the part of it.

    Returns:
        A handle whose train and test split have no example in common.

    Raises:
        ValueError: if `validation` is outside [0, 1), `train_examples` is below 1, or one of the
            parts would be empty.
    """
    validation, train_examples = selection
    if not 0 <= validation < 1:
        raise ValueError(f"fraction to hold out must lie in [0, 1), got {validation}")
    if train_examples is not None and train_examples < 1:
        raise ValueError(f"train_examples must be 1 or more, got {train_examples}")
    size = prepared.size(prepared.train_split)
    kept = size - round(validation * size)
    if validation and kept in (0, size):
        raise ValueError(
            f"holding out {validation} of {size} examples leaves one part empty; "
            "choose another fraction"
        )
    used = kept if train_examples is None else min(train_examples, kept)
    # Every training split starts at the first example of train.
    return dataclasses.replace(
        prepared,
        train_split=f"train[:{used}]",
        test_split=f"train[{kept}:{size}]" if validation else prepared.test_split,
    )
