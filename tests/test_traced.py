"""One trace for all that is asked of a model: how often the model's own code runs."""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import flax.linen as nn
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import idinit_jax
from idinit_jax import signal, traced
from idinit_jax.signal.inspection import inspect_model

KEY = jax.random.key(0)
WIDTH = 8
X = jax.random.normal(jax.random.key(1), (4, WIDTH))
RUNS: list[str] = []
TAGS = itertools.count()


class LinenNet(nn.Module):
    """A residual block that counts its calls."""

    tag: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        RUNS.append("linen")
        x = nn.Dense(WIDTH)(x)
        x = x + nn.Dense(WIDTH)(nn.relu(nn.Dense(WIDTH)(x)))
        return nn.Dense(3)(x)


class Asking(LinenNet):
    """It may do something else while it is initialized, so that a trace cannot serve for both."""

    def __call__(self, x: jax.Array) -> jax.Array:
        return super().__call__(2.0 * x if self.is_initializing() else x)


class NnxNet(nnx.Module):
    def __init__(self) -> None:
        self.layers = nnx.List([nnx.Linear(WIDTH, WIDTH, rngs=nnx.Rngs(i)) for i in range(4)])

    def __call__(self, x: jax.Array) -> jax.Array:
        RUNS.append("nnx")
        stem, first, tail, head = self.layers
        x = stem(x)
        return head(x + tail(nnx.relu(first(x))))


class EquinoxNet(eqx.Module):
    layers: list[eqx.nn.Linear]

    def __call__(self, x: jax.Array) -> jax.Array:
        RUNS.append("equinox")
        stem, first, tail, head = self.layers
        x = stem(x)
        return head(x + tail(jax.nn.relu(first(x))))


def function(params: list, x: jax.Array) -> jax.Array:
    RUNS.append("function")
    stem, first, tail, head = params
    x = x @ stem
    return (x + jax.nn.relu(x @ first) @ tail) @ head


def haiku_net(x: jax.Array) -> jax.Array:
    RUNS.append("haiku")
    x = hk.Linear(WIDTH)(x)
    return hk.Linear(3)(x + hk.Linear(WIDTH)(jax.nn.relu(hk.Linear(WIDTH)(x))))


class Case(NamedTuple):
    """A model, its values, what stands before its inputs, and how often its code has to run."""

    model: Any
    values: Any
    runs: int = 1
    first: tuple = ()
    x: jax.Array = X


def linen() -> Case:
    """Equal modules are remembered, so that each test has one of its own."""
    model = LinenNet(next(TAGS))
    return Case(model, model.init(KEY, X))


def linen_that_asks() -> Case:
    model = Asking(next(TAGS))
    return Case(model, model.init(KEY, X), 2)


def an_nnx_module() -> Case:
    model = NnxNet()
    return Case(model, model)


def an_equinox_module() -> Case:
    model = EquinoxNet([eqx.nn.Linear(WIDTH, WIDTH, key=key) for key in jax.random.split(KEY, 4)])
    return Case(model, model, x=X[0])


def haiku() -> Case:
    model = hk.transform(haiku_net)
    return Case(model, model.init(KEY, X), 2)  # the start and the forward pass


def a_function() -> Case:
    params = list(jax.random.normal(KEY, (4, WIDTH, WIDTH)))
    return Case(function, params, first=(params,))


