"""Looped and scanned blocks are one network: the same values, outputs and gradients."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from idinit_jax.models import (
    LanguageModel,
    TransformerSize,
    ViT,
    cifar_resnet,
    stack_blocks,
    unstack_blocks,
)
from idinit_jax.models.residual import ResidualBlock
from idinit_jax.models.resnet import Stage
from idinit_jax.models.stacking import run_blocks

pytestmark = pytest.mark.usefixtures("quick_compilation")

IMAGES = np.random.default_rng(0).uniform(-1, 1, (2, 8, 8, 3)).astype(np.float32)
TOKENS = np.arange(12, dtype=np.int32).reshape(2, 6)
SIZE = TransformerSize(width=16, depth=2, heads=2)

MODELS = {
    "resnet": (cifar_resnet(20, 10), IMAGES),
    "vit": (ViT(SIZE, patch=4, num_classes=10), IMAGES),
    "lm": (LanguageModel(SIZE, vocabulary=20, context=8), TOKENS),
}


def assert_same_trees(left, right):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    jax.tree.map(np.testing.assert_array_equal, left, right)


class Block(nn.Module):
    """A block with random parameters and batch statistics."""

    @nn.compact
    def __call__(self, x, train):
        x = nn.Dense(x.shape[-1], name="dense")(x)
        return nn.BatchNorm(use_running_average=not train, name="norm")(x)


class Chain(nn.Module):
    """The smallest network with blocks in a row."""

    length: int
    scan: bool = False
    remat: bool = False

    @nn.compact
    def __call__(self, x, train=False):
        return run_blocks(self, Block, self.length, x, train, scan=self.scan, remat=self.remat)


X = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)


@pytest.mark.parametrize("jit", [False, True])
def test_scanned_values_are_the_looped_ones_to_the_bit(key, jit):
    compiled = jax.jit if jit else lambda function: function
    looped = compiled(Chain(3).init)(key, X)
    scanned = compiled(Chain(3, scan=True).init)(key, X)
    assert_same_trees(unstack_blocks(scanned), looped)
    assert_same_trees(stack_blocks(looped), scanned)


@pytest.mark.parametrize("name", MODELS)
def test_scanned_trees_unstack_to_the_looped_ones(name):
    model, x = MODELS[name]
    scanned = model.clone(scan=True)
    looped_tree = jax.eval_shape(model.init, jax.random.key(0), x)
    assert looped_tree == jax.eval_shape(
        lambda key: unstack_blocks(scanned.init(key, x)), jax.random.key(0)
    )


def gradient_step(model, variables, x):
    """The output, the new batch statistics and the gradient."""

    def loss(params):
        y, state = model.apply({**variables, "params": params}, x, train=True, mutable=True)
        return jnp.mean(jnp.tanh(y) ** 2), {**state, "params": {}, "y": y}

    (_, state), gradient = jax.value_and_grad(loss, has_aux=True)(variables["params"])
    return {**state, "gradient": gradient}


def test_scanned_output_and_gradient_are_the_looped_ones(fill):
    """With activations recomputed as well: that changes no value either."""
    looped = Stage(ResidualBlock, 3, 4, 2, scan=False, remat=False)
    scanned = looped.clone(scan=True, remat=True)
    variables = fill(looped, IMAGES)
    expected = jax.jit(functools.partial(gradient_step, looped))(variables, x=IMAGES)
    found = jax.jit(functools.partial(gradient_step, scanned))(stack_blocks(variables), x=IMAGES)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        unstack_blocks(found),
        expected,
    )


@pytest.mark.parametrize("name", ["vit", "lm"])
def test_a_scanned_transformer_puts_out_the_looped_logits(fill, name):
    model, x = MODELS[name]
    variables = fill(model, x)
    expected = jax.jit(model.apply)(variables, x)
    found = jax.jit(model.clone(scan=True).apply)(stack_blocks(variables), x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_adding_a_block_changes_no_other_values(key):
    short = Chain(2).init(key, X)["params"]
    long = Chain(3).init(key, X)["params"]
    assert_same_trees({name: long[name] for name in short}, short)


def test_blocks_differ_from_one_another(key):
    kernels = Chain(3, scan=True).init(key, X)["params"]["blocks"]["dense"]["kernel"]
    assert len(np.unique(np.asarray(kernels))) == kernels.size


def test_no_blocks_are_the_identity(key):
    y, variables = Chain(0).init_with_output(key, X)
    np.testing.assert_array_equal(y, X)
    assert not variables


@given(
    lengths=st.dictionaries(st.sampled_from("abc"), st.integers(1, 12), min_size=1),
    shape=st.tuples(st.integers(0, 3), st.integers(1, 3)),
)
def test_stacking_undoes_unstacking(lengths, shape):
    """More than ten blocks: their names do not sort by number."""

    def leaves(length):
        values = np.arange(length * np.prod(shape)).reshape(length, *shape)
        return {"dense": {"kernel": values}}

    tree = {name: {"blocks": leaves(n), "norm": np.ones(2)} for name, n in lengths.items()}
    assert_same_trees(stack_blocks(unstack_blocks(tree)), tree)


def test_a_missing_block_is_named():
    with pytest.raises(ValueError, match="block_1'] missing"):
        stack_blocks({"block_0": {"bias": jnp.ones(1)}, "block_2": {"bias": jnp.ones(1)}})


def test_1202_layers_are_one_short_program():
    """Scanned, the traced gradient step has as many equations at 1202 layers as at 20."""

    def equations(depth):
        model = cifar_resnet(depth, 10, norm="none", scan=True)
        variables = jax.eval_shape(model.init, jax.random.key(0), IMAGES)
        gradient = jax.grad(lambda v: model.apply(v, IMAGES).sum())
        return str(jax.make_jaxpr(gradient)(variables)).count(" = ")

    assert equations(1202) == equations(20)
