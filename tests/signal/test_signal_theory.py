"""Signal propagation against closed forms, within stated sampling errors.

A layer of width n draws n^2 independent weights, so that the variance of its output, given its
input, is right to a relative error of about sqrt(2 / n) a layer. Over L layers these errors add
up as a random walk: the tolerance is 4 standard deviations of it, a false alarm in 16,000.
"""

import functools
import math

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import idinit_jax
from idinit_jax import signal

WIDTH, BATCH, DEPTH = 256, 64, 12


@functools.cache
def meter_of(name: str, depth: int = DEPTH, width: int = WIDTH) -> signal.Meter:
    activation = {"linear": lambda x: x, "relu": jax.nn.relu}[name]

    def apply(kernels: jax.Array, x: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda x, w: (activation(x @ w), None), x, kernels)[0]

    kernels = jax.ShapeDtypeStruct((depth, width, width), jnp.float32)
    return signal.make_meter(apply, kernels, jax.ShapeDtypeStruct((BATCH, width), jnp.float32))


def gaussian(seed: int, depth: int, width: int, gain: float) -> jax.Array:
    draws = np.random.default_rng(seed).standard_normal((depth, width, width), np.float32)
    return jnp.asarray(draws * np.float32(math.sqrt(gain / width)))


# Variance of a kernel's entries times its fan: the only thing that the closed form needs.
GAINS = {"he": 2.0, "lecun": 1.0, "xavier": 1.0}


@hypothesis.settings(max_examples=8)
@hypothesis.given(
    seed=st.integers(0, 2**16),
    scheme=st.sampled_from(sorted(GAINS)),
    activation=st.sampled_from(["linear", "relu"]),
)
def test_variance_follows_the_closed_form_in_every_layer(
    seed: int, scheme: str, activation: str
) -> None:
    """q_{l+1} = gain * E f(q_l): half the second moment passes a ReLU (He et al. 2015, eq. 10)."""
    kernels = gaussian(seed, DEPTH, WIDTH, GAINS[scheme])
    x = jax.random.normal(jax.random.key(seed), (BATCH, WIDTH))
    report = meter_of(activation)(kernels, x)
    passed = 0.5 if activation == "relu" else 1.0
    start = float(jnp.mean(x * x))
    # The correlated part of a ReLU signal has kurtosis: 5 / n a layer instead of 2 / n.
    spread = 5.0 if activation == "relu" else 2.0
    for layer, row in enumerate(report.trunk):
        expected = start * GAINS[scheme] * (GAINS[scheme] * passed) ** layer
        tolerance = 4.0 * math.sqrt(spread * (layer + 1) / WIDTH)
        assert abs(math.log(row.forward.rms**2 / expected)) < tolerance, row.name


@hypothesis.settings(max_examples=6)
@hypothesis.given(seed=st.integers(0, 2**16), scheme=st.sampled_from(sorted(GAINS)))
def test_the_gradient_follows_the_same_closed_form_downwards(seed: int, scheme: str) -> None:
    """He et al. 2015, eq. 14: each kernel and each ReLU pass the same factors backward."""
    kernels = gaussian(seed, DEPTH, WIDTH, GAINS[scheme])
    x = jax.random.normal(jax.random.key(seed), (BATCH, WIDTH))
    rows = meter_of("relu")(kernels, x).trunk
    top = rows[-1].backward.norm ** 2
    for distance, row in enumerate(reversed(rows)):
        expected = top * (GAINS[scheme] * 0.5) ** distance
        tolerance = 4.0 * math.sqrt(5.0 * (distance + 1) / WIDTH)
        assert abs(math.log(row.backward.norm**2 / expected)) < tolerance, row.name


@hypothesis.settings(max_examples=2)
@hypothesis.given(seed=st.integers(0, 2**16))
def test_orthogonal_and_identity_kernels_keep_every_norm_exactly(seed: int) -> None:
    width = 64  # exact at any width
    x = jax.random.normal(jax.random.key(seed), (BATCH, width))
    shape = (DEPTH, width, width)
    for initializer in (
        idinit_jax.orthogonal(batch_axis=0),
        idinit_jax.idinit(noise=0.0, batch_axis=0),
    ):
        report = meter_of("linear", width=width)(initializer(jax.random.key(seed), shape), x)
        for row in report.trunk:
            assert row.forward.rms == pytest.approx(report.rows[0].forward.rms, rel=1e-4)
            assert row.backward.norm == pytest.approx(report.trunk[-1].backward.norm, rel=1e-4)


