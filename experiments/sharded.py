"""Data parallelism through global arrays: a batch is split over a mesh, all else is replicated."""

import enum
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from experiments.step import DEVICE_AXIS


class Split(enum.Enum):
    """How an array is spread over the devices: not at all, or along its first or second axis.

    No member is a plain tuple: Python 3.11.2 gives one whose value is `()` another value.
    """

    WHOLE = PartitionSpec()
    ROWS = PartitionSpec(DEVICE_AXIS)
    COLUMNS = PartitionSpec(None, DEVICE_AXIS)


class Sharded:
    """Places arrays on a mesh and compiles training steps for it with jit.

    Args:
        devices: of all processes, in one row.
    """

    axis_name = None

    def __init__(self, devices: Sequence[Any]) -> None:
        self.devices = tuple(devices)
        mesh = Mesh(np.asarray(devices), (DEVICE_AXIS,))
        self.shardings = {how: NamedSharding(mesh, how.value) for how in Split}

    def replicate(self, tree: Any) -> Any:
        """The same values on every device, given that every process has them."""
        whole = self.shardings[Split.WHOLE]

        def spread(leaf: Any) -> jax.Array:
            return jax.make_array_from_callback(leaf.shape, whole, leaf.__getitem__)

        return jax.tree.map(spread, tree)

    def split(self, array: np.ndarray, how: Split) -> jax.Array:
        """An array that every process holds whole, each device with its part."""
        return jax.make_array_from_callback(array.shape, self.shardings[how], array.__getitem__)

    def rows(self, batch: Any) -> Any:
        """A global batch, split by rows, as the compiled step takes it."""
        return batch

    def compile(self, step: Callable[..., Any], *splits: Any) -> Callable[..., Any]:
        """``step(state, *arguments)`` compiled; the state is replicated, and its memory reused.

        Args:
            step: gives replicated results.
            splits: a tree of `Split` for each argument after the state.
        """
        arguments = jax.tree.map(self.shardings.__getitem__, splits)
        whole = self.shardings[Split.WHOLE]
        return jax.jit(
            step, in_shardings=(whole, *arguments), out_shardings=whole, donate_argnums=0
        )
