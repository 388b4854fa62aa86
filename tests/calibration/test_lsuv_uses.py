"""LSUV where a kernel is stacked, shared, tied, standardized, summed, skipped or without signal."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from idinit_jax.calibration import lsuv_calibrate

pytestmark = pytest.mark.usefixtures("quick_compilation")

Params = dict[str, jax.Array]


def normal(seed: int, *shape: int, std: float = 1.0, dtype: Any = jnp.float32) -> jax.Array:
    return (std * jax.random.normal(jax.random.key(seed), shape)).astype(dtype)


def block(kernels: tuple[jax.Array, jax.Array], x: jax.Array) -> jax.Array:
    first, second = kernels
    return x + jnp.tanh(x @ first) @ second


def scanned(params: Params, x: jax.Array) -> jax.Array:
    def turn(x: jax.Array, kernels: tuple) -> tuple[jax.Array, None]:
        return jax.checkpoint(block)(kernels, x), None

    return jax.lax.scan(turn, x, (params["first"], params["second"]))[0]


def looped(params: Params, x: jax.Array) -> jax.Array:
    for kernels in zip(params["first"], params["second"], strict=True):
        x = block(kernels, x)
    return x


def test_a_scan_is_calibrated_like_a_loop() -> None:
    stacked = {"first": normal(0, 5, 16, 16, std=3.0), "second": normal(1, 5, 16, 16)}
    apart = {name: list(value) for name, value in stacked.items()}
    x = normal(2, 64, 16)
    together, report = lsuv_calibrate(scanned, stacked, x)
    one_by_one, _ = lsuv_calibrate(looped, apart, x)
    indexed, _ = lsuv_calibrate(looped, stacked, x)
    for name in stacked:
        np.testing.assert_allclose(together[name], np.stack(one_by_one[name]), rtol=1e-5)
        np.testing.assert_allclose(indexed[name], together[name], rtol=1e-5)
    assert [reading.layer for reading in report.kernels] == [*range(5), *range(5)]
    assert report.passes == 2


def cell(params: Params, xs: jax.Array) -> jax.Array:
    """A recurrent cell: both kernels are the same at every time."""

    def turn(h: jax.Array, x: jax.Array) -> tuple[jax.Array, None]:
        return jnp.tanh(x @ params["in"] + h @ params["recurrent"]), None

    h = jnp.zeros((xs.shape[1], params["recurrent"].shape[0]))
    return jax.lax.scan(turn, h, xs)[0]


def test_a_recurrent_kernel_gets_one_scale_from_all_turns() -> None:
    params = {"in": normal(0, 6, 24, std=2.0), "recurrent": normal(1, 24, 24, std=0.7)}
    xs = normal(2, 9, 32, 6)
    values, report = lsuv_calibrate(cell, params, xs, tolerance=1e-3)
    w_in, w_recurrent = (np.asarray(values[name], np.float64) for name in ("in", "recurrent"))
    h, from_in, from_recurrent = np.zeros((32, 24)), [], []
    for x in np.asarray(xs, np.float64):
        from_in.append(x @ w_in)
        from_recurrent.append(h @ w_recurrent)
        h = np.tanh(from_in[-1] + from_recurrent[-1])
    assert abs(np.var(from_in) - 1) < 2e-3
    assert abs(np.var(from_recurrent) - 1) < 2e-3
    assert not report.missed
    ratio = np.asarray(values["recurrent"]) / np.asarray(params["recurrent"])
    np.testing.assert_allclose(ratio, ratio.flat[0], rtol=1e-5)


def test_a_kernel_applied_many_times_converges() -> None:
    """The last of 8 outputs follows the 8th power of the scale: whole steps would oscillate."""

    def chain(params: Params, x: jax.Array) -> jax.Array:
        for _ in range(8):
            x = x @ params["kernel"]
        return x

    params, x = {"kernel": normal(0, 12, 12, std=2.0)}, normal(1, 64, 12)
    values, report = lsuv_calibrate(chain, params, x, tolerance=0.01)
    outputs, y = [], np.asarray(x, np.float64)
    for _ in range(8):
        y = y @ np.asarray(values["kernel"], np.float64)
        outputs.append(y)
    assert abs(np.var(outputs) - 1) < 0.02
    assert not report.missed


def test_kernels_behind_a_shared_one_see_its_last_scale() -> None:
    def model(params: Params, x: jax.Array) -> jax.Array:
        y = jnp.tanh(jnp.tanh(x @ params["shared"]) @ params["shared"])
        return y @ params["last"]

    params = {"shared": normal(0, 12, 12, std=3.0), "last": normal(1, 12, 4)}
    x = normal(2, 64, 12)
    values, _ = lsuv_calibrate(model, params, x, tolerance=1e-3)
    assert abs(np.var(model(values, x)) - 1) < 2e-3


def test_embeddings_are_left_alone_unless_they_are_asked_for() -> None:
    def model(params: Params, tokens: jax.Array) -> jax.Array:
        x = params["table"][tokens] @ params["kernel"]
        return x @ params["table"].T

    params = {"table": normal(0, 11, 8), "kernel": normal(1, 8, 8, std=5.0)}
    tokens = jax.random.randint(jax.random.key(2), (4, 16), 0, 11)
    values, report = lsuv_calibrate(model, params, tokens)
    np.testing.assert_array_equal(values["table"], params["table"])
    assert not report.missed
    assert [one.note for one in report.kernels] == ["not selected", ""]
    assert abs(np.var(values["table"][tokens] @ values["kernel"]) - 1) < 1e-5
    values, report = lsuv_calibrate(model, params, tokens, where=lambda kernel: kernel.uses)
    assert not report.missed


def standardized(params: Params, x: jax.Array) -> jax.Array:
    kernel = params["kernel"]
    kernel = (kernel - kernel.mean(axis=0)[None]) / kernel.std(axis=0)[None]
    return jnp.tanh(x @ kernel) @ params["last"]


def low_rank(params: Params, x: jax.Array) -> jax.Array:
    return jnp.tanh(x @ (params["kernel"] + params["down"] @ params["up"])) @ params["last"]


@pytest.mark.parametrize("model", [standardized, low_rank])
def test_weights_that_do_not_follow_their_kernel_are_reported(model: Any) -> None:
    """Also: the kernels behind them are calibrated on the signal that they do put out."""
    params = {"kernel": normal(0, 8, 8), "last": normal(1, 8, 8, std=4.0)}
    if model is low_rank:
        params |= {"down": normal(2, 8, 2), "up": normal(3, 2, 8)}
    x = normal(4, 64, 8)
    values, report = lsuv_calibrate(model, params, x)
    for name in params:
        if name != "last":
            np.testing.assert_array_equal(values[name], params[name])
    assert abs(np.var(model(values, x)) - 1) < 1e-5
    assert {one.path for one in report.missed} == set(params) - {"last"}
    assert all("arithmetic" in one.note for one in report.missed)


def test_a_gain_beside_the_kernel_is_seen_through() -> None:
    def model(params: Params, x: jax.Array) -> jax.Array:
        return x @ (0.1 * params["kernel"] * params["gain"][None])

    params = {"kernel": normal(0, 8, 8), "gain": jnp.exp(normal(1, 8))}
    x = normal(2, 64, 8)
    values, _ = lsuv_calibrate(model, params, x)
    assert abs(np.var(model(values, x)) - 1) < 1e-5


def test_a_kernel_without_signal_keeps_its_values() -> None:
    def model(params: Params, x: jax.Array) -> jax.Array:
        return (jnp.tanh(x @ params["first"]) @ params["zero"]) @ params["behind"]

    params = {"first": normal(0, 6, 6), "zero": jnp.zeros((6, 6)), "behind": normal(1, 6, 2)}
    values, report = lsuv_calibrate(model, params, normal(2, 32, 6))
    assert [one.path for one in report.missed] == ["zero", "behind"]
    assert all(one.note == "constant output" and one.scale == 1 for one in report.missed)
    np.testing.assert_array_equal(values["behind"], params["behind"])
    assert "constant output" in str(report)


def test_a_branch_that_does_not_run_is_left_alone() -> None:
    def model(params: Params, x: jax.Array, which: jax.Array) -> jax.Array:
        ways = [lambda x: x @ params["one"], lambda x: x @ params["other"]]
        return jax.lax.switch(which, ways, x)

    params = {"one": normal(0, 6, 6), "other": normal(1, 6, 6)}
    x = normal(2, 32, 6)
    values, report = lsuv_calibrate(model, params, x, jnp.int32(1))
    assert [one.path for one in report.missed] == ["one"]
    np.testing.assert_array_equal(values["one"], params["one"])
    assert abs(np.var(x @ values["other"]) - 1) < 1e-5


def test_bfloat16_kernels_get_float32_scales() -> None:
    def model(params: Params, x: jax.Array) -> jax.Array:
        return jnp.tanh(x @ params["a"].astype(x.dtype)) @ params["b"].astype(x.dtype)

    params = {"a": normal(0, 8, 16, std=0.01), "b": normal(1, 16, 4, std=30.0)}
    stored = {name: value.astype(jnp.bfloat16) for name, value in params.items()}
    exact = {name: value.astype(jnp.float32) for name, value in stored.items()}
    x = normal(2, 64, 8)
    halved, full = (lsuv_calibrate(model, values, x)[0] for values in (stored, exact))
    for name in params:
        assert halved[name].dtype == jnp.bfloat16
        np.testing.assert_array_equal(halved[name], full[name].astype(jnp.bfloat16))


def settled(params: Params, x: jax.Array) -> jax.Array:
    """Bai et al. 2019: a fixed point is searched, then left once more with a gradient."""
    entered = x @ params["enter"]

    def turn(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        return jnp.tanh(state[0] @ params["again"] + entered), state[1] + 1

    start = (jnp.zeros_like(entered), jnp.asarray(0))
    point, _ = jax.lax.while_loop(lambda state: state[1] < 9, turn, start)
    point = jnp.tanh(jax.lax.stop_gradient(point) @ params["again"] + entered)
    return point @ params["leave"]


def test_a_kernel_in_a_loop_of_unknown_length_is_left_alone() -> None:
    params = {"enter": normal(0, 4, 8), "again": normal(1, 8, 8), "leave": normal(2, 8, 3, std=5.0)}
    values, report = lsuv_calibrate(settled, params, normal(3, 64, 4))
    notes = {reading.path: reading.note for reading in report.kernels}
    assert notes == {"enter": "", "again": "it lies in a loop of unknown length", "leave": ""}
    np.testing.assert_array_equal(values["again"], params["again"])


def test_what_is_not_a_number_is_told_in_full() -> None:
    _, report = lsuv_calibrate(
        lambda params, x: jnp.log(x) @ params["w"], {"w": normal(0, 4, 4)}, normal(1, 8, 4)
    )
    assert [reading.note for reading in report.kernels] == ["not run on this batch, or NaN"]


def chosen(params: Params, x: jax.Array) -> jax.Array:
    kept = jnp.arange(64).reshape(8, 8) % 3 > 0
    return x @ jnp.where(kept, params["kernel"].T, 0.0)


def folded(params: Params, x: jax.Array) -> jax.Array:
    return jnp.einsum("ni,abi->nab", x, params["kernel"].reshape(2, 4, 8)).reshape(-1, 8)


@pytest.mark.parametrize("model", [chosen, folded])
def test_a_kernel_is_seen_through_what_keeps_its_scale(model: Any) -> None:
    params, x = {"kernel": normal(0, 8, 8, std=3.0)}, normal(1, 64, 8)
    values, report = lsuv_calibrate(model, params, x)
    assert abs(np.var(model(values, x)) - 1) < 1e-5
    assert not report.missed


def test_factors_of_one_weight_are_left_alone() -> None:
    """Each of them scales the output: both corrections together would go too far."""

    def model(params: Params, x: jax.Array) -> jax.Array:
        return x @ (params["left"] @ params["right"])

    params = {"left": normal(0, 8, 3), "right": normal(1, 3, 8)}
    values, report = lsuv_calibrate(model, params, normal(2, 64, 8))
    jax.tree.map(np.testing.assert_array_equal, values, params)
    assert {one.path for one in report.missed} == {"left", "right"}


@pytest.mark.parametrize("scaled", [True, False])
def test_a_bias_is_shifted_only_where_the_signal_gets_it_as_it_is(scaled: bool) -> None:
    """Shifting one that the data scale would not move the mean by as much."""

    def model(params: Params, x: jax.Array) -> jax.Array:
        bias = jnp.broadcast_to(params["bias"][None], x.shape)
        return x @ params["kernel"] + (bias * (x > 0.0).astype(x.dtype) if scaled else bias)

    params = {"kernel": normal(0, 8, 8), "bias": jnp.full(8, 3.0)}
    x = normal(1, 64, 8)
    values, report = lsuv_calibrate(model, params, x, center_outputs=True)
    assert bool(report.biases) is not scaled
    if scaled:
        np.testing.assert_array_equal(values["bias"], params["bias"])
    else:
        assert abs(np.mean(model(values, x))) < 1e-5
