"""Loops and their unrolled spellings: one model, one answer."""

import jax
import jax.numpy as jnp
from gallery.entry import GALLERY, Entry, entry, shape, shapes

X = shape(4, 3)
STEPS = 3
FLOW = {"in": (3, 6), "a": (6, 8), "a_bias": (8,), "b": (8, 6), "out": (6, 2)}
FLOW_EXPECTED = {
    "in": "stem io >",
    "a": "hidden io >tanh",
    "a_bias": "bias",
    "b": "tail io",
    "out": "head io >",
}


def _field(params, z):
    return jnp.tanh(z @ params["a"] + params["a_bias"]) @ params["b"]


# Coefficients of the stages, of the step, and of the step of lower order that estimates the error.
EULER = ([], [1.0], [0.5])
HEUN = ([[1.0]], [0.5, 0.5], [1.0, 0.0])
BOGACKI_SHAMPINE = ([[0.5], [0.0, 0.75]], [2 / 9, 1 / 3, 4 / 9], [0.3, 0.3, 0.4])
RUNGE_KUTTA_4 = ([[0.5], [0.0, 0.5], [0.0, 0.0, 1.0]], [1 / 6, 1 / 3, 1 / 3, 1 / 6], [0.25] * 4)
TSITOURAS = (
    [
        [0.161],
        [-0.00848, 0.33548],
        [2.89715, -6.35945, 4.3623],
        [5.32586, -11.74888, 7.49554, -0.0925],
        [5.86146, -12.92097, 8.15937, -0.07158, -0.02827],
    ],
    [0.09646, 0.01, 0.47989, 1.37901, -3.29007, 2.3247],
    [0.09824, 0.01081, 0.47234, 1.52355, -3.87279, 2.76785],
)
TABLEAUS = {
    "euler": EULER,
    "heun": HEUN,
    "bogacki_shampine": BOGACKI_SHAMPINE,
    "runge_kutta_4": RUNGE_KUTTA_4,
    "tsitouras": TSITOURAS,
}


def _combined(coefficients, slopes):
    return sum(c * k for c, k in zip(coefficients, slopes, strict=True) if c != 0)


def _slopes(params, stages, z, step):
    """The step reads every slope again, so the sum before a stage has no branch of its own."""
    slopes = [_field(params, z)]
    for coefficients in stages:
        slopes.append(_field(params, z + step * _combined(coefficients, slopes)))
    return slopes


def _step(params, tableau, z):
    stages, weights, _ = tableau
    return z + _combined(weights, _slopes(params, stages, z, 1 / STEPS)) / STEPS


def _unrolled(params, tableau, z):
    for _ in range(STEPS):
        z = _step(params, tableau, z)
    return z


def _by_scan(params, tableau, z):
    return jax.lax.scan(lambda z, _: (_step(params, tableau, z), None), z, length=STEPS)[0]


def _by_scan_over_times(params, tableau, z):
    """The solution at every time is put out as well, of which the last is read."""

    def turn(z, _):
        z = _step(params, tableau, z)
        return z, z

    return jax.lax.scan(turn, z, jnp.arange(STEPS))[1][-1]


def _by_fori_loop(params, tableau, z):
    return jax.lax.fori_loop(0, STEPS, lambda _, z: _step(params, tableau, z), z)


def _adaptive(params, tableau, z):
    """Steps are taken until the end is reached; those of too large an error are taken again."""
    stages, weights, lower = tableau
    errors = [b - c for b, c in zip(weights, lower, strict=True)]

    def turn(held):
        time, step, z = held
        step = jnp.minimum(step, 1 - time)
        slopes = _slopes(params, stages, z, step)
        error = jnp.sqrt(jnp.mean((step * _combined(errors, slopes)) ** 2)) / 1e-3
        accepted = error <= 1
        z = jnp.where(accepted, z + step * _combined(weights, slopes), z)
        time = jnp.where(accepted, time + step, time)
        return time, step * jnp.clip(0.9 * (error + 1e-9) ** -0.2, 0.2, 5.0), z

    return jax.lax.while_loop(lambda held: held[0] < 1, turn, (0.0, 0.1, z))[2]


