"""Many training steps to one look at the metrics.

On an accelerator they are one dispatch: a loop on the device. On CPU each step is a dispatch of its
own, because XLA runs the convolutions in a loop's body on one thread and without its fast kernels:
8 steps of ResNet-20 at batch 128 on 2 cores took 115 s inside the loop and 5.0 s outside (JAX
0.10.2; 157 s and 3.7 s with 0.12.0; benchmarks/train_dispatch.py).
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.sharded import Sharded, Split
from experiments.step import Batch, Recipe, StepMetrics, TrainState, train_step

MAX_CHUNK = 512


class Batches(NamedTuple):
    """A data set on the devices, and which of its images each step of an epoch takes.

    Args:
        images: uint8 (N, H, W, C).
        labels: int32 (N,).
        order: int32 (steps, batch), one row a step; under pmap this device's part of each row.
    """

    images: Any
    labels: Any
    order: Any


Advance = Callable[[TrainState, Batches, int], tuple[TrainState, StepMetrics]]
"""(state, batches, count) -> (state after so many steps, metrics as float32 arrays (count,))."""


class Chunk(NamedTuple):
    """The state after some steps, and a buffer whose first entries hold their metrics."""

    state: TrainState
    metrics: StepMetrics


def resident_step(
    recipe: Recipe, state: TrainState, batches: Batches
) -> tuple[TrainState, StepMetrics]:
    """One step on the batch that the epoch's order has for it."""
    row = batches.order[state.step % len(batches.order)].reshape(-1)
    return train_step(recipe, state, Batch(batches.images[row], batches.labels[row]))


def resident_steps(recipe: Recipe, state: TrainState, batches: Batches, count: jax.Array) -> Chunk:
    """``count`` steps in a loop on the device; one program whatever the count."""

    def body(i: jax.Array, chunk: Chunk) -> Chunk:
        state, metrics = resident_step(recipe, chunk.state, batches)
        return Chunk(state, jax.tree.map(lambda a, x: a.at[i].set(x), chunk.metrics, metrics))

    empty = jnp.zeros((MAX_CHUNK,), jnp.float32)
    blank = StepMetrics(*[empty] * len(StepMetrics._fields))
    return jax.lax.fori_loop(0, count, body, Chunk(state, blank))


def compile_steps(placement: Sharded, recipe: Recipe) -> Advance:
    """The training steps on resident data, as suits the devices of ``placement``."""
    batches = Batches(Split.WHOLE, Split.WHOLE, Split.COLUMNS)
    if placement.devices[0].platform == "cpu":
        return one_by_one(placement.compile(functools.partial(resident_step, recipe), batches))
    steps = functools.partial(resident_steps, recipe)
    return all_at_once(placement.compile(steps, batches, Split.WHOLE))


def one_by_one(step: Callable[[TrainState, Batches], tuple[TrainState, StepMetrics]]) -> Advance:
    """A dispatch a step; the metrics are fetched at the end."""

    def advance(state: TrainState, batches: Batches, count: int) -> tuple[TrainState, StepMetrics]:
        record = []
        for _ in range(count):
            state, metrics = step(state, batches)
            record.append(metrics)
        return state, fetch(record)

    return advance


def fetch(record: list[StepMetrics]) -> StepMetrics:
    """Metrics of single steps as arrays on the host, one entry a step."""
    return StepMetrics(*np.asarray(jax.device_get(record), np.float32).T)


def all_at_once(steps: Callable[[TrainState, Batches, jax.Array], Chunk]) -> Advance:
    """One dispatch for all steps."""

    def advance(state: TrainState, batches: Batches, count: int) -> tuple[TrainState, StepMetrics]:
        chunk = steps(state, batches, jnp.int32(count))
        return chunk.state, jax.tree.map(lambda x: x[:count], jax.device_get(chunk.metrics))

    return advance
