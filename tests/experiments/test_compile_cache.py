"""Runs that differ in learning rate, seed or scheme share their compiled programs."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from experiments.config import (
    MLP,
    Data,
    Execution,
    Initialization,
    Optimization,
    TrainConfig,
)
from experiments.experiment import set_up

SETTINGS = {
    "jax_compilation_cache_dir": None,
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": 0,
}


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Path]:
    """A directory in which every program is kept, however small."""
    before = {name: getattr(jax.config, name) for name in SETTINGS}
    for name, value in (SETTINGS | {"jax_compilation_cache_dir": str(tmp_path)}).items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield tmp_path
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def train_steps(cache: Path) -> int:
    """Compiled training steps that the cache holds."""
    return len(list(cache.glob("jit_resident_step*-cache")))


def run_two_steps(config: TrainConfig) -> float:
    """Loss after the first update."""
    experiment = set_up(config, Execution(devices=1))
    _, metrics = experiment.feed.run(experiment.initial, 0, 2)
    return float(metrics.loss[1])


def test_one_compiled_step_serves_all_learning_rates_seeds_and_schemes(cache: Path) -> None:
    config = TrainConfig(
        MLP(features=(8, 8)),
        Initialization("he"),
        Data(batch_size=64),
        Optimization(learning_rate=0.1, epochs=1),
    )
    losses = [run_two_steps(config)]
    assert train_steps(cache) == 1
    for change in (
        {"optimization": dataclasses.replace(config.optimization, learning_rate=0.02)},
        {"seed": 7},
        {"init": Initialization("idinit", layout="patch")},
    ):
        losses.append(run_two_steps(dataclasses.replace(config, **change)))
    assert train_steps(cache) == 1
    assert len(set(losses)) == 4
    run_two_steps(dataclasses.replace(config, model=MLP(features=(8,))))
    assert train_steps(cache) == 2
