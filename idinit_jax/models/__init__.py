"""Plain Flax reference models whose kernels take ordinary initializers."""

from idinit_jax.models.lm import LanguageModel
from idinit_jax.models.mlp import MLP
from idinit_jax.models.resnet import ResNet, cifar_resnet, imagenet_resnet
from idinit_jax.models.stacking import stack_blocks, unstack_blocks
from idinit_jax.models.transformer import TransformerSize
from idinit_jax.models.vit import ViT, vit_size

__all__ = [
    "MLP",
    "LanguageModel",
    "ResNet",
    "TransformerSize",
    "ViT",
    "cifar_resnet",
    "imagenet_resnet",
    "stack_blocks",
    "unstack_blocks",
    "vit_size",
]
