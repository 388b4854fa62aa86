"""LSUV in one pass: against the classic algorithm, and kernel by kernel."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from idinit_jax.calibration import lsuv_calibrate

pytestmark = pytest.mark.usefixtures("quick_compilation")

Tree = dict


class Vgg(nn.Module):
    """Convolutions in a chain with poolings, two dense layers."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for i, features in enumerate((4, 4, 8, 8)):
            x = nn.relu(nn.Conv(features, (3, 3))(x))
            if i % 2:
                x = nn.max_pool(x, (2, 2), (2, 2))
        x = nn.relu(nn.Dense(16)(x.reshape(x.shape[0], -1)))
        return nn.Dense(10)(x)


class Resnet(nn.Module):
    """Two blocks, the second with a strided projection; batch norms in training mode after them."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.relu(nn.Conv(8, (3, 3), use_bias=False)(x))
        for features, strides in ((8, 1), (16, 2)):
            y = nn.relu(nn.Conv(features, (3, 3), strides, use_bias=False)(x))
            y = nn.Conv(features, (3, 3), use_bias=False)(y)
            y = nn.BatchNorm(use_running_average=False)(y)
            if strides != 1:
                x = nn.Conv(features, (1, 1), strides, use_bias=False)(x)
            x = nn.relu(x + y)
        return nn.Dense(10)(x.mean(axis=(1, 2)))


class Mlp(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for width in (32, 48, 48):
            x = jnp.tanh(nn.Dense(width)(x))
        return nn.Dense(10)(x)


def drawn(model: nn.Module, batch: jax.Array) -> Tree:
    """Normal kernels of std 0.3, biases and means 0, scales and variances 1; nothing compiled."""
    rng = np.random.default_rng(0)

    def leaf(path: tuple, shape: jax.ShapeDtypeStruct) -> np.ndarray:
        if path[-1].key == "kernel":
            return rng.normal(0, 0.3, shape.shape).astype(np.float32)
        return np.full(shape.shape, path[-1].key in ("scale", "var"), np.float32)

    shapes = jax.eval_shape(model.init, jax.random.key(0), batch)
    return jax.tree_util.tree_map_with_path(leaf, shapes)


def classic_lsuv(model: nn.Module, variables: Tree, batch: jax.Array) -> Tree:
    """Algorithm 1 of the paper: run the network, divide one layer by its std, run it again.

    The output of a layer is what its module returns; biases are zero.
    """
    is_layer = lambda module, _: isinstance(module, nn.Dense | nn.Conv)  # noqa: E731

    @jax.jit
    def layer_outputs(params: Tree) -> Tree:
        _, found = model.apply(
            {**variables, "params": params},
            batch,
            capture_intermediates=is_layer,
            mutable=["intermediates", "batch_stats"],
        )
        return found["intermediates"]

    params = jax.tree.map(np.asarray, variables["params"])
    names = [name for name, entry in params.items() if "kernel" in entry]
    order = {name: i for i, name in enumerate(layer_outputs(params))}
    for name in sorted(names, key=order.__getitem__):
        for _ in range(10):
            std = np.asarray(layer_outputs(params)[name]["__call__"][0], np.float64).std()
            if abs(std**2 - 1) < 1e-7:
                break
            params[name]["kernel"] = params[name]["kernel"] / std.astype(np.float32)
    return params


IMAGES = (16, 8, 8, 3)


@pytest.mark.parametrize(
    ("model", "shape"), [(Mlp(), (64, 12)), (Vgg(), IMAGES), (Resnet(), IMAGES)]
)
def test_agrees_with_the_layer_by_layer_algorithm(
    model: nn.Module, shape: tuple[int, ...], key: jax.Array
) -> None:
    batch = 2.0 + 3.0 * jax.random.normal(key, shape)
    variables = drawn(model, batch)
    calibrated, report = lsuv_calibrate(model, variables, batch)
    expected = classic_lsuv(model, variables, batch)
    for path, leaf in jax.tree_util.tree_leaves_with_path(expected):
        found = calibrated["params"]
        for entry in path:
            found = found[entry.key]
        np.testing.assert_allclose(found, leaf, rtol=1e-4)
    assert report.passes == 2
    assert not report.missed
