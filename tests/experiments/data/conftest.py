"""Small prepared data sets, and a cache of their own."""

from pathlib import Path

import numpy as np
import pytest
from tiny_data import Prepared, image_features, labelled_images, prepare


@pytest.fixture(autouse=True)
def cache_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the cache of whoever runs it."""
    home = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def tiny_images(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """50 + 11 colour images of 8 x 6 pixels, called tiny_images."""
    return prepare(
        tmp_path_factory.mktemp("tiny_images"),
        "tiny_images",
        image_features((8, 6, 3), 50),
        {
            "train": labelled_images(50, lambda _: (8, 6, 3), seed=0),
            "test": labelled_images(11, lambda _: (8, 6, 3), seed=1),
        },
    )


@pytest.fixture(scope="session")
def tiny_photographs(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """50 + 11 colour images of different sizes, called tiny_photographs."""

    def any_shape(rng: np.random.Generator) -> tuple[int, int, int]:
        return (int(rng.integers(10, 40)), int(rng.integers(10, 40)), 3)

    return prepare(
        tmp_path_factory.mktemp("tiny_photographs"),
        "tiny_photographs",
        image_features((None, None, 3), 50),
        {
            "train": labelled_images(50, any_shape, seed=2),
            "validation": labelled_images(11, any_shape, seed=3),
        },
    )
