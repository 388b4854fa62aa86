"""The MLP is the chain of kernels that its docstring says."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import idinit_jax.initializers as inits
from idinit_jax.models import MLP

pytestmark = pytest.mark.usefixtures("quick_compilation")

X = np.random.default_rng(0).standard_normal((3, 4, 2)).astype(np.float32)


def test_output_is_the_chain_of_kernels(fill):
    model = MLP((5, 6), 7, activation=jnp.tanh)
    variables = fill(model, X)
    layers = [variables["params"][name] for name in ("dense_0", "dense_1", "head")]
    assert [layer["kernel"].shape for layer in layers] == [(8, 5), (5, 6), (6, 7)]
    y = X.reshape(3, 8)
    for layer in layers:
        y = y @ layer["kernel"] + layer["bias"]
        y = y if layer is layers[-1] else np.tanh(y)
    np.testing.assert_allclose(model.apply(variables, X), y, atol=1e-5)


def test_an_identity_chain_hands_the_input_through(key):
    """Thirty ReLU layers of IDI change nothing, to the bit: tau = 1 and one entry in a row."""
    identity = inits.idinit(noise=0.0)
    model = MLP((8,) * 30, 8, stem_init=identity, hidden_init=identity, head_init=identity)
    x = jnp.abs(jnp.asarray(X))
    variables = model.init(key, x)
    np.testing.assert_array_equal(jax.jit(model.apply)(variables, x), x.reshape(3, 8))


def test_each_initializer_reaches_its_role():
    one, two, three = (nn.initializers.constant(float(value)) for value in (1, 2, 3))
    model = MLP((4, 4, 4), 2, stem_init=one, hidden_init=two, head_init=three)
    params = model.init(jax.random.key(0), X)["params"]
    values = {name: np.unique(layer["kernel"]).tolist() for name, layer in params.items()}
    assert values == {"dense_0": [1.0], "dense_1": [2.0], "dense_2": [2.0], "head": [3.0]}


def test_bfloat16_keeps_parameters_and_output_high():
    model = MLP((4,), 2, dtype=jnp.bfloat16)
    y, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), X)
    assert y.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}


def test_scanned_layers_are_the_looped_ones():
    looped, scanned = (MLP((6,) * 5, 3, jnp.tanh, scan=scan) for scan in (False, True))
    variables = scanned.init(jax.random.key(0), X)["params"]
    stack = variables["blocks"]["dense"]
    layers = {f"dense_{i + 1}": jax.tree.map(lambda leaf, i=i: leaf[i], stack) for i in range(4)}
    one_by_one = {"dense_0": variables["dense_0"], **layers, "head": variables["head"]}
    np.testing.assert_allclose(
        looped.apply({"params": one_by_one}, X),
        scanned.apply({"params": variables}, X),
        atol=1e-6,
    )


def test_scan_over_different_widths_is_refused():
    with pytest.raises(ValueError, match="one width"):
        jax.eval_shape(MLP((4, 5), 2, scan=True).init, jax.random.key(0), X)
