"""The steps of a run at which something other than training happens."""

from typing import NamedTuple


class Milestones(NamedTuple):
    """When to evaluate, to save, and to look at the signal.

    Args:
        total: steps of the run; its end is evaluated and saved.
        evaluate_every: steps between evaluations, each of which is saved.
        save_every: steps between further checkpoints; None for none.
        watch_every: the signal of the first update, and of every so many, is recorded; None for
            never.

    >>> milestones = Milestones(total=25, evaluate_every=10, save_every=4, watch_every=6)
    >>> milestones.after(0), milestones.after(5), milestones.after(8), milestones.after(20)
    (4, 8, 10, 23)
    >>> milestones.evaluates(10), milestones.evaluates(24), milestones.evaluates(25)
    (True, False, True)
    >>> [step for step in range(25) if milestones.watches(step)]
    [0, 5, 11, 17, 23]
    """

    total: int
    evaluate_every: int
    save_every: int | None
    watch_every: int | None = None

    def after(self, step: int) -> int:
        """The first milestone after ``step``."""
        intervals = [self.evaluate_every, self.save_every or self.evaluate_every]
        stops = [(step // every + 1) * every for every in intervals]
        if self.watch_every:
            stops.append(((step + 1) // self.watch_every + 1) * self.watch_every - 1)
        return min(self.total, *stops)

    def evaluates(self, step: int) -> bool:
        """Whether ``step`` is evaluated."""
        return step == self.total or step % self.evaluate_every == 0

    def saves(self, step: int) -> bool:
        """Whether ``step`` is saved; what is evaluated is."""
        return self.evaluates(step) or bool(self.save_every and step % self.save_every == 0)

    def watches(self, step: int) -> bool:
        """Whether the signal of the update after ``step``, which is number ``step + 1``, is."""
        every = self.watch_every
        return bool(every) and (step == 0 or (step + 1) % every == 0)
