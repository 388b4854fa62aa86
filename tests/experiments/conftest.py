"""Small runs that the tests of training share."""

from collections.abc import Callable

import pytest

from experiments.config import (
    MLP,
    Data,
    Execution,
    Initialization,
    Optimization,
    TrainConfig,
)

QUIET = Execution(devices=1, progress=False, tensorboard=False)


@pytest.fixture
def quiet() -> Execution:
    """On one device, without a bar and without events."""
    return QUIET


@pytest.fixture
def small_run() -> Callable[..., TrainConfig]:
    """Makes the config of an MLP on the digits, 22 steps of 64 images an epoch."""

    def make(epochs: float = 2, log_steps: int = 1, **optimization: object) -> TrainConfig:
        return TrainConfig(
            model=MLP(features=(16,)),
            init=Initialization(scheme="he"),
            data=Data(batch_size=64, pad=1, flip=True),
            optimization=Optimization(epochs=epochs, **optimization),  # type: ignore[arg-type] -- by name
            log_steps=log_steps,
        )

    return make
