"""Run the project's benchmarks and print one table of ratios: ``python -m benchmarks [NAME ...]``.

Each benchmark is a process of its own that prints one JSON line. The table goes to
results/benchmarks.md, every raw number to results/benchmarks.json; a benchmark that is not run
keeps what an earlier call measured.
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.progress import track

from benchmarks.catalogue import CATALOGUE, Benchmark
from experiments.config import Execution
from experiments.machine import describe_machine

RESULTS = Path("results/benchmarks")


@dataclass(frozen=True)
class Options:
    """What to run.

    Args:
        names: benchmarks, all by default.
        data_dir: where TensorFlow Datasets prepared its data.
    """

    names: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    data_dir: str | None = None


def chosen(names: tuple[str, ...]) -> tuple[Benchmark, ...]:
    """The benchmarks of these names.

    Raises:
        ValueError: if there is no benchmark of a name.
    """
    known = {benchmark.name: benchmark for benchmark in CATALOGUE}
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"no benchmark is called {unknown}; there are {', '.join(known)}")
    return tuple(known[name] for name in names) or CATALOGUE


def run(benchmark: Benchmark, options: Options) -> dict[str, Any]:
    """The JSON line of a fresh process, or its last words under "failed"."""
    command = [sys.executable, "-m", f"benchmarks.{benchmark.name}", *benchmark.arguments]
    if benchmark.needs_data and options.data_dir:
        command += ["--data-dir", options.data_dir]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"failed": (done.stderr.splitlines() or ["no message"])[-1]}
    machine = str(describe_machine(Execution(), "float32"))
    report = json.loads(done.stdout.splitlines()[-1])
    return {"date": date.today().isoformat(), "machine": machine, **report}


def table(reports: dict[str, dict[str, Any]]) -> str:
    """Every ratio as a row of Markdown, with its baseline and bar."""
    lines = ["| benchmark | what | ratio | bar | |", "|---|---|---|---|---|"]
    for benchmark in CATALOGUE:
        report = reports.get(benchmark.name, {})
        if reason := report.get("failed") or report.get("skipped"):
            lines.append(f"| {benchmark.name} | {reason} | | | |")
            continue
        for ratio in benchmark.ratios:
            if (value := ratio.of(report)) is not None:
                verdict = (
                    "" if str(ratio.bar) == "-" else "held" if ratio.bar.holds(value) else "MISSED"
                )
                lines.append(
                    f"| {benchmark.name} | {ratio.work} | {value:.3g} | {ratio.bar} | {verdict} |"
                )
    return "\n".join(lines)


def baselines() -> str:
    """What each benchmark is compared with, and how that is fair."""
    return "\n".join(f"- `{one.name}`: against {one.against}; {one.fair}." for one in CATALOGUE)


def write(reports: dict[str, dict[str, Any]]) -> None:
    """Leave the table and every raw number."""
    machines = dict.fromkeys(
        f"{one['machine']} ({one['date']})" for one in reports.values() if "machine" in one
    )
    text = (
        "# Benchmarks\n\nMade by `make bench`. Medians of alternating "
        "runs; seconds are wall time.\n\n"
        + "\n".join(f"Measured on {machine}." for machine in machines)
        + f"\n\n{table(reports)}\n\n## Baselines\n\n{baselines()}\n"
    )
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.with_suffix(".md").write_text(text)
    RESULTS.with_suffix(".json").write_text(json.dumps(reports, indent=2) + "\n")


def main() -> None:
    """The command."""
    options = tyro.cli(Options, description=__doc__)
    stored = RESULTS.with_suffix(".json")
    reports = json.loads(stored.read_text()) if stored.exists() else {}
    console = Console()
    for benchmark in track(chosen(options.names), "benchmarks", console=console):
        reports[benchmark.name] = run(benchmark, options)
        write(reports)
    console.print(table(reports))


if __name__ == "__main__":
    main()