def _solver(run, name):
    """Chen et al. 2018; a loop whose end the data decide counts one turn."""

    def apply(params, x):
        return run(params, TABLEAUS[name], x @ params["in"]) @ params["out"]

    turns = 1 if run is _adaptive else STEPS
    return Entry(apply, (shapes(FLOW), X), FLOW_EXPECTED, turns)


for run in (_unrolled, _by_scan, _by_scan_over_times, _by_fori_loop, _adaptive):
    for name in TABLEAUS:
        GALLERY[f"solver_{name}{run.__name__}"] = lambda run=run, name=name: _solver(run, name)


def _plain_heun(params, z):
    first = _field(params, z)
    second = _field(params, z + first / STEPS)
    return z + (first + second) / (2 * STEPS)


def _plain_runge_kutta(params, z):
    k1 = _field(params, z)
    k2 = _field(params, z + k1 / (2 * STEPS))
    k3 = _field(params, z + k2 / (2 * STEPS))
    k4 = _field(params, z + k3 / STEPS)
    return z + (k1 + 2 * k2 + 2 * k3 + k4) / (6 * STEPS)


def _plain(step, run):
    def apply(params, x):
        z = x @ params["in"]
        if run == "unrolled":
            for _ in range(STEPS):
                z = step(params, z)
        else:
            z = jax.lax.scan(lambda z, _: (step(params, z), None), z, length=STEPS)[0]
        return z @ params["out"]

    return Entry(apply, (shapes(FLOW), X), FLOW_EXPECTED, STEPS)


# The weights of the slopes written out, where the first one may have none.
for step in (_plain_heun, _plain_runge_kutta):
    for run in ("unrolled", "by_scan"):
        GALLERY[f"solver{step.__name__}_{run}"] = lambda step=step, run=run: _plain(step, run)


@entry
def solver_whose_stages_are_a_loop():
    """Slopes lie in one array that a loop over the stages fills, as in `odeint`."""
    stages = jnp.array([[0, 0, 0], [1 / 3, 0, 0], [-1 / 3, 1, 0], [1, -1, 1]])
    weights = jnp.array([1 / 8, 3 / 8, 3 / 8, 1 / 8])

    def step(params, z):
        def stage(index, slopes):
            y = z + jnp.tensordot(stages[index], slopes[:3], 1) / STEPS
            return slopes.at[index].set(_field(params, y))

        slopes = jax.lax.fori_loop(0, 4, stage, jnp.zeros((4, *z.shape)))
        return z + jnp.tensordot(weights, slopes, 1) / STEPS

    def apply(params, x):
        z = x @ params["in"]
        for _ in range(STEPS):
            z = step(params, z)
        return z @ params["out"]

    return Entry(apply, (shapes(FLOW), X), FLOW_EXPECTED, STEPS)


@entry
def solver_of_bounded_length():
    """As many turns as are allowed, of which those after the end change nothing."""

    def apply(params, x):
        def turn(held, _):
            time, z = held
            moved = z + 0.3 * _field(params, z)
            done = time >= 1
            return (jnp.where(done, time, time + 0.3), jnp.where(done, z, moved)), None

        held, _ = jax.lax.scan(turn, (0.0, x @ params["in"]), length=5)
        return held[1] @ params["out"]

    return Entry(apply, (shapes(FLOW), X), FLOW_EXPECTED, 5)


# tanh(x) @ w several times over, then relu(x) @ z: what follows w first is tanh.
def _stacked_by_scan(params, x):
    return jax.lax.scan(lambda x, w: (jnp.tanh(x) @ w, None), x, params["w"])[0]


def _stacked_by_index(params, x):
    for index in range(STEPS):
        x = jnp.tanh(x) @ params["w"][index]
    return x


def _stacked_by_fori_loop(params, x):
    return jax.lax.fori_loop(0, STEPS, lambda i, x: jnp.tanh(x) @ params["w"][i], x)


