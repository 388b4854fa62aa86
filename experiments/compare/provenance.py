"""How a study was run: networks, data, recipe, machines, versions, time, command."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from experiments.compare.bar import readable
from experiments.compare.document import Block, Bullets, Heading, Paragraph, Table
from experiments.compare.findings import Findings

FILLED_IN = {"learning_rate", "validation"}
"""Fields that the comparison sets in each run, see the tables."""


def opening(findings: Findings) -> list[Block]:
    """The question, and how much of the study is done."""
    plan = findings.plan
    blocks: list[Block] = [Paragraph(findings.study.question)]
    if plan.done < plan.total:
        text = f"This study is not finished: {plan.done} of {plan.total} runs are done."
        blocks.append(Paragraph(text))
    return blocks


def provenance(findings: Findings) -> list[Block]:
    """Everything that is needed to run it again."""
    budget = findings.budget
    costs = [result.cost for result in findings.plan.results.values()]
    seconds = sum(cost.seconds or 0.0 for cost in costs)
    return [
        Heading("How it was run"),
        Bullets([
            f"Budget: {findings.budget_name}; {budget.seeds} seed(s), {budget.tuning_seeds} tuning "
            f"seed(s), learning rates {', '.join(f'{one:g}' for one in budget.learning_rates)}.",
            f"Command: `python -m experiments.compare {findings.name} --budget "
            f"{findings.budget_name}`.",
            f"Code version {findings.version}, of the sources that decide a run's numbers; git "
            f"commit {joined(cost.commit for cost in costs)} (+ where files differed from it).",
            f"Machine: {joined(cost.machine for cost in costs)}.",
            f"Time: {readable(seconds)} for {len(costs)} runs, one after the other; of a run that "
            "was interrupted, its last part.",
        ]),
        Table(
            ["network", "model", "data", "recipe"],
            [
                [
                    variant.name,
                    described(variant.config.model),
                    described(variant.config.data),
                    described(variant.config.optimization),
                ]
                for variant in budget.variants
            ],
        ),
        Table(
            ["start", "initialization"],
            [[candidate.name, described(candidate.init)] for candidate in budget.candidates],
        ),
    ]  # fmt: skip


def joined(values: Iterable[str]) -> str:
    """The different values, in a fixed order."""
    return "; ".join(sorted(set(values))) or "(none yet)"


def described(part: Any) -> str:
    """A part of a config: its class, and its fields but those that are None or filled in.

    >>> from experiments.config import MLP
    >>> described(MLP(features=(8, 8)))
    "MLP(features=(8, 8), activation='relu', scan=False)"
    """
    fields = {field.name: getattr(part, field.name) for field in dataclasses.fields(part)}
    shown = [
        f"{name}={value!r}"
        for name, value in fields.items()
        if name not in FILLED_IN and value is not None
    ]
    return f"{type(part).__name__}({', '.join(shown)})"
