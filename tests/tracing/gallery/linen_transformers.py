"""Transformers in Linen."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from gallery.entry import Entry, entry, shape

TOKENS = shape(2, 6, dtype="int32")


class FusedAttention(nn.Module):
    """Query, key and value by one kernel, as GPT-2 writes it."""

    heads: int = 2
    causal: bool = False

    @nn.compact
    def __call__(self, x):
        batch, length, width = x.shape
        qkv = nn.Dense(3 * width, name="qkv")(x)
        q, k, v = jnp.split(qkv, 3, axis=-1)
        q, k, v = (y.reshape(batch, length, self.heads, -1) for y in (q, k, v))
        logits = jnp.einsum("bqhd,bkhd->bhqk", q, k) / q.shape[-1] ** 0.5
        if self.causal:
            logits = jnp.where(jnp.tril(jnp.ones((length, length), bool)), logits, -1e9)
        y = jnp.einsum("bhqk,bkhd->bqhd", nn.softmax(logits), v)
        return nn.Dense(width, name="out")(y.reshape(batch, length, width))


class FeedForward(nn.Module):
    @nn.compact
    def __call__(self, x):
        y = nn.gelu(nn.Dense(4 * x.shape[-1], name="expand")(x))
        return nn.Dense(x.shape[-1], name="contract")(y)


class PreNormBlock(nn.Module):
    causal: bool = False

    @nn.compact
    def __call__(self, x):
        x = x + FusedAttention(causal=self.causal, name="attention")(nn.LayerNorm(name="norm_a")(x))
        return x + FeedForward(name="dense")(nn.LayerNorm(name="norm_b")(x))


PRE_NORM = {
    "*/attention/qkv/kernel": "hidden io @query,key,value >",
    "*/attention/out/kernel": "tail io @output >",
    "*/dense/expand/kernel": "hidden io >gelu",
    "*/dense/contract/kernel": "tail io >",
    "*norm*/scale": "norm_scale",
    "*norm*/bias": "norm_bias",
    "*/bias": "bias",
}


class GPT2(nn.Module):
    """Radford et al. 2019: the head is the embedding again."""

    @nn.compact
    def __call__(self, tokens):
        embedding = nn.Embed(11, 8, name="wte")
        positions = nn.Embed(16, 8, name="wpe")(jnp.arange(tokens.shape[1]))
        x = embedding(tokens) + positions
        for index in range(2):
            x = PreNormBlock(causal=True, name=f"block_{index}")(x)
        return embedding.attend(nn.LayerNorm(name="norm_out")(x))


@entry
def gpt2_tied_embedding():
    expected = {"wte/embedding": "embedding io", "wpe/embedding": "position_embedding"}
    return Entry(GPT2(), (TOKENS,), expected | PRE_NORM, 4)


class ViT(nn.Module):
    """Dosovitskiy et al. 2020."""

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(8, (4, 4), strides=4, name="patchify")(x)
        x = x.reshape(x.shape[0], -1, 8)
        token = self.param("class_token", nn.initializers.zeros, (1, 1, 8))
        x = jnp.concatenate([jnp.tile(token, (x.shape[0], 1, 1)), x], axis=1)
        x = x + self.param("positions", nn.initializers.normal(0.02), (1, x.shape[1], 8))
        for index in range(2):
            x = PreNormBlock(name=f"block_{index}")(x)
        return nn.Dense(5, name="classifier")(nn.LayerNorm(name="norm_out")(x)[:, 0])


@entry
def vit_class_token():
    expected = {
        "patchify/kernel": "stem ..io >",
        "class_token": "class_token",
        "positions": "position_embedding",
        "classifier/kernel": "head io >",
    }
    return Entry(ViT(), (shape(2, 8, 8, 3),), expected | PRE_NORM, 4)


class EncoderBlock(nn.Module):
    """Vaswani et al. 2017: norms after the sums; flax's own attention."""

    @nn.compact
    def __call__(self, x):
        y = nn.MultiHeadDotProductAttention(num_heads=2, name="attention")(x, x)
        x = nn.LayerNorm(name="norm_a")(x + y)
        return nn.LayerNorm(name="norm_b")(x + FeedForward(name="dense")(x))


class DecoderBlock(nn.Module):
    @nn.compact
    def __call__(self, x, memory):
        y = nn.MultiHeadDotProductAttention(num_heads=2, name="attention")(x, x)
        x = nn.LayerNorm(name="norm_a")(x + y)
        y = nn.MultiHeadDotProductAttention(num_heads=2, name="cross")(x, memory)
        x = nn.LayerNorm(name="norm_c")(x + y)
        return nn.LayerNorm(name="norm_b")(x + FeedForward(name="dense")(x))


class EncoderDecoder(nn.Module):
    @nn.compact
    def __call__(self, source, target):
        embed = nn.Embed(11, 8, name="embed")
        memory, x = embed(source) * 8**0.5, embed(target) * 8**0.5
        for index in range(2):
            memory = EncoderBlock(name=f"encoder_{index}")(memory)
        for index in range(2):
            x = DecoderBlock(name=f"decoder_{index}")(x, memory)
        return nn.Dense(11, name="classifier")(x)


