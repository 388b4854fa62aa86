"""Residual convolutional networks, in Linen."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from gallery.entry import Entry, entry, shape

IMAGES = shape(2, 8, 8, 3)
conv3 = functools.partial(nn.Conv, kernel_size=(3, 3), use_bias=False)
conv1 = functools.partial(nn.Conv, kernel_size=(1, 1), use_bias=False)


class BasicBlock(nn.Module):
    """He et al. 2015: conv, norm, relu, conv, norm, add, relu."""

    width: int
    strides: int = 1
    padded: bool = False
    train: bool = False

    @nn.compact
    def __call__(self, x):
        norm = functools.partial(nn.BatchNorm, use_running_average=not self.train)
        y = conv3(self.width, strides=self.strides, name="conv_a")(x)
        y = nn.relu(norm(name="norm_a")(y))
        y = norm(name="norm_b")(conv3(self.width, name="conv_b")(y))
        if x.shape != y.shape and self.padded:
            x = x[:, :: self.strides, :: self.strides]
            x = jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, self.width - x.shape[-1])))
        elif x.shape != y.shape:
            x = conv1(self.width, strides=self.strides, name="project")(x)
            x = norm(name="norm_project")(x)
        return nn.relu(x + y)


class ResNetV1(nn.Module):
    padded: bool = False
    train: bool = False

    @nn.compact
    def __call__(self, x):
        x = conv3(4, name="conv_in")(x)
        x = nn.relu(nn.BatchNorm(use_running_average=not self.train, name="norm_in")(x))
        for index, (width, strides) in enumerate([(4, 1), (8, 2), (8, 1)]):
            x = BasicBlock(width, strides, self.padded, self.train, name=f"block_{index}")(x)
        return nn.Dense(5, name="classifier")(x.mean((1, 2)))


RESNET_V1 = {
    "conv_in/kernel": "stem ..io >relu",
    "block_?/conv_a/kernel": "hidden ..io >relu",
    "block_?/conv_b/kernel": "tail ..io >",
    "classifier/kernel": "head io >",
    "classifier/bias": "bias",
    "block_?/norm_b/scale": "norm_scale ends",
    "*/scale": "norm_scale",
    "*norm_?/bias": "norm_bias",
    "norm_in/bias": "norm_bias",
}
PROJECTED = {
    "block_1/project/kernel": "shortcut ..io >",
    "block_1/norm_project/scale": "norm_scale",
    "block_1/norm_project/bias": "norm_bias",
}


@entry
def resnet_v1_padded_shortcut():
    return Entry(ResNetV1(padded=True), (IMAGES,), RESNET_V1, 3)


@entry
def resnet_v1_projection_shortcut():
    return Entry(ResNetV1(), (IMAGES,), PROJECTED | RESNET_V1, 3)


@entry
def resnet_v1_training_mode():
    return Entry(ResNetV1(train=True), (IMAGES,), PROJECTED | RESNET_V1, 3)


class PreActivationBlock(nn.Module):
    """He et al. 2016: the projection reads the normalized signal."""

    width: int
    strides: int = 1
    rate: float = 0.0

    @nn.compact
    def __call__(self, x):
        norm = functools.partial(nn.BatchNorm, use_running_average=True)
        y = nn.relu(norm(name="norm_a")(x))
        shortcut = x
        if x.shape[-1] != self.width:
            shortcut = conv1(self.width, strides=self.strides, name="project")(y)
        y = conv3(self.width, strides=self.strides, name="conv_a")(y)
        y = conv3(self.width, name="conv_b")(nn.relu(norm(name="norm_b")(y)))
        y = nn.Dropout(self.rate, broadcast_dims=(1, 2, 3), deterministic=self.rate == 0)(y)
        return y + shortcut


class ResNetV2(nn.Module):
    rate: float = 0.0

    @nn.compact
    def __call__(self, x):
        x = conv3(4, name="conv_in")(x)
        for index, (width, strides) in enumerate([(4, 1), (8, 2), (8, 1)]):
            x = PreActivationBlock(width, strides, self.rate, name=f"block_{index}")(x)
        x = nn.relu(nn.BatchNorm(use_running_average=True, name="norm_out")(x))
        return nn.Dense(5, name="classifier")(x.mean((1, 2)))


RESNET_V2 = {
    "conv_in/kernel": "stem ..io",
    "block_?/conv_a/kernel": "hidden ..io >relu",
    "block_?/conv_b/kernel": "tail ..io >",
    "block_1/project/kernel": "shortcut ..io",
    "classifier/kernel": "head io",
    "classifier/bias": "bias",
    "*/scale": "norm_scale",
    "*/bias": "norm_bias",
}


@entry
def resnet_v2():
    return Entry(ResNetV2(), (IMAGES,), RESNET_V2, 3)


@entry
def resnet_v2_stochastic_depth():
    return Entry(ResNetV2(rate=0.2), (IMAGES,), RESNET_V2, 3)


class SqueezeExcite(nn.Module):
    """Hu et al. 2017."""

    @nn.compact
    def __call__(self, x):
        gate = nn.relu(nn.Dense(2, name="squeeze")(x.mean((1, 2))))
        gate = nn.sigmoid(nn.Dense(x.shape[-1], name="excite")(gate))
        return x * gate[:, None, None, :]


class Bottleneck(nn.Module):
    width: int
    groups: int = 1
    squeeze: bool = False

    @nn.compact
    def __call__(self, x):
        norm = functools.partial(nn.BatchNorm, use_running_average=True)
        y = nn.relu(norm(name="norm_a")(conv1(self.width, name="conv_a")(x)))
        y = conv3(self.width, feature_group_count=self.groups, name="conv_b")(y)
        y = nn.relu(norm(name="norm_b")(y))
        y = norm(name="norm_c")(conv1(4 * self.width, name="conv_c")(y))
        if self.squeeze:
            y = SqueezeExcite(name="gate")(y)
        if x.shape != y.shape:
            x = norm(name="norm_project")(conv1(4 * self.width, name="project")(x))
        return nn.relu(x + y)


class BottleneckNet(nn.Module):
    groups: int = 1
    squeeze: bool = False

    @nn.compact
    def __call__(self, x):
        x = nn.relu(conv3(4, name="conv_in")(x))
        x = nn.max_pool(x, (2, 2), (2, 2))
        for index in range(2):
            x = Bottleneck(4, self.groups, self.squeeze, name=f"block_{index}")(x)
        return nn.Dense(5, name="classifier")(x.mean((1, 2)))


BOTTLENECK = {
    "conv_in/kernel": "stem ..io >relu",
    "block_?/conv_a/kernel": "hidden ..io >relu",
    "block_?/conv_b/kernel": "hidden ..io >relu",
    "block_?/conv_c/kernel": "tail ..io",
    "block_0/project/kernel": "shortcut ..io",
    "classifier/kernel": "head io",
    "classifier/bias": "bias",
    "block_?/norm_c/scale": "norm_scale ends",
    "*/scale": "norm_scale",
    "*norm_*/bias": "norm_bias",
}
GATES = {
    "block_?/gate/squeeze/kernel": "hidden io >relu",
    "block_?/gate/excite/kernel": "hidden io >sigmoid",
    "block_?/gate/*/bias": "bias",
}


@entry
def resnet_bottleneck():
    return Entry(BottleneckNet(), (IMAGES,), BOTTLENECK, 2)


@entry
def resnext_grouped_convolution():
    return Entry(BottleneckNet(groups=2), (IMAGES,), BOTTLENECK, 2)


@entry
def se_resnet():
    return Entry(BottleneckNet(squeeze=True), (IMAGES,), GATES | BOTTLENECK, 2)


class ScaledBlock(nn.Module):
    """Norm-free branches: ReZero / SkipInit scale them by one number, Fixup adds biases too."""

    fixup: bool = False

    @nn.compact
    def __call__(self, x):
        def bias(name):
            return self.param(name, nn.initializers.zeros, (1,)) if self.fixup else 0.0

        y = conv3(4, name="conv_a")(x + bias("bias_a")) + bias("bias_b")
        y = conv3(4, name="conv_b")(nn.relu(y) + bias("bias_c"))
        y = y * self.param("multiplier", nn.initializers.zeros, (1,)) + bias("bias_d")
        return nn.relu(x + y)


class ScaledNet(nn.Module):
    fixup: bool = False

    @nn.compact
    def __call__(self, x):
        x = nn.relu(conv3(4, name="conv_in")(x))
        for index in range(2):
            x = ScaledBlock(self.fixup, name=f"block_{index}")(x)
        return nn.Dense(5, use_bias=False, name="classifier")(x.mean((1, 2)))


SCALED = {
    "conv_in/kernel": "stem ..io >relu",
    "*/conv_a/kernel": "hidden ..io >relu",
    "*/conv_b/kernel": "tail ..io >",
    "classifier/kernel": "head io",
    "*/multiplier": "multiplier ends",
}


@entry
def skipinit():
    return Entry(ScaledNet(), (IMAGES,), SCALED, 2)


@entry
def fixup():
    return Entry(ScaledNet(fixup=True), (IMAGES,), SCALED | {"*/bias_?": "bias"}, 2)


class NormFree(nn.Module):
    """Brock et al. 2021: branches scaled by constants, weights standardized."""

    @nn.compact
    def __call__(self, x):
        x = StandardizedConv(4, name="conv_in")(x)
        beta = 1.0
        for index in range(2):
            y = nn.relu(x * beta) * 1.7
            y = StandardizedConv(4, name=f"conv_{index}_a")(y)
            y = StandardizedConv(4, name=f"conv_{index}_b")(nn.relu(y) * 1.7)
            x = x + 0.2 * y * self.param(f"skip_gain_{index}", nn.initializers.zeros, ())
            beta = (1 + 0.04 * (index + 1)) ** -0.5
        return nn.Dense(5, name="classifier")(nn.relu(x).mean((1, 2)))


class StandardizedConv(nn.Module):
    """Qiao et al. 2019, with the learned gain of Brock et al."""

    features: int

    @nn.compact
    def __call__(self, x):
        size = (3, 3, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), size)
        gain = self.param("gain", nn.initializers.ones, (self.features,))
        mean = kernel.mean((0, 1, 2), keepdims=True)
        variance = kernel.var((0, 1, 2), keepdims=True)
        kernel = (kernel - mean) * jax.lax.rsqrt(variance * 27 + 1e-4) * gain
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        numbers = ("NHWC", "HWIO", "NHWC")
        return (
            jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=numbers)
            + bias
        )


@entry
def norm_free_resnet():
    return Entry(
        NormFree(),
        (IMAGES,),
        {
            "conv_in/kernel": "stem ..io",
            "conv_?_a/kernel": "hidden ..io >relu",
            "conv_?_b/kernel": "tail ..io >",
            "classifier/kernel": "head io",
            "*/gain": "kernel_scale",
            "*/bias": "bias",
            "skip_gain_?": "multiplier ends",
        },
        2,
    )


class BigTransfer(nn.Module):
    """Kolesnikov et al. 2019: group norm, weight standardization, pre-activation."""

    @nn.compact
    def __call__(self, x):
        x = StandardizedConv(4, name="conv_in")(x)
        for index, width in enumerate([4, 8]):
            y = nn.relu(nn.GroupNorm(2, name=f"norm_{index}_a")(x))
            shortcut = x
            if width != x.shape[-1]:
                shortcut = StandardizedConv(width, name=f"project_{index}")(y)
            y = StandardizedConv(width, name=f"conv_{index}_a")(y)
            y = nn.relu(nn.GroupNorm(2, name=f"norm_{index}_b")(y))
            x = shortcut + StandardizedConv(width, name=f"conv_{index}_b")(y)
        x = nn.relu(nn.GroupNorm(2, name="norm_out")(x))
        return nn.Dense(5, name="classifier")(x.mean((1, 2)))


@entry
def big_transfer():
    return Entry(
        BigTransfer(),
        (IMAGES,),
        {
            "conv_in/kernel": "stem ..io",
            "conv_?_a/kernel": "hidden ..io >relu",
            "conv_?_b/kernel": "tail ..io",
            "project_1/kernel": "shortcut ..io",
            "classifier/kernel": "head io",
            "*/gain": "kernel_scale",
            "norm_*/scale": "norm_scale",
            "norm_*/bias": "norm_bias",
            "*/bias": "bias",
        },
        2,
    )
