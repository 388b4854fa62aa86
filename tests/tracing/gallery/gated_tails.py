"""Branches that end in products: the tail is the factor that can vanish while it has a gradient."""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import nnx
from gallery.entry import GALLERY, Entry, entry, shape, shapes
from jax.nn import relu, sigmoid

WIDTH, NODES = 8, 7
X = shape(NODES, 3)
ENDS = (shape(9, dtype="int32"), shape(9, dtype="int32"))
ENDS_OF_EDGES = (*ENDS, shape(9))
FRAME = {"in": (3, WIDTH), "out": (WIDTH, 2)}
SQUARE = (WIDTH, WIDTH)


def _framed(branch, sizes, expected, inputs=()):
    """A residual sum x + branch between a first and a last kernel."""

    def apply(params, x, *others):
        x = x @ params["in"]
        return (x + branch(params, x, *others)) @ params["out"]

    expected = {"in": "stem io", "out": "head io"} | expected
    return Entry(apply, (shapes(FRAME | sizes), X, *inputs), expected, 1)


def _masked(params, x, mask):
    return relu(x @ params["w"]) * mask[:, None]


def _masked_before(params, x, mask):
    return mask[:, None] * relu(x @ params["w"])


def _masked_twice(params, x, mask):
    return (relu((x * mask[:, None]) @ params["w"]).T * mask).T


def _masked_by_features(params, x, mask):
    return relu(x @ params["w"]) * jnp.broadcast_to(mask[:, None], x.shape)


def _divided_by_a_degree(params, x, degree):
    return relu(x @ params["w"]) / jnp.maximum(degree, 1.0)[:, None]


def _scaled_by_a_root_of_a_degree(params, x, degree):
    return jax.lax.rsqrt(degree + 1.0)[:, None] * relu(x @ params["w"])


# One number of the data a node scales the branch.
FACTORS = (
    _masked,
    _masked_before,
    _masked_twice,
    _masked_by_features,
    _divided_by_a_degree,
    _scaled_by_a_root_of_a_degree,
)
for branch in FACTORS:
    GALLERY[f"branch{branch.__name__}"] = lambda branch=branch: _framed(
        branch, {"w": SQUARE}, {"w": "tail io >relu"}, (shape(NODES),)
    )


def _summed_by_segments(params, x, senders, receivers, weights):
    messages = relu(x @ params["w"])[senders] * weights[:, None]
    return jax.ops.segment_sum(messages, receivers, NODES)


def _scattered(params, x, senders, receivers, weights):
    messages = weights[:, None] * relu(x @ params["w"])[senders]
    return jnp.zeros_like(x).at[receivers].add(messages)


def _gathered_first(params, x, senders, receivers, weights):
    messages = relu(x[senders] @ params["w"]) * weights[:, None]
    return jax.ops.segment_sum(messages, receivers, num_segments=NODES)


def _averaged(params, x, senders, receivers, weights):
    messages = relu(x @ params["w"])[senders] * weights[:, None]
    degrees = jax.ops.segment_sum(weights, receivers, NODES)
    return jax.ops.segment_sum(messages, receivers, NODES) / (degrees[:, None] + 1e-6)


def _normalized_by_both_degrees(params, x, senders, receivers, weights):
    """Kipf & Welling 2017: an edge is divided by the roots of the degrees of both of its ends."""
    degrees = jnp.zeros(NODES).at[receivers].add(weights) + 1
    roots = jax.lax.rsqrt(degrees)
    messages = (relu(x @ params["w"]) * roots[:, None])[senders] * weights[:, None]
    return jnp.zeros_like(x).at[receivers].add(messages) * roots[:, None]


EDGES = (_summed_by_segments, _scattered, _gathered_first, _averaged, _normalized_by_both_degrees)
for branch in EDGES:
    GALLERY[f"messages{branch.__name__}"] = lambda branch=branch: _framed(
        branch, {"w": SQUARE}, {"w": "tail io >relu"}, ENDS_OF_EDGES
    )


