"""Sums that look like residual ones, signals that are none, and norms in unusual places."""

import jax
import jax.numpy as jnp
from gallery.entry import Entry, entry, shape, shapes
from jax.lax import stop_gradient

X = shape(4, 8)
AUTOENCODER = {"e1": (8, 6), "e2": (6, 2), "d1": (2, 6), "d2": (6, 8)}
AUTOENCODER_EXPECTED = {
    "e1": "stem io >relu",
    "e2": "hidden io",
    "d1": "hidden io >relu",
    "d2": "head io >",
}


@entry
def loss_of_an_autoencoder():
    """The difference between the output and the input is a distance, and no residual sum."""

    def loss(params, x):
        z = jax.nn.relu(x @ params["e1"]) @ params["e2"]
        return jnp.mean((jax.nn.relu(z @ params["d1"]) @ params["d2"] - x) ** 2)

    return Entry(loss, (shapes(AUTOENCODER), X), AUTOENCODER_EXPECTED, 0)


@entry
def vector_quantization():
    """Van den Oord et al. 2017: the straight-through sum carries no gradient on its branch."""

    def apply(params, x):
        z = jax.nn.relu(x @ params["e1"]) @ params["e2"]
        distances = (z**2).sum(1, keepdims=True) - 2 * z @ params["codes"].T
        found = params["codes"][jnp.argmin(distances + (params["codes"] ** 2).sum(1), -1)]
        commitment = jnp.mean((stop_gradient(found) - z) ** 2)
        z = z + stop_gradient(found - z)
        return jax.nn.relu(z @ params["d1"]) @ params["d2"], commitment

    params = AUTOENCODER | {"codes": (7, 2)}
    expected = AUTOENCODER_EXPECTED | {"codes": "embedding io"}
    return Entry(apply, (shapes(params), X), expected, 0)


@entry
def preconditioned_denoiser():
    """Karras et al. 2022: the noise level weighs both the input and what is added to it."""

    def apply(params, x, noise):
        total = jnp.sqrt(noise**2 + 1)[:, None]
        y = jax.nn.silu((x / total) @ params["a"]) @ params["b"]
        return x / total**2 + (noise[:, None] / total) * y

    expected = {"a": "hidden io >silu", "b": "tail io"}
    return Entry(apply, (shapes({"a": (8, 6), "b": (6, 8)}), X, shape(4)), expected, 1)


@entry
def coupling_flow_with_log_determinant():
    """Dinh et al. 2017: the shortcut is scaled by a network; log-determinants are statistics."""

    def apply(params, x):
        logarithm = 0.0
        for index in range(3):
            first, second = jnp.split(x, 2, -1)
            both = jnp.tanh(first @ params[f"a{index}"]) @ params[f"b{index}"]
            scale, shift = jnp.split(both, 2, -1)
            logarithm = logarithm + scale.sum(-1)
            x = jnp.concatenate([second * jnp.exp(jnp.tanh(scale)) + shift, first], -1)
        return x, logarithm

    params = {f"a{i}": (4, 6) for i in range(3)} | {f"b{i}": (6, 8) for i in range(3)}
    expected = {"a0": "stem io >tanh", "a?": "hidden io >tanh", "b2": "head io", "b?": "hidden io"}
    return Entry(apply, (shapes(params), X), expected, 0)


@entry
def feature_pyramid():
    """Lin et al. 2017: every level that is added to the next is an output of its own too."""

    def apply(params, x):
        features = []
        for index in range(3):
            x = jax.nn.relu(x @ params[f"down{index}"])
            x = x + jax.nn.relu(x @ params[f"a{index}"]) @ params[f"b{index}"]
            features.append(x @ params[f"lateral{index}"])
        levels = [features[2]]
        for lateral in features[1::-1]:
            levels.append(lateral + levels[-1])
        return [jax.nn.relu(level) @ params["classifier"] for level in levels]

    params = {"down0": (8, 6), "down1": (6, 6), "down2": (6, 6), "classifier": (5, 3)}
    for index in range(3):
        params |= {f"a{index}": (6, 7), f"b{index}": (7, 6), f"lateral{index}": (6, 5)}
    expected = {
        "down0": "stem io",
        "down?": "hidden io",
        "a?": "hidden io >relu",
        "b?": "tail io",
        "lateral?": "hidden io",
        "classifier": "head io",
    }
    return Entry(apply, (shapes(params), X), expected, 3)


