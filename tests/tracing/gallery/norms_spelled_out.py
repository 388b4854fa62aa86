"""Norms whose scale and shift are folded into one multiplication and one addition."""

import jax
import jax.numpy as jnp
from gallery.entry import GALLERY, Entry, entry, shape, shapes

X = shape(2, 4, 4, 3)
GROUPS = 2


def _statistics(x, axes):
    mean = x.mean(axes, keepdims=True)
    return mean, ((x - mean) ** 2).mean(axes, keepdims=True)


def _grouped(x):
    """Groups of channels and their mean and variance, spread over the channels again."""
    mean, variance = _statistics(x.reshape(2, 4, 4, GROUPS, -1), (1, 2, 4))
    spread = lambda s: jnp.repeat(s.reshape(2, 1, 1, GROUPS), 4, -1)  # noqa: E731
    return spread(mean), spread(variance)


def _group_norm(p, x):
    mean, variance = _grouped(x)
    inverse = jax.lax.rsqrt(variance + 1e-5) * p["scale"]
    return x * inverse + (p["shift"] - mean * inverse)


def _group_norm_of_squares(p, x):
    """The variance as the mean of squares minus the square of the mean."""
    y = x.reshape(2, 16, GROUPS, 4)
    mean, square = y.mean((1, 3), keepdims=True), (y**2).mean((1, 3), keepdims=True)
    inverse = jax.lax.rsqrt(jnp.maximum(square - mean**2, 0) + 1e-5)
    inverse = inverse * p["scale"].reshape(1, 1, GROUPS, 4)
    shift = p["shift"].reshape(1, 1, GROUPS, 4) - mean * inverse
    return (y * inverse + shift).reshape(x.shape)


def _layer_norm(p, x):
    mean, variance = _statistics(x, -1)
    inverse = p["scale"] / jnp.sqrt(variance + 1e-5)
    return x * inverse + (p["shift"] - mean * inverse)


def _layer_norm_negated(p, x):
    """The sum in the other order: first what is subtracted, then the shift."""
    mean, variance = _statistics(x, -1)
    inverse = jax.lax.rsqrt(variance + 1e-5)
    return p["scale"] * (x * inverse - mean * inverse) + p["shift"]


def _batch_norm(p, x):
    mean, variance = _statistics(x, (0, 1, 2))
    inverse = jax.lax.rsqrt(variance + 1e-5) * p["scale"]
    return (-mean * inverse + p["shift"]) + inverse * x


def _instance_norm(p, x):
    mean, variance = _statistics(x, (1, 2))
    factor = p["scale"] * jax.lax.rsqrt(variance + 1e-5)
    offset = p["shift"] - factor * mean
    return factor * x + offset


def _followed(norm):
    def apply(params, x):
        x = jax.nn.relu(norm(params["norm"], x @ params["w"]))
        return x.mean((1, 2)) @ params["out"]

    params = {"w": (3, 8), "out": (8, 2), "norm": {"scale": (8,), "shift": (8,)}}
    expected = {
        "w": "stem io >relu",
        "norm/scale": "norm_scale",
        "norm/shift": "norm_bias",
        "out": "head io >",
    }
    return Entry(apply, (shapes(params), X), expected, 0)


NORMS = (
    _group_norm,
    _group_norm_of_squares,
    _layer_norm,
    _layer_norm_negated,
    _batch_norm,
    _instance_norm,
)
for norm in NORMS:
    GALLERY[f"folded{norm.__name__}"] = lambda norm=norm: _followed(norm)


@entry
def folded_group_norm_at_the_end_of_a_branch():
    """Its scale ends the branch, its shift is no embedding of positions."""

    def apply(params, x):
        x = x @ params["in"]
        y = jax.nn.relu(x @ params["a"]) @ params["b"]
        return (x + _group_norm(params["norm"], y)).mean((1, 2)) @ params["out"]

    params = {"in": (3, 8), "a": (8, 8), "b": (8, 8), "out": (8, 2)}
    params |= {"norm": {"scale": (8,), "shift": (8,)}}
    expected = {
        "in": "stem io",
        "a": "hidden io >relu",
        "b": "tail io",
        "norm/scale": "norm_scale ends",
        "norm/shift": "norm_bias",
        "out": "head io",
    }
    return Entry(apply, (shapes(params), X), expected, 1)
