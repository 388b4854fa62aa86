"""The training step: one function, whatever runs it in parallel."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from experiments.data import Augmentation, Draws, apply, draw
from experiments.mixup import blend_neighbours, draw_share

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
        loss: mean over the batch, mixup and label smoothing included.
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


class StepKeys(NamedTuple):
    """What a step draws from."""

    augmentation: jax.Array
    mixup: jax.Array
    dropout: jax.Array


class Recipe(NamedTuple):
    """What a step does, apart from the numbers it does it to.

    Args:
        network: a module whose ``__call__(images, train)`` gives logits.
        optimizer: from gradients to updates at a learning rate of -1.
        schedule: the learning rate of a step as a share of the run's highest.
        augmentation: from uint8 images to the network's input.
        num_classes: of the labels.
        label_smoothing: probability spread evenly over all classes.
        mixup: concentration of the shares by which neighbours are blended; 0 for none.
        axis_name: the pmap axis to average over; None where arrays are global.
    """

    network: nn.Module
    optimizer: optax.GradientTransformationExtraArgs
    schedule: optax.Schedule
    augmentation: Augmentation
    num_classes: int
    label_smoothing: float
    mixup: float
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
    gradient = jax.value_and_grad(smoothed_loss, argnums=1, has_aux=True)
    (loss, (accuracy, statistics)), grads = gradient(recipe, state.params, state, batch)
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


def smoothed_loss(
    recipe: Recipe, params: Any, state: TrainState, batch: Batch
) -> tuple[jax.Array, tuple[jax.Array, Any]]:
    """The loss of a step as a function of the parameters.

    Returns:
        The mean cross-entropy against the targets; beside it the accuracy and new statistics.
    """
    logits, new = recipe.network.apply(
        {"params": params, "batch_stats": state.statistics},
        augmented(recipe, state, batch),
        train=True,
        mutable=["batch_stats"],
        rngs={"dropout": step_keys(state).dropout},
    )
    accuracy = (logits.argmax(-1) == batch.labels).mean(dtype=jnp.float32)
    loss = cross_entropy(logits, targets_of(recipe, state, batch.labels))
    return loss, (accuracy, new.get("batch_stats", {}))


def cross_entropy(logits: jax.Array, targets: jax.Array) -> jax.Array:
    """Mean over the batch; logits and probabilities (N, classes)."""
    return optax.softmax_cross_entropy(logits, targets).mean()


def augmented(recipe: Recipe, state: TrainState, batch: Batch) -> jax.Array:
    """The network's input at this step, float32 (N, H, W, C)."""
    devices = 1 if recipe.axis_name is None else jax.lax.axis_size(recipe.axis_name)
    draws = draw(step_keys(state).augmentation, devices * len(batch.labels), recipe.augmentation)
    draws = this_devices(draws, recipe.axis_name)
    return mixed(recipe, state, apply(batch.images, draws, recipe.augmentation))


def targets_of(recipe: Recipe, state: TrainState, labels: jax.Array) -> jax.Array:
    """The probabilities (N, classes) that the network should give at this step."""
    targets = mixed(recipe, state, jax.nn.one_hot(labels, recipe.num_classes))
    return optax.smooth_labels(targets, recipe.label_smoothing)


def mixed(recipe: Recipe, state: TrainState, rows: jax.Array) -> jax.Array:
    """Rows blended with their neighbours by this step's share, where the recipe has mixup."""
    if not recipe.mixup:
        return rows
    return blend_neighbours(rows, draw_share(step_keys(state).mixup, recipe.mixup))


def step_keys(state: TrainState) -> StepKeys:
    """The random keys of the update from this state, the same on all devices."""
    return StepKeys(*jax.random.split(jax.random.fold_in(state.key, state.step), 3))


def advance_if(condition: jax.Array, new: TrainState, old: TrainState) -> TrainState:
    """``new`` where the condition holds; else ``old``, halted."""
    chosen = jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)
    return chosen._replace(halted=~condition)


def mean_over_devices(values: Any, axis_name: str | None) -> Any:
    """The mean over the pmap axis; global arrays are whole already."""
    return values if axis_name is None else jax.lax.pmean(values, axis_name)


def this_devices(draws: Draws, axis_name: str | None) -> Draws:
    """This device's part of what was drawn for the whole batch."""
    if axis_name is None:
        return draws
    index, devices = jax.lax.axis_index(axis_name), jax.lax.axis_size(axis_name)
    return jax.tree.map(lambda x: jnp.stack(jnp.split(x, devices))[index], draws)
