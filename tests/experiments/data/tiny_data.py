"""Prepare small data sets with TensorFlow Datasets itself, without TensorFlow."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import tensorflow_datasets as tfds


class Prepared(NamedTuple):
    """Where a data set was prepared, and what went into it: split -> list of examples."""

    data_dir: str
    examples: dict[str, list[dict[str, Any]]]


def png(image: np.ndarray) -> io.BytesIO:
    """An encoded RGB or grey image; TensorFlow Datasets stores encoded images as they are."""
    stored = image if image.shape[-1] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    return io.BytesIO(cv2.imencode(".png", stored)[1].tobytes())


def prepare(
    data_dir: Path,
    name: str,
    features: dict[str, Any],
    examples: dict[str, list[dict[str, Any]]],
    supervised: tuple[str, str] | None = None,
) -> Prepared:
    """Prepare a data set as array_record through TensorFlow Datasets' own writer."""

    def info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=supervised,
        )

    def encoded(example: dict[str, Any]) -> dict[str, Any]:
        return {
            key: png(value) if isinstance(value, np.ndarray) else value
            for key, value in example.items()
        }

    def generate(_, split: str):
        return ((i, encoded(example)) for i, example in enumerate(examples[split]))

    with tfds.core.registered.skip_registration():
        builder_class = type(
            "".join(word.title() for word in name.split("_")),
            (tfds.core.GeneratorBasedBuilder,),
            {
                "VERSION": tfds.core.Version("1.0.0"),
                "_info": info,
                "_split_generators": lambda self, _: {s: generate(self, s) for s in examples},
                "_generate_examples": generate,
            },
        )
    builder_class(data_dir=data_dir, file_format="array_record").download_and_prepare()
    return Prepared(str(data_dir), examples)


def labelled_images(
    count: int, shape: Callable[[np.random.Generator], tuple[int, int, int]], seed: int
) -> list[dict[str, Any]]:
    """Noise images; the label of the i-th is i, so that a batch tells which examples it has."""
    rng = np.random.default_rng(seed)
    return [
        {"image": rng.integers(0, 256, shape(rng), dtype=np.uint8), "label": i}
        for i in range(count)
    ]


def image_features(shape: tuple[int | None, int | None, int], num_classes: int) -> dict[str, Any]:
    return {
        "image": tfds.features.Image(shape=shape),
        "label": tfds.features.ClassLabel(num_classes=num_classes),
    }
