"""Compare initializations: each at its own tuned learning rate, over several seeds.

    python -m experiments.compare STUDY --budget reduced --data-dir DIR

Runs that are done are never repeated: the command may be stopped at any moment and given again, and
several of them share the work. A report of what is done so far is left in results/ at the end.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import jax
import tyro

from experiments.compare.findings import find
from experiments.compare.plan import make_plan
from experiments.compare.report import write_report
from experiments.compare.store import Store
from experiments.compare.study import Budget, BudgetName, load_study, study_names
from experiments.compare.version import code_version
from experiments.compare.worker import work
from experiments.config import Execution

CHECKPOINT_STEPS = 250


@dataclass(frozen=True)
class Command:
    """The command line."""

    study: tyro.conf.Positional[str]
    """What to ask: a file of experiments/studies."""
    budget: BudgetName = "reduced"
    """full: what would settle it; reduced: minutes on two CPU cores; smoke: seconds."""
    data_dir: str | None = None
    """Where TensorFlow Datasets prepared its data; None for its own default."""
    run_dir: Path = Path("runs/compare")
    """Where runs, their results and compiled programs go; for all studies and processes."""
    out: Path | None = None
    """Where the report goes; None for results/STUDY_BUDGET."""
    report_only: bool = False
    """Report on the results that there are, and run nothing."""
    code_version: str | None = None
    """Report on the results of this version of the code, as a report names it; runs nothing."""
    devices: int | None = None
    """Use the first so many devices; None for all."""


def compare(command: Command) -> None:
    """Run what is missing, then write the report.

    Raises:
        ValueError: for an unknown study.
        FileNotFoundError: if its data set is not prepared, or if there is nothing to report on.
    """
    study = load_study(command.study)
    budget = study.budget(command.budget)
    version = command.code_version or code_version()
    store = Store(command.run_dir / version)
    if not (command.report_only or command.code_version):
        work(budget, store, execution(command))
    plan = make_plan(budget, store)
    if not plan.results:
        raise FileNotFoundError(nothing_found(command, budget, version))
    out = command.out or Path("results", f"{command.study}_{command.budget}")
    write_report(find(command.study, study, command.budget, version, plan), out)
    print(f"{plan.done} of {plan.total} runs are done; report in {out}")


def nothing_found(command: Command, budget: Budget, version: str) -> str:
    """What was looked for and where, which versions have results there, and what to do."""
    directories = sorted(path for path in command.run_dir.glob("*/") if path.is_dir())
    others = [path.name for path in directories if make_plan(budget, Store(path)).results]
    return (
        f"no result of {command.study} at the {command.budget} budget by code version {version}"
        f" in {command.run_dir / version}, so no report was written. Versions with results in"
        f" {command.run_dir}: {', '.join(others) or 'none'}. Name one with --code-version, another"
        " directory with --run-dir, or run the study: leave out --report-only and --code-version"
    )


def execution(command: Command) -> Execution:
    """How each run is computed."""
    return Execution(
        data_dir=command.data_dir,
        devices=command.devices,
        checkpoint_steps=CHECKPOINT_STEPS,
        keep_last=1,
        tensorboard=False,
        progress=False,
    )


def share_programs(directory: Path) -> None:
    """Keep compiled programs on disk, so that equal ones are compiled once for all processes."""
    jax.config.update("jax_compilation_cache_dir", str(directory.absolute()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def main() -> None:
    """The command."""
    command = tyro.cli(
        Command,
        prog="python -m experiments.compare",
        description=f"{__doc__}\nStudies: {', '.join(study_names())}",
    )
    share_programs(command.run_dir / "programs")
    try:
        compare(command)
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
