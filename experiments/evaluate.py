"""Exact loss and accuracy over a whole split, in batches of one shape."""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.data import PADDING_LABEL, ArrayData, DataInfo, normalize
from experiments.step import Batch, Recipe, TrainState


class Evaluation(NamedTuple):
    """Over all examples of a split: mean cross-entropy, without smoothing, and share right."""

    loss: float
    accuracy: float


class Sums(NamedTuple):
    """What the examples of a batch add up to; padding counts for nothing."""

    loss: jax.Array
    correct: jax.Array
    examples: jax.Array


Evaluate = Callable[[TrainState], Evaluation]


def batch_sums(recipe: Recipe, info: DataInfo, state: TrainState, batch: Batch) -> Sums:
    """Sums over a batch, in inference mode; examples of label -1 are padding."""
    variables = {"params": state.params, "batch_stats": state.statistics}
    inputs = normalize(batch.images, info)
    logits = cast(jax.Array, recipe.network.apply(variables, inputs, train=False))
    counted = batch.labels != PADDING_LABEL
    labels = jnp.where(counted, batch.labels, 0)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return Sums(
        loss=jnp.where(counted, losses, 0.0).sum(),
        correct=(counted & (logits.argmax(-1) == labels)).sum(),
        examples=counted.sum(),
    )


def make_evaluation(
    recipe: Recipe,
    info: DataInfo,
    batches: Callable[[], Iterable[Batch]],
    replicated: jax.sharding.Sharding,
) -> Evaluate:
    """Compile the evaluation of one split.

    Args:
        recipe: whose network is evaluated.
        info: how images are normalized.
        batches: gives the split's batches, all of one shape, placed on the devices.
        replicated: where the sums go.

    Returns:
        From a state to its `Evaluation`.
    """
    sums = jax.jit(functools.partial(batch_sums, recipe, info), out_shardings=replicated)

    def evaluate(state: TrainState) -> Evaluation:
        parts = jax.device_get([sums(state, batch) for batch in batches()])
        total = Sums(*np.asarray(parts, np.float64).sum(axis=0))
        return Evaluation(float(total.loss / total.examples), float(total.correct / total.examples))

    return evaluate


def whole_batches(data: ArrayData, batch_size: int) -> Iterator[ArrayData]:
    """The examples in batches of one size, the last filled up with black images of label -1.

    >>> data = ArrayData(np.ones((5, 2, 2, 1), np.uint8), np.arange(5, dtype=np.int32))
    >>> [batch.labels.tolist() for batch in whole_batches(data, 3)]
    [[0, 1, 2], [3, 4, -1]]
    """
    for start in range(0, len(data.labels), batch_size):
        images, labels = (array[start : start + batch_size] for array in data)
        missing = batch_size - len(labels)
        yield ArrayData(
            np.pad(images, ((0, missing), (0, 0), (0, 0), (0, 0))),
            np.pad(labels, (0, missing), constant_values=PADDING_LABEL),
        )
