"""The ViT is that of the literature, and identity initialization passes its stream unchanged."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import idinit_jax.initializers as inits
from idinit_jax.models import TransformerSize, ViT, vit_size
from idinit_jax.models.transformer import TransformerBlock
from idinit_jax.models.vit import sincos_positions

pytestmark = pytest.mark.usefixtures("quick_compilation")

TINY = TransformerSize(width=16, depth=2, heads=2)
IMAGES = np.random.default_rng(0).uniform(-1, 1, (2, 8, 8, 3)).astype(np.float32)


# The counts that timm lists for these models at 224 x 224 and 1000 classes.
@pytest.mark.parametrize(
    ("size", "patch", "count"),
    [
        ("Ti", 16, 5_717_416),
        ("S", 16, 22_050_664),
        ("B", 16, 86_567_656),
        ("B", 32, 88_224_232),
        ("L", 16, 304_326_632),
    ],
)
def test_parameter_counts(size, patch, count):
    model = ViT(vit_size(size), patch, 1000, scan=True)
    image = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), image)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == count


@pytest.mark.parametrize("pooling", ["token", "mean"])
@pytest.mark.parametrize("position", ["zero", "sincos"])
def test_tokens_and_positions(pooling, position):
    model = ViT(TINY, 4, 10, pooling, position)
    params = jax.eval_shape(model.init, jax.random.key(0), IMAGES)["params"]
    shapes = {name: params[name].shape for name in params if hasattr(params[name], "shape")}
    token, table = {"class_token": (1, 1, 16)}, {"position_embedding": (1, 4 + 1, 16)}
    expected = token if pooling == "token" else {}
    if position == "zero":
        expected |= table if pooling == "token" else {"position_embedding": (1, 4, 16)}
    assert shapes == expected
    assert jax.eval_shape(model.init_with_output, jax.random.key(0), IMAGES)[0].shape == (2, 10)


def test_class_token_positions_and_biases_start_at_zero(key, ramp):
    inits = {f"{role}_init": ramp for role in ("stem", "hidden", "tail", "head")}
    params = jax.jit(ViT(TINY, 4, 10, scan=True, **inits).init)(key, IMAGES)["params"]
    zeros = {"bias", "class_token", "position_embedding"}
    for path, leaf in jax.tree.leaves_with_path(params):
        kind = path[-1].key
        assert kind in {*zeros, "kernel", "scale"}
        assert bool(jnp.all(leaf == 0)) == (kind in zeros)
        assert bool(jnp.all(leaf == 1)) == (kind == "scale")


def test_without_positions_the_order_of_patches_does_not_matter(fill):
    """Positions start at zero, so mean pooling ignores where a patch lies; sincos does not."""
    x = jnp.asarray(IMAGES)
    moved = jnp.concatenate([x[:, 4:], x[:, :4]], axis=1)
    for position, matters in (("zero", False), ("sincos", True)):
        model = ViT(TINY, 4, 10, "mean", position, scan=True)
        params = fill(model, x)["params"]
        if position == "zero":
            params["position_embedding"] *= 0.0
        run = jax.jit(functools.partial(model.apply, {"params": params}))
        same = np.allclose(run(x), run(moved), atol=1e-5)
        assert same != matters


def test_sincos_positions_are_the_formula():
    table = np.asarray(sincos_positions(3, 5, 8))
    assert table.shape == (15, 8)
    row, column = 2, 3
    frequency = np.array([1.0, 10000.0**-0.5])
    expected = [np.sin(row * frequency), np.cos(row * frequency)]
    expected += [np.sin(column * frequency), np.cos(column * frequency)]
    np.testing.assert_allclose(table[row * 5 + column], np.concatenate(expected), atol=1e-6)


EPSILON = 1e-6


@pytest.mark.parametrize("causal", [False, True])
def test_an_identity_initialized_block_is_an_identity(key, causal):
    """Theorem 4: attention mixes by averages and gelu does not grow, so a branch is at most
    2 eps times the largest normalized input, and that is at most sqrt(width)."""
    width = 16
    block = TransformerBlock(
        heads=2,
        causal=causal,
        hidden_init=inits.idinit(noise=0.0),
        tail_init=inits.zeros_identity(EPSILON),
    )
    x = jnp.asarray(np.random.default_rng(1).standard_normal((2, 5, width)), jnp.float32)
    params = jax.jit(block.init)(key, x, jnp.float32(0.0))

    @jax.jit
    def both_ways(x, outgoing):
        y, pull = jax.vjp(lambda x: block.apply(params, x, jnp.float32(0.0)), x)
        return y, pull(outgoing)[0]

    y, incoming = both_ways(x, x)
    bound = 2 * 2 * EPSILON * np.sqrt(width) + 1e-6
    assert jnp.max(jnp.abs(y - x)) <= bound
    # The attention's own Jacobian adds logits of size width / sqrt(width / heads) to the bound.
    assert jnp.linalg.norm(incoming - x) <= 1e3 * EPSILON * jnp.linalg.norm(x)


def test_attention_is_the_softmax_of_scaled_products(fill, rng):
    """Against a plain NumPy evaluation of the block's attention."""
    block = TransformerBlock(heads=2)
    x = rng.standard_normal((1, 3, 8)).astype(np.float32)
    p = jax.tree.map(lambda leaf: leaf - 0.1, fill(block, x, jnp.float32(0.0))["params"])
    p = jax.tree.map_with_path(
        lambda path, leaf: leaf if path[-1].key == "kernel" else np.zeros_like(leaf), p
    )
    for name in ("attention_norm", "dense_norm"):
        p[name]["scale"] += 1.0

    def norm(x):
        return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)

    q, k, v = (
        np.einsum("btd,dhf->bhtf", norm(x), p[n]["kernel"]) for n in ("query", "key", "value")
    )
    logits = q @ k.swapaxes(-1, -2) / np.sqrt(4)
    weights = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    y = x + np.einsum("bhtf,hfd->btd", weights @ v, p["out"]["kernel"])
    hidden = norm(y) @ p["dense_0"]["kernel"]
    y = y + np.asarray(nn.gelu(hidden)) @ p["dense_1"]["kernel"]
    np.testing.assert_allclose(block.apply({"params": p}, x, jnp.float32(0.0)), y, atol=1e-5)


