"""A Vision Transformer on CIFAR-10, trained from nothing with AdamW."""

import dataclasses

from configs.cifar10_vit_tiny4 import CONFIG
from experiments.compare.candidates import (
    HE,
    IDINIT,
    IDINIT_LITERAL,
    MIMETIC,
    T_FIXUP,
    XAVIER,
    ZERO_HADAMARD,
)
from experiments.compare.study import Budget, Study, Variant
from experiments.config import Data, Optimization, TrainConfig, VisionTransformer


def small(depth: int, images: int, epochs: float) -> Variant:
    """A narrow one on 16 tokens of 16 x 16 pixels; nothing is distorted but by flips."""
    model = VisionTransformer(width=64, depth=depth, heads=4, patch=4)
    data = Data(dataset="cifar10", shrink=2, batch_size=64, flip=True, train_examples=images)
    recipe = Optimization(
        optimizer="adamw",
        weight_decay=0.05,
        clip=1.0,
        epochs=epochs,
        warmup_epochs=epochs / 10,
    )
    config = TrainConfig(model, data=data, optimization=recipe, log_steps=1)
    return Variant(f"ViT of {depth} blocks", config)


FULL = Budget(
    variants=(Variant("ViT-Ti/4", CONFIG),),
    candidates=(HE, XAVIER, ZERO_HADAMARD, T_FIXUP, MIMETIC, IDINIT_LITERAL, IDINIT),
    learning_rates=(0.0003, 0.001, 0.003, 0.01),
    targets=(0.4, 0.6, 0.8),
    loss_epochs=(1.0, 10.0),
)

STUDY = Study(
    question="Which start trains a Vision Transformer on a small data set best?",
    full=FULL,
    reduced=dataclasses.replace(
        FULL,
        variants=(small(depth=6, images=5000, epochs=4),),
        candidates=(HE, XAVIER, T_FIXUP, MIMETIC, IDINIT_LITERAL, IDINIT),
        learning_rates=(0.0003, 0.001, 0.003, 0.01),
        validation=0.05,
        targets=(0.3, 0.4),
        loss_epochs=(1.0,),
    ),
    smoke=dataclasses.replace(
        FULL,
        variants=(small(depth=2, images=640, epochs=1),),
        candidates=(HE, IDINIT),
        learning_rates=(0.003,),
        seeds=2,
        targets=(0.2,),
    ),
)
