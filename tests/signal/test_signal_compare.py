"""Several starts of one model, and the recommendation that they support."""

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

import idinit_jax
from idinit_jax import signal

pytestmark = pytest.mark.usefixtures("quick_compilation")

DEPTH, WIDTH = 40, 48
X = jax.random.normal(jax.random.key(0), (24, WIDTH))
SHAPES = jax.ShapeDtypeStruct((DEPTH, WIDTH, WIDTH), jnp.float32)
TRACES = []


def network(kernels: jax.Array, x: jax.Array) -> jax.Array:
    TRACES.append(None)
    return jax.lax.scan(lambda x, w: (jax.nn.relu(x @ w), None), x, kernels)[0]


def test_the_recommended_start_is_the_one_measured_to_be_steadiest() -> None:
    found = signal.recommend(network, SHAPES, X, candidates=["xavier", "he", "lecun"])
    assert found.scheme == "he"
    broken = {one.scheme: not one.verdict.healthy for one in found.evidence}
    assert broken == {"he": False, "xavier": True, "lecun": True}
    text = str(found)
    assert text.startswith("recommended: he, variance x")
    assert "vanishing" in text
    rows = found.comparison.reports["xavier"].trunk
    assert rows[-1].variance < 1e-9 < found.comparison.reports["he"].trunk[-1].variance


def test_values_by_name_are_compared_with_one_compilation() -> None:
    he = idinit_jax.he(batch_axis=0)(jax.random.key(0), SHAPES.shape)
    TRACES.clear()
    signal.make_meter(network, he, X)(he, X)
    once = len(TRACES)
    TRACES.clear()
    found = signal.compare({"he": he, "half": he / 2, "double": he * 2}, network, X)
    assert len(TRACES) == once
    first = {name: report.trunk[0].variance for name, report in found.reports.items()}
    assert first["half"] == pytest.approx(first["he"] / 4, rel=1e-4)
    problems = {name: [f.problem for f in v.findings] for name, v in found.verdicts.items()}
    assert problems["he"] == []
    assert "vanishing" in problems["half"]
    assert "exploding" in problems["double"]
    table = str(found).splitlines()
    assert table[0].split()[:3] == ["place", "variance", "he"]
    assert len(table) > DEPTH


def test_a_module_that_holds_its_values_is_compared_in_turn() -> None:
    module = nnx.Linear(WIDTH, 24, rngs=nnx.Rngs(0))
    found = signal.compare(["he", "lsuv"], module, X)
    assert found.reports["he"].trunk[0].variance == pytest.approx(1.0, abs=0.3)
    # The whole of LSUV: the output has variance one on this very batch.
    signal.assert_unit_variance(found.reports["lsuv"], tolerance=1e-3)


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(ValueError, match="no candidates"):
        signal.compare([], network, SHAPES, X)
    with pytest.raises(ValueError, match="unknown scheme 'hee'"):
        signal.compare(["hee"], network, SHAPES, X)
