"""A study killed, resumed and shared among processes: every run once, and the same report."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments.compare.findings import Findings, find
from experiments.compare.plan import make_plan
from experiments.compare.report import write_report
from experiments.compare.results import Cost
from experiments.compare.store import Store
from experiments.compare.study import load_study
from experiments.compare.version import code_version, deciding_sources
from experiments.compare.worker import work
from experiments.config import Execution

NAME = "digits_quick"
STUDY = load_study(NAME)
COMMAND = [sys.executable, "-m", "experiments.compare", NAME, "--budget", "smoke", "--devices", "1"]


def start(directory: Path) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    flags = ["--run-dir", str(directory), "--out", str(directory / "out")]
    return subprocess.Popen([*COMMAND, *flags], stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> list[str]:
    """Wait for the end of the command; the runs that it did."""
    _, said = process.communicate(timeout=300)
    assert process.returncode == os.EX_OK
    return re.findall(r"^(?:signal|tuning|final) of [^:]*", said, re.MULTILINE)


def store_in(directory: Path) -> Store:
    """Where the command leaves its results."""
    return Store(directory / code_version())


def results_in(directory: Path) -> dict[Path, tuple[int, bytes]]:
    """Every result, with the time at which it was written."""
    paths = (p for p in store_in(directory).directory.glob("*/*.json") if p.name != "config.json")
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


def cut_off(directory: Path, number: signal.Signals, results: int, seconds: float) -> int:
    """Start the command, and signal it some time after it has left so many more results."""
    process, before = start(directory), len(results_in(directory))
    while process.poll() is None and len(results_in(directory)) < before + results:
        time.sleep(0.01)
    time.sleep(seconds)
    process.send_signal(number)
    process.communicate(timeout=120)
    return process.returncode


def timeless(directory: Path) -> Findings:
    """What the report is made from, but for what depends on the clock."""
    plan = make_plan(STUDY.smoke, store_in(directory))
    cost = Cost(seconds=1.0, images_per_second=1.0, machine="m", commit="c")
    results = {job: result._replace(cost=cost) for job, result in plan.results.items()}
    return find(NAME, STUDY, "smoke", code_version(), plan._replace(results=results))


def report(directory: Path) -> dict[str, bytes]:
    """The files of that report."""
    out = directory / "timeless"
    write_report(timeless(directory), out)
    return {path.name: path.read_bytes() for path in out.iterdir()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that nothing interrupted."""
    directory = tmp_path_factory.mktemp("whole")
    assert len(finish(start(directory))) == len(results_in(directory)) > 0
    return directory


@pytest.fixture
def fresh(whole: Path, tmp_path: Path) -> Path:
    """A directory without results; its programs are compiled."""
    shutil.copytree(whole / "programs", tmp_path / "programs")
    return tmp_path


def test_a_study_killed_twice_gives_the_report_of_one_that_was_not(
    whole: Path, fresh: Path
) -> None:
    moments = random.Random(20250311)
    done: dict[Path, tuple[int, bytes]] = {}
    for _ in range(2):
        results, seconds = moments.randrange(1, 4), moments.uniform(0.0, 0.4)
        assert cut_off(fresh, signal.SIGKILL, results, seconds) == -signal.SIGKILL
        now = results_in(fresh)
        assert now.items() > done.items()  # what was done stays as it was written
        done = now
    rest = finish(start(fresh))
    end = results_in(fresh)
    assert end.items() > done.items()
    assert len(rest) == len(end) - len(done)
    assert report(fresh) == report(whole)


def test_two_processes_share_a_study_and_do_every_run_once(whole: Path, fresh: Path) -> None:
    processes = [start(fresh), start(fresh)]
    runs = [run for process in processes for run in finish(process)]
    assert len(runs) == len(set(runs)) == len(results_in(whole))
    assert report(fresh) == report(whole)


def test_sigterm_stops_a_study_cleanly(whole: Path, fresh: Path) -> None:
    assert cut_off(fresh, signal.SIGTERM, results=1, seconds=0.0) == os.EX_OK
    assert 0 < len(results_in(fresh)) < len(results_in(whole))
    assert "This study is not finished" in (fresh / "out" / "report.md").read_text()


def test_a_finished_study_runs_nothing(whole: Path) -> None:
    before = results_in(whole)
    assert work(STUDY.smoke, store_in(whole), Execution())
    assert results_in(whole) == before


def test_a_code_version_is_of_what_decides_the_numbers_of_a_run() -> None:
    names = {"/".join(path.parts[-2:]) for path in deciding_sources()}
    assert {"experiments/train.py", "data/order.py", "initializers/identity.py"} <= names
    assert not any(name.startswith(("compare/", "studies/")) for name in names)
