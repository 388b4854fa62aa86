"""Which identity initialization? ResNet-20 on CIFAR-10 under every choice the paper leaves open.

    python -m experiments.ablation --data-dir DIR

Each row is one departure, each run a short training on part of the training images; accuracy is
measured on training images that were held out, so the test split stays unread. Runs that are
already under --run-dir are not repeated. Writes results/cifar10_ablation.md and .json.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import tyro

from experiments.config import Execution
from experiments.machine import describe_machine

EXPERIMENT = "cifar10_resnet20"
RESULTS = Path("results/cifar10_ablation")


class Row(NamedTuple):
    """One choice: what the table says, and the overrides that make it."""

    name: str
    overrides: tuple[str, ...]


NORM_FREE = ("--norm", "none", "--clip", "1.0")
PATCH = ("--scheme", "idinit", "--layout", "patch")
ROWS = (
    Row("He", ("--scheme", "he")),
    Row("zero gamma", ("--scheme", "zero_gamma")),
    *(
        Row(f"{name}, {layout}", ("--scheme", scheme, "--layout", layout))
        for scheme, name in (("idinit_literal", "literal"), ("idinit", "norm-aware"))
        for layout in ("patch", "tap", "channel")
    ),
    Row("norm-aware, patch, identity stem", (*PATCH, "--stem", "identity")),
    Row("norm-aware, patch, identity head", (*PATCH, "--head", "identity")),
    *(
        Row(
            f"norm-aware, patch, {start} projection",
            (*PATCH, "--shortcut", "projection", "--shortcut-start", start),
        )
        for start in ("standard", "identity")
    ),
    Row("no norm: He", ("--scheme", "he", *NORM_FREE)),
    *(
        Row(f"no norm: {layout}", ("--scheme", "idinit", "--layout", layout, *NORM_FREE))
        for layout in ("patch", "tap", "channel")
    ),
)


@dataclass(frozen=True)
class Ablation:
    """The budget of every run.

    Args:
        data_dir: where the data set lies.
        run_dir: where the runs go.
        seeds: runs a row.
        train_examples: training images used.
        epochs: passes over them.
        validation: share of the training images that is held out.
        only: rows to run, by a part of their names; finished runs of the others are still shown.
    """

    data_dir: str | None = None
    run_dir: Path = Path("runs/ablation")
    seeds: int = 3
    train_examples: int = 10_000
    epochs: float = 1.0
    validation: float = 0.04
    only: tuple[str, ...] = ()

    def directory(self, row: Row, seed: int) -> Path:
        """Where a run leaves its records."""
        return self.run_dir / row.name.replace(" ", "_").replace(",", "") / str(seed)

    def wants(self, row: Row, seed: int) -> bool:
        """Whether a run is asked for or done already."""
        chosen = not self.only or any(part in row.name for part in self.only)
        return chosen or (self.directory(row, seed) / "done").exists()


class Outcome(NamedTuple):
    """What one run ended with."""

    accuracy: float
    loss: float
    first_loss: float


def run(ablation: Ablation, row: Row, seed: int) -> Outcome:
    """Train once, unless it was done before."""
    directory = ablation.directory(row, seed)
    if not (directory / "done").exists():
        command = [sys.executable, "-m", "experiments.train", EXPERIMENT, *row.overrides]
        budget = {
            "--seed": seed,
            "--train-examples": ablation.train_examples,
            "--epochs": ablation.epochs,
            "--validation": ablation.validation,
            "--run-dir": directory,
        }
        command += [str(word) for pair in budget.items() for word in pair]
        command += ["--data-dir", ablation.data_dir] if ablation.data_dir else []
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        (directory / "done").touch()
    return outcome(directory / "metrics.jsonl")


def outcome(metrics: Path) -> Outcome:
    """Read the last evaluation and the first training loss."""
    records = [json.loads(line) for line in metrics.read_text().splitlines()]
    train = [record for record in records if record["split"] == "train"]
    held_out = [record for record in records if record["split"] != "train"]
    return Outcome(100 * held_out[-1]["accuracy"], held_out[-1]["loss"], train[0]["loss"])


def table(outcomes: dict[str, list[Outcome]]) -> str:
    """The rows as Markdown: means over seeds, and the standard deviation of the accuracy."""
    lines = ["| initialization | first loss | loss | accuracy % | runs |", "|---|---|---|---|---|"]
    for name, runs in outcomes.items():
        accuracies = [one.accuracy for one in runs]
        spread = f" ± {statistics.stdev(accuracies):.1f}" if len(runs) > 1 else ""
        lines.append(
            f"| {name} | {statistics.mean(one.first_loss for one in runs):.2f} "
            f"| {statistics.mean(one.loss for one in runs):.2f} "
            f"| {statistics.mean(accuracies):.1f}{spread} | {len(runs)} |"
        )
    return "\n".join(lines)


def write(ablation: Ablation, outcomes: dict[str, list[Outcome]], command: Sequence[str]) -> None:
    """Leave the table and every raw number."""
    budget = (
        f"ResNet-20, CIFAR-10, {ablation.train_examples} images, {ablation.epochs:g} epoch(s), "
        f"SGD 0.1, batch 128; accuracy on {ablation.validation:.0%} of the training images, "
        "held out; mean and standard deviation over seeds."
    )
    machine = describe_machine(Execution(), "float32")
    heading = f"# CIFAR-10 ablation\n\n{budget}\n\nMade by `{' '.join(command)}` on {machine}.\n\n"
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.with_suffix(".md").write_text(heading + table(outcomes) + "\n")
    raw = {name: [one._asdict() for one in runs] for name, runs in outcomes.items()}
    RESULTS.with_suffix(".json").write_text(json.dumps(raw, indent=2) + "\n")


def main() -> None:
    ablation = tyro.cli(Ablation, description=__doc__)
    outcomes: dict[str, list[Outcome]] = {row.name: [] for row in ROWS}
    for seed in range(ablation.seeds):
        for row in (row for row in ROWS if ablation.wants(row, seed)):
            outcomes[row.name].append(run(ablation, row, seed))
            print(f"seed {seed}  {row.name:34s} {outcomes[row.name][-1]}", flush=True)
            done = {name: runs for name, runs in outcomes.items() if runs}
            write(ablation, done, ["python", "-m", "experiments.ablation", *sys.argv[1:]])


if __name__ == "__main__":
    main()
