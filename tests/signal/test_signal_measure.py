"""What `measure` reports, against the same numbers taken by hand."""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import idinit_jax
from idinit_jax import signal
from idinit_jax.models import cifar_resnet
from idinit_jax.schemes import initialize
from idinit_jax.signal.softmaxes import summarize_logits

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (16, 12))
PARAMS = {
    "a": idinit_jax.he()(jax.random.key(2), (12, 20)),
    "b": idinit_jax.he()(jax.random.key(3), (20, 5)),
}


def two_layers(params: dict, x: jax.Array) -> jax.Array:
    return jnp.tanh(x @ params["a"]) @ params["b"]


def squared_error(y: jax.Array, target: jax.Array) -> jax.Array:
    return jnp.mean((y - target) ** 2)


def test_forward_and_backward_are_those_of_autodiff() -> None:
    target = jnp.ones((16, 5))
    report = signal.measure(two_layers, PARAMS, X, loss=squared_error, targets=(target,))

    def from_hidden(hidden: jax.Array) -> jax.Array:
        return squared_error(jnp.tanh(hidden) @ PARAMS["b"], target)

    hidden = X @ PARAMS["a"]
    gradient = jax.grad(from_hidden)(hidden)
    row = report["a"]
    assert report.loss == pytest.approx(float(from_hidden(hidden)), rel=1e-5)
    assert row.variance == pytest.approx(float(jnp.var(hidden)), rel=1e-4)
    assert row.backward.norm == pytest.approx(float(jnp.linalg.norm(gradient)), rel=1e-4)
    assert row.backward.std == pytest.approx(float(jnp.std(gradient)), rel=1e-4)
    slopes = jax.grad(lambda params: squared_error(two_layers(params, X), target))(PARAMS)
    for parameter in report.parameters:
        norm = float(jnp.linalg.norm(slopes[parameter.path]))
        assert parameter.gradient_norm == pytest.approx(norm, rel=1e-4)
        assert parameter.norm == pytest.approx(
            float(jnp.linalg.norm(PARAMS[parameter.path])), rel=1e-5
        )
    assert [row.name for row in report.rows] == ["input", "a", "b", "output"]


def test_cosine_is_the_mean_over_all_pairs() -> None:
    hidden = np.asarray(X @ PARAMS["a"], np.float64)
    unit = hidden / np.linalg.norm(hidden, axis=1, keepdims=True)
    pairs = (unit @ unit.T)[np.triu_indices(16, 1)]
    report = signal.measure(two_layers, PARAMS, X)
    assert report["a"].forward.cosine == pytest.approx(pairs.mean(), abs=1e-5)


def test_frameworks_give_the_same_numbers() -> None:
    kernel, bias = PARAMS["a"], jnp.zeros(20)
    linen = nn.Dense(20)
    module = nnx.Linear(12, 20, rngs=nnx.Rngs(0))
    module.kernel[...] = kernel
    layer = eqx.nn.Linear(12, 20, key=KEY)
    layer = eqx.tree_at(lambda one: (one.weight, one.bias), layer, (kernel.T, bias))
    reports = [
        signal.measure(lambda w, x: x @ w, kernel, X),
        signal.measure(linen, {"params": {"kernel": kernel, "bias": bias}}, X),
        signal.measure(module, module, X),
        signal.measure(layer, layer, X),
    ]
    variances = [report.trunk[0].variance for report in reports]
    cosines = [report.trunk[0].forward.cosine for report in reports]
    np.testing.assert_allclose(variances, variances[0], rtol=1e-5)
    np.testing.assert_allclose(cosines, cosines[0], atol=1e-6)


