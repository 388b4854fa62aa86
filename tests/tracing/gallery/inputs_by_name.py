"""Arrays among the keyword arguments of a call are inputs like the others."""

import equinox as eqx
import flax.linen as nn
import jax
import numpy as np
from flax import nnx
from gallery.entry import Entry, entry, shape, shapes

TOKENS = shape(2, 5, dtype="int32")
SIZES = {"embed": (11, 6), "w": (6, 8), "out": (8, 2)}
EXPECTED = {"embed": "embedding io", "w": "hidden io >relu", "out": "head io"}


def _classify(params, tokens, mask=None):
    x = params["embed"][tokens]
    x = x if mask is None else x * mask[..., None]
    return jax.nn.relu(x @ params["w"]).mean(1) @ params["out"]


@entry
def tokens_by_name():
    """The only data come by name: without them every table would be unused."""
    return Entry(_classify, (shapes(SIZES),), EXPECTED, 0, {"tokens": TOKENS})


@entry
def tokens_by_name_as_values():
    values = np.zeros((2, 5), np.int32)
    return Entry(_classify, (shapes(SIZES),), EXPECTED, 0, {"tokens": values})


@entry
def mask_by_name():
    return Entry(_classify, (shapes(SIZES), TOKENS), EXPECTED, 0, {"mask": shape(2, 5)})


@entry
def condition_by_name():
    """Of two inputs by name one is looked up; flags beside them stay what they are."""

    def apply(params, x, *, time, label, train):
        condition = jax.nn.silu(time[:, None] @ params["time"]) + params["label"][label]
        y = jax.nn.relu(x @ params["in"] + condition)
        return y @ params["out"] if train else None

    params = {"time": (1, 8), "label": (10, 8), "in": (6, 8), "out": (8, 2)}
    expected = {
        "time": "stem io >silu",
        "label": "embedding io",
        "in": "stem io",
        "out": "head io",
    }
    by_name = {"time": shape(4), "label": shape(4, dtype="int32"), "train": True}
    return Entry(apply, (shapes(params), shape(4, 6)), expected, 0, by_name)


class LinenText(nn.Module):
    """The call of library transformers: everything by name, flags among the arrays."""

    @nn.compact
    def __call__(self, input_ids, attention_mask, token_type_ids=None, deterministic=True):
        x = nn.Embed(11, 8, name="words")(input_ids)
        if token_type_ids is not None:
            x = x + nn.Embed(2, 8, name="types")(token_type_ids)
        mask = nn.make_attention_mask(attention_mask, attention_mask)
        y = nn.MultiHeadDotProductAttention(2, name="attention")(
            x, mask=mask, deterministic=deterministic
        )
        return nn.Dense(2, name="classifier")((x + y)[:, 0])


@entry
def linen_inputs_by_name():
    expected = {
        "words/embedding": "embedding io",
        "types/embedding": "embedding io",
        "*/query/kernel": "hidden ioo @query",
        "*/key/kernel": "hidden ioo @key",
        "*/value/kernel": "hidden ioo @value",
        "*/out/kernel": "tail iio @output",
        "classifier/kernel": "head io",
        "*/bias": "bias",
    }
    by_name = {"attention_mask": TOKENS, "token_type_ids": TOKENS, "deterministic": True}
    return Entry(LinenText(), (TOKENS,), expected, 1, by_name)


class NNXConditioned(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Linear(6, 8, rngs=rngs)
        self.condition = nnx.Linear(3, 8, rngs=rngs)
        self.last = nnx.Linear(8, 2, rngs=rngs)

    def __call__(self, x, *, condition):
        return self.last(nnx.relu(self.first(x) + self.condition(condition)))


CONDITIONED = {"first/*": "stem io", "condition/*": "stem io", "last/*": "head io"}


@entry
def nnx_condition_by_name():
    expected = {"*/bias": "bias"} | CONDITIONED
    model = nnx.eval_shape(lambda: NNXConditioned(nnx.Rngs(0)))
    return Entry(model, (shape(4, 6),), expected, 0, {"condition": shape(4, 3)})


class EquinoxConditioned(eqx.Module):
    first: eqx.nn.Linear
    condition: eqx.nn.Linear
    last: eqx.nn.Linear

    def __call__(self, x, *, condition):
        return self.last(jax.nn.relu(self.first(x) + self.condition(condition)))


@entry
def equinox_condition_by_name():
    def make():
        keys = jax.random.split(jax.random.key(0), 3)
        sizes = ((6, 8), (3, 8), (8, 2))
        linear = [eqx.nn.Linear(*size, key=key) for size, key in zip(sizes, keys, strict=True)]
        return EquinoxConditioned(*linear)

    expected = {name: line.replace("io", "oi") for name, line in CONDITIONED.items()}
    model = eqx.filter_eval_shape(make)
    by_name = {"condition": shape(3)}
    return Entry(model, (shape(6),), {"*/bias": "bias"} | expected, 0, by_name)
