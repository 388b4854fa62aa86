"""Training data on its way into the step: resident on the device, or streamed from disk."""

from typing import Protocol

import jax
import numpy as np

from experiments.advance import Advance
from experiments.data import ArrayData, epoch_order
from experiments.sharded import Sharded
from experiments.step import Batches, StepMetrics, TrainState


class Feed(Protocol):
    """Runs training steps on the data that belongs to them."""

    def run(self, state: TrainState, step: int, count: int) -> tuple[TrainState, StepMetrics]:
        """``count`` steps from ``step`` on, all within one epoch; metrics are arrays (count,)."""
        ...


class ResidentFeed:
    """A whole data set on the device as uint8, and each epoch's order of it.

    Images that do not fill a batch at the end of an epoch wait for another epoch's order.

    Args:
        placement: where arrays go.
        advance: the compiled steps.
        data: decoded training images.
        batch_size: images a step.
        seed: of the order.
    """

    def __init__(
        self, placement: Sharded, advance: Advance, data: ArrayData, batch_size: int, seed: int
    ) -> None:
        self._placement = placement
        self._advance = advance
        self._data = placement.replicate(data)
        self._shape = (len(data.labels) // batch_size, batch_size)
        self._size = len(data.labels)
        self._key = jax.random.key(seed)
        self._epoch = -1
        self._order: jax.Array | None = None

    def run(self, state: TrainState, step: int, count: int) -> tuple[TrainState, StepMetrics]:
        return self._advance(state, self._batches(step // self._shape[0]), count)

    def _batches(self, epoch: int) -> Batches:
        if epoch != self._epoch or self._order is None:
            order = np.asarray(epoch_order(self._key, epoch, self._size))
            order = order[: self._shape[0] * self._shape[1]].reshape(self._shape)
            self._order = self._placement.place_order(order)
            self._epoch = epoch
        return self._placement.batches(self._data, self._order)
