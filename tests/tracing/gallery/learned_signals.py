"""Parameters that are signals themselves, and the norms of signals that are learned or zero."""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import nnx
from gallery.entry import Entry, entry, shape, shapes

WIDTH = 8
MEMORY = shape(2, 6, 3)
ATTENTION = dict.fromkeys("qkvo", (WIDTH, WIDTH))
NORM = {"scale": (WIDTH,), "shift": (WIDTH,)}
DENSE = {"up": (WIDTH, 12), "down": (12, WIDTH)}
EXPECTED = {
    "in": "stem io",
    "*q": "hidden io @query",
    "*k": "hidden io @key",
    "*v": "hidden io @value",
    "*o": "tail io @output",
    "*up": "hidden io >relu",
    "*down": "tail io",
    "out": "head io",
    "*scale": "norm_scale",
    "*shift": "norm_bias",
}


def _norm(params, x):
    x = x - x.mean(-1, keepdims=True)
    x = x * jax.lax.rsqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-5)
    return x * params["scale"] + params["shift"]


def _attend(params, x, memory, value=None):
    value = memory if value is None else value
    q, k, v = x @ params["q"], memory @ params["k"], value @ params["v"]
    weights = jax.nn.softmax(jnp.einsum("...td,...sd->...ts", q, k) / 3)
    return (weights @ v) @ params["o"]


def _dense(params, x):
    return jax.nn.relu(x @ params["up"]) @ params["down"]


def _expected(*names, **changed):
    """What is expected of the parameters of these names, and of what is named besides."""
    return changed | {name: EXPECTED[name] for name in names}


@entry
def latents_normalized_before_the_first_attention():
    """Jaegle et al. 2021 (Perceiver): the norm of the latents is a norm, they are a signal."""

    def apply(params, x):
        memory, x = x @ params["in"], params["latents"]
        x = x + _attend(params["cross"], _norm(params["norm_a"], x), memory)
        x = x + _dense(params["dense"], _norm(params["norm_b"], x))
        return x.mean(1) @ params["out"]

    params = {"in": (3, WIDTH), "latents": (4, WIDTH), "out": (WIDTH, 5)}
    params |= {"norm_a": NORM, "norm_b": NORM, "cross": ATTENTION, "dense": DENSE}
    return Entry(apply, (shapes(params), MEMORY), {"latents": "learned_signal"} | EXPECTED, 2)


@entry
def latents_broadcast_over_the_batch():
    """The spelling that repeats the latents for every example before anything else."""

    def apply(params, x):
        memory = x @ params["in"]
        x = jnp.broadcast_to(params["latents"][None], (2, 4, WIDTH))
        x = x + _attend(params["cross"], _norm(params["norm_a"], x), memory)
        x = x + _dense(params["dense"], _norm(params["norm_b"], x))
        return x.mean(1) @ params["out"]

    params = {"in": (3, WIDTH), "latents": (4, WIDTH), "out": (WIDTH, 5)}
    params |= {"norm_a": NORM, "norm_b": NORM, "cross": ATTENTION, "dense": DENSE}
    return Entry(apply, (shapes(params), MEMORY), {"latents": "learned_signal"} | EXPECTED, 2)


@entry
def latents_that_attend_to_each_other_first():
    """Li et al. 2023 (Q-Former): queries and projections meet each other before any data."""

    def apply(params, x):
        memory, x = x @ params["in"], params["queries"]
        for layer in params["layers"]:
            y = _norm(layer["norm_a"], x)
            x = x + _attend(layer["self"], y, y)
            x = x + _attend(layer["cross"], _norm(layer["norm_b"], x), memory)
            x = x + _dense(layer["dense"], _norm(layer["norm_c"], x))
        return x @ params["out"]

    layer = {"norm_a": NORM, "norm_b": NORM, "norm_c": NORM}
    layer |= {"self": ATTENTION, "cross": ATTENTION, "dense": DENSE}
    params = {"in": (3, WIDTH), "queries": (4, WIDTH), "out": (WIDTH, 5), "layers": [layer] * 2}
    return Entry(apply, (shapes(params), MEMORY), {"queries": "learned_signal"} | EXPECTED, 6)


