"""From a config to the Flax module it describes."""

import functools

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike

from experiments.config import CifarResNet, ImageNetResNet, TrainConfig
from idinit_jax import models

ACTIVATIONS = {"relu": nn.relu, "tanh": nn.tanh}
# Schemes that are half architecture: learned scalars on every residual branch.
RESIDUAL_STYLES = ("skipinit", "rezero", "fixup")


def build_network(config: TrainConfig, num_classes: int, axis_name: str | None = None) -> nn.Module:
    """The network of a run.

    Args:
        config: the run.
        num_classes: width of the output.
        axis_name: the pmap axis that batch statistics are averaged over, if any.

    Returns:
        A module whose ``__call__(images, train)`` gives float32 logits (N, num_classes).

    Raises:
        ValueError: if the scheme needs learned scalars on branches and the network has none.
    """
    dtype = jnp.bfloat16 if config.optimization.precision == "bfloat16" else jnp.float32
    model, scheme = config.model, config.init.scheme
    if isinstance(model, CifarResNet | ImageNetResNet):
        return _resnet(model, scheme, num_classes, dtype, axis_name)
    if scheme in RESIDUAL_STYLES:
        raise ValueError(
            f"scheme {scheme!r} needs learned scalars on residual branches: a ResNet has them, "
            f"{type(model).__name__} has none; choose 'he' or 'idinit', or a ResNet"
        )
    return models.MLP(
        features=model.features,
        num_classes=num_classes,
        activation=ACTIVATIONS[model.activation],
        dtype=dtype,
    )


def _resnet(
    model: CifarResNet | ImageNetResNet,
    scheme: str,
    num_classes: int,
    dtype: DTypeLike,
    axis_name: str | None,
) -> nn.Module:
    make = functools.partial(
        models.ResNet,
        depth=model.depth,
        num_classes=num_classes,
        norm=model.norm,
        shortcut=model.shortcut,
        residual=scheme if scheme in RESIDUAL_STYLES else "plain",
        dtype=dtype,
        axis_name=axis_name,
    )
    if isinstance(model, CifarResNet):
        return make(family="cifar", width=model.width, scan=model.scan)
    return make(family="imagenet")
