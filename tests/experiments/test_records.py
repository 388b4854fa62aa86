"""Records stay those of an uninterrupted run, and the files beside them."""

import json
from pathlib import Path

import numpy as np

from experiments.config import MLP, Execution, TrainConfig
from experiments.milestones import Milestones
from experiments.records import METRICS, SPEED, Records, read_records
from experiments.rundir import differing
from experiments.step import StepMetrics
from experiments.train import train


def chunk(losses: list[float]) -> StepMetrics:
    return StepMetrics(*[np.asarray(losses, np.float32)] * len(StepMetrics._fields))


def test_the_first_step_and_every_so_many_are_recorded(tmp_path: Path) -> None:
    with Records(tmp_path, 0, tensorboard=False) as records:
        records.add_steps(0, chunk([1, 2, 3]), every=4)
        records.add_steps(3, chunk([4, 5, 6, 7, 8]), every=4)
    assert [record["step"] for record in read_records(tmp_path / METRICS)] == [1, 4, 8]
    assert [record["loss"] for record in read_records(tmp_path / METRICS)] == [1.0, 4.0, 8.0]


def test_going_on_drops_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    with Records(tmp_path, 0, tensorboard=False) as records:
        records.add_steps(0, chunk([1, 2, 3, 4]), every=1)
        records.add_speed(4, 100.0)
    with (tmp_path / METRICS).open("a") as file:
        file.write('{"step": 5, "los')  # the process died in the middle of a line
    with Records(tmp_path, 2, tensorboard=False):
        pass
    assert [record["step"] for record in read_records(tmp_path / METRICS)] == [1, 2]
    assert read_records(tmp_path / SPEED) == []


def test_what_a_run_leaves_behind(tmp_path: Path) -> None:
    config = TrainConfig(MLP(features=(4,)), log_steps=5)
    config = type(config)(config.model, optimization=type(config.optimization)(epochs=1))
    result = train(config, tmp_path, Execution(devices=1, progress=False))
    assert (tmp_path / "learning_curve.png").read_bytes().startswith(b"\x89PNG")
    assert list((tmp_path / "tensorboard").glob("events*"))
    assert json.loads((tmp_path / "config.json").read_text())["model_class"] == "MLP"
    train_records = [r for r in read_records(tmp_path / METRICS) if r["split"] == "train"]
    assert set(train_records[0]) == {"step", "split", *StepMetrics._fields}
    assert result.peak_memory > 2**20


def test_milestones_end_at_the_end() -> None:
    milestones = Milestones(total=7, evaluate_every=5, save_every=None)
    assert [milestones.after(step) for step in (0, 4, 5, 6)] == [5, 5, 7, 7]
    assert [step for step in range(1, 8) if milestones.evaluates(step)] == [5, 7]


def test_differences_are_named_by_path() -> None:
    old, new = {"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}, "d": None}
    assert differing(old, new) == ["a.c was 2 and is 3"]
