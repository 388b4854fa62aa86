"""Haiku transformed functions."""

import haiku as hk
import jax
import jax.numpy as jnp
from gallery.entry import Entry, entry, shape


@entry
def haiku_mlp():
    model = hk.transform(lambda x: hk.nets.MLP([8, 8, 3])(x))
    return Entry(
        model,
        (shape(4, 6),),
        {
            "mlp/~/linear_0/w": "stem io >relu",
            "mlp/~/linear_1/w": "hidden io >relu",
            "mlp/~/linear_2/w": "head io >",
            "*/b": "bias",
        },
        0,
    )


def _residual(x, train):
    x = hk.Conv2D(4, 3, with_bias=False, name="conv_in")(x)
    for index, width in enumerate([4, 8]):
        y = hk.Conv2D(width, 3, with_bias=False, name=f"conv_{index}_a")(x)
        y = jax.nn.relu(hk.BatchNorm(True, True, 0.9, name=f"norm_{index}_a")(y, train))
        y = hk.Conv2D(width, 3, with_bias=False, name=f"conv_{index}_b")(y)
        y = hk.BatchNorm(True, True, 0.9, name=f"norm_{index}_b")(y, train)
        if width != x.shape[-1]:
            x = hk.Conv2D(width, 1, name=f"project_{index}")(x)
        x = jax.nn.relu(x + y)
    return hk.Linear(5, name="classifier")(x.mean((1, 2)))


HAIKU_RESNET = {
    "conv_in/w": "stem ..io",
    "conv_?_a/w": "hidden ..io >relu",
    "conv_?_b/w": "tail ..io >",
    "project_1/w": "shortcut ..io",
    "classifier/w": "head io",
    "norm_?_b/scale": "norm_scale ends",
    "*/scale": "norm_scale",
    "*/offset": "norm_bias",
    "*/b": "bias",
}


@entry
def haiku_resnet_with_state():
    return Entry(hk.transform_with_state(_residual), (shape(2, 8, 8, 3), True), HAIKU_RESNET, 2)


def _transformer(tokens):
    x = hk.Embed(11, 8, name="embed")(tokens)
    x = x + hk.get_parameter("positions", (6, 8), init=jnp.zeros)
    for index in range(2):
        y = hk.LayerNorm(-1, True, True, name=f"norm_{index}_a")(x)
        attention = hk.MultiHeadAttention(
            2, 4, w_init=hk.initializers.VarianceScaling(), name=f"attention_{index}"
        )
        x = x + attention(y, y, y)
        y = hk.LayerNorm(-1, True, True, name=f"norm_{index}_b")(x)
        y = hk.dropout(hk.next_rng_key(), 0.1, y)
        y = jax.nn.gelu(hk.Linear(16, name=f"expand_{index}")(y))
        x = x + hk.Linear(8, name=f"contract_{index}")(y)
    return hk.Linear(11, name="classifier")(x)


@entry
def haiku_transformer():
    return Entry(
        hk.transform(_transformer),
        (shape(2, 6, dtype="int32"),),
        {
            "embed/embeddings": "embedding io",
            "~/positions": "position_embedding",
            "attention_?/query/w": "hidden io @query",
            "attention_?/key/w": "hidden io @key",
            "attention_?/value/w": "hidden io @value",
            "attention_?/linear/w": "tail io @output",
            "expand_?/w": "hidden io >gelu",
            "contract_?/w": "tail io",
            "classifier/w": "head io",
            "norm*/scale": "norm_scale",
            "norm*/offset": "norm_bias",
            "*/b": "bias",
        },
        4,
    )


def _recurrent(xs):
    core = hk.LSTM(5, name="core")
    unroll = hk.dynamic_unroll
    ys, _ = unroll(core, xs, core.initial_state(xs.shape[1]))
    return hk.Linear(3, name="classifier")(ys[-1])


@entry
def haiku_lstm():
    """Input and state enter one kernel side by side."""
    return Entry(
        hk.transform(_recurrent),
        (shape(4, 2, 6),),
        {"*/linear/w": "hidden io", "classifier/w": "head io", "*/b": "bias"},
        0,
    )


@entry
def haiku_resnet_18():
    """The library's own, version 2: the projections read the normalized signal."""
    model = hk.transform_with_state(
        lambda x: hk.nets.ResNet18(5, resnet_v2=True)(x, is_training=True)
    )
    return Entry(
        model,
        (shape(2, 32, 32, 3),),
        {
            "*/initial_conv/w": "stem ..io",
            "*/shortcut_conv/w": "shortcut ..io",
            "*/conv_0/w": "hidden ..io >relu",
            "*/conv_1/w": "tail ..io >",
            "*/logits/w": "head io",
            "*/logits/b": "bias",
            "*/scale": "norm_scale",
            "*/offset": "norm_bias",
        },
        8,
    )


@entry
def haiku_function_without_a_random_key():
    def apply(x, is_training):
        x = hk.BatchNorm(True, True, 0.9, name="norm")(hk.Linear(6, name="first")(x), is_training)
        x = x + hk.Linear(6, name="tail")(jax.nn.relu(hk.Linear(7, name="hidden")(x)))
        return hk.Linear(2, name="last")(x)

    expected = {
        "first/w": "stem io",
        "hidden/w": "hidden io >relu",
        "tail/w": "tail io",
        "last/w": "head io",
        "norm/scale": "norm_scale",
        "norm/offset": "norm_bias",
        "*/b": "bias",
    }
    model = hk.without_apply_rng(hk.transform_with_state(apply))
    return Entry(model, (shape(4, 5), True), expected, 1)
