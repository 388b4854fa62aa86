"""How many steps to run between two looks at the metrics."""

import time

from experiments.advance import MAX_CHUNK


class Pace:
    """Sizes chunks of steps to a given time, and sums up the time spent in them.

    The first chunk of a run, which compiles, is one step and does not count.

    Args:
        seconds: that a chunk should take.
        batch_size: images a step.
    """

    def __init__(self, seconds: float, batch_size: int) -> None:
        self._seconds = seconds
        self._batch_size = batch_size
        self._chunk = 1
        self._compiled = False
        self._steps = 0
        self._elapsed = 0.0
        self._started = 0.0
        self.images_per_second = float("nan")

    def start(self, most: int) -> int:
        """Begin a chunk: its number of steps, at most so many."""
        self._started = time.perf_counter()
        return min(self._chunk, most)

    def stop(self, count: int) -> None:
        """End a chunk of ``count`` steps."""
        elapsed = time.perf_counter() - self._started
        self._chunk = max(1, min(MAX_CHUNK, int(count * self._seconds / elapsed)))
        if self._compiled:
            self._steps += count
            self._elapsed += elapsed
            self.images_per_second = count * self._batch_size / elapsed
        self._compiled = True

    @property
    def mean_images_per_second(self) -> float:
        """Over all chunks but the first."""
        return self._steps * self._batch_size / self._elapsed if self._steps else float("nan")
