"""The optimizer of a recipe: clipping, weight decay on kernels, warm-up and cosine."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from experiments.config import Optimization


def relative_rate(recipe: Optimization, total_steps: int, steps_per_epoch: int) -> optax.Schedule:
    """The learning rate of each step as a share of its peak.

    Linear from 0 over the warm-up, then half a cosine down to 0 at ``total_steps``.

    Args:
        recipe: with the epochs of warm-up.
        total_steps: of the run.
        steps_per_epoch: to convert epochs.

    Returns:
        A function from the step, counted from 0, to the share.

    >>> schedule = relative_rate(Optimization(), 100, 10)
    >>> [round(float(schedule(step)), 3) for step in (0, 50, 100)]
    [1.0, 0.5, 0.0]
    """
    warmup = round(recipe.warmup_epochs * steps_per_epoch)
    schedule = (
        optax.warmup_cosine_decay_schedule(0.0, 1.0, warmup, total_steps)
        if warmup
        else optax.cosine_decay_schedule(1.0, total_steps)
    )
    # optax's schedules promote an integer step implicitly, which strict promotion forbids.
    return lambda step: schedule(jnp.asarray(step, jnp.float32))


def is_kernel(params: Any) -> Any:
    """True for what Flax calls a kernel: kernels decay; norms, biases and embeddings do not."""
    return jax.tree.map_with_path(lambda path, _: path[-1].key == "kernel", params)


def make_optimizer(recipe: Optimization) -> optax.GradientTransformationExtraArgs:
    """SGD or AdamW as the recipe says, for a learning rate of 1.

    The step multiplies what comes out by minus the learning rate, which it finds in the state: so
    runs that differ in it alone share one compiled program. SGD adds the decay to the gradient,
    before the momentum: g + wd * w, as L2 regularization does. AdamW takes lr * wd * w off the
    weight (Loshchilov & Hutter 2019). Clipping sees the gradient of the loss alone.

    Args:
        recipe: which optimizer and its coefficients.

    Returns:
        An optax transformation from gradients to directions of ascent.
    """
    clip = optax.identity() if recipe.clip is None else optax.clip_by_global_norm(recipe.clip)
    decay = optax.add_decayed_weights(recipe.weight_decay, mask=is_kernel)
    if recipe.optimizer == "sgd":
        return optax.chain(clip, decay, optax.trace(recipe.momentum, nesterov=True))
    return optax.chain(clip, promoting(optax.scale_by_adam(b1=recipe.momentum)), decay)


def promoting(
    transformation: optax.GradientTransformation,
) -> optax.GradientTransformation:
    """``transformation`` under JAX's standard promotion, which optax's Adam relies on."""

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        with jax.numpy_dtype_promotion("standard"):
            return transformation.update(updates, state, params)

    return optax.GradientTransformation(transformation.init, update)
