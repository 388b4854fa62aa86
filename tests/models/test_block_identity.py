"""Theorems 4 and 5: an identity-initialized block hands signal and gradient through unchanged.

With branch kernels IDI_tau and a tail IDIZ_eps, every entry of a branch is at most 2 eps times the
largest input: IDI has one entry tau in a row, IDIZ has two entries of size eps, relu does not grow.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import idinit_jax.initializers as inits
from idinit_jax.models import cifar_resnet, imagenet_resnet
from idinit_jax.models.residual import ResidualBlock
from idinit_jax.models.resnet import Stage

pytestmark = pytest.mark.usefixtures("quick_compilation")

LAYOUTS = ["patch", "tap", "channel"]
EPSILON = 1e-6
# An input reaches a branch's tail through at most 9 shifted copies in each of at most 4 replicas
# (a bottleneck's tail has 4 times its inputs), and each tail row has two entries of size epsilon.
GRADIENT_BOUND = 9 * 4 * 2 * EPSILON
ROUNDING = 4 * np.finfo(np.float32).eps


def identity_block(block, layout, norm="none", tail_scale_init=nn.initializers.ones, noise=0.0):
    return functools.partial(
        ResidualBlock,
        block=block,
        norm=norm,
        hidden_init=inits.idinit(noise=noise, layout=layout),
        tail_init=inits.zeros_identity(EPSILON, layout=layout),
        tail_scale_init=tail_scale_init,
    )


def positive(rng, shape):
    """Inputs on which the activation after the sum is an identity with its neighbourhood."""
    return jnp.asarray(rng.uniform(0.1, 1.0, shape), jnp.float32)


def block_case(rng, make_block, features):
    """A block that keeps its shape, its parameters and an input."""
    block = make_block(features=features)
    width = 4 * features if block.block == "bottleneck" else features
    x = positive(rng, (2, 4, 4, width))
    return block, jax.jit(block.init)(jax.random.key(1), x), x


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("features", "noise"), [(1, 0.0), (3, 1e-6)])
def test_signal_and_gradient_pass_unchanged(rng, block, layout, features, noise):
    make_block = identity_block(block, layout, noise=noise)
    module, variables, x = block_case(rng, make_block, features)

    @jax.jit
    def both_ways(x, outgoing):
        y, pull = jax.vjp(lambda x: module.apply(variables, x), x)
        return y, pull(outgoing)[0]

    for _ in range(5):
        x = positive(rng, x.shape)
        outgoing = jnp.asarray(rng.standard_normal(x.shape), jnp.float32)
        y, incoming = both_ways(x, outgoing)
        assert jnp.max(jnp.abs(y - x)) <= 2 * EPSILON * 1.001 + ROUNDING
        bound = GRADIENT_BOUND * float(jnp.max(jnp.abs(outgoing))) + ROUNDING
        assert jnp.max(jnp.abs(incoming - outgoing)) <= bound


@pytest.mark.parametrize("block", ["basic", "bottleneck"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_stack_is_a_dynamical_isometry(key, rng, block, layout):
    """All singular values of L blocks lie within O(L eps) of 1."""
    length, features = 12, 1 if block == "bottleneck" else 2
    stage = Stage(identity_block(block, layout), features, length, 1, scan=True, remat=False)
    x = positive(rng, (1, 3, 3, 4 * features if block == "bottleneck" else features))
    params = jax.jit(stage.init)(key, x)
    jacobian = jax.jit(jax.jacobian(lambda x: stage.apply(params, x)))(x)
    singular = np.linalg.svd(jacobian.reshape(x.size, x.size), compute_uv=False)
    assert np.max(np.abs(singular - 1)) <= length * (GRADIENT_BOUND + ROUNDING)


@pytest.mark.parametrize("norm", ["batch", "layer"])
@pytest.mark.parametrize("block", ["basic", "bottleneck"])
def test_a_small_norm_scale_bounds_the_branch(rng, block, norm):
    """A norm over n values puts out at most sqrt(n), so the branch is at most scale sqrt(n)."""
    scale = 1e-3
    make_block = identity_block(block, "patch", norm, nn.initializers.constant(scale))
    module, variables, x = block_case(rng, make_block, features=3)
    apply = functools.partial(module.apply, train=True, mutable=["batch_stats"])
    y, _ = jax.jit(apply)(variables, x)
    normalized = x.size / x.shape[-1] if norm == "batch" else x.shape[-1]
    assert jnp.max(jnp.abs(y - x)) <= scale * np.sqrt(normalized) + ROUNDING


@pytest.mark.parametrize("train", [True, False])
def test_the_literal_recipe_before_a_batch_norm(rng, train):
    """BN multiplies the tail by at most 1 / sqrt(1e-5), about 316, in training and inference."""
    module, variables, x = block_case(rng, identity_block("basic", "patch", "batch"), features=4)
    apply = functools.partial(module.apply, train=train, mutable=["batch_stats"])
    y, _ = jax.jit(apply)(variables, x)
    assert jnp.max(jnp.abs(y - x)) <= 2 * 2 * EPSILON * 317**2 + ROUNDING


@pytest.mark.parametrize(
    "make",
    [
        functools.partial(cifar_resnet, 20),
        functools.partial(imagenet_resnet, 50),
    ],
    ids=["cifar20", "imagenet50"],
)
def test_every_block_of_a_network_is_an_identity(key, rng, make):
    """After the first block of a stage, which changes the shape, nothing changes any more."""
    model = make(
        num_classes=10,
        norm="none",
        stem_init=inits.idinit(noise=0.0),
        hidden_init=inits.idinit(noise=0.0),
        shortcut_init=inits.idinit(noise=0.0),
        head_init=inits.idinit(noise=0.0),
        tail_init=inits.zeros_identity(EPSILON),
        scan=True,
    )

    @jax.jit
    def run(x):
        return model.apply(model.init(key, x), x, capture_intermediates=True)

    _, state = run(positive(rng, (1, 32, 32, 3)))
    for name, stage in state["intermediates"].items():
        if name.startswith("stage"):
            start = stage["first"]["__call__"][0]
            every = stage["blocks"]["__call__"][0]
            bound = (2 * EPSILON * 1.001 + ROUNDING) * float(jnp.max(start)) * len(every)
            assert float(jnp.max(start)) > 0.1
            assert jnp.max(jnp.abs(every - start[None])) <= bound
