"""Two processes that train together do what one process does with two devices."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.config import Execution
from experiments.distributed import join

COMMAND = [sys.executable, "-m", "experiments.train", "digits_mlp", "--epochs", "1"]
FLAGS = ["--no-progress", "--no-tensorboard", "--run-dir"]


def start(run_dir: Path, devices: int, *flags: str) -> subprocess.Popen[bytes]:
    """A run in a process of its own, with so many devices."""
    count = f"--xla_force_host_platform_device_count={devices}"
    environment = {**os.environ, "XLA_FLAGS": count}
    return subprocess.Popen(
        [*COMMAND, *FLAGS, str(run_dir), *flags], env=environment, stdout=subprocess.DEVNULL
    )


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return f"localhost:{probe.getsockname()[1]}"


def test_two_processes_train_as_one_does_with_two_devices(tmp_path: Path) -> None:
    group = ("--distributed", "--coordinator", free_address(), "--processes", "2", "--process")
    pair, alone = tmp_path / "pair", tmp_path / "alone"
    runs = [start(pair, 1, *group, place) for place in ("0", "1")]
    assert [run.wait(timeout=240) for run in runs] == [0, 0]
    assert start(alone, 2).wait(timeout=240) == 0
    whole = (alone / "metrics.jsonl").read_text()
    assert (pair / "metrics.jsonl").read_text() == whole
    assert (pair / "process_1" / "metrics.jsonl").read_text() == whole


def test_a_place_without_distributed_and_pmap_with_it_are_refused() -> None:
    with pytest.raises(ValueError, match="need --distributed"):
        join(Execution(process=1))
    with pytest.raises(ValueError, match="--distributed needs jit"):
        join(Execution(distributed=True, parallel="pmap"))
