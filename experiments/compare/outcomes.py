"""What came out of a study: its verdicts, its tables of results and of learning rates."""

from experiments.compare.document import Block, Bullets, Heading, Paragraph, Picture, Table
from experiments.compare.findings import Findings
from experiments.compare.pictures import final_accuracy, learning_rates, training_curves
from experiments.compare.statistics import needed_effect, spread
from experiments.compare.study import Variant
from experiments.compare.summary import (
    Summary,
    difference,
    initial_loss,
    loss_after,
    race,
)
from experiments.compare.words import (
    NONE,
    digits,
    listed,
    percent,
    probability,
    racing,
    with_interval,
    with_spread,
)

READING = (
    "Accuracy is that of the test images, read once, at the end of each final run; mean ± "
    "standard deviation over seeds. Losses after so many epochs and epochs to a target are of "
    "the training batches, averaged over at least 5 of them; seconds are of training steps "
    "alone, compilation and evaluation left out, on the machines named below. A rate marked "
    '"lowest" or "highest" lies at the edge of the grid: a better one may lie beyond it.'
)


def verdicts(findings: Findings) -> list[Block]:
    """A sentence a variant, and how far it can be trusted."""
    sentences = [verdict(findings, variant) for variant in findings.budget.variants]
    return [
        Heading("What the numbers say"),
        Bullets(sentences),
        Paragraph(caution(findings)),
        Picture(
            "accuracy.png",
            "Final accuracy, mean and standard deviation over seeds",
            final_accuracy(findings.summaries),
        ),
    ]


def verdict(findings: Findings, variant: Variant) -> str:
    """The candidate of the highest mean accuracy, beside the baseline."""
    cells = [one for one in findings.of(variant) if one.accuracies]
    if not cells:
        return f"{variant.name}: no final run is done."
    ranked = sorted(cells, key=mean_accuracy, reverse=True)
    best, baseline = ranked[0], findings.baseline(variant)
    sentence = f"{variant.name}: highest is {named(best)}"
    if best is not baseline and baseline.accuracies:
        gap = difference(best, baseline)
        sentence += (
            f"; {named(baseline)}; difference {with_interval(gap)} points, p = {probability(gap)}"
        )
    elif best is baseline and len(ranked) > 1:
        sentence += f"; next is {named(ranked[1])}"
    lost = [one.cell.candidate.name for one in findings.of(variant) if nothing_to_run(one)]
    sentence += f". Diverged at every learning rate: {listed(lost)}" if lost else ""
    cells = findings.of(variant)
    waiting = [one.cell.candidate.name for one in cells if not finished(findings, one)]
    sentence += f". Not finished: {listed(waiting)}" if waiting else ""
    return sentence + "."


def named(summary: Summary) -> str:
    """A candidate with its accuracy."""
    return f"{summary.cell.candidate.name} with {accuracy(summary)} %"


def mean_accuracy(summary: Summary) -> float:
    """In %."""
    return spread(list(summary.accuracies.values())).mean


def accuracy(summary: Summary) -> str:
    """Mean and standard deviation over the runs that came to their end."""
    values = list(summary.accuracies.values())
    return with_spread(spread(values) if values else None, ".1f")


def nothing_to_run(summary: Summary) -> bool:
    """Whether tuning found no rate to train at."""
    return summary.choice is not None and summary.choice.learning_rate is None


def finished(findings: Findings, summary: Summary) -> bool:
    """Whether all runs of a cell are done."""
    return nothing_to_run(summary) or len(summary.runs) == findings.budget.seeds


def caution(findings: Findings) -> str:
    """How much the tests of this study can tell."""
    budget = findings.budget
    comparisons = len(budget.variants) * (len(budget.candidates) - 1)
    test = (
        f"Differences to {findings.study.baseline} are in points of final accuracy, paired by seed,"
        " with a 95 % confidence interval and the p-value of a two-sided paired t test"
    )
    if budget.seeds < 2:
        return f"{test}; of a single seed there is neither."
    return (
        f"{test}, not corrected for the number of comparisons, {comparisons} (Bonferroni: "
        f"{0.05 / max(1, comparisons):.2g} instead of 0.05). With {budget.seeds} seeds this is a "
        f"{'weak' if budget.seeds < 5 else 'modest'} test: a mean difference is significant only "
        f"from {needed_effect(budget.seeds):.1f} standard deviations of the differences on, the "
        "interval rests on their being normal, and a difference that is not significant may still "
        "be real."
    )


