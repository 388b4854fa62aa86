"""Language models written as plain functions over einsum, as large ones are."""

import jax
import jax.numpy as jnp
from gallery.entry import Entry, entry, shape, shapes

TOKENS = shape(2, 6, dtype="int32")
WIDTH, HEADS, DEPTH, HIDDEN, VOCABULARY = 8, 2, 4, 16, 11


def _rms(x, scale):
    """Gemma's norm: the stored scale is the distance from one."""
    variance = jnp.mean(jnp.square(x), axis=-1, keepdims=True)
    return x * jax.lax.rsqrt(variance + 1e-6) * (1.0 + scale)


def _layer_norm(x, params):
    mean = x.mean(-1, keepdims=True)
    variance = jnp.square(x - mean).mean(-1, keepdims=True)
    return (x - mean) / jnp.sqrt(variance + 1e-6) * params["scale"] + params["bias"]


def _rotate(x):
    angles = jnp.arange(x.shape[1])[:, None, None] * jnp.exp(-jnp.arange(x.shape[-1] // 2))
    first, second = jnp.split(x, 2, axis=-1)
    cos, sin = jnp.cos(angles), jnp.sin(angles)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], -1)


def _attend(query, key, value):
    logits = jnp.einsum("btnh,bsnh->bnts", query * query.shape[-1] ** -0.5, key)
    logits = 50.0 * jnp.tanh(logits / 50.0)
    mask = jnp.tril(jnp.ones(logits.shape[-2:], bool))
    weights = jax.nn.softmax(jnp.where(mask, logits, -2.0e38), axis=-1)
    return jnp.einsum("bnts,bsnh->btnh", weights, value)


def _gemma_block(params, x):
    """Gemma 2: grouped queries, norms before and after both branches, gated gelu."""
    y = _rms(x, params["norm_before_attention"])
    query = _rotate(jnp.einsum("btd,ndh->btnh", y, params["query"]))
    key, value = jnp.einsum("btd,cndh->cbtnh", y, params["key_value"])
    key = jnp.repeat(_rotate(key), HEADS, axis=2)
    value = jnp.repeat(value, HEADS, axis=2)
    y = jnp.einsum("btnh,nhd->btd", _attend(query, key, value), params["out"])
    x = x + _rms(y, params["norm_after_attention"])
    y = _rms(x, params["norm_before_dense"])
    gate, up = jnp.einsum("btd,cdf->cbtf", y, params["gate_up"])
    y = (jax.nn.gelu(gate) * up) @ params["down"]
    return x + _rms(y, params["norm_after_dense"])


GEMMA_BLOCK = {
    "query": (HEADS, WIDTH, DEPTH),
    "key_value": (2, 1, WIDTH, DEPTH),
    "out": (HEADS, DEPTH, WIDTH),
    "gate_up": (2, WIDTH, HIDDEN),
    "down": (HIDDEN, WIDTH),
    "norm_before_attention": (WIDTH,),
    "norm_after_attention": (WIDTH,),
    "norm_before_dense": (WIDTH,),
    "norm_after_dense": (WIDTH,),
}
GEMMA = {
    "embedder": "embedding oi",
    "*/query": "hidden oio @query >",
    "*/key_value": "hidden ooio @key,value >",
    "*/out": "tail iio @output >",
    "*/gate_up": "hidden oio",
    "*/down": "tail io >",
    "*/norm_after_*": "norm_scale ends",
    "*norm*": "norm_scale",
}


@entry
def gemma_decoder():
    """The table is (vocabulary, width) and serves both ends: as embedding it is read by rows."""

    def apply(params, tokens):
        x = params["embedder"][tokens] * WIDTH**0.5
        for index in range(2):
            x = _gemma_block(params[f"layer_{index}"], x)
        logits = _rms(x, params["norm_out"]) @ params["embedder"].T
        return 30.0 * jnp.tanh(logits / 30.0)

    params = {"embedder": (VOCABULARY, WIDTH), "norm_out": (WIDTH,)}
    params |= {f"layer_{index}": GEMMA_BLOCK for index in range(2)}
    return Entry(apply, (shapes(params), TOKENS), GEMMA | {"embedder": "embedding io"}, 4)


@entry
def gemma_decoder_scanned():
    def apply(params, tokens):
        x = params["embedder"][tokens] * WIDTH**0.5
        step = jax.checkpoint(lambda x, layer: (_gemma_block(layer, x), None))
        x, _ = jax.lax.scan(step, x, params["layers"])
        return _rms(x, params["norm_out"]) @ params["embedder"].T

    params = {"embedder": (VOCABULARY, WIDTH), "norm_out": (WIDTH,)}
    params["layers"] = {name: (3, *size) for name, size in GEMMA_BLOCK.items()}
    expected = {
        "embedder": "embedding io",
        "*/query": "hidden soio @query",
        "*/key_value": "hidden sooio @key,value",
        "*/out": "tail siio @output",
        "*/gate_up": "hidden soio",
        "*/down": "tail sio",
        "*/norm_after_*": "norm_scale ends s",
        "*/norm*": "norm_scale s",
        "norm_out": "norm_scale",
    }
    return Entry(apply, (shapes(params), TOKENS), expected, 6)