@pytest.fixture
def drop_samples(fill):
    """Equal inputs and what a training block makes of them."""

    def dropped(rate, position, samples):
        block = TransformerBlock(heads=1, stochastic_depth=rate)
        x = jnp.tile(jnp.asarray([[[1.0, -2.0, 0.5, 3.0]]]), (samples, 1, 1))
        params = fill(block, x, jnp.float32(0.0))
        apply = jax.jit(functools.partial(block.apply, train=True))
        return x, apply(params, x, jnp.float32(position), rngs={"dropout": jax.random.key(1)})

    return dropped


def test_stochastic_depth_drops_whole_samples_at_the_rate_of_the_last_block(drop_samples):
    samples, rate = 2000, 0.3
    x, y = drop_samples(rate, 1.0, samples)
    untouched = float(jnp.mean(jnp.all(x == y, axis=(1, 2))))
    # Both branches are dropped with probability rate^2. Five standard errors: false alarm 1e-6.
    expected = rate**2
    assert abs(untouched - expected) < 5 * np.sqrt(expected * (1 - expected) / samples)


def test_stochastic_depth_spares_the_first_block(drop_samples):
    _, y = drop_samples(0.5, 0.0, 20)
    np.testing.assert_array_equal(y, jnp.broadcast_to(y[:1], y.shape))


def test_dropout_acts_in_training_only(fill):
    model = ViT(TINY, 4, 10, dropout=0.5, stochastic_depth=0.5, scan=True)
    params = fill(model, IMAGES)
    apply = jax.jit(model.apply, static_argnames="train")

    def run(seed, train):
        return apply(params, IMAGES, train=train, rngs={"dropout": jax.random.key(seed)})

    np.testing.assert_array_equal(run(0, False), run(1, False))
    np.testing.assert_array_equal(run(0, True), run(0, True))
    assert not np.allclose(run(0, True), run(1, True))


def test_bfloat16_computes_low_and_keeps_parameters_high():
    model = ViT(TINY, 4, 10, dtype=jnp.bfloat16, dropout=0.1, stochastic_depth=0.1, scan=True)
    variables = jax.eval_shape(model.init, jax.random.key(0), IMAGES)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
    apply = functools.partial(
        model.apply, train=True, capture_intermediates=True, rngs={"dropout": jax.random.key(0)}
    )
    logits, state = jax.eval_shape(apply, variables, IMAGES)
    assert logits.dtype == jnp.float32
    assert state["intermediates"]["blocks"]["__call__"][0].dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: vit_size("Tiny"), "'Tiny' is not one of 'Ti'"),
        (lambda: ViT(TINY, 4, 10, pooling="cls"), "pooling='cls'.*'token', 'mean'"),
        (lambda: ViT(TINY, 4, 10, position="sin"), "position='sin'.*mean 'sincos'"),
        (lambda: ViT(TransformerSize(16, 2, 3), 4, 10), "multiple of the number of heads"),
        (lambda: ViT(TINY, 3, 10).init(jax.random.key(0), IMAGES), "patch 3 does not divide"),
        (lambda: sincos_positions(2, 2, 6), "multiple of 4 features, not 6"),
    ],
)
def test_bad_choices_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
