"""A small decoder-only language model."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer
from jax.typing import DTypeLike

from idinit_jax.models.norm import normalize
from idinit_jax.models.stacking import run_blocks
from idinit_jax.models.transformer import TransformerBlock, TransformerSize, check_size


class LanguageModel(nn.Module):
    """A causal pre-norm Transformer on tokens (N, T), giving logits (N, T, vocabulary).

    Token and position embedding, the blocks of the ViT under a causal mask, norm, head. Logits at t
    depend on the tokens up to t only. Biases and the position embedding start at zero.

    Args:
        size: width, depth and heads.
        vocabulary: number of different tokens.
        context: largest T.
        tied: whether the head's kernel is the token embedding.
        dropout: rate, see `TransformerBlock`; also after the embedding.
        dtype: of the computation; parameters are float32 and so is the output.
        scan: whether the blocks are scanned, see `run_blocks`.
        remat: whether the blocks recompute their activations in the backward pass.
        embedding_init: initializer of the token embedding.
        hidden_init: initializer of query, key, value and of the first dense kernels.
        tail_init: initializer of the attention outputs and of the second dense kernels.
        head_init: initializer of the head's kernel where it is not tied.

    Raises:
        ValueError: for an impossible size, or more tokens than ``context``.

    >>> import jax, jax.numpy as jnp
    >>> model = LanguageModel(TransformerSize(64, 2, 2), vocabulary=256, context=128)
    >>> params = model.init(jax.random.key(0), jnp.zeros((1, 8), int))
    >>> model.apply(params, jnp.zeros((2, 16), int)).shape
    (2, 16, 256)
    """

    size: TransformerSize
    vocabulary: int
    context: int
    tied: bool = False
    dropout: float = 0.0
    dtype: DTypeLike = jnp.float32
    scan: bool = False
    remat: bool = False
    embedding_init: Initializer = nn.initializers.normal(0.02)
    hidden_init: Initializer = nn.initializers.lecun_normal()
    tail_init: Initializer = nn.initializers.lecun_normal()
    head_init: Initializer = nn.initializers.lecun_normal()

    def __post_init__(self) -> None:
        check_size(self.size)
        super().__post_init__()

    @nn.compact
    def __call__(self, tokens: jax.Array, train: bool = False) -> jax.Array:
        embedding = nn.Embed(
            self.vocabulary,
            self.size.width,
            dtype=self.dtype,
            embedding_init=self.embedding_init,
            name="embedding",
        )
        x = embedding(tokens) + self.positions(tokens.shape[1])
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        make_block = functools.partial(
            TransformerBlock,
            heads=self.size.heads,
            causal=True,
            dropout=self.dropout,
            dtype=self.dtype,
            hidden_init=self.hidden_init,
            tail_init=self.tail_init,
        )
        depth = self.size.depth
        positions = jnp.linspace(0.0, 1.0, depth)
        x = run_blocks(
            self,
            make_block,
            depth,
            x,
            train,
            per_block=positions,
            scan=self.scan,
            remat=self.remat,
        )
        x = normalize(x, "layer", name="norm", train=train, dtype=self.dtype)
        return self.head(x, embedding).astype(jnp.float32)

    def positions(self, length: int) -> jax.Array:
        """The learned position embedding of the first ``length`` tokens, (1, length, width)."""
        if length > self.context:
            raise ValueError(f"{length} tokens exceed the context of {self.context}")
        shape = (1, self.context, self.size.width)
        table = self.param("position_embedding", nn.initializers.zeros, shape)
        return table[:, :length].astype(self.dtype)

    def head(self, x: jax.Array, embedding: nn.Embed) -> jax.Array:
        """Logits by the transposed embedding or by a kernel of their own."""
        if self.tied:
            return embedding.attend(x)
        return nn.Dense(
            self.vocabulary,
            use_bias=False,
            dtype=self.dtype,
            kernel_init=self.head_init,
            name="head",
        )(x)