MODELS = [linen, linen_that_asks, an_nnx_module, an_equinox_module, haiku, a_function]
CALLS: dict[str, Callable[[Case], Any]] = {
    "trace": lambda c: idinit_jax.trace(c.model, *c.first, c.x),
    "initialize": lambda c: idinit_jax.initialize(c.model, KEY, *c.first, c.x, overwrite=True),
    "own start": lambda c: idinit_jax.initialize(
        c.model, KEY, *c.first, c.x, scheme="framework", overwrite=True
    ),
    "explain": lambda c: idinit_jax.explain(c.model, *c.first, c.x),
    "plan": lambda c: idinit_jax.plan(c.model, *c.first, c.x),
    "reinitialize": lambda c: idinit_jax.reinitialize(c.model, c.values, KEY, c.x, where="**"),
    "lsuv": lambda c: idinit_jax.lsuv_calibrate(c.model, c.values, c.x),
    "multipliers": lambda c: idinit_jax.insert_multipliers(c.model, c.values, c.x),
    "fixup": lambda c: idinit_jax.insert_fixup(c.model, c.values, c.x),
    "measure": lambda c: signal.measure(c.model, c.values, c.x),
    "diagnose": lambda c: signal.diagnose(c.model, c.values, c.x),
    "spectrum": lambda c: signal.spectrum(c.model, c.values, c.x),
    "weights": lambda c: signal.weight_spectra(c.model, c.values, c.x),
    "compare": lambda c: signal.compare(["he", "lsuv"], c.model, *c.first, c.x),
    "recommend": lambda c: signal.recommend(c.model, *c.first, c.x, candidates=["he", "xavier"]),
    "inspect": lambda c: inspect_model(c.model, KEY, *c.first, c.x, scheme="he", others=["lsuv"]),
}


def count(call: Callable[[Case], Any], case: Case) -> int:
    """How often the model's own code runs."""
    RUNS.clear()
    call(case)
    return len(RUNS)


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("name", ["explain", "own start", "reinitialize", "lsuv", "weights"])
def test_models_of_every_framework_are_traced_once(make: Callable[[], Case], name: str) -> None:
    case = make()
    assert count(CALLS[name], case) == case.runs


@pytest.mark.parametrize("name", CALLS)
def test_every_function_traces_once(name: str) -> None:
    case = a_function()
    assert count(CALLS[name], case) == case.runs


@pytest.mark.parametrize("name", CALLS)
def test_a_model_that_is_traced_is_not_traced_again(name: str) -> None:
    case = a_function()
    known = traced(case.model, (*case.first, case.x))
    assert known.graph is known.graph
    assert count(CALLS[name], case._replace(model=known, first=())) == 0


def test_equal_linen_modules_are_traced_once() -> None:
    model, shapes = linen().model, jax.ShapeDtypeStruct(X.shape, X.dtype)
    RUNS.clear()
    for inputs in ((X,), (X + 1,), (shapes,), (jnp.ones((3, WIDTH)),)):
        idinit_jax.explain(model, *inputs)
    idinit_jax.explain(LinenNet(model.tag), X)
    assert len(RUNS) == 2
    idinit_jax.explain(LinenNet(next(TAGS)), X)
    assert len(RUNS) == 3


def test_an_inserted_model_is_traced_once_for_each_shape_of_its_inputs() -> None:
    case = linen()
    RUNS.clear()
    inserted = idinit_jax.insert_fixup(case.model, case.values, X)
    assert len(RUNS) == 1
    for batch in (X, X + 1, X[:2], X[:2], X[:3]):
        inserted.apply(inserted.params, batch)
    assert len(RUNS) == 3


def test_a_trace_is_refused_for_what_it_was_not_made_for() -> None:
    case = a_function()
    known = traced(case.model, (*case.first, X))
    for call in (
        lambda: signal.measure(known, case.values, X[:2]),
        lambda: idinit_jax.explain(known, case.values, X),
        lambda: idinit_jax.explain(known, call_kwargs={"train": True}),
    ):
        with pytest.raises(ValueError, match="was traced for inputs of shapes"):
            call()


class Masked(nn.Module):
    """Attention under a mask, which is given as an array."""

    @nn.compact
    def __call__(self, tokens: jax.Array, mask: jax.Array, train: bool = True) -> jax.Array:
        x = nn.Embed(11, WIDTH)(tokens)
        y = nn.LayerNorm()(x)
        x = x + nn.MultiHeadDotProductAttention(num_heads=2)(y, mask=mask, deterministic=train)
        y = nn.LayerNorm()(x)
        x = x + nn.Dense(WIDTH)(nn.gelu(nn.Dense(2 * WIDTH)(y)))
        return nn.Dense(11)(nn.LayerNorm()(x))


