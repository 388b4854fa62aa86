"""Small networks, broken in known ways or healthy, as (apply, params, inputs).

Networks of one architecture share one function and one shape, so that one compilation serves them.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import idinit_jax
from idinit_jax.models import ViT, cifar_resnet
from idinit_jax.models.transformer import TransformerSize
from idinit_jax.schemes import initialize

WIDTH, BATCH = 64, 32


class Network(NamedTuple):
    """A model, its values, a batch, and what the verdict should say of it."""

    model: Any
    values: Any
    inputs: tuple[Any, ...]
    call_kwargs: dict[str, Any]


def batch(*shape: int, seed: int = 7) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


def kernels(std: float, depth: int, fan_in: int = WIDTH, fan_out: int = WIDTH) -> jax.Array:
    draws = np.random.default_rng(depth).standard_normal((depth, fan_in, fan_out))
    return jnp.asarray(std * draws, jnp.float32)


@functools.cache
def chain_model(activation: Callable, log: bool = False) -> Callable:
    def apply(params: dict, x: jax.Array) -> jax.Array:
        def layer(x: jax.Array, w_b: tuple) -> tuple:
            return activation(x @ w_b[0] + jnp.broadcast_to(w_b[1], x.shape)), None

        x, _ = jax.lax.scan(layer, x, (params["hidden"], params["bias"]))
        y = x @ params["head"]
        return jnp.log(jax.nn.relu(y)) if log else y

    return apply


def chain(
    activation: Callable,
    stacked: jax.Array,
    head: float = 0.1,
    bias: float = 0.0,
    log: bool = False,
) -> Network:
    """Dense layers in a scan, and a linear head; if asked the logarithm of what is positive."""
    depth, width = stacked.shape[0], stacked.shape[-1]
    params = {
        "hidden": stacked,
        "bias": jnp.full((depth, 1), bias),
        "head": kernels(head, 1, width, 10)[0],
    }
    return Network(chain_model(activation, log), params, (batch(BATCH, width),), {})


@functools.cache
def residual_model(norm: bool) -> Callable:
    def apply(params: dict, x: jax.Array) -> jax.Array:
        def block(x: jax.Array, ws: tuple) -> tuple:
            y = x / jnp.sqrt(jnp.mean(x * x, axis=-1, keepdims=True) + 1e-6) if norm else x
            return x + jax.nn.relu(y @ ws[0]) @ ws[1], None

        x, _ = jax.lax.scan(block, x, (params["first"], params["second"]))
        return x @ params["head"]

    return apply


def residual(norm: bool, tail: float, depth: int, head: float = 0.1) -> Network:
    """Blocks x + tail * relu(norm(x) W_1) W_2 in a scan, kernels from He."""
    he = (2.0 / WIDTH) ** 0.5
    params = {
        "first": kernels(he, depth),
        "second": kernels(tail * he, depth + 1)[1:],
        "head": kernels(head, 1, WIDTH, 10)[0],
    }
    return Network(residual_model(norm), params, (batch(BATCH, WIDTH),), {})


@functools.cache
def attention_model(scale: float, skip: bool) -> Callable:
    def apply(params: dict, x: jax.Array) -> jax.Array:
        def block(x: jax.Array, ws: dict) -> tuple:
            y = x / jnp.sqrt(jnp.mean(x * x, axis=-1, keepdims=True) + 1e-6)
            q, k, v = y @ ws["query"], y @ ws["key"], y @ ws["value"]
            weights = jax.nn.softmax(jnp.einsum("btf,bsf->bts", q, k) * scale)
            mixed = jnp.einsum("bts,bsf->btf", weights, v) @ ws["out"]
            return (x + mixed if skip else mixed), None

        return jax.lax.scan(block, x, params["blocks"])[0] @ params["head"]

    return apply


def attention(depth: int, skip: bool, std: float = 1.0, identity: bool = False) -> Network:
    """Self-attention over 16 tokens with a norm before it, one head of 64."""
    names = ("query", "key", "value", "out")
    blocks = {name: kernels(std / WIDTH**0.5, depth + i)[i:] for i, name in enumerate(names)}
    if identity:
        shape, key = (depth, WIDTH, WIDTH), jax.random.key(0)
        eye = idinit_jax.idinit(batch_axis=0)(key, shape)
        tail = idinit_jax.zeros_identity(batch_axis=0)(key, shape)
        blocks = {"query": eye, "key": eye, "value": eye, "out": tail}
    params = {"blocks": blocks, "head": kernels(0.1, 1, WIDTH, 10)[0]}
    return Network(attention_model(0.125, skip), params, (batch(8, 16, WIDTH),), {})


@functools.cache
def naive_zero_model() -> Callable:
    def apply(params: dict, x: jax.Array) -> jax.Array:
        def block(x: jax.Array, ws: tuple) -> tuple:
            y = jax.nn.relu(x @ ws[0]) @ ws[1]
            y = (y - y.mean(0, keepdims=True)) * jax.lax.rsqrt(y.var(0, keepdims=True) + 1e-5)
            return x + y * ws[2][None], None

        blocks = (params["first"], params["second"], params["scale"])
        return jax.lax.scan(block, x, blocks)[0] @ params["head"]

    return apply


def naive_zero(tail_kernel: float, tail_scale: float) -> Network:
    """Blocks x + scale * norm(relu(x W_1) W_2): the tail kernel and its norm's scale as given."""

    second = jnp.zeros((4, WIDTH, WIDTH))
    if tail_kernel:
        tail = idinit_jax.zeros_identity(epsilon=tail_kernel, batch_axis=0)
        second = tail(jax.random.key(0), second.shape)
    params = {
        "first": kernels((2.0 / WIDTH) ** 0.5, 4),
        "second": second,
        "scale": jnp.full((4, WIDTH), tail_scale),
        "head": kernels(0.1, 1, WIDTH, 10)[0],
    }
    return Network(naive_zero_model(), params, (batch(BATCH, WIDTH),), {})


