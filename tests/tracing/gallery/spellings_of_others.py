"""Spellings met in published models: masks, gates, reparametrized kernels, constant tables."""

import equinox as eqx
import haiku as hk
import jax
import jax.numpy as jnp
from gallery.entry import Entry, entry, shape, shapes

X = shape(2, 6, 8)
ATTENTION = dict.fromkeys(("q", "k", "v", "o"), (8, 8))
ATTENTION_EXPECTED = {
    "*/q": "hidden io @query",
    "*/k": "hidden io @key",
    "*/v": "hidden io @value",
    "*/o": "tail io @output",
}


def _attend(params, x, bias):
    logits = jnp.einsum("btd,bsd->bts", x @ params["q"], x @ params["k"]) + bias
    weights = jax.nn.softmax(logits, -1)
    return x + jnp.einsum("bts,bsd->btd", weights, x @ params["v"]) @ params["o"]


@entry
def attention_with_a_mask_of_numbers():
    """Every layer adds the mask to its logits; from the second on they depend on it twice."""

    def apply(params, tokens, mask):
        x = params["table"][tokens]
        for layer in params["layers"]:
            x = _attend(layer, x, mask)
        return x

    params = shapes({"table": (9, 8), "layers": [ATTENTION] * 3})
    expected = {"table": "embedding io", **ATTENTION_EXPECTED}
    return Entry(apply, (params, shape(2, 6, dtype="int32"), shape(2, 6, 6)), expected, 3)


@entry
def attention_of_one_head():
    """The axis of the heads has size 1; products drop it and put it back."""

    def apply(params, x):
        fused = (x @ params["qkv"]).reshape(2, 6, 3, 1, 8)
        query, key, value = jnp.transpose(fused, (2, 0, 3, 1, 4))
        weights = jax.nn.softmax(query @ jnp.swapaxes(key, -1, -2), -1)
        return x + jnp.transpose(weights @ value, (0, 2, 1, 3)).reshape(2, 6, 8) @ params["o"]

    expected = {"qkv": "hidden io @query,key,value", "o": "tail io @output"}
    return Entry(apply, (shapes({"qkv": (8, 24), "o": (8, 8)}), X), expected, 1)


@entry
def masked_tokens():
    """Devlin et al. 2018, Bao et al. 2021: a learned token in place of the masked ones."""

    def apply(params, x, masked):
        hidden, weight = x @ params["stem"], masked[..., None].astype(x.dtype)
        return (hidden * (1 - weight) + params["token"] * weight) @ params["head"]

    params = shapes({"stem": (8, 4), "token": (1, 1, 4), "head": (4, 3)})
    expected = {"stem": "stem io", "token": "class_token", "head": "head io"}
    return Entry(apply, (params, X, shape(2, 6, dtype="bool")), expected, 0)


@entry
def activations_spelled_out():
    """A product with a function of itself is an activation, a product with another half a gate."""

    def apply(params, x):
        x = x @ params["quick"]
        x = (x * jax.nn.sigmoid(1.702 * x)) @ params["explicit"]
        x = (x / (1 + jnp.exp(-x))) @ params["tanh"]
        x = (0.5 * x * (1 + jnp.tanh(0.8 * (x + 0.045 * x**3)))) @ params["bounded"]
        x = jnp.clip(x, -30, 20) @ params["halves"]
        first, second = jnp.split(x, 2, -1)
        return (first * jax.nn.sigmoid(second)) @ params["head"]

    names = ("quick", "explicit", "tanh", "bounded", "halves")
    params = {**dict.fromkeys(names, (8, 8)), "head": (4, 8)}
    expected = {
        "quick": "stem io >silu",
        "explicit": "hidden io >silu",
        "tanh": "hidden io >gelu",
        "bounded": "hidden io >",
        "halves": "hidden io >sigmoid",
        "head": "head io >",
    }
    return Entry(apply, (shapes(params), X), expected, 0)


