"""What `trace` refuses, and what it says then."""

import doctest
import importlib

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from gallery.entry import shape

from idinit_jax.tracing import trace
from idinit_jax.tracing.facts.folding import folded
from idinit_jax.tracing.program.evaluate import evaluate
from idinit_jax.tracing.program.flatten import flatten


def test_a_model_without_parameters_is_refused():
    with pytest.raises(ValueError, match="no parameters"):
        trace(lambda _, x: x, {}, shape(2, 3))


@pytest.mark.parametrize("model", [3, "resnet", jnp.ones(3)])
def test_an_unknown_kind_of_model_is_refused(model):
    with pytest.raises(TypeError, match="give a Linen, NNX or Equinox module"):
        trace(model, shape(2, 3))


def test_a_function_needs_its_parameters():
    with pytest.raises(TypeError, match="parameter tree first"):
        trace(lambda params: params)


def test_the_model_s_own_error_comes_through():
    with pytest.raises(TypeError, match=r"got \(3,\) and \(4,\)"):
        trace(lambda params, x: x @ params["w"], {"w": shape(4, 5)}, shape(2, 3))


def test_branches_of_a_conditional_must_agree():
    """One kernel is the tail of a residual branch here and an ordinary kernel there."""

    def apply(params, x, flag):
        x = jnp.tanh(x @ params["first"])
        x = jax.lax.cond(
            flag,
            lambda x: x + jax.nn.relu(x) @ params["shared"],
            lambda x: jax.nn.relu(x) @ params["shared"],
            x,
        )
        return x @ params["last"]

    params = {"first": shape(3, 4), "shared": shape(4, 4), "last": shape(4, 2)}
    with pytest.raises(ValueError, match=r"shared is hidden in one branch .* and tail"):
        trace(apply, params, shape(2, 3), shape(dtype="bool"))


def test_an_unreadable_kernel_is_unknown_with_a_reason():
    """A kernel cut out of a flat vector crosswise has no axes of its own."""

    def apply(params, x):
        kernel = params["w"].reshape(5, 6)[:, :4].reshape(4, 5)
        return jnp.tanh(x @ kernel) @ params["v"]

    graph = trace(apply, {"w": shape(30), "v": shape(5, 2)}, shape(2, 4))
    assert graph["w"].role == "unknown"
    assert "axes cannot be read" in graph["w"].reason


def test_uses_that_disagree_are_unknown_with_a_reason():
    def apply(params, x):
        x = jnp.tanh(x @ params["w"])
        return (x + jax.nn.relu(x @ params["a"]) @ params["w"]) @ params["v"]

    params = {"w": shape(4, 4), "a": shape(4, 4), "v": shape(4, 2)}
    graph = trace(apply, params, shape(2, 4))
    assert graph["w"].role == "unknown"
    assert graph["w"].reason == "its uses disagree: stem, tail"


def test_a_missing_path_is_answered_with_those_there_are():
    graph = trace(lambda params, x: x @ params["w"], {"w": shape(3, 5)}, shape(2, 3))
    with pytest.raises(KeyError, match=r"no parameter at 'v'.*'w'"):
        graph["v"]


def test_nothing_of_the_models_size_is_allocated():
    """A kernel of 4 TB is traced like any other."""
    graph = trace(nn.Dense(10**6), shape(1, 10**6))
    assert graph["kernel"].fan_in == 10**6


def test_the_order_of_kernels_is_the_order_of_the_forward_pass():
    def apply(params, x):
        return jnp.tanh(jnp.tanh(x @ params["c"]) @ params["a"]) @ params["b"]

    graph = trace(apply, {name: shape(3, 3) for name in "abc"}, shape(2, 3))
    assert [one.path for one in graph.kernels] == ["c", "a", "b"]
    assert [one.depth for one in graph.kernels] == [0, 1, 2]


def test_the_number_that_a_norm_adds_to_its_scale_is_found():
    def apply(params, x):
        x = x @ params["w"]
        x = x * jax.lax.rsqrt(jnp.mean(x**2, -1, keepdims=True)) * (1.0 + 2.0 * params["scale"])
        return x @ params["v"]

    with jax.numpy_rank_promotion("allow"):
        graph = trace(apply, {"w": shape(3, 4), "scale": shape(4), "v": shape(4, 2)}, shape(2, 3))
    assert (graph["scale"].factor, graph["scale"].offset) == (2.0, 1.0)


