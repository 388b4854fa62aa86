"""Each assertion holds where it should, fails where it should, and says where and by how much."""

import re

import chex
import jax
import jax.numpy as jnp
import pytest
import signal_zoo as zoo

import idinit_jax
from idinit_jax import signal

pytestmark = pytest.mark.usefixtures("quick_compilation")

X = jax.random.normal(jax.random.key(0), (64, 48))


def network(params: dict, x: jax.Array) -> jax.Array:
    x = jax.nn.relu(x @ params["stem"])
    x = x + jax.nn.relu(x @ params["hidden"]) @ params["tail"]
    return x @ params["head"]


PARAMS = {
    "stem": idinit_jax.he()(jax.random.key(1), (48, 48)),
    "hidden": idinit_jax.he()(jax.random.key(2), (48, 48)),
    "tail": idinit_jax.zeros_identity()(jax.random.key(3), (48, 48)),
    "head": idinit_jax.lecun()(jax.random.key(4), (48, 7)),
}
METER = signal.make_meter(network, PARAMS, X)


def report(**changes: jax.Array) -> signal.SignalReport:
    return METER(PARAMS | changes, X)


def test_a_good_start_passes() -> None:
    found = report()
    signal.assert_finite_signal(found)
    signal.assert_identity_at_init(found)
    signal.assert_variance_preserved(found, factor=4.0)
    signal.assert_gradient_flow(found)
    signal.assert_no_dead_parameters(found)
    signal.assert_symmetry_broken(found)
    signal.assert_unit_variance(found, tolerance=1.5, names=["stem", "head"])


def test_identity_at_init() -> None:
    with pytest.raises(AssertionError, match=r"branch has 0\.\d+ of .* expected at most 0\.001"):
        signal.assert_identity_at_init(report(tail=PARAMS["hidden"]))
    chain = signal.measure(lambda w, x: x @ w, PARAMS["stem"], X)
    with pytest.raises(ValueError, match="no residual sums"):
        signal.assert_identity_at_init(chain)


def test_unit_variance() -> None:
    with pytest.raises(AssertionError, match=r"stem: the variance is 2\.\d+, expected 1"):
        signal.assert_unit_variance(report())
    with pytest.raises(KeyError, match="no row 'stm'"):
        signal.assert_unit_variance(report(), names=["stm"])


def test_variance_preserved() -> None:
    with pytest.raises(AssertionError, match=r"the second moment is .* within a factor of 2"):
        signal.assert_variance_preserved(report(tail=8.0 * PARAMS["hidden"]))


def test_gradient_flow() -> None:
    with pytest.raises(AssertionError, match=r"stem: the gradient's norm is .* expected"):
        signal.assert_gradient_flow(report(stem=-1e3 * jnp.abs(PARAMS["stem"])), factor=1.1)


def test_dead_parameters() -> None:
    with pytest.raises(AssertionError, match=r"hidden: 1 of its entries .* expected at most 0\.99"):
        signal.assert_no_dead_parameters(report(tail=jnp.zeros((48, 48))))


def test_symmetry() -> None:
    with pytest.raises(AssertionError, match="hidden: 48 of 48 units are identical"):
        signal.assert_symmetry_broken(report(hidden=jnp.ones((48, 48)), tail=jnp.ones((48, 48))))


def test_finite_signal_names_the_first_place() -> None:
    broken = PARAMS["hidden"].at[3, 3].set(jnp.nan)
    with pytest.raises(AssertionError, match=r"^hidden: the activation is not finite"):
        signal.assert_finite_signal(report(hidden=broken))


def test_a_gradient_alone_may_be_infinite() -> None:
    def rooted(w: jax.Array, x: jax.Array) -> jax.Array:
        return jnp.sqrt(jnp.abs(x @ w))

    found = signal.measure(rooted, jnp.zeros((48, 4)), X)
    with pytest.raises(AssertionError, match="kernel: the gradient is not finite"):
        signal.assert_finite_signal(found)


def test_finite_signal_works_inside_jit() -> None:
    @jax.jit
    def check(params: dict) -> None:
        signal.assert_finite_signal(METER.statistics(params, [], [X]))

    checked = chex.chexify(check, async_check=False)
    checked(PARAMS)
    chex.block_until_chexify_assertions_complete()
    with pytest.raises(AssertionError, match=re.compile("finite", re.IGNORECASE)):
        checked(PARAMS | {"head": PARAMS["head"].at[0, 0].set(jnp.inf)})


def test_naive_zero_is_dead_where_zero_preserving_is_alive() -> None:
    dead, alive = zoo.naive_zero(0.0, 0.0), zoo.naive_zero(1e-6, 1.0)
    meter = signal.make_meter(dead.model, dead.values, *dead.inputs)
    with pytest.raises(AssertionError, match=r"first\[0\]: 1 of its entries"):
        signal.assert_no_dead_parameters(meter(dead.values, *dead.inputs))
    signal.assert_no_dead_parameters(meter(alive.values, *alive.inputs))
