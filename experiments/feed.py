"""Training data on its way into the step: resident on the devices, or streamed from disk."""

import functools
from collections.abc import Callable, Iterator
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np

from experiments.advance import Batches, compile_steps, fetch
from experiments.data import ArrayData, epoch_order
from experiments.sharded import Sharded, Split
from experiments.step import Batch, Recipe, StepMetrics, TrainState, train_step


class Feed(Protocol):
    """Runs training steps on the data that belongs to them."""

    def run(self, state: TrainState, step: int, count: int) -> tuple[TrainState, StepMetrics]:
        """``count`` steps from ``step`` on, over any number of epochs; metrics are (count,)."""
        ...

    def batch(self, step: int) -> Batch:
        """The images and labels of the update from ``step`` to the next."""
        ...


class ResidentFeed:
    """A whole data set on the devices as uint8, and each epoch's order of it.

    Images that do not fill a batch at the end of an epoch wait for another epoch's order.

    Args:
        placement: of arrays on the devices.
        recipe: of the step.
        data: decoded training images.
        batch_size: images a step.
        seed: of the order.
    """

    def __init__(
        self, placement: Sharded, recipe: Recipe, data: ArrayData, batch_size: int, seed: int
    ) -> None:
        self._placement = placement
        self._advance = compile_steps(placement, recipe)
        self._host = data
        self._data = placement.replicate(data)
        self._batch_size = batch_size
        self._key = jax.random.key(seed)
        self.epoch = functools.lru_cache(maxsize=1)(self._place)

    def run(self, state: TrainState, step: int, count: int) -> tuple[TrainState, StepMetrics]:
        record = []
        end = step + count
        while step < end:
            epoch = step // self._steps
            stop = min(end, (epoch + 1) * self._steps)
            state, metrics = self._advance(state, self.epoch(epoch), stop - step)
            record.append(metrics)
            step = stop
        return state, jax.tree.map(lambda *parts: np.concatenate(parts), *record)

    def batch(self, step: int) -> Batch:
        row = self._order(step // self._steps)[step % self._steps]
        return Batch(jnp.asarray(self._host.images[row]), jnp.asarray(self._host.labels[row]))

    @property
    def _steps(self) -> int:
        """Steps an epoch."""
        return len(self._host.labels) // self._batch_size

    def _order(self, epoch: int) -> np.ndarray:
        """Image numbers (steps, batch) of an epoch."""
        order = np.asarray(epoch_order(self._key, epoch, len(self._host.labels)))
        return order[: self._steps * self._batch_size].reshape(self._steps, self._batch_size)

    def _place(self, epoch: int) -> Batches:
        order = self._placement.split(self._order(epoch), Split.COLUMNS)
        return Batches(self._data.images, self._data.labels, order)


class StreamedFeed:
    """Batches read from disk ahead of the step that needs them; a dispatch a step.

    Args:
        placement: of arrays on the devices.
        recipe: of the step.
        batches_from: gives the batches of a step and all after it, split over the devices.
    """

    def __init__(
        self,
        placement: Sharded,
        recipe: Recipe,
        batches_from: Callable[[int], Iterator[Batch]],
    ) -> None:
        self._placement = placement
        self._step = placement.compile(
            functools.partial(train_step, recipe), Batch(Split.ROWS, Split.ROWS)
        )
        self._batches_from = batches_from
        self._next = -1
        self._batches: Iterator[Batch] = iter(())

    def run(self, state: TrainState, step: int, count: int) -> tuple[TrainState, StepMetrics]:
        if step != self._next:
            self._batches = self._batches_from(step)
        record = []
        for _ in range(count):
            state, metrics = self._step(state, self._placement.rows(next(self._batches)))
            record.append(metrics)
        self._next = step + count
        return state, fetch(record)

    def batch(self, step: int) -> Batch:
        return next(self._batches_from(step))
