"""What the networks of a study look like inside: the signal at the start, what training changed."""

from experiments.compare.document import Block, Heading, Paragraph, Picture, Table
from experiments.compare.findings import Findings
from experiments.compare.movement import RANK_TOLERANCE
from experiments.compare.pictures import signals
from experiments.compare.summary import Summary, movement_by_role
from experiments.compare.words import NONE, digits, percent

SIGNAL_COLUMNS = (
    "network", "start", "loss", "gradient norm", "variance, last / first",
    "gradient, first / last", "dead %",
)  # fmt: skip


def signal(findings: Findings) -> list[Block]:
    """Forward and backward signal of the first batch."""
    return [
        Heading("Signal at the start"),
        Paragraph(
            "The first batch of a run, as it trains. First and last are places on the main path "
            "(kernels and residual sums), the head left out: forward the variance of activations, "
            "backward the norm of the loss's gradient there. Dead are parameters whose gradient is "
            "exactly zero."
        ),
        Table(SIGNAL_COLUMNS, [signal_row(summary) for summary in findings.summaries]),
        Picture(
            "signal.png",
            "Variance and gradient norm along the main path at the start",
            signals(findings.summaries),
        ),
    ]


def signal_row(summary: Summary) -> list[str]:
    """One cell of the study."""
    names = [summary.cell.variant.name, summary.cell.candidate.name]
    if summary.signal is None:
        return [*names, *[NONE] * (len(SIGNAL_COLUMNS) - len(names))]
    found = summary.signal
    return [
        *names,
        digits(found.loss),
        digits(found.gradient_norm),
        digits(ratio(found.variance[-2], found.variance[0])),
        digits(ratio(found.gradient[0], found.gradient[-2])),
        percent(found.dead),
    ]


def ratio(above: float | None, below: float | None) -> float | None:
    """None where one is missing or the lower one is zero."""
    return None if above is None or not below else above / below


def movement(findings: Findings) -> list[Block]:
    """Share of changed parameters and rank of the updates, by role."""
    found = [(summary, movement_by_role(summary)) for summary in findings.summaries]
    roles = list(dict.fromkeys(row.role for _, rows in found for row in rows))
    table = []
    for summary, rows in found:
        by_role = {row.role: row for row in rows}
        cells = [
            f"{percent(by_role[role].changed)} / {percent(by_role[role].rank)} / "
            f"{percent(by_role[role].effective_rank)}"
            if role in by_role
            else NONE
            for role in roles
        ]
        table.append([summary.cell.variant.name, summary.cell.candidate.name, *cells])
    return [
        Heading("What training changed"),
        Paragraph(
            "By role of the kernels, in %: entries that differ from their first values at all / "
            "rank of the update / effective rank of the update. Ranks are over the smaller side of "
            f"a kernel's matrix, singular values counting above {RANK_TOLERANCE:g} of the largest; "
            "the effective rank is (sum s^2)^2 / sum s^4. Means over kernels and final runs. "
            "Weight decay moves every entry that is not zero."
        ),
        Table(["network", "start", *roles], table),
    ]
