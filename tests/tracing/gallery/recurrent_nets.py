"""Recurrent networks: gates and the meeting of input and state are no residual sums."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from gallery.entry import Entry, entry, shape, shapes

SEQUENCES = shape(2, 4, 6)
SIZES = {"w": (6, 5), "u": (5, 5), "b": (5,), "head": (5, 3)}
VANILLA = {"w": "stem io", "u": "hidden io", "b": "bias", "head": "head io >"}


def _elman(params, h, x):
    return jnp.tanh(x @ params["w"] + h @ params["u"] + params["b"])


@entry
def elman_unrolled():
    def apply(params, xs):
        h = jnp.zeros((xs.shape[0], 5))
        for step in range(xs.shape[1]):
            h = _elman(params, h, xs[:, step])
        return h @ params["head"]

    return Entry(apply, (shapes(SIZES), SEQUENCES), VANILLA, 0)


@entry
def elman_over_steps():
    def apply(params, xs):
        h = jnp.zeros((xs.shape[0], 5))
        for x in jnp.swapaxes(xs, 0, 1):
            h = _elman(params, h, x)
        return h @ params["head"]

    return Entry(apply, (shapes(SIZES), SEQUENCES), VANILLA, 0)


@entry
def elman_by_scan():
    def apply(params, xs):
        h = jnp.zeros((xs.shape[0], 5))
        h, _ = jax.lax.scan(lambda h, x: (_elman(params, h, x), None), h, jnp.swapaxes(xs, 0, 1))
        return h @ params["head"]

    return Entry(apply, (shapes(SIZES), SEQUENCES), VANILLA, 0)


@entry
def elman_with_inputs_projected_first():
    def apply(params, xs):
        projected = xs @ params["w"] + params["b"]
        h = jnp.zeros((xs.shape[0], 5))
        for step in range(xs.shape[1]):
            h = jnp.tanh(projected[:, step] + h @ params["u"])
        return h @ params["head"]

    return Entry(apply, (shapes(SIZES), SEQUENCES), VANILLA, 0)


def _gated(params, held, x):
    """An LSTM whose four gates come from one kernel over input and state."""
    c, h = held
    gates = jnp.concatenate([x, h], -1) @ params["gates"] + params["b"]
    i, f, g, o = jnp.split(gates, 4, -1)
    c = jax.nn.sigmoid(f + 1) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return c, jax.nn.sigmoid(o) * jnp.tanh(c)


FUSED = {"gates": (11, 20), "b": (20,), "head": (5, 3)}
FUSED_EXPECTED = {"gates": "hidden io", "b": "bias", "head": "head io >"}


@entry
def fused_lstm_unrolled():
    """One kernel sees input and state at once: it is the stem in the first step only."""

    def apply(params, xs):
        held = (jnp.zeros((xs.shape[0], 5)),) * 2
        for step in range(xs.shape[1]):
            held = _gated(params, held, xs[:, step])
        return held[1] @ params["head"]

    return Entry(apply, (shapes(FUSED), SEQUENCES), FUSED_EXPECTED, 0)


@entry
def fused_lstm_by_scan():
    def apply(params, xs):
        held = (jnp.zeros((xs.shape[0], 5)),) * 2
        step = lambda held, x: (_gated(params, held, x), None)  # noqa: E731
        held, _ = jax.lax.scan(step, held, jnp.swapaxes(xs, 0, 1))
        return held[1] @ params["head"]

    return Entry(apply, (shapes(FUSED), SEQUENCES), FUSED_EXPECTED, 0)


class Recurrent(nn.Module):
    cell: type
    unroll: bool

    @nn.compact
    def __call__(self, xs):
        cell = self.cell(5, name="cell")
        if self.unroll:
            held = cell.initialize_carry(jax.random.key(0), xs[:, 0].shape)
            for step in range(xs.shape[1]):
                held, y = cell(held, xs[:, step])
        else:
            y = nn.RNN(cell)(xs)[:, -1]
        return nn.Dense(3, name="classifier")(y)


CELLS = {
    "cell/h?/kernel": "hidden io",
    "cell/i?/kernel": "stem io",
    "classifier/kernel": "head io",
    "*/bias": "bias",
}


@entry
def lstm_by_scan():
    return Entry(Recurrent(nn.OptimizedLSTMCell, False), (SEQUENCES,), CELLS, 0)


@entry
def lstm_unrolled():
    return Entry(Recurrent(nn.LSTMCell, True), (SEQUENCES,), CELLS, 0)


@entry
def gru_by_scan():
    return Entry(Recurrent(nn.GRUCell, False), (SEQUENCES,), CELLS, 0)


@entry
def gru_unrolled():
    return Entry(Recurrent(nn.GRUCell, True), (SEQUENCES,), CELLS, 0)


@entry
def stacked_lstm():
    """The second layer reads the first one's states: none of its kernels is a stem."""

    class Stacked(nn.Module):
        @nn.compact
        def __call__(self, tokens):
            x = nn.Embed(11, 6, name="embed")(tokens)
            for index in range(2):
                x = nn.RNN(nn.LSTMCell(5), name=f"layer_{index}")(x)
            return nn.Dense(3, name="classifier")(x)

    return Entry(
        Stacked(),
        (shape(2, 4, dtype="int32"),),
        {
            "embed/embedding": "embedding io",
            "LSTMCell_?/??/kernel": "hidden io",
            "classifier/kernel": "head io",
            "*/bias": "bias",
        },
        0,
    )


