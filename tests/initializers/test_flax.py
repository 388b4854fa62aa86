"""As `kernel_init` in Flax's own layers: the layer computes what the initializer promises."""

import jax
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx
from jax import numpy as jnp

import idinit_jax
from idinit_jax import idinit, zeros_identity

IDENTITY = idinit(noise=0.0)
SPATIAL = idinit(noise=0.0, layout="channel")


def applied(layer: nn.Module, inputs: jax.Array) -> jax.Array:
    outputs, _ = layer.init_with_output(jax.random.key(0), inputs)
    return outputs


@pytest.fixture
def tokens():
    return jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 8)), jnp.float32)


@pytest.fixture
def images():
    return jnp.asarray(np.random.default_rng(0).normal(size=(2, 6, 6, 8)), jnp.float32)


def test_linen_dense_and_dense_general(tokens):
    np.testing.assert_array_equal(applied(nn.Dense(8, kernel_init=IDENTITY), tokens), tokens)
    split = nn.DenseGeneral((2, 4), kernel_init=IDENTITY)
    np.testing.assert_array_equal(applied(split, tokens), tokens.reshape(2, 5, 2, 4))
    joined = nn.DenseGeneral(8, axis=(-2, -1), kernel_init=IDENTITY)
    np.testing.assert_array_equal(applied(joined, tokens.reshape(2, 5, 2, 4)), tokens)


@pytest.mark.parametrize("size", [(3, 3), (2, 4)], ids=str)
@pytest.mark.parametrize("groups", [1, 2, 8])
def test_linen_conv(size, groups, images):
    init = idinit(noise=0.0, layout="channel", groups=groups)
    layer = nn.Conv(8, size, feature_group_count=groups, kernel_init=init)
    np.testing.assert_array_equal(applied(layer, images), images)


def test_linen_conv_transpose(images):
    plain = nn.ConvTranspose(8, (3, 3), kernel_init=SPATIAL)
    np.testing.assert_array_equal(applied(plain, images), images)
    swapped = idinit(noise=0.0, layout="channel", in_axis=-1, out_axis=-2)
    layer = nn.ConvTranspose(12, (3, 3), transpose_kernel=True, kernel_init=swapped)
    expected = jnp.concatenate([images, images[..., :4]], axis=-1)
    np.testing.assert_array_equal(applied(layer, images), expected)


def test_linen_attention_at_a_zero_output_is_nearly_silent(tokens):
    layer = nn.MultiHeadDotProductAttention(
        num_heads=2, kernel_init=idinit(), out_kernel_init=zeros_identity()
    )
    variables = layer.init(jax.random.key(0), tokens)
    kernels = variables["params"]
    query = kernels["query"]["kernel"].reshape(8, 8)
    np.testing.assert_allclose(query, np.eye(8), atol=1e-5)
    out = kernels["out"]["kernel"].reshape(8, 8)
    np.testing.assert_array_equal(out.sum(axis=0), 0.0)
    assert 0 < abs(layer.apply(variables, tokens)).max() < 1e-4


def test_nnx_layers(tokens, images):
    linear = nnx.Linear(8, 8, kernel_init=IDENTITY, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(linear(tokens), tokens)
    general = nnx.LinearGeneral(8, (2, 4), kernel_init=IDENTITY, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(general(tokens), tokens.reshape(2, 5, 2, 4))
    conv = nnx.Conv(8, 8, (3, 3), kernel_init=SPATIAL, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(conv(images), images)


def test_nnx_attention(tokens):
    attention = nnx.MultiHeadAttention(
        num_heads=2,
        in_features=8,
        decode=False,
        kernel_init=IDENTITY,
        out_kernel_init=zeros_identity(epsilon=0.5),
        rngs=nnx.Rngs(0),
    )
    np.testing.assert_array_equal(attention.query.kernel[...].reshape(8, 8), np.eye(8))
    np.testing.assert_array_equal(attention.out.kernel[...].reshape(8, 8).sum(axis=0), 0.0)
    assert attention(tokens).shape == tokens.shape


@pytest.mark.parametrize("name", ["he", "xavier", "lecun", "orthogonal", "lsuv", "sparse"])
def test_random_rules_fill_a_flax_layer(name, tokens):
    layer = nn.Dense(16, kernel_init=getattr(idinit_jax, name)(), param_dtype=jnp.bfloat16)
    variables = jax.eval_shape(layer.init, jax.random.key(0), tokens.astype(jnp.bfloat16))
    kernel = variables["params"]["kernel"]
    assert (kernel.shape, kernel.dtype) == ((8, 16), jnp.bfloat16)


def test_partitioned_and_scanned_layers(tokens):
    """Flax's wrappers take the rules for the functions they are."""
    boxed = nn.with_partitioning(IDENTITY, ("in", "out"))
    variables = nn.Dense(8, kernel_init=boxed).init(jax.random.key(0), tokens)
    assert variables["params"]["kernel"].names == ("in", "out")
    layer = Tower()
    variables = layer.init(jax.random.key(0), tokens)
    np.testing.assert_array_equal(layer.apply(variables, tokens), tokens)


class Tower(nn.Module):
    """Three identity layers, as one scan."""

    @nn.compact
    def __call__(self, tokens):
        stack = nn.scan(Step, variable_axes={"params": 0}, split_rngs={"params": True}, length=3)
        return stack()(tokens, None)[0]


class Step(nn.Module):
    """One layer of the scan."""

    @nn.compact
    def __call__(self, tokens, _):
        return nn.Dense(8, kernel_init=IDENTITY)(tokens), None