@entry
def state_matrix_by_einsum():
    """A product that sums over nothing scales the signal, however it is spelled."""

    def apply(params, x):
        decay = jnp.einsum("btd,dn->btdn", jax.nn.softplus(x @ params["a"]), jnp.exp(params["log"]))
        return jnp.exp(-decay).sum(-1) @ params["b"]

    expected = {"a": "stem io >softplus", "log": "multiplier", "b": "head io"}
    return Entry(apply, (shapes({"a": (8, 4), "log": (4, 5), "b": (4, 3)}), X), expected, 0)


@entry
def haiku_gru_by_scan():
    """Reset gate and candidate are pieces of one kernel's output; the gate carries no signal."""

    def apply(x):
        core = hk.GRU(5)
        states, _ = hk.dynamic_unroll(core, x, core.initial_state(2))
        return hk.Linear(3)(states)

    expected = {"gru/w_i": "stem io", "gru/w_h": "hidden io", "linear/w": "head io", "*/b": "bias"}
    return Entry(hk.transform(apply), (shape(4, 2, 7),), expected, 0)


class _Biased(eqx.Module):
    """Swin v2 in Equinox, where the constant table of positions is an array of the module."""

    table: jax.Array
    layers: list
    value: eqx.nn.Linear

    def __call__(self, x):
        inner, outer = self.layers
        bias = jax.vmap(outer)(jax.nn.relu(jax.vmap(inner)(self.table))).reshape(6, 6)
        return jax.vmap(self.value)(jax.nn.softmax(x @ x.T + 16 * jax.nn.sigmoid(bias), -1) @ x)


@entry
def equinox_table_of_positions():
    key = jax.random.key(0)

    def make():
        inner, outer = (eqx.nn.Linear(*sizes, key=key) for sizes in ((2, 16), (16, 1)))
        return _Biased(jnp.zeros((36, 2)), [inner, outer], eqx.nn.Linear(8, 8, key=key))

    expected = {
        "table": "class_token",
        "layers/0/weight": "hidden oi >relu",
        "layers/1/weight": "hidden oi",
        "value/weight": "head oi",
        "*bias": "bias",
    }
    return Entry(eqx.filter_eval_shape(make), (shape(6, 8),), expected, 0)


class _BatchNormed(eqx.Module):
    """Equinox hands the running statistics from call to call."""

    stem: eqx.nn.Conv2d
    norm: eqx.nn.BatchNorm
    head: eqx.nn.Linear

    def __call__(self, x, state):
        x, state = self.norm(self.stem(x), state)
        return self.head(jax.nn.relu(x).mean((1, 2))), state


_BATCH_NORMED = {
    "stem/weight": "stem oi.. >relu",
    "stem/bias": "bias",
    "norm/weight": "norm_scale",
    "norm/bias": "norm_bias",
    "head/weight": "head oi",
    "head/bias": "bias",
}


def _batch_normed():
    key = jax.random.key(0)
    norm = eqx.nn.BatchNorm(4, "batch", mode="batch")
    conv = eqx.nn.Conv2d(3, 4, 3, padding=1, key=key)
    return eqx.nn.make_with_state(_BatchNormed)(conv, norm, eqx.nn.Linear(4, 2, key=key))


@entry
def equinox_running_statistics():
    model, state = _batch_normed()
    inputs = (shape(3, 8, 8), state)
    return Entry(eqx.nn.inference_mode(model), inputs, _BATCH_NORMED, 0)


@entry
def equinox_module_in_a_function():
    """The usual way to train it: the module, strings and functions and all, is the tree."""

    def apply(model, state, x):
        over_batch = jax.vmap(model, axis_name="batch", in_axes=(0, None), out_axes=(0, None))
        return over_batch(x, state)

    model, state = _batch_normed()
    return Entry(apply, (model, state, shape(5, 3, 8, 8)), _BATCH_NORMED, 0)
