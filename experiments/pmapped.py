"""Data parallelism through pmap, behind the same methods as `Sharded`.

State and images pass unmapped, so that checkpoints and evaluation see no difference. pmap only
receives maintenance in JAX; prefer `Sharded`.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.sharded import Sharded, Split
from experiments.step import DEVICE_AXIS


class Pmapped(Sharded):
    """Compiles training steps with pmap; each device gets a slice of every batch."""

    axis_name = DEVICE_AXIS

    def split(self, array: np.ndarray, how: Split) -> jax.Array:
        """The array with an axis of devices before the one that is split."""
        axis = len(how.value) - 1
        return jnp.asarray(np.stack(np.split(array, len(self.devices), axis), axis))

    def rows(self, batch: Any) -> Any:
        return jax.tree.map(lambda x: x.reshape(len(self.devices), -1, *x.shape[1:]), batch)

    def compile(self, step: Callable[..., Any], *splits: Any) -> Callable[..., Any]:
        arguments = jax.tree.map(lambda how: len(how.value) - 1 if how.value else None, splits)
        return jax.pmap(
            step,
            axis_name=self.axis_name,
            in_axes=(None, *arguments),
            out_axes=None,
            devices=self.devices,
            donate_argnums=0,
        )