@entry
def queries_normalized_after_the_sums():
    """BERT's order in the Q-Former: attention first, norms after the sums."""

    def apply(params, x):
        memory = x @ params["in"]
        x = jnp.tile(params["queries"], (2, 1, 1))
        x = _norm(params["norm_a"], x + _attend(params["self"], x, x))
        x = _norm(params["norm_b"], x + _attend(params["cross"], x, memory))
        x = _norm(params["norm_c"], x + _dense(params["dense"], x))
        return x @ params["out"]

    params = {"in": (3, WIDTH), "queries": (1, 4, WIDTH), "out": (WIDTH, 5)}
    params |= {"norm_a": NORM, "norm_b": NORM, "norm_c": NORM}
    params |= {"self": ATTENTION, "cross": ATTENTION, "dense": DENSE}
    return Entry(apply, (shapes(params), MEMORY), {"queries": "learned_signal"} | EXPECTED, 3)


DETECTION = {"self": ATTENTION, "cross": ATTENTION, "dense": DENSE}
DETECTION |= {"norm_a": NORM, "norm_b": NORM, "norm_c": NORM}


def _detection_layer(params, x, queries, memory):
    at = x + queries
    x = _norm(params["norm_a"], x + _attend(params["self"], at, at, x))
    x = _norm(params["norm_b"], x + _attend(params["cross"], x + queries, memory))
    return _norm(params["norm_c"], x + _dense(params["dense"], x))


@entry
def object_queries_beside_a_signal_of_zeros():
    """Carion et al. 2020 (DETR): the first sum adds to exact zeros, so it has no shortcut."""

    def apply(params, x):
        memory = x @ params["in"]
        x = jnp.zeros((2, 4, WIDTH))
        for layer in params["layers"]:
            x = _detection_layer(layer, x, params["queries"], memory)
        return x @ params["out"], jax.nn.sigmoid(x @ params["boxes"])

    params = {"in": (3, WIDTH), "queries": (4, WIDTH), "out": (WIDTH, 5), "boxes": (WIDTH, 4)}
    params["layers"] = [DETECTION] * 2
    expected = {"queries": "learned_signal", "boxes": "head io >sigmoid"}
    expected["layers/0/self/o"] = "hidden io @output"
    return Entry(apply, (shapes(params), MEMORY), expected | EXPECTED, 5)


@entry
def object_queries_as_the_signal():
    """Queries are the first signal themselves and are added again in every layer."""

    def apply(params, x):
        memory = x @ params["in"]
        x = jnp.broadcast_to(params["queries"], (2, 4, WIDTH))
        for layer in params["layers"]:
            x = x + _attend(layer["self"], x, x)
            x = x + _attend(layer["cross"], x, memory)
            x = x + _dense(layer["dense"], x)
        return x @ params["out"]

    layer = {"self": ATTENTION, "cross": ATTENTION, "dense": DENSE}
    params = {"in": (3, WIDTH), "queries": (4, WIDTH), "out": (WIDTH, 5), "layers": [layer] * 2}
    names = ("in", "*q", "*k", "*v", "*o", "*up", "*down", "out")
    return Entry(apply, (shapes(params), MEMORY), _expected(*names, queries="learned_signal"), 6)


@entry
def queries_looked_up_by_a_range():
    """An embedding table that is read at all its rows is the array of the queries."""

    def apply(params, x):
        memory = x @ params["in"]
        x = params["queries"][jnp.arange(4)][None]
        x = x + _attend(params["cross"], x, memory)
        return (x + _dense(params["dense"], x)) @ params["out"]

    params = {"in": (3, WIDTH), "queries": (4, WIDTH), "out": (WIDTH, 5)}
    params |= {"cross": ATTENTION, "dense": DENSE}
    names = ("in", "*q", "*k", "*v", "*o", "*up", "*down", "out")
    return Entry(apply, (shapes(params), MEMORY), _expected(*names, queries="learned_signal"), 2)


@entry
def output_queries_of_a_decoder():
    """Jaegle et al. 2022 (Perceiver IO): what is put out is asked for by learned queries."""

    def apply(params, x):
        x = x @ params["in"]
        x = x + _attend(params["self"], x, x)
        return _attend(params["decode"], params["queries"], x) @ params["out"]

    params = {"in": (3, WIDTH), "queries": (5, WIDTH), "out": (WIDTH, 5)}
    params |= {"self": ATTENTION, "decode": ATTENTION}
    expected = _expected("in", "*q", "*k", "*v", "*o", "out", queries="learned_signal")
    expected = {"decode/o": "hidden io @output"} | expected
    return Entry(apply, (shapes(params), MEMORY), expected, 1)


