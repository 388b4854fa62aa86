"""Small functions that only one rule reads rightly."""

import jax
import jax.numpy as jnp
from gallery.entry import Entry, entry, shape, shapes

X = shape(4, 6)


@entry
def norm_by_a_mean_over_counted_entries():
    """A masked variance is NaN where nothing is counted; it is the statistic of a norm anyhow."""

    def apply(params, x, mask):
        hidden = x @ params["w"]
        count = mask.sum(-1, keepdims=True)
        total = (hidden * hidden * mask).sum(-1, keepdims=True)
        square = jnp.where(count > 0, total / count, jnp.nan)
        return jax.nn.relu(hidden / jnp.sqrt(square) * params["scale"]) @ params["v"]

    expected = {"w": "stem io", "scale": "norm_scale", "v": "head io"}
    params = shapes({"w": (6, 5), "scale": (5,), "v": (5, 2)})
    return Entry(apply, (params, X, shape(4, 5)), expected, 0)


@entry
def norm_by_a_choice_that_is_known():
    """A comparison of numbers decides; the case that it never takes says nothing."""

    def apply(params, x):
        hidden = x @ params["w"]
        square = (hidden * hidden).mean(-1, keepdims=True)
        some = jax.lax.gt(jnp.float32(hidden.shape[-1]), jnp.float32(0))
        square = jnp.where(some, square, jnp.ones_like(square))
        return jax.nn.relu(hidden / jnp.sqrt(square) * params["scale"]) @ params["v"]

    expected = {"w": "stem io", "scale": "norm_scale", "v": "head io"}
    return Entry(apply, (shapes({"w": (6, 5), "scale": (5,), "v": (5, 2)}), X), expected, 0)


@entry
def scaled_mean_by_attention():
    """A weighted mean has the size of what it is of: a softmax is no norm of the values."""

    def apply(params, x):
        query, key, value = (x @ params[name] for name in ("q", "k", "v"))
        mean = jax.nn.softmax(query @ key.T) @ value
        return jax.nn.relu(mean * params["scale"]) @ params["w"]

    expected = {
        "q": "hidden io @query",
        "k": "hidden io @key",
        "v": "hidden io @value",
        "scale": "multiplier",
        "w": "head io",
    }
    params = shapes({"q": (6, 5), "k": (6, 5), "v": (6, 5), "scale": (5,), "w": (5, 2)})
    return Entry(apply, (params, X), expected, 0)


@entry
def scaled_shares_of_positive_numbers():
    """What is positive over its sum is a share of a whole, and no normalized signal."""

    def apply(params, x):
        positive = jax.nn.relu(x @ params["w"]) + 1
        shares = positive / positive.sum(-1, keepdims=True)
        return (shares * params["scale"]) @ params["v"]

    expected = {"w": "stem io", "scale": "own", "v": "head io"}
    return Entry(apply, (shapes({"w": (6, 5), "scale": (5,), "v": (5, 2)}), X), expected, 0)


@entry
def normalized_latents_as_keys():
    """Normalized latents are signals: what projects them is a kernel, they are no factor of it."""

    def apply(params, x):
        length = jnp.sqrt((params["latents"] ** 2).sum(-1, keepdims=True))
        keys = (params["latents"] / length) @ params["k"]
        return jax.nn.softmax((x @ params["q"]) @ keys.T) @ (keys @ params["v"])

    expected = {
        "latents": "learned_signal",
        "q": "head io @query",
        "k": "hidden io @key",
        "v": "head io @value",
    }
    params = shapes({"latents": (5, 8), "q": (6, 4), "k": (8, 4), "v": (4, 3)})
    return Entry(apply, (params, X), expected, 0)
