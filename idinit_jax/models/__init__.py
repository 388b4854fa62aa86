"""Plain Flax reference models whose kernels take ordinary initializers."""

from idinit_jax.models.mlp import MLP
from idinit_jax.models.resnet import ResNet, cifar_resnet, imagenet_resnet

__all__ = ["MLP", "ResNet", "cifar_resnet", "imagenet_resnet"]
