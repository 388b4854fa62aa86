"""Equinox modules: kernels are stored (out, in), modules see one example."""

import equinox as eqx
import jax
import jax.numpy as jnp
from gallery.entry import Entry, entry, shape


def _abstract(make):
    """The module with shapes for values."""
    return eqx.filter_eval_shape(make, jax.random.key(0))


class MLP(eqx.Module):
    layers: list

    def __init__(self, key):
        keys = jax.random.split(key, 3)
        sizes = [6, 8, 8, 3]
        self.layers = [eqx.nn.Linear(sizes[i], sizes[i + 1], key=keys[i]) for i in range(3)]

    def __call__(self, x):
        for layer in self.layers[:-1]:
            x = jax.nn.relu(layer(x))
        return self.layers[-1](x)


MLP_EXPECTED = {
    "layers/0/weight": "stem oi >relu",
    "layers/1/weight": "hidden oi >relu",
    "layers/2/weight": "head oi >",
    "layers/?/bias": "bias",
}


@entry
def equinox_mlp_on_one_example():
    return Entry(_abstract(MLP), (shape(6),), MLP_EXPECTED, 0)


@entry
def equinox_mlp_on_a_batch():
    return Entry(_abstract(MLP), (shape(4, 6),), MLP_EXPECTED, 0)


@entry
def equinox_library_mlp():
    model = _abstract(lambda key: eqx.nn.MLP(6, 3, 8, 2, activation=jnp.tanh, key=key))
    expected = {name: line.replace("relu", "tanh") for name, line in MLP_EXPECTED.items()}
    return Entry(model, (shape(4, 6),), expected, 0)


class ConvNet(eqx.Module):
    """Channels first, a residual block, a transposed convolution."""

    conv_in: eqx.nn.Conv2d
    conv_a: eqx.nn.Conv2d
    conv_b: eqx.nn.Conv2d
    norm: eqx.nn.GroupNorm
    up: eqx.nn.ConvTranspose2d
    slope: eqx.nn.PReLU

    def __init__(self, key):
        keys = jax.random.split(key, 4)
        self.conv_in = eqx.nn.Conv2d(3, 4, 3, padding=1, key=keys[0])
        self.conv_a = eqx.nn.Conv2d(4, 8, 3, padding=1, key=keys[1])
        self.conv_b = eqx.nn.Conv2d(8, 4, 3, padding=1, groups=2, key=keys[2])
        self.norm = eqx.nn.GroupNorm(2, 4)
        self.up = eqx.nn.ConvTranspose2d(4, 3, 2, 2, key=keys[3])
        self.slope = eqx.nn.PReLU(0.1)

    def __call__(self, x):
        x = self.slope(self.conv_in(x))
        x = x + self.conv_b(jax.nn.relu(self.conv_a(self.norm(x))))
        return self.up(x)


@entry
def equinox_convolutions():
    return Entry(
        _abstract(ConvNet),
        (shape(2, 3, 8, 8),),
        {
            "conv_in/weight": "stem oi..",
            "conv_a/weight": "hidden oi.. >relu",
            "conv_b/weight": "tail oi..",
            "up/weight": "head oi..",
            "norm/weight": "norm_scale",
            "norm/bias": "norm_bias",
            "slope/negative_slope": "multiplier",
            "*/bias": "bias",
        },
        1,
    )


class Transformer(eqx.Module):
    embed: eqx.nn.Embedding
    norms: list
    attention: eqx.nn.MultiheadAttention
    dense: eqx.nn.MLP
    head: eqx.nn.Linear

    def __init__(self, key):
        keys = jax.random.split(key, 4)
        self.embed = eqx.nn.Embedding(11, 8, key=keys[0])
        self.norms = [eqx.nn.LayerNorm(8), eqx.nn.RMSNorm(8)]
        self.attention = eqx.nn.MultiheadAttention(2, 8, key=keys[1])
        self.dense = eqx.nn.MLP(8, 8, 16, 1, activation=jax.nn.gelu, key=keys[2])
        self.head = eqx.nn.Linear(8, 11, key=keys[3])

    def __call__(self, tokens):
        x = jax.vmap(self.embed)(tokens)
        y = jax.vmap(self.norms[0])(x)
        x = x + self.attention(y, y, y, mask=jnp.tril(jnp.ones((y.shape[0],) * 2, bool)))
        x = x + jax.vmap(self.dense)(jax.vmap(self.norms[1])(x))
        return jax.vmap(self.head)(x)


