"""ViT-B/32 on ImageNet: for whoever has the data and the machines."""

import dataclasses

from configs.imagenet_vit_b32 import CONFIG
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
from experiments.config import TrainConfig, VisionTransformer


def short(model: VisionTransformer, image_size: int, batch_size: int, epochs: float) -> TrainConfig:
    """The recipe of the full budget, cut."""
    return dataclasses.replace(
        CONFIG,
        model=model,
        data=dataclasses.replace(CONFIG.data, image_size=image_size, batch_size=batch_size),
        optimization=dataclasses.replace(
            CONFIG.optimization, epochs=epochs, warmup_epochs=epochs / 10
        ),
    )


FULL = Budget(
    variants=(Variant("ViT-B/32", CONFIG),),
    candidates=(HE, XAVIER, ZERO_HADAMARD, T_FIXUP, MIMETIC, IDINIT_LITERAL, IDINIT),
    learning_rates=(0.0003, 0.001, 0.003),
    validation=0.02,
    targets=(0.4, 0.6, 0.7),
    loss_epochs=(1.0, 5.0),
)

STUDY = Study(
    question="Does any start beat He on ViT-B/32 and ImageNet when every one has its own rate?",
    full=FULL,
    reduced=dataclasses.replace(
        FULL,
        variants=(
            Variant("ViT-S/32, 128 pixels", short(VisionTransformer("S", patch=32), 128, 1024, 30)),
        ),
        candidates=(HE, XAVIER, MIMETIC, IDINIT_LITERAL, IDINIT),
    ),
    smoke=dataclasses.replace(
        FULL,
        variants=(
            Variant(
                "ViT of 2 blocks, 32 pixels",
                short(VisionTransformer(width=16, depth=2, heads=2, patch=8), 32, 16, 1),
            ),
        ),
        candidates=(HE,),
        learning_rates=(0.001,),
        seeds=1,
    ),
)
