"""The training step: one function, whatever runs it in parallel."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from experiments.data import Augmentation, Crops, apply_crops, draw_crops

DEVICE_AXIS = "devices"


class Batch(NamedTuple):
    """Images uint8 (N, H, W, C) and labels int32 (N,), on the devices; or a tree of that form."""

    images: Any
    labels: Any


class TrainState(NamedTuple):
    """All that a run carries from one step to the next.

    Args:
        step: int32, how many updates have been made.
        key: of the run; a step folds its number in.
        learning_rate: float32, the highest of the run.
        params: float32 parameters.
        statistics: running averages of the batch norms, or {}.
        opt_state: optax's.
        halted: whether a value was not finite; the state then stays as it was before that step.
    """

    step: jax.Array
    key: jax.Array
    learning_rate: jax.Array
    params: Any
    statistics: Any
    opt_state: optax.OptState
    halted: jax.Array


class StepMetrics(NamedTuple):
    """float32 scalars of one step, of the parameters before its update.

    Args:
        loss: mean over the batch, label smoothing included.
        accuracy: share of the batch that is classified right.
        learning_rate: of this step.
        gradient_norm: global, before clipping.
        parameter_norm: global.
        update_norm: global, of what is added to the parameters.
    """

    loss: jax.Array
    accuracy: jax.Array
    learning_rate: jax.Array
    gradient_norm: jax.Array
    parameter_norm: jax.Array
    update_norm: jax.Array


class Recipe(NamedTuple):
    """What a step does, apart from the numbers it does it to.

    Args:
        network: a module whose ``__call__(images, train)`` gives logits.
        optimizer: from gradients to updates at a learning rate of -1.
        schedule: the learning rate of a step as a share of the run's highest.
        augmentation: from uint8 images to the network's input.
        label_smoothing: probability spread evenly over all classes.
        axis_name: the pmap axis to average over; None where arrays are global.
    """

    network: nn.Module
    optimizer: optax.GradientTransformationExtraArgs
    schedule: optax.Schedule
    augmentation: Augmentation
    label_smoothing: float
    axis_name: str | None = None


def initial_state(
    recipe: Recipe, key: jax.Array, learning_rate: jax.Array, variables: Mapping[str, Any]
) -> TrainState:
    """The state before the first step.

    Args:
        recipe: with the optimizer.
        key: of the run.
        learning_rate: float32, the highest of the run.
        variables: the network's first.
    """
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        key=key,
        learning_rate=learning_rate,
        params=variables["params"],
        statistics=variables.get("batch_stats", {}),
        opt_state=recipe.optimizer.init(variables["params"]),
        halted=jnp.zeros((), bool),
    )


def train_step(recipe: Recipe, state: TrainState, batch: Batch) -> tuple[TrainState, StepMetrics]:
    """One update, or none if the loss or the gradient is not finite, or once was.

    Args:
        recipe: what to do.
        state: before the step.
        batch: images uint8 and labels; the whole batch, or under pmap this device's part.

    Returns:
        The next state, and the metrics of the step.
    """
    inputs = augmented(recipe, state, batch)
    gradient = jax.value_and_grad(smoothed_loss, argnums=1, has_aux=True)
    (loss, (accuracy, statistics)), grads = gradient(
        recipe, state.params, state.statistics, inputs, batch.labels
    )
    loss, accuracy, grads = mean_over_devices((loss, accuracy, grads), recipe.axis_name)
    learning_rate = state.learning_rate * recipe.schedule(state.step)
    ascent, opt_state = recipe.optimizer.update(grads, state.opt_state, state.params)
    updates = jax.tree.map(lambda direction: -learning_rate * direction, ascent)
    metrics = StepMetrics(
        loss=loss,
        accuracy=accuracy,
        learning_rate=learning_rate,
        gradient_norm=optax.tree.norm(grads),
        parameter_norm=optax.tree.norm(state.params),
        update_norm=optax.tree.norm(updates),
    )
    finite = jnp.isfinite(loss) & jnp.isfinite(metrics.gradient_norm)
    updated = state._replace(
        step=state.step + 1,
        params=optax.apply_updates(state.params, updates),
        statistics=statistics,
        opt_state=opt_state,
    )
    return advance_if(finite & ~state.halted, updated, state), metrics


def augmented(recipe: Recipe, state: TrainState, batch: Batch) -> jax.Array:
    """The network's input at this step: float32, cropped and flipped by the step's own key."""
    devices = 1 if recipe.axis_name is None else jax.lax.axis_size(recipe.axis_name)
    key = jax.random.fold_in(state.key, state.step)
    crops = draw_crops(key, devices * len(batch.labels), recipe.augmentation)
    return apply_crops(batch.images, this_devices(crops, recipe.axis_name), recipe.augmentation)


def smoothed_loss(
    recipe: Recipe, params: Any, statistics: Any, inputs: jax.Array, labels: jax.Array
) -> tuple[jax.Array, tuple[jax.Array, Any]]:
    """Mean cross-entropy against smoothed labels; beside it the accuracy and new statistics."""
    variables = {"params": params, "batch_stats": statistics}
    logits, new = recipe.network.apply(variables, inputs, train=True, mutable=["batch_stats"])
    accuracy = (logits.argmax(-1) == labels).mean(dtype=jnp.float32)
    return cross_entropy(recipe, logits, labels), (accuracy, new.get("batch_stats", {}))


def cross_entropy(recipe: Recipe, logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean over the batch, against smoothed labels."""
    targets = jax.nn.one_hot(labels, logits.shape[-1])
    targets = optax.smooth_labels(targets, recipe.label_smoothing)
    return optax.softmax_cross_entropy(logits, targets).mean()


def advance_if(condition: jax.Array, new: TrainState, old: TrainState) -> TrainState:
    """``new`` where the condition holds; else ``old``, halted."""
    chosen = jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)
    return chosen._replace(halted=~condition)


def mean_over_devices(values: Any, axis_name: str | None) -> Any:
    """The mean over the pmap axis; global arrays are whole already."""
    return values if axis_name is None else jax.lax.pmean(values, axis_name)


def this_devices(crops: Crops, axis_name: str | None) -> Crops:
    """This device's part of what was drawn for the whole batch."""
    if axis_name is None:
        return crops
    index, devices = jax.lax.axis_index(axis_name), jax.lax.axis_size(axis_name)
    return jax.tree.map(lambda x: x.reshape(devices, -1, *x.shape[1:])[index], crops)
