"""Softmaxes inside a model, told by their pattern: the exponential of x less its maximum."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core

from idinit_jax.signal.sites import Place, loops_around, shape_of
from idinit_jax.signal.statistics import Forward, is_nonfinite, is_zero, reduce_together
from idinit_jax.tracing.program import Program, Site
from idinit_jax.tracing.program.flatten import called_jaxpr, open_jaxpr

# Logits this far below the maximum have no weight: a mask of -100, say, if others have some.
NEGLIGIBLE = -50.0
# Logits this far below it are masked out in any case.
MASKED = -1e3
_SHAPE_ONLY = {"stop_gradient", "broadcast_in_dim", "reshape", "max", "convert_element_type"}


def find_softmaxes(program: Program) -> tuple[Place, ...]:
    """The exponential of every softmax that a hook can reach; its axis stands for the features."""
    return tuple(
        Place("softmax", "softmax", site, loops_around(program, site), (axis,), False, size)
        for site, axis, size in _search(program.jaxpr, ())
    )


class Logits(NamedTuple):
    """The logits of a softmax, masked ones and the largest of each row left out.

    What counts is their standard deviation: where the logits of a row differ by many units, one of
    them takes all, and no gradient passes. The largest is left out so that a query which attends
    to itself alone, as at an identity start, is not taken for that. Those without any weight are
    left out too, unless most rows hold nothing else.

    Attributes:
        mean, std: below the largest of their row.
        largest: distance from it.
        zeros, nonfinite: fractions of the weights.
        spread: one over the sum of a row's squared weights: how many entries share the weight.
    """

    mean: jax.Array
    std: jax.Array
    largest: jax.Array
    zeros: jax.Array
    nonfinite: jax.Array
    spread: jax.Array


def summarize_logits(shifted: jax.Array, axis: int) -> Logits:
    """Reduce logits less their row's maximum, as the exponential along `axis` gets them."""
    x = shifted.astype(jnp.float32)
    weighty = (x > NEGLIGIBLE) & (x < 0)
    in_most_rows = jnp.mean(jnp.any(weighty, axis)) > 0.5
    counted = jnp.where(in_most_rows, weighty, (x > MASKED) & (x < 0))
    held, weights = jnp.where(counted, x, 0.0), jnp.exp(x)
    terms = [counted.astype(jnp.float32), held, held * held, weights, weights * weights]
    flags = [is_zero(weights), is_nonfinite(weights)]
    (count, total, squares, weight, weight_squares, zeros, nonfinite), (largest,) = reduce_together(
        [*terms, *flags], [-held], [axis % x.ndim]
    )
    mean = total / jnp.maximum(count, 1.0)
    rows = [mean, squares - total * mean, count, weight * weight / weight_squares]
    (mean, deviation, count, spread, zeros, nonfinite), (largest,) = reduce_together(
        [*rows, zeros, nonfinite], [largest], range(x.ndim - 1)
    )
    number = x.size // x.shape[axis]
    return Logits(
        mean / number,
        jnp.sqrt(jnp.maximum(deviation, 0.0) / jnp.maximum(count, 1.0)),
        largest,
        zeros.astype(jnp.float32) / x.size,
        nonfinite.astype(jnp.float32) / x.size,
        spread / number,
    )


def logit_statistics(logits: Logits) -> Forward:
    """As a row of a report shows them, on the host; the spread stands for the rank."""
    mean, std, largest, zeros, nonfinite, spread = map(float, logits)
    rms = math.hypot(mean, std)
    return Forward(mean, std, rms, largest, zeros, nonfinite, math.nan, math.nan, spread)


def _search(body: Any, at: Site) -> Iterator[tuple[Site, int, int]]:
    jaxpr = open_jaxpr(body)
    made_by = {out: eqn for eqn in jaxpr.eqns for out in eqn.outvars}
    for index, eqn in enumerate(jaxpr.eqns):
        kind, site = eqn.primitive.name, (*at, index)
        if kind == "exp" and (axis := _softmax_axis(eqn, made_by)) is not None:
            yield site, axis, math.prod(shape_of(eqn.outvars[0]))
        elif kind == "cond":
            for number, branch in enumerate(eqn.params["branches"]):
                yield from _search(branch, (*site, number))
        elif kind == "scan":
            yield from _search(eqn.params["jaxpr"], (*site, 0))
        elif kind not in ("while", "shard_map") and (inner := called_jaxpr(eqn)) is not None:
            yield from _search(inner, (*site, 0))


def _softmax_axis(eqn: core.JaxprEqn, made_by: dict) -> int | None:
    """The axis of the maximum that an exponential's argument had taken off."""
    difference = _maker(eqn.invars[0], made_by)
    if difference is None or difference.primitive.name != "sub":
        return None
    source = _maker(difference.invars[1], made_by)
    while source is not None and source.primitive.name in _SHAPE_ONLY:
        source = next(
            (made for atom in source.invars if (made := _maker(atom, made_by)) is not None), None
        )
    if source is None or source.primitive.name != "reduce_max" or len(source.params["axes"]) != 1:
        return None
    return source.params["axes"][0]


def _maker(atom: Any, made_by: dict) -> core.JaxprEqn | None:
    return None if isinstance(atom, core.Literal) else made_by.get(atom)