def test_keys_and_values_of_a_condition_are_no_stems():
    def attend(params, x, condition):
        x = x @ params["stem"]
        scores = (x @ params["query"]) @ (condition @ params["key"]).T
        return x + jax.nn.softmax(scores) @ (condition @ params["value"]) @ params["output"]

    params = {
        "stem": shape(3, 8),
        "query": shape(8, 8),
        "key": shape(5, 8),
        "value": shape(5, 8),
        "output": shape(8, 8),
    }
    graph = trace(attend, params, shape(4, 3), shape(6, 5))
    roles = {kernel.path: kernel.role for kernel in graph.kernels}
    parts = dict.fromkeys(("query", "key", "value"), "hidden")
    assert roles == {"stem": "stem", **parts, "output": "tail"}


def test_groups_divide_the_fan_out():
    graph = trace(nn.Conv(8, (3, 3), feature_group_count=4), shape(1, 6, 6, 8))
    kernel = graph["kernel"]
    assert (kernel.groups, kernel.fan_in, kernel.fan_out) == (4, 9 * 2, 9 * 2)


def test_examples_run():
    module = importlib.import_module("idinit_jax.tracing.traced")
    outcome = doctest.testmod(module)
    assert outcome.attempted >= 4
    assert not outcome.failed


@pytest.mark.parametrize(
    ("operation", "params", "known", "expected"),
    [
        ("sqrt", {}, [64.0], 8.0),
        ("rsqrt", {}, [64.0], 0.125),
        ("div", {}, [1.0, 8.0], 0.125),
        ("integer_pow", {"y": -2}, [4.0], 0.0625),
        ("broadcast_in_dim", {}, [3.0], 3.0),
        ("add", {}, [1.0, None], None),
        ("div", {}, [1.0, 0.0], None),
        ("sqrt", {}, [-1.0], None),
        ("cumsum", {}, [1.0], None),
    ],
)
def test_numbers_are_folded_where_they_are_known(operation, params, known, expected):
    assert folded(operation, params, known) == expected


def test_records_of_a_loop_of_unknown_length_are_those_of_its_last_turn():
    def apply(params, x):
        turn = lambda state: (state[0] * params["w"], state[1] + 1)  # noqa: E731
        return jax.lax.while_loop(lambda state: state[1] < 3, turn, (x, jnp.asarray(0)))[0]

    graph = trace(apply, {"w": jnp.asarray(2.0)}, jnp.asarray(1.0))
    (site,) = [node.site for node in flatten(graph.program).nodes if node.operation == "mul"]

    def hook(compute, operands, _):
        outputs = compute(*operands)
        return outputs, outputs[0]

    params, x = {"w": jnp.asarray(2.0)}, (jnp.asarray(1.0),)
    _, records = jax.jit(lambda: evaluate(graph.program, params, {}, x, {site: hook}))()
    assert float(records[site]) == 8.0


def test_an_equinox_batch_norm_is_told_how_to_be_given():
    norm, state = eqx.nn.make_with_state(eqx.nn.BatchNorm)(4, "batch", mode="batch")
    with pytest.raises(TypeError, match="give the function that maps it"):
        trace(norm, jnp.ones(4), state)


CONSTANT = jnp.ones((2, 8, 4))
REARRANGED = {
    "ragged product": lambda x: jax.lax.ragged_dot(x, CONSTANT, jnp.asarray([3, 2])),
    "rows put elsewhere": lambda x: x.at[jnp.asarray([0, 2])].set(x[jnp.asarray([1, 3])]),
    "entries of each row": lambda x: jnp.take_along_axis(x, jnp.zeros((5, 4), int), 1),
    "running product, sorted": lambda x: jnp.sort(jnp.cumprod(x, 1), -1),
    "patches": lambda x: jax.lax.conv_general_dilated_patches(x[:, :, None], (3,), (1,), "SAME"),
}


@pytest.mark.parametrize("name", REARRANGED)
def test_nothing_between_two_kernels_stops_the_trace(name):
    def apply(params, x):
        x = REARRANGED[name](x @ params["a"])
        return x @ params["b"]

    x = jnp.ones((5, 6))
    out = jax.eval_shape(lambda x: REARRANGED[name](x @ jnp.ones((6, 8))), x)
    params = {"a": shape(6, 8), "b": shape(out.shape[-1], 3)}
    graph = trace(apply, params, x)
    assert [(kernel.path, kernel.role) for kernel in graph.kernels] == [
        ("a", "stem"),
        ("b", "head"),
    ]
