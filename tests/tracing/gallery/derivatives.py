"""Outputs that are derivatives of a network, and functions with a backward rule of their own."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from gallery.entry import GALLERY, Entry, entry, shape, shapes

POINTS = shape(7, 2)
NETWORK = {"a": (2, 8), "a_bias": (8,), "b": (8, 8), "b_bias": (8,), "c": (8, 1)}
# A derivative reads the same kernels the other way round: they are what they are in the network.
EXPECTED = {"a": "stem io", "b": "hidden io", "c": "head io", "*_bias": "bias"}


def _value(params, point):
    x = jnp.tanh(point @ params["a"] + params["a_bias"])
    return (jnp.tanh(x @ params["b"] + params["b_bias"]) @ params["c"])[0]


def _gradient(params, points):
    return jax.vmap(jax.grad(_value, 1), (None, 0))(params, points)


def _laplacian_of_hessians(params, points):
    """Raissi et al. 2019: the residual of Poisson's equation, of second derivatives alone."""
    hessian = lambda point: jax.hessian(lambda x: _value(params, x))(point)  # noqa: E731
    return jnp.trace(jax.vmap(hessian)(points), axis1=-2, axis2=-1)


def _laplacian_by_forward_over_reverse(params, points):
    def one(point):
        gradient = jax.grad(lambda x: _value(params, x))
        turn = lambda direction: jax.jvp(gradient, (point,), (direction,))[1]  # noqa: E731
        return jnp.sum(jax.vmap(turn)(jnp.eye(2)) * jnp.eye(2))

    return jax.vmap(one)(points)


def _laplacian_forward(params, points):
    """Forward mode twice: no kernel is ever read the other way round."""

    def one(point):
        def second(v):
            inner = lambda x: jax.jvp(lambda y: _value(params, y), (x,), (v,))[1]  # noqa: E731
            return jax.jvp(inner, (point,), (v,))[1]

        return second(jnp.array([1.0, 0.0])) + second(jnp.array([0.0, 1.0]))

    return jax.vmap(one)(points)


def _burgers(params, points):
    """Value and derivatives together: u_t + u u_x - nu u_xx."""

    def one(point):
        value = lambda t, x: _value(params, jnp.stack([t, x]))  # noqa: E731
        t, x = point
        slope = jax.grad(value, 1)
        return jax.grad(value)(t, x) + value(t, x) * slope(t, x) - 0.01 * jax.grad(slope, 1)(t, x)

    return jax.vmap(one)(points)


def _loss_of_a_residual(params, points):
    return jnp.mean(_burgers(params, points) ** 2)


def _directional_derivative(params, points):
    batch = lambda x: jax.vmap(lambda one: _value(params, one))(x)  # noqa: E731
    return jax.jvp(batch, (points,), (jnp.ones_like(points),))[1]


def _forces(params, points):
    """An energy and its negative gradient (interatomic potentials)."""
    energy, gradient = jax.value_and_grad(lambda x: jax.vmap(_value, (None, 0))(params, x).sum())(
        points
    )
    return energy, -gradient


def _hamiltonian_flow(params, points):
    """Greydanus et al. 2019: the flow is the gradient of the network, turned by 90 degrees."""
    q, p = jnp.split(_gradient(params, points), 2, -1)
    return jnp.concatenate([p, -q], -1)


def _score_of_an_energy(params, points):
    """The score of a density is the gradient of minus its energy; only the score is put out."""
    return -jax.grad(lambda x: jnp.sum(jax.vmap(_value, (None, 0))(params, x)))(points)


def _jacobian(params, points):
    return jax.vmap(lambda point: jax.jacfwd(lambda x: _value(params, x))(point))(points)


