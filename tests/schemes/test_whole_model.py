"""Provenance, plans, partial starts, frozen parts, replicas and paths."""

import importlib.util

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import AbstractMesh, Mesh, NamedSharding, PartitionSpec

import idinit_jax
from idinit_jax.schemes import (
    assert_replicas_agree,
    explain,
    initialize,
    plan,
    reinitialize,
    selection,
    train_only,
)
from idinit_jax.schemes.paths import matches, paths_of
from idinit_jax.schemes.plan import readable

KEY = jax.random.key(3)
X = jnp.ones((2, 8))
MODEL = nn.Sequential([nn.Dense(16), nn.relu, nn.Dense(4)])


def test_every_parameter_has_its_record(network):
    net = network(end="norm")
    table = explain(net.apply, net.params, net.inputs)
    assert {record.path for record in table} == set(paths_of(net.params))
    assert len(table) == len(table.records()) == len(jax.tree.leaves(net.params))
    tail = table["block_0/kernel_1"]
    assert (tail.role, tail.fan_in, tail.fan_out) == ("tail", 16, 16)
    assert "block_0/scale" in tail.reason
    with pytest.raises(KeyError, match="no parameter at 'nowhere'"):
        table["nowhere"]


def test_the_table_is_the_same_in_every_form(monkeypatch):
    table = explain(MODEL, X, scheme="he")
    markdown = table.markdown()
    assert markdown.count("\n") == 1 + len(table)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    plain = str(table)
    for record in table:
        assert record.path in markdown
        assert record.path in plain
        assert record.initializer in plain


def test_unknown_roles_are_listed_with_the_reason():
    def apply(params, x):
        x = x + jax.nn.relu(x @ params["stem"]) @ params["shared"]
        return x @ params["shared"]

    array = jax.ShapeDtypeStruct((8, 8), jnp.float32)
    shapes = {"stem": array, "shared": array}
    record = explain(apply, shapes, X)["shared"]
    assert record.role == "unknown"
    assert record.evidence == "its uses disagree: tail, head"
    assert record.reason.startswith("role unknown (its uses disagree: tail, head), fallback: ")
    overridden = explain(apply, shapes, X, overrides={"shared": idinit_jax.normal(0.5)})
    assert overridden["shared"].std == 0.5


def test_a_plan_adds_up(network):
    net = network(branches=3)
    made = plan(net.apply, net.params, net.inputs)
    values = initialize(net.apply, KEY, net.params, net.inputs)
    assert made.total_bytes == sum(leaf.nbytes for leaf in jax.tree.leaves(values))
    assert made.parameters == sum(leaf.size for leaf in jax.tree.leaves(values))
    assert "3 parameters" not in str(made)
    assert made.total_bytes_per_device == made.total_bytes


def test_a_plan_for_devices_that_are_not_here(network):
    net = network()
    mesh = AbstractMesh((16,), ("d",))
    made = plan(
        net.apply,
        net.params,
        net.inputs,
        out_shardings=lambda path, _: PartitionSpec("d" if path == "block_0/kernel_0" else None),
        mesh=mesh,
    )
    assert made.bytes["block_0/kernel_0"] == 16 * 16 * 4
    assert made.bytes_per_device["block_0/kernel_0"] == 16 * 4
    assert made.bytes_per_device["head"] == made.bytes["head"]


def test_a_plan_allocates_nothing_of_the_models_size():
    """10^13 parameters in one matrix: more than any machine holds."""
    huge = {"kernel": jax.ShapeDtypeStruct((10_000_000, 1_000_000), jnp.bfloat16)}
    made = plan(
        lambda params, x: x @ params["kernel"],
        huge,
        jax.ShapeDtypeStruct((1, 10_000_000), jnp.bfloat16),
    )
    assert made.total_bytes == 2 * 10**13


