"""Each scheme does what its paper states, on networks where the statement can be checked."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import idinit_jax
from idinit_jax import initializers as init
from idinit_jax.schemes import (
    Scheme,
    choose,
    explain,
    get_scheme,
    initialize,
    register,
    rule,
    schemes,
)
from idinit_jax.schemes.filling import fill_of
from idinit_jax.schemes.residual import fixup_branch
from idinit_jax.schemes.transformer import scaled_xavier
from idinit_jax.tracing import Kernel, ModelGraph, Use, trace

NEEDS_END = {"zero_gamma": "norm", "skipinit": "multiplier", "rezero": "multiplier"}
KEY = jax.random.key(11)


def start(net, scheme, **options):
    return initialize(net.apply, KEY, net.params, net.inputs, scheme=scheme, **options)


def held(net):
    """A network with values: what the `framework` scheme leaves."""
    return net._replace(params=jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), net.params))


def gradients(net, params):
    labels = jax.random.normal(jax.random.key(2), (32, 4))
    return jax.grad(lambda p: ((net.apply(p, net.inputs) - labels) ** 2).mean())(params)


@pytest.mark.parametrize("name", schemes())
def test_every_scheme_starts_a_whole_network(name, network):
    net = held(network(end=NEEDS_END.get(name, "norm")))
    params = start(net, name)
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, net.params)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(params))
    again = start(net, name)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), params, again))


@pytest.mark.parametrize(
    ("name", "std"),
    [
        ("he", (2 / 64) ** 0.5),
        ("lecun", 64**-0.5),
        ("xavier", 64**-0.5),
        ("orthogonal", (2 / 64) ** 0.5),
    ],
)
def test_variance_of_each_kernel(name, std, network):
    """4,096 entries a kernel: the sample std is within 4.4 standard errors, 5 %."""
    params = start(network(width=64), name)
    for i in range(2):
        assert params[f"block_{i}"]["kernel_0"].std() == pytest.approx(std, rel=0.05)


def test_he_is_normal(network):
    """Kolmogorov-Smirnov on 4,096 entries; fails by chance with probability 1e-3, fixed seed."""
    kernel = np.asarray(start(network(width=64), "he")["block_0"]["kernel_0"], np.float64)
    assert scipy.stats.kstest(kernel.reshape(-1) * 32**0.5, "norm").pvalue > 1e-3


@pytest.mark.parametrize("nonlinearity", ["relu", "tanh", "gelu", "silu"])
def test_he_takes_the_gain_of_what_follows(nonlinearity):
    def apply(params, x):
        return getattr(jax.nn, nonlinearity)(x @ params["a"]) @ params["b"]

    shapes = {name: jax.ShapeDtypeStruct((9, 9), jnp.float32) for name in "ab"}
    table = explain(apply, shapes, jnp.ones((1, 9)), scheme="he")
    assert table["a"].std == pytest.approx(init.gain(nonlinearity) / 3)
    assert table["b"].std == pytest.approx(1 / 3)


@pytest.mark.parametrize("end", ["norm", "multiplier", "none"])
def test_idinit_blocks_are_the_identity(end, network):
    """Each branch adds at most 1e-3 of unit scale where its end is scaled, 1e-6 where it is not."""
    net = network(branches=6, end=end)
    params = start(net, "idinit")
    stem = jax.nn.relu(net.inputs @ params["stem"])
    bound = {"norm": 6e-3 * 4, "multiplier": 6e-3, "none": 1e-4}[end]
    assert jnp.abs(net.trunk(params, net.inputs) - stem).max() < bound


def test_idinit_puts_the_smallness_into_the_end_of_the_branch(network):
    params = start(network(end="norm"), "idinit")["block_0"]
    np.testing.assert_allclose(params["scale"], 1e-3)
    np.testing.assert_allclose(jnp.abs(params["kernel_1"]).sum(0), 0.2, rtol=1e-6)
    literal = start(network(end="norm"), "idinit_literal")["block_0"]
    np.testing.assert_allclose(literal["scale"], 1.0)
    np.testing.assert_allclose(jnp.abs(literal["kernel_1"]).sum(0), 2e-6, rtol=1e-6)


def test_a_zero_kernel_behind_a_zero_scale_never_trains_and_idinit_does(network):
    """d/dscale is proportional to the kernel's output and d/dkernel to the scale: both are 0."""
    net = network(end="norm")
    dead = gradients(net, start(net, "zero"))["block_0"]
    assert not any(jnp.any(leaf) for name, leaf in dead.items())
    for scheme in ("idinit", "idinit_literal", "zero_perturbed"):
        alive = gradients(net, start(net, scheme))["block_0"]
        assert jnp.any(alive["kernel_1"])
        assert jnp.any(alive["scale"])