def _attention(params, y):
    query, key, value = (jnp.einsum("btd,dnh->btnh", y, params[name]) for name in "qkv")
    y = _attend(_rotate(query), _rotate(key), value)
    return jnp.einsum("btnh,nhd->btd", y, params["o"])


def _feed_forward(params, y):
    return jax.nn.gelu(y @ params["up"]) @ params["down"]


PARALLEL_BLOCK = {
    "norm": {"scale": (WIDTH,), "bias": (WIDTH,)},
    **dict.fromkeys("qkv", (WIDTH, HEADS, DEPTH)),
    "o": (HEADS, DEPTH, WIDTH),
    "up": (WIDTH, HIDDEN),
    "down": (HIDDEN, WIDTH),
}
PARALLEL = {
    "embed": "embedding io",
    "*/q": "hidden ioo @query",
    "*/k": "hidden ioo @key",
    "*/v": "hidden ioo @value",
    "*/o": "tail iio @output",
    "*/up": "hidden io >gelu",
    "*/down": "tail io",
    "head": "head io",
    "*/scale": "norm_scale",
    "*/bias": "norm_bias",
}


def _parallel(block, branches):
    def apply(params, tokens):
        x = params["embed"][tokens]
        for index in range(2):
            x = block(params[f"layer_{index}"], x)
        return x @ params["head"]

    params = {"embed": (VOCABULARY, WIDTH), "head": (WIDTH, VOCABULARY)}
    params |= {f"layer_{index}": PARALLEL_BLOCK for index in range(2)}
    return Entry(apply, (shapes(params), TOKENS), PARALLEL, branches)


@entry
def parallel_block_joined_first():
    """GPT-J: both branches are added to each other, then to the signal."""

    def block(params, x):
        y = _layer_norm(x, params["norm"])
        return x + (_attention(params, y) + _feed_forward(params, y))

    return _parallel(block, 2)


@entry
def parallel_block_added_in_turn():
    """PaLM: the same written without parentheses; it is two sums and the same roles."""

    def block(params, x):
        y = _layer_norm(x, params["norm"])
        return x + _attention(params, y) + _feed_forward(params, y)

    return _parallel(block, 4)


@entry
def parallel_block_branches_first():
    def block(params, x):
        y = _layer_norm(x, params["norm"])
        return _attention(params, y) + _feed_forward(params, y) + x

    return _parallel(block, 2)


@entry
def parallel_block_with_two_norms():
    """GPT-NeoX: every branch has its own norm."""

    def block(params, x):
        y = _attention(params, _layer_norm(x, params["norm"]))
        return x + y + _feed_forward(params, _layer_norm(x, params["norm"]))

    return _parallel(block, 4)


@entry
def fused_parallel_block():
    """ViT-22B: one kernel for query, key, value and the gated expansion; one tail."""
    sizes = [WIDTH, WIDTH, WIDTH, HIDDEN, HIDDEN]
    cuts = [sum(sizes[: index + 1]) for index in range(4)]

    def block(params, x):
        y = _rms(x, params["norm"]) @ params["fused"]
        query, key, value, gate, up = jnp.split(y, cuts, axis=-1)
        query, key, value = (one.reshape(*one.shape[:2], HEADS, -1) for one in (query, key, value))
        y = _attend(query, key, value).reshape(*x.shape)
        y = jnp.concatenate([y, jax.nn.silu(gate) * up], -1)
        return x + y @ params["out"]

    def apply(params, tokens):
        x = params["embed"][tokens]
        for index in range(2):
            x = block(params[f"layer_{index}"], x)
        return x @ params["head"]

    layer = {"norm": (WIDTH,), "fused": (WIDTH, sum(sizes)), "out": (WIDTH + HIDDEN, WIDTH)}
    params = {"embed": (VOCABULARY, WIDTH), "head": (WIDTH, VOCABULARY)}
    params |= {f"layer_{index}": layer for index in range(2)}
    expected = {
        "embed": "embedding io",
        "*/fused": "hidden io @query,key,value",
        "*/out": "tail io",
        "*/norm": "norm_scale",
        "head": "head io",
    }
    return Entry(apply, (shapes(params), TOKENS), expected, 2)


