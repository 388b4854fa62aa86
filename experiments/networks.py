"""From a config to the Flax module it describes."""

import functools

import flax.linen as nn
import jax.numpy as jnp
from jax.typing import DTypeLike

from experiments.config import MLP, CifarResNet, ImageNetResNet, TrainConfig, VisionTransformer
from idinit_jax import models

ACTIVATIONS = {"relu": nn.relu, "tanh": nn.tanh}
# Schemes that are half architecture: learned scalars on every residual branch.
RESIDUAL_STYLES = ("skipinit", "rezero", "fixup")


def build_network(config: TrainConfig, num_classes: int, axis_name: str | None = None) -> nn.Module:
    """The network of a run.

    Args:
        config: the run.
        num_classes: width of the output.
        axis_name: the pmap axis that the batch is split over, if any.

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
    if isinstance(model, MLP):
        activation = ACTIVATIONS[model.activation]
        return models.MLP(model.features, num_classes, activation, dtype, scan=model.scan)
    return _vit(model, num_classes, dtype, axis_name)


def _vit(
    model: VisionTransformer, num_classes: int, dtype: DTypeLike, axis_name: str | None
) -> nn.Module:
    given = {"width": model.width, "depth": model.depth, "heads": model.heads}
    given = {name: value for name, value in given.items() if value is not None}
    return models.ViT(
        size=models.vit_size(model.size)._replace(**given),
        patch=model.patch,
        num_classes=num_classes,
        pooling=model.pooling,
        position=model.position,
        dropout=model.dropout,
        stochastic_depth=model.stochastic_depth,
        dtype=dtype,
        axis_name=axis_name,
        scan=model.scan,
        remat=model.remat,
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