@given(st.integers(0, 2**60))
def test_readable_bytes_are_below_1024_of_their_unit(count):
    number, unit = readable(count).split()
    assert float(number) <= 1024
    power = ("B", "KiB", "MiB", "GiB", "TiB", "PiB").index(unit)
    assert float(number) * 1024**power == pytest.approx(count, rel=1e-3)


def test_only_the_chosen_part_starts_anew():
    old = MODEL.init(jax.random.key(0), X)
    new = reinitialize(MODEL, old, KEY, X, where="layers_2/**", scheme="he")
    fresh = initialize(MODEL, KEY, X, scheme="he")
    for name in ("kernel", "bias"):
        assert new["params"]["layers_0"][name] is old["params"]["layers_0"][name]
        np.testing.assert_array_equal(
            new["params"]["layers_2"][name], fresh["params"]["layers_2"][name]
        )
    with pytest.raises(ValueError, match=r"near misses: .*layers_2"):
        reinitialize(MODEL, old, KEY, X, where="layers_3/**")


def test_a_part_of_an_nnx_model_and_of_a_functions_tree():
    model = nnx.Linear(8, 4, rngs=nnx.Rngs(0))
    model.bias[...] = jnp.arange(4.0)
    before = np.array(model.kernel[...])
    assert reinitialize(model, model, KEY, X, where="bias") is model
    assert not jnp.any(model.bias[...])
    np.testing.assert_array_equal(model.kernel[...], before)

    params = {"body": jnp.full((8, 8), 2.0), "head": jnp.ones((8, 4))}
    made = reinitialize(
        lambda p, x: jax.nn.relu(x @ p["body"]) @ p["head"],
        params,
        KEY,
        X,
        where=lambda entry: entry.role == "head",
        scheme="he",
    )
    assert made["body"] is params["body"]
    assert jnp.any(made["head"] != 1)


def test_the_frozen_rest_never_moves():
    params = MODEL.init(KEY, X)["params"]
    decaying = optax.chain(optax.add_decayed_weights(0.1), optax.sgd(0.1, momentum=0.9))
    optimizer = train_only(decaying, params, "layers_2/*")
    state = optimizer.init(params)
    grads = jax.tree.map(jnp.ones_like, params)
    updates, _ = optimizer.update(grads, state, params)
    moved = optax.apply_updates(params, updates)
    assert jnp.all(moved["layers_2"]["kernel"] != params["layers_2"]["kernel"])
    np.testing.assert_array_equal(moved["layers_0"]["kernel"], params["layers_0"]["kernel"])
    assert selection(params, "**/bias")["layers_0"] == {"bias": True, "kernel": False}
    with pytest.raises(ValueError, match="selects no parameter"):
        selection(params, "nowhere/**")


def test_replicas_that_differ_are_named():
    mesh = Mesh(np.array(jax.devices()[:2]), ("d",))
    everywhere = NamedSharding(mesh, PartitionSpec())
    same = jax.device_put(jnp.array([1.0, jnp.nan]), everywhere)
    parts = [
        jax.device_put(jnp.array([1.0, value]), device)
        for value, device in zip((2.0, 3.0), jax.devices(), strict=False)
    ]
    apart = jax.make_array_from_single_device_arrays((2,), everywhere, parts)
    assert_replicas_agree({"same": same, "step": 3, "key": jax.random.key(0)})
    with pytest.raises(AssertionError, match="replicas of head/bias differ between"):
        assert_replicas_agree({"head": {"bias": apart}})


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("**/kernel", "kernel", True),
        ("**/kernel", "a/b/kernel", True),
        ("*/kernel", "a/b/kernel", False),
        ("a/**", "a", True),
        ("a/**", "a/b/c", True),
        ("a/**", "ab/c", False),
        ("**", "a/b", True),
        ("block_?/*", "block_1/bias", True),
        ("block_?/*", "block_10/bias", False),
        ("a.b", "aXb", False),
    ],
)
def test_patterns(pattern, path, expected):
    assert matches(pattern, path) is expected
