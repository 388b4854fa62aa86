"""Residual networks as plain functions, small enough that their theorems can be checked whole."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import pytest

WIDTH, CLASSES = 16, 4


class Network(NamedTuple):
    """`apply(params, x)` gives logits, `trunk(params, x)` what the head sees."""

    apply: Any
    trunk: Any
    params: Any
    inputs: jax.Array


def normalized(x, scale):
    centred = x - x.mean(-1, keepdims=True)
    return centred * jax.lax.rsqrt(x.var(-1, keepdims=True) + 1e-5) * scale[None]


def residual_network(branches=2, end="norm", kernels=2, width=WIDTH):
    """`x + F(x)` repeated: F has `kernels` kernels and ends in a norm, a multiplier or neither."""

    def branch(block, x):
        for i in range(kernels):
            x = jax.nn.relu(x) if i else x
            x = x @ block[f"kernel_{i}"] + block["bias"][None]
        if end == "norm":
            return normalized(x, block["scale"])
        return x * block["multiplier"] if end == "multiplier" else x

    def trunk(params, x):
        x = jax.nn.relu(x @ params["stem"])
        for i in range(branches):
            x = x + branch(params[f"block_{i}"], x)
        return x

    def apply(params, x):
        return trunk(params, x) @ params["head"]

    array = jax.ShapeDtypeStruct
    block = {f"kernel_{i}": array((width, width), jnp.float32) for i in range(kernels)}
    block["bias"] = array((width,), jnp.float32)
    if end == "norm":
        block["scale"] = array((width,), jnp.float32)
    if end == "multiplier":
        block["multiplier"] = array((), jnp.float32)
    params = {f"block_{i}": dict(block) for i in range(branches)}
    params["stem"] = array((8, width), jnp.float32)
    params["head"] = array((width, CLASSES), jnp.float32)
    return Network(apply, trunk, params, jax.random.normal(jax.random.key(1), (32, 8)))


@pytest.fixture(scope="session")
def network():
    """Makes a residual network; see `residual_network`."""
    return residual_network
