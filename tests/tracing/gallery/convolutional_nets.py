"""Convolutional networks without residual sums or of newer kinds, in Linen."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from gallery.entry import Entry, entry, shape

IMAGES = shape(2, 8, 8, 3)
conv3 = functools.partial(nn.Conv, kernel_size=(3, 3))


class VGG(nn.Module):
    @nn.compact
    def __call__(self, x):
        for index, width in enumerate([4, 8, 8]):
            x = nn.relu(conv3(width, name=f"conv_{index}")(x))
            x = nn.max_pool(x, (2, 2), (2, 2))
        x = x.reshape(x.shape[0], -1)
        x = nn.Dropout(0.5, deterministic=False)(nn.relu(nn.Dense(16, name="dense_0")(x)))
        return nn.log_softmax(nn.Dense(5, name="dense_1")(x))


@entry
def vgg():
    return Entry(
        VGG(),
        (IMAGES,),
        {
            "conv_0/kernel": "stem ..io >relu",
            "conv_?/kernel": "hidden ..io >relu",
            "dense_0/kernel": "hidden io >relu",
            "dense_1/kernel": "head io",
            "*/bias": "bias",
        },
        0,
    )


class DenseNet(nn.Module):
    """Huang et al. 2016: features concatenate, nothing is summed."""

    @nn.compact
    def __call__(self, x):
        norm = functools.partial(nn.BatchNorm, use_running_average=True)
        x = conv3(4, use_bias=False, name="conv_in")(x)
        for index in range(3):
            y = nn.relu(norm(name=f"norm_{index}")(x))
            y = conv3(4, use_bias=False, name=f"conv_{index}")(y)
            x = jnp.concatenate([x, y], axis=-1)
        x = nn.Conv(4, (1, 1), use_bias=False, name="transition")(x)
        x = nn.avg_pool(x, (2, 2), (2, 2))
        return nn.Dense(5, name="classifier")(x.mean((1, 2)))


@entry
def densenet():
    return Entry(
        DenseNet(),
        (IMAGES,),
        {
            "conv_in/kernel": "stem ..io",
            "conv_?/kernel": "hidden ..io",
            "transition/kernel": "hidden ..io",
            "classifier/kernel": "head io",
            "norm_?/scale": "norm_scale",
            "norm_?/bias": "norm_bias",
            "classifier/bias": "bias",
        },
        0,
    )


class ConvAutoencoder(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.tanh(nn.Conv(4, (3, 3), strides=2, name="encode_0")(x))
        x = nn.tanh(nn.Conv(8, (3, 3), strides=2, name="encode_1")(x))
        x = nn.tanh(nn.ConvTranspose(4, (3, 3), strides=(2, 2), name="decode_0")(x))
        return nn.ConvTranspose(3, (3, 3), strides=(2, 2), name="decode_1")(x)


@entry
def transposed_convolution_autoencoder():
    return Entry(
        ConvAutoencoder(),
        (IMAGES,),
        {
            "encode_0/kernel": "stem ..io >tanh",
            "encode_1/kernel": "hidden ..io >tanh",
            "decode_0/kernel": "hidden ..io >tanh",
            "decode_1/kernel": "head ..io >",
            "*/bias": "bias",
        },
        0,
    )


class TransposedKernels(nn.Module):
    """Kernels shared with the encoder's convention, (height, width, out, in)."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(4, (4, 4), strides=2, name="encode")(x))
        return nn.ConvTranspose(3, (4, 4), (2, 2), transpose_kernel=True, name="decode")(x)


@entry
def transposed_kernels():
    return Entry(
        TransposedKernels(),
        (IMAGES,),
        {
            "encode/kernel": "stem ..io >relu",
            "decode/kernel": "head ..oi >",
            "*/bias": "bias",
        },
        0,
    )


class ConvNeXtBlock(nn.Module):
    """Liu et al. 2022: depthwise 7x7, norm, 1x1, gelu, 1x1, layer scale."""

    @nn.compact
    def __call__(self, x):
        width = x.shape[-1]
        y = nn.Conv(width, (7, 7), feature_group_count=width, name="depthwise")(x)
        y = nn.LayerNorm(name="norm")(y)
        y = nn.gelu(nn.Dense(4 * width, name="expand")(y))
        y = nn.Dense(width, name="contract")(y)
        y = y * self.param("layer_scale", nn.initializers.constant(1e-6), (width,))
        return x + y


