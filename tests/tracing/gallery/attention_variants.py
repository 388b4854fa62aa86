"""Attention with more in it than queries, keys and values."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from gallery.entry import GALLERY, Entry, entry, shape, shapes

WIDTH, HEADS, DEPTH = 8, 2, 4
X = shape(2, 6, 3)
SQUARE = (WIDTH, WIDTH)
ATTENTION = dict.fromkeys("qkvo", SQUARE)
FRAME = {"in": (3, WIDTH), "out": (WIDTH, 2)}
EXPECTED = {
    "in": "stem io",
    "*q": "hidden io @query",
    "*k": "hidden io @key",
    "*v": "hidden io @value",
    "*o": "tail io @output",
    "out": "head io",
}


def _heads(x):
    return x.reshape(*x.shape[:-1], HEADS, DEPTH)


def _attend(params, x, memory):
    q, k, v = (_heads(y @ params[name]) for y, name in ((x, "q"), (memory, "k"), (memory, "v")))
    weights = jax.nn.softmax(jnp.einsum("bthd,bshd->bhts", q, k) / 2)
    y = jnp.einsum("bhts,bshd->bthd", weights, v)
    return y.reshape(*x.shape[:-1], WIDTH) @ params["o"]


def _mix_by_einsum(logits, mixing):
    return jnp.einsum("bhts,hg->bgts", logits, mixing)


def _mix_by_product(logits, mixing):
    return jnp.moveaxis(jnp.moveaxis(logits, 1, -1) @ mixing, -1, 1)


def _mix_by_convolution(logits, mixing):
    """The spelling of a 1 x 1 convolution over the heads."""
    numbers = ("NCHW", "HWIO", "NCHW")
    return jax.lax.conv_general_dilated(
        logits, mixing[None, None], (1, 1), "VALID", dimension_numbers=numbers
    )


def _talking_heads(mix, before=True, after=True):
    """Shazeer et al. 2020: heads are mixed before the softmax, after it, or both."""

    def apply(params, x):
        x = x @ params["in"]
        q, k, v = (_heads(x @ params[name]) for name in "qkv")
        logits = jnp.einsum("bthd,bshd->bhts", q, k) / 2
        logits = mix(logits, params["before"]) if before else logits
        weights = jax.nn.softmax(logits)
        weights = mix(weights, params["after"]) if after else weights
        y = jnp.einsum("bhts,bshd->bthd", weights, v).reshape(x.shape)
        return (x + y @ params["o"]) @ params["out"]

    names = ("before",) * before + ("after",) * after
    params = FRAME | ATTENTION | dict.fromkeys(names, (HEADS, HEADS))
    expected = EXPECTED | dict.fromkeys(names, "hidden io @")
    return Entry(apply, (shapes(params), X), expected, 1)


for mix in (_mix_by_einsum, _mix_by_product, _mix_by_convolution):
    GALLERY[f"talking_heads{mix.__name__}"] = lambda mix=mix: _talking_heads(mix)


@entry
def talking_heads_before_the_softmax():
    return _talking_heads(_mix_by_einsum, after=False)


@entry
def talking_heads_after_the_softmax():
    return _talking_heads(_mix_by_einsum, before=False)


def _class_attention(attend):
    """Touvron et al. 2021 (CaiT): only the token asks, itself and the patches answer."""

    def apply(params, x):
        x = x @ params["in"]
        x = x + _attend(params["self"], x, x)
        token = jnp.broadcast_to(params["token"], (2, 1, WIDTH))
        for layer in params["layers"]:
            token = token + layer["gamma"] * attend(layer, token, x)
            token = token + jax.nn.gelu(token @ layer["up"]) @ layer["down"]
        return token[:, 0] @ params["out"]

    layer = ATTENTION | {"gamma": (WIDTH,), "up": (WIDTH, 12), "down": (12, WIDTH)}
    params = FRAME | {"self": ATTENTION, "token": (1, 1, WIDTH), "layers": [layer, layer]}
    expected = {
        "token": "class_token",
        "*/gamma": "multiplier ends",
        "*/up": "hidden io >gelu",
        "*/down": "tail io",
    }
    return Entry(apply, (shapes(params), X), expected | EXPECTED, 5)


def _token_cut_out(layer, token, x):
    """Queries are made of the first row of the concatenated signal."""
    both = jnp.concatenate([token, x], 1)
    return _attend(layer, both[:, :1], both)


def _token_asks(layer, token, x):
    return _attend(layer, token, jnp.concatenate([token, x], 1))


def _query_squeezed(layer, token, x):
    """One query an example, without an axis of positions."""
    both = jnp.concatenate([token, x], 1)
    q = _heads(both[:, 0] @ layer["q"])
    k, v = _heads(both @ layer["k"]), _heads(both @ layer["v"])
    weights = jax.nn.softmax(jnp.einsum("bhd,bshd->bhs", q, k) / 2)
    y = jnp.einsum("bhs,bshd->bhd", weights, v).reshape(2, 1, WIDTH)
    return y @ layer["o"]


for attend in (_token_cut_out, _token_asks, _query_squeezed):
    GALLERY[f"class_attention{attend.__name__}"] = lambda attend=attend: _class_attention(attend)


@entry
def cross_attention_with_a_projected_memory():
    """The memory is brought to the width of the decoder first; that kernel is no key."""

    def apply(params, x, memory):
        x, memory = x @ params["in"], memory @ params["bring"]
        return (x + _attend(params["cross"], x, memory)) @ params["out"]

    params = FRAME | {"bring": (5, WIDTH), "cross": ATTENTION}
    expected = EXPECTED | {"bring": "stem io @"}
    return Entry(apply, (shapes(params), X, shape(2, 7, 5)), expected, 1)


@entry
def cross_attention_of_low_rank():
    """DeepSeek-V2: keys and values come out of one compressed signal, queries out of another."""

    def apply(params, x):
        x = x @ params["in"]
        q = _heads(x @ params["down_q"] @ params["q"])
        held = x @ params["down_kv"]
        k, v = _heads(held @ params["k"]), _heads(held @ params["v"])
        weights = jax.nn.softmax(jnp.einsum("bthd,bshd->bhts", q, k) / 2)
        y = jnp.einsum("bhts,bshd->bthd", weights, v).reshape(x.shape)
        return (x + y @ params["o"]) @ params["out"]

    params = FRAME | {"down_q": (WIDTH, 3), "down_kv": (WIDTH, 4), "o": SQUARE}
    params |= {"q": (3, WIDTH), "k": (4, WIDTH), "v": (4, WIDTH)}
    expected = {"down_*": "hidden io @"} | EXPECTED
    return Entry(apply, (shapes(params), X), expected, 1)


@entry
def cross_attention_of_two_memories():
    """Ye et al. 2023 (IP-Adapter): an image has keys and values of its own, results are added."""

    def apply(params, x, text, image):
        x = x @ params["in"]
        q = _heads(x @ params["q"])
        y = 0.0
        for name, memory in (("text", text), ("image", image)):
            k, v = (_heads(memory @ params[name][part]) for part in "kv")
            weights = jax.nn.softmax(jnp.einsum("bthd,bshd->bhts", q, k) / 2)
            y = y + jnp.einsum("bhts,bshd->bthd", weights, v)
        return (x + y.reshape(x.shape) @ params["o"]) @ params["out"]

    memory = dict.fromkeys("kv", (5, WIDTH))
    params = FRAME | {"q": SQUARE, "o": SQUARE, "text": memory, "image": memory}
    inputs = (shapes(params), X, shape(2, 7, 5), shape(2, 4, 5))
    return Entry(apply, inputs, EXPECTED, 1)


@entry
def cross_attention_behind_a_gate():
    """Alayrac et al. 2022 (Flamingo): tanh of a number that starts at zero opens the branch."""

    def apply(params, x, memory):
        x, memory = x @ params["in"], memory @ params["bring"]
        x = x + jnp.tanh(params["gate"]) * _attend(params["cross"], x, memory)
        return x @ params["out"]

    params = FRAME | {"bring": (5, WIDTH), "cross": ATTENTION, "gate": ()}
    expected = EXPECTED | {"bring": "stem io @", "gate": "multiplier ends"}
    return Entry(apply, (shapes(params), X, shape(2, 7, 5)), expected, 1)


@entry
def attention_with_normalized_queries_and_keys():
    """Henry et al. 2020, Dehghani et al. 2023: norms on queries and keys, one learned scale."""

    def norm(x, scale):
        return x * jax.lax.rsqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-6) * scale

    def apply(params, x):
        x = x @ params["in"]
        q, k = (norm(_heads(x @ params[name]), params[f"{name}_scale"]) for name in "qk")
        logits = jnp.einsum("bthd,bshd->bhts", q, k) * jnp.exp(params["temperature"])
        y = jnp.einsum("bhts,bshd->bthd", jax.nn.softmax(logits), _heads(x @ params["v"]))
        return (x + y.reshape(x.shape) @ params["o"]) @ params["out"]

    params = FRAME | ATTENTION | {"q_scale": (DEPTH,), "k_scale": (DEPTH,), "temperature": ()}
    expected = EXPECTED | {"?_scale": "norm_scale", "temperature": "multiplier"}
    return Entry(apply, (shapes(params), X), expected, 1)


class LinenTalkingHeads(nn.Module):
    """Heads mixed by dense layers over the last axis, as CaiT does it in Linen."""

    @nn.compact
    def __call__(self, x):
        x = nn.Dense(WIDTH, name="embed")(x)
        q, k, v = jnp.split(nn.Dense(3 * WIDTH, name="qkv")(nn.LayerNorm(name="norm")(x)), 3, -1)
        logits = jnp.einsum("bthd,bshd->btsh", _heads(q), _heads(k)) / 2
        logits = nn.Dense(HEADS, name="before")(logits)
        weights = nn.Dense(HEADS, name="after")(nn.softmax(logits, 2))
        y = jnp.einsum("btsh,bshd->bthd", weights, _heads(v)).reshape(x.shape)
        return nn.Dense(2, name="classifier")(x + nn.Dense(WIDTH, name="o")(y))


@entry
def linen_talking_heads():
    return Entry(
        LinenTalkingHeads(),
        (X,),
        {
            "embed/kernel": "stem io",
            "qkv/kernel": "hidden io @query,key,value",
            "before/kernel": "hidden io @",
            "after/kernel": "hidden io @",
            "o/kernel": "tail io @output",
            "classifier/kernel": "head io",
            "norm/scale": "norm_scale",
            "norm/bias": "norm_bias",
            "*/bias": "bias",
        },
        1,
    )