@functools.cache
def convolutions_model() -> Callable:
    def apply(params: dict, x: jax.Array) -> jax.Array:
        def layer(x: jax.Array, w: jax.Array) -> tuple:
            y = jax.lax.conv_general_dilated(
                x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            return jax.nn.relu(y), None

        return jax.lax.scan(layer, x, params["hidden"])[0].mean((1, 2)) @ params["head"]

    return apply


def convolutions(std: float, depth: int) -> Network:
    """3 x 3 kernels with ReLU in a scan on 8 x 8 pictures of 16 channels."""
    hidden = kernels(std, depth, 9 * 16, 16).reshape(depth, 3, 3, 16, 16)
    params = {"hidden": hidden, "head": kernels(0.3, 1, 16, 10)[0]}
    return Network(convolutions_model(), params, (batch(8, 8, 8, 16),), {})


@functools.cache
def batch_norm_model() -> Callable:
    def apply(params: dict, x: jax.Array) -> jax.Array:
        def layer(x: jax.Array, w: jax.Array) -> tuple:
            y = x @ w
            y = (y - y.mean(0, keepdims=True)) * jax.lax.rsqrt(y.var(0, keepdims=True) + 1e-5)
            return jax.nn.relu(y), None

        return jax.lax.scan(layer, x, params["hidden"])[0] @ params["head"]

    return apply


def batch_norm(depth: int, examples: int = BATCH) -> Network:
    """Dense layers, each with a batch norm and ReLU, and no skips."""
    params = {"hidden": kernels(HE, depth), "head": kernels(0.1, 1, WIDTH, 10)[0]}
    return Network(batch_norm_model(), params, (batch(examples, WIDTH),), {})


def post_norm(depth: int) -> Network:
    """BERT's order: small embeddings, a norm over them, and a norm after each residual sum."""

    def norm(x: jax.Array) -> jax.Array:
        x = x - x.mean(-1, keepdims=True)
        return x * jax.lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + 1e-12)

    def apply(params: dict, tokens: jax.Array) -> jax.Array:
        def block(x: jax.Array, ws: tuple) -> tuple:
            return norm(x + jax.nn.gelu(x @ ws[0]) @ ws[1]), None

        x = norm(params["table"][tokens] + params["position"][None])
        return jax.lax.scan(block, x, (params["first"], params["second"]))[0] @ params["head"]

    params = {
        "table": kernels(0.02, 1, 50, WIDTH)[0],
        "position": jnp.broadcast_to(kernels(0.02, 2, 16, WIDTH)[1:], (1, 16, WIDTH))[0],
        "first": kernels(0.02, depth),
        "second": kernels(0.02, depth + 1)[1:],
        "head": kernels(0.02, 1, WIDTH, 10)[0],
    }
    tokens = jax.random.randint(jax.random.key(3), (1, 16), 0, 50)
    return Network(apply, params, (jnp.concatenate([tokens, tokens[:, ::-1]]),), {})


