"""Evaluation is exact whatever the batch size, the padding and the devices."""

import jax
import numpy as np
import pytest

from experiments.config import MLP, Data, Execution, Initialization, TrainConfig
from experiments.data import load
from experiments.experiment import set_up


@pytest.mark.parametrize("devices", [1, 8])
def test_loss_and_accuracy_equal_those_of_the_whole_split(devices: int) -> None:
    """359 test digits do not fill batches of 500, nor of 504 on 8 devices."""
    config = TrainConfig(MLP(features=(16,)), Initialization("he"), Data(batch_size=64))
    experiment = set_up(config, Execution(devices=devices))
    given = experiment.evaluate(experiment.initial)

    digits = load("digits")
    inputs = (digits.test.images / 255 - digits.info.mean) / digits.info.std
    params = jax.tree.map(lambda x: np.asarray(x, np.float64), experiment.initial.params)
    hidden = inputs.reshape(359, -1) @ params["dense_0"]["kernel"] + params["dense_0"]["bias"]
    logits = np.maximum(hidden, 0) @ params["head"]["kernel"] + params["head"]["bias"]
    log_normalizer = np.log(np.exp(logits).sum(axis=1))
    losses = log_normalizer - logits[np.arange(359), digits.test.labels]
    assert given.loss == pytest.approx(losses.mean(), rel=1e-5)
    assert given.accuracy == (logits.argmax(axis=1) == digits.test.labels).mean()


def test_validation_images_are_held_out_of_training() -> None:
    config = TrainConfig(MLP(features=(4,)), data=Data(batch_size=64, validation=0.25))
    experiment = set_up(config, Execution(devices=1))
    assert experiment.split == "validation"
    assert experiment.steps_per_epoch == (1438 - 359) // 64


@pytest.mark.parametrize(
    ("data", "execution", "message"),
    [
        (Data(batch_size=63), Execution(devices=2), "multiple of the 2 devices, got 63"),
        (Data(batch_size=2000), Execution(devices=1), "more than the 1438 training images"),
        (Data(image_size=8, shrink=2), Execution(devices=1), "needs the data set in memory"),
        (Data(shrink=3), Execution(devices=1), "--shrink must divide images of 8 x 8, got 3"),
        (Data(), Execution(devices=99), "--devices must lie in 1 .. 8, got 99"),
        (Data(dataset="digit"), Execution(devices=1), "digits"),
    ],
)
def test_what_cannot_be_run_is_refused(data: Data, execution: Execution, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        set_up(TrainConfig(MLP(), data=data), execution)
