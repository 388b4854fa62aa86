"""Everything that a report is made from."""

from typing import NamedTuple

from experiments.compare.plan import Plan
from experiments.compare.study import Budget, BudgetName, Study, Variant
from experiments.compare.summary import Summary, summarize


class Findings(NamedTuple):
    """A study as far as it was run.

    Args:
        name: of the study.
        study: what was asked.
        budget_name: with which budget.
        version: of the code that made the results.
        plan: the jobs, and the results of those that are done.
        summaries: one a cell, in the order of the study.
    """

    name: str
    study: Study
    budget_name: BudgetName
    version: str
    plan: Plan
    summaries: list[Summary]

    @property
    def budget(self) -> Budget:
        """What was to be run."""
        return self.study.budget(self.budget_name)

    def of(self, variant: Variant) -> list[Summary]:
        """The cells of one variant."""
        return [one for one in self.summaries if one.cell.variant.name == variant.name]

    def baseline(self, variant: Variant) -> Summary:
        """The cell of a variant that its others are compared with."""
        cells = self.of(variant)
        return next(one for one in cells if one.cell.candidate.name == self.study.baseline)


def find(name: str, study: Study, budget_name: BudgetName, version: str, plan: Plan) -> Findings:
    """Sum up the results that there are."""
    budget = study.budget(budget_name)
    summaries = [summarize(budget, cell, plan.results) for cell in budget.cells]
    return Findings(name, study, budget_name, version, plan, summaries)