def recurrent(steps: int) -> Network:
    """A gated recurrent unit, whose gradient fades through time."""

    def apply(params: dict, x: jax.Array) -> jax.Array:
        def step(h: jax.Array, x: jax.Array) -> tuple:
            z = sigmoid(x @ params["x_gate"] + h @ params["h_gate"])
            new = tanh(x @ params["x_new"] + h @ params["h_new"])
            return z * h + (1.0 - z) * new, None

        h = jnp.zeros((x.shape[0], WIDTH))
        return jax.lax.scan(step, h, x.transpose(1, 0, 2))[0] @ params["head"]

    names = ("x_gate", "h_gate", "x_new", "h_new")
    params = {name: kernels(LECUN, 4)[i] for i, name in enumerate(names)}
    params["head"] = kernels(0.1, 1, WIDTH, 10)[0]
    return Network(apply, params, (batch(8, steps, WIDTH),), {})


def conditional() -> Network:
    """One of two layers, as the batch decides: the other one is not run."""

    def apply(params: dict, x: jax.Array) -> jax.Array:
        above = jnp.sum(x) > -1e9
        x = jax.lax.cond(above, lambda x: x @ params["one"], lambda x: x @ params["other"], x)
        return relu(x) @ params["head"]

    params = {"one": kernels(HE, 1)[0], "other": kernels(HE, 2)[1]}
    params["head"] = kernels(0.1, 1, WIDTH, 10)[0]
    return Network(apply, params, (batch(BATCH, WIDTH),), {})


def hourglass(depth: int) -> Network:
    """A U-Net of dense layers: narrower, then wider again beside what came down."""
    widths = [WIDTH >> level for level in range(depth + 1)]

    def apply(params: dict, x: jax.Array) -> jax.Array:
        kept = []
        for level in range(depth):
            kept.append(x)
            x = relu(x @ params[f"down_{level}"])
        for level in reversed(range(depth)):
            x = relu(jnp.concatenate([x, kept[level]], axis=-1) @ params[f"up_{level}"])
        return x @ params["head"]

    params = {"head": kernels(0.1, 1, WIDTH, 10)[0]}
    for level in range(depth):
        wide, narrow = widths[level], widths[level + 1]
        params[f"down_{level}"] = kernels((2.0 / wide) ** 0.5, 1, wide, narrow)[0]
        fan_in = wide + narrow
        params[f"up_{level}"] = kernels((2.0 / fan_in) ** 0.5, 1, fan_in, wide)[0]
    return Network(apply, params, (batch(BATCH, WIDTH),), {})


def rounded(network: Network) -> Network:
    """The same in bfloat16."""
    params, inputs = jax.tree.map(
        lambda x: x.astype(jnp.bfloat16), (network.values, network.inputs)
    )
    return Network(network.model, params, inputs, {})


def with_stopped_gradient() -> Network:
    """Only the head learns, which nobody asked for."""

    def apply(params: dict, x: jax.Array) -> jax.Array:
        return jax.lax.stop_gradient(relu(x @ params["hidden"])) @ params["head"]

    params = {"hidden": kernels(HE, 1)[0], "head": kernels(0.1, 1, WIDTH, 10)[0]}
    return Network(apply, params, (batch(BATCH, WIDTH),), {})


def root_of_zero() -> Network:
    """A length of zero is finite, its derivative is not."""

    def apply(params: dict, x: jax.Array) -> jax.Array:
        y = relu(x @ params["hidden"])
        length = jnp.sqrt(jnp.sum((y @ params["zero"]) ** 2, axis=-1, keepdims=True))
        return (y / jnp.broadcast_to(1.0 + length, y.shape)) @ params["head"]

    params = {"hidden": kernels(HE, 1)[0], "zero": jnp.zeros((WIDTH, WIDTH))}
    params["head"] = kernels(0.1, 1, WIDTH, 10)[0]
    return Network(apply, params, (batch(BATCH, WIDTH),), {})