@entry
def summed_skips_of_gated_layers():
    """Van den Oord et al. 2016 (WaveNet): skips of all layers add up; the last layer goes no on."""

    def apply(params, x):
        x, skips = x @ params["w_in"], 0
        for index in range(3):
            y, gate = jnp.split(x @ params[f"gated{index}"], 2, -1)
            y = jnp.tanh(y) * jax.nn.sigmoid(gate)
            skips = skips + y @ params[f"skip{index}"]
            x = x + y @ params[f"on{index}"]
        return jax.nn.relu(skips) @ params["w_out"]

    params = {"w_in": (8, 6), "w_out": (5, 3)}
    for index in range(3):
        params |= {f"gated{index}": (6, 14), f"skip{index}": (7, 5), f"on{index}": (7, 6)}
    expected = {
        "w_in": "stem io",
        "gated?": "hidden io",
        "skip?": "hidden io",
        "on2": "unused",
        "on?": "tail io",
        "w_out": "head io",
    }
    return Entry(apply, (shapes(params), X), expected, 2)


@entry
def additive_attention_in_a_recurrent_cell():
    """The state enters its own update through the weights of an attention: that is a gate."""

    def apply(params, memory, x):
        state = memory.mean(1)
        for _ in range(2):
            scores = jnp.tanh(memory @ params["keys"] + (state @ params["query"])[:, None])
            weights = jax.nn.softmax((scores @ params["score"])[..., 0], -1)
            context = jnp.concatenate([jnp.einsum("bt,btd->bd", weights, memory), x], -1)
            update = jax.nn.sigmoid(context @ params["wz"] + state @ params["uz"])
            fresh = jnp.tanh(context @ params["wn"] + (update * state) @ params["un"])
            state = (1 - update) * fresh + update * state
        return state @ params["w_out"]

    params = dict.fromkeys(("keys", "query", "uz", "un"), (8, 8))
    params |= {"wz": (16, 8), "wn": (16, 8), "score": (8, 1), "w_out": (8, 3)}
    inputs = (shapes(params), shape(4, 5, 8), X)
    kernels = ("query", "score", "wz", "wn", "un")
    expected = {
        "keys": "stem io >",
        "uz": "hidden io",
        "w_out": "head io",
        **dict.fromkeys(kernels, "hidden io"),
    }
    return Entry(apply, inputs, expected, 0)


@entry
def messages_on_a_graph():
    """A message is added to its edge and read by the nodes: it is not free to vanish."""

    def apply(params, nodes, edges, senders, receivers):
        nodes, edges = nodes @ params["nodes"], edges @ params["edges"]
        for index in range(2):
            layer = params[f"layer_{index}"]
            inputs = jnp.concatenate([nodes[senders], nodes[receivers], edges], -1)
            messages = jax.nn.relu(inputs @ layer["a"]) @ layer["b"]
            sums = jax.ops.segment_sum(messages, receivers, nodes.shape[0])
            inputs = jnp.concatenate([nodes, sums], -1)
            nodes = nodes + jax.nn.relu(inputs @ layer["c"]) @ layer["d"]
            edges = edges + messages
        return nodes.sum(0) @ params["out"]

    layer = {"a": (18, 7), "b": (7, 6), "c": (12, 7), "d": (7, 6)}
    params = {"nodes": (8, 6), "edges": (3, 6), "out": (6, 2), "layer_0": layer, "layer_1": layer}
    ends = shape(9, dtype="int32")
    expected = {
        "nodes": "stem io",
        "edges": "stem io",
        "*/[ac]": "hidden io >relu",
        "*/b": "hidden io",
        "*/d": "tail io",
        "out": "head io",
    }
    return Entry(apply, (shapes(params), X, shape(9, 3), ends, ends), expected, 2)


