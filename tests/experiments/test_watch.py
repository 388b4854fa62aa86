"""The signal recorded during a run: the run's own, once a step, and the run none the wiser."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import jax
import numpy as np
import pytest

from experiments import watch as watch_module
from experiments.config import CifarResNet, Data, Execution, Optimization, TrainConfig
from experiments.milestones import Milestones
from experiments.records import METRICS, SIGNAL, read_records
from experiments.train import RunResult, train

EVERY = 5


def watching(parallel: Literal["jit", "pmap"] = "jit", devices: int = 1) -> Execution:
    return Execution(
        parallel=parallel,
        devices=devices,
        progress=False,
        tensorboard=False,
        signal_every=EVERY,
        checkpoint_steps=7,
        keep_last=10,
    )


def bits(result: RunResult) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(result.state.params)]


def test_a_watched_run_ends_with_the_same_bits_and_compiles_the_watch_once(
    tmp_path: Path,
    small_run: Callable[..., TrainConfig],
    quiet: Execution,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    traces = []
    augmented = watch_module.augmented

    def counted(*arguments: object) -> object:
        traces.append(1)
        return augmented(*arguments)  # type: ignore[arg-type] -- passed through

    monkeypatch.setattr(watch_module, "augmented", counted)
    config = small_run(epochs=1)
    plain = train(config, tmp_path / "plain", quiet)
    watched = train(config, tmp_path / "watched", watching())
    assert len(traces) == 1
    assert bits(watched) == bits(plain)
    metrics = (tmp_path / "plain" / METRICS).read_bytes()
    assert (tmp_path / "watched" / METRICS).read_bytes() == metrics
    assert not (tmp_path / "plain" / SIGNAL).exists()


@pytest.mark.parametrize(("parallel", "devices"), [("jit", 2), ("pmap", 2)])
def test_the_records_are_those_of_the_step_they_name(
    parallel: Literal["jit", "pmap"],
    devices: int,
    tmp_path: Path,
    small_run: Callable[..., TrainConfig],
) -> None:
    """The step itself took the same gradient of the same batch at the same parameters."""
    train(small_run(epochs=1), tmp_path, watching(parallel, devices))
    signal, metrics = read_records(tmp_path / SIGNAL), read_records(tmp_path / METRICS)
    assert sorted({row["step"] for row in signal}) == [1, 5, 10, 15, 20]
    for step in (1, 5, 20):
        parameters = [r for r in signal if r["step"] == step and r["table"] == "parameters"]
        (taken,) = [r for r in metrics if r["step"] == step and r["split"] == "train"]
        gradient = np.sqrt(sum(row["gradient_norm"] ** 2 for row in parameters))
        norm = np.sqrt(sum(row["norm"] ** 2 for row in parameters))
        assert gradient == pytest.approx(taken["gradient_norm"], rel=1e-4)
        assert norm == pytest.approx(taken["parameter_norm"], rel=1e-4)


def test_a_resumed_run_records_no_step_twice(
    tmp_path: Path, small_run: Callable[..., TrainConfig]
) -> None:
    config = small_run(epochs=1)
    train(config, tmp_path / "whole", watching())
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    for step in (21, 22):
        shutil.rmtree(tmp_path / "cut" / "checkpoints" / str(step))
    with (tmp_path / "cut" / SIGNAL).open("a") as file:
        file.write('{"step": 23, "tab')  # the process died in the middle of a line
    assert train(config, tmp_path / "cut", watching()).finished
    expected = (tmp_path / "whole" / SIGNAL).read_bytes()
    assert (tmp_path / "cut" / SIGNAL).read_bytes() == expected


def test_a_scanned_network_is_recorded_layer_by_layer_in_strict_json_and_events(
    tmp_path: Path,
) -> None:
    config = TrainConfig(
        CifarResNet(depth=20, scan=True),
        data=Data(batch_size=16, train_examples=16),
        optimization=Optimization(epochs=1),
    )
    execution = Execution(devices=1, progress=False, signal_every=1)
    train(config, tmp_path, execution)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    lines = (tmp_path / SIGNAL).read_text().splitlines()
    rows = [json.loads(line, parse_constant=refuse) for line in lines]
    sums = [row["name"] for row in rows if row["kind"] == "sum"]
    assert [name for name in sums if name.startswith("stage_1/")] == [
        "stage_1/first/+", "stage_1/blocks/+[0]", "stage_1/blocks/+[1]",
    ]  # fmt: skip
    events = b"".join(path.read_bytes() for path in (tmp_path / "tensorboard").iterdir())
    assert b"forward_rms/stage_1/blocks/" in events


def test_the_signal_is_looked_at_first_and_every_so_many_steps() -> None:
    milestones = Milestones(total=9, evaluate_every=9, save_every=4, watch_every=3)
    visited = [0]
    while visited[-1] < 9:
        visited.append(milestones.after(visited[-1]))
    assert visited == [0, 2, 4, 5, 8, 9]
    assert [step for step in visited if milestones.watches(step)] == [0, 2, 5, 8]
    assert [step for step in visited[1:] if milestones.saves(step)] == [4, 8, 9]
