"""What follows a kernel: the function's name, and whether a norm comes first."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax, nn

from idinit_jax.tracing.answers import functions
from idinit_jax.tracing.answers.contractions import find_contractions
from idinit_jax.tracing.answers.functions import Following, find_functions
from idinit_jax.tracing.traced import traced

PARAMETERS = {"scale": (1, 6), "shift": (1, 6), "square": (6, 6)}


def shape(*sizes):
    return jax.ShapeDtypeStruct(sizes, jnp.float32)


def answers(model, shapes, *inputs):
    """Path of a kernel -> what follows its first use, or the first use where something does."""
    params = jax.tree.map(lambda sizes: shape(*sizes), shapes, is_leaf=lambda x: type(x) is tuple)
    held = traced(model, (params, *inputs))
    facts = held.facts
    contractions = find_contractions(facts)
    found = {}
    for one, following in zip(contractions, find_functions(facts, contractions), strict=True):
        path = held.program.paths[facts.weights[one.shares[0].parameter]]
        if path not in found or found[path].nonlinearity is None:
            found[path] = following
    return found


def following(function):
    """What follows a kernel whose output a function of it and of parameters takes."""

    def model(params, x):
        return function(x @ params["a"], params) @ params["b"]

    return answers(model, {"a": (8, 6), "b": (6, 3), **PARAMETERS}, shape(4, 8))["a"]


def name(function):
    return following(lambda z, _: function(z)).nonlinearity


# JAX's own, under JAX's names.
@pytest.mark.parametrize(
    "expected",
    [
        *("relu", "relu6", "gelu", "silu", "tanh", "sigmoid", "softplus", "log_sigmoid", "elu"),
        *("selu", "leaky_relu", "hard_tanh", "hard_sigmoid", "hard_silu", "squareplus", "mish"),
        "soft_sign",
    ],
)
def test_functions_of_jax_have_their_names(expected):
    assert name(getattr(nn, expected)) == expected


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda z: jnp.where(z > 0, z, 0), "relu"),
        (lambda z: (z + jnp.abs(z)) / 2, "relu"),
        (lambda z: jnp.clip(z, 0, 6), "relu6"),
        (lambda z: z / 2 * lax.erfc(-z / 2**0.5), "gelu"),
        (lambda z: nn.gelu(z, approximate=False), "gelu"),
        (lambda z: nn.gelu(z.astype(jnp.bfloat16)).astype(jnp.float32), "gelu"),
        (lambda z: z / (1 + jnp.exp(-z)), "silu"),
        (lambda z: z * (1 + jnp.tanh(z / 2)), "silu"),
        (lambda z: z * nn.sigmoid(1.702 * z), "silu"),
        (lambda z: 1 - 2 / (jnp.exp(2 * z) + 1), "tanh"),
        (lambda z: 30 * jnp.tanh(z / 30), "tanh"),
        (lambda z: jnp.tanh(z / 2), "tanh"),
        (lambda z: 1 - nn.sigmoid(z), "sigmoid"),
        (lambda z: (1 + jnp.tanh(z / 2)) / 2, "sigmoid"),
        (lambda z: nn.softplus(z) - jnp.log(2.0), "softplus"),
        (lambda z: jnp.log(1 + jnp.exp(z)), "softplus"),
        (lambda z: nn.elu(z) + 1, "elu"),
        (lambda z: nn.elu(z, 0.3), "elu"),
        (lambda z: nn.celu(z, 0.5), "celu"),
        (lambda z: nn.leaky_relu(z, 0.2), "leaky_relu"),
        (lambda z: jnp.maximum(z, 0.3 * z), "leaky_relu"),
        (lambda z: nn.relu(z) ** 2, "relu_squared"),
        (lambda z: jnp.abs(z), "abs"),
        (lambda z: z * z, "square"),
        (lambda z: jnp.sin(30 * z), "sin"),
        (lambda z: jnp.cos(z), "sin"),
        (lambda z: nn.softmax(z), "exp"),
        (lambda z: jnp.exp(jnp.tanh(z)), "tanh"),
        (lambda z: jnp.exp(-z * z), "another function"),
        (lambda z: 3 * jnp.flip(z, -1) + 1, None),
        (lambda z: nn.log_softmax(z), None),
    ],
)
def test_a_function_is_known_by_its_values(function, expected):
    assert name(function) == expected
    assert name(jax.jit(function)) == expected
    assert name(jax.checkpoint(jax.vmap(function))) == expected


@pytest.mark.parametrize("called", ["mish", "relu", "softplus"])
def test_the_name_of_a_jitted_function_is_not_read(called):
    def function(z, params):
        return jnp.tanh(z @ params["square"])

    function.__name__ = called
    jitted = jax.jit(function)
    assert following(jitted).nonlinearity is None

    def model(params, x):
        return jitted(x @ params["a"], params) @ params["b"]

    found = answers(model, {"a": (8, 6), "b": (6, 3), **PARAMETERS}, shape(4, 8))
    assert found["square"].nonlinearity == "tanh"


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda z, p: nn.relu(p["scale"] * z + p["shift"]), "relu"),
        (lambda z, p: jnp.where(z > 0, z, p["scale"] * z), "leaky_relu"),
        (lambda z, p: jnp.maximum(z, 0) + p["scale"] * jnp.minimum(z, 0), "leaky_relu"),
        (lambda z, p: z * nn.sigmoid(p["scale"] * z), "silu"),
        (lambda z, p: jnp.exp(-nn.softplus(z) * p["scale"]), "softplus"),
        (lambda z, p: z * p["scale"] + p["shift"], None),
    ],
)
def test_parameters_beside_a_function_count_as_they_start(function, expected):
    assert following(function).nonlinearity == expected


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda z: nn.relu(jnp.cumsum(z, 0)), "relu"),
        (lambda z: nn.relu(z.mean(0, keepdims=True)), "relu"),
        (lambda z: jnp.tanh(nn.relu(z).mean(0, keepdims=True)), "relu"),
        (lambda z: jnp.exp(-nn.softplus(z).sum(0, keepdims=True)), "softplus"),
        (lambda z: nn.silu(jnp.where(jnp.arange(6)[None] < 3, z / 0.5, 0)), "silu"),
        (lambda z: jnp.where(z > z.mean(), z, 0), "relu"),
        (lambda z: nn.sigmoid(z) * jnp.zeros_like(z) + z, "sigmoid"),
        (lambda z: jnp.tile(z[:, :3] * nn.silu(z[:, 3:]), 2), "silu"),
        (lambda z: jnp.concatenate([nn.relu(z), nn.relu(-z)], 1)[:, 3:9], "relu"),
        (lambda z: jnp.tile(jnp.maximum(z[:, :3], z[:, 3:]), 2), None),
        (lambda z: lax.cond(True, nn.elu, nn.elu, z), "elu"),
    ],
)
def test_places_and_sums_are_told_apart(function, expected):
    assert name(function) == expected


def spelled_norm(z, params):
    mean = z.mean(-1, keepdims=True)
    inverse = lax.rsqrt(jnp.square(z - mean).mean(-1, keepdims=True) + 1e-5) * params["scale"]
    return z * inverse + (params["shift"] - mean * inverse)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda z, _: nn.gelu(nn.standardize(z)), Following("gelu", True)),
        (lambda z, p: nn.silu(spelled_norm(z, p)), Following("silu", True)),
        (
            lambda z, p: z * lax.rsqrt((z * z).mean(0, keepdims=True) + 1e-6) * p["scale"],
            Following(None, True),
        ),
        (lambda z, p: nn.relu(nn.standardize(z + p["shift"])), Following("relu", True)),
        (lambda z, _: nn.standardize(nn.relu(z)), Following("relu", False)),
        (lambda z, _: nn.softmax(z), Following("exp", False)),
        (lambda z, p: nn.standardize(z @ p["square"]), Following(None, False)),
    ],
)
def test_a_norm_of_a_linear_image_follows(function, expected):
    assert following(function) == expected


def test_neither_gates_nor_sums_of_other_kernels_are_functions_of_an_entry():
    def model(params, x):
        gated = nn.silu(x @ params["gate"]) * (x @ params["value"])
        summed = nn.relu(x @ params["one"] + x @ params["other"])
        return (gated + summed) @ params["out"]

    paths = ("gate", "value", "one", "other")
    found = answers(model, {**dict.fromkeys(paths, (8, 6)), "out": (6, 3)}, shape(4, 8))
    assert [found[path].nonlinearity for path in paths] == ["silu", None, None, None]


def test_what_another_kernel_scales_or_sums_is_followed_no_further():
    def model(params, x):
        scaled = jnp.tanh((x @ params["one"]) * (x @ params["other"]))
        mixed = jnp.tanh((x @ params["other"]).T @ (x @ params["value"]))
        return (scaled + mixed[:4]) @ params["out"]

    paths = ("one", "other", "value")
    found = answers(model, {**dict.fromkeys(paths, (8, 6)), "out": (6, 3)}, shape(4, 8))
    assert [found[path].nonlinearity for path in paths] == [None, None, None]


@pytest.mark.parametrize("spelled", [True, False])
def test_a_mean_over_positions_by_learned_probabilities_is_followed(spelled):
    def model(params, x):
        weights, values = nn.softmax(x @ params["logits"], 0), x @ params["value"]
        mixed = (weights * values).sum(0, keepdims=True) if spelled else weights.T @ values
        return nn.relu(mixed) @ params["out"]

    sizes = {"logits": (8, 1), "value": (8, 6), "out": (6, 3)}
    assert answers(model, sizes, shape(4, 8))["value"].nonlinearity == "relu"


def test_a_statistic_is_no_function_and_a_norm_of_something_else_is_none_of_the_output():
    def model(params, x, condition):
        out = x @ params["a"]
        return (out * nn.standardize(condition)) @ params["b"], out.var(0)

    found = answers(model, {"a": (8, 6), "b": (6, 3)}, shape(4, 8), shape(4, 6))
    assert found["a"] == Following(None, False)


def test_masks_and_edges_from_data_change_no_function():
    def model(params, x, mask, adjacency):
        return nn.relu(adjacency @ (x @ params["a"]) * mask) @ params["b"]

    inputs = (shape(4, 8), shape(4, 1), shape(4, 4))
    assert answers(model, {"a": (8, 6), "b": (6, 3)}, *inputs)["a"].nonlinearity == "relu"


def turns(body, carry, scanned):
    if scanned:
        return lax.scan(lambda carry, _: (body(carry), None), carry, length=3)[0]
    for _ in range(3):
        carry = body(carry)
    return carry


@pytest.mark.parametrize("scanned", [True, False])
def test_a_loop_hears_its_next_turn_before_what_comes_after(scanned):
    def model(params, x):
        x = turns(lambda x: jnp.tanh(x) @ params["w"], x, scanned)
        return nn.relu(x) @ params["z"]

    found = answers(model, {"w": (8, 8), "z": (8, 3)}, shape(4, 8))
    assert found == {"w": Following("tanh", False), "z": Following(None, False)}


@pytest.mark.parametrize("scanned", [True, False])
def test_a_loop_in_a_loop_hears_the_nearest_turn(scanned):
    def model(params, x):
        def outer(x):
            x = turns(lambda x: x @ params["w"], jnp.sin(x), scanned)
            return nn.silu(x) @ params["v"]

        return nn.relu(turns(outer, x, scanned)) @ params["z"]

    found = answers(model, {"w": (8, 8), "v": (8, 8), "z": (8, 3)}, shape(4, 8))
    assert [found[path].nonlinearity for path in ("w", "v", "z")] == ["silu", "sin", None]


@pytest.mark.parametrize("scanned", [True, False])
def test_a_loop_hears_the_rest_of_a_turn_before_the_next(scanned):
    def model(params, x):
        def body(carry):
            x, total = carry
            x = jnp.tanh(x) @ params["w"]
            return x, total + nn.relu(x)

        return turns(body, (x, x), scanned)[1] @ params["z"]

    found = answers(model, {"w": (8, 8), "z": (8, 3)}, shape(4, 8))
    assert found["w"].nonlinearity == "relu"


@pytest.mark.parametrize("scanned", [True, False])
def test_what_only_enters_a_loop_hears_the_first_turn(scanned):
    def model(params, x):
        return turns(lambda x: jnp.tanh(x) @ params["w"], x @ params["a"], scanned)

    found = answers(model, {"a": (8, 8), "w": (8, 8)}, shape(4, 8))
    assert found["a"].nonlinearity == "tanh"


def test_every_output_is_followed_no_further_than_to_its_end(monkeypatch):
    visited = 0
    made = functions.made_entries

    def counted(*arguments):
        nonlocal visited
        visited += 1
        return made(*arguments)

    monkeypatch.setattr(functions, "made_entries", counted)

    def count(layers):
        nonlocal visited
        visited = 0

        def model(params, x):
            condition = x @ params["condition"]
            for layer in params["layers"]:
                hidden = nn.gelu(nn.standardize(x) @ layer["first"])
                x = x + condition * (hidden @ layer["second"])
            return x

        kernels = [{"first": (8, 6), "second": (6, 8)}] * layers
        answers(model, {"condition": (8, 8), "layers": kernels}, shape(4, 8))
        return visited

    few, more, most = count(10), count(20), count(40)
    assert most - more == 2 * (more - few) > 0