@entry
def pooling_by_one_normalized_query():
    """A norm on the one query that pools: its scale is no token."""

    def apply(params, x):
        memory = x @ params["in"]
        query = _norm(params["norm"], params["query"])
        y = _attend(params["pool"], query[None], memory)
        return y[:, 0] @ params["out"]

    params = {"in": (3, WIDTH), "query": (1, WIDTH), "norm": NORM, "pool": ATTENTION}
    expected = _expected("in", "*q", "*k", "*v", "*scale", "*shift", "out", query="learned_signal")
    expected = {"pool/o": "hidden io @output", "query": "learned_signal"} | expected
    return Entry(apply, (shapes(params | {"out": (WIDTH, 5)}), MEMORY), expected, 0)


@entry
def pooling_by_a_vector():
    """The query has no axis of positions at all, and its projection is asked first."""

    def apply(params, x):
        memory = x @ params["in"]
        query = params["probe"] @ params["q"]
        weights = jax.nn.softmax(jnp.einsum("d,bsd->bs", query, memory @ params["k"]), -1)
        pooled = jnp.einsum("bs,bsd->bd", weights, memory @ params["v"])
        return jax.nn.relu(pooled) @ params["out"]

    params = {"in": (3, WIDTH), "probe": (WIDTH,), "out": (WIDTH, 5)}
    params |= dict.fromkeys("qkv", (WIDTH, WIDTH))
    expected = _expected("in", "*q", "*k", "out", probe="learned_signal")
    expected["v"] = "hidden io @value >relu"
    return Entry(apply, (shapes(params), MEMORY), expected, 0)


@entry
def pooling_by_seeds():
    """Lee et al. 2019 (Set Transformer): projected seeds are the shortcut past their attention."""

    def apply(params, x):
        memory = x @ params["in"]
        query = params["seeds"] @ params["q"]
        weights = jax.nn.softmax(jnp.einsum("td,bsd->bts", query, memory @ params["k"]))
        y = query + jnp.einsum("bts,bsd->btd", weights, memory @ params["v"])
        return (y + jax.nn.relu(y @ params["down"])).reshape(2, -1) @ params["out"]

    params = {"in": (3, WIDTH), "seeds": (2, WIDTH), "out": (2 * WIDTH, 5)}
    params |= dict.fromkeys(("q", "k", "v", "down"), (WIDTH, WIDTH))
    expected = _expected("in", "*q", "*k", "*down", "out", seeds="learned_signal")
    return Entry(apply, (shapes(params), MEMORY), {"v": "tail io @value"} | expected, 2)


@entry
def tokens_beside_the_signal():
    """Registers and a class token are concatenated, a mask token is selected: no signals."""

    def apply(params, x, masked):
        x = jnp.where(masked[..., None], params["mask"], x @ params["in"])
        tokens = [params["class"], params["registers"]]
        tokens = [jnp.broadcast_to(one, (2, *one.shape)) for one in tokens]
        x = jnp.concatenate([*tokens, x], 1)
        x = x + _attend(params["self"], _norm(params["norm"], x), _norm(params["norm"], x))
        return x[:, 0] @ params["out"]

    params = {"in": (3, WIDTH), "mask": (WIDTH,), "class": (1, WIDTH), "registers": (3, WIDTH)}
    params |= {"self": ATTENTION, "norm": NORM, "out": (WIDTH, 5)}
    expected = dict.fromkeys(("mask", "class", "registers"), "class_token")
    names = ("in", "*q", "*k", "*v", "*o", "out", "*scale", "*shift")
    inputs = (shapes(params), MEMORY, shape(2, 6, dtype="bool"))
    return Entry(apply, inputs, expected | _expected(*names), 1)


