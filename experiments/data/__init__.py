"""Data sets, decoded once, augmented on the device, in an order that resumes exactly.

What fits lives in memory (`load`), what does not is streamed (`train_stream`, `evaluation_stream`);
`fits_in_memory` tells which.
"""

from experiments.data.arrays import ArrayData, DataInfo, Dataset, split_validation
from experiments.data.augmentation import Augmentation, Draws, apply, augment, draw, normalize
from experiments.data.catalogue import fits_in_memory, load
from experiments.data.order import epoch_order
from experiments.data.selection import Selection
from experiments.data.shrinking import shrink
from experiments.data.stream import (
    PADDING_LABEL,
    describe_stream,
    evaluation_stream,
    to_device,
    train_stream,
)
from experiments.data.text import TextData, load_text

__all__ = [
    "PADDING_LABEL",
    "ArrayData",
    "Augmentation",
    "DataInfo",
    "Dataset",
    "Draws",
    "Selection",
    "TextData",
    "apply",
    "augment",
    "describe_stream",
    "draw",
    "epoch_order",
    "evaluation_stream",
    "fits_in_memory",
    "load",
    "load_text",
    "normalize",
    "shrink",
    "split_validation",
    "to_device",
    "train_stream",
]
