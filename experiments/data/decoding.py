"""Decode a whole split into arrays, in threads."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import tensorflow_datasets as tfds
from rich.console import Console
from rich.progress import track

_CHUNK = 500


def decode_split(
    builder: tfds.core.DatasetBuilder, split: str, image: str, label: str
) -> tuple[np.ndarray, np.ndarray]:
    """All images and labels of a split whose images have one size.

    Args:
        builder: of a prepared data set.
        split: name of the split, or a slice of one.
        image: name of the image feature, uint8 of shape (H, W, C).
        label: name of the label feature.

    Returns:
        images uint8 (N, H, W, C) and labels int32 (N,).
    """
    source = builder.as_data_source(split)
    images = np.empty((len(source), *builder.info.features[image].shape), np.uint8)
    labels = np.empty(len(source), np.int32)

    def decode(chunk: range) -> None:
        examples = source.__getitems__(list(chunk))
        images[chunk.start : chunk.stop] = [example[image] for example in examples]
        labels[chunk.start : chunk.stop] = [example[label] for example in examples]

    chunks = [range(i, min(i + _CHUNK, len(source))) for i in range(0, len(source), _CHUNK)]
    console = Console(stderr=True)
    with ThreadPoolExecutor() as threads:
        for _ in track(
            threads.map(decode, chunks),
            f"Decoding {builder.name} {split}",
            total=len(chunks),
            console=console,
            disable=not console.is_terminal,
        ):
            pass
    return images, labels
