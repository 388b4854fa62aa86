"""Progressive perturbation adds what its schedule says, and can be stopped and resumed."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from idinit_jax.perturbation import ProgressivePerturbationState, progressive_perturbation

STEPS = 8
PARAMS = {
    "dense": {"kernel": jnp.zeros((100, 200)), "bias": jnp.zeros(7)},
    "head": {"kernel": jnp.zeros((20_000,))},
}


def run(transformation, params=PARAMS, steps=STEPS, state=None):
    """The parameters after each step of updates that are zero by themselves, and the last state."""
    state = transformation.init(params) if state is None else state
    update = jax.jit(transformation.update)
    history = [params]
    for _ in range(steps):
        updates, state = update(jax.tree.map(jnp.zeros_like, params), state)
        params = optax.apply_updates(params, updates)
        history.append(params)
    return history, state


@functools.cache
def trajectory(schedule):
    """What has been added to a kernel of 20,000 entries by steps 0, 1, ..., STEPS."""
    noise = progressive_perturbation(jax.random.key(1), schedule, STEPS)
    return np.stack([np.asarray(p["head"]["kernel"]) for p in run(noise)[0]])


def jump(step):
    """Starts above zero, rests, then rises."""
    return jnp.where(step < 5, 0.2, 0.2 + 0.1 * step.astype(jnp.float32))


# Each test below compares n = 20,000 normal values with their law at five standard errors or at a
# p-value of 1e-6: a false alarm has a probability below 1e-5 a test, and seeds are fixed.


@pytest.mark.parametrize("schedule", [0.5, jump])
def test_added_by_step_t_has_std_sigma_of_t(schedule):
    added = trajectory(schedule)
    for t in range(1, STEPS + 1):
        sigma = float(schedule(jnp.asarray(t))) if callable(schedule) else schedule * t / STEPS
        assert abs(added[t].std() / sigma - 1) < 5 / np.sqrt(2 * added[t].size)
        assert stats.kstest(added[t] / sigma, "norm").pvalue > 1e-6


def test_increments_are_independent():
    increments = np.diff(trajectory(0.5), axis=0)
    correlation = np.corrcoef(increments) - np.eye(STEPS)
    assert np.max(np.abs(correlation)) < 5 / np.sqrt(increments.shape[1])


def test_parameters_are_perturbed_independently():
    noise = progressive_perturbation(jax.random.key(1), 0.5, STEPS)
    last = run(noise, steps=1)[0][-1]
    pair = np.stack([np.ravel(last["dense"]["kernel"]), last["head"]["kernel"]])
    assert abs(np.corrcoef(pair)[0, 1]) < 5 / np.sqrt(pair.shape[1])


def test_default_reaches_a_thousandth_in_ten_thousand_steps():
    noise = progressive_perturbation(jax.random.key(0))
    update = jax.jit(noise.update)
    zeros = jnp.zeros(20_000)
    for step, sigma_before, sigma in ((0, 0.0, 1e-7), (9_999, 9.999e-4, 1e-3)):
        state = noise.init(zeros)._replace(step=jnp.int32(step))
        expected = np.sqrt(sigma**2 - sigma_before**2)
        # 0.1 % more for the float32 difference of two nearly equal deviations.
        assert abs(update(zeros, state)[0].std() / expected - 1) < 5 / np.sqrt(40_000) + 1e-3


def test_nothing_is_added_after_the_horizon(key):
    noise = progressive_perturbation(key, 0.5, STEPS)
    history, _ = run(noise, steps=STEPS + 2)
    jax.tree.map(np.testing.assert_array_equal, history[STEPS], history[-1])
    assert float(jnp.max(jnp.abs(history[STEPS]["dense"]["bias"]))) > 0


def test_random_numbers_are_drawn_in_one_branch_alone(key):
    noise = progressive_perturbation(key, 0.5, STEPS)
    jaxpr = jax.make_jaxpr(noise.update)(PARAMS, noise.init(PARAMS)).jaxpr
    (cond,) = [equation for equation in jaxpr.eqns if equation.primitive.name == "cond"]
    outside = str([equation for equation in jaxpr.eqns if equation is not cond])
    idle, busy = map(str, cond.params["branches"])
    assert "random" not in outside
    assert "random" not in idle
    assert "random_bits" in busy


def test_it_moves_the_parameters_behind_an_optimizer(key):
    """With the same gradients, the difference to the bare optimizer is the perturbation."""
    noise = progressive_perturbation(key, 0.5, STEPS)
    bare = optax.sgd(0.1)
    params = gradient = {"kernel": jnp.ones(50)}
    updates, _ = bare.update(gradient, bare.init(params))
    chain = optax.chain(bare, noise)
    perturbed, _ = chain.update(gradient, chain.init(params), params)
    alone, _ = noise.update({"kernel": jnp.zeros(50)}, noise.init(params))
    assert float(jnp.std(alone["kernel"])) > 0.01
    difference = perturbed["kernel"] - updates["kernel"]
    np.testing.assert_allclose(difference, alone["kernel"], atol=1e-7)


def test_a_resumed_run_ends_in_the_same_bits(key):
    """The state survives as NumPy arrays, and brings its own key along."""
    whole, _ = run(progressive_perturbation(key, 0.5, STEPS))
    first, state = run(progressive_perturbation(key, 0.5, STEPS), steps=3)
    saved = {name: np.asarray(value) for name, value in state._asdict().items()}
    assert {name: value.dtype.name for name, value in saved.items()} == {
        "step": "int32",
        "key_data": "uint32",
    }
    restored = ProgressivePerturbationState(**jax.tree.map(jnp.asarray, saved))
    other = progressive_perturbation(jax.random.key(99), 0.5, STEPS)
    resumed, _ = run(other, first[-1], STEPS - 3, restored)
    jax.tree.map(np.testing.assert_array_equal, resumed[-1], whole[-1])


def test_a_donated_state_leaves_the_transformation_usable(key):
    noise = progressive_perturbation(key, 0.5, STEPS)
    jax.jit(lambda state: state, donate_argnums=0)(noise.init(PARAMS))
    assert not noise.init(PARAMS).key_data.is_deleted()


@pytest.mark.parametrize("where", ["**/kernel", lambda path: path.endswith("kernel")])
def test_only_selected_parameters_are_perturbed(key, where):
    last = run(progressive_perturbation(key, 0.5, STEPS, where), steps=1)[0][-1]
    np.testing.assert_array_equal(last["dense"]["bias"], 0.0)
    assert np.all(last["dense"]["kernel"] != 0)
    assert np.all(last["head"]["kernel"] != 0)


def test_one_key_in_either_form_gives_the_same_state():
    key = jax.random.key(3)
    typed, raw = (progressive_perturbation(k).init(PARAMS) for k in (key, jax.random.key_data(key)))
    np.testing.assert_array_equal(typed.key_data, raw.key_data)


def test_updates_keep_their_dtype(key):
    noise = progressive_perturbation(key, 0.5, STEPS)
    params = {"low": jnp.zeros(3, jnp.bfloat16), "high": jnp.zeros(3)}
    updates, _ = jax.eval_shape(noise.update, params, noise.init(params))
    assert jax.tree.map(lambda leaf: leaf.dtype, updates) == jax.tree.map(lambda p: p.dtype, params)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"std": -1e-3}, ValueError, "std must be zero or positive"),
        ({"std": lambda step: 1.0 - step.astype(jnp.float32)}, ValueError, "never falls"),
        ({"steps": 0}, ValueError, "steps must be a whole number of at least 1"),
        ({"key": 0}, TypeError, "key must be a jax.random.key"),
    ],
)
def test_bad_arguments_are_refused(key, arguments, error, message):
    with pytest.raises(error, match=message):
        progressive_perturbation(**({"key": key} | arguments))


def test_a_pattern_that_selects_nothing_is_refused(key):
    with pytest.raises(ValueError, match="kernels"):
        progressive_perturbation(key, where="**/kernels").init(PARAMS)