# One product of two signals; a carries the branch, b only opens and closes it.
PAIRS = {
    "tanh_times_sigmoid": lambda a, b: jnp.tanh(a) * sigmoid(b),
    "sigmoid_times_tanh": lambda a, b: sigmoid(b) * jnp.tanh(a),
    "what_a_sigmoid_leaves_times_tanh": lambda a, b: (1 - sigmoid(b)) * jnp.tanh(a),
    "tanh_minus_its_gated_part": lambda a, b: jnp.tanh(a) - sigmoid(b) * jnp.tanh(a),
    "linear_times_sigmoid": lambda a, b: a * sigmoid(b),
    "gelu_times_softplus": lambda a, b: jax.nn.softplus(b) * jax.nn.gelu(a),
    "relu_times_exponential": lambda a, b: relu(a) * jnp.exp(b),
    "tanh_over_an_exponential": lambda a, b: jnp.tanh(a) / (1 + jnp.exp(-b)),
    "linear_times_one_plus_tanh": lambda a, b: (1 + jnp.tanh(b)) * a,
    "linear_times_hard_sigmoid": lambda a, b: a * jax.nn.hard_sigmoid(b),
}


def _pair(gate):
    branch = lambda p, x: gate(x @ p["a"], x @ p["b"])  # noqa: E731 it is one expression
    return _framed(branch, {"a": SQUARE, "b": SQUARE}, {"a": "tail io", "b": "hidden io"})


for name, gate in PAIRS.items():
    GALLERY[f"branch_of_{name}"] = lambda gate=gate: _pair(gate)


@entry
def branch_of_both_halves_of_a_kernel():
    """Dauphin et al. 2017: the kernel that makes both the signal and its gate is the tail."""

    def branch(params, x):
        signal, gate = jnp.split(x @ params["w"], 2, -1)
        return signal * sigmoid(gate)

    return _framed(branch, {"w": (WIDTH, 2 * WIDTH)}, {"w": "tail io"})


@entry
def branch_that_both_factors_can_close():
    """With both small neither has a gradient: the one behind more kernels vanishes."""

    def branch(params, x):
        return jnp.tanh(x @ params["b"]) * (relu(x @ params["h"]) @ params["a"])

    sizes = dict.fromkeys("ahb", SQUARE)
    return _framed(branch, sizes, {"[hb]": "hidden io", "a": "tail io"})


@entry
def branch_gated_by_a_pooled_signal():
    """Squeeze and excite at its end: the gate is half open at its start."""

    def branch(params, x):
        y = relu(x @ params["a"]) @ params["b"]
        return sigmoid(relu(y.mean(0) @ params["squeeze"]) @ params["excite"]) * y

    sizes = {"a": SQUARE, "b": SQUARE, "squeeze": (WIDTH, 2), "excite": (2, WIDTH)}
    expected = {"b": "tail io", **dict.fromkeys(("a", "squeeze", "excite"), "hidden io")}
    return _framed(branch, sizes, expected)


SEQUENCES = shape(2, 4, 3)
HIDDEN = {"w_*": "hidden io", "u_*": "hidden io", "b_*": "bias"}


def _sizes(gates):
    return {f"{name}_{gate}": SQUARE for name in "wu" for gate in gates} | {
        f"b_{gate}": (WIDTH,) for gate in gates
    }


def _linear(params, gate, x, h):
    return x @ params[f"w_{gate}"] + h @ params[f"u_{gate}"] + params[f"b_{gate}"]


def _gru(params, h, x):
    """Cho et al. 2014, with the reset gate behind the recurrent kernel."""
    update, reset = sigmoid(_linear(params, "z", x, h)), sigmoid(_linear(params, "r", x, h))
    fresh = jnp.tanh(x @ params["w_n"] + reset * (h @ params["u_n"]) + params["b_n"])
    return (1 - update) * fresh + update * h


def _gru_that_resets_first(params, h, x):
    """The reset gate before the recurrent kernel, and the update gate the other way round."""
    update, reset = sigmoid(_linear(params, "z", x, h)), sigmoid(_linear(params, "r", x, h))
    return h + update * (jnp.tanh(_linear(params, "n", x, reset * h)) - h)


def _minimal_gated_unit(params, h, x):
    """Zhou et al. 2016: one gate both forgets and resets."""
    forget = sigmoid(_linear(params, "f", x, h))
    return (1 - forget) * h + forget * jnp.tanh(_linear(params, "n", x, forget * h))


def _lstm(params, held, x):
    c, h = held
    i, f, o = (sigmoid(_linear(params, gate, x, h)) for gate in "ifo")
    c = f * c + i * jnp.tanh(_linear(params, "n", x, h))
    return c, o * jnp.tanh(c)