POST_NORM = {
    "embed/embedding": "embedding io",
    "*/query/kernel": "hidden ioo @query",
    "*/key/kernel": "hidden ioo @key",
    "*/value/kernel": "hidden ioo @value",
    "*/out/kernel": "tail iio @output",
    "*/dense/expand/kernel": "hidden io >gelu",
    "*/dense/contract/kernel": "tail io",
    "*norm*/scale": "norm_scale",
    "*norm*/bias": "norm_bias",
    "classifier/kernel": "head io",
    "*/bias": "bias",
}


@entry
def post_norm_encoder_decoder():
    return Entry(EncoderDecoder(), (TOKENS, shape(2, 5, dtype="int32")), POST_NORM, 10)


class PostNormEncoder(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Dense(8, name="embed")(x)
        for index in range(2):
            x = EncoderBlock(name=f"encoder_{index}")(x)
        return nn.Dense(11, name="classifier")(x)


@entry
def post_norm_encoder():
    expected = POST_NORM | {"embed/kernel": "stem io"}
    del expected["embed/embedding"]
    return Entry(PostNormEncoder(), (shape(2, 6, 3),), expected, 4)


class DiTBlock(nn.Module):
    """Peebles & Xie 2022: the condition shifts, scales and gates (adaLN-zero)."""

    @nn.compact
    def __call__(self, x, condition):
        width = x.shape[-1]
        modulation = nn.Dense(6 * width, name="modulation")(nn.swish(condition))[:, None, :]
        shift_a, scale_a, gate_a, shift_b, scale_b, gate_b = jnp.split(modulation, 6, -1)
        norm = functools.partial(nn.LayerNorm, use_bias=False, use_scale=False)
        y = norm()(x) * (1 + scale_a) + shift_a
        x = x + gate_a * FusedAttention(name="attention")(y)
        y = norm()(x) * (1 + scale_b) + shift_b
        return x + gate_b * FeedForward(name="dense")(y)


class DiT(nn.Module):
    @nn.compact
    def __call__(self, x, time, label):
        x = nn.Conv(8, (2, 2), strides=2, name="patchify")(x)
        x = x.reshape(x.shape[0], -1, 8)
        angles = time[:, None] * jnp.exp(-jnp.arange(4.0))
        wave = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], -1)
        condition = nn.Dense(8, name="time_1")(nn.swish(nn.Dense(8, name="time_0")(wave)))
        condition = condition + nn.Embed(10, 8, name="label")(label)
        for index in range(2):
            x = DiTBlock(name=f"block_{index}")(x, condition)
        shift, scale = jnp.split(
            nn.Dense(16, name="modulation")(nn.swish(condition))[:, None, :], 2, -1
        )
        x = nn.LayerNorm(use_bias=False, use_scale=False)(x) * (1 + scale) + shift
        return nn.Dense(12, name="classifier")(x)


@entry
def dit_adaptive_norm_zero():
    """The gate's kernel zeroes the branch no less than the tail: the tail is what carries."""
    return Entry(
        DiT(),
        (shape(2, 8, 8, 3), shape(2), shape(2, dtype="int32")),
        {
            "patchify/kernel": "stem ..io",
            "time_0/kernel": "stem io >silu",
            "time_1/kernel": "hidden io",
            "label/embedding": "embedding io",
            "modulation/kernel": "hidden io",
            "block_?/modulation/kernel": "hidden io",
            "*/qkv/kernel": "hidden io @query,key,value",
            "*/out/kernel": "tail io @output",
            "*/expand/kernel": "hidden io >gelu",
            "*/contract/kernel": "tail io",
            "classifier/kernel": "head io",
            "*/bias": "bias",
        },
        4,
    )


class AttentionPooling(nn.Module):
    """Zhai et al. 2021: one learned query reads the tokens."""

    @nn.compact
    def __call__(self, x):
        probe = self.param("probe", nn.initializers.xavier_uniform(), (1, 1, x.shape[-1]))
        probe = jnp.tile(probe, (x.shape[0], 1, 1))
        x = nn.MultiHeadDotProductAttention(num_heads=2, name="attention")(probe, x)
        x = x + FeedForward(name="dense")(nn.LayerNorm(name="norm")(x))
        return x[:, 0]