class ConvNeXt(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.LayerNorm(name="norm_in")(nn.Conv(4, (4, 4), strides=4, name="patchify")(x))
        x = ConvNeXtBlock(name="block_0")(x)
        x = nn.Conv(8, (2, 2), strides=2, name="downsample")(nn.LayerNorm(name="norm_down")(x))
        x = ConvNeXtBlock(name="block_1")(x)
        x = nn.LayerNorm(name="norm_head")(x.mean((1, 2)))
        return nn.Dense(5, name="classifier")(x)


@entry
def convnext():
    return Entry(
        ConvNeXt(),
        (IMAGES,),
        {
            "patchify/kernel": "stem ..io >",
            "block_?/depthwise/kernel": "hidden ..io >",
            "block_?/expand/kernel": "hidden io >gelu",
            "block_?/contract/kernel": "tail io >",
            "downsample/kernel": "hidden ..io",
            "classifier/kernel": "head io",
            "block_?/layer_scale": "multiplier ends",
            "*norm*/scale": "norm_scale",
            "*norm*/bias": "norm_bias",
            "*/bias": "bias",
        },
        2,
    )


class InvertedResidual(nn.Module):
    """Sandler et al. 2018, with a squeeze-excite gate as in EfficientNet."""

    @nn.compact
    def __call__(self, x):
        norm = functools.partial(nn.BatchNorm, use_running_average=True)
        hidden = 2 * x.shape[-1]
        y = nn.Conv(hidden, (1, 1), use_bias=False, name="expand")(x)
        y = nn.swish(norm(name="norm_a")(y))
        y = conv3(hidden, feature_group_count=hidden, use_bias=False, name="depthwise")(y)
        y = nn.swish(norm(name="norm_b")(y))
        gate = nn.swish(nn.Conv(2, (1, 1), name="squeeze")(y.mean((1, 2), keepdims=True)))
        y = y * nn.sigmoid(nn.Conv(hidden, (1, 1), name="excite")(gate))
        y = nn.Conv(x.shape[-1], (1, 1), use_bias=False, name="contract")(y)
        return x + norm(name="norm_c")(y)


class EfficientNet(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.swish(conv3(4, use_bias=False, name="conv_in")(x))
        for index in range(2):
            x = InvertedResidual(name=f"block_{index}")(x)
        x = nn.swish(nn.Conv(8, (1, 1), use_bias=False, name="conv_out")(x))
        return nn.Dense(5, name="classifier")(x.mean((1, 2)))


@entry
def efficientnet():
    return Entry(
        EfficientNet(),
        (IMAGES,),
        {
            "conv_in/kernel": "stem ..io >silu",
            "*/expand/kernel": "hidden ..io >silu",
            "*/depthwise/kernel": "hidden ..io >silu",
            "*/squeeze/kernel": "hidden ..io >silu",
            "*/excite/kernel": "hidden ..io >sigmoid",
            "*/contract/kernel": "tail ..io >",
            "conv_out/kernel": "hidden ..io >silu",
            "classifier/kernel": "head io",
            "*/norm_c/scale": "norm_scale ends",
            "*/scale": "norm_scale",
            "*/norm_?/bias": "norm_bias",
            "*/bias": "bias",
        },
        2,
    )


class MixerBlock(nn.Module):
    """Tolstikhin et al. 2021."""

    @nn.compact
    def __call__(self, x):
        y = jnp.swapaxes(nn.LayerNorm(name="norm_tokens")(x), 1, 2)
        y = nn.gelu(nn.Dense(6, name="tokens_a")(y))
        y = nn.Dense(x.shape[1], name="tokens_b")(y)
        x = x + jnp.swapaxes(y, 1, 2)
        y = nn.LayerNorm(name="norm_channels")(x)
        y = nn.gelu(nn.Dense(16, name="channels_a")(y))
        return x + nn.Dense(x.shape[-1], name="channels_b")(y)


class Mixer(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.Conv(8, (4, 4), strides=4, name="patchify")(x)
        x = x.reshape(x.shape[0], -1, 8)
        for index in range(2):
            x = MixerBlock(name=f"block_{index}")(x)
        return nn.Dense(5, name="classifier")(nn.LayerNorm(name="norm_out")(x).mean(1))


@entry
def mlp_mixer():
    return Entry(
        Mixer(),
        (IMAGES,),
        {
            "patchify/kernel": "stem ..io",
            "*/tokens_a/kernel": "hidden io >gelu",
            "*/tokens_b/kernel": "tail io >",
            "*/channels_a/kernel": "hidden io >gelu",
            "*/channels_b/kernel": "tail io >",
            "classifier/kernel": "head io",
            "*norm*/scale": "norm_scale",
            "*norm*/bias": "norm_bias",
            "*/bias": "bias",
        },
        4,
    )


class Inception(nn.Module):
    """Branches that concatenate are no residual branches."""

    @nn.compact
    def __call__(self, x):
        x = nn.relu(conv3(4, name="conv_in")(x))
        ways = [
            nn.Conv(4, (1, 1), name="way_0")(x),
            conv3(4, name="way_1_b")(nn.relu(nn.Conv(2, (1, 1), name="way_1_a")(x))),
            nn.Conv(4, (1, 1), name="way_2")(nn.max_pool(x, (3, 3), padding="SAME")),
        ]
        x = nn.relu(jnp.concatenate(ways, -1))
        return nn.Dense(5, name="classifier")(jnp.max(x, (1, 2)))


@entry
def inception():
    return Entry(
        Inception(),
        (IMAGES,),
        {
            "conv_in/kernel": "stem ..io >relu",
            "way_*/kernel": "hidden ..io >relu",
            "classifier/kernel": "head io",
            "*/bias": "bias",
        },
        0,
    )


class UNet(nn.Module):
    """Ronneberger et al. 2015; the skips are concatenated or added."""

    added: bool

    @nn.compact
    def __call__(self, x):
        def skip(x, held):
            return x + held if self.added else jnp.concatenate([x, held], -1)

        held_0 = x = nn.relu(conv3(4, name="down_0")(x))
        x = nn.max_pool(x, (2, 2), (2, 2))
        held_1 = x = nn.relu(conv3(8, name="down_1")(x))
        x = nn.max_pool(x, (2, 2), (2, 2))
        x = nn.relu(conv3(8, name="bottom")(x))
        x = nn.ConvTranspose(8, (2, 2), (2, 2), name="up_1")(x)
        x = nn.relu(conv3(8, name="merge_1")(skip(x, held_1)))
        x = jax.image.resize(x, (x.shape[0], 8, 8, 8), "nearest")
        x = conv3(4, name="up_0")(x)
        x = nn.relu(conv3(4, name="merge_0")(skip(x, held_0)))
        return nn.Conv(2, (1, 1), name="classifier")(x)


@entry
def unet_by_concatenation():
    return Entry(
        UNet(added=False),
        (IMAGES,),
        {
            "down_0/kernel": "stem ..io >relu",
            "classifier/kernel": "head ..io >",
            "*/kernel": "hidden ..io",
            "*/bias": "bias",
        },
        0,
    )


@entry
def unet_by_addition():
    return Entry(
        UNet(added=True),
        (IMAGES,),
        {
            "down_0/kernel": "stem ..io >relu",
            "up_?/kernel": "tail ..io >",
            "classifier/kernel": "head ..io >",
            "*/kernel": "hidden ..io >relu",
            "*/bias": "bias",
        },
        2,
    )


class TimedBlock(nn.Module):
    """Ho et al. 2020: the projected time is added inside the branch."""

    width: int

    @nn.compact
    def __call__(self, x, time):
        y = conv3(self.width, name="conv_a")(nn.swish(nn.GroupNorm(2, name="norm_a")(x)))
        y = y + nn.Dense(self.width, name="time")(nn.swish(time))[:, None, None, :]
        y = conv3(self.width, name="conv_b")(nn.swish(nn.GroupNorm(2, name="norm_b")(y)))
        if x.shape != y.shape:
            x = nn.Conv(self.width, (1, 1), name="project")(x)
        return x + y


class DiffusionUNet(nn.Module):
    @nn.compact
    def __call__(self, x, time):
        angles = time[:, None].astype(jnp.float32) * jnp.exp(-jnp.arange(4.0))
        time = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], -1)
        time = nn.Dense(16, name="time_1")(nn.swish(nn.Dense(16, name="time_0")(time)))
        held = [x := conv3(4, name="conv_in")(x)]
        held.append(x := TimedBlock(4, name="down_0")(x, time))
        x = conv3(4, strides=2, name="downsample")(x)
        x = TimedBlock(8, name="down_1")(x, time)
        x = TimedBlock(8, name="middle")(x, time)
        x = jax.image.resize(x, (x.shape[0], 8, 8, 8), "nearest")
        x = conv3(8, name="upsample")(x)
        x = TimedBlock(4, name="up_0")(jnp.concatenate([x, held.pop()], -1), time)
        x = TimedBlock(4, name="up_1")(jnp.concatenate([x, held.pop()], -1), time)
        return conv3(3, name="conv_out")(nn.swish(nn.GroupNorm(2, name="norm_out")(x)))


@entry
def diffusion_unet():
    return Entry(
        DiffusionUNet(),
        (IMAGES, shape(2, dtype="int32")),
        {
            "conv_in/kernel": "stem ..io",
            "time_0/kernel": "stem io >silu",
            "time_1/kernel": "hidden io",
            "*/time/kernel": "hidden io",
            "*/conv_a/kernel": "hidden ..io",
            "*/conv_b/kernel": "tail ..io",
            "*/project/kernel": "shortcut ..io",
            "downsample/kernel": "hidden ..io",
            "upsample/kernel": "hidden ..io",
            "conv_out/kernel": "head ..io",
            "*norm*/scale": "norm_scale",
            "*norm*/bias": "norm_bias",
            "*/bias": "bias",
        },
        5,
    )


class Blurred(nn.Module):
    """Zhang 2019: a fixed filter between a convolution and what follows it."""

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(8, (3, 3), use_bias=False, name="conv")(x)
        x = jax.lax.conv_general_dilated(
            x,
            jnp.ones((3, 3, 1, 8)) / 9,
            (2, 2),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=8,
        )
        x = nn.leaky_relu(nn.LayerNorm(use_bias=False, use_scale=False)(x))
        return nn.Dense(3, name="out")(x.mean((1, 2)))


@entry
def fixed_blur():
    expected = {"conv/kernel": "stem ..io >leaky_relu", "out/kernel": "head io", "*/bias": "bias"}
    return Entry(Blurred(), (shape(2, 8, 8, 3),), expected, 0)
