"""Vision Transformers of every size and patch."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer
from jax.typing import DTypeLike

from idinit_jax.initializers.arguments import check_choice
from idinit_jax.models.dropout import drop
from idinit_jax.models.norm import normalize
from idinit_jax.models.stacking import run_blocks
from idinit_jax.models.transformer import TransformerBlock, TransformerSize, check_size

POOLINGS = ("token", "mean")
POSITIONS = ("zero", "sincos")
VIT_SIZES = {
    "Ti": TransformerSize(width=192, depth=12, heads=3),
    "S": TransformerSize(width=384, depth=12, heads=6),
    "B": TransformerSize(width=768, depth=12, heads=12),
    "L": TransformerSize(width=1024, depth=24, heads=16),
}


def vit_size(name: str) -> TransformerSize:
    """The size called "Ti", "S", "B" or "L".

    Raises:
        ValueError: for another name, naming the valid ones.

    >>> vit_size("S")
    TransformerSize(width=384, depth=12, heads=6)

    Reference: Dosovitskiy et al. 2021, arXiv 2010.11929, table 1; Touvron et al. 2021, table 1.
    """
    check_choice("ViT size", name, VIT_SIZES)
    return VIT_SIZES[name]


def sincos_positions(height: int, width: int, features: int) -> jax.Array:
    """Fixed sines and cosines of the row and of the column of each patch.

    A quarter of the features each is ``sin(y w_i), cos(y w_i), sin(x w_i), cos(x w_i)`` with
    ``w_i = 10000 ** (-i / (features / 4))``.

    Args:
        height: rows of patches.
        width: columns of patches.
        features: of the embedding, a multiple of 4.

    Returns:
        (height * width, features), rows first.

    Raises:
        ValueError: if ``features`` is not a multiple of 4.

    Reference: Vaswani et al. 2017, arXiv 1706.03762, section 3.5, along each axis.
    """
    if features % 4:
        raise ValueError(f"sincos positions need a multiple of 4 features, not {features}")
    quarter = features // 4
    frequency = 10000.0 ** (-jnp.arange(quarter, dtype=jnp.float32) / quarter)
    rows, columns = jnp.indices((height, width), dtype=jnp.float32).reshape(2, -1)
    angles = [jnp.outer(rows, frequency), jnp.outer(columns, frequency)]
    waves = [wave(angle) for angle in angles for wave in (jnp.sin, jnp.cos)]
    return jnp.concatenate(waves, axis=1)


class ViT(nn.Module):
    """A Vision Transformer on images (N, H, W, C), giving logits (N, num_classes).

    Patch embedding, position embedding, pre-norm blocks, norm, pooling, head. Biases, the class
    token and a learned position embedding start at zero.

    Args:
        size: width, depth and heads; `vit_size` knows the usual ones.
        patch: side of a patch in pixels, a divisor of the image's height and width.
        num_classes: width of the output.
        pooling: "token" (a class token in front) or "mean" (of all patches).
        position: "zero" (learned, starting at zero) or "sincos" (fixed, see `sincos_positions`).
        dropout: rate, see `TransformerBlock`; also after the position embedding.
        stochastic_depth: rate in the last block, see `TransformerBlock`.
        dtype: of the computation; parameters are float32 and so is the output.
        axis_name: the pmap axis that the batch is split over, if any.
        scan: whether the blocks are scanned, see `run_blocks`.
        remat: whether the blocks recompute their activations in the backward pass.
        stem_init: initializer of the patch embedding's kernel.
        hidden_init: initializer of query, key, value and of the first dense kernels.
        tail_init: initializer of the attention outputs and of the second dense kernels.
        head_init: initializer of the head's kernel.

    Raises:
        ValueError: for an unknown pooling or position, an impossible size, or a patch that does not
            divide the image.

    >>> import jax, jax.numpy as jnp
    >>> model = ViT(vit_size("Ti"), patch=4, num_classes=10, scan=True)
    >>> params = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 32, 32, 3)))

    Reference: Dosovitskiy et al. 2021, "An image is worth 16x16 words", arXiv 2010.11929.
    """

    size: TransformerSize
    patch: int
    num_classes: int
    pooling: str = "token"
    position: str = "zero"
    dropout: float = 0.0
    stochastic_depth: float = 0.0
    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None
    scan: bool = False
    remat: bool = False
    stem_init: Initializer = nn.initializers.lecun_normal()
    hidden_init: Initializer = nn.initializers.lecun_normal()
    tail_init: Initializer = nn.initializers.lecun_normal()
    head_init: Initializer = nn.initializers.lecun_normal()

    def __post_init__(self) -> None:
        check_size(self.size)
        check_choice("pooling", self.pooling, POOLINGS)
        check_choice("position", self.position, POSITIONS)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = self.embed(x.astype(self.dtype))
        if train and self.dropout:
            x = drop(self.make_rng("dropout"), x, self.dropout, x.shape[1:], self.axis_name)
        make_block = functools.partial(
            TransformerBlock,
            heads=self.size.heads,
            dropout=self.dropout,
            stochastic_depth=self.stochastic_depth,
            dtype=self.dtype,
            axis_name=self.axis_name,
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
        x = x[:, 0] if self.pooling == "token" else x.mean(axis=1)
        x = nn.Dense(self.num_classes, dtype=self.dtype, kernel_init=self.head_init, name="head")(x)
        return x.astype(jnp.float32)

    def embed(self, x: jax.Array) -> jax.Array:
        """Images (N, H, W, C) to tokens (N, T, width) with their positions."""
        n, height, width, _ = x.shape
        if height % self.patch or width % self.patch:
            raise ValueError(f"patch {self.patch} does not divide the image {height} x {width}")
        side = (self.patch, self.patch)
        x = nn.Conv(
            self.size.width,
            side,
            side,
            padding="VALID",
            dtype=self.dtype,
            kernel_init=self.stem_init,
            name="stem",
        )(x)
        grid = (x.shape[1], x.shape[2])
        x = x.reshape(n, -1, self.size.width)
        if self.pooling == "token":
            token = self.param("class_token", nn.initializers.zeros, (1, 1, self.size.width))
            token = jnp.broadcast_to(token.astype(x.dtype), (n, 1, self.size.width))
            x = jnp.concatenate([token, x], axis=1)
        return x + self.positions(x.shape[1], grid).astype(x.dtype)

    def positions(self, tokens: int, grid: tuple[int, int]) -> jax.Array:
        """The position embedding, (1, tokens, width); a fixed one is zero at the class token."""
        if self.position == "zero":
            shape = (1, tokens, self.size.width)
            return self.param("position_embedding", nn.initializers.zeros, shape)
        table = sincos_positions(*grid, self.size.width)
        return jnp.pad(table, ((tokens - len(table), 0), (0, 0)))[None]
