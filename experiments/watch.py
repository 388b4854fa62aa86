"""The signal of a network while it trains: what `signal.measure` reports of one of its steps."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from experiments.sharded import Sharded, Split
from experiments.step import Batch, Recipe, TrainState, augmented, cross_entropy, targets_of
from idinit_jax.signal import Meter, SignalReport, Statistics, make_meter

Watch = Callable[[TrainState, Batch], SignalReport]


def make_watch(recipe: Recipe, mesh: Sharded, inputs: tuple[int, ...]) -> Watch:
    """Prepare to measure the forward and backward signal of a step; nothing is updated.

    The model is traced and compiled at the first call, for all further ones.

    Args:
        recipe: of a step on global arrays.
        mesh: that a batch is split over.
        inputs: shape of what the network sees of a batch, (N, H, W, C).

    Returns:
        From the state before a step and its batch to the report, with the loss of that step.
    """

    @functools.cache
    def meter() -> Meter:
        images = jax.ShapeDtypeStruct(inputs, jnp.float32)
        values = jax.eval_shape(recipe.network.init, jax.random.key(0), images)

        return make_meter(
            recipe.network, values, images, loss=cross_entropy, call_kwargs={"train": True}
        )

    def statistics(state: TrainState, batch: Batch) -> Statistics:
        batch = jax.lax.with_sharding_constraint(batch, mesh.shardings[Split.ROWS])
        values = {"params": state.params, "batch_stats": state.statistics}
        arguments = meter().arguments(values, (augmented(recipe, state, batch),))
        return meter().statistics(*arguments, (targets_of(recipe, state, batch.labels),))

    compiled = jax.jit(statistics, out_shardings=mesh.shardings[Split.WHOLE])
    return lambda state, batch: meter().report(compiled(state, batch))
