"""The residual block of the ResNets, basic or bottleneck, in every residual style."""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer
from jax.typing import DTypeLike

from idinit_jax.models.norm import normalize

BLOCKS = ("basic", "bottleneck")
SHORTCUTS = ("projection", "padded")
RESIDUALS = ("plain", "skipinit", "rezero", "fixup")


class ConvSpec(NamedTuple):
    """One convolution of a branch: its output channels, taps along each axis, and stride."""

    features: int
    taps: int
    strides: int


def branch_convs(block: str, features: int, strides: int) -> tuple[ConvSpec, ...]:
    """The convolutions of a branch, first to tail.

    A basic branch is two 3 x 3 kernels. A bottleneck is 1 x 1, 3 x 3, 1 x 1 with four times the
    features at its output; the 3 x 3 kernel carries the stride (He et al. 2016, section 4.1).
    """
    if block == "basic":
        return ConvSpec(features, 3, strides), ConvSpec(features, 3, 1)
    return ConvSpec(features, 1, 1), ConvSpec(features, 3, strides), ConvSpec(4 * features, 1, 1)


def padded_shortcut(x: jax.Array, features: int, strides: int) -> jax.Array:
    """Subsample (N, H, W, C) by ``strides`` and append zero channels up to ``features``.

    Option A of He et al. 2016, section 4.1: a shortcut without parameters.
    """
    x = x[:, ::strides, ::strides, :]
    return jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, features - x.shape[-1])))


class ResidualBlock(nn.Module):
    """``relu(shortcut(x) + branch(x))`` on (N, H, W, C), the activation after the sum.

    Residual styles, all of which keep the sum above:

    - "plain": the branch ends in its last kernel, or in that kernel's norm.
    - "skipinit" (De & Smith 2020, section 3) and "rezero" (Bachlechner et al. 2021, section 3): a
      learned scalar, 0 at init, multiplies the branch. Both papers give one computation two names.
    - "fixup" (Zhang et al. 2019, section 3.2): a scalar bias before and after every kernel of the
      branch and before a projection, and a learned scalar, 1 at init, after the tail kernel.

    A kernel has a bias vector where neither a norm nor Fixup's scalar follows it.

    Args:
        features: channels of the branch; a bottleneck puts out four times as many.
        strides: of the branch and the shortcut.
        block: "basic" or "bottleneck".
        norm: "batch", "layer" or "none".
        shortcut: "projection" or "padded", where the shapes differ; elsewhere it is x itself.
        residual: the style, see above.
        dtype: of the computation; parameters are float32.
        axis_name: the pmap axis over which batch statistics are averaged, if any.
        hidden_init: initializer of every branch kernel but the last.
        tail_init: initializer of the last branch kernel.
        shortcut_init: initializer of the projection's kernel.
        tail_scale_init: initializer of the scale of the norm after the tail kernel.
        convolve: what computes the convolutions, see `convolve_in_scan`.
    """

    features: int
    strides: int = 1
    block: str = "basic"
    norm: str = "batch"
    shortcut: str = "projection"
    residual: str = "plain"
    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None
    hidden_init: Initializer = nn.initializers.he_normal()
    tail_init: Initializer = nn.initializers.he_normal()
    shortcut_init: Initializer = nn.initializers.he_normal()
    tail_scale_init: Initializer = nn.initializers.ones
    convolve: Callable[..., jax.Array] = jax.lax.conv_general_dilated

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        *hidden, tail = branch_convs(self.block, self.features, self.strides)
        y = x
        for i, spec in enumerate(hidden):
            y = self.shift(y, f"bias_{i}_before")
            y = self.conv(y, spec, self.hidden_init, f"conv_{i}")
            y = self.shift(y, f"bias_{i}_after")
            y = nn.relu(self.normalize(y, f"norm_{i}", train))
        y = self.shift(y, "bias_tail_before")
        y = self.conv(y, tail, self.tail_init, "tail")
        y = self.normalize(y, "tail_norm", train, self.tail_scale_init)
        y = self.shift(self.scale(y), "bias_tail_after")
        return nn.relu(self.shortcut_of(x, y.shape, train) + y)

    def shortcut_of(self, x: jax.Array, shape: tuple[int, ...], train: bool) -> jax.Array:
        """``x`` itself, or brought to the branch's ``shape``."""
        if x.shape == shape:
            return x
        features = shape[-1]
        if self.shortcut == "padded":
            return padded_shortcut(x, features, self.strides)
        x = self.shift(x, "bias_shortcut_before")
        x = self.conv(x, ConvSpec(features, 1, self.strides), self.shortcut_init, "shortcut")
        return self.normalize(x, "shortcut_norm", train)

    def conv(self, x: jax.Array, spec: ConvSpec, init: Initializer, name: str) -> jax.Array:
        """A convolution padded so that stride 1 keeps the picture's size."""
        return nn.Conv(
            spec.features,
            (spec.taps, spec.taps),
            spec.strides,
            padding=spec.taps // 2,
            use_bias=self.norm == "none" and self.residual != "fixup",
            dtype=self.dtype,
            kernel_init=init,
            conv_general_dilated=self.convolve,
            name=name,
        )(x)

    def normalize(
        self,
        x: jax.Array,
        name: str,
        train: bool,
        scale_init: Initializer = nn.initializers.ones,
    ) -> jax.Array:
        """The block's norm, if it has one."""
        return normalize(
            x,
            self.norm,
            name=name,
            train=train,
            dtype=self.dtype,
            axis_name=self.axis_name,
            scale_init=scale_init,
        )

    def scale(self, x: jax.Array) -> jax.Array:
        """The learned multiplier at the end of the branch, for the styles that have one."""
        if self.residual == "plain":
            return x
        start = nn.initializers.ones if self.residual == "fixup" else nn.initializers.zeros
        return x * self.param("multiplier", start, ()).astype(x.dtype)

    def shift(self, x: jax.Array, name: str) -> jax.Array:
        """Fixup's scalar bias, where Fixup is the style."""
        if self.residual != "fixup":
            return x
        return x + self.param(name, nn.initializers.zeros, ()).astype(x.dtype)
