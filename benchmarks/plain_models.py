"""ResNet-50 and ViT-B/16 in plain Flax, each layer a module of its own, as most models are written.

The project's own models draw all blocks of a stage in one program, which shortens the start that
the framework makes of them; these do not.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

Conv = functools.partial(nn.Conv, use_bias=False, kernel_init=nn.initializers.he_normal())
Norm = functools.partial(nn.BatchNorm, use_running_average=True)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 convolutions and a shortcut."""

    width: int
    stride: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        strides = (self.stride, self.stride)
        y = nn.relu(Norm()(Conv(self.width, (1, 1))(x)))
        y = nn.relu(Norm()(Conv(self.width, (3, 3), strides)(y)))
        y = Norm()(Conv(4 * self.width, (1, 1))(y))
        if x.shape != y.shape:
            x = Norm()(Conv(4 * self.width, (1, 1), strides)(x))
        return nn.relu(x + y)


class ResNet50(nn.Module):
    """He et al. 2016, with He's normal kernels."""

    classes: int = 1000

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.relu(Norm()(Conv(64, (7, 7), (2, 2))(x)))
        x = nn.max_pool(x, (3, 3), (2, 2), "SAME")
        for stage, blocks in enumerate((3, 4, 6, 3)):
            for block in range(blocks):
                x = Bottleneck(64 * 2**stage, 2 if stage and not block else 1)(x)
        return nn.Dense(self.classes)(x.mean((1, 2)))


class Encoder(nn.Module):
    """A pre-norm Transformer block."""

    heads: int = 12

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        xavier = nn.initializers.xavier_uniform()
        width = x.shape[-1]
        y = nn.MultiHeadDotProductAttention(self.heads, kernel_init=xavier)(nn.LayerNorm()(x))
        x = x + y
        y = nn.Dense(4 * width, kernel_init=xavier)(nn.LayerNorm()(x))
        return x + nn.Dense(width, kernel_init=xavier)(nn.gelu(y))


class ViTB16(nn.Module):
    """Dosovitskiy et al. 2021, with Xavier's uniform kernels."""

    classes: int = 1000
    width: int = 768

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        xavier = nn.initializers.xavier_uniform()
        x = nn.Conv(self.width, (16, 16), (16, 16), kernel_init=xavier)(x)
        x = x.reshape(len(x), -1, self.width)
        token = self.param("token", nn.initializers.zeros, (1, 1, self.width))
        x = jnp.concatenate([jnp.broadcast_to(token, (len(x), 1, self.width)), x], axis=1)
        x += self.param("positions", nn.initializers.normal(0.02), (1, *x.shape[1:]))
        for _ in range(12):
            x = Encoder()(x)
        return nn.Dense(self.classes, kernel_init=xavier)(nn.LayerNorm()(x)[:, 0])