def _relative_attention(params, y):
    """Dai et al. 2019: content and position logits are summed, and are no residual sum."""
    query, key, value = (jnp.einsum("btd,dnh->btnh", y, params[name]) for name in "qkv")
    distances = jnp.sin(jnp.arange(y.shape[1])[:, None] * jnp.exp(-jnp.arange(WIDTH)))
    position = jnp.einsum("sd,dnh->snh", distances, params["r"])
    content = jnp.einsum("btnh,bsnh->bnts", query + params["u_bias"], key)
    relative = jnp.einsum("btnh,snh->bnts", query + params["v_bias"], position)
    weights = jax.nn.softmax((content + relative) * DEPTH**-0.5, axis=-1)
    return jnp.einsum("bnts,bsnh,nhd->btd", weights, value, params["o"])


@entry
def transformer_xl():
    def block(params, x):
        x = _layer_norm(x + _relative_attention(params, x), params["norm"])
        return x + _feed_forward(params, x)

    entry = _parallel(block, 4)
    params, tokens = entry.inputs
    for index in range(2):
        params[f"layer_{index}"] |= shapes(
            {"r": (WIDTH, HEADS, DEPTH), "u_bias": (HEADS, DEPTH), "v_bias": (HEADS, DEPTH)}
        )
    expected = {"*/r": "hidden ioo", "*/?_bias": "bias"} | PARALLEL
    return entry._replace(inputs=(params, tokens), expected=expected)


@entry
def t5_relative_position_bias():
    """Raffel et al. 2019: a table looked up by distance is added to the logits."""

    def apply(params, tokens):
        x = params["embed"][tokens]
        length = tokens.shape[1]
        distance = jnp.abs(jnp.arange(length)[:, None] - jnp.arange(length)[None, :])
        bias = params["distances"][distance].transpose(2, 0, 1)
        for index in range(2):
            layer = params[f"layer_{index}"]
            y = _layer_norm(x, layer["norm"])
            q, k, v = (jnp.einsum("btd,dnh->btnh", y, layer[name]) for name in "qkv")
            weights = jax.nn.softmax(jnp.einsum("btnh,bsnh->bnts", q, k) + bias)
            y = jnp.einsum("bnts,bsnh->btnh", weights, v)
            x = x + jnp.einsum("btnh,nhd->btd", y, layer["o"])
            x = x + _feed_forward(layer, x)
        return x @ params["head"]

    params = {"embed": (VOCABULARY, WIDTH), "head": (WIDTH, VOCABULARY), "distances": (8, HEADS)}
    params |= {f"layer_{index}": PARALLEL_BLOCK for index in range(2)}
    expected = PARALLEL | {"distances": "position_embedding"}
    return Entry(apply, (shapes(params), TOKENS), expected, 4)


@entry
def continuous_position_bias():
    """Liu et al. 2022 (Swin v2): a small network on constant coordinates shifts the logits."""

    def apply(params, x):
        x = x @ params["w_in"]
        length = x.shape[1]
        distance = (jnp.arange(length)[:, None] - jnp.arange(length)[None, :]) / length
        bias = jax.nn.relu(jnp.sign(distance)[..., None] @ params["bias_a"]) @ params["bias_b"]
        q, k, v = (jnp.einsum("btd,dnh->btnh", x, params[name]) for name in "qkv")
        logits = jnp.einsum("btnh,bsnh->bnts", q, k) + bias.transpose(2, 0, 1)
        y = jnp.einsum("bnts,bsnh->btnh", jax.nn.softmax(logits), v)
        return (x + jnp.einsum("btnh,nhd->btd", y, params["o"])) @ params["w_out"]

    params = {"w_in": (3, WIDTH), "w_out": (WIDTH, 3), "o": (HEADS, DEPTH, WIDTH)}
    params |= dict.fromkeys("qkv", (WIDTH, HEADS, DEPTH))
    params |= {"bias_a": (1, 6), "bias_b": (6, HEADS)}
    expected = {
        "w_in": "stem io",
        "bias_a": "hidden io >relu",
        "bias_b": "hidden io",
        "q": "hidden ioo @query",
        "k": "hidden ioo @key",
        "v": "hidden ioo @value",
        "o": "tail iio @output",
        "w_out": "head io",
    }
    return Entry(apply, (shapes(params), shape(2, 5, 3)), expected, 1)