@entry
def start_of_a_generator():
    """Karras et al. 2019 (StyleGAN): a learned constant is the signal that styles modulate."""

    def apply(params, latent):
        style = jax.nn.relu(latent @ params["mapping"])
        x = jnp.broadcast_to(params["start"], (2, 4, 4, 5))
        for layer in params["layers"]:
            scale, shift = jnp.split(style @ layer["style"], 2, -1)
            x = (x - x.mean((1, 2), keepdims=True)) / (x.std((1, 2), keepdims=True) + 1e-5)
            x = x * (1 + scale[:, None, None]) + shift[:, None, None]
            x = jax.nn.relu(x @ layer["w"])
        return x @ params["out"]

    params = {"mapping": (4, 6), "start": (4, 4, 5), "out": (5, 3)}
    params["layers"] = [{"style": (6, 10), "w": (5, 5)}] * 2
    expected = {
        "mapping": "stem io >relu",
        "start": "learned_signal",
        "*/style": "hidden io",
        "*/w": "hidden io >relu",
        "out": "head io",
    }
    return Entry(apply, (shapes(params), shape(2, 4)), expected, 0)


NORMALIZED = {"w": (3, 5), "u": (5, 5), "scale": (5,), "shift": (5,), "out": (5, 2)}
NORMALIZED_EXPECTED = {
    "w": "stem io",
    "u": "hidden io",
    "scale": "norm_scale",
    "shift": "norm_bias",
    "out": "head io",
}


def _normalized_step(params, h, x):
    return jnp.tanh(_norm(params, h) @ params["u"] + x @ params["w"])


@entry
def norm_of_a_memory_of_zeros_by_scan():
    """Ba et al. 2016: the state that is normalized starts at zeros; the next turn has a signal."""

    def apply(params, xs):
        step = lambda h, x: (_normalized_step(params, h, x), None)  # noqa: E731
        h, _ = jax.lax.scan(step, jnp.zeros((2, 5)), jnp.swapaxes(xs, 0, 1))
        return h @ params["out"]

    return Entry(apply, (shapes(NORMALIZED), MEMORY), NORMALIZED_EXPECTED, 0)


@entry
def norm_of_a_memory_of_zeros_unrolled():
    def apply(params, xs):
        h = jnp.zeros((2, 5))
        for index in range(xs.shape[1]):
            h = _normalized_step(params, h, xs[:, index])
        return h @ params["out"]

    return Entry(apply, (shapes(NORMALIZED), MEMORY), NORMALIZED_EXPECTED, 0)


@entry
def norm_of_a_memory_of_zeros_by_fori_loop():
    def apply(params, xs):
        h = jnp.zeros((2, 5))
        h = jax.lax.fori_loop(0, 6, lambda i, h: _normalized_step(params, h, xs[:, i]), h)
        return h @ params["out"]

    return Entry(apply, (shapes(NORMALIZED), MEMORY), NORMALIZED_EXPECTED, 0)


@entry
def norm_of_a_learned_memory_by_scan():
    """The state with which a loop begins is a token, learned or not."""

    def apply(params, xs):
        step = lambda h, x: (_normalized_step(params, h, x), None)  # noqa: E731
        start = jnp.broadcast_to(params["start"], (2, 5))
        h, _ = jax.lax.scan(step, start, jnp.swapaxes(xs, 0, 1))
        return h @ params["out"]

    params = NORMALIZED | {"start": (5,)}
    expected = NORMALIZED_EXPECTED | {"start": "class_token"}
    return Entry(apply, (shapes(params), MEMORY), expected, 0)


@entry
def memory_read_by_attention_in_a_scan():
    """Slots of zeros are normalized, ask the input, and are replaced by what they read."""

    def apply(params, xs):
        def step(memory, x):
            read = _attend(params["cross"], _norm(params["norm"], memory), x @ params["in"])
            return jnp.tanh(read), None

        start = jnp.zeros((2, 4, WIDTH))
        memory, _ = jax.lax.scan(step, start, jnp.moveaxis(xs, 1, 0))
        return memory.mean(1) @ params["out"]

    params = {"in": (3, WIDTH), "norm": NORM, "cross": ATTENTION, "out": (WIDTH, 2)}
    expected = _expected("in", "*q", "*k", "*v", "*scale", "*shift", "out")
    expected = {"cross/o": "hidden io @output >tanh"} | expected
    return Entry(apply, (shapes(params), shape(2, 5, 6, 3)), expected, 0)