DERIVATIVES = (
    _gradient,
    _laplacian_of_hessians,
    _laplacian_by_forward_over_reverse,
    _laplacian_forward,
    _burgers,
    _loss_of_a_residual,
    _directional_derivative,
    _forces,
    _hamiltonian_flow,
    _score_of_an_energy,
    _jacobian,
)
for apply in DERIVATIVES:
    GALLERY[f"derivative{apply.__name__}"] = lambda apply=apply: Entry(
        apply, (shapes(NETWORK), POINTS), EXPECTED, 0
    )


@entry
def derivative_of_a_residual_network():
    """Branches are those of the network; the sums of its derivative are no branches."""

    def energy(params, x):
        x = x @ params["in"]
        for layer in params["layers"]:
            x = x + jnp.tanh(x @ layer["a"]) @ layer["b"]
        return jnp.sum(x @ params["out"])

    layer = {"a": (8, 6), "b": (6, 8)}
    params = {"in": (2, 8), "layers": [layer, layer], "out": (8, 1)}
    expected = {"in": "stem io", "*/a": "hidden io", "*/b": "tail io", "out": "head io"}
    apply = lambda p, x: (energy(p, x), jax.grad(energy, 1)(p, x))  # noqa: E731
    return Entry(apply, (shapes(params), POINTS), expected, 2)