def all_masked() -> Network:
    """A query that may look at no key."""

    def apply(params: dict, x: jax.Array) -> jax.Array:
        logits = jnp.einsum("btf,bsf->bts", x @ params["query"], x @ params["key"]) * 0.125
        weights = jax.nn.softmax(jnp.where(jnp.zeros_like(logits, bool), logits, -jnp.inf))
        return jnp.einsum("bts,bsf->btf", weights, x @ params["value"]) @ params["head"]

    params = {name: kernels(LECUN, 3)[i] for i, name in enumerate(("query", "key", "value"))}
    params["head"] = kernels(0.1, 1, WIDTH, 10)[0]
    return Network(apply, params, (batch(4, 8, WIDTH),), {})


def linen(model: Any, scheme: str, *shape: int, **call_kwargs: Any) -> Network:
    x = batch(*shape)
    values = initialize(model, jax.random.key(0), x, scheme=scheme, call_kwargs=call_kwargs)
    return Network(model, values, (x,), call_kwargs)


HE, LECUN = (2.0 / WIDTH) ** 0.5, (1.0 / WIDTH) ** 0.5
relu, tanh, sigmoid = jax.nn.relu, jnp.tanh, jax.nn.sigmoid


def linear(x: jax.Array) -> jax.Array:
    return x


def identical_rows(depth: int) -> jax.Array:
    """Every unit of a layer has the same random weights."""
    return jnp.broadcast_to(kernels(HE, depth)[:, :, :1], (depth, WIDTH, WIDTH))


def orthogonal(depth: int, gain: float = 1.0) -> jax.Array:
    initializer = idinit_jax.orthogonal(gain=gain, batch_axis=0)
    return initializer(jax.random.key(5), (depth, WIDTH, WIDTH))


def conditioned(depth: int) -> Network:
    """A condition that enters the branches alone, whose tails are next to nothing."""
    names = [f"{name}{layer}" for layer in range(depth) for name in ("c", "a", "k", "t")]
    params = dict.fromkeys(names, jnp.zeros((WIDTH, WIDTH))) | {"head": jnp.zeros((WIDTH, 3))}
    inputs = (batch(BATCH, WIDTH), batch(BATCH, WIDTH, seed=8))
    values = initialize(conditioned_chain, jax.random.key(1), params, *inputs)
    return Network(conditioned_chain, values, inputs, {})


def conditioned_chain(params: Any, x: jax.Array, condition: jax.Array) -> jax.Array:
    depth = sum(name.startswith("c") for name in params)
    for layer in range(depth):
        condition = jnp.tanh(condition @ params[f"c{layer}"])
    for layer in range(depth):
        entered = x @ params[f"a{layer}"] + condition @ params[f"k{layer}"]
        x = x + relu(entered) @ params[f"t{layer}"]
    return x @ params["head"]