class LinenPerceiver(nn.Module):
    @nn.compact
    def __call__(self, x):
        memory = nn.Dense(WIDTH, name="embed")(x)
        latents = self.param("latents", nn.initializers.normal(0.02), (4, WIDTH))
        x = jnp.tile(latents[None], (x.shape[0], 1, 1))
        for index in range(2):
            y, z = (
                nn.LayerNorm(name=f"norm_{index}_a")(x),
                nn.LayerNorm(name=f"memory_{index}")(memory),
            )
            x = x + nn.MultiHeadDotProductAttention(2, name=f"cross_{index}")(y, z)
            y = nn.LayerNorm(name=f"norm_{index}_b")(x)
            y = nn.gelu(nn.Dense(16, name=f"expand_{index}")(y))
            x = x + nn.Dense(WIDTH, name=f"contract_{index}")(y)
        return nn.Dense(5, name="classifier")(nn.LayerNorm(name="norm_out")(x).mean(1))


@entry
def linen_perceiver():
    return Entry(
        LinenPerceiver(),
        (MEMORY,),
        {
            "embed/kernel": "stem io",
            "latents": "learned_signal",
            "*/query/kernel": "hidden ioo @query",
            "*/key/kernel": "hidden ioo @key",
            "*/value/kernel": "hidden ioo @value",
            "*/out/kernel": "tail iio @output",
            "expand_?/kernel": "hidden io >gelu",
            "contract_?/kernel": "tail io",
            "classifier/kernel": "head io",
            "*/scale": "norm_scale",
            "norm_*/bias": "norm_bias",
            "memory_*/bias": "norm_bias",
            "*/bias": "bias",
        },
        4,
    )


class NNXPooling(nnx.Module):
    """Zhai et al. 2022: a probe under a norm, a block behind it."""

    def __init__(self, rngs):
        self.embed = nnx.Linear(3, WIDTH, rngs=rngs)
        self.probe = nnx.Param(jnp.zeros((1, 1, WIDTH)))
        self.norm = nnx.LayerNorm(WIDTH, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(2, WIDTH, decode=False, rngs=rngs)
        self.classifier = nnx.Linear(WIDTH, 5, rngs=rngs)

    def __call__(self, x):
        probe = jnp.tile(self.norm(self.probe[...]), (x.shape[0], 1, 1))
        memory = self.embed(x)
        return self.classifier(self.attention(probe, memory, memory)[:, 0])


@entry
def nnx_pooling_by_a_normalized_probe():
    return Entry(
        nnx.eval_shape(lambda: NNXPooling(nnx.Rngs(0))),
        (MEMORY,),
        {
            "embed/kernel": "stem io",
            "probe": "learned_signal",
            "norm/scale": "norm_scale",
            "norm/bias": "norm_bias",
            "attention/query/kernel": "hidden ioo @query",
            "attention/key/kernel": "hidden ioo @key",
            "attention/value/kernel": "hidden ioo @value",
            "attention/out/kernel": "hidden iio @output",
            "classifier/kernel": "head io",
            "*/bias": "bias",
        },
        0,
    )


class EquinoxDecoder(eqx.Module):
    """Queries under a norm before the cross attention, one example at a time."""

    embed: eqx.nn.Linear
    queries: jax.Array
    norm: eqx.nn.LayerNorm
    cross: eqx.nn.MultiheadAttention
    head: eqx.nn.Linear

    def __call__(self, x):
        memory = jax.vmap(self.embed)(x)
        x = self.queries + self.cross(jax.vmap(self.norm)(self.queries), memory, memory)
        return jax.vmap(self.head)(x)


@entry
def equinox_decoder_of_normalized_queries():
    def make():
        keys = jax.random.split(jax.random.key(0), 4)
        return EquinoxDecoder(
            eqx.nn.Linear(3, WIDTH, key=keys[0]),
            jax.random.normal(keys[1], (4, WIDTH)),
            eqx.nn.LayerNorm(WIDTH),
            eqx.nn.MultiheadAttention(2, WIDTH, key=keys[2]),
            eqx.nn.Linear(WIDTH, 5, key=keys[3]),
        )

    expected = {
        "embed/weight": "stem oi",
        "queries": "learned_signal",
        "norm/weight": "norm_scale",
        "norm/bias": "norm_bias",
        "cross/query_proj/weight": "hidden oi @query",
        "cross/key_proj/weight": "hidden oi @key",
        "cross/value_proj/weight": "hidden oi @value",
        "cross/output_proj/weight": "tail oi @output",
        "head/weight": "head oi",
        "*/bias": "bias",
    }
    return Entry(eqx.filter_eval_shape(make), (shape(6, 3),), expected, 1)
