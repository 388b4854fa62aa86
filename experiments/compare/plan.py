"""What a study still needs, given what is done."""

from typing import NamedTuple

from experiments.compare.jobs import Job, final_jobs, signal_job, tuning_jobs
from experiments.compare.store import Results, Store
from experiments.compare.study import Budget, Cell
from experiments.compare.tuning import choose


class Task(NamedTuple):
    """A job, and the cell that it belongs to."""

    cell: Cell
    job: Job

    def __str__(self) -> str:
        config = self.job.config
        rate = config.optimization.learning_rate
        run = "" if self.job.kind == "signal" else f", rate {rate:g}, seed {config.seed}"
        return f"{self.job.kind} of {self.cell}{run}"


class Plan(NamedTuple):
    """A study's jobs, and the results of those that are done.

    Args:
        tasks: signals and tuning runs, and the final runs of cells whose rate is chosen.
        later: final runs of the other cells.
        results: of all jobs that are done.
    """

    tasks: list[Task]
    later: int
    results: Results

    @property
    def total(self) -> int:
        """Jobs of the whole study."""
        return len(self.tasks) + self.later

    @property
    def done(self) -> int:
        """Jobs that are done."""
        return len(self.tasks) - len(self.pending)

    @property
    def pending(self) -> list[Task]:
        """What can be done now: cell by cell, so that the rows of the report fill one by one."""
        return [task for task in self.tasks if task.job not in self.results]


def make_plan(budget: Budget, store: Store) -> Plan:
    """The plan by what is in the store."""
    tasks, later, results = [], 0, {}
    for cell in budget.cells:
        early = early_jobs(budget, cell)
        results |= store.read_all(early)
        choice = choose(budget, cell, results)
        if choice is None:
            late, later = [], later + budget.seeds
        elif choice.learning_rate is None:
            late = []
        else:
            late = final_jobs(budget, cell, choice.learning_rate)
        results |= store.read_all(late)
        tasks += [Task(cell, job) for job in (*early, *late)]
    return Plan(tasks, later, results)


def early_jobs(budget: Budget, cell: Cell) -> list[Job]:
    """The jobs of a cell that wait for no other."""
    runs = [job for rate in budget.learning_rates for job in tuning_jobs(budget, cell, rate)]
    return [signal_job(budget, cell), *runs]
