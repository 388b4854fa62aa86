"""The learning rate is chosen on held-out training images, and the test images are read once."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments.compare.jobs import Job, final_jobs, signal_job, tuning_jobs
from experiments.compare.perform import perform
from experiments.compare.plan import make_plan
from experiments.compare.results import Cost, Curve, Divergence, Training
from experiments.compare.store import Results, Store
from experiments.compare.study import Budget, Candidate, Cell, Variant
from experiments.compare.tuning import Choice, choose
from experiments.config import MLP, Data, Execution, Initialization, Optimization, TrainConfig
from experiments.data import load
from experiments.images import open_images
from experiments.records import METRICS, read_records
from experiments.sharded import Sharded

pytestmark = pytest.mark.usefixtures("quick_compilation")

QUIET = Execution(devices=1, progress=False, tensorboard=False)
COST = Cost(1.0, 1.0, "a machine", "a commit")
CONFIG = TrainConfig(
    MLP(features=(8,)), data=Data(batch_size=64), optimization=Optimization(epochs=1, clip=None)
)
BUDGET = Budget(
    variants=(Variant("small", CONFIG),),
    candidates=(Candidate("He", Initialization("he")),),
    learning_rates=(0.01, 0.1, 1.0),
    seeds=2,
    tuning_seeds=2,
)
(CELL,) = BUDGET.cells


def ended(accuracy: float, loss: float = 1.0) -> Training:
    """A run that came to its end."""
    return Training(accuracy, loss, 2.3, 64.0, Curve(), Curve(), (), None, COST)


def diverged() -> Training:
    """A run that did not."""
    reason = Divergence(3, "head", "step 3: loss nan")
    return Training(None, None, 2.3, None, Curve(), Curve(), (), reason, COST)


def tuned(**runs: list[Training]) -> Results:
    """Tuning results of each rate, by its place in the grid: first, second, third."""
    results: Results = {}
    for rate, found in zip(BUDGET.learning_rates, runs.values(), strict=True):
        results |= dict(zip(tuning_jobs(BUDGET, CELL, rate), found, strict=False))
    return results


def test_the_rate_of_the_best_mean_accuracy_held_out_is_chosen() -> None:
    results = tuned(
        first=[ended(0.5), ended(0.5)],
        second=[ended(0.4), ended(0.7)],
        third=[ended(0.8), ended(0.2)],
    )
    assert choose(BUDGET, CELL, results) == Choice(0.1, "")


def test_test_accuracies_do_not_matter() -> None:
    results = tuned(
        first=[ended(0.5)] * 2,
        second=[ended(0.4)] * 2,
        third=[ended(0.3)] * 2,
    )
    for rate, accuracy in zip(BUDGET.learning_rates, (0.1, 0.2, 0.99), strict=True):
        results |= dict.fromkeys(final_jobs(BUDGET, CELL, rate), ended(accuracy))
    assert choose(BUDGET, CELL, results) == Choice(0.01, "lowest")


def test_equal_accuracies_are_decided_by_the_loss() -> None:
    results = tuned(
        first=[ended(0.5, 1.5)] * 2, second=[ended(0.5, 1.4)] * 2, third=[ended(0.5, 1.6)] * 2
    )
    assert choose(BUDGET, CELL, results) == Choice(0.1, "")


def test_a_rate_that_diverged_once_is_not_chosen() -> None:
    results = tuned(first=[ended(0.5)] * 2, second=[ended(0.6)] * 2, third=[ended(0.9), diverged()])
    assert choose(BUDGET, CELL, results) == Choice(0.1, "")


def test_nothing_is_chosen_before_all_is_known_or_where_all_diverged() -> None:
    missing = tuned(first=[ended(0.5)] * 2, second=[ended(0.5)] * 2, third=[ended(0.5)])
    assert choose(BUDGET, CELL, missing) is None
    lost = tuned(first=[diverged()] * 2, second=[diverged()] * 2, third=[diverged(), ended(0.9)])
    assert choose(BUDGET, CELL, lost) == Choice(None, "")


def test_tuning_trains_on_neither_held_out_nor_test_images() -> None:
    job = tuning_jobs(BUDGET, CELL, 0.1)[0]
    digits = load("digits")
    rows = {image.tobytes() for image in digits.train.images}
    tests = {image.tobytes() for image in digits.test.images}
    assert not rows & tests
    mesh = Sharded(jax.devices()[:1])
    batches = list(open_images(job.config, QUIET, mesh).held_out())
    labels = np.concatenate([np.asarray(batch.labels) for batch in batches])
    images = np.concatenate([np.asarray(batch.images) for batch in batches])[labels >= 0]
    held_out = {image.tobytes() for image in images}
    assert len(images) == pytest.approx(0.1 * len(digits.train.images), abs=5)
    assert held_out <= rows
    assert not held_out & tests


def test_final_runs_read_the_test_images_once_and_tuning_runs_never(tmp_path: Path) -> None:
    config = TrainConfig(
        MLP(features=(8,)), data=Data(batch_size=64), optimization=Optimization(epochs=3)
    )
    budget = Budget((Variant("small", config),), BUDGET.candidates, (0.03, 0.1), seeds=1)
    cell = budget.cells[0]
    jobs = {
        "test": final_jobs(budget, cell, 0.1)[0],
        "validation": tuning_jobs(budget, cell, 0.1)[0],
    }
    evaluations = {"test": 1, "validation": 3}
    for split, job in jobs.items():
        perform(job, tmp_path / split, QUIET)
        records = read_records(tmp_path / split / METRICS)
        splits = [record["split"] for record in records if record["split"] != "train"]
        assert splits == [split] * evaluations[split]


def test_a_diverged_run_is_a_result_and_a_hopeless_cell_has_no_final_runs(tmp_path: Path) -> None:
    budget = Budget(BUDGET.variants, BUDGET.candidates, (1e25, 1e30), seeds=2)
    store, cell = Store(tmp_path), budget.cells[0]
    for rate in budget.learning_rates:
        for job in tuning_jobs(budget, cell, rate):
            result = perform(job, store.run_directory(job), QUIET)
            assert isinstance(result, Training)
            assert result.accuracy is None
            assert result.divergence is not None
            assert result.divergence.layer
            store.write(job, result)
    plan = make_plan(budget, store)
    assert [task.job.kind for task in plan.pending] == ["signal"]
    assert plan.later == 0


def test_a_job_belongs_to_one_claimant_and_its_result_survives_the_disk(tmp_path: Path) -> None:
    store, job = Store(tmp_path), signal_job(BUDGET, CELL)
    with store.claim(job) as first, store.claim(job) as second:
        assert (first, second) == (True, False)
    with store.claim(job) as again:
        assert again
    measured = perform(job, store.run_directory(job), QUIET)
    assert measured is not None
    store.write(job, measured)
    assert store.read(job) == measured
    training = Job("final", job.config)
    store.write(training, diverged())
    assert store.read(training) == diverged()
    json.loads(store.result_path(job).read_text(), parse_constant=pytest.fail)


def test_cells_share_a_run_only_if_all_that_decides_it_is_equal() -> None:
    jobs = [
        job
        for rate in BUDGET.learning_rates
        for job in (*tuning_jobs(BUDGET, CELL, rate), *final_jobs(BUDGET, CELL, rate))
    ]
    directories = {Store(Path("store")).run_directory(job) for job in jobs}
    assert len(directories) == len(jobs)
    renamed = Cell(Variant("another name", CONFIG), CELL.candidate)
    assert final_jobs(BUDGET, renamed, 0.1) == final_jobs(BUDGET, CELL, 0.1)