def test_a_scan_gives_one_row_a_layer_equal_to_the_loop() -> None:
    kernels = idinit_jax.he(batch_axis=0)(KEY, (5, 12, 12))

    def scanned(ws: jax.Array, x: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda x, w: (jax.nn.relu(x @ w), None), x, ws)[0]

    def looped(ws: jax.Array, x: jax.Array) -> jax.Array:
        for i in range(5):
            x = jax.nn.relu(x @ ws[i])
        return x

    one, other = signal.measure(scanned, kernels, X), signal.measure(looped, kernels, X)
    assert len(one.trunk) == len(other.trunk) == 5
    for row, like in zip(one.trunk, other.trunk, strict=True):
        assert row.layer == like.layer
        np.testing.assert_allclose(row.forward, like.forward, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(row.backward, like.backward, rtol=1e-4)
    assert [row.layer for row in one.parameters] == list(range(5))
    for row, like in zip(one.parameters, other.parameters, strict=True):
        assert row.gradient_norm == pytest.approx(like.gradient_norm, rel=1e-4)


def test_a_residual_network_is_read_in_forward_order() -> None:
    model = cifar_resnet(8, 10, norm="none")
    x = jax.random.normal(KEY, (4, 8, 8, 3))
    values = initialize(model, KEY, x, scheme="he")
    report = signal.measure(model, values, x)
    names = [row.name for row in report.rows]
    assert names[:5] == [
        "input",
        "stem/kernel",
        "stage_0/first/conv_0/kernel",
        "stage_0/first/tail/kernel",
        "stage_0/first/+",
    ]
    # The sum's variance is that of both operands, up to their covariance.
    share = report["stage_0/first/+"].branch_share
    branch = report["stage_0/first/tail/kernel"].variance
    assert 0.0 < share < 1.0
    assert share == pytest.approx(branch / (branch + branch * (1 - share) / share), rel=1e-6)


def test_values_change_without_a_new_compilation() -> None:
    traces = []

    def counted(params: dict, x: jax.Array) -> jax.Array:
        traces.append(None)
        return two_layers(params, x)

    meter = signal.make_meter(counted, PARAMS, X)
    first = meter(PARAMS, X)
    seen = len(traces)
    second = meter(jax.tree.map(lambda leaf: 2.0 * leaf, PARAMS), X)
    assert len(traces) == seen
    assert second["a"].variance == pytest.approx(4 * first["a"].variance, rel=1e-5)


def test_statistics_are_a_pure_function_for_a_training_step() -> None:
    meter = signal.make_meter(two_layers, PARAMS, X)

    @jax.jit
    def step(params: dict, x: jax.Array):
        return meter.statistics(params, [], [x])

    records = list(meter.report(step(PARAMS, X)).records())
    assert {record["table"] for record in records} == {"signal", "parameters"}
    by_name = {record["name"]: record for record in records if record["table"] == "signal"}
    assert by_name["a"]["variance"] == pytest.approx(float(jnp.var(X @ PARAMS["a"])), rel=1e-4)


def test_units_with_the_same_weights_and_gradient_are_counted() -> None:
    twins = PARAMS["a"].at[:, 7].set(PARAMS["a"][:, 3])
    # The same weights alone are no symmetry: what follows tells the units apart.
    apart = signal.measure(two_layers, PARAMS | {"a": twins}, X)
    assert [row.identical_units for row in apart.parameters] == [0, 0]
    tied = PARAMS["b"].at[7].set(PARAMS["b"][3])
    together = signal.measure(two_layers, {"a": twins, "b": tied}, X)
    assert [row.identical_units for row in together.parameters] == [2, 0]


def test_dead_entries_are_those_without_gradient() -> None:
    blind = X.at[:, :3].set(0.0)
    report = signal.measure(two_layers, PARAMS, blind)
    assert [row.dead for row in report.parameters] == [3 / 12, 0.0]


def test_integers_have_no_input_row_and_softmaxes_their_own() -> None:
    def attend(params: dict, tokens: jax.Array) -> jax.Array:
        x = params["table"][tokens]
        weights = jax.nn.softmax(jnp.einsum("btf,bsf->bts", x @ params["query"], x))
        return jnp.einsum("bts,bsf->btf", weights, x) @ params["head"]

    params = {
        "table": jax.random.normal(KEY, (11, 4)),
        "query": jnp.eye(4),
        "head": jnp.eye(4),
    }
    report = signal.measure(attend, params, jnp.arange(10).reshape(2, 5))
    assert [row.name for row in report.rows] == [
        "table", "query", "softmax", "head", "output",
    ]  # fmt: skip
    table = next(row for row in report.parameters if row.name == "table")
    assert table.dead == pytest.approx(1 / 11)


def test_a_model_without_floating_output_is_refused() -> None:
    with pytest.raises(TypeError, match="no floating array"):
        signal.measure(lambda w, x: (x @ w).argmax(-1), PARAMS["a"], X)


def test_a_derivative_of_its_own_stays_whole() -> None:
    """Also one that is wrong on purpose, as straight-through estimators are."""

    @jax.custom_vjp
    def product(x: jax.Array, w: jax.Array) -> jax.Array:
        return jax.jit(jnp.matmul)(x, w)

    def backward(kept: tuple, gradient: jax.Array) -> tuple:
        x, w = kept
        return gradient @ w.T, 3.0 * (x.T @ gradient)

    product.defvjp(lambda x, w: (product(x, w), (x, w)), backward)

    def network(params: dict, x: jax.Array) -> jax.Array:
        return jnp.tanh(product(x, params["a"])) @ params["b"]

    report = signal.measure(network, PARAMS, X)
    plain = signal.measure(two_layers, PARAMS, X)
    assert report["a"].variance == pytest.approx(plain["a"].variance, rel=1e-6)
    assert report["a"].backward.norm == pytest.approx(plain["a"].backward.norm, rel=1e-6)
    tripled = {row.path: row.gradient_norm for row in report.parameters}
    assert tripled["a"] == pytest.approx(3 * plain.parameters[0].gradient_norm, rel=1e-5)


@pytest.mark.parametrize("masked", [-10.0, -100.0, -1e3, -1e9, -jnp.inf])
def test_a_mask_of_any_size_saturates_no_softmax(masked: float) -> None:
    logits = jax.random.normal(jax.random.key(0), (64, 16))
    mask = jnp.where(jnp.tril(jnp.ones((64, 16))) > 0, 0.0, masked)
    mask = mask.at[:, 0].set(0.0)
    shifted = (logits + mask) - (logits + mask).max(-1, keepdims=True)
    assert float(summarize_logits(shifted, -1).std) < 4.0


def test_logits_without_any_weight_beside_the_largest_are_saturated() -> None:
    logits = 500.0 * jax.random.normal(jax.random.key(0), (64, 16))
    shifted = logits - logits.max(-1, keepdims=True)
    assert float(summarize_logits(shifted, -1).std) > 100.0


def test_noise_has_variance_one_and_no_two_entries_alike() -> None:
    """For 100,000 uniform numbers the mean square has a standard error of 0.3 %; 5 are allowed."""
    noise = jax.grad(signal.unit_noise)(jnp.zeros((1000, 100)))
    assert float((noise**2).mean()) == pytest.approx(1.0, abs=0.015)
    assert abs(float(noise.mean())) < 5 / 100_000**0.5
    few = np.asarray(jax.grad(signal.unit_noise)(jnp.zeros((1, 50))))
    assert len(np.unique(few)) == 50
