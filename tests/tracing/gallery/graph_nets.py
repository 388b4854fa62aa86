"""Networks on graphs: sums over neighbours stand between kernels and what follows them."""

import jax
import jax.numpy as jnp
import numpy as np
from gallery.entry import Entry, entry, shape, shapes

NODES, EDGES = 5, 9
X = shape(NODES, 3)
ENDS = shape(EDGES, dtype="int32")


def _normalized(x):
    x = x - x.mean(-1, keepdims=True)
    return x * jax.lax.rsqrt((x**2).mean(-1, keepdims=True) + 1e-5)


def _convolution(gather):
    """Kipf and Welling 2017: a kernel, a sum over neighbours, a bias, a norm, an activation."""

    def apply(params, x, senders, receivers):
        for index in range(2):
            x = gather(x @ params[f"w{index}"], senders, receivers) + params[f"b{index}"]
            x = jax.nn.relu(_normalized(x) * params[f"scale{index}"])
        return x @ params["out"]

    params = {"w0": (3, 8), "w1": (8, 8), "out": (8, 2)}
    params |= {f"{name}{index}": (8,) for name in ("b", "scale") for index in range(2)}
    expected = {
        "w0": "stem io >relu",
        "w1": "hidden io >relu",
        "b?": "bias",
        "scale?": "norm_scale",
        "out": "head io >",
    }
    return Entry(apply, (shapes(params), X, ENDS, ENDS), expected, 0)


@entry
def graph_convolution_by_segments():
    return _convolution(lambda h, s, r: jax.ops.segment_sum(h[s], r, NODES))


@entry
def graph_convolution_by_scatter():
    return _convolution(lambda h, s, r: jnp.zeros_like(h).at[r].add(h[s]))


@entry
def graph_convolution_by_largest_neighbour():
    return _convolution(lambda h, s, r: jax.ops.segment_max(h[s], r, NODES))


@entry
def graph_convolution_by_a_constant_matrix():
    adjacency = np.eye(NODES, dtype=np.float32)
    return _convolution(lambda h, *_: adjacency @ h)


@entry
def graph_convolution_by_a_matrix_of_the_data():
    def apply(params, x, adjacency):
        return jax.nn.relu(adjacency @ (x @ params["w"]) + params["b"]) @ params["out"]

    params = {"w": (3, 8), "b": (8,), "out": (8, 2)}
    expected = {"w": "stem io >relu", "b": "bias", "out": "head io"}
    return Entry(apply, (shapes(params), X, shape(NODES, NODES)), expected, 0)


@entry
def graph_attention():
    """Velickovic et al. 2018: a sum of products with a vector gives each end a score: a kernel."""

    def apply(params, x, senders, receivers):
        x = x @ params["in"]
        h = (x @ params["w"]).reshape(NODES, 2, 4)
        sent, received = h[senders], h[receivers]
        scores = (sent * params["source"]).sum(-1) + (received * params["target"]).sum(-1)
        scores = jnp.exp(jax.nn.leaky_relu(scores))
        weights = scores / jax.ops.segment_sum(scores, receivers, NODES)[receivers]
        y = jax.ops.segment_sum(sent * weights[..., None], receivers, NODES)
        return (x + y.reshape(NODES, 8)) @ params["out"]

    params = {"in": (3, 8), "w": (8, 8), "source": (2, 4), "target": (2, 4), "out": (8, 2)}
    expected = {
        "in": "stem io",
        "w": "tail io",
        "source": "hidden gi",
        "target": "hidden gi",
        "out": "head io",
    }
    return Entry(apply, (shapes(params), X, ENDS, ENDS), expected, 1)


@entry
def attention_biased_by_distances():
    """Ying et al. 2021 (Graphormer): layers share a bias of the logits, which is no signal."""

    def apply(params, x, distances):
        x = x @ params["in"]
        bias = params["distance"][distances].transpose(2, 0, 1)
        for index in range(2):
            layer = params[f"layer_{index}"]
            q, k, v = (jnp.einsum("td,dhc->htc", x, layer[name]) for name in "qkv")
            logits = jnp.einsum("htc,hsc->hts", q, k) / 2 + bias
            y = jnp.einsum("hts,hsc->thc", jax.nn.softmax(logits), v)
            x = x + jnp.einsum("thc,hcd->td", y, layer["o"])
        return x @ params["out"]

    layer = dict.fromkeys("qkv", (8, 2, 4)) | {"o": (2, 4, 8)}
    params = {"in": (3, 8), "distance": (6, 2), "out": (8, 2), "layer_0": layer, "layer_1": layer}
    expected = {
        "in": "stem io",
        "distance": "embedding io",
        "*/q": "hidden ioo @query",
        "*/k": "hidden ioo @key",
        "*/v": "hidden ioo @value",
        "*/o": "tail iio @output",
        "out": "head io",
    }
    inputs = (shapes(params), X, shape(NODES, NODES, dtype="int32"))
    return Entry(apply, inputs, expected, 2)