def test_zero_preserving_tails_leave_no_unit_without_gradient(network):
    """Behind a zero tail the kernel before it gets no gradient; behind IDIZ every unit gets one."""
    net = network(end="none", branches=1)
    identity = gradients(net, start(net, "idinit"))["block_0"]["kernel_0"]
    zeros = start(net, "idinit", overrides={"*/kernel_1": idinit_jax.zeros()})
    assert not jnp.any(gradients(net, zeros)["block_0"]["kernel_0"])
    assert jnp.all(jnp.abs(identity).sum(0) > 0)


@pytest.mark.parametrize(("branches", "kernels"), [(4, 2), (9, 3)])
def test_fixup_counts_branches_and_their_kernels(branches, kernels, network):
    net = network(branches=branches, kernels=kernels, end="multiplier")
    table = explain(net.apply, net.params, net.inputs, scheme="fixup")
    std = (2 / 16) ** 0.5 * branches ** (-1 / (2 * kernels - 2))
    assert table["block_0/kernel_0"].std == pytest.approx(std)
    assert table[f"block_0/kernel_{kernels - 1}"].std == 0
    assert table["head"].initializer == "zeros()"
    assert table["block_0/multiplier"].initializer == "constant(value=1.0)"


@pytest.mark.parametrize("name", ["skipinit", "rezero"])
def test_multipliers_start_at_zero(name, network):
    params = start(network(end="multiplier"), name)
    assert params["block_0"]["multiplier"] == 0
    net = network(end="multiplier")
    stem = jax.nn.relu(net.inputs @ params["stem"])
    np.testing.assert_array_equal(net.trunk(params, net.inputs), stem)


@pytest.mark.parametrize("name", NEEDS_END)
def test_methods_refuse_networks_without_their_parameter(name, network):
    with pytest.raises(ValueError, match=rf"{name} needs .* without: block_0/kernel_1"):
        start(network(end="none"), name)


def test_zero_gamma_starts_the_last_norm_at_zero(network):
    assert not jnp.any(start(network(end="norm"), "zero_gamma")["block_1"]["scale"])


def test_orthogonal_kernels_are_isometries_times_the_gain(network):
    kernel = start(network(), "orthogonal")["block_0"]["kernel_0"]
    np.testing.assert_allclose(kernel.T @ kernel, 2 * np.eye(16), atol=1e-5)
    kernel = start(network(), "lsuv")["block_0"]["kernel_0"]
    np.testing.assert_allclose(kernel.T @ kernel, np.eye(16), atol=1e-5)


def test_delta_orthogonal_convolutions_have_one_tap():
    def apply(params, x):
        dims = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            x, params["kernel"], (1, 1), "SAME", dimension_numbers=dims
        )

    shapes = {"kernel": jax.ShapeDtypeStruct((3, 4, 8, 8), jnp.float32)}
    x = jnp.ones((1, 8, 8, 8))
    kernel = initialize(apply, KEY, shapes, x, scheme="delta_orthogonal")["kernel"]
    tap = kernel[1, 1]
    gain_squared = float((tap**2).sum() / 8)
    np.testing.assert_allclose(tap.T @ tap, gain_squared * np.eye(8), atol=1e-5)
    assert float((kernel**2).sum()) == pytest.approx(float((tap**2).sum()))


def attention(params, x):
    h = x
    for i in range(2):
        p = params[f"layer_{i}"]
        q, k, v = (jnp.einsum("btd,dhe->bthe", h, p[name]) for name in ("q", "k", "v"))
        weights = jax.nn.softmax(jnp.einsum("bqhe,bkhe->bhqk", q, k))
        h = h + jnp.einsum("bhqk,bkhe,hed->bqd", weights, v, p["o"])
        h = h + jax.nn.gelu(h @ p["up"]) @ p["down"]
    return h @ params["head"]


@pytest.fixture(scope="module")
def transformer():
    f32, d, heads, width = jnp.float32, 32, 2, 16
    array = jax.ShapeDtypeStruct
    layer = {name: array((d, heads, width), f32) for name in "qkv"}
    layer |= {"o": array((heads, width, d), f32)}
    layer |= {"up": array((d, 4 * d), f32), "down": array((4 * d, d), f32)}
    params = {"layer_0": layer, "layer_1": dict(layer), "head": array((d, 5), f32)}
    return attention, params, jnp.ones((1, 3, d))


