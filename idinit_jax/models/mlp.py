"""A multilayer perceptron: a chain of kernels without shortcuts."""

import functools
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer
from jax.typing import DTypeLike

from idinit_jax.models.stacking import run_blocks


class HiddenLayer(nn.Module):
    """One dense layer and its activation, for a scan."""

    width: int
    activation: Callable[[jax.Array], jax.Array]
    dtype: DTypeLike
    kernel_init: Initializer

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        dense = nn.Dense(self.width, dtype=self.dtype, kernel_init=self.kernel_init, name="dense")
        return self.activation(dense(x))


class MLP(nn.Module):
    """Dense layers with an activation after each but the last.

    ``y = W_head f(... f(W_1 f(W_stem x)))``, each W followed by a bias that starts at zero.
    Everything but the batch axis of the input is flattened.

    Args:
        features: widths of the hidden layers, first to last; empty for a linear classifier.
        num_classes: width of the output.
        activation: f, applied to every hidden layer.
        dtype: of the computation; parameters are float32 and so is the output.
        stem_init: initializer of the first hidden kernel.
        hidden_init: initializer of the other hidden kernels.
        head_init: initializer of the output kernel.
        scan: whether the hidden layers after the first, all of one width then, are one compiled
            loop, with their parameters stacked under ``blocks``: 200 layers compile like two.

    Raises:
        ValueError: a scan over layers of different widths.

    >>> import jax, jax.numpy as jnp
    >>> model = MLP(features=(32, 32), num_classes=10)
    >>> params = model.init(jax.random.key(0), jnp.ones((1, 8, 8)))
    >>> model.apply(params, jnp.ones((4, 8, 8))).shape
    (4, 10)
    """

    features: Sequence[int]
    num_classes: int
    activation: Callable[[jax.Array], jax.Array] = nn.relu
    dtype: DTypeLike = jnp.float32
    stem_init: Initializer = nn.initializers.he_normal()
    hidden_init: Initializer = nn.initializers.he_normal()
    head_init: Initializer = nn.initializers.lecun_normal()
    scan: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        del train  # every model is called alike; nothing here differs between the two modes
        x = x.reshape(x.shape[0], -1).astype(self.dtype)
        for i, width in enumerate(self.features[:1] if self.scan else self.features):
            init = self.hidden_init if i else self.stem_init
            x = nn.Dense(width, dtype=self.dtype, kernel_init=init, name=f"dense_{i}")(x)
            x = self.activation(x)
        if self.scan:
            x = self.scanned(x)
        x = nn.Dense(self.num_classes, dtype=self.dtype, kernel_init=self.head_init, name="head")(x)
        return x.astype(jnp.float32)

    def scanned(self, x: jax.Array) -> jax.Array:
        """The hidden layers after the first."""
        if len(set(self.features)) > 1:
            raise ValueError(f"a scan needs hidden layers of one width, got {self.features}")
        layer = functools.partial(
            HiddenLayer, x.shape[-1], self.activation, self.dtype, self.hidden_init
        )
        return run_blocks(self, layer, len(self.features) - 1, x, scan=True, remat=False)