@entry
def attention_under_a_mask_of_the_data():
    def apply(params, x, mask):
        x = x @ params["w_in"]
        q, k, v = (x @ params[name] for name in "qkv")
        logits = jnp.where(mask[:, None] > 0, jnp.einsum("btd,bsd->bts", q, k), -1e9)
        y = jnp.einsum("bts,bsd->btd", jax.nn.softmax(logits), v)
        return (x + y @ params["o"]) @ params["w_out"]

    params = {"w_in": (3, 8), "w_out": (8, 3)} | dict.fromkeys("qkvo", (8, 8))
    expected = {
        "w_in": "stem io",
        "q": "hidden io @query",
        "k": "hidden io @key",
        "v": "hidden io @value",
        "o": "tail io @output",
        "w_out": "head io",
    }
    inputs = (shapes(params), shape(2, 5, 3), shape(2, 5, dtype="int32"))
    return Entry(apply, inputs, expected, 1)


def _inverse_root(x):
    return jax.lax.rsqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-6)


@entry
def scales_before_and_after_a_norm():
    """A norm's scale may come before its statistic; what comes after its bias mixes the signal."""

    def apply(params, x):
        x = x @ params["w_in"] + params["positions"][jnp.arange(5)[None]]
        x = params["scale"] * x * _inverse_root(x)
        y = (x - x.mean(-1, keepdims=True)) * _inverse_root(x - x.mean(-1, keepdims=True))
        y = y * params["second_scale"] + params["shift"]
        y = y * params["mix"] + jnp.roll(y, 1, 1) * (1 - params["mix"])
        return y @ params["w_out"]

    names = ("scale", "second_scale", "shift", "mix")
    params = {"w_in": (3, 8), "w_out": (8, 3), "positions": (9, 8)} | dict.fromkeys(names, (8,))
    expected = {
        "w_in": "stem io",
        "positions": "position_embedding",
        "*scale": "norm_scale",
        "shift": "norm_bias",
        "mix": "multiplier",
        "w_out": "head io",
    }
    return Entry(apply, (shapes(params), shape(2, 5, 3)), expected, 0)


@entry
def global_response_normalization():
    """Woo et al. 2023 (ConvNeXt V2): responses compared with their mean scale the signal."""

    def apply(params, x):
        x = x @ params["w_in"]
        y = jax.nn.gelu(x @ params["a"])
        response = jnp.sqrt((y**2).sum(1, keepdims=True))
        response = response / (response.mean(-1, keepdims=True) + 1e-6)
        y = params["gamma"] * (y * response) + params["beta"] + y
        return (x + y @ params["b"]) @ params["w_out"]

    params = {"w_in": (3, 8), "a": (8, 12), "gamma": (12,), "beta": (12,), "b": (12, 8)}
    expected = {
        "w_in": "stem io",
        "a": "hidden io >gelu",
        "gamma": "multiplier",
        "beta": "bias",
        "b": "tail io",
        "w_out": "head io",
    }
    return Entry(apply, (shapes(params | {"w_out": (8, 3)}), shape(2, 5, 3)), expected, 1)


@entry
def branch_that_ends_in_a_product_of_signals():
    """Of two factors one has to vanish; if both did, neither would have a gradient."""

    def apply(params, x):
        x = x @ params["w_in"]
        x = x + (jax.nn.relu(x @ params["h"]) @ params["a"]) * (x @ params["b"])
        return x @ params["w_out"]

    params = {"w_in": (8, 6), "h": (6, 9), "a": (9, 6), "b": (6, 6), "w_out": (6, 3)}
    expected = {
        "w_in": "stem io",
        "[hb]": "hidden io",
        "a": "tail io",
        "w_out": "head io",
    }
    return Entry(apply, (shapes(params), X), expected, 1)
