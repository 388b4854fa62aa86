"""Fixup's bias before an activation, however that is spelled, and before nothing else."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from idinit_jax.insertion import Inserted, insert_fixup

WIDTH = 6
X = jax.random.normal(jax.random.key(0), (4, WIDTH))
PARAMS = {
    name: jax.random.normal(jax.random.key(index), (WIDTH, WIDTH)) / 2
    for index, name in enumerate(("stem", "tail", "head"))
}
Function = Callable[[jax.Array], jax.Array]


def spelled_gelu(x: jax.Array) -> jax.Array:
    return x * 0.5 * (1.0 + jax.lax.erf(x / 2.0**0.5))


@jax.jit
def mish(x: jax.Array) -> jax.Array:
    """No mish."""
    return jnp.tanh(x)


@jax.custom_jvp
def steeper(x: jax.Array) -> jax.Array:
    return x * jax.lax.logistic(x)


steeper.defjvps(lambda slope, _, x: 3.0 * slope * jax.lax.logistic(x))


def in_place(x: jax.Array) -> jax.Array:
    """Under remat, among operations that are linear."""
    return jax.checkpoint(lambda x: 2.0 * jnp.where(x > 0.0, x, 0.0))(x)


def snake(x: jax.Array) -> jax.Array:
    return x + jnp.sin(x) ** 2


ACTIVATIONS: list[tuple[Function, str]] = [
    (jax.nn.relu, "relu"),
    (jax.nn.gelu, "gelu"),
    (spelled_gelu, "gelu"),
    (mish, "tanh"),
    (steeper, "silu"),
    (in_place, "relu"),
    (snake, "activation"),
]


def residual(activation: Function) -> Callable:
    def model(params: dict, x: jax.Array) -> jax.Array:
        y = x @ params["stem"]
        return (y + activation(y) @ params["tail"]) @ params["head"]

    return model


def with_scalars(inserted: Inserted) -> dict:
    """The new model's parameters, all scalars another number."""
    leaves, tree = jax.tree.flatten({**inserted.params, "model": None})
    numbers = [jnp.float32(0.3 * (index + 1)) for index in range(len(leaves))]
    return {**jax.tree.unflatten(tree, numbers), "model": inserted.params["model"]}


@pytest.mark.parametrize(("activation", "name"), ACTIVATIONS)
def test_the_bias_moves_what_the_activation_sees_and_not_the_shortcut(
    activation: Function, name: str
) -> None:
    """By value and by gradient, against the model written out by hand."""
    inserted = insert_fixup(residual(activation), PARAMS, X)
    assert list(inserted.params["biases"]) == [name, "tail", "head"]
    params = with_scalars(inserted)

    def by_hand(params: dict, x: jax.Array) -> jax.Array:
        held, biases = params["model"], params["biases"]
        y = x @ held["stem"]
        branch = (activation(y + biases[name]) + biases["tail"]) @ held["tail"]
        y = y + params["multipliers"]["tail"] * branch
        return (y + biases["head"]) @ held["head"]

    def loss(apply: Callable) -> Callable:
        return lambda params: jnp.sum(apply(params, X) ** 2)

    found, expected = (
        jax.jit(jax.value_and_grad(loss(apply)))(params) for apply in (inserted.apply, by_hand)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), found, expected)


def test_the_derivative_at_the_kink_stays_the_models_own() -> None:
    """relu's is 0 by its own rule; that of a maximum would be a half."""
    inserted = insert_fixup(residual(jax.nn.relu), PARAMS, X)

    def loss(biases: dict) -> jax.Array:
        params = {**inserted.params, "biases": biases}
        return jnp.sum(inserted.apply(params, jnp.zeros_like(X)) ** 3)

    biases = {**inserted.params["biases"], "tail": jnp.float32(1.0)}
    assert jax.grad(loss)(biases)["relu"] == 0.0


@jax.jit
def relu(x: jax.Array) -> jax.Array:
    """No relu."""
    return 2.0 * x


def test_what_is_linear_gets_no_bias_whatever_its_name() -> None:
    inserted = insert_fixup(residual(relu), PARAMS, X)
    assert list(inserted.params["biases"]) == ["tail", "head"]


def test_softmaxes_and_statistics_are_no_activations() -> None:
    def attention(params: dict, x: jax.Array) -> jax.Array:
        x = x @ params["stem"]
        y = x - x.mean(-1, keepdims=True)
        y = y * jax.lax.rsqrt(jnp.mean(y * y, -1, keepdims=True) + 1e-6)
        query, key, value = (y @ params[name] for name in ("query", "key", "value"))
        return (x + jax.nn.softmax(query @ key.T) @ value @ params["tail"]) @ params["head"]

    names = ("query", "key", "value")
    params = {**PARAMS, **dict.fromkeys(names, PARAMS["tail"])}
    inserted = insert_fixup(attention, params, X)
    assert list(inserted.params["biases"]) == [*names, "tail", "head"]


def test_each_gate_of_a_branch_has_its_own_bias() -> None:
    def gated(params: dict, x: jax.Array) -> jax.Array:
        y = x @ params["stem"]
        gate = jax.nn.sigmoid(y @ params["gate"]) * jnp.tanh(y @ params["up"])
        return (y + gate @ params["tail"]) @ params["head"]

    params = {**PARAMS, "gate": PARAMS["stem"], "up": PARAMS["head"]}
    inserted = insert_fixup(gated, params, X)
    assert set(inserted.params["biases"]) == {"gate", "up", "sigmoid", "tanh", "tail", "head"}
