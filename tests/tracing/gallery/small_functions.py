"""Small networks as plain functions of a parameter tree."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from gallery.entry import Entry, entry, shape, shapes

X = shape(4, 6)


@entry
def single_kernel():
    return Entry(
        lambda p, x: x @ p["w"] + p["b"],
        (shapes({"w": (6, 3), "b": (3,)}), X),
        {"w": "head io >", "b": "bias"},
        0,
    )


@entry
def multilayer_perceptron():
    def apply(params, x):
        for index in range(3):
            x = x @ params[f"w{index}"] + params[f"b{index}"]
            x = jax.nn.relu(x) if index < 2 else x
        return x

    params = {f"w{i}": (6, 6) for i in range(3)} | {f"b{i}": (6,) for i in range(3)}
    expected = {"w0": "stem io >relu", "w1": "hidden io >relu", "w2": "head io >", "b?": "bias"}
    return Entry(apply, (shapes(params), X), expected, 0)


@entry
def unused_parameter():
    def apply(params, x):
        return jnp.tanh(x @ params["w"]) @ params["v"]

    expected = {"w": "stem io >tanh", "v": "head io", "spare": "unused"}
    return Entry(apply, (shapes({"w": (6, 4), "v": (4, 2), "spare": (3,)}), X), expected, 0)


@entry
def tied_autoencoder():
    """The decoder is the encoder transposed: one kernel, first and last."""

    def apply(params, x):
        return jnp.tanh(x @ params["w"] + params["b"]) @ params["w"].T + params["c"]

    params = shapes({"w": (6, 4), "b": (4,), "c": (6,)})
    return Entry(apply, (params, X), {"w": "hidden io >tanh", "b": "bias", "c": "bias"}, 0)


@entry
def torch_style_kernels():
    """Kernels stored (out, in), as checkpoints from elsewhere have them."""

    def apply(params, x):
        return jax.nn.relu(x @ params["w"].T) @ jnp.swapaxes(params["v"], 0, 1)

    expected = {"w": "stem oi >relu", "v": "head oi >"}
    return Entry(apply, (shapes({"w": (5, 6), "v": (2, 5)}), X), expected, 0)


LORA = {"w0": (6, 6), "a": (6, 2), "b": (2, 6), "w1": (6, 3)}


@entry
def low_rank_adaptation_of_the_signal():
    """Hu et al. 2021: in y = x W + (x A) B the low-rank way is a branch past the shortcut W."""

    def apply(params, x):
        y = x @ params["w0"] + (x @ params["a"]) @ params["b"]
        return jax.nn.relu(y) @ params["w1"]

    expected = {"w0": "shortcut io", "a": "hidden io", "b": "tail io", "w1": "head io"}
    return Entry(apply, (shapes(LORA), X), expected, 1)


@entry
def low_rank_adaptation_in_a_block():
    """Where the adapted kernel ends a branch itself, it stays that branch's tail."""

    def block(params, x):
        y = jax.nn.relu(x @ params["a"])
        return x + (y @ params["b"] + (y @ params["lora_a"]) @ params["lora_b"])

    sizes = {"a": (6, 12), "b": (12, 6), "lora_a": (12, 2), "lora_b": (2, 6)}
    params = {"w_in": (6, 6), "w_out": (6, 3), "block0": sizes, "block1": sizes}
    expected = {"*/lora_a": "hidden io", "*/lora_b": "tail io"} | RESIDUAL_EXPECTED
    return Entry(lambda p, x: _residual_mlp(p, x, block), (shapes(params), X), expected, 4)


@entry
def low_rank_product():
    def apply(params, x):
        return jax.nn.relu(x @ (params["a"] @ params["b"])) @ params["w1"]

    expected = {"a": "stem io >relu", "b": "stem io >relu", "w1": "head io"}
    return Entry(apply, (shapes({k: v for k, v in LORA.items() if k != "w0"}), X), expected, 0)


@entry
def low_rank_adaptation_of_the_kernel():
    def apply(params, x):
        kernel = params["w0"] + 0.5 * params["a"] @ params["b"]
        return jax.nn.relu(x @ kernel) @ params["w1"]

    expected = {"w0": "stem io >relu", "a": "stem io >relu", "b": "stem io >relu", "w1": "head io"}
    return Entry(apply, (shapes(LORA), X), expected, 0)


