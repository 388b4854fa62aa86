"""Flax NNX modules."""

import jax
import jax.numpy as jnp
from flax import nnx
from gallery.entry import Entry, entry, shape


def _abstract(make):
    """The module with shapes for values, as NNX itself makes it without running anything."""
    return nnx.eval_shape(lambda: make(nnx.Rngs(0)))


class MLP(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Linear(6, 8, rngs=rngs)
        self.second = nnx.Linear(8, 8, use_bias=False, rngs=rngs)
        self.third = nnx.Linear(8, 3, rngs=rngs)

    def __call__(self, x):
        return self.third(nnx.elu(self.second(nnx.elu(self.first(x)))))


@entry
def nnx_mlp():
    return Entry(
        _abstract(MLP),
        (shape(4, 6),),
        {
            "first/kernel": "stem io >elu",
            "second/kernel": "hidden io >elu",
            "third/kernel": "head io >",
            "*/bias": "bias",
        },
        0,
    )


class Block(nnx.Module):
    def __init__(self, before, width, rngs):
        self.conv_a = nnx.Conv(before, width, (3, 3), use_bias=False, rngs=rngs)
        self.norm_a = nnx.BatchNorm(width, rngs=rngs)
        self.conv_b = nnx.Conv(width, width, (3, 3), use_bias=False, rngs=rngs)
        self.norm_b = nnx.BatchNorm(width, rngs=rngs)
        self.project = nnx.Conv(before, width, (1, 1), rngs=rngs) if before != width else None

    def __call__(self, x):
        y = nnx.relu(self.norm_a(self.conv_a(x)))
        y = self.norm_b(self.conv_b(y))
        return nnx.relu((x if self.project is None else self.project(x)) + y)


class ResNet(nnx.Module):
    def __init__(self, rngs):
        self.conv_in = nnx.Conv(3, 4, (3, 3), use_bias=False, rngs=rngs)
        self.blocks = nnx.List([Block(4, 4, rngs), Block(4, 8, rngs)])
        self.classifier = nnx.Linear(8, 5, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.conv_in(x))
        for block in self.blocks:
            x = block(x)
        return self.classifier(x.mean((1, 2)))


@entry
def nnx_resnet():
    return Entry(
        _abstract(ResNet),
        (shape(2, 8, 8, 3),),
        {
            "conv_in/kernel": "stem ..io >relu",
            "blocks/?/conv_a/kernel": "hidden ..io >relu",
            "blocks/?/conv_b/kernel": "tail ..io >",
            "blocks/1/project/kernel": "shortcut ..io",
            "classifier/kernel": "head io",
            "*/norm_b/scale": "norm_scale ends",
            "*/scale": "norm_scale",
            "*norm_?/bias": "norm_bias",
            "*/bias": "bias",
        },
        2,
    )


class EncoderLayer(nnx.Module):
    def __init__(self, rngs):
        self.norm_a = nnx.LayerNorm(8, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(2, 8, decode=False, rngs=rngs)
        self.norm_b = nnx.LayerNorm(8, rngs=rngs)
        self.expand = nnx.Linear(8, 32, rngs=rngs)
        self.contract = nnx.Linear(32, 8, rngs=rngs)
        self.dropout = nnx.Dropout(0.1, rngs=rngs)

    def __call__(self, x):
        x = x + self.dropout(self.attention(self.norm_a(x)))
        return x + self.dropout(self.contract(nnx.gelu(self.expand(self.norm_b(x)))))


class Encoder(nnx.Module):
    def __init__(self, rngs):
        self.embed = nnx.Embed(11, 8, rngs=rngs)
        self.positions = nnx.Param(jnp.zeros((1, 6, 8)))
        self.layers = nnx.List([EncoderLayer(rngs) for _ in range(2)])
        self.classifier = nnx.Linear(8, 11, rngs=rngs)

    def __call__(self, tokens):
        x = self.embed(tokens) + self.positions[...]
        for layer in self.layers:
            x = layer(x)
        return self.classifier(x)


ENCODER = {
    "embed/embedding": "embedding io",
    "positions": "position_embedding",
    "*/query/kernel": "hidden ioo @query",
    "*/key/kernel": "hidden ioo @key",
    "*/value/kernel": "hidden ioo @value",
    "*/out/kernel": "tail iio @output",
    "*/expand/kernel": "hidden io >gelu",
    "*/contract/kernel": "tail io",
    "classifier/kernel": "head io",
    "*norm*/scale": "norm_scale",
    "*norm*/bias": "norm_bias",
    "*/bias": "bias",
}


@entry
def nnx_encoder():
    return Entry(_abstract(Encoder), (shape(2, 6, dtype="int32"),), ENCODER, 4)


class ScannedEncoder(nnx.Module):
    def __init__(self, rngs):
        make = nnx.split_rngs(splits=3)(nnx.vmap(EncoderLayer, in_axes=(0,), out_axes=0))
        self.embed = nnx.Linear(3, 8, rngs=rngs)
        self.layers = make(rngs)
        self.classifier = nnx.Linear(8, 11, rngs=rngs)

    def __call__(self, x):
        @nnx.scan(in_axes=(0, nnx.Carry), out_axes=nnx.Carry)
        def run(layer, x):
            return layer(x)

        return self.classifier(run(self.layers, self.embed(x)))


@entry
def nnx_scanned_encoder():
    return Entry(
        _abstract(ScannedEncoder),
        (shape(2, 6, 3),),
        {
            "embed/kernel": "stem io",
            "*/query/kernel": "hidden sioo @query",
            "*/key/kernel": "hidden sioo @key",
            "*/value/kernel": "hidden sioo @value",
            "*/out/kernel": "tail siio @output",
            "*/expand/kernel": "hidden sio >gelu",
            "*/contract/kernel": "tail sio",
            "classifier/kernel": "head io",
            "*norm*/scale": "norm_scale s",
            "*norm*/bias": "norm_bias s",
            "layers/*/bias": "bias s",
            "*/bias": "bias",
        },
        6,
    )


class Recurrent(nnx.Module):
    def __init__(self, rngs):
        self.rnn = nnx.RNN(nnx.GRUCell(6, 5, rngs=rngs), rngs=rngs)
        self.classifier = nnx.Linear(5, 3, rngs=rngs)

    def __call__(self, x):
        return self.classifier(self.rnn(x)[:, -1])


@entry
def nnx_gru():
    """The three gates come from one kernel for the input and one for the state."""
    return Entry(
        _abstract(Recurrent),
        (shape(2, 4, 6),),
        {
            "rnn/cell/dense_i/kernel": "stem io",
            "rnn/cell/dense_h/kernel": "hidden io",
            "classifier/kernel": "head io",
            "*/bias": "bias",
        },
        0,
    )


class Autoencoder(nnx.Module):
    def __init__(self, rngs):
        self.encode = nnx.Conv(3, 4, (3, 3), strides=2, rngs=rngs)
        self.code = nnx.LinearGeneral((4, 4, 4), 8, axis=(-3, -2, -1), rngs=rngs)
        self.decode = nnx.ConvTranspose(2, 3, (3, 3), strides=2, rngs=rngs)

    def __call__(self, x):
        x = jax.nn.leaky_relu(self.encode(x))
        x = nnx.sigmoid(self.code(x)).reshape(-1, 2, 2, 2)
        return self.decode(x)


@entry
def nnx_autoencoder():
    return Entry(
        _abstract(Autoencoder),
        (shape(2, 8, 8, 3),),
        {
            "encode/kernel": "stem ..io >leaky_relu",
            "code/kernel": "hidden iiio >sigmoid",
            "decode/kernel": "head ..io >",
            "*/bias": "bias",
        },
        0,
    )


class LowRank(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.LoRALinear(6, 8, lora_rank=2, rngs=rngs)
        self.second = nnx.Linear(8, 3, rngs=rngs)

    def __call__(self, x):
        return self.second(nnx.relu(self.first(x)))


@entry
def nnx_low_rank_adaptation():
    return Entry(
        _abstract(LowRank),
        (shape(4, 6),),
        {
            "first/kernel": "shortcut io",
            "first/lora/lora_a": "hidden io >",
            "first/lora/lora_b": "tail io >",
            "second/kernel": "head io",
            "*/bias": "bias",
        },
        1,
    )


class PositionBias(nnx.Module):
    """Liu et al. 2022 (Swin V2): a small network on a table of distances that is no parameter."""

    def __init__(self, rngs):
        distances = jnp.arange(5)[:, None] - jnp.arange(5)[None]
        self.table = nnx.Variable(distances[..., None] / 5)
        self.first = nnx.Linear(1, 16, rngs=rngs)
        self.second = nnx.Linear(16, 1, use_bias=False, rngs=rngs)
        self.qkv = nnx.Linear(8, 24, rngs=rngs)
        self.out = nnx.Linear(8, 8, rngs=rngs)

    def __call__(self, x):
        query, key, value = jnp.split(self.qkv(x), 3, -1)
        bias = self.second(nnx.relu(self.first(self.table[...])))[..., 0]
        logits = query @ jnp.swapaxes(key, -1, -2) / 8**0.5 + bias
        return x + self.out(jax.nn.softmax(logits) @ value)


@entry
def nnx_network_on_a_table_of_its_state():
    return Entry(
        _abstract(PositionBias),
        (shape(2, 5, 8),),
        {
            "qkv/kernel": "hidden io @query,key,value",
            "first/kernel": "hidden io >relu",
            "second/kernel": "hidden io",
            "out/kernel": "tail io @output",
            "*/bias": "bias",
        },
        1,
    )