TRANSFORMER = {
    "embed/weight": "embedding io",
    "attention/query_proj/weight": "hidden oi @query",
    "attention/key_proj/weight": "hidden oi @key",
    "attention/value_proj/weight": "hidden oi @value",
    "attention/output_proj/weight": "tail oi @output",
    "dense/layers/0/weight": "hidden oi >gelu",
    "dense/layers/1/weight": "tail oi >",
    "head/weight": "head oi",
    "norms/?/weight": "norm_scale",
    "norms/?/bias": "norm_bias",
    "*/bias": "bias",
}


@entry
def equinox_transformer():
    return Entry(_abstract(Transformer), (shape(6, dtype="int32"),), TRANSFORMER, 2)


@entry
def equinox_transformer_on_a_batch():
    return Entry(_abstract(Transformer), (shape(2, 6, dtype="int32"),), TRANSFORMER, 2)


class Perceiver(eqx.Module):
    """Jaegle et al. 2021: learned latents without a batch axis read the input, then each other."""

    embed: eqx.nn.Linear
    latents: jax.Array
    cross: eqx.nn.MultiheadAttention
    dense: eqx.nn.MLP
    head: eqx.nn.Linear

    def __init__(self, key):
        keys = jax.random.split(key, 5)
        self.embed = eqx.nn.Linear(3, 8, key=keys[0])
        self.latents = jax.random.normal(keys[1], (4, 8))
        self.cross = eqx.nn.MultiheadAttention(2, 8, key=keys[2])
        self.dense = eqx.nn.MLP(8, 8, 16, 1, key=keys[3])
        self.head = eqx.nn.Linear(8, 5, key=keys[4])

    def __call__(self, x):
        memory = jax.vmap(self.embed)(x)
        x = self.latents + self.cross(self.latents, memory, memory)
        x = x + jax.vmap(self.dense)(x)
        return self.head(x.mean(0))


@entry
def equinox_perceiver():
    return Entry(
        _abstract(Perceiver),
        (shape(6, 3),),
        {
            "embed/weight": "stem oi",
            "latents": "class_token",
            "cross/query_proj/weight": "hidden oi @query",
            "cross/key_proj/weight": "hidden oi @key",
            "cross/value_proj/weight": "hidden oi @value",
            "cross/output_proj/weight": "tail oi @output",
            "dense/layers/0/weight": "hidden oi >relu",
            "dense/layers/1/weight": "tail oi",
            "head/weight": "head oi",
            "*/bias": "bias",
        },
        2,
    )


class StackedMLP(eqx.Module):
    """Layers made by filter_vmap, run by scan over the arrays of the stacked module."""

    layers: eqx.nn.Linear
    head: eqx.nn.Linear

    def __init__(self, key):
        keys = jax.random.split(key, 4)
        self.layers = eqx.filter_vmap(lambda key: eqx.nn.Linear(6, 6, key=key))(keys[:3])
        self.head = eqx.nn.Linear(6, 2, key=keys[3])

    def __call__(self, x):
        arrays, static = eqx.partition(self.layers, eqx.is_array)

        def step(x, one):
            return x + jnp.tanh(eqx.combine(one, static)(x)), None

        x, _ = jax.lax.scan(step, x, arrays)
        return self.head(x)


@entry
def equinox_stacked_layers():
    return Entry(
        _abstract(StackedMLP),
        (shape(6),),
        {
            "layers/weight": "tail soi >tanh",
            "layers/bias": "bias s",
            "head/weight": "head oi",
            "head/bias": "bias",
        },
        3,
    )


class Recurrent(eqx.Module):
    cell: eqx.nn.LSTMCell
    head: eqx.nn.Linear

    def __init__(self, key):
        self.cell = eqx.nn.LSTMCell(6, 5, key=key)
        self.head = eqx.nn.Linear(5, 2, key=key)

    def __call__(self, xs):
        start = (jnp.zeros(5), jnp.zeros(5))
        held, _ = jax.lax.scan(lambda held, x: (self.cell(x, held), None), start, xs)
        return self.head(held[0])


@entry
def equinox_lstm():
    return Entry(
        _abstract(Recurrent),
        (shape(4, 6),),
        {
            "cell/weight_ih": "stem oi",
            "cell/weight_hh": "hidden oi",
            "head/weight": "head oi",
            "*/bias": "bias",
        },
        0,
    )
