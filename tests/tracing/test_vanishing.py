"""What can vanish does so once every kernel, scale and bias is zero, and nothing else does."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.nn import gelu, relu, sigmoid, softmax, softplus

from idinit_jax.tracing.answers.vanishing import find_vanishing
from idinit_jax.tracing.facts import find_facts
from idinit_jax.tracing.frameworks import take_apart
from idinit_jax.tracing.program.flatten import flatten
from idinit_jax.tracing.traced import make_program


class Values(NamedTuple):
    """Two kernels, a scale and a bias; an input and a mask."""

    a: Any
    b: Any
    scale: Any
    bias: Any
    x: Any
    m: Any


PARAMS = {"a": jnp.ones((4, 4)), "b": jnp.ones((4, 4))}
PARAMS |= {"scale": jnp.ones((1, 4)), "bias": jnp.ones((1, 4))}
INPUTS = {"x": jnp.linspace(0.3, 2.0, 12).reshape(3, 4)}
INPUTS |= {"m": jnp.linspace(0.5, 1.0, 12).reshape(3, 4)}


def _gru_from(start):
    def apply(v):
        def turn(_, h):
            z = sigmoid(v.x @ v.a)
            return z * h + (1 - z) * jnp.tanh(h @ v.b + v.x @ v.a)

        return jax.lax.fori_loop(0, 3, turn, start(v.x))

    return apply


def _turns_that_pass_an_input_on(v):
    """The first turn leaves zero, the second one doesn't."""
    turn = lambda _, h: (h[1] * v.m, h[0] @ v.a + v.x)  # noqa: E731 it is one expression
    return jax.lax.fori_loop(0, 4, turn, (jnp.zeros_like(v.x), jnp.zeros_like(v.x)))[0]


def _normalized(h):
    return (h - h.mean(-1, keepdims=True)) / jnp.sqrt(h.var(-1, keepdims=True) + 1e-5)


CLOSED = {
    "kernel": lambda v: v.x @ v.a,
    "kernel_and_bias": lambda v: v.x @ v.a + v.bias,
    "masked": lambda v: v.m * relu(v.x @ v.a),
    "divided": lambda v: gelu(v.x @ v.a) / (1 + v.m),
    "gated": lambda v: sigmoid(v.x @ v.b) * jnp.tanh(v.x @ v.a),
    "what_a_gate_leaves": lambda v: (1 - sigmoid(v.x @ v.b)) * (v.x @ v.a),
    "scaled_input": lambda v: v.scale * v.x,
    "normalized": lambda v: _normalized(v.x @ v.a) * v.scale + v.bias,
    "attended": lambda v: softmax(v.x @ v.x.T) @ (v.x @ v.a),
    "one_of_two": lambda v: jnp.where(v.m > 0.7, v.x @ v.a, jnp.abs(v.x @ v.b)),
    "power": lambda v: jnp.abs(v.x @ v.a) ** 1.5,
    "state_that_starts_at_zeros": _gru_from(jnp.zeros_like),
}
OPEN = {
    "input": lambda v: v.x,
    "gate": lambda v: sigmoid(v.x @ v.a),
    "distribution": lambda v: softmax(v.x @ v.a),
    "softplus": lambda v: softplus(v.x @ v.a),
    "rest_of_a_gate": lambda v: 1 - sigmoid(v.x @ v.a),
    "gated_input": lambda v: v.x * sigmoid(v.x @ v.a),
    "one_plus_scale": lambda v: (1 + v.scale) * v.x,
    "input_beside_a_kernel": lambda v: v.x + v.x @ v.a,
    "inputs_multiplied": lambda v: v.x @ v.m.T,
    "number_in_places": lambda v: jnp.where(v.m > 0.7, v.x @ v.a, 1.0),
    "negative_power": lambda v: (1 + jnp.abs(v.x @ v.a)) ** -1.5,
    "state_that_starts_at_an_input": _gru_from(lambda x: x),
    "state_of_later_turns": _turns_that_pass_an_input_on,
}


@pytest.mark.parametrize("name", [*CLOSED, *OPEN])
def test_vanishes_with_every_parameter(name):
    def apply(params, inputs):
        return (CLOSED | OPEN)[name](Values(**params, **inputs))

    output = apply(jax.tree.map(jnp.zeros_like, PARAMS), INPUTS)
    assert (name in CLOSED) == (not np.any(output))
    line = flatten(make_program(take_apart(apply, (PARAMS, INPUTS), {})))
    assert find_vanishing(find_facts(line)).can[line.outputs[0]] == (name in CLOSED)
