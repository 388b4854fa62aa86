"""The forward pass cut out of a module's initialization is the one that a second trace gives."""

import dataclasses
import importlib
import pathlib
import types
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gallery.entry import GALLERY

from idinit_jax import models
from idinit_jax.schemes import initialize
from idinit_jax.tracing import ModelGraph, Traced, take_apart

for file in sorted((pathlib.Path(__file__).parent / "gallery").glob("*.py")):
    importlib.import_module(f"gallery.{file.stem}")

X = jax.ShapeDtypeStruct((2, 8), jnp.float32)


def without_sites(graph: ModelGraph) -> list[Any]:
    """The parameters of a graph, uses without their addresses."""
    return [
        dataclasses.replace(one, uses=tuple(dataclasses.replace(use, site=()) for use in one.uses))
        if hasattr(one, "uses")
        else one
        for one in graph
    ]


def test_gallery_is_read_alike_from_one_trace_and_from_two():
    compared = 0
    for name, build in GALLERY.items():
        entry = build()
        if not isinstance(entry.model, nn.Module):
            continue
        with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
            apart = take_apart(entry.model, entry.inputs, entry.call_kwargs)
            if apart.joint is None or apart.joint.forward is None:
                continue
            once, twice = Traced(apart).graph, Traced(apart._replace(forward=None)).graph
        assert without_sites(once) == without_sites(twice), name
        assert once.branches == twice.branches, name
        compared += 1
    assert compared >= 30


class Plain(nn.Module):
    """Dense, batch norm, dropout and a shortcut."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        y = nn.BatchNorm(use_running_average=not train)(nn.Dense(8)(x))
        y = nn.Dropout(0.5, deterministic=not train)(nn.relu(y))
        return x + nn.Dense(8)(y)


@pytest.mark.parametrize("train", [False, True])
def test_plain_module_is_traced_once(train):
    apart = take_apart(Plain(), (X,), {"train": train})
    assert apart.joint
    assert apart.joint.start
    assert apart.joint.forward


@pytest.mark.parametrize(
    ("model", "shape", "dtype"),
    [
        (models.cifar_resnet(20, 10), (2, 32, 32, 3), jnp.float32),
        (models.ViT(models.TransformerSize(8, 2, 2), 4, 10), (2, 8, 8, 3), jnp.float32),
        (models.MLP((8, 8, 8), 4), (2, 4), jnp.float32),
        (models.LanguageModel(models.TransformerSize(8, 2, 2), 16, 6), (2, 6), jnp.int32),
    ],
)
def test_own_models_are_traced_once(model, shape, dtype):
    apart = take_apart(model, (jax.ShapeDtypeStruct(shape, dtype),))
    assert apart.joint
    assert apart.joint.forward
    once, twice = Traced(apart).graph, Traced(apart._replace(forward=None)).graph
    assert without_sites(once) == without_sites(twice)


def test_forward_of_one_trace_computes_what_apply_does():
    x = jax.random.normal(jax.random.key(0), (2, 8))
    values = Plain().init(jax.random.key(1), x)
    joint = take_apart(Plain(), (X,)).joint
    assert joint
    assert joint.forward
    leaves = jax.tree.leaves((values["params"], {"batch_stats": values["batch_stats"]}))
    (output,) = jax.core.eval_jaxpr(joint.forward.jaxpr, joint.forward.consts, *leaves, x)
    np.testing.assert_array_equal(output, Plain().apply(values, x))


def test_start_of_one_trace_is_the_frameworks_own():
    x = jax.random.normal(jax.random.key(0), (2, 8))
    expected = jax.jit(Plain().init)(jax.random.key(1), x)
    found = initialize(Plain(), jax.random.key(1), x, scheme="framework")
    jax.tree.map(np.testing.assert_array_equal, dict(found), dict(expected))


class Asking(nn.Module):
    """Takes a shortcut around its second kernel while it is initialized."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = nn.Dense(8)(nn.relu(nn.Dense(8)(x)))
        return y if self.is_initializing() else x + y


def is_new(module: nn.Module) -> bool:
    return not module.has_variable("params", "scale")


class AskingThroughAFunction(nn.Module):
    """The question stands outside the class."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        new = is_new(self)
        scale = self.param("scale", nn.initializers.ones, (1, 8))
        y = nn.Dense(8)(nn.relu(nn.Dense(8)(x)))
        return scale * y if new else x + scale * y


helpers = types.ModuleType("helpers")
vars(helpers)["fresh"] = is_new


class AskingThroughAModule(nn.Module):
    """And in another file."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        new = helpers.fresh(self)
        scale = self.param("scale", nn.initializers.ones, (1, 8))
        y = nn.Dense(8)(nn.relu(nn.Dense(8)(x)))
        return scale * y if new else x + scale * y


class AskingThroughAProperty(nn.Module):
    """And in a property of a base class."""

    @property
    def new(self) -> bool:
        return self.is_mutable_collection("params")

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = nn.Dense(8)(nn.relu(nn.Dense(8)(x)))
        return y if self.new else x + y


class Heir(AskingThroughAProperty):
    pass


def _asking_locally() -> nn.Module:
    def starting(module: nn.Module) -> bool:
        return module.is_initializing()

    class AskingThroughAClosure(nn.Module):
        @nn.compact
        def __call__(self, x: jax.Array) -> jax.Array:
            y = nn.Dense(8)(x)
            return y if starting(self) else x + y

    return AskingThroughAClosure()


class AskingThroughAnAttribute(nn.Module):
    question: Any

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        y = nn.Dense(8)(x)
        return y if self.question(self) else x + y


@pytest.mark.parametrize(
    "module",
    [
        Asking(),
        AskingThroughAFunction(),
        AskingThroughAModule(),
        Heir(),
        _asking_locally(),
        AskingThroughAnAttribute(lambda module: module.is_initializing()),
    ],
)
def test_module_that_asks_is_traced_in_earnest(module):
    apart = take_apart(module, (X,))
    assert apart.joint
    assert apart.joint.forward is None
    assert Traced(apart).graph.branches == 1


class Scanned(nn.Module):
    """Parameters made inside a loop."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        layer = nn.scan(
            lambda _module, x, _: (x + nn.Dense(8)(nn.relu(x)), None),
            variable_axes={"params": 0},
            split_rngs={"params": True},
            length=3,
        )
        return layer(self, x, None)[0]


class FromData(nn.Module):
    """A parameter that starts as the mean of the inputs."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shift = self.param("shift", lambda _: x.mean(0, keepdims=True))
        return nn.Dense(8)(x - shift)


class Cached(nn.Module):
    """State besides batch statistics."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        self.variable("cache", "last", jnp.zeros, (8,))
        return nn.Dense(8)(x)


@pytest.mark.parametrize("module", [Scanned(), FromData(), Cached()])
def test_what_cannot_be_cut_is_traced_twice(module):
    apart = take_apart(module, (X,))
    assert apart.joint
    assert apart.joint.forward is None
    x = jax.random.normal(jax.random.key(0), X.shape)
    found = initialize(module, jax.random.key(1), x)
    assert jax.tree.map(jnp.shape, found["params"]) == jax.tree.map(
        jnp.shape, module.init(jax.random.key(1), x)["params"]
    )
