"""Functions with a backward rule of their own are differentiated by it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from idinit_jax import signal, traced
from idinit_jax.signal import unit_noise
from idinit_jax.tracing.program.evaluate import evaluate

WIDTH, TURNS, STEP = 6, 10, 0.1
X = jax.random.normal(jax.random.key(0), (5, WIDTH))
PARAMS = {
    name: jax.random.normal(jax.random.key(index), (WIDTH, WIDTH)) / 2
    for index, name in enumerate(("enter", "flow", "leave"))
}


def euler(w: jax.Array, y: jax.Array) -> jax.Array:
    return STEP * jnp.tanh(y @ w)


@jax.custom_vjp
def flow(w: jax.Array, x: jax.Array) -> jax.Array:
    """Euler's steps in a loop that cannot be differentiated backward."""
    return jax.lax.while_loop(
        lambda state: state[0] < TURNS,
        lambda state: (state[0] + 1, state[1] + euler(w, state[1])),
        (jnp.asarray(0), x),
    )[1]


def flow_forward(w: jax.Array, x: jax.Array) -> tuple[jax.Array, tuple]:
    y = flow(w, x)
    return y, (w, y)


def flow_backward(held: tuple, slope: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The adjoint equation, solved from the end: not the exact derivative of the steps."""
    w, y = held

    def turn(state: tuple) -> tuple:
        turns, y, slope, total = state
        step, back = jax.vjp(euler, w, y)
        of_w, of_y = back(slope)
        return turns + 1, y - step, slope + of_y, total + of_w

    start = (jnp.asarray(0), y, slope, jnp.zeros_like(w))
    _, _, slope, total = jax.lax.while_loop(lambda state: state[0] < TURNS, turn, start)
    return total, slope


flow.defvjp(flow_forward, flow_backward)


@jax.custom_vjp
def steeper(w: jax.Array, x: jax.Array) -> jax.Array:
    """A layer of which the gradient is said to be three times what it is."""
    return jnp.tanh(x @ w)


def steeper_forward(w: jax.Array, x: jax.Array) -> tuple[jax.Array, tuple]:
    return steeper(w, x), (w, x)


def steeper_backward(held: tuple, slope: jax.Array) -> tuple[jax.Array, jax.Array]:
    of_w, of_x = jax.vjp(lambda w, x: jnp.tanh(x @ w), *held)[1](3.0 * slope)
    return of_w, of_x


steeper.defvjp(steeper_forward, steeper_backward)


def through(layer: Any) -> Any:
    def model(params: dict, x: jax.Array) -> jax.Array:
        return layer(params["flow"], x @ params["enter"]) @ params["leave"]

    return model


MODELS = [through(flow), through(steeper)]


@pytest.mark.parametrize("model", MODELS)
def test_without_hooks_the_gradient_is_the_models_own(model: Any) -> None:
    program = traced(model, (PARAMS, X)).program

    def run(params: dict) -> jax.Array:
        return jnp.sum(evaluate(program, params, {}, (X,), {})[0][0] ** 2)

    expected = jax.grad(lambda params: jnp.sum(model(params, X) ** 2))(PARAMS)
    found = jax.grad(run)(PARAMS)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5)


@pytest.mark.parametrize("model", MODELS)
def test_a_measurement_has_the_models_own_gradients(model: Any) -> None:
    """A kernel inside is seen forward; what comes back to it is not."""
    report = signal.measure(model, PARAMS, X)
    expected = jax.grad(lambda params: unit_noise(model(params, X)))(PARAMS)
    for row in report.parameters:
        norm = jnp.linalg.norm(expected[row.path])
        np.testing.assert_allclose(row.gradient_norm, norm, rtol=1e-5)
    assert report["flow"].backward is None
    assert report["enter"].backward is not None
    assert report["leave"].backward is not None
    _, held = jax.vjp(lambda y: model({**PARAMS, "enter": jnp.eye(WIDTH)}, y), X @ PARAMS["enter"])
    noise = jax.grad(unit_noise)(model(PARAMS, X))
    (slope,) = held(noise)
    np.testing.assert_allclose(report["enter"].backward.norm, jnp.linalg.norm(slope), rtol=1e-5)


def test_the_signal_inside_is_measured_as_it_runs() -> None:
    report = signal.measure(through(flow), PARAMS, X)
    y = X @ PARAMS["enter"]
    for _ in range(TURNS - 1):
        y = y + euler(PARAMS["flow"], y)
    last = np.asarray(y @ PARAMS["flow"])
    np.testing.assert_allclose(report["flow"].variance, last.var(), rtol=1e-4)