class LinenPotential(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = jnp.tanh(nn.Dense(8, name="a")(x))
        return nn.Dense(1, name="c")(x)[..., 0]


@entry
def derivative_of_a_linen_module():
    """A module inside a function of its variables, of which the gradient is put out."""
    module = LinenPotential()

    def apply(params, x):
        return jax.grad(lambda x: module.apply({"params": params}, x).sum())(x)

    params = {"a": {"kernel": (2, 8), "bias": (8,)}, "c": {"kernel": (8, 1), "bias": (1,)}}
    expected = {
        "a/kernel": "stem io",
        "a/bias": "bias",
        "c/kernel": "head io",
        "c/bias": "unused",
    }
    return Entry(apply, (shapes(params), POINTS), expected, 0)


FLOW = {"in": (3, 6), "a": (6, 8), "b": (8, 6), "out": (6, 2)}
FLOW_EXPECTED = {"in": "stem io", "a": "hidden io", "b": "tail io", "out": "head io"}
STEPS = 3


def _field(params, z):
    return jnp.tanh(z @ params["a"]) @ params["b"]


def _euler(params, z):
    return jax.lax.fori_loop(0, STEPS, lambda _, z: z + _field(params, z) / STEPS, z)


@jax.custom_vjp
def _flow(params, z):
    """Chen et al. 2018: the state and its adjoint are solved backwards from the end."""
    return _euler(params, z)


def _flow_forward(params, z):
    z = _euler(params, z)
    return z, (params, z)


def _flow_backward(held, adjoint):
    params, z = held
    gradient = jax.tree.map(jnp.zeros_like, params)

    def turn(_, state):
        z, adjoint, gradient = state
        slope, pull = jax.vjp(_field, params, z)
        of_params, of_state = pull(adjoint)
        gradient = jax.tree.map(lambda g, d: g + d / STEPS, gradient, of_params)
        return z - slope / STEPS, adjoint + of_state / STEPS, gradient

    _, adjoint, gradient = jax.lax.fori_loop(0, STEPS, turn, (z, adjoint, gradient))
    return gradient, adjoint


_flow.defvjp(_flow_forward, _flow_backward)


@entry
def own_backward_rule_of_an_adjoint():
    def apply(params, x):
        field = {name: params[name] for name in ("a", "b")}
        return _flow(field, x @ params["in"]) @ params["out"]

    return Entry(apply, (shapes(FLOW), shape(4, 3)), FLOW_EXPECTED, STEPS)


@jax.custom_vjp
def _adaptive_flow(params, z):
    """The same flow in a loop whose end the data decide: it has no reverse mode but its own."""
    turn = lambda held: (held[0] + 0.1, held[1] + 0.1 * _field(params, held[1]))  # noqa: E731
    moving = lambda held: (held[0] < 1) & (jnp.sum(held[1] ** 2) < 100)  # noqa: E731
    return jax.lax.while_loop(moving, turn, (0.0, z))[1]


_adaptive_flow.defvjp(
    lambda params, z: (_adaptive_flow(params, z), (params, z)),
    lambda held, g: jax.vjp(lambda p, z: z + _field(p, z), *held)[1](g),
)


@entry
def own_backward_rule_of_an_adaptive_loop():
    def apply(params, x):
        field = {name: params[name] for name in ("a", "b")}
        return _adaptive_flow(field, x @ params["in"]) @ params["out"]

    return Entry(apply, (shapes(FLOW), shape(4, 3)), FLOW_EXPECTED, 1)


@jax.custom_vjp
def _equilibrium(params, x):
    """Bai et al. 2019: a loop finds the fixed point, its gradient needs one linear solve."""
    turn = lambda held: (held[1], jnp.tanh(held[1] @ params["w"] + x))  # noqa: E731
    apart = lambda held: jnp.max(jnp.abs(held[0] - held[1])) > 1e-4  # noqa: E731
    return jax.lax.while_loop(apart, turn, (x, jnp.tanh(x)))[1]


def _equilibrium_backward(held, g):
    params, x, z = held
    _, pull = jax.vjp(lambda p, x, z: jnp.tanh(z @ p["w"] + x), params, x, z)
    u = jax.lax.fori_loop(0, 10, lambda _, u: g + pull(u)[2], g)
    return pull(u)[:2]


_equilibrium.defvjp(
    lambda params, x: (z := _equilibrium(params, x), (params, x, z)), _equilibrium_backward
)


@entry
def own_backward_rule_of_a_fixed_point():
    """The input enters every turn as it is: the shortcut past the kernel that reads the state."""

    def apply(params, x):
        return _equilibrium({"w": params["w"]}, x @ params["u"]) @ params["out"]

    params = {"u": (3, 6), "w": (6, 6), "out": (6, 2)}
    expected = {"u": "stem io", "w": "tail io", "out": "head io"}
    return Entry(apply, (shapes(params), shape(4, 3)), expected, 1)


@jax.custom_vjp
def _reversed(x):
    return x


_reversed.defvjp(lambda x: (x, None), lambda _, g: (-0.1 * g,))


@entry
def own_backward_rule_that_reverses():
    """Ganin et al. 2016: features go to one head as they are, their gradient comes back negated."""

    def apply(params, x):
        x = jax.nn.relu(x @ params["in"])
        return x @ params["label"], jax.nn.relu(_reversed(x) @ params["d0"]) @ params["d1"]

    params = {"in": (3, 6), "label": (6, 2), "d0": (6, 5), "d1": (5, 1)}
    expected = {
        "in": "stem io >relu",
        "label": "head io",
        "d0": "hidden io >relu",
        "d1": "head io",
    }
    return Entry(apply, (shapes(params), shape(4, 3)), expected, 0)


@jax.custom_vjp
def _spike(v):
    return (v > 0).astype(v.dtype)


_spike.defvjp(lambda v: (_spike(v), v), lambda v, g: (g / (1 + 10 * jnp.abs(v)) ** 2,))


@entry
def own_backward_rule_of_a_spike():
    """Neftci et al. 2019: a step has no gradient of its own; with its surrogate all are trained."""

    def apply(params, xs):
        def step(held, x):
            first, second = held
            first = 0.9 * first + x @ params["w"]
            second = 0.9 * second + _spike(first - 1.0) @ params["v"]
            return (first, second), _spike(second - 1.0)

        zeros = jnp.zeros((2, 6))
        _, spikes = jax.lax.scan(step, (zeros, zeros), jnp.swapaxes(xs, 0, 1))
        return spikes.mean(0) @ params["out"]

    params = {"w": (3, 6), "v": (6, 6), "out": (6, 2)}
    expected = {"w": "stem io", "v": "hidden io", "out": "head io"}
    return Entry(apply, (shapes(params), shape(2, 5, 3)), expected, 0)
