"""A run that was cut off ends as if it had not been."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest

from configs.digits_mlp import CONFIG
from experiments.config import Execution, TrainConfig
from experiments.records import METRICS, read_records
from experiments.train import RunResult, train

FREQUENT = Execution(devices=1, progress=False, tensorboard=False, checkpoint_steps=7)
COMMAND = [sys.executable, "-m", "experiments.train", "digits_mlp", "--devices", "1"]
FLAGS = ["--no-progress", "--no-tensorboard", "--checkpoint-steps", "7", "--chunk-seconds", "0.01"]


def bits(result: RunResult) -> list[bytes]:
    """Every array of the final state."""
    leaves = jax.tree.leaves(result.state._replace(key=jax.random.key_data(result.state.key)))
    return [np.asarray(leaf).tobytes() for leaf in leaves]


def cut_off(run_dir: Path, number: signal.Signals, lines: int) -> int:
    """Start or resume a run in a process of its own, signal it after ``lines`` records."""
    metrics = run_dir / METRICS
    process = subprocess.Popen(
        [*COMMAND, *FLAGS, "--run-dir", str(run_dir)], stdout=subprocess.DEVNULL
    )
    while process.poll() is None and (
        not metrics.exists() or metrics.read_bytes().count(b"\n") < lines
    ):
        time.sleep(0.002)
    process.send_signal(number)
    return process.wait(timeout=120)


def test_a_run_cut_off_by_sigkill_and_sigterm_ends_with_the_same_bits(tmp_path: Path) -> None:
    whole = train(CONFIG, tmp_path / "whole", FREQUENT)
    moments = random.Random(20250311)
    pieces = tmp_path / "pieces"
    assert cut_off(pieces, signal.SIGKILL, moments.randrange(2, 20)) == -signal.SIGKILL
    assert cut_off(pieces, signal.SIGTERM, moments.randrange(22, 50)) == os.EX_OK
    resumed = train(CONFIG, pieces, FREQUENT)
    assert resumed.finished
    assert bits(resumed) == bits(whole)
    assert (pieces / METRICS).read_bytes() == (tmp_path / "whole" / METRICS).read_bytes()
    assert resumed.evaluation == whole.evaluation


@pytest.mark.parametrize("damage", ["flip", "truncate", "delete"])
def test_a_damaged_checkpoint_is_refused_by_name_and_the_one_before_it_used(
    damage: str,
    tmp_path: Path,
    small_run: Callable[..., TrainConfig],
    capsys: pytest.CaptureFixture[str],
) -> None:
    config, run_dir = small_run(epochs=2), tmp_path / "run"
    whole = train(config, run_dir, FREQUENT)
    newest = run_dir / "checkpoints" / "44"
    shutil.copytree(newest, tmp_path / "sound")
    victim = max(newest.rglob("ocdbt.process_0/d/*"), key=lambda path: path.stat().st_size)
    content = bytearray(victim.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 0x10
        victim.write_bytes(content)
    elif damage == "truncate":
        victim.write_bytes(content[: len(content) // 2])
    else:
        victim.unlink()

    said = Execution(devices=1, tensorboard=False, checkpoint_steps=7)
    repaired = train(config, run_dir, said)

    message = " ".join(capsys.readouterr().err.split())
    assert "checkpoints/44 is damaged" in message
    assert bits(repaired) == bits(whole)
    aside = run_dir / "damaged" / "44"
    kept = {path.relative_to(aside) for path in aside.rglob("*") if path.is_file()}
    sound = {
        p.relative_to(tmp_path / "sound") for p in (tmp_path / "sound").rglob("*") if p.is_file()
    }
    assert sound - kept == ({victim.relative_to(newest)} if damage == "delete" else set())


def test_a_partial_checkpoint_is_not_looked_at(
    tmp_path: Path, small_run: Callable[..., TrainConfig], quiet: Execution
) -> None:
    partial = tmp_path / "checkpoints" / "40.orbax-checkpoint-tmp"
    partial.mkdir(parents=True)
    (partial / "half").write_text("of it")
    result = train(small_run(epochs=1), tmp_path, quiet)
    assert result.step == 22
    assert (partial / "half").read_text() == "of it"


def test_the_best_and_the_last_checkpoints_are_kept(
    tmp_path: Path, small_run: Callable[..., TrainConfig]
) -> None:
    config = small_run(epochs=5, learning_rate=0.3)
    execution = Execution(devices=1, progress=False, tensorboard=False, keep_last=1)
    train(config, tmp_path, execution)
    records = read_records(tmp_path / METRICS)
    accuracy = {r["step"]: r["accuracy"] for r in records if r["split"] == "test"}
    kept = {int(path.name) for path in (tmp_path / "checkpoints").iterdir()}
    best = max(accuracy.values())
    assert 110 in kept
    assert len(kept) <= 2
    assert max(accuracy[step] for step in kept) == best


def test_a_directory_of_another_config_is_refused(
    tmp_path: Path, small_run: Callable[..., TrainConfig], quiet: Execution
) -> None:
    train(small_run(epochs=1), tmp_path, quiet)
    with pytest.raises(ValueError, match=r"optimization.learning_rate was 0.1 and is 0.2"):
        train(small_run(epochs=1, learning_rate=0.2), tmp_path, quiet)


def test_a_finished_run_is_not_repeated(
    tmp_path: Path, small_run: Callable[..., TrainConfig], quiet: Execution
) -> None:
    first = train(small_run(epochs=1), tmp_path, quiet)
    again = train(small_run(epochs=1), tmp_path, quiet)
    assert again.finished
    assert again.evaluation == first.evaluation
    assert bits(again) == bits(first)
