"""What an identity start does, in two minutes: ``python -m experiments.demo``.

A residual network without norms learns the bundled digits, once from He and once from IDInit, all
else equal. Without norms a deep network from He starts with a loss in the thousands, because every
block adds to the variance of its input; from IDInit every block starts as the identity.
"""

import dataclasses
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from experiments.config import (
    CifarResNet,
    Data,
    Execution,
    Initialization,
    Optimization,
    Scheme,
    TrainConfig,
)
from experiments.curves import draw_quantity
from experiments.nonfinite import NonFiniteError
from experiments.records import METRICS, read_records
from experiments.rundir import default_directory
from experiments.train import train

NAME = "demo"
PICTURE = Path("runs", NAME, "demo.png")
TARGET = 0.95
EXECUTION = Execution(tensorboard=False)

HE = TrainConfig(
    model=CifarResNet(depth=44, norm="none"),
    init=Initialization(scheme="he"),
    data=Data(dataset="digits", batch_size=64, pad=1),
    optimization=Optimization(learning_rate=0.1, clip=1.0, epochs=6),
)


class Outcome(NamedTuple):
    """A run in a line of the table.

    Args:
        scheme: what it started from.
        records: of training batches and of the test digits.
        stopped: why it ended early, or nothing.
    """

    scheme: Scheme
    records: list[dict]
    stopped: str

    def values(self, split: str, quantity: str) -> list[float]:
        """One quantity over the run."""
        return [record[quantity] for record in self.records if record["split"] == split]


def run(scheme: Scheme) -> Outcome:
    """Train from a scheme, or take up the records of an earlier demo."""
    config = dataclasses.replace(HE, init=Initialization(scheme=scheme))
    run_dir = default_directory(NAME, config)
    stopped = ""
    try:
        train(config, run_dir, EXECUTION)
    except NonFiniteError as error:
        stopped = str(error)
    return Outcome(scheme, read_records(run_dir / METRICS), stopped)


def table(outcomes: list[Outcome]) -> Table:
    """Initial loss, epochs to the target and final accuracy of each run."""
    rows = Table(title="ResNet-44 without norms on the digits")
    for column in ("start", "initial loss", f"epochs to {TARGET:.0%}", "final accuracy"):
        rows.add_column(column, justify="left" if column == "start" else "right")
    for outcome in outcomes:
        accuracy = outcome.values("test", "accuracy")
        reached = [epoch for epoch, value in enumerate(accuracy, start=1) if value >= TARGET]
        rows.add_row(
            outcome.scheme,
            f"{outcome.values('train', 'loss')[0]:,.2f}",
            str(reached[0]) if reached else "not reached",
            f"{accuracy[-1]:.1%}" if accuracy else outcome.stopped,
        )
    return rows


def draw(outcomes: list[Outcome], path: Path) -> None:
    """Accuracy on the test digits over steps, a line a run."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for outcome in outcomes:
        tests = [r | {"split": outcome.scheme} for r in outcome.records if r["split"] == "test"]
        draw_quantity(axes, tests, "accuracy")
    axes.set_title("test accuracy, ResNet-44 without norms")
    figure.savefig(path, dpi=150)


def main() -> None:
    """The command."""
    outcomes = [run("he"), run("idinit")]
    draw(outcomes, PICTURE)
    console = Console()
    console.print(table(outcomes))
    console.print(f"The picture is in {PICTURE}, the records of both runs beside it.")


if __name__ == "__main__":
    main()
