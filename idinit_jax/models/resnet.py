"""ResNets for CIFAR (6n + 2 layers) and ImageNet (18, 34, 50, 101, 152 layers)."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer
from jax.typing import DTypeLike

from idinit_jax.initializers.arguments import check_choice
from idinit_jax.models.convolution import convolve_in_scan
from idinit_jax.models.norm import NORMS, normalize
from idinit_jax.models.residual import RESIDUALS, SHORTCUTS, ResidualBlock, branch_convs
from idinit_jax.models.stacking import run_blocks

FAMILIES = ("cifar", "imagenet")
IMAGENET_STAGES = {
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
    152: ("bottleneck", (3, 8, 36, 3)),
}


class Layout(NamedTuple):
    """What a depth means: the kind of block, the channels of the first stage, blocks a stage.

    Each later stage has twice the channels of the one before and half its height and width.
    """

    block: str
    width: int
    stages: tuple[int, ...]


def layout(family: str, depth: int) -> Layout:
    """The layout of He et al. 2016, table 1 (ImageNet) and section 4.2 (CIFAR).

    Args:
        family: "cifar" or "imagenet".
        depth: number of kernels on the longest path: 6n + 2, or one of 18, 34, 50, 101, 152.

    Raises:
        ValueError: for an unknown family or depth, with the nearest valid one.

    >>> layout("cifar", 20)
    Layout(block='basic', width=16, stages=(3, 3, 3))
    >>> layout("imagenet", 50)
    Layout(block='bottleneck', width=64, stages=(3, 4, 6, 3))
    """
    check_choice("family", family, FAMILIES)
    if family == "cifar":
        n = max(1, round((depth - 2) / 6))
        if depth != 6 * n + 2:
            raise ValueError(f"a CIFAR ResNet has 6n + 2 layers, not {depth}; try {6 * n + 2}")
        return Layout("basic", 16, (n, n, n))
    if depth not in IMAGENET_STAGES:
        nearest = min(IMAGENET_STAGES, key=lambda valid: abs(valid - depth))
        valid = ", ".join(map(str, IMAGENET_STAGES))
        raise ValueError(f"an ImageNet ResNet has {valid} layers, not {depth}; try {nearest}")
    block, stages = IMAGENET_STAGES[depth]
    return Layout(block, 64, stages)


def fixup_initializer(layout: Layout) -> Initializer:
    """He's normal times L^(-1 / (2m - 2)): L branches of m kernels (Zhang et al. 2019, sec. 3.2).

    The factor multiplies the standard deviation, so the variance gets its square.
    """
    branches = sum(layout.stages)
    kernels = len(branch_convs(layout.block, features=1, strides=1))
    return nn.initializers.variance_scaling(
        2.0 * branches ** (-1.0 / (kernels - 1)), "fan_in", "truncated_normal"
    )


class Stage(nn.Module):
    """Blocks of equal features in a row, the first of which may change the shape.

    Args:
        make_block: makes a block from its features, and strides, name or parent.
        features: channels of every branch.
        length: number of blocks, at least 1.
        strides: of the first block.
        scan: whether the blocks after the first are scanned.
        remat: whether they recompute their activations in the backward pass.
    """

    make_block: Callable[..., ResidualBlock]
    features: int
    length: int
    strides: int
    scan: bool
    remat: bool

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        make_block = functools.partial(self.make_block, features=self.features)
        x = make_block(strides=self.strides, name="first")(x, train)
        if self.scan:
            make_block = functools.partial(make_block, convolve=convolve_in_scan)
        return run_blocks(
            self, make_block, self.length - 1, x, train, scan=self.scan, remat=self.remat
        )


class ResNet(nn.Module):
    """A residual network on images (N, H, W, C), giving logits (N, num_classes).

    Stem, stages of `ResidualBlock`, average over the picture, head. The CIFAR stem is one 3 x 3
    kernel; the ImageNet stem a 7 x 7 kernel of stride 2 and a max pooling of stride 2. Made by
    `cifar_resnet` and `imagenet_resnet`.

    Args:
        family: "cifar" or "imagenet".
        depth: number of kernels on the longest path, see `layout`.
        num_classes: width of the output.
        norm: "batch", "layer" (over the channels of a pixel) or "none".
        shortcut: "projection" or "padded", where the shapes of a block's ends differ.
        residual: "plain", "skipinit", "rezero" or "fixup", see `ResidualBlock`.
        width: channels of the first stage; None for the paper's, 16 for CIFAR and 64 for ImageNet.
        dtype: of the computation; parameters are float32 and so is the output.
        axis_name: the pmap axis over which batch statistics are averaged, if any.
        scan: whether the identical blocks of a stage are scanned, see `run_blocks`: the same
            network and the same values, compiled in a time that does not grow with depth.
        remat: whether those blocks recompute their activations in the backward pass.
        stem_init: initializer of the stem's kernel.
        hidden_init: initializer of every branch kernel but the last. By default He's normal,
            times L^(-1 / (2m - 2)) under "fixup".
        tail_init: initializer of the last kernel of a branch. By default He's normal, zeros under
            "fixup".
        shortcut_init: initializer of the projections' kernels.
        head_init: initializer of the head's kernel. By default LeCun's normal, zeros under "fixup".
        tail_scale_init: initializer of the scale of the norm after a tail kernel.

    Raises:
        ValueError: for an unknown family, depth, norm, shortcut or residual style, or no width.

    Reference: He et al. 2016, "Deep residual learning for image recognition", arXiv 1512.03385.
    """

    family: str
    depth: int
    num_classes: int
    norm: str = "batch"
    shortcut: str = "projection"
    residual: str = "plain"
    width: int | None = None
    dtype: DTypeLike = jnp.float32
    axis_name: str | None = None
    scan: bool = False
    remat: bool = False
    stem_init: Initializer = nn.initializers.he_normal()
    hidden_init: Initializer | None = None
    tail_init: Initializer | None = None
    shortcut_init: Initializer = nn.initializers.he_normal()
    head_init: Initializer | None = None
    tail_scale_init: Initializer = nn.initializers.ones

    def __post_init__(self) -> None:
        layout(self.family, self.depth)
        check_choice("norm", self.norm, NORMS)
        check_choice("shortcut", self.shortcut, SHORTCUTS)
        check_choice("residual", self.residual, RESIDUALS)
        if self.width is not None and self.width < 1:
            raise ValueError(f"a ResNet is at least 1 channel wide, not {self.width}")
        super().__post_init__()

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        kind, paper_width, stages = layout(self.family, self.depth)
        width = self.width or paper_width
        x = self.stem(x.astype(self.dtype), width, train)
        for i, length in enumerate(stages):
            strides = 2 if i else 1
            make_block = self.make_block(kind)
            x = Stage(
                make_block, width * 2**i, length, strides, self.scan, self.remat, name=f"stage_{i}"
            )(x, train)
        return self.head(x.mean(axis=(1, 2)))

    def make_block(self, kind: str) -> Callable[..., ResidualBlock]:
        """A block of this network, still without its features, strides and name."""
        he = nn.initializers.he_normal()
        fixup = self.residual == "fixup"
        hidden = fixup_initializer(layout(self.family, self.depth)) if fixup else he
        tail = nn.initializers.zeros if fixup else he
        return functools.partial(
            ResidualBlock,
            block=kind,
            norm=self.norm,
            shortcut=self.shortcut,
            residual=self.residual,
            dtype=self.dtype,
            axis_name=self.axis_name,
            hidden_init=self.hidden_init or hidden,
            tail_init=self.tail_init or tail,
            shortcut_init=self.shortcut_init,
            tail_scale_init=self.tail_scale_init,
        )

    def stem(self, x: jax.Array, width: int, train: bool) -> jax.Array:
        """The first kernel, norm and activation; on ImageNet also the pooling."""
        taps, strides = (3, 1) if self.family == "cifar" else (7, 2)
        x = nn.Conv(
            width,
            (taps, taps),
            strides,
            padding=taps // 2,
            use_bias=self.norm == "none",
            dtype=self.dtype,
            kernel_init=self.stem_init,
            name="stem",
        )(x)
        x = normalize(
            x,
            self.norm,
            name="stem_norm",
            train=train,
            dtype=self.dtype,
            axis_name=self.axis_name,
        )
        x = nn.relu(x)
        if self.family == "cifar":
            return x
        padding = ((1, 1), (1, 1))
        # Flax documents pairs for the padding but annotates only the string.
        return nn.max_pool(x, (3, 3), (2, 2), padding)  # pyright: ignore[reportArgumentType]

    def head(self, x: jax.Array) -> jax.Array:
        """The classifier on pooled features (N, C)."""
        fixup = self.residual == "fixup"
        init = nn.initializers.zeros if fixup else nn.initializers.lecun_normal()
        init = self.head_init or init
        x = nn.Dense(self.num_classes, dtype=self.dtype, kernel_init=init, name="head")(x)
        return x.astype(jnp.float32)


cifar_resnet = functools.partial(ResNet, "cifar", shortcut="padded")
"""``cifar_resnet(depth, num_classes, ...)``: 20, 32, 44, 56, 110 or any 6n + 2 layers, shortcuts
padded as in the paper; every other field of `ResNet` by name.

>>> model = cifar_resnet(20, num_classes=10, norm="layer")
"""

imagenet_resnet = functools.partial(ResNet, "imagenet", shortcut="projection")
"""``imagenet_resnet(depth, num_classes, ...)``: 18, 34, 50, 101 or 152 layers, shortcuts projected;
every other field of `ResNet` by name.

>>> model = imagenet_resnet(50, num_classes=1000)
"""
