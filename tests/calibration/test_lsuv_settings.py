"""LSUV's settings, the five kinds of model, and what it refuses."""

from typing import Any

import equinox as eqx
import flax.linen as nn
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st

from idinit_jax.calibration import Calibrated, compile_lsuv, lsuv_calibrate

pytestmark = pytest.mark.usefixtures("quick_compilation")

FEATURES, WIDTH, CLASSES = 6, 16, 3
BATCH = 3.0 + 2.0 * jax.random.normal(jax.random.key(0), (64, FEATURES))
FIRST = jax.random.normal(jax.random.key(1), (FEATURES, WIDTH))
LAST = jax.random.normal(jax.random.key(2), (WIDTH, CLASSES))
PARAMS = {
    "first": {"kernel": FIRST, "bias": jnp.linspace(-1, 1, WIDTH)},
    "last": {"kernel": LAST, "bias": jnp.ones(CLASSES)},
}


def forward(params: dict, x: jax.Array) -> jax.Array:
    x = jnp.tanh(x @ params["first"]["kernel"] + params["first"]["bias"][None])
    return x @ params["last"]["kernel"] + params["last"]["bias"][None]


class Linen(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = jnp.tanh(nn.Dense(WIDTH, name="first")(x))
        return nn.Dense(CLASSES, name="last")(x)


class Nnx(nnx.Module):
    def __init__(self) -> None:
        self.first = nnx.Linear(FEATURES, WIDTH, rngs=nnx.Rngs(0))
        self.last = nnx.Linear(WIDTH, CLASSES, rngs=nnx.Rngs(0))

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.last(jnp.tanh(self.first(x)))


class Equinox(eqx.Module):
    first: eqx.nn.Linear
    last: eqx.nn.Linear

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.last(jnp.tanh(self.first(x)))


def linen() -> tuple[Any, Any]:
    return Linen(), {"params": PARAMS}


def nnx_model() -> tuple[Any, Any]:
    model = Nnx()
    for name in PARAMS:
        getattr(model, name).kernel[...] = PARAMS[name]["kernel"]
        getattr(model, name).bias[...] = PARAMS[name]["bias"]
    return model, model


def equinox_model() -> tuple[Any, Any]:
    layers = {
        name: eqx.tree_at(
            lambda layer: (layer.weight, layer.bias),
            eqx.nn.Linear(*held["kernel"].shape, key=jax.random.key(0)),
            (held["kernel"].T, held["bias"]),
        )
        for name, held in PARAMS.items()
    }
    return Equinox(**layers), Equinox(**layers)


def haiku_model() -> tuple[Any, Any]:
    def run(x: jax.Array) -> jax.Array:
        x = jnp.tanh(hk.Linear(WIDTH, name="first")(x))
        return hk.Linear(CLASSES, name="last")(x)

    values = {name: {"w": one["kernel"], "b": one["bias"]} for name, one in PARAMS.items()}
    return hk.transform(run), values


def kernels_of(values: Any) -> list[np.ndarray]:
    if isinstance(values, Nnx):
        return [np.asarray(values.first.kernel[...]), np.asarray(values.last.kernel[...])]
    if isinstance(values, Equinox):
        return [np.asarray(values.first.weight).T, np.asarray(values.last.weight).T]
    values = values.get("params", values)
    return [np.asarray(one.get("kernel", one.get("w"))) for one in values.values()]


@pytest.fixture(scope="module")
def from_function() -> Calibrated:
    return lsuv_calibrate(forward, PARAMS, BATCH)


@pytest.mark.parametrize("make", [linen, nnx_model, equinox_model, haiku_model])
def test_every_framework_gets_the_same_kernels(make: Any, from_function: Calibrated) -> None:
    model, values = make()
    calibrated = lsuv_calibrate(model, values, BATCH).values
    assert jax.tree.structure(calibrated) == jax.tree.structure(values)
    for found, expected in zip(
        kernels_of(calibrated), kernels_of(from_function.values), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_kernels_own_output_is_measured(from_function: Calibrated) -> None:
    """Biases are not touched, and do not count."""
    values = from_function.values
    hidden = np.asarray(BATCH @ values["first"]["kernel"])
    activated = jnp.tanh(jnp.asarray(hidden) + values["first"]["bias"][None])
    assert abs(hidden.std() - 1) < 1e-5
    assert abs(np.std(activated @ values["last"]["kernel"]) - 1) < 1e-5
    np.testing.assert_array_equal(values["first"]["bias"], PARAMS["first"]["bias"])


CALIBRATE = compile_lsuv(forward, PARAMS, BATCH)


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.floats(0.1, 10))
def test_the_result_does_not_depend_on_the_scale_of_the_start(
    first: float, last: float, target: float
) -> None:
    """And every output has the target std; calibrated once more, nothing changes."""
    scaled = jax.tree.map(lambda leaf: leaf, PARAMS)
    scaled["first"]["kernel"] = first * FIRST
    scaled["last"]["kernel"] = last * LAST
    reference = CALIBRATE(PARAMS, BATCH, target_std=target).values
    values, report = CALIBRATE(scaled, BATCH, target_std=target)
    again = CALIBRATE(values, BATCH, target_std=target).values
    for path in ("first", "last"):
        for found in (values, again):
            expected = reference[path]["kernel"]
            np.testing.assert_allclose(found[path]["kernel"], expected, rtol=1e-4)
    np.testing.assert_allclose([one.std_after for one in report.kernels], target, rtol=1e-4)
    expected = [one.std_before * one.scale for one in report.kernels]
    np.testing.assert_allclose(expected, target, rtol=1e-4)


def test_means_are_corrected_through_biases() -> None:
    values, report = lsuv_calibrate(forward, PARAMS, BATCH, center_outputs=True)
    hidden = BATCH @ values["first"]["kernel"] + values["first"]["bias"][None]
    assert abs(hidden.mean()) < 1e-5
    assert abs(forward(values, BATCH).mean()) < 1e-5
    moved = values["first"]["bias"] - PARAMS["first"]["bias"]
    np.testing.assert_allclose(moved, moved[0], atol=1e-6)
    assert [one.path for one in report.biases] == ["first/bias", "last/bias"]
    assert all(abs(one.mean_before) > 1e-3 > abs(one.mean_after) for one in report.biases)
    assert "mean after" in str(report)


def test_means_are_corrected_layer_by_layer_in_a_scan() -> None:
    params = {"kernel": jax.random.normal(jax.random.key(0), (4, 8, 8)), "bias": jnp.ones((4, 8))}

    def model(params: dict, x: jax.Array) -> jax.Array:
        def turn(x: jax.Array, layer: dict) -> tuple[jax.Array, jax.Array]:
            y = x @ layer["kernel"] + layer["bias"][None]
            return jnp.tanh(y), y

        return jax.lax.scan(turn, x, params)[1]

    x = jax.random.normal(jax.random.key(1), (64, 8))
    outputs = model(lsuv_calibrate(model, params, x, center_outputs=True).values, x)
    np.testing.assert_allclose(outputs.mean(axis=(1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(outputs.std(axis=(1, 2)), 1, atol=0.05)


def test_kernels_can_be_left_out() -> None:
    values, report = lsuv_calibrate(
        forward, PARAMS, BATCH, where=lambda kernel: kernel.role != "head"
    )
    np.testing.assert_array_equal(values["last"]["kernel"], LAST)
    assert [one.note for one in report.kernels] == ["", "not selected"]
    assert not report.missed


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target_std": 0.0}, "target_std must be a positive number, got 0.0"),
        ({"tolerance": float("nan")}, "tolerance must be a positive number, got nan"),
        ({"max_tries": 0}, "max_tries must be at least 1, got 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CALIBRATE(PARAMS, BATCH, **settings)


def test_values_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit the model"):
        CALIBRATE({**PARAMS, "last": PARAMS["first"]}, BATCH)
    with pytest.raises(TypeError, match="shapes only"):
        CALIBRATE(jax.eval_shape(lambda: PARAMS), BATCH)
    with pytest.raises(ValueError, match="inputs do not fit"):
        CALIBRATE(PARAMS, BATCH[:3])
