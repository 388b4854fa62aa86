"""The ResNets are those of the literature: size, shapes, residual styles, dtypes, refusals."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from idinit_jax.models import cifar_resnet, imagenet_resnet
from idinit_jax.models.residual import RESIDUALS, ResidualBlock
from idinit_jax.models.resnet import ResNet, layout

pytestmark = pytest.mark.usefixtures("quick_compilation")

CIFAR = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
IMAGENET = jax.ShapeDtypeStruct((2, 224, 224, 3), jnp.float32)


def variables_of(model, inputs=CIFAR):
    return jax.eval_shape(model.init, jax.random.key(0), inputs)


@pytest.fixture
def ramps(ramp):
    return {f"{role}_init": ramp for role in ("hidden", "tail", "shortcut")}


def picture(*shape):
    return jnp.asarray(np.random.default_rng(1).uniform(0.0, 1.0, shape), jnp.float32)


def parameter_count(model, inputs):
    return sum(leaf.size for leaf in jax.tree.leaves(variables_of(model, inputs)["params"]))


# Torchvision's models of the same depth have these counts.
@pytest.mark.parametrize(
    ("depth", "count"),
    [(18, 11_689_512), (34, 21_797_672), (50, 25_557_032), (101, 44_549_160), (152, 60_192_808)],
)
def test_imagenet_parameter_counts(depth, count):
    assert parameter_count(imagenet_resnet(depth, 1000), IMAGENET) == count


# He et al. 2016, table 6: 0.27M, 0.46M, 0.66M, 0.85M, 1.7M, 19.4M.
@pytest.mark.parametrize(
    ("depth", "millions"), [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)]
)
def test_cifar_parameter_counts(depth, millions):
    digits = len(str(millions).split(".")[1])
    assert round(parameter_count(cifar_resnet(depth, 10), CIFAR) / 1e6, digits) == millions


def test_1202_layers_have_19_4_million_parameters():
    assert round(parameter_count(cifar_resnet(1202, 10, scan=True), CIFAR) / 1e6, 1) == 19.4


def test_a_width_of_its_own_doubles_at_every_stage():
    params = variables_of(cifar_resnet(8, 10, width=5))["params"]
    assert params["stem"]["kernel"].shape == (3, 3, 3, 5)
    tails = [params[f"stage_{i}"]["first"]["tail"]["kernel"].shape[-1] for i in range(3)]
    assert tails == [5, 10, 20]
    assert params["head"]["kernel"].shape == (20, 10)


@pytest.mark.parametrize(
    ("model", "inputs", "shapes"),
    [
        (cifar_resnet(14, 10), CIFAR, [(32, 32, 16), (16, 16, 32), (8, 8, 64)]),
        (
            imagenet_resnet(18, 1000),
            IMAGENET,
            [(56, 56, 64), (28, 28, 128), (14, 14, 256), (7, 7, 512)],
        ),
        (
            imagenet_resnet(50, 1000),
            IMAGENET,
            [(56, 56, 256), (28, 28, 512), (14, 14, 1024), (7, 7, 2048)],
        ),
    ],
)
def test_stages_halve_the_picture(model, inputs, shapes):
    apply = functools.partial(model.apply, capture_intermediates=True)
    logits, state = jax.eval_shape(apply, variables_of(model, inputs), inputs)
    stages = [state["intermediates"][f"stage_{i}"]["__call__"][0] for i in range(len(shapes))]
    assert [stage.shape[1:] for stage in stages] == shapes
    assert logits.shape == (2, model.num_classes)


def test_a_projection_is_the_only_parameter_that_padding_saves():
    padded = variables_of(cifar_resnet(20, 10))["params"]
    projected = variables_of(cifar_resnet(20, 10, shortcut="projection"))["params"]
    extra = parameter_count(cifar_resnet(20, 10, shortcut="projection"), CIFAR)
    extra -= parameter_count(cifar_resnet(20, 10), CIFAR)
    assert extra == 16 * 32 + 32 * 64 + 2 * (32 + 64)  # kernels, norm scales and biases
    assert set(projected["stage_1"]["first"]) - set(padded["stage_1"]["first"]) == {
        "shortcut",
        "shortcut_norm",
    }


def test_padded_shortcut_subsamples_and_appends_zeros(ramps):
    block = ResidualBlock(5, strides=2, norm="none", shortcut="padded", residual="rezero", **ramps)
    x = picture(2, 6, 7, 3)
    y, _ = jax.jit(block.init_with_output)(jax.random.key(0), x)
    assert y.shape == (2, 3, 4, 5)
    np.testing.assert_array_equal(y[..., :3], np.asarray(x)[:, ::2, ::2])
    np.testing.assert_array_equal(y[..., 3:], 0.0)


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
@pytest.mark.parametrize("residual", ["skipinit", "rezero"])
def test_a_zero_multiplier_makes_any_branch_an_identity(block, norm, residual, ramps):
    # The activation after the sum leaves non-negative inputs alone.
    module = ResidualBlock(2, block=block, norm=norm, residual=residual, **ramps)
    x = picture(2, 4, 4, 8 if block == "bottleneck" else 2)
    y, variables = jax.jit(module.init_with_output)(jax.random.key(0), x)
    np.testing.assert_array_equal(y, x)
    assert variables["params"]["multiplier"].shape == ()
    one = variables | {"params": variables["params"] | {"multiplier": jnp.float32(1.0)}}
    assert jnp.max(jnp.abs(module.apply(one, x, train=True, mutable=True)[0] - x)) > 0.1


@pytest.mark.parametrize("residual", RESIDUALS)
def test_styles_differ_by_their_scalars(residual):
    params = variables_of(cifar_resnet(8, 10, norm="none", residual=residual))["params"]
    leaves = params["stage_0"]["first"].values()
    scalars = sum(getattr(leaf, "shape", None) == () for leaf in leaves)
    # Fixup, Zhang et al. 2019, figure 1: four biases and one multiplier in a basic block.
    assert scalars == {"plain": 0, "skipinit": 1, "rezero": 1, "fixup": 5}[residual]


def test_fixup_starts_as_identity_with_zero_logits(key, ramp):
    model = cifar_resnet(
        14, 10, norm="none", residual="fixup", scan=True, stem_init=ramp, hidden_init=ramp
    )

    @jax.jit
    def run(x):
        return model.apply(model.init(key, x), x, capture_intermediates=True)

    logits, state = run(picture(2, 8, 8, 3))
    stage = state["intermediates"]["stage_0"]
    np.testing.assert_array_equal(logits, 0.0)
    first, last = stage["first"]["__call__"][0], stage["__call__"][0]
    np.testing.assert_array_equal(first, last)
    assert float(jnp.std(last)) > 0.1


def test_fixup_scales_he_by_the_depth(key):
    """std = sqrt(2 / fan_in) L^(-1 / (2m - 2)); L = 16 branches of m = 3 kernels in ResNet-50."""
    model = imagenet_resnet(50, 10, norm="none", residual="fixup")
    hidden = model.make_block("bottleneck").keywords["hidden_init"]
    kernel = np.asarray(hidden(key, (3, 3, 64, 512)))
    expected = np.sqrt(2 / (9 * 64)) * 16 ** (-1 / 4)
    # The standard error of the std of n normal values is at most 1 / sqrt(2n) of it: the false
    # alarm rate of five of them is below 1e-6, and truncation makes it smaller still.
    assert abs(kernel.std() / expected - 1) < 5 / np.sqrt(2 * kernel.size)


def test_the_tail_norm_takes_its_own_scale(key, ramps):
    quarter = nn.initializers.constant(0.25)
    block = ResidualBlock(3, strides=2, tail_scale_init=quarter, **ramps)
    params = jax.jit(block.init)(key, jnp.ones((1, 4, 4, 2)))["params"]
    scales = {name: float(p["scale"][0]) for name, p in params.items() if "norm" in name}
    assert scales == {"norm_0": 1.0, "tail_norm": 0.25, "shortcut_norm": 1.0}


def test_each_initializer_reaches_its_role_and_no_other():
    values = {"stem": 1.0, "hidden": 2.0, "tail": 3.0, "shortcut": 4.0, "head": 5.0}
    inits = {f"{role}_init": nn.initializers.constant(v) for role, v in values.items()}
    model = imagenet_resnet(50, 10, scan=True, **inits)
    params = jax.jit(model.init)(jax.random.key(0), jnp.ones((1, 32, 32, 3)))["params"]
    found = {}
    for path, leaf in jax.tree.leaves_with_path(params):
        if path[-1].key == "kernel":
            found.setdefault(path[-2].key, set()).update(np.unique(leaf).tolist())
    assert found == {
        "stem": {1.0},
        "conv_0": {2.0},
        "conv_1": {2.0},
        "tail": {3.0},
        "shortcut": {4.0},
        "head": {5.0},
    }


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
@pytest.mark.parametrize("residual", ["plain", "fixup"])
def test_bfloat16_computes_low_and_keeps_parameters_high(norm, residual):
    model = cifar_resnet(8, 10, norm=norm, residual=residual, dtype=jnp.bfloat16)
    variables = variables_of(model)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
    apply = functools.partial(model.apply, train=True, mutable=True, capture_intermediates=True)
    logits, state = jax.eval_shape(apply, variables, CIFAR)
    assert logits.dtype == jnp.float32
    assert state["intermediates"]["stage_2"]["__call__"][0].dtype == jnp.bfloat16


def test_batch_statistics_are_averaged_over_the_device_axis(key, ramps):
    """Two halves that share statistics are normalized like the whole batch."""
    whole = ResidualBlock(3, **ramps)
    halves = whole.clone(axis_name="devices")
    x = picture(4, 4, 4, 3)
    variables = jax.jit(whole.init)(key, x)

    def apply(model, x):
        return model.apply(variables, x, train=True, mutable=["batch_stats"])

    expected, stats = jax.jit(lambda x: apply(whole, x))(x)
    split = jax.jit(jax.vmap(lambda part: apply(halves, part), axis_name="devices"))
    y, split_stats = split(x.reshape(2, 2, 4, 4, 3))
    np.testing.assert_allclose(y.reshape(x.shape), expected, rtol=1e-4, atol=1e-5)
    one = jax.tree.map(lambda leaf: leaf[0], split_stats)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), one, stats)


def test_training_compiles_once(key, ramps, ramp):
    model = cifar_resnet(8, 10, stem_init=ramp, head_init=ramp, **ramps)
    x = picture(2, 8, 8, 3)
    variables = jax.jit(model.init)(key, x)
    traces = []

    @jax.jit
    def step(variables):
        traces.append(None)

        def loss(params):
            logits, state = model.apply(
                {**variables, "params": params}, x, train=True, mutable=["batch_stats"]
            )
            return jnp.mean(logits**2), state

        gradient, state = jax.grad(loss, has_aux=True)(variables["params"])
        params = jax.tree.map(lambda p, g: p - 0.1 * g, variables["params"], gradient)
        return {"params": params, **state}

    for _ in range(3):
        variables = step(variables)
    assert len(traces) == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: cifar_resnet(21, 10), "not 21; try 20"),
        (lambda: cifar_resnet(0, 10), "not 0; try 8"),
        (lambda: imagenet_resnet(51, 10), "18, 34, 50, 101, 152 layers, not 51; try 50"),
        (lambda: cifar_resnet(20, 10, width=0), "at least 1 channel wide, not 0"),
        (lambda: cifar_resnet(20, 10, norm="bacth"), "norm='bacth'.*mean 'batch'"),
        (lambda: cifar_resnet(20, 10, shortcut="pad"), "shortcut='pad'.*mean 'padded'"),
        (lambda: cifar_resnet(20, 10, residual="fixupp"), "residual='fixupp'.*mean 'fixup'"),
        (lambda: ResNet("cifar10", 20, 10), "family='cifar10'.*mean 'cifar'"),
    ],
)
def test_unknown_choices_are_refused_with_the_nearest(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_any_6n_plus_2_is_a_cifar_depth():
    depths = [depth for depth in range(3, 200) if not _refused(depth)]
    assert depths == list(range(8, 200, 6))


def _refused(depth):
    try:
        layout("cifar", depth)
    except ValueError:
        return True
    return False