def _coupled_lstm(params, held, x):
    """Greff et al. 2017: what is not forgotten is what is let in."""
    c, h = held
    f, o = (sigmoid(_linear(params, gate, x, h)) for gate in "fo")
    c = f * c + (1 - f) * jnp.tanh(_linear(params, "n", x, h))
    return c, jnp.tanh(c) * o


CELLS = {
    "gru": (_gru, "zrn", False),
    "gru_that_resets_first": (_gru_that_resets_first, "zrn", False),
    "minimal_gated_unit": (_minimal_gated_unit, "fn", False),
    "lstm": (_lstm, "ifon", True),
    "coupled_lstm": (_coupled_lstm, "fon", True),
}


def _by_scan(step, held, xs):
    def turn(held, x):
        held = step(held, x)
        return held, held

    return jnp.swapaxes(_last(jax.lax.scan(turn, held, jnp.swapaxes(xs, 0, 1))[1]), 0, 1)


def _unrolled(step, held, xs):
    states = []
    for index in range(xs.shape[1]):
        held = step(held, xs[:, index])
        states.append(_last(held))
    return jnp.stack(states, 1)


def _last(held):
    """The state that a cell puts out."""
    return held[-1] if isinstance(held, tuple) else held


def _recurrent_branch(step, sizes, expected, run, two):
    """x + RNN(x) over a sequence, from a state of zeros."""

    def apply(params, xs):
        xs = xs @ params["in"]
        zeros = jnp.zeros((2, WIDTH))
        start = (zeros, zeros) if two else zeros
        y = run(lambda held, x: step(params["cell"], held, x), start, xs)
        return (xs + y) @ params["out"]

    params = shapes(FRAME | {"cell": sizes})
    expected = {f"cell/{name}": line for name, line in expected.items()}
    return Entry(apply, (params, SEQUENCES), {"in": "stem io", "out": "head io"} | expected, 1)


for name, (step, gates, two) in CELLS.items():
    for run in (_by_scan, _unrolled):
        GALLERY[f"residual_{name}{run.__name__}"] = (
            lambda step=step, gates=gates, two=two, run=run: _recurrent_branch(
                step, _sizes(gates), {"[wu]_n": "tail io"} | HIDDEN, run, two
            )
        )


def _fused_lstm(params, held, x):
    c, h = held
    gates = x @ params["w"] + h @ params["u"] + params["b"]
    i, f, n, o = jnp.split(gates, 4, -1)
    c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(n)
    return c, sigmoid(o) * jnp.tanh(c)


def _lstm_of_one_kernel(params, held, x):
    c, h = held
    gates = jnp.concatenate([x, h], -1) @ params["w"] + params["b"]
    i, f, n, o = (gates[:, WIDTH * index : WIDTH * (index + 1)] for index in range(4))
    c = sigmoid(f + 1) * c + sigmoid(i) * jnp.tanh(n)
    return c, sigmoid(o) * jnp.tanh(c)


def _fused_gru(params, h, x):
    """cuDNN's: two kernels make the pieces of all gates, reset after the product."""
    xr, xz, xn = jnp.split(x @ params["w"] + params["b"], 3, -1)
    hr, hz, hn = jnp.split(h @ params["u"], 3, -1)
    update = sigmoid(xz + hz)
    return (1 - update) * jnp.tanh(xn + sigmoid(xr + hr) * hn) + update * h


def _fused_gates(params, h, x):
    """The gates by one kernel, the candidate by another: only that one can close the branch."""
    both = jnp.concatenate([x, h], -1)
    reset, update = jnp.split(sigmoid(both @ params["gates"]), 2, -1)
    fresh = jnp.tanh(jnp.concatenate([x, reset * h], -1) @ params["fresh"])
    return update * h + (1 - update) * fresh


FUSED_GATES = {"gates": (2 * WIDTH, 2 * WIDTH), "fresh": (2 * WIDTH, WIDTH)}
FUSED = {
    "fused_lstm": (_fused_lstm, {"w": (8, 32), "u": (8, 32), "b": (32,)}, True),
    "lstm_of_one_kernel": (_lstm_of_one_kernel, {"w": (16, 32), "b": (32,)}, True),
    "fused_gru": (_fused_gru, {"w": (8, 24), "u": (8, 24), "b": (24,)}, False),
    "fused_gates": (_fused_gates, FUSED_GATES, False),
}
TAILS = {"b": "bias", "gates": "hidden io"} | dict.fromkeys(("w", "u", "fresh"), "tail io")