@entry
def selective_state_space():
    """Gu & Dao 2023: depthwise convolution, a gated linear recurrence, an outer gate."""

    def apply(params, tokens):
        x = params["embed"][tokens]
        for index in range(2):
            x = x + _mamba(params[f"block{index}"], _rms(x, params[f"norm{index}"]))
        return _rms(x, params["norm_out"]) @ params["head"]

    block = {
        "in": (6, 16),
        "conv": (3, 1, 8),
        "conv_bias": (8,),
        "to_b": (8, 4),
        "to_c": (8, 4),
        "to_step": (8, 2),
        "step": (2, 8),
        "step_bias": (8,),
        "log_decay": (8, 4),
        "skip": (8,),
        "out": (8, 6),
    }
    params = {"embed": (11, 6), "norm_out": (6,), "head": (6, 11)}
    for index in range(2):
        params |= {f"block{index}": block, f"norm{index}": (6,)}
    return Entry(
        apply,
        (shapes(params), shape(2, 5, dtype="int32")),
        {
            "embed": "embedding io",
            "norm*": "norm_scale",
            "*/in": "hidden io",
            "*/conv": "hidden .io >silu",
            "*/to_?": "hidden io",
            "*/to_step": "hidden io",
            "*/step": "hidden io >softplus",
            "*/out": "tail io",
            "*/log_decay": "multiplier",
            "*/skip": "multiplier",
            "*/*bias": "bias",
            "head": "head io",
        },
        2,
    )


def _rms(x, scale):
    return x * jax.lax.rsqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-6) * scale


def _mamba(params, x):
    x, gate = jnp.split(x @ params["in"], 2, -1)
    x = jax.lax.conv_general_dilated(
        x,
        params["conv"],
        (1,),
        [(2, 0)],
        dimension_numbers=("NWC", "WIO", "NWC"),
        feature_group_count=8,
    )
    x = jax.nn.silu(x + params["conv_bias"])
    step = jax.nn.softplus(x @ params["to_step"] @ params["step"] + params["step_bias"])
    b, c = x @ params["to_b"], x @ params["to_c"]
    decay = jnp.exp(-step[..., None] * jnp.exp(params["log_decay"]))
    drive = (step * x)[..., None] * b[..., None, :]

    def turn(state, now):
        decay, drive, c = now
        state = decay * state + drive
        return state, jnp.einsum("bds,bs->bd", state, c)

    start = jnp.zeros((x.shape[0], 8, 4))
    along = [jnp.swapaxes(one, 0, 1) for one in (decay, drive, c)]
    _, y = jax.lax.scan(turn, start, tuple(along))
    y = jnp.swapaxes(y, 0, 1) + params["skip"] * x
    return (y * jax.nn.silu(gate)) @ params["out"]
