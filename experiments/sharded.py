"""Data parallelism through global arrays: the batch is sharded over a mesh, all else replicated."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from experiments.advance import Advance, all_at_once, one_by_one, resident_step, resident_steps
from experiments.data import ArrayData
from experiments.step import Batches, Recipe


class Sharded:
    """Places arrays on a mesh of all ``devices`` and compiles the training step for it."""

    def __init__(self, devices: Sequence[jax.Device]) -> None:
        mesh = Mesh(np.asarray(devices), ("data",))
        self.replicated = NamedSharding(mesh, PartitionSpec())
        self.by_column = NamedSharding(mesh, PartitionSpec(None, "data"))
        self.by_row = NamedSharding(mesh, PartitionSpec("data"))

    def replicate(self, tree: Any) -> Any:
        """The same values on every device."""
        return jax.device_put(tree, self.replicated)

    def shard(self, batch: ArrayData) -> ArrayData:
        """A batch that every process has whole, each device with its rows."""
        return ArrayData(
            *(jax.make_array_from_callback(x.shape, self.by_row, x.__getitem__) for x in batch)
        )

    def place_order(self, order: np.ndarray) -> jax.Array:
        """Rows of image numbers (steps, batch), each device with its columns."""
        return jax.make_array_from_callback(order.shape, self.by_column, order.__getitem__)

    def batches(self, data: ArrayData, order: jax.Array) -> Batches:
        """The placed data set in an epoch's order."""
        return Batches(data.images, data.labels, order)

    def compile(self, recipe: Recipe, *, loop: bool) -> Advance:
        """The training step, looped on the device or dispatched one by one."""
        everywhere = self.replicated
        batches = Batches(everywhere, everywhere, self.by_column)
        if loop:
            steps = functools.partial(resident_steps, recipe)
            return all_at_once(
                jax.jit(
                    steps,
                    in_shardings=(everywhere, batches, everywhere),
                    out_shardings=everywhere,
                    donate_argnums=0,
                )
            )
        step = functools.partial(resident_step, recipe)
        return one_by_one(
            jax.jit(
                step,
                in_shardings=(everywhere, batches),
                out_shardings=everywhere,
                donate_argnums=0,
            )
        )