def _fused(name, run):
    step, sizes, two = FUSED[name]
    expected = {key: TAILS[key] for key in sizes}
    return _recurrent_branch(step, sizes, expected, run, two)


for name in FUSED:
    for run in (_by_scan, _unrolled):
        GALLERY[f"residual_{name}{run.__name__}"] = lambda name=name, run=run: _fused(name, run)


class LinenResidual(nn.Module):
    cell: type

    @nn.compact
    def __call__(self, xs):
        xs = nn.Dense(WIDTH, name="embed")(xs)
        xs = xs + nn.RNN(self.cell(WIDTH, name="cell"))(xs)
        return nn.Dense(3, name="classifier")(xs)


LINEN = {
    "embed/kernel": "stem io",
    "cell/in/kernel": "tail io",
    "cell/hn/kernel": "tail io",
    "cell/ig/kernel": "tail io",
    "cell/hg/kernel": "tail io",
    "cell/??/kernel": "hidden io",
    "classifier/kernel": "head io",
    "*/bias": "bias",
}


def _linen(cell, candidate):
    expected = {
        key: line
        for key, line in LINEN.items()
        if line != "tail io" or key.split("/")[1][1] == candidate
    }
    return Entry(LinenResidual(cell), (SEQUENCES,), expected, 1)


@entry
def linen_residual_gru():
    return _linen(nn.GRUCell, "n")


@entry
def linen_residual_minimal_gated_unit():
    return _linen(nn.MGUCell, "n")


@entry
def linen_residual_lstm():
    return _linen(nn.LSTMCell, "g")


@entry
def linen_residual_fused_lstm():
    return _linen(nn.OptimizedLSTMCell, "g")


class NNXResidual(nnx.Module):
    def __init__(self, rngs):
        self.embed = nnx.Linear(3, WIDTH, rngs=rngs)
        self.rnn = nnx.RNN(nnx.GRUCell(WIDTH, WIDTH, rngs=rngs))
        self.classifier = nnx.Linear(WIDTH, 3, rngs=rngs)

    def __call__(self, xs):
        xs = self.embed(xs)
        return self.classifier(xs + self.rnn(xs))


@entry
def nnx_residual_gru():
    """NNX makes the pieces of all gates with one kernel from the input and one from the state."""
    expected = {
        "embed/kernel": "stem io",
        "rnn/cell/dense_i/kernel": "tail io",
        "rnn/cell/dense_h/kernel": "tail io",
        "classifier/kernel": "head io",
        "*/bias": "bias",
    }
    return Entry(nnx.eval_shape(lambda: NNXResidual(nnx.Rngs(0))), (SEQUENCES,), expected, 1)


class EquinoxResidual(eqx.Module):
    embed: eqx.nn.Linear
    cell: eqx.Module
    head: eqx.nn.Linear

    def __call__(self, xs):
        xs = jax.vmap(self.embed)(xs)
        start = jnp.zeros(WIDTH)
        start = (start, start) if isinstance(self.cell, eqx.nn.LSTMCell) else start

        def turn(held, x):
            held = self.cell(x, held)
            return held, held[0] if isinstance(held, tuple) else held

        return jax.vmap(self.head)(xs + jax.lax.scan(turn, start, xs)[1])


def _equinox(cell):
    def make():
        keys = jax.random.split(jax.random.key(0), 3)
        return EquinoxResidual(
            eqx.nn.Linear(3, WIDTH, key=keys[0]),
            cell(WIDTH, WIDTH, key=keys[1]),
            eqx.nn.Linear(WIDTH, 2, key=keys[2]),
        )

    expected = {
        "embed/weight": "stem oi",
        "cell/weight_?h": "tail oi",
        "head/weight": "head oi",
        "*/bias*": "bias",
    }
    return Entry(eqx.filter_eval_shape(make), (shape(4, 3),), expected, 1)


@entry
def equinox_residual_gru():
    return _equinox(eqx.nn.GRUCell)


@entry
def equinox_residual_lstm():
    return _equinox(eqx.nn.LSTMCell)
