"""Training on a data set that is streamed: parallel and resumed like one in memory."""

from pathlib import Path

import numpy as np
import pytest
from tiny_data import Prepared

from experiments.config import MLP, Data, Execution, Optimization, TrainConfig
from experiments.experiment import set_up
from experiments.records import METRICS, read_records
from experiments.train import train

pytestmark = pytest.mark.usefixtures("quick_compilation")


def config_for(epochs: float) -> TrainConfig:
    return TrainConfig(
        MLP(features=(8,)),
        data=Data(dataset="tiny_photographs", image_size=8, batch_size=8, flip=True),
        optimization=Optimization(epochs=epochs, learning_rate=0.01),
        log_steps=1,
    )


def execution_for(prepared: Prepared, **changes: object) -> Execution:
    return Execution(
        data_dir=prepared.data_dir,
        progress=False,
        tensorboard=False,
        checkpoint_steps=4,
        **{"devices": 1, **changes},  # type: ignore[arg-type] -- fields by name
    )


def losses(run_dir: Path) -> list[float]:
    return [record["loss"] for record in read_records(run_dir / METRICS)]


def test_a_streamed_run_is_the_same_by_pmap(tiny_photographs: Prepared, tmp_path: Path) -> None:
    config = config_for(epochs=1)
    result = train(config, tmp_path / "jit", execution_for(tiny_photographs))
    assert result.step == 50 // 8
    train(config, tmp_path / "pmap", execution_for(tiny_photographs, parallel="pmap", devices=2))
    np.testing.assert_allclose(losses(tmp_path / "pmap"), losses(tmp_path / "jit"), rtol=1e-4)


def test_a_feed_taken_up_in_the_middle_gives_the_same_steps(tiny_photographs: Prepared) -> None:
    config, execution = config_for(epochs=2), execution_for(tiny_photographs)
    whole = set_up(config, execution)
    state, first = whole.feed.run(whole.initial, 0, 3)
    _, expected = whole.feed.run(state, 3, 5)

    again = set_up(config, execution)
    state, repeated = again.feed.run(again.initial, 0, 3)
    fresh = set_up(config, execution).feed  # has not seen the first three batches
    _, given = fresh.run(state, 3, 5)
    np.testing.assert_array_equal(np.stack(repeated), np.stack(first))
    np.testing.assert_array_equal(np.stack(given), np.stack(expected))