def results(findings: Findings) -> list[Block]:
    """A table a variant."""
    blocks: list[Block] = [Heading("Results")]
    for variant in findings.budget.variants:
        blocks += [Paragraph(f"{variant.name}:"), result_table(findings, variant)]
    return [*blocks, Paragraph(READING)]


def result_table(findings: Findings, variant: Variant) -> Table:
    """One row a candidate."""
    budget, study = findings.budget, findings.study
    published = any(candidate.published is not None for candidate in budget.candidates)
    columns = [
        "start",
        "learning rate",
        "initial loss",
        *(f"loss at epoch {epochs:g}" for epochs in budget.loss_epochs),
        *(f"epochs to {target:.0%}" for target in budget.targets),
        *(f"seconds to {target:.0%}" for target in budget.targets),
        "accuracy %",
        "runs",
        f"minus {study.baseline}",
        "p",
        *(["published %"] if published else []),
    ]
    return Table(
        columns, [result_row(findings, one, variant, published) for one in findings.of(variant)]
    )


def result_row(
    findings: Findings, summary: Summary, variant: Variant, published: bool
) -> list[str]:
    """A candidate's cells."""
    budget, baseline = findings.budget, findings.baseline(variant)
    gap = None if summary is baseline else difference(summary, baseline)
    races = [race(summary, target) for target in budget.targets]
    against = races if summary is baseline else [race(baseline, one) for one in budget.targets]
    losses = [loss_after(summary, epochs) for epochs in budget.loss_epochs]
    return [
        summary.cell.candidate.name,
        rate(summary),
        with_spread(initial_loss(summary), ".3g"),
        *(with_spread(loss, ".3g") for loss in losses),
        *(
            racing(ours, theirs, findings.study.baseline)
            for ours, theirs in zip(races, against, strict=True)
        ),
        *(digits(one.seconds) for one in races),
        accuracy(summary),
        runs(findings, summary),
        with_interval(gap),
        probability(gap),
        *([digits(summary.cell.candidate.published)] if published else []),
    ]


def rate(summary: Summary) -> str:
    """The chosen rate, and whether it lies at the edge of the grid."""
    choice = summary.choice
    if choice is None:
        return "not yet tuned"
    if choice.learning_rate is None:
        return "diverged at every rate"
    return f"{choice.learning_rate:g}" + (f" ({choice.edge})" if choice.edge else "")


def runs(findings: Findings, summary: Summary) -> str:
    """How many final runs are done, and how many of them diverged."""
    if nothing_to_run(summary):
        return NONE
    done, wanted = len(summary.runs), findings.budget.seeds
    text = str(done) if done == wanted else f"{done} of {wanted}"
    return f"{text}, {summary.diverged} diverged" if summary.diverged else text


def tuning(findings: Findings) -> list[Block]:
    """Held-out accuracy at every rate of the grid."""
    budget = findings.budget
    heading = Heading("Learning rates")
    if len(budget.learning_rates) == 1:
        only = Paragraph(f"Not tuned: every run has the rate {budget.learning_rates[0]:g}.")
        return [heading, only]
    columns = ["network", "start", *(f"{one:g}" for one in budget.learning_rates)]
    rows = [
        [one.cell.variant.name, one.cell.candidate.name, *tried(one)] for one in findings.summaries
    ]
    return [
        heading,
        Paragraph(
            f"Accuracy in % on {budget.validation:.0%} of the training images, held out from "
            f"training; {budget.tuning_seeds} run(s) a rate, of seeds that no final run has. "
            "The chosen rate is marked with a star."
        ),
        Table(columns, rows),
        Picture(
            "rates.png",
            "Held-out accuracy over the learning rate",
            learning_rates(findings.summaries),
        ),
    ]


def tried(summary: Summary) -> list[str]:
    """One cell a rate."""
    chosen = summary.choice.learning_rate if summary.choice else None
    cells = []
    for one in summary.scores:
        text = NONE if one.accuracy is None else percent(one.accuracy)
        text = f"{one.diverged} of {one.runs} diverged" if one.diverged else text
        cells.append(f"{text} *" if one.learning_rate == chosen else text)
    return cells


def curves(findings: Findings) -> list[Block]:
    """How training went."""
    return [
        Heading("Training curves"),
        Picture(
            "curves.png",
            "Training loss and accuracy: means over seeds, bands of one standard deviation",
            training_curves(findings.summaries),
        ),
    ]