@pytest.mark.parametrize(
    ("name", "factor"), [("t_fixup", 0.67 * 2**-0.25), ("deepnorm", (8 * 2) ** -0.25)]
)
def test_transformer_schemes_count_layers(name, factor, transformer):
    """Two layers are four branches, N = 2; queries and keys are plain Xavier."""
    table = explain(*transformer, scheme=name)
    xavier = (2 / (32 + 32)) ** 0.5
    assert table["layer_0/q"].std == pytest.approx(xavier)
    assert table["layer_0/v"].std == pytest.approx(xavier * factor)
    assert table["layer_1/down"].std == pytest.approx((2 / (32 * 5)) ** 0.5 * factor)


def test_mimetic_products_are_near_the_identity(transformer):
    """`W_V W_O = 0.4 Z - 0.4 I`, all of rank d: the mean diagonal is -0.4 + 0.4 mean(Z_ii).

    mean(Z_ii) has std 1 / 32; 4.5 of them are 0.14. Scores keep the upper half of the spectrum,
    so that their trace is well above that of the half they lose.
    """
    model, params, x = transformer
    layer = initialize(model, KEY, params, x, scheme="mimetic")["layer_0"]
    product = jnp.einsum("dhe,hef->df", layer["v"], layer["o"])
    assert jnp.trace(product) / 32 == pytest.approx(-0.4, abs=0.06)
    off_diagonal = product - jnp.diag(jnp.diag(product))
    assert off_diagonal.std() == pytest.approx(0.4 / 32**0.5, rel=0.2)
    for head in range(2):
        scores = layer["q"][:, head] @ layer["k"][:, head].T
        assert jnp.trace(scores) > 0.3 * 32


def test_zero_hadamard_keeps_the_norm_of_what_widens():
    def apply(params, x):
        return jax.nn.relu(x @ params["a"]) @ params["b"]

    shapes = {"a": (8, 16), "b": (16, 4)}
    shapes = {name: jax.ShapeDtypeStruct(shape, jnp.float32) for name, shape in shapes.items()}
    params = initialize(apply, KEY, shapes, jnp.ones((1, 8)), scheme="zero_hadamard")
    np.testing.assert_allclose(params["a"] @ params["a"].T, np.eye(8), atol=1e-6)
    np.testing.assert_array_equal(params["b"], np.eye(16, 4))


def test_fused_projections_have_the_fan_of_one():
    """(8, 24) for query, key and value has the variance of three (8, 8) kernels."""
    use = Use((0,), "dot_general", "hidden", "", 0, branch=0, attention=("query", "key", "value"))
    fused = Kernel("qkv", (8, 24), "float32", (8, 24), (0,), (1,), (), (), 1, (use,), "hidden", "")
    factor = 0.5
    initializer, _ = scaled_xavier(factor, "half")(fused, ModelGraph((fused,), (), (), None))
    std = fill_of(initializer, (8, 24)).std
    assert std == pytest.approx((2 / 16) ** 0.5 * factor)


def test_own_schemes_take_a_few_lines(network):
    @rule
    def quarter(kernel, graph):
        return idinit_jax.normal(0.25 / graph.branches), f"{kernel.role} of {graph.branches}"

    he = get_scheme("he")
    mine = Scheme("quarter_tails", "", {**he.kernels, "tail": quarter}, he.parameters)
    net = network(end="none", branches=5)
    table = explain(net.apply, net.params, net.inputs, scheme=mine)
    assert table["block_4/kernel_1"].std == pytest.approx(0.05)
    assert table["block_4/kernel_1"].reason == "tail of 5"
    assert register(mine) is mine
    assert "quarter_tails" in schemes()
    with pytest.raises(ValueError, match="'quarter_tails' exists already"):
        register(Scheme("quarter_tails", "another", {}, {}))


def test_unknown_schemes_name_the_nearest():
    with pytest.raises(ValueError, match=r"unknown scheme 'idint'; did you mean 'idinit'"):
        get_scheme("idint")


def test_a_kernel_without_a_rule_is_an_error(network):
    he = get_scheme("he")
    without_tails = {role: given for role, given in he.kernels.items() if role != "tail"}
    broken = Scheme("broken", "", without_tails, he.parameters)
    net = network(end="none")
    graph = trace(net.apply, net.params, net.inputs)
    with pytest.raises(
        ValueError, match=r"'broken' has no rule for 'block_0/kernel_1' of role 'tail'"
    ):
        choose(graph, broken)


def test_fixup_leaves_kernels_outside_branches_to_he(network):
    net = network()
    graph = trace(net.apply, net.params, net.inputs)
    assert fixup_branch(graph["stem"], graph).initializer == init.he()


@pytest.mark.parametrize("end", ["multiplier", "none"])
def test_fixup_says_where_a_multiplier_is_missing(end, network):
    net = network(end=end)
    tail = explain(net.apply, net.params, net.inputs, scheme="fixup")["block_0/kernel_1"]
    assert ("insert_fixup" in tail.reason) == (end == "none")