def test_an_identity_signal_is_constant_at_depth_1000() -> None:
    """Mean and variance forward, and the gradient backward, at any depth (IDInit, section 3)."""
    kernels = idinit_jax.idinit(batch_axis=0)(jax.random.key(0), (1000, 32, 32))
    x = jax.random.normal(jax.random.key(1), (BATCH, 32)) + 0.5
    report = meter_of("linear", 1000, 32)(kernels, x)
    first, last = report.trunk[0], report.trunk[-1]
    # Noise of std 1e-6 on the diagonal, 1000 times: 3e-5, and as much by rounding.
    assert last.forward.mean == pytest.approx(first.forward.mean, rel=1e-3)
    assert last.variance == pytest.approx(first.variance, rel=1e-3)
    assert first.backward.norm == pytest.approx(last.backward.norm, rel=1e-3)
    assert len(report.trunk) == 1000


def test_correlations_in_a_relu_network_follow_the_arc_cosine_kernel() -> None:
    """c -> (sqrt(1 - c^2) + c (pi - arccos c)) / pi (Cho and Saul 2009, eq. 6), to c = 1."""
    kernels = gaussian(3, DEPTH, WIDTH, 2.0)
    report = meter_of("relu")(kernels, jax.random.normal(jax.random.key(0), (BATCH, WIDTH)))
    expected = report.rows[0].forward.cosine
    for row in report.trunk:
        # The mean over 2016 pairs of one draw of the weights: 1 / sqrt(n) for each of them.
        assert row.forward.cosine == pytest.approx(expected, abs=4.0 / math.sqrt(WIDTH) / 2.0)
        expected = arc_cosine(expected)
    assert expected > 0.8


def arc_cosine(c: float) -> float:
    return (math.sqrt(1.0 - c * c) + c * (math.pi - math.acos(c))) / math.pi


def test_a_deep_linear_orthogonal_network_is_isometric() -> None:
    """All singular values of the product are one (Saxe et al. 2014, section 3)."""
    kernels = idinit_jax.orthogonal(batch_axis=0)(jax.random.key(0), (50, 64, 64))
    found = signal.spectrum(linear, kernels, jnp.ones((1, 64)))
    signal.assert_isometry(found, tolerance=1e-4)
    assert found.mean_square == pytest.approx(1.0, abs=1e-4)
    assert found.condition == pytest.approx(1.0, abs=2e-4)


def linear(kernels: jax.Array, x: jax.Array) -> jax.Array:
    return jax.lax.scan(lambda x, w: (x @ w, None), x, kernels)[0]


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_a_gaussian_chain_has_the_spectrum_of_a_product_of_wisharts(depth: int) -> None:
    """Moments of the squared singular values of L square Gaussian factors of variance 1 / n.

    As n grows the k-th moment is the Fuss-Catalan number `binom(k (L + 1), k) / (k L + 1)`
    (Mueller 2002; Pennington et al. 2017, section 2.3), so the mean square is 1 at every depth,
    while the second moment L + 1 grows: criticality without isometry. The largest singular value
    tends to `sqrt((L + 1)^(L + 1) / L^L)`.
    """
    width = 192
    kernels = gaussian(depth, depth, width, 1.0)
    found = signal.spectrum(linear, kernels, jnp.ones((1, width)))
    squares = found.singular_values**2
    for k in (1, 2):
        moment = math.comb(k * (depth + 1), k) / (k * depth + 1)
        # The sum of n squares fluctuates by O(1), hence their mean by O(1 / n): 4 n^-1 k L^0.5.
        tolerance = 4.0 * math.sqrt(2.0 * depth) * k * (depth + 1) / width
        assert np.mean(squares**k) == pytest.approx(moment, rel=tolerance)
    edge = math.sqrt((depth + 1) ** (depth + 1) / depth**depth)
    assert found.singular_values[0] == pytest.approx(edge, rel=0.1)
    assert found.condition > 10.0


def residual(params: dict, x: jax.Array) -> jax.Array:
    def block(x: jax.Array, ws: tuple) -> tuple:
        return x + jax.nn.relu(x @ ws[0]) @ ws[1], None

    return jax.lax.scan(block, x, (params["first"], params["tail"]))[0]


def identity_blocks(depth: int, width: int) -> dict:
    shape, key = (depth, width, width), jax.random.key(0)
    tail = idinit_jax.zeros_identity(epsilon=1e-6, batch_axis=0)
    return {
        "first": idinit_jax.idinit(batch_axis=0)(key, shape),
        "tail": tail(key, shape),
    }