@entry
def mixture_of_experts():
    """Fedus et al. 2021: experts are a batch of kernels, the router is a gate of the branch."""

    def block(params, x):
        y = _layer_norm(x, params["norm"])
        weights = jax.nn.softmax(y @ params["router"])
        kept, chosen = jax.lax.top_k(weights, 2)
        gates = (jax.nn.one_hot(chosen, 3) * kept[..., None]).sum(-2)
        dispatched = jnp.einsum("bte,btd->betd", (gates > 0).astype(y.dtype), y)
        y = jax.nn.gelu(jnp.einsum("betd,edf->betf", dispatched, params["up"]))
        y = jnp.einsum("betf,efd->betd", y, params["down"])
        return x + jnp.einsum("betd,bte->btd", y, gates)

    def apply(params, tokens):
        x = params["embed"][tokens]
        for index in range(2):
            x = block(params[f"layer_{index}"], x)
        return x @ params["head"]

    layer = {
        "norm": {"scale": (WIDTH,), "bias": (WIDTH,)},
        "router": (WIDTH, 3),
        "up": (3, WIDTH, HIDDEN),
        "down": (3, HIDDEN, WIDTH),
    }
    params = {"embed": (VOCABULARY, WIDTH), "head": (WIDTH, VOCABULARY)}
    params |= {f"layer_{index}": layer for index in range(2)}
    expected = {
        "embed": "embedding io",
        "*/router": "router io",
        "*/up": "hidden gio >gelu",
        "*/down": "tail gio",
        "*/scale": "norm_scale",
        "*/bias": "norm_bias",
        "head": "head io",
    }
    return Entry(apply, (shapes(params), TOKENS), expected, 2)


@entry
def experts_by_ragged_product():
    """The kernels of grouped matrix products (megablocks)."""

    def apply(params, x, sizes):
        y = jax.nn.relu(jax.lax.ragged_dot(x, params["up"], sizes))
        return jax.lax.ragged_dot(y, params["down"], sizes)

    params = {"up": (3, WIDTH, HIDDEN), "down": (3, HIDDEN, WIDTH)}
    return Entry(
        apply,
        (shapes(params), shape(6, WIDTH), shape(3, dtype="int32")),
        {"up": "stem gio >relu", "down": "head gio"},
        0,
    )


@entry
def block_diagonal_heads():
    """RG-LRU and Mamba-2 style: one small kernel a head, on that head's features only."""

    def apply(params, x):
        x = jax.nn.silu(x @ params["w_in"])
        x = x.reshape(*x.shape[:-1], HEADS, DEPTH)
        x = jnp.tanh(jnp.einsum("btnh,nhk->btnk", x, params["blocks"]))
        return x.reshape(*x.shape[:-2], WIDTH) @ params["w_out"]

    params = {"w_in": (WIDTH, WIDTH), "blocks": (HEADS, DEPTH, DEPTH), "w_out": (WIDTH, 3)}
    return Entry(
        apply,
        (shapes(params), shape(2, 5, WIDTH)),
        {"w_in": "stem io >silu", "blocks": "hidden gio >tanh", "w_out": "head io"},
        0,
    )


@entry
def fused_heads_and_halves_in_one_axis():
    """A stored (width, 3 * heads * depth) kernel, reshaped before use, keeps one out axis."""

    def apply(params, x):
        x = x @ params["w_in"]
        kernel = params["qkv"].reshape(WIDTH, 3, HEADS, DEPTH)
        query, key, value = jnp.moveaxis(jnp.einsum("btd,dcnh->btcnh", x, kernel), 2, 0)
        y = _attend(query, key, value)
        kernel = params["o"].reshape(HEADS, DEPTH, WIDTH)
        return (x + jnp.einsum("btnh,nhd->btd", y, kernel)) @ params["w_out"]

    params = {
        "w_in": (3, WIDTH),
        "qkv": (WIDTH, 3 * WIDTH),
        "o": (WIDTH, WIDTH),
        "w_out": (WIDTH, 3),
    }
    return Entry(
        apply,
        (shapes(params), shape(2, 5, 3)),
        {
            "w_in": "stem io",
            "qkv": "hidden io @query,key,value",
            "o": "tail io @output",
            "w_out": "head io",
        },
        1,
    )


@entry
def nested_scans():
    """Two stacks of layers, one of them scanned by groups."""

    def step(x, w):
        return x + jax.nn.gelu(x @ w["a"]) @ w["b"], None

    def apply(params, x):
        x = x @ params["w_in"]
        x, _ = jax.lax.scan(step, x, params["single"])
        x, _ = jax.lax.scan(lambda x, p: jax.lax.scan(step, x, p), x, params["double"])
        return x @ params["w_out"]

    params = {
        "w_in": (3, WIDTH),
        "w_out": (WIDTH, 3),
        "single": {"a": (2, WIDTH, HIDDEN), "b": (2, HIDDEN, WIDTH)},
        "double": {"a": (2, 3, WIDTH, HIDDEN), "b": (2, 3, HIDDEN, WIDTH)},
    }
    expected = {
        "w_in": "stem io",
        "single/a": "hidden sio >gelu",
        "single/b": "tail sio",
        "double/a": "hidden ssio >gelu",
        "double/b": "tail ssio",
        "w_out": "head io",
    }
    return Entry(apply, (shapes(params), shape(2, 5, 3)), expected, 8)
