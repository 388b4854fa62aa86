"""Ways to write one network down, with what tracing must find in each of them."""

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from gallery.entry import shape
from hypothesis import strategies as st
from spelled.programs import (
    CLASSES,
    EXPERTS,
    FEATURES,
    FUSED,
    HEADS,
    POINTS,
    TIMES,
    WIDTH,
    Block,
    Network,
    Weight,
    fuse,
    weights_of,
)

X = shape(POINTS, TIMES, FEATURES)


class Spelling(NamedTuple):
    """Choices that leave what is computed as it is.

    Attributes:
        product: how a signal is multiplied by a kernel.
        storage: how the axes of a kernel are stored.
        layers: how the turns of the network are written.
        fused: whether kernels that read one signal lie side by side.
        wrap: what stands around a turn: nothing, rematerialization, or a jitted function that has
            the name of an activation.
        function: how activations are written.
        vmapped: whether the model is written for one point of the batch.
        times: whether a recurrence is a scan or a Python loop.
        heads, experts: how the heads of an attention and the experts are written.
    """

    product: str
    storage: str
    layers: str
    fused: bool
    wrap: str
    function: str
    vmapped: bool
    times: str
    heads: str
    experts: str


SPELLINGS = st.builds(
    Spelling,
    st.sampled_from(["matmul", "einsum", "dot_general", "tensordot", "transposed", "summed"]),
    st.sampled_from(["in_out", "out_in", "split_out", "split_in"]),
    st.sampled_from(["separate", "scanned", "indexed", "looped"]),
    st.booleans(),
    st.sampled_from(["plain", "remat", "misnamed"]),
    st.sampled_from(["jax", "custom_jvp", "spelled_out", "misnamed"]),
    st.booleans(),
    st.sampled_from(["scanned", "unrolled"]),
    st.sampled_from(["einsum", "transposed", "vmapped"]),
    st.sampled_from(["einsum", "vmapped", "one_by_one", "scanned", "summed"]),
)
SPELLED_OUT = {
    "relu": lambda x: jnp.where(x > 0, x, 0),
    "gelu": lambda x: x / 2 * jax.lax.erfc(-x / 2**0.5),
    "tanh": lambda x: 1 - 2 / (jnp.exp(2 * x) + 1),
    "silu": lambda x: x / (1 + jnp.exp(-x)),
}


class Branch(NamedTuple):
    """What lies on a residual branch, by path."""

    kernels: frozenset[str]
    tails: frozenset[str]
    scales: frozenset[str]


class Written(NamedTuple):
    """A model in one spelling.

    Attributes:
        apply, params: the model and the shapes of its parameters.
        expected: path -> what must be found there.
        branches: every residual branch, as often as it is run.
        fans: path of a kernel -> its inputs and outputs.
    """

    apply: Callable[[Any, Any], Any]
    params: Any
    expected: dict[str, str]
    branches: Counter[Branch]
    fans: dict[str, tuple[int, int]]


def named(function: Callable, name: str) -> Callable:
    """A jitted function under a name that says nothing about it."""

    def called(*args):
        return function(*args)

    called.__name__ = name
    return jax.jit(called)


def activation(name: str, spelling: Spelling) -> Callable:
    function = getattr(jax.nn, name)
    if spelling.function == "spelled_out":
        return SPELLED_OUT[name]
    if spelling.function == "misnamed":
        return named(SPELLED_OUT[name], "mish")
    if spelling.function == "custom_jvp":
        custom = jax.custom_jvp(lambda x: function(x))
        custom.defjvp(lambda primals, tangents: jax.jvp(function, primals, tangents))
        return custom
    return function


def weights_in(block: Block, spelling: Spelling) -> dict[str, Weight]:
    """The kernels that the block stores in this spelling."""
    return fuse(block) if spelling.fused else weights_of(block)


def one_after_the_other(weight: Weight, spelling: Spelling) -> bool:
    """Whether the experts are run like layers; they are stacked then."""
    return weight.grouped and spelling.experts in ("one_by_one", "scanned")


