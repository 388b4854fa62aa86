"""Roles and axes do not depend on how a model is spelled: random residual networks."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from gallery.entry import axis_letters, shape
from hypothesis import given
from hypothesis import strategies as st

from idinit_jax.tracing import trace

WIDTH, HIDDEN, HEADS = 8, 12, 2
# Kernel -> (inputs, outputs) and role, by kind of block.
BLOCKS = {
    "dense": {"a": (WIDTH, HIDDEN, "hidden"), "b": (HIDDEN, WIDTH, "tail")},
    "gated": {
        "gate": (WIDTH, HIDDEN, "hidden"),
        "up": (WIDTH, HIDDEN, "hidden"),
        "down": (HIDDEN, WIDTH, "tail"),
    },
    "attention": {
        "q": (WIDTH, WIDTH, "hidden"),
        "k": (WIDTH, WIDTH, "hidden"),
        "v": (WIDTH, WIDTH, "hidden"),
        "o": (WIDTH, WIDTH, "tail"),
    },
}
FUSED = {"gated": ("gate", "up"), "attention": ("q", "k", "v")}


class Spelling(NamedTuple):
    """Ways to write the same network."""

    product: str
    storage: str
    layers: str
    norm: str
    fused: bool
    remat: bool
    jit: bool


class Network(NamedTuple):
    """A network is kinds of blocks, run one after the other; `turns` times as a whole."""

    kinds: tuple[str, ...]
    turns: int


SPELLINGS = st.builds(
    Spelling,
    st.sampled_from(["matmul", "einsum", "dot_general"]),
    st.sampled_from(["in_out", "out_in", "split_out", "split_in"]),
    st.sampled_from(["separate", "scanned", "indexed", "looped"]),
    st.sampled_from(["none", "before", "after"]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
NETWORKS = st.builds(
    Network,
    st.lists(st.sampled_from(sorted(BLOCKS)), min_size=1, max_size=3).map(tuple),
    st.integers(2, 3),
)


def kernels_of(kind, spelling):
    """Name -> (inputs, outputs, role), with the kernels that read the same signal side by side."""
    kernels = dict(BLOCKS[kind])
    if spelling.fused and kind in FUSED:
        parts = [kernels.pop(name) for name in FUSED[kind]]
        kernels["fused"] = (WIDTH, sum(out for _, out, _ in parts), "hidden")
    return kernels


def stored(inputs, outputs, storage):
    """The stored shape, and what its axes are."""
    return {
        "in_out": ((inputs, outputs), "io"),
        "out_in": ((outputs, inputs), "oi"),
        "split_out": ((inputs, HEADS, outputs // HEADS), "ioo"),
        "split_in": ((HEADS, inputs // HEADS, outputs), "iio"),
    }[storage]


def multiply(x, kernel, outputs, spelling):
    kernel = kernel.T if spelling.storage == "out_in" else kernel.reshape(-1, outputs)
    if spelling.product == "matmul":
        return x @ kernel
    if spelling.product == "einsum":
        return jnp.einsum("...i,io->...o", x, kernel)
    return jax.lax.dot_general(x, kernel, (((2,), (0,)), ((), ())))


def normalize(x):
    x = x - x.mean(-1, keepdims=True)
    return x * jax.lax.rsqrt((x**2).mean(-1, keepdims=True) + 1e-6)


def run_block(kind, params, x, spelling):
    y = normalize(x) if spelling.norm == "before" else x
    kernels = kernels_of(kind, spelling)

    def product(y, name):
        return multiply(y, params[name], kernels[name][1], spelling)

    if "fused" in kernels:
        fused = product(y, "fused")
        parts = jnp.split(fused, len(FUSED[kind]), axis=-1)
    else:
        parts = [product(y, name) for name in FUSED.get(kind, ())]
    if kind == "dense":
        y = product(jax.nn.relu(product(y, "a")), "b")
    elif kind == "gated":
        y = product(jax.nn.silu(parts[0]) * parts[1], "down")
    else:
        q, k, v = parts
        weights = jax.nn.softmax(jnp.einsum("btd,bsd->bts", q, k))
        y = product(jnp.einsum("bts,bsd->btd", weights, v), "o")
    return normalize(x + y) if spelling.norm == "after" else x + y


def build(network, spelling):
    """The function, its parameter shapes, and path -> role and axes."""
    names = [f"{index}_{kind}" for index, kind in enumerate(network.kinds)]
    stacked = spelling.layers != "separate"

    def turn(layers, x):
        for name, kind in zip(names, network.kinds, strict=True):
            x = run_block(kind, layers[name], x, spelling)
        return x

    turn = jax.checkpoint(turn) if spelling.remat else turn
    turn = jax.jit(turn) if spelling.jit else turn

    def apply(params, x):
        x = x @ params["w_in"]
        layers = params["layers"]

        def at(index):
            return jax.tree.map(lambda leaf: leaf[index], layers)

        if spelling.layers == "scanned":
            x, _ = jax.lax.scan(lambda x, one: (turn(one, x), None), x, layers)
        elif spelling.layers == "looped":
            x = jax.lax.fori_loop(0, network.turns, lambda index, x: turn(at(index), x), x)
        else:
            for index in range(network.turns):
                x = turn(at(index) if stacked else layers[str(index)], x)
        return x @ params["w_out"]

    leading = (network.turns,) if stacked else ()
    layer, expected = {}, {"w_in": "stem io", "w_out": "head io"}
    for name, kind in zip(names, network.kinds, strict=True):
        layer[name] = {}
        for kernel, (inputs, outputs, role) in kernels_of(kind, spelling).items():
            size, letters = stored(inputs, outputs, spelling.storage)
            layer[name][kernel] = shape(*leading, *size)
            for index in range(1 if stacked else network.turns):
                place = f"{name}/{kernel}" if stacked else f"{index}/{name}/{kernel}"
                expected[f"layers/{place}"] = f"{role} {'s' * stacked}{letters}"
    layers = layer if stacked else {str(index): layer for index in range(network.turns)}
    params = {"w_in": shape(3, WIDTH), "layers": layers, "w_out": shape(WIDTH, 5)}
    return apply, params, expected


@given(NETWORKS, SPELLINGS)
def test_spelling_changes_nothing(network, spelling):
    apply, params, expected = build(network, spelling)
    graph = trace(apply, params, shape(2, 5, 3))
    traced = {one.path: f"{one.role} {axis_letters(one)}" for one in graph.kernels}
    assert traced == expected
    assert graph.branches == len(network.kinds) * network.turns
    for one in graph.kernels:
        if one.layer_roles:
            assert one.layer_roles == (one.role,) * network.turns
