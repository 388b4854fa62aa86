"""Progressive perturbation: random steps that leave the start's symmetries slowly behind."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from idinit_jax.initializers.arguments import check_count, check_not_negative
from idinit_jax.schemes.paths import matches, no_match, paths_of


class ProgressivePerturbationState(NamedTuple):
    """What a checkpoint must keep, as plain arrays.

    Args:
        step: number of updates so far, int32.
        key_data: the words of the key, uint32.
    """

    step: jax.Array
    key_data: jax.Array


def progressive_perturbation(
    key: jax.Array,
    std: float | optax.Schedule = 1e-3,
    steps: int = 10_000,
    where: str | Callable[[Any], bool] = "**",
) -> optax.GradientTransformation:
    """Add noise to the parameters whose total grows from nothing to a given standard deviation.

    Update t, counted from 1, adds independent normal values of variance
    ``sigma(t)^2 - sigma(t - 1)^2`` to every selected entry, so that all that was added by then has
    standard deviation ``sigma(t)``; from ``steps`` on nothing is added, and nothing is drawn.

    It adds to the updates, so it belongs at the end of a chain, behind the learning rate. The noise
    of a step depends on the key, the step and the shapes of the selected parameters alone. A
    resumed state goes on with its own key, to the same bits.

    One step of the noise is small, about ``std / sqrt(steps)``: parameters in bfloat16 round it
    away, so keep them in float32.

    Args:
        key: a `jax.random.key`, or a raw uint32 key.
        std: standard deviation of the whole perturbation, at least 0 and in the parameters' unit,
            approached linearly: ``sigma(t) = std * t / steps``; or ``sigma`` itself, a schedule
            that never falls.
        steps: number of updates that perturb, at least 1.
        where: which parameters: a pattern over their paths, such as ``"**/kernel"``, or a predicate
            of the path.

    Returns:
        An optax transformation.

    Raises:
        TypeError: key is not a key.
        ValueError: std is negative or falls, steps is below 1, or (at `init`) where selects no
            parameter.

    >>> import jax, optax
    >>> noise = progressive_perturbation(jax.random.key(0), std=1e-3, steps=10_000)
    >>> optimizer = optax.chain(optax.adamw(3e-3), noise)
    """
    words, impl = _key_words(key)
    steps = check_count("steps", steps)
    sigma = std if callable(std) else _linear(std, steps)
    _check_rising(sigma, steps)

    def init(params: optax.Params) -> ProgressivePerturbationState:
        _selected(params, where)
        # A copy: a training step may donate its state's buffers.
        return ProgressivePerturbationState(jnp.zeros((), jnp.int32), jnp.array(words))

    def update(
        updates: optax.Updates, state: Any, params: Any = None
    ) -> tuple[optax.Updates, ProgressivePerturbationState]:
        del params

        def perturbed(updates: optax.Updates) -> optax.Updates:
            step_key = jax.random.fold_in(
                jax.random.wrap_key_data(state.key_data, impl=impl), state.step
            )
            return _add_normal(step_key, _increment(sigma, state.step), updates, where)

        updates = jax.lax.cond(state.step < steps, perturbed, lambda same: same, updates)
        return updates, state._replace(step=optax.safe_increment(state.step))

    return optax.GradientTransformation(init, update)


def _key_words(key: jax.Array) -> tuple[jax.Array, Any]:
    """The key as uint32 words, and the implementation that reads them."""
    kind = getattr(key, "dtype", None)
    if kind is not None and jnp.issubdtype(kind, jax.dtypes.prng_key):
        return jax.random.key_data(key), jax.random.key_impl(key)
    if kind != np.uint32:
        raise TypeError(f"key must be a jax.random.key or a raw uint32 key, got {key!r}")
    return jnp.asarray(key), None


def _linear(std: float, steps: int) -> optax.Schedule:
    check_not_negative("std", std)
    return lambda step: std * jnp.asarray(step, jnp.float32) / steps


def _check_rising(sigma: optax.Schedule, steps: int) -> None:
    values = np.asarray(sigma(jnp.arange(steps + 1)))
    if values.min() < 0 or np.any(np.diff(values) < 0):
        raise ValueError(
            f"std must be a schedule that is never negative and never falls in {steps} steps:"
            " noise that was added cannot be taken back by adding more"
        )


def _increment(sigma: optax.Schedule, step: jax.Array) -> jax.Array:
    """Standard deviation of what the update after ``step`` others adds."""
    before = jnp.where(step == 0, 0.0, sigma(step))
    after = sigma(step + 1)
    return jnp.sqrt((after - before) * (after + before))


def _selected(tree: Any, where: str | Callable[[Any], bool]) -> list[bool]:
    """Whether each leaf is perturbed, in leaf order."""
    paths = paths_of(tree)
    chosen = [matches(where, path) if isinstance(where, str) else where(path) for path in paths]
    if not any(chosen):
        raise ValueError(no_match(where, paths))
    return chosen


def _add_normal(
    key: jax.Array, std: jax.Array, tree: Any, where: str | Callable[[Any], bool]
) -> Any:
    """``tree`` plus normal noise on the selected leaves, from one draw: it compiles fastest."""
    leaves, structure = jax.tree.flatten(tree)
    sizes = [
        leaf.size * chosen for leaf, chosen in zip(leaves, _selected(tree, where), strict=True)
    ]
    noise = std * jax.random.normal(key, (sum(sizes),))
    parts = jnp.split(noise, np.cumsum(sizes)[:-1])
    return structure.unflatten(
        leaf + part.reshape(leaf.shape).astype(leaf.dtype) if part.size else leaf
        for leaf, part in zip(leaves, parts, strict=True)
    )