@entry
def highway_network():
    """Srivastava et al. 2015: a gate mixes both ways, neither is the identity."""

    def apply(params, x):
        x = x @ params["w_in"]
        for index in range(2):
            gate = jax.nn.sigmoid(x @ params[f"gate{index}"] + params[f"b{index}"])
            x = gate * jnp.tanh(x @ params[f"w{index}"]) + (1 - gate) * x
        return x @ params["w_out"]

    params = {"w_in": (6, 6), "w_out": (6, 3)}
    for index in range(2):
        params |= {f"gate{index}": (6, 6), f"b{index}": (6,), f"w{index}": (6, 6)}
    expected = {
        "w_in": "stem io >",
        "gate?": "hidden io >sigmoid",
        "w?": "hidden io >tanh",
        "b?": "bias",
        "w_out": "head io",
    }
    return Entry(apply, (shapes(params), X), expected, 0)


def _residual_mlp(params, x, block):
    x = jnp.tanh(x @ params["w_in"])
    for index in range(2):
        x = block(params[f"block{index}"], x)
    return x @ params["w_out"]


def _block(params, x):
    return x + jax.nn.relu(x @ params["a"]) @ params["b"]


RESIDUAL = {"w_in": (6, 6), "w_out": (6, 3)} | {
    f"block{index}": {"a": (6, 12), "b": (12, 6)} for index in range(2)
}
RESIDUAL_EXPECTED = {
    "w_in": "stem io >tanh",
    "block?/a": "hidden io >relu",
    "block?/b": "tail io >",
    "w_out": "head io >",
}


@entry
def residual_mlp():
    return Entry(
        lambda p, x: _residual_mlp(p, x, _block), (shapes(RESIDUAL), X), RESIDUAL_EXPECTED, 2
    )


@entry
def checkpointed():
    def apply(params, x):
        return _residual_mlp(params, x, jax.checkpoint(_block))

    return Entry(apply, (shapes(RESIDUAL), X), RESIDUAL_EXPECTED, 2)


@entry
def custom_derivatives():
    """A block with a backward pass of its own, an activation with a derivative of its own."""

    @jax.custom_vjp
    def block(params, x):
        return _block(params, x)

    block.defvjp(lambda p, x: (_block(p, x), (p, x)), lambda held, g: jax.vjp(_block, *held)[1](g))

    @jax.custom_jvp
    def bent(x):
        return jnp.tanh(x)

    bent.defjvp(lambda x, t: (bent(x[0]), t[0]))

    def apply(params, x):
        x = bent(x @ params["w_in"])
        for index in range(2):
            x = block(params[f"block{index}"], x)
        return x @ params["w_out"]

    return Entry(apply, (shapes(RESIDUAL), X), RESIDUAL_EXPECTED, 2)


@entry
def mapped_over_the_batch():
    def apply(params, x):
        return jax.vmap(lambda one: _residual_mlp(params, one, _block))(x)

    return Entry(apply, (shapes(RESIDUAL), X), RESIDUAL_EXPECTED, 2)


@entry
def single_example():
    return Entry(
        lambda p, x: _residual_mlp(p, x, _block), (shapes(RESIDUAL), shape(6)), RESIDUAL_EXPECTED, 2
    )


@entry
def shard_map_over_devices():
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec

    def apply(params, x):
        local = jax.shard_map(
            lambda p, x: _residual_mlp(p, x, _block),
            mesh=mesh,
            in_specs=(spec(), spec("data")),
            out_specs=spec("data"),
        )
        return local(params, x)

    return Entry(apply, (shapes(RESIDUAL), X), RESIDUAL_EXPECTED, 2)


