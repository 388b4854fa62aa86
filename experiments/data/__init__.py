"""Data sets, decoded once, augmented on the device, in an order that resumes exactly.

What fits lives in memory (`load`), what does not is streamed (`train_stream`, `evaluation_stream`).
"""

from experiments.data.arrays import ArrayData, DataInfo, Dataset, split_validation
from experiments.data.augmentation import (
    Augmentation,
    Crops,
    apply_crops,
    augment,
    draw_crops,
    normalize,
)
from experiments.data.catalogue import load
from experiments.data.order import epoch_order

__all__ = [
    "ArrayData",
    "Augmentation",
    "Crops",
    "DataInfo",
    "Dataset",
    "apply_crops",
    "augment",
    "draw_crops",
    "epoch_order",
    "load",
    "normalize",
    "split_validation",
]