def stored(weight: Weight, spelling: Spelling) -> tuple[tuple[int, ...], str]:
    """The stored shape of a kernel and what its axes are; groups come first and are not split."""
    if weight.grouped:
        letters = "sio" if one_after_the_other(weight, spelling) else "gio"
        return (EXPERTS, weight.inputs, weight.outputs), letters
    inputs, outputs = weight.inputs, weight.outputs
    if spelling.storage == "split_out" and outputs % HEADS == 0:
        return (inputs, HEADS, outputs // HEADS), "ioo"
    return {
        "out_in": ((outputs, inputs), "oi"),
        "split_in": ((HEADS, inputs // HEADS, outputs), "iio"),
    }.get(spelling.storage, ((inputs, outputs), "io"))


def multiply(x, kernel, weight: Weight, spelling: Spelling):
    """The product of a signal's last axis with a kernel that is stored in some way."""
    if spelling.storage == "out_in":
        kernel = kernel.T
    else:
        kernel = kernel.reshape(weight.inputs, weight.outputs)
    if spelling.product == "einsum":
        return jnp.einsum("...i,io->...o", x, kernel)
    if spelling.product == "dot_general":
        return jax.lax.dot_general(x, kernel, (((x.ndim - 1,), (0,)), ((), ())))
    if spelling.product == "tensordot":
        return jnp.tensordot(x, kernel, 1)
    if spelling.product == "transposed":
        return jnp.moveaxis(jnp.tensordot(kernel.T, jnp.moveaxis(x, -1, 0), 1), 0, -1)
    if spelling.product == "summed":
        return (x[..., None] * kernel).sum(-2)
    return x @ kernel


def normalize(x, layer, block: Block):
    x = x - x.mean(-1, keepdims=True)
    x = x * jax.lax.rsqrt((x**2).mean(-1, keepdims=True) + 1e-6)
    return x * layer["norm_scale"] + layer["norm_bias"] if block.learned else x


class Products:
    """The products of a block's kernels with signals, whether they are stored fused or not."""

    def __init__(self, layer: Any, block: Block, spelling: Spelling) -> None:
        self.layer = layer
        self.block = block
        self.spelling = spelling
        self.weights = weights_in(block, spelling)

    def one(self, x, name):
        y = multiply(x, self.layer[name], self.weights[name], self.spelling)
        return y + self.layer[f"{name}_bias"] if self.block.biased else y

    def all(self, x, fused):
        """The products of one signal with the kernels that are fused under this name."""
        parts = FUSED[self.block.kind][fused]
        if self.spelling.fused:
            return jnp.split(self.one(x, fused), len(parts), axis=-1)
        return [self.one(x, part) for part in parts]


def dense(y, products: Products, function, spelling: Spelling):
    del spelling
    return products.one(function(products.one(y, "a")), "b")


def gated(y, products: Products, function, spelling: Spelling):
    del spelling
    gate, up = products.all(y, "fused")
    return products.one(function(gate) * up, "down")


def attention(y, products: Products, function, spelling: Spelling):
    del function
    split = [
        part.reshape(*part.shape[:-1], HEADS, WIDTH // HEADS) for part in products.all(y, "fused")
    ]
    if spelling.heads == "einsum":
        q, k, v = split
        weights = jax.nn.softmax(jnp.einsum("...thd,...shd->...hts", q, k) / 2)
        mixed = jnp.einsum("...hts,...shd->...thd", weights, v)
    elif spelling.heads == "transposed":
        q, k, v = (jnp.swapaxes(part, -2, -3) for part in split)
        scores = q @ jnp.swapaxes(k, -1, -2) / 2
        scores = jnp.exp(scores - jax.lax.stop_gradient(scores.max(-1, keepdims=True)))
        mixed = jnp.swapaxes(scores / scores.sum(-1, keepdims=True) @ v, -2, -3)
    else:
        head = lambda q, k, v: jax.nn.softmax(q @ jnp.swapaxes(k, -1, -2) / 2) @ v  # noqa: E731
        mixed = jax.vmap(head, -2, -2)(*split)
    return products.one(mixed.reshape(y.shape), "o")


def recurrent(y, products: Products, function, spelling: Spelling):
    """A minimal gated unit over the positions."""
    del function

    def step(h, x):
        xz, xc = products.all(x, "fused")
        hz, hc = products.all(h, "fused_state")
        z = jax.nn.sigmoid(xz + hz)
        h = (1 - z) * h + z * jnp.tanh(xc + hc)
        return h, h

    h = jnp.zeros_like(y[..., 0, :])
    if spelling.times == "scanned":
        return jnp.moveaxis(jax.lax.scan(step, h, jnp.moveaxis(y, -2, 0))[1], 0, -2)
    each = []
    for time in range(TIMES):
        h, _ = step(h, y[..., time, :])
        each.append(h)
    return jnp.stack(each, -2)


def expert(y, products: Products, function, spelling: Spelling):
    weights = jax.nn.softmax(products.one(y, "router"))
    names = ("up", "down", *(("up_bias", "down_bias") if products.block.biased else ()))
    experts = {name: products.layer[name] for name in names}

    def one(layer):
        hidden = y @ layer["up"]
        hidden = function(hidden + layer["up_bias"] if "up_bias" in layer else hidden)
        out = hidden @ layer["down"]
        return out + layer["down_bias"] if "down_bias" in layer else out

    if spelling.experts == "one_by_one":
        total = jnp.zeros_like(y)
        for index in range(EXPERTS):
            layer = {name: leaf[index] for name, leaf in experts.items()}
            total = total + weights[..., index, None] * one(layer)
        return total
    if spelling.experts == "scanned":

        def turn(total, slices):
            layer, weight = slices
            return total + weight[..., None] * one(layer), None

        slices = (experts, jnp.moveaxis(weights, -1, 0))
        return jax.lax.scan(turn, jnp.zeros_like(y), slices)[0]
    if spelling.experts == "vmapped":
        outputs = jax.vmap(one, out_axes=-2)(experts)
    else:
        hidden = jnp.einsum("...i,eio->...eo", y, experts["up"])
        hidden = function(hidden + experts["up_bias"] if "up_bias" in experts else hidden)
        outputs = jnp.einsum("...ei,eio->...eo", hidden, experts["down"])
        outputs = outputs + experts["down_bias"] if "down_bias" in experts else outputs
    if spelling.experts == "summed":
        return (weights[..., None] * outputs).sum(-2)
    return jnp.einsum("...e,...eo->...o", weights, outputs)


BRANCHES = {
    "dense": dense,
    "gated": gated,
    "attention": attention,
    "recurrent": recurrent,
    "expert": expert,
}


def run_block(block: Block, layer, x, spelling: Spelling):
    y = normalize(x, layer, block) if block.norm == "before" else x
    function = activation(block.function, spelling)
    y = BRANCHES[block.kind](y, Products(layer, block, spelling), function, spelling)
    y = y * layer["multiplier"] if block.scaled else y
    return normalize(x + y, layer, block) if block.norm == "after" else x + y


def apply_network(network: Network, spelling: Spelling, params, x):
    def turn(layers, x):
        for index, block in enumerate(network.blocks):
            x = run_block(block, layers[str(index)], x, spelling)
        return x

    if spelling.wrap == "remat":
        turn = jax.checkpoint(turn)
    elif spelling.wrap == "misnamed":
        turn = named(turn, "relu")
    x, layers = x @ params["in"], params["layers"]

    def at(index):
        return jax.tree.map(lambda leaf: leaf[index], layers)

    if spelling.layers == "scanned":
        x, _ = jax.lax.scan(lambda x, one: (turn(one, x), None), x, layers)
    elif spelling.layers == "looped":
        x = jax.lax.fori_loop(0, network.turns, lambda index, x: turn(at(index), x), x)
    else:
        for index in range(network.turns):
            x = turn(layers[str(index)] if spelling.layers == "separate" else at(index), x)
    return x @ params["out"]


def block_parameters(block: Block, spelling: Spelling) -> dict[str, tuple[tuple[int, ...], str]]:
    """Name -> shape and expectation of every parameter of one turn's block."""
    found = {}
    for name, weight in weights_in(block, spelling).items():
        size, letters = stored(weight, spelling)
        said = f"{weight.role} {letters} @{','.join(weight.attention)}"
        # Open: in a Python loop over time a kernel's first use is added to an exact zero, and then
        # claims the function of the sum; in a scan it claims none.
        if block.kind != "recurrent":
            said += f" >{weight.follows or ''}"
        found[name] = (size, said)
        if block.biased:
            groups = (EXPERTS,) if weight.grouped else ()
            said = "bias s" if one_after_the_other(weight, spelling) else "bias"
            found[f"{name}_bias"] = ((*groups, weight.outputs), said)
    if block.norm != "none" and block.learned:
        found["norm_scale"] = ((WIDTH,), "norm_scale")
        found["norm_bias"] = ((WIDTH,), "norm_bias")
    if block.scaled:
        found["multiplier"] = ((WIDTH,), "multiplier ends")
    return found


def without_what_is_open(network: Network, spelling: Spelling) -> Spelling:
    """Another spelling where tracing is known to be wrong."""
    blocks = network.blocks
    # Open: what is multiplied with a normalized signal and summed by hand is called a norm's scale.
    if spelling.product == "summed" and any(block.norm != "none" for block in blocks):
        spelling = spelling._replace(product="matmul")
    # Open: the sum of a normalized signal and of experts side by side is not seen as residual.
    before = (blocks[-1], *blocks[:-1])
    if any(
        block.kind == "expert" and one.norm == "after"
        for one, block in zip(before, blocks, strict=True)
    ):
        spelling = spelling._replace(experts="scanned")
    return spelling


def write(network: Network, spelling: Spelling) -> Written:
    """The network in this spelling."""
    spelling = without_what_is_open(network, spelling)
    stacked = spelling.layers != "separate"
    layer, expected = {}, {"in": "stem io @ >", "out": "head io @ >"}
    fans = {"in": (FEATURES, WIDTH), "out": (WIDTH, CLASSES)}
    branches: Counter[Branch] = Counter()
    for number, block in enumerate(network.blocks):
        found = block_parameters(block, spelling)
        weights = weights_in(block, spelling)
        sizes = {name: size for name, (size, _) in found.items()}
        leading = (network.turns,) if stacked else ()
        layer[str(number)] = {name: shape(*leading, *size) for name, size in sizes.items()}
        for turn in range(network.turns):
            place = f"layers/{number}" if stacked else f"layers/{turn}/{number}"
            for name, (_, said) in found.items():
                expected[f"{place}/{name}"] = stack(said) if stacked else said
            fans |= {f"{place}/{name}": (w.inputs, w.outputs) for name, w in weights.items()}
            tails = [name for name, weight in weights.items() if weight.role == "tail"]
            scales = ["multiplier"] if block.scaled else []
            on_it = ([f"{place}/{name}" for name in each] for each in (weights, tails, scales))
            branches[Branch(*map(frozenset, on_it))] += 1
    layers = layer if stacked else {str(turn): layer for turn in range(network.turns)}
    params = {"in": shape(FEATURES, WIDTH), "layers": layers, "out": shape(WIDTH, CLASSES)}

    def apply(params, x):
        if spelling.vmapped:
            return jax.vmap(lambda one: apply_network(network, spelling, params, one))(x)
        return apply_network(network, spelling, params, x)

    return Written(apply, params, expected, branches, fans)


def stack(said: str) -> str:
    """An expectation of one layer as that of a stack of layers."""
    if "@" not in said:
        return f"{said.removesuffix(' s')} s"
    role, letters, rest = said.split(" ", 2)
    return f"{role} s{letters} {rest}"
