"""Do what a study still needs, beside any number of other processes that do the same."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from experiments.compare.bar import StudyBar
from experiments.compare.perform import perform
from experiments.compare.plan import Task, make_plan
from experiments.compare.store import Store
from experiments.compare.study import Budget
from experiments.config import Execution
from experiments.interruption import Interruption

WAIT_SECONDS = 0.5


def work(budget: Budget, store: Store, execution: Execution) -> bool:
    """Run a study to its end, or until SIGTERM or Ctrl-C.

    A job that another process holds is passed over; where only such jobs are left, they are waited
    for.

    Args:
        budget: what is to be run.
        store: of the results.
        execution: where and how runs are computed.

    Returns:
        Whether all is done; False if it was interrupted.
    """
    plan = make_plan(budget, store)
    with StudyBar(plan) as bar, Interruption() as interruption:
        while plan.pending:
            if interruption.requested:
                return False
            with claimed(plan.pending, store) as task:
                if task is None:
                    time.sleep(WAIT_SECONDS)
                else:
                    result = perform(task.job, store.run_directory(task.job), execution)
                    if result is None:
                        return False
                    store.write(task.job, result)
                    bar.say(task, result)
            plan = make_plan(budget, store)
            bar.show(plan)
    return True


@contextmanager
def claimed(tasks: list[Task], store: Store) -> Iterator[Task | None]:
    """The first task that no process holds or has done in the meantime; None if there is none."""
    for task in tasks:
        with store.claim(task.job) as mine:
            if mine and store.read(task.job) is None:
                yield task
                return
    yield None
