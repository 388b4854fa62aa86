"""Decode a whole split into arrays, once: the result is kept on disk."""

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from experiments.data.arrays import ArrayData
from experiments.data.cache import cached
from experiments.data.prepared import PreparedImages

_CHUNK = 500


def decode_split(
    prepared: PreparedImages, split: str, image_shape: tuple[int, int, int]
) -> ArrayData:
    """All images and labels of a split whose images have one size.

    Decoded in threads on the first call; later calls read a cached copy, which is made anew when
    the prepared files change.

    Args:
        prepared: the data set.
        split: name of the split, or a slice of one.
        image_shape: (height, width, channels) of every image.

    Returns:
        The examples in the order of the files.

    Raises:
        ValueError: if a label lies outside 0 .. num_classes - 1.
    """
    data = cached(_cache_name(prepared, split), lambda: _decode(prepared, split, image_shape))
    low, high = data.labels.min(), data.labels.max()
    if low < 0 or high >= prepared.num_classes:
        raise ValueError(
            f"labels of {prepared.builder.name!r} {split} lie in {low} .. {high}, outside of "
            f"0 .. {prepared.num_classes - 1}"
        )
    return data


def _decode(prepared: PreparedImages, split: str, image_shape: tuple[int, int, int]) -> ArrayData:
    source = prepared.builder.as_data_source(split)
    images = np.empty((len(source), *image_shape), np.uint8)
    labels = np.empty(len(source), np.int32)

    def decode(chunk: range) -> None:
        examples = source.__getitems__(list(chunk))
        images[chunk.start : chunk.stop] = [example[prepared.image] for example in examples]
        labels[chunk.start : chunk.stop] = [example[prepared.label] for example in examples]

    chunks = [range(i, min(i + _CHUNK, len(source))) for i in range(0, len(source), _CHUNK)]
    console = Console(stderr=True)
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for _ in track(
            threads.map(decode, chunks),
            f"Decoding {prepared.builder.name} {split}",
            total=len(chunks),
            console=console,
            disable=not console.is_terminal,
        ):
            pass
    return ArrayData(images, labels)


def _cache_name(prepared: PreparedImages, split: str) -> str:
    # Names, sizes and times of the prepared files stand for their content.
    digest = hashlib.sha256(split.encode())
    for file in sorted(Path(prepared.builder.data_dir).iterdir()):
        status = file.stat()
        digest.update(f"{file.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return f"{prepared.builder.info.full_name.replace('/', '-')}-{digest.hexdigest()[:16]}"
