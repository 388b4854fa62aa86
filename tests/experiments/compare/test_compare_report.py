"""The report says what is there, what is missing, and what was lost."""

import dataclasses
from html.parser import HTMLParser
from pathlib import Path

import pytest

from experiments.compare.findings import find
from experiments.compare.jobs import Job, final_jobs, signal_job, tuning_jobs
from experiments.compare.plan import make_plan
from experiments.compare.report import write_report
from experiments.compare.results import (
    Cost,
    Curve,
    Divergence,
    Movement,
    Result,
    Signal,
    Training,
)
from experiments.compare.store import Store
from experiments.compare.study import Candidate, Study, load_study

NAME = "digits_quick"
LOADED = load_study(NAME)
CANDIDATES = (*LOADED.smoke.candidates, Candidate("other", LOADED.full.candidates[1].init, 93.9))
SMOKE = dataclasses.replace(
    LOADED.smoke, candidates=CANDIDATES, seeds=3, learning_rates=(0.01, 0.1, 1.0)
)
STUDY = Study("Does it work?", SMOKE, SMOKE, SMOKE)
COST = Cost(2.0, 640.0, "a machine", "a commit")
CURVE = Curve((0.5, 1.0, 1.5, 2.0), (2.0, 1.5, 1.0, 0.5), (0.2, 0.5, 0.7, 0.9))


def training(accuracy: float) -> Training:
    """A run of 64 images an epoch, at 640 images a second."""
    moved = (Movement("hidden", 2, 0.5, 0.25, 0.125),)
    return Training(accuracy, 1.0, 2.5, 64.0, CURVE, Curve(), moved, None, COST)


def lost() -> Training:
    """A run that diverged."""
    reason = Divergence(1, "head", "step 1: loss nan")
    return Training(None, None, None, None, Curve(), Curve(), (), reason, COST)


def written(tmp_path: Path, results: dict[Job, Result]) -> str:
    """The Markdown report of these results."""
    store = Store(tmp_path / "store")
    for job, result in results.items():
        store.run_directory(job).mkdir(parents=True, exist_ok=True)
        store.write(job, result)
    plan = make_plan(STUDY.smoke, store)
    write_report(find(NAME, STUDY, "smoke", "v0", plan), tmp_path / "out")
    return (tmp_path / "out" / "report.md").read_text()


def row(report: str, start: str, columns: int) -> list[str]:
    """The cells of the first table row of so many columns that starts with a name."""
    lines = (line.strip("| ").split(" | ") for line in report.splitlines() if line[:1] == "|")
    return next(line for line in lines if line[0].strip() == start and len(line) == columns)


def test_a_study_of_which_nothing_is_done(tmp_path: Path) -> None:
    report = written(tmp_path, {})
    assert "This study is not finished: 0 of 21 runs are done." in report
    assert "no final run is done" in report
    assert row(report, "He", 13)[1] == "not yet tuned"


def test_a_half_finished_study(tmp_path: Path) -> None:
    he, ours, other = SMOKE.cells
    results: dict[Job, Result] = {
        signal_job(SMOKE, he): Signal(2.5, 1.0, 0.1, ("a", "b", "c"), (1.0, 4.0, 9.0),
                                      (2.0, None, 1.0), COST),
    }  # fmt: skip
    for rate, accuracy in zip(SMOKE.learning_rates, (0.5, 0.6, 0.4), strict=True):
        for cell in (he, ours):
            results[tuning_jobs(SMOKE, cell, rate)[0]] = training(accuracy)
        results[tuning_jobs(SMOKE, other, rate)[0]] = lost()
    finals = zip(final_jobs(SMOKE, he, 0.1), (0.50, 0.52, 0.49), strict=True)
    results |= {job: training(accuracy) for job, accuracy in finals}
    first, second, _ = final_jobs(SMOKE, ours, 0.1)
    results |= {first: training(0.53), second: lost()}
    report = written(tmp_path, results)
    _, rate, initial, loss, to_50, to_80, seconds, _, accuracy, runs, *_ = row(report, "He", 13)
    assert (rate, initial, loss) == ("0.1", "2.5 ± 0", "1.5 ± 0")
    assert (to_50, to_80, seconds) == ("1.00", "2.00", "0.1")
    assert (accuracy, runs) == ("50.3 ± 1.5", "3")
    cells = row(report, "IDInit", 13)
    assert cells[4] == "1.00 (1.00 of He)"
    assert cells[8:11] == ["53.0", "2 of 3, 1 diverged", "+3.0"]
    cells = row(report, "other", 13)
    assert cells[1] == "diverged at every rate"
    assert cells[12] == "93.9"
    assert "Diverged at every learning rate: other" in report
    assert "Not finished: IDInit" in report
    assert "50 / 25 / 12.5" in report


def test_the_page_stands_alone(tmp_path: Path) -> None:
    written(tmp_path, {job: training(0.5) for job in final_jobs(SMOKE, SMOKE.cells[0], 0.1)})
    outside = []

    class References(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            wanted = {"src", "href"}
            found = [value or "" for name, value in attrs if name in wanted]
            outside.extend((tag, one) for one in found if not one.startswith("data:"))

    References().feed((tmp_path / "out" / "report.html").read_text())
    assert outside == []


@pytest.mark.parametrize("learning_rates", [(), (0.1, 0.01), (0.1, 0.1)])
def test_a_grid_that_does_not_ascend_is_refused(learning_rates: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="ascend"):
        dataclasses.replace(SMOKE, learning_rates=learning_rates)


def test_a_study_without_its_baseline_is_refused() -> None:
    with pytest.raises(ValueError, match="baseline 'Xavier' is not among"):
        dataclasses.replace(STUDY, baseline="Xavier")


def test_an_unknown_study_is_refused_by_its_nearest_name() -> None:
    with pytest.raises(ValueError, match="did you mean 'digits_quick'"):
        load_study("digit_quick")
