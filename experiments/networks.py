"""From a config to the Flax module it describes."""

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike

from experiments.config import MLP, CifarResNet, ImageNetResNet, TrainConfig
from experiments.schemes import Initializers, initializers
from idinit_jax import models

ACTIVATIONS = {"relu": nn.relu, "tanh": nn.tanh}


def build_network(config: TrainConfig, num_classes: int, axis_name: str | None = None) -> nn.Module:
    """The network of a run, initialized by its scheme.

    Args:
        config: the run.
        num_classes: width of the output.
        axis_name: the pmap axis that batch statistics are averaged over, if any.

    Returns:
        A module whose ``__call__(images, train)`` gives float32 logits (N, num_classes).

    Raises:
        ValueError: if the scheme needs residual branches and the network has none.
    """
    dtype = jnp.bfloat16 if config.optimization.precision == "bfloat16" else jnp.float32
    model = config.model
    if isinstance(model, MLP):
        return _mlp(model, initializers(config.init, norm="none"), num_classes, dtype)
    return _resnet(model, initializers(config.init, model.norm), num_classes, dtype, axis_name)


def _mlp(model: MLP, init: Initializers, num_classes: int, dtype: DTypeLike) -> nn.Module:
    if init.hidden is None or init.head is None or init.residual != "plain":
        raise ValueError(
            f"scheme {init.residual!r} scales residual branches, and an MLP has none; "
            "choose 'he' or 'idinit', or a residual network"
        )
    return models.MLP(
        features=model.features,
        num_classes=num_classes,
        activation=ACTIVATIONS[model.activation],
        dtype=dtype,
        stem_init=init.stem,
        hidden_init=init.hidden,
        head_init=init.head,
    )


def _resnet(
    model: CifarResNet | ImageNetResNet,
    init: Initializers,
    num_classes: int,
    dtype: DTypeLike,
    axis_name: str | None,
) -> nn.Module:
    return models.ResNet(
        family="cifar" if isinstance(model, CifarResNet) else "imagenet",
        depth=model.depth,
        num_classes=num_classes,
        norm=model.norm,
        shortcut=model.shortcut,
        residual=init.residual,
        dtype=dtype,
        axis_name=axis_name,
        scan=isinstance(model, CifarResNet) and model.scan,
        stem_init=init.stem,
        hidden_init=init.hidden,
        tail_init=init.tail,
        shortcut_init=init.shortcut,
        head_init=init.head,
        tail_scale_init=init.tail_scale,
    )
