"""A multilayer perceptron: a chain of kernels without shortcuts."""

from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer
from jax.typing import DTypeLike


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

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        del train  # every model is called alike; nothing here differs between the two modes
        x = x.reshape(x.shape[0], -1).astype(self.dtype)
        for i, width in enumerate(self.features):
            init = self.hidden_init if i else self.stem_init
            x = nn.Dense(width, dtype=self.dtype, kernel_init=init, name=f"dense_{i}")(x)
            x = self.activation(x)
        x = nn.Dense(self.num_classes, dtype=self.dtype, kernel_init=self.head_init, name="head")(x)
        return x.astype(jnp.float32)
