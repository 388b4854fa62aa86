"""The steps of a run at which something other than training happens."""

from typing import NamedTuple


class Milestones(NamedTuple):
    """When to evaluate and save.

    Args:
        total: steps of the run; its end is evaluated and saved.
        evaluate_every: steps between evaluations, each of which is saved.
        save_every: steps between further checkpoints; None for none.

    >>> milestones = Milestones(total=25, evaluate_every=10, save_every=4)
    >>> milestones.after(4), milestones.after(8), milestones.after(20)
    (8, 10, 24)
    >>> milestones.evaluates(10), milestones.evaluates(24), milestones.evaluates(25)
    (True, False, True)
    """

    total: int
    evaluate_every: int
    save_every: int | None

    def after(self, step: int) -> int:
        """The first milestone after ``step``."""
        intervals = [self.evaluate_every, self.save_every or self.evaluate_every]
        return min(self.total, *((step // every + 1) * every for every in intervals))

    def evaluates(self, step: int) -> bool:
        """Whether ``step`` is evaluated."""
        return step == self.total or step % self.evaluate_every == 0