TOKENS = jax.random.randint(KEY, (2, 5), 0, 11)
MASK = jnp.tril(jnp.ones((2, 1, 5, 5), bool))


def test_arrays_by_keyword_are_inputs() -> None:
    model = Masked()
    expected = idinit_jax.trace(model, TOKENS, MASK, call_kwargs={"train": True})
    assert all(one.kind not in ("unused", "unknown") for one in expected.parameters)
    assert sum("query" in one.attention for one in expected.kernels) == 1
    for mask in (MASK, jax.ShapeDtypeStruct(MASK.shape, MASK.dtype)):
        found = idinit_jax.trace(model, TOKENS, call_kwargs={"mask": mask, "train": True})
        assert found.kernels == expected.kernels
        assert found.parameters == expected.parameters
        assert found.residuals == expected.residuals


def by_keyword(mask: jax.Array) -> dict[str, Any]:
    return {"mask": mask, "train": True}


def test_rooms_take_arrays_by_keyword() -> None:
    """With the same numbers as by position, and with others for another mask."""
    model, train = Masked(), {"train": True}
    values = idinit_jax.initialize(model, KEY, TOKENS, scheme="he", call_kwargs=by_keyword(MASK))
    plain = idinit_jax.initialize(model, KEY, TOKENS, MASK, scheme="he", call_kwargs=train)
    jax.tree.map(np.testing.assert_array_equal, values, plain)

    def loss(call: Callable[..., Any], *inputs: jax.Array, **kwargs: Any) -> float:
        return call(model, values, *inputs, **kwargs).loss

    named = loss(signal.measure, TOKENS, call_kwargs=by_keyword(MASK))
    assert named == loss(signal.measure, TOKENS, MASK, call_kwargs=train)
    full = jnp.ones_like(MASK)
    meter = signal.make_meter(model, values, TOKENS, call_kwargs=by_keyword(MASK))
    assert meter(values, TOKENS, call_kwargs={"mask": MASK}).loss == named
    other = meter(values, TOKENS, call_kwargs={"mask": full}).loss
    assert other == loss(signal.measure, TOKENS, full, call_kwargs=train) != named

    for mask in (MASK, full):
        found = idinit_jax.lsuv_calibrate(model, values, TOKENS, call_kwargs=by_keyword(mask))
        same = idinit_jax.lsuv_calibrate(model, values, TOKENS, mask, call_kwargs=train)
        jax.tree.map(np.testing.assert_array_equal, found.values, same.values)

    inserted = idinit_jax.insert_multipliers(
        model, values, TOKENS, value=1.0, call_kwargs=by_keyword(MASK)
    )
    for mask in (MASK, full):
        expected = model.apply(values, TOKENS, mask)
        found = inserted.apply(inserted.params, TOKENS, mask=mask)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_diagnosis_and_spectrum_take_arrays_by_keyword() -> None:
    model = Masked()
    values = model.init(KEY, TOKENS, MASK)
    named = by_keyword(MASK)
    assert isinstance(signal.diagnose(model, values, TOKENS, call_kwargs=named), signal.Verdict)
    found = signal.spectrum(model, values, TOKENS, start="Embed_0/embedding", call_kwargs=named)
    plain = signal.spectrum(model, values, TOKENS, MASK, start="Embed_0/embedding")
    np.testing.assert_array_equal(found.singular_values, plain.singular_values)
    found = signal.compare(["he"], model, TOKENS, call_kwargs=named).reports["he"]
    plain = signal.compare(["he"], model, TOKENS, MASK).reports["he"]
    assert found.loss == plain.loss
