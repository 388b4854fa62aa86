"""A data set in memory is loaded once for runs that follow one another, and nobody changes it."""

import jax
import pytest

from experiments import images as images_module
from experiments.config import MLP, Data, Execution, TrainConfig
from experiments.data import Dataset, load
from experiments.images import open_images, whole_data_set
from experiments.sharded import Sharded


def test_runs_that_follow_one_another_load_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loads = []

    def counted(name: str, data_dir: str | None) -> Dataset:
        loads.append(name)
        return load(name, data_dir)

    monkeypatch.setattr(images_module, "load", counted)
    whole_data_set.cache_clear()
    mesh = Sharded(jax.devices()[:1])
    sizes = {}
    for shrink, validation in ((1, 0.0), (1, 0.2), (2, 0.0)):
        config = TrainConfig(MLP(), data=Data(shrink=shrink, validation=validation))
        sizes[shrink, validation] = open_images(config, Execution(devices=1), mesh).info
    assert len(loads) == 2  # as they are, and shrunk
    assert sizes[2, 0.0].image_shape == (4, 4, 1)
    assert sizes[1, 0.2].train_size < sizes[1, 0.0].train_size == sizes[2, 0.0].train_size


def test_what_is_shared_cannot_be_written() -> None:
    dataset = whole_data_set("digits", None, 2)
    for array in (*dataset.train, *dataset.test):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