def test_residual_blocks_start_as_isometries_up_to_depth_times_epsilon() -> None:
    """Theorems 4 and 5: singular values within O(L eps) of 1, the gradient alike everywhere."""
    depth = 200
    params = identity_blocks(depth, 32)
    x = jax.random.normal(jax.random.key(1), (4, 32))
    found = signal.spectrum(residual, params, x[:1])
    assert np.abs(found.singular_values - 1.0).max() < 4 * depth * 1e-6 + 1e-4
    report = signal.measure(residual, params, x)
    signal.assert_identity_at_init(report, tolerance=1e-5)
    sums = [row for row in report.rows if row.kind == "sum"]
    assert len(sums) == depth
    for row in sums:
        assert row.backward.norm == pytest.approx(sums[-1].backward.norm, rel=4 * depth * 1e-6)


def chain(params: list, x: jax.Array) -> jax.Array:
    *hidden, last = params
    for kernel in hidden:
        x = x @ kernel
    return x @ last


@pytest.mark.parametrize(("padded", "low", "high"), [(True, 0, 16), (False, 26, 48)])
def test_training_reaches_ranks_that_zero_padding_never_does(
    padded: bool, low: int, high: int
) -> None:
    """Theorem 6: 16-48-48-48-10, the rank of what training adds to a middle kernel."""
    sizes = (16, 48, 48, 48, 10)
    params = [
        jnp.eye(fan_in, fan_out) if padded else idinit_jax.idinit()(key, (fan_in, fan_out))
        for fan_in, fan_out, key in zip(
            sizes, sizes[1:], jax.random.split(jax.random.key(0), 4), strict=False
        )
    ]
    x = jax.random.normal(jax.random.key(1), (20, 64, 16))
    target = x @ jax.random.normal(jax.random.key(2), (16, 10))

    def relu_chain(params: list, x: jax.Array) -> jax.Array:
        for kernel in params[:-1]:
            x = jax.nn.relu(x @ kernel)
        return x @ params[-1]

    def step(state: tuple, batch: tuple) -> tuple:
        params, velocity = state
        slopes = jax.grad(lambda ps: jnp.mean((relu_chain(ps, batch[0]) - batch[1]) ** 2))(params)
        velocity = jax.tree.map(lambda v, g: 0.9 * v + g, velocity, slopes)
        return (jax.tree.map(lambda p, v: p - 0.01 * v, params, velocity), velocity), None

    zeros = jax.tree.map(jnp.zeros_like, params)
    (trained, _), _ = jax.jit(lambda state: jax.lax.scan(step, state, (x, target)))((params, zeros))
    rows = signal.weight_spectra(relu_chain, trained, x[0], reference=params)
    middle = rows[2]
    assert middle.shape == (48, 48)
    assert low <= middle.rank <= high


def test_plain_gradient_descent_alone_is_stuck_before_minus_the_identity() -> None:
    """Theorem 7: three linear layers from the identity towards -I, 1500 steps at rate 0.1.

    All eigenvalues of the layers would have to pass zero together, where the gradient vanishes;
    momentum carries them across.
    """
    x = jax.random.normal(jax.random.key(0), (2000, 10))
    second = x.T @ x / x.shape[0]
    start = [idinit_jax.idinit()(key, (10, 10)) for key in jax.random.split(jax.random.key(1), 3)]

    def loss(params: list) -> jax.Array:
        error = params[0] @ params[1] @ params[2] + jnp.eye(10)
        return jnp.trace(error.T @ second @ error) / 10.0

    def losses(momentum: jax.Array) -> jax.Array:
        def step(state: tuple, _: None) -> tuple:
            params, velocity = state
            slopes = jax.grad(loss)(params)
            velocity = jax.tree.map(lambda v, g: momentum * v + g, velocity, slopes)
            return (jax.tree.map(lambda p, v: p - 0.1 * v, params, velocity), velocity), None

        zeros = jax.tree.map(jnp.zeros_like, start)
        (params, _), _ = jax.lax.scan(step, (start, zeros), None, 1500)
        return loss(params)

    plain, carried = jax.jit(jax.vmap(losses))(jnp.asarray([0.0, 0.9]))
    assert plain == pytest.approx(0.97, abs=0.1)
    assert carried < 1e-10


def test_replica_rows_are_identical_without_noise_and_differ_with_it() -> None:
    """Theorem 8, seen by the unit marks: without noise, rows of a tall kernel are replicas."""
    x = jax.random.normal(jax.random.key(0), (16, 8))

    def summed(kernel: jax.Array, x: jax.Array) -> jax.Array:
        return (x @ kernel).sum(-1, keepdims=True)

    # 1e-6 is about ten steps of float32 at 1: of a few dozen replicas two may meet. 1e-4 is far.
    for noise, identical in ((0.0, 24), (1e-4, 0)):
        kernel = idinit_jax.idinit(noise=noise)(jax.random.key(1), (8, 24))
        report = signal.measure(summed, kernel, x, loss=lambda y: jnp.sum(y**2))
        assert report.parameters[0].identical_units == identical
