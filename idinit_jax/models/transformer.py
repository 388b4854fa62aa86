"""The pre-norm Transformer block that the ViT and the language model share."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer
from jax.typing import DTypeLike

from idinit_jax.models.dropout import drop
from idinit_jax.models.norm import normalize


class TransformerSize(NamedTuple):
    """Width of the residual stream, number of blocks, number of attention heads.

    The width is a multiple of the number of heads; a block's second half is 4 times as wide.
    """

    width: int
    depth: int
    heads: int


def check_size(size: TransformerSize) -> None:
    """Raise ValueError unless every head gets the same, whole number of features."""
    if min(size) < 1 or size.width % size.heads:
        raise ValueError(
            f"{size}: all must be at least 1 and the width a multiple of the number of heads"
        )


class TransformerBlock(nn.Module):
    """``x = x + attention(norm(x))``, then ``x = x + dense(gelu(dense(norm(x))))``.

    Args:
        heads: number of attention heads, a divisor of the width of x.
        causal: whether a token sees only itself and what came before it.
        dropout: rate of dropout after the attention output and after both dense layers, in [0, 1).
        stochastic_depth: rate at which a sample skips a branch in the last block of the network, in
            [0, 1); it grows linearly from 0 in the first block (Huang et al. 2016, section 3).
        dtype: of the computation; parameters are float32.
        axis_name: the pmap axis that the batch is split over, if any.
        hidden_init: initializer of query, key, value and of the first dense kernel.
        tail_init: initializer of the attention output and of the second dense kernel.
    """

    heads: int
    causal: bool = False
    dropout: float = 0.0
    stochastic_depth: float = 0.0
    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None
    hidden_init: Initializer = nn.initializers.lecun_normal()
    tail_init: Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, x: jax.Array, position: jax.Array, train: bool = False) -> jax.Array:
        """Apply the block.

        Args:
            x: (batch, tokens, width).
            position: of the block in the network, 0 at the first to 1 at the last, a scalar.
            train: whether dropout and stochastic depth are active; they draw from "dropout".
        """
        rate = self.stochastic_depth * position
        y = self.attention(self.normalize(x, "attention_norm"))
        x = x + self.drop_samples(self.drop(y, train), rate, train)
        y = self.feed_forward(self.normalize(x, "dense_norm"), train)
        return x + self.drop_samples(self.drop(y, train), rate, train)

    def normalize(self, x: jax.Array, name: str) -> jax.Array:
        """Layer norm of every token."""
        return normalize(x, "layer", name=name, train=False, dtype=self.dtype)

    def attention(self, x: jax.Array) -> jax.Array:
        """Multi-head self-attention."""
        width = x.shape[-1]
        heads = (self.heads, width // self.heads)

        def project(name: str) -> jax.Array:
            kernel = nn.DenseGeneral(
                heads, dtype=self.dtype, kernel_init=self.hidden_init, name=name
            )
            return kernel(x)

        query, key, value = project("query"), project("key"), project("value")
        # JAX computes the logits of low-precision queries in float32 by promotion, which a session
        # with strict promotion would refuse.
        with jax.numpy_dtype_promotion("standard"):
            mixed = jax.nn.dot_product_attention(query, key, value, is_causal=self.causal)
        return nn.DenseGeneral(
            width, axis=(-2, -1), dtype=self.dtype, kernel_init=self.tail_init, name="out"
        )(mixed)

    def feed_forward(self, x: jax.Array, train: bool) -> jax.Array:
        """Two dense layers, four times the width between them."""
        width = x.shape[-1]
        x = nn.Dense(4 * width, dtype=self.dtype, kernel_init=self.hidden_init, name="dense_0")(x)
        x = self.drop(nn.gelu(x), train)
        return nn.Dense(width, dtype=self.dtype, kernel_init=self.tail_init, name="dense_1")(x)

    def drop(self, x: jax.Array, train: bool) -> jax.Array:
        """Dropout of single features."""
        if not train or self.dropout == 0.0:
            return x
        return drop(self.make_rng("dropout"), x, self.dropout, x.shape[1:], self.axis_name)

    def drop_samples(self, x: jax.Array, rate: jax.Array, train: bool) -> jax.Array:
        """Drop the branch of whole samples, keeping its mean."""
        if not train or self.stochastic_depth == 0.0:
            return x
        return drop(self.make_rng("dropout"), x, rate, (1,) * (x.ndim - 1), self.axis_name)