# name -> (network, the problem that has to be named)
BROKEN: dict[str, tuple[Callable[[], Network], str]] = {
    "dense layers of std 1": (lambda: chain(relu, kernels(1.0, 6)), "exploding"),
    "everything zero": (lambda: chain(relu, kernels(0.0, 6), head=0.0), "dead"),
    "std 0.01 everywhere": (lambda: chain(relu, kernels(0.01, 6)), "vanishing"),
    "dead ReLU by bias": (lambda: chain(relu, kernels(HE, 6), bias=-50.0), "dead"),
    "NaN in a weight": (lambda: chain(relu, kernels(HE, 6).at[2, 5, 5].set(jnp.nan)), "NaN"),
    "identical rows": (lambda: chain(relu, identical_rows(6)), "symmetric"),
    "fan of the wrong axis": (lambda: chain(relu, kernels(HE / 8, 6)), "vanishing"),
    "log of zero": (lambda: chain(relu, kernels(HE, 6), log=True), "NaN"),
    "ReLU 100 deep from Xavier": (lambda: chain(relu, kernels(LECUN, 100)), "vanishing"),
    "ReLU 1000 deep from He": (lambda: chain(relu, kernels(HE, 1000)), "rank-collapsed"),
    "tanh 50 deep from He": (lambda: chain(tanh, kernels(HE, 50)), "exploding"),
    "tanh 50 deep, ordered": (lambda: chain(tanh, kernels(0.7 * LECUN, 50)), "vanishing"),
    "saturated tanh": (lambda: chain(tanh, kernels(1.0, 50)), "saturated"),
    "constant kernels": (lambda: chain(tanh, jnp.full((50, WIDTH, WIDTH), 0.01)), "symmetric"),
    "sigmoid 20 deep from Xavier": (lambda: chain(sigmoid, kernels(LECUN, 20)), "vanishing"),
    "saturated sigmoid": (lambda: chain(sigmoid, kernels(4.0, 20)), "saturated"),
    "unscaled attention": (lambda: attention(6, True, std=4.0), "saturated"),
    "attention without skips": (lambda: attention(6, False), "rank-collapsed"),
    "missing norm": (lambda: residual(False, 1.0, 30), "exploding"),
    "fan without the taps": (lambda: convolutions((2.0 / 16) ** 0.5, 10), "exploding"),
    "naive zero, zero norm scales": (lambda: naive_zero(0.0, 0.0), "dead"),
    "batch norm, 60 plain layers": (lambda: batch_norm(60), "exploding"),
    "batch norm over one example": (lambda: batch_norm(4, examples=1), "dead"),
    "two huge layers, then good ones": (
        lambda: chain(relu, kernels(HE, 9).at[:2].multiply(60.0)),
        "exploding",
    ),
    "stopped gradient": (with_stopped_gradient, "dead"),
    "root of zero": (root_of_zero, "NaN"),
    "all keys masked": (all_masked, "NaN"),
}

HEALTHY: dict[str, Callable[[], Network]] = {
    "ReLU 6 deep from He": lambda: chain(relu, kernels(HE, 6)),
    "ReLU 6 deep, orthogonal": lambda: chain(relu, orthogonal(6, gain=2**0.5)),
    "ReLU 100 deep from He": lambda: chain(relu, kernels(HE, 100)),
    "tanh 50 deep from LeCun": lambda: chain(tanh, kernels(LECUN, 50)),
    "tanh 50 deep, orthogonal": lambda: chain(tanh, orthogonal(50)),
    "linear 100 deep, orthogonal": lambda: chain(linear, orthogonal(100)),
    "SELU 30 deep from LeCun": lambda: chain(jax.nn.selu, kernels(LECUN, 30)),
    "one hidden layer": lambda: chain(relu, kernels(HE, 1)),
    "convolutions from He": lambda: convolutions((2.0 / 144) ** 0.5, 10),
    "residual with norm": lambda: residual(True, 1.0, 30),
    "residual with small tails": lambda: residual(False, 0.2, 30),
    "residual with zero tails and head": lambda: residual(False, 0.0, 30, head=0.0),
    "IDIZ tails, zero norm scales": lambda: naive_zero(1e-6, 0.0),
    "zero tails under norm scales": lambda: naive_zero(0.0, 1.0),
    "scaled attention": lambda: attention(6, True),
    "identity attention": lambda: attention(6, True, identity=True),
    "ResNet-20 with batch norm": lambda: linen(
        cifar_resnet(20, 10, scan=True), "he", 8, 16, 16, 3, train=True
    ),
    "ResNet-14, Fixup": lambda: linen(
        cifar_resnet(14, 10, norm="none", residual="fixup", scan=True), "fixup", 8, 16, 16, 3
    ),
    "batch norm, 16 plain layers": lambda: batch_norm(16),
    "norms after sums, small embeddings": lambda: post_norm(6),
    "recurrent through 20 steps": lambda: recurrent(20),
    "branch of a conditional not taken": conditional,
    "condition that enters branches alone": lambda: conditioned(4),
    "hourglass with skips": lambda: hourglass(3),
    "ReLU in bfloat16": lambda: rounded(chain(relu, kernels(HE, 6))),
    "ViT": lambda: linen(
        ViT(TransformerSize(32, 3, 2), patch=4, num_classes=10, scan=True), "he", 4, 16, 16, 3
    ),
}