class Pooled(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Dense(8, name="embed")(x)
        x = AttentionPooling(name="pool")(x)
        return nn.Dense(5, name="classifier")(x)


@entry
def attention_pooling_head():
    return Entry(
        Pooled(),
        (shape(2, 6, 3),),
        {
            "embed/kernel": "stem io",
            "pool/probe": "class_token",
            "pool/attention/query/kernel": "hidden ioo @query",
            "pool/attention/key/kernel": "hidden ioo @key",
            "pool/attention/value/kernel": "hidden ioo @value",
            "pool/attention/out/kernel": "hidden iio @output",
            "pool/dense/expand/kernel": "hidden io >gelu",
            "pool/dense/contract/kernel": "tail io",
            "classifier/kernel": "head io",
            "*/norm/scale": "norm_scale",
            "*/norm/bias": "norm_bias",
            "*/bias": "bias",
        },
        1,
    )


class DetectionDecoder(nn.Module):
    """Carion et al. 2020 / Jaegle et al. 2021: learned queries cross-attend to the input."""

    @nn.compact
    def __call__(self, x):
        memory = nn.Dense(8, name="embed")(x)
        queries = self.param("queries", nn.initializers.normal(0.02), (4, 8))
        x = jnp.broadcast_to(queries, (x.shape[0], 4, 8))
        for index in range(2):
            y = nn.LayerNorm(name=f"norm_{index}_a")(x)
            x = x + nn.MultiHeadDotProductAttention(2, name=f"self_{index}")(y, y)
            y = nn.LayerNorm(name=f"norm_{index}_b")(x)
            x = x + nn.MultiHeadDotProductAttention(2, name=f"cross_{index}")(y, memory)
            y = nn.LayerNorm(name=f"norm_{index}_c")(x)
            x = x + FeedForward(name=f"dense_{index}")(y)
        return nn.Dense(5, name="classifier")(x), nn.Dense(4, name="boxes")(x)


@entry
def learned_queries():
    return Entry(
        DetectionDecoder(),
        (shape(2, 6, 3),),
        {
            "embed/kernel": "stem io",
            "queries": "class_token",
            "*/query/kernel": "hidden ioo @query",
            "*/key/kernel": "hidden ioo @key",
            "*/value/kernel": "hidden ioo @value",
            "*/out/kernel": "tail iio @output",
            "*/expand/kernel": "hidden io >gelu",
            "*/contract/kernel": "tail io",
            "classifier/kernel": "head io",
            "boxes/kernel": "head io",
            "norm*/scale": "norm_scale",
            "norm*/bias": "norm_bias",
            "*/bias": "bias",
        },
        6,
    )


class ScannedGPT(nn.Module):
    """Blocks under nn.remat and nn.scan: their parameters are stacked on the first axis."""

    @nn.compact
    def __call__(self, tokens):
        x = nn.Embed(11, 8, name="embed")(tokens)
        block = nn.scan(
            nn.remat(_Step), variable_axes={"params": 0}, split_rngs={"params": True}, length=3
        )
        x, _ = block(name="blocks")(x, None)
        return nn.Dense(11, name="classifier")(nn.LayerNorm(name="norm_out")(x))


class _Step(nn.Module):
    @nn.compact
    def __call__(self, x, _):
        return PreNormBlock(causal=True, name="block")(x), None


@entry
def scanned_and_rematerialized():
    return Entry(
        ScannedGPT(),
        (TOKENS,),
        {
            "embed/embedding": "embedding io",
            "*/qkv/kernel": "hidden sio @query,key,value =hidden,hidden,hidden",
            "*/out/kernel": "tail sio @output =tail,tail,tail",
            "*/expand/kernel": "hidden sio >gelu",
            "*/contract/kernel": "tail sio >",
            "classifier/kernel": "head io",
            "blocks/*norm*/scale": "norm_scale s",
            "blocks/*norm*/bias": "norm_bias s",
            "norm_out/scale": "norm_scale",
            "norm_out/bias": "norm_bias",
            "blocks/*/bias": "bias s",
            "classifier/bias": "bias",
        },
        6,
    )


class GroupedQueries(nn.Module):
    """jax.nn's attention, grouped queries, rotary embedding."""

    @nn.compact
    def __call__(self, x):
        x = nn.Dense(8, name="embed")(x)
        y = nn.RMSNorm(name="norm")(x)
        query = _rotate(nn.DenseGeneral((4, 2), use_bias=False, name="query")(y))
        key = _rotate(nn.DenseGeneral((2, 2), use_bias=False, name="key")(y))
        value = nn.DenseGeneral((2, 2), use_bias=False, name="value")(y)
        y = jax.nn.dot_product_attention(query, key, value, is_causal=True)
        x = x + nn.DenseGeneral(8, axis=(-2, -1), use_bias=False, name="out")(y)
        return nn.Dense(5, name="classifier")(x)


def _rotate(x):
    angles = jnp.arange(x.shape[1])[:, None, None] * jnp.exp(-jnp.arange(x.shape[-1] // 2))
    first, second = jnp.split(x, 2, axis=-1)
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], -1)


@entry
def grouped_query_attention_with_rotary_embedding():
    return Entry(
        GroupedQueries(),
        (shape(2, 6, 3),),
        {
            "embed/kernel": "stem io",
            "query/kernel": "hidden ioo @query >",
            "key/kernel": "hidden ioo @key >",
            "value/kernel": "hidden ioo @value >",
            "out/kernel": "tail iio @output >",
            "norm/scale": "norm_scale",
            "classifier/kernel": "head io",
            "*/bias": "bias",
        },
        1,
    )
