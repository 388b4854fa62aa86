"""The language model sees the past only, and its head may be its embedding."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from idinit_jax.models import LanguageModel, TransformerSize

SIZE = TransformerSize(width=16, depth=2, heads=2)
TOKENS = np.random.default_rng(0).integers(0, 30, (2, 8)).astype(np.int32)


@pytest.mark.parametrize("tied", [False, True])
def test_logits_depend_on_the_past_alone(fill, tied):
    model = LanguageModel(SIZE, 30, 8, tied, scan=True)
    params = fill(model, TOKENS)
    apply = jax.jit(model.apply)
    changed = TOKENS.copy()
    changed[:, 5] = (changed[:, 5] + 1) % 30
    before, after = apply(params, TOKENS), apply(params, changed)
    assert before.shape == (2, 8, 30)
    np.testing.assert_array_equal(before[:, :5], after[:, :5])
    assert np.all(np.any(before[:, 5:] != after[:, 5:], axis=(0, 2)))


def parameter_count(tied):
    model = LanguageModel(SIZE, 30, 8, tied, scan=True)
    return sum(
        s.size for s in jax.tree.leaves(jax.eval_shape(model.init, jax.random.key(0), TOKENS))
    )


def test_parameter_count():
    width, depth = 16, 2
    attention = 4 * (width * width + width)
    dense = 2 * 4 * width * width + 5 * width
    blocks = depth * (attention + dense + 2 * 2 * width)
    assert parameter_count(tied=True) == 30 * width + 8 * width + blocks + 2 * width
    assert parameter_count(tied=False) - parameter_count(tied=True) == 30 * width


def test_a_tied_head_multiplies_by_the_embedding(key, ramp):
    """With tails at zero the stream is the embedding, and the logits are norm(E) E^T."""
    zeros = nn.initializers.zeros
    inits = {"embedding_init": ramp, "hidden_init": ramp, "tail_init": zeros}
    model = LanguageModel(SIZE, 30, 8, tied=True, scan=True, **inits)
    variables = jax.jit(model.init)(key, TOKENS)
    table = np.asarray(variables["params"]["embedding"]["embedding"])
    x = table[TOKENS]
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(jax.jit(model.apply)(variables, TOKENS), x @ table.T, atol=1e-5)


def test_each_initializer_reaches_its_role():
    values = {"embedding": 1.0, "hidden": 2.0, "tail": 3.0, "head": 4.0}
    inits = {f"{role}_init": nn.initializers.constant(v) for role, v in values.items()}
    params = jax.jit(LanguageModel(SIZE, 30, 8, scan=True, **inits).init)(jax.random.key(0), TOKENS)
    params = params["params"]
    np.testing.assert_array_equal(params["embedding"]["embedding"], 1.0)
    np.testing.assert_array_equal(params["head"]["kernel"], 4.0)
    for name in ("query", "key", "value", "dense_0"):
        np.testing.assert_array_equal(params["blocks"][name]["kernel"], 2.0)
    for name in ("out", "dense_1"):
        np.testing.assert_array_equal(params["blocks"][name]["kernel"], 3.0)
    np.testing.assert_array_equal(params["position_embedding"], 0.0)


def test_bfloat16_gives_float32_logits():
    for tied in (False, True):
        model = LanguageModel(SIZE, 30, 8, tied, dtype=jnp.bfloat16, scan=True)
        logits, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), TOKENS)
        assert logits.dtype == jnp.float32
        assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}


def test_more_tokens_than_the_context_are_refused(key):
    with pytest.raises(ValueError, match="8 tokens exceed the context of 4"):
        jax.eval_shape(LanguageModel(SIZE, 30, 4).init, key, TOKENS)