@entry
def tensor_parallel_shard_map():
    """Megatron: the first kernel is split by columns, the second by rows, outputs are summed."""
    mesh = jax.make_mesh((2,), ("model",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec

    def block(params, x):
        y = jax.nn.relu(x @ params["a"]) @ params["b"]
        return x + jax.lax.psum(y, "model")

    specs = {"a": spec(None, "model"), "b": spec("model", None)}
    sharded = jax.shard_map(block, mesh=mesh, in_specs=(specs, spec()), out_specs=spec())
    return Entry(
        lambda p, x: _residual_mlp(p, x, sharded), (shapes(RESIDUAL), X), RESIDUAL_EXPECTED, 2
    )


@entry
def conditional_with_kernels():
    """Both branches of a conditional hold kernels of the same role."""

    def apply(params, x, flag):
        x = jnp.tanh(x @ params["w_in"])
        x = jax.lax.cond(
            flag,
            lambda x: jax.nn.relu(x @ params["left"]),
            lambda x: jnp.tanh(x @ params["right"]),
            x,
        )
        return x @ params["w_out"]

    params = {"w_in": (6, 6), "left": (6, 6), "right": (6, 6), "w_out": (6, 3)}
    expected = {
        "w_in": "stem io",
        "left": "hidden io >relu",
        "right": "hidden io >tanh",
        "w_out": "head io",
    }
    return Entry(apply, (shapes(params), X, shape(dtype="bool")), expected, 0)


@entry
def branch_skipped_by_a_conditional():
    def apply(params, x, flag):
        x = jnp.tanh(x @ params["w_in"])
        branch = params["block0"]
        x = x + jax.lax.cond(
            flag, lambda x: jax.nn.relu(x @ branch["a"]) @ branch["b"], jnp.zeros_like, x
        )
        return _block(params["block1"], x) @ params["w_out"]

    return Entry(apply, (shapes(RESIDUAL), X, shape(dtype="bool")), RESIDUAL_EXPECTED, 2)


STACKED = {"w_in": (6, 6), "a": (3, 6, 12), "b": (3, 12, 6), "w_out": (6, 3)}
STACKED_EXPECTED = {
    "w_in": "stem io >tanh",
    "a": "hidden sio >relu =hidden,hidden,hidden",
    "b": "tail sio > =tail,tail,tail",
    "w_out": "head io >",
}


def _stacked(run):
    def apply(params, x):
        layers = {"a": params["a"], "b": params["b"]}
        return run(layers, jnp.tanh(x @ params["w_in"])) @ params["w_out"]

    return Entry(apply, (shapes(STACKED), X), STACKED_EXPECTED, 3)


@entry
def layers_by_scan():
    return _stacked(lambda p, x: jax.lax.scan(lambda x, one: (_block(one, x), None), x, p)[0])


@entry
def layers_by_checkpointed_scan():
    step = jax.checkpoint(lambda x, one: (_block(one, x), None))
    return _stacked(lambda p, x: jax.lax.scan(step, x, p)[0])


@entry
def layers_by_index():
    def run(layers, x):
        for index in range(3):
            x = _block(jax.tree.map(lambda stack, i=index: stack[i], layers), x)
        return x

    return _stacked(run)


@entry
def layers_by_iteration():
    def run(layers, x):
        for a, b in zip(layers["a"], layers["b"], strict=True):
            x = _block({"a": a, "b": b}, x)
        return x

    return _stacked(run)


@entry
def layers_by_fori_loop():
    def run(layers, x):
        def step(index, x):
            return _block(jax.tree.map(lambda stack: stack[index], layers), x)

        return jax.lax.fori_loop(0, 3, step, x)

    return _stacked(run)


@entry
def layers_by_scan_over_indexes():
    def run(layers, x):
        def step(x, index):
            one = jax.tree.map(lambda s: jax.lax.dynamic_index_in_dim(s, index, 0, False), layers)
            return _block(one, x), None

        return jax.lax.scan(step, x, jnp.arange(3))[0]

    return _stacked(run)


@entry
def layers_by_while_loop():
    def run(layers, x):
        def step(held):
            index, x = held
            return index + 1, _block(jax.tree.map(lambda stack: stack[index], layers), x)

        return jax.lax.while_loop(lambda held: held[0] < 3, step, (0, x))[1]

    return _stacked(run)


@entry
def plain_layers_by_scan():
    """Without residual sums the first layer of the stack is the stem, the last one the head."""

    def apply(params, x):
        return jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, params["w"])[0]

    expected = {"w": "hidden sio >tanh =stem,hidden,hidden,head"}
    return Entry(apply, (shapes({"w": (4, 6, 6)}), X), expected, 0)


@entry
def plain_layers_by_index():
    def apply(params, x):
        for index in range(4):
            x = jnp.tanh(x @ params["w"][index])
        return x

    expected = {"w": "hidden sio >tanh =stem,hidden,hidden,head"}
    return Entry(apply, (shapes({"w": (4, 6, 6)}), X), expected, 0)


@entry
def one_block_repeated():
    """Weight sharing over depth (Universal Transformer, deep equilibrium)."""

    def apply(params, x):
        x = jnp.tanh(x @ params["w_in"])
        x = jax.lax.fori_loop(0, 3, lambda _, x: _block(params["block"], x), x)
        return x @ params["w_out"]

    params = {"w_in": (6, 6), "block": {"a": (6, 12), "b": (12, 6)}, "w_out": (6, 3)}
    expected = {
        "w_in": "stem io",
        "block/a": "hidden io",
        "block/b": "tail io",
        "w_out": "head io",
    }
    return Entry(apply, (shapes(params), X), expected, 3)


@entry
def reversible_coupling():
    """Gomez et al. 2017: each half is the shortcut past a branch that reads the other half."""

    def apply(params, x):
        first, second = jnp.split(jnp.tanh(x @ params["w_in"]), 2, axis=-1)
        first = first + jax.nn.relu(second @ params["f_a"]) @ params["f_b"]
        second = second + jax.nn.relu(first @ params["g_a"]) @ params["g_b"]
        return jnp.concatenate([first, second], -1) @ params["w_out"]

    params = {"w_in": (6, 6), "w_out": (6, 3)}
    params |= {f"{f}_{end}": (3, 3) for f in "fg" for end in "ab"}
    expected = {"w_in": "stem io", "?_a": "hidden io", "?_b": "tail io", "w_out": "head io"}
    return Entry(apply, (shapes(params), X), expected, 2)


@entry
def feature_wise_modulation():
    """Perez et al. 2018: another input scales and shifts; its projection is no shortcut."""

    def apply(params, x, condition):
        x = jax.nn.relu(x @ params["w_in"])
        for index in range(2):
            film = condition @ params[f"film{index}"]
            scale, shift = film[:, :6], film[:, 6:]
            y = (x @ params[f"a{index}"]) * (1 + scale) + shift
            x = x + jax.nn.relu(y) @ params[f"b{index}"]
        return x @ params["w_out"]

    params = {"w_in": (6, 6), "w_out": (6, 3)}
    for index in range(2):
        params |= {f"film{index}": (5, 12), f"a{index}": (6, 6), f"b{index}": (6, 6)}
    expected = {
        "w_in": "stem io",
        "film?": "stem io",
        "a?": "hidden io",
        "b?": "tail io",
        "w_out": "head io",
    }
    return Entry(apply, (shapes(params), X, shape(4, 5)), expected, 2)


@entry
def two_towers():
    """A contrastive pair: both towers end in a head, their product holds no parameter but one."""

    def apply(params, image, text):
        image = jax.nn.relu(image @ params["i0"]) @ params["i1"]
        text = jax.nn.relu(text @ params["t0"]) @ params["t1"]
        image /= jnp.linalg.norm(image, axis=-1, keepdims=True)
        text /= jnp.linalg.norm(text, axis=-1, keepdims=True)
        return image @ text.T * jnp.exp(params["temperature"])

    params = {"i0": (6, 5), "i1": (5, 4), "t0": (7, 5), "t1": (5, 4), "temperature": ()}
    expected = {
        "?0": "stem io >relu",
        "?1": "head io >",
        "temperature": "multiplier",
    }
    return Entry(apply, (shapes(params), X, shape(4, 7)), expected, 0)


@entry
def mixed_precision():
    """Cast to bfloat16 before every product."""

    def apply(params, x):
        params = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
        return _residual_mlp(params, x.astype(jnp.bfloat16), _block).astype(jnp.float32)

    return Entry(apply, (shapes(RESIDUAL), X), RESIDUAL_EXPECTED, 2)


class SpectralNormalized(nn.Module):
    """Miyato et al. 2018: the kernel is divided by an estimate of its norm, which is state."""

    @nn.compact
    def __call__(self, x):
        x = nn.SpectralNorm(nn.Dense(5, name="first"), name="norm")(x, update_stats=True)
        return nn.Dense(2, name="second")(nn.relu(x))


@entry
def spectral_normalization():
    expected = {"first/kernel": "stem io >relu", "second/kernel": "head io", "*/bias": "bias"}
    return Entry(SpectralNormalized(), (X,), expected, 0)


@entry
def weight_normalization():
    """Salimans & Kingma 2016: direction and length are separate parameters."""

    def apply(params, x):
        for index in range(2):
            v = params[f"v{index}"]
            x = jnp.tanh(x @ (params[f"g{index}"] * v / jnp.linalg.norm(v, axis=0)))
        return x

    params = {"v0": (6, 5), "g0": (5,), "v1": (5, 3), "g1": (3,)}
    expected = {"v0": "stem io >tanh", "v1": "head io >tanh", "g?": "kernel_scale"}
    return Entry(apply, (shapes(params), X), expected, 0)


@entry
def sinusoidal_representation():
    """Sitzmann et al. 2020."""

    def apply(params, x):
        x = jnp.sin(30.0 * (x @ params["w0"]))
        return jnp.sin(x @ params["w1"]) @ params["w2"]

    expected = {"w0": "stem io >sin", "w1": "hidden io >sin", "w2": "head io >"}
    return Entry(apply, (shapes({"w0": (6, 5), "w1": (5, 5), "w2": (5, 1)}), X), expected, 0)


@entry
def one_hot_embedding():
    def apply(params, tokens):
        x = jax.nn.one_hot(tokens, 11) @ params["table"]
        return jax.nn.relu(x @ params["w0"]) @ params["w1"]

    expected = {"table": "embedding io", "w0": "hidden io >relu", "w1": "head io"}
    params = {"table": (11, 6), "w0": (6, 6), "w1": (6, 3)}
    return Entry(apply, (shapes(params), shape(4, dtype="int32")), expected, 0)


def _followed_by(act, name):
    expected = {"w": f"stem io >{name}", "v": "head io"}
    apply = lambda p, x: act(x @ p["w"]) @ p["v"]  # noqa: E731 it is one expression
    return Entry(apply, (shapes({"w": (6, 6), "v": (6, 3)}), X), expected, 0)


@entry
def gelu_with_its_cube_factored():
    return _followed_by(
        lambda x: x * 0.5 * (1 + jnp.tanh(0.79788456 * x * (1 + 0.044715 * x * x))), "gelu"
    )


@entry
def no_activation_but_arithmetic():
    """Repetition, a running sum and a Fourier transform are not entry by entry."""
    return Entry(
        lambda p, x: jnp.fft.fft(jnp.cumsum(jnp.tile(x @ p["w"], (1, 2)), 0)).real @ p["v"],
        (shapes({"w": (6, 3), "v": (6, 3)}), X),
        {"w": "stem io >", "v": "head io"},
        0,
    )


@entry
def state_space_with_feedthrough():
    """x + gelu(C B h + D h), D h as a contraction that sums nothing: it is a product."""

    def apply(params, x):
        x = x @ params["in"]
        y = x @ params["b"] @ params["c"] + jnp.einsum("d,bd->bd", params["d"], x)
        return (x + jax.nn.gelu(y)) @ params["out"]

    params = {"in": (6, 6), "b": (6, 4), "c": (4, 6), "d": (6,), "out": (6, 3)}
    expected = {
        "in": "stem io",
        "b": "hidden io",
        "c": "tail io",
        "d": "multiplier",
        "out": "head io",
    }
    return Entry(apply, (shapes(params), X), expected, 1)


@entry
def gates_that_never_close():
    """A sigmoid of zero is a half: such a multiplier cannot end a branch, tanh(alpha) can."""

    def apply(params, x):
        x = x @ params["in"]
        x = x + jax.nn.sigmoid(params["half"]) * (jax.nn.relu(x @ params["a"]) @ params["b"])
        x = x + jnp.tanh(params["closed"]) * (jax.nn.relu(x @ params["c"]) @ params["d"])
        x = x + (1 - params["whole"]) * (jax.nn.relu(x @ params["e"]) @ params["f"])
        return x @ params["out"]

    params = dict.fromkeys(("in", "a", "b", "c", "d", "e", "f", "out"), (6, 6))
    expected = {
        "in": "stem io",
        "[ace]": "hidden io >relu",
        "[bdf]": "tail io",
        "out": "head io",
        "half": "multiplier",
        "closed": "multiplier ends",
        "whole": "multiplier ends",
    }
    scalars = dict.fromkeys(("half", "closed", "whole"), ())
    return Entry(apply, (shapes(params | scalars), X), expected, 3)
