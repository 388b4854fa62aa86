"""The report of a study: a pure function of the results on disk."""

import json
from pathlib import Path
from typing import Any

from experiments.compare.document import Block, Picture, to_html, to_markdown
from experiments.compare.findings import Findings
from experiments.compare.insides import movement, signal
from experiments.compare.outcomes import curves, results, tuning, verdicts
from experiments.compare.plan import Plan, Task
from experiments.compare.provenance import opening, provenance
from experiments.compare.results import to_plain
from experiments.config import to_json


def write_report(findings: Findings, out: Path) -> None:
    """Write ``report.md``, ``report.html``, their pictures and ``numbers.json`` to ``out``."""
    title = f"{findings.name}, {findings.budget_name} budget"
    blocks = contents(findings)
    out.mkdir(parents=True, exist_ok=True)
    for block in blocks:
        if isinstance(block, Picture):
            (out / block.file).write_bytes(block.png)
    (out / "report.md").write_text(to_markdown(title, blocks))
    (out / "report.html").write_text(to_html(title, blocks))
    (out / "numbers.json").write_text(numbers(findings.plan))


def contents(findings: Findings) -> list[Block]:
    """The report, block by block."""
    sections = (opening, verdicts, results, tuning, curves, signal, movement, provenance)
    return [block for section in sections for block in section(findings)]


def numbers(plan: Plan) -> str:
    """Every result with its cell and its full config as JSON, one a line."""
    done = [task for task in plan.tasks if task.job in plan.results]
    return "[\n" + ",\n".join(json.dumps(record(task, plan)) for task in done) + "\n]\n"


def record(task: Task, plan: Plan) -> dict[str, Any]:
    """One result as plain values."""
    return {
        "variant": task.cell.variant.name,
        "candidate": task.cell.candidate.name,
        "kind": task.job.kind,
        "config": to_json(task.job.config),
        "result": to_plain(plan.results[task.job]),
    }