def _stacked_by_iteration(params, x):
    for w in params["w"]:
        x = jnp.tanh(x) @ w
    return x


def _shared_by_scan(params, x):
    return jax.lax.scan(lambda x, _: (jnp.tanh(x) @ params["w"], None), x, length=STEPS)[0]


def _shared_unrolled(params, x):
    for _ in range(STEPS):
        x = jnp.tanh(x) @ params["w"]
    return x


def _shared_by_fori_loop(params, x):
    return jax.lax.fori_loop(0, STEPS, lambda _, x: jnp.tanh(x) @ params["w"], x)


def _activated_before(run):
    apply = lambda p, x: jax.nn.relu(run(p, x @ p["in"])) @ p["z"]  # noqa: E731
    stacked = run.__name__.startswith("_stacked")
    params = {"in": (3, 6), "w": (STEPS, 6, 6) if stacked else (6, 6), "z": (6, 2)}
    expected = {
        "in": "stem io >tanh",
        "w": "hidden sio >tanh =hidden,hidden,hidden" if stacked else "hidden io >tanh",
        "z": "head io >",
    }
    return Entry(apply, (shapes(params), X), expected, 0)


for run in (
    _stacked_by_scan,
    _stacked_by_index,
    _stacked_by_fori_loop,
    _stacked_by_iteration,
    _shared_by_scan,
    _shared_unrolled,
    _shared_by_fori_loop,
):
    GALLERY[f"activation_before_layers{run.__name__}"] = lambda run=run: _activated_before(run)


@entry
def activation_before_layers_each_of_its_own():
    """With an array a layer, relu follows the last one and tanh the others."""

    def apply(params, x):
        x = x @ params["in"]
        for index in range(STEPS):
            x = jnp.tanh(x) @ params[f"w{index}"]
        return jax.nn.relu(x) @ params["z"]

    params = {"in": (3, 6), "z": (6, 2)} | {f"w{index}": (6, 6) for index in range(STEPS)}
    expected = {
        "in": "stem io >tanh",
        "w2": "hidden io >relu",
        "w?": "hidden io >tanh",
        "z": "head io",
    }
    return Entry(apply, (shapes(params), X), expected, 0)


BLOCKS = {"in": (3, 6), "a": (6, 8), "g": (6, 8), "b": (8, 6), "scale": (6,), "out": (6, 2)}


def _gated_block(params, x):
    y = x * jax.lax.rsqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-6) * params["scale"]
    return x + (jax.nn.silu(y @ params["g"]) * (y @ params["a"])) @ params["b"]


def _blocks_unrolled(params, x):
    for _ in range(STEPS):
        x = _gated_block(params, x)
    return x


def _blocks_by_scan(params, x):
    return jax.lax.scan(lambda x, _: (_gated_block(params, x), None), x, length=STEPS)[0]


def _blocks_by_remat_scan(params, x):
    step = jax.checkpoint(lambda x, _: (_gated_block(params, x), None))
    return jax.lax.scan(step, x, jnp.arange(STEPS), unroll=2)[0]


def _blocks_by_two_loops(params, x):
    """A loop within a loop turns as often as both together."""
    inner = lambda _, x: _gated_block(params, x)  # noqa: E731
    turn = lambda x, _: (jax.lax.fori_loop(0, STEPS, inner, x), None)  # noqa: E731
    return jax.lax.scan(turn, x, length=1)[0]


def _blocks(run):
    apply = lambda p, x: run(p, x @ p["in"]) @ p["out"]  # noqa: E731 it is one expression
    expected = {
        "in": "stem io",
        "a": "hidden io",
        "g": "hidden io >silu",
        "b": "tail io",
        "scale": "norm_scale",
        "out": "head io",
    }
    return Entry(apply, (shapes(BLOCKS), X), expected, STEPS)


for run in (_blocks_unrolled, _blocks_by_scan, _blocks_by_remat_scan, _blocks_by_two_loops):
    GALLERY[f"shared{run.__name__}"] = lambda run=run: _blocks(run)
