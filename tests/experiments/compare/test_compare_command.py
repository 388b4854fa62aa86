"""The command refuses to report on nothing, and leaves the report that there is."""

import sys
from pathlib import Path

import pytest

from experiments.compare import __main__ as command
from experiments.compare.jobs import signal_job
from experiments.compare.results import Cost, Signal
from experiments.compare.store import Store
from experiments.compare.study import load_study
from experiments.compare.version import code_version

NAME = "digits_quick"
REPORT = "An earlier report."
COST = Cost(2.0, 64.0, "a machine", "a commit")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A report, and a store with one result of the version "earlier" and none of another."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.md").write_text(REPORT)
    (tmp_path / "runs" / "programs").mkdir(parents=True)
    budget = load_study(NAME).smoke
    job = signal_job(budget, budget.cells[0])
    store = Store(tmp_path / "runs" / "earlier")
    store.run_directory(job).mkdir(parents=True)
    store.write(job, Signal(2.5, 1.0, 0.1, ("a", "b"), (1.0, 1.0), (2.0, 2.0), COST))
    return tmp_path


def run(directory: Path, monkeypatch: pytest.MonkeyPatch, *flags: str) -> None:
    """The command line, without a cache of compiled programs, which would outlive the test."""
    places = ["--run-dir", str(directory / "runs"), "--out", str(directory / "out")]
    monkeypatch.setattr(command, "share_programs", lambda _: None)
    monkeypatch.setattr(sys, "argv", ["compare", NAME, "--budget", "smoke", *places, *flags])
    command.main()


@pytest.mark.parametrize("version", [None, "earlierr"])
def test_nothing_found_is_an_error_that_leaves_the_report(
    version: str | None, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ["--report-only"] if version is None else ["--code-version", version]
    with pytest.raises(SystemExit) as stopped:
        run(directory, monkeypatch, *flags)
    message = str(stopped.value.code)
    assert f"no result of {NAME} at the smoke budget" in message
    assert str(directory / "runs" / (version or code_version())) in message
    assert f"Versions with results in {directory / 'runs'}: earlier." in message
    assert [path.name for path in (directory / "out").iterdir()] == ["report.md"]
    assert (directory / "out" / "report.md").read_text() == REPORT


def test_results_of_a_named_version_are_reported(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(directory, monkeypatch, "--code-version", "earlier")
    assert "This study is not finished: 1 of" in (directory / "out" / "report.md").read_text()
