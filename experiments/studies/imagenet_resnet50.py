"""ResNet-50 on ImageNet: for whoever has the data and the machines."""

import dataclasses

from configs.imagenet_resnet50 import CONFIG
from experiments.compare.candidates import (
    FIXUP,
    HE,
    IDINIT,
    IDINIT_LITERAL,
    LSUV,
    SKIPINIT,
    ZERO,
    ZERO_GAMMA,
    ZERO_HADAMARD,
)
from experiments.compare.study import Budget, Study, Variant
from experiments.config import ImageNetResNet, TrainConfig


def short(model: ImageNetResNet, image_size: int, batch_size: int, epochs: float) -> TrainConfig:
    """The recipe of the full budget, cut."""
    return dataclasses.replace(
        CONFIG,
        model=model,
        data=dataclasses.replace(CONFIG.data, image_size=image_size, batch_size=batch_size),
        optimization=dataclasses.replace(CONFIG.optimization, epochs=epochs, warmup_epochs=0.0),
    )


FULL = Budget(
    variants=(Variant("ResNet-50", CONFIG),),
    candidates=(
        HE,
        LSUV,
        ZERO,
        ZERO_GAMMA,
        ZERO_HADAMARD,
        SKIPINIT,
        FIXUP,
        IDINIT_LITERAL,
        IDINIT,
    ),
    learning_rates=(0.1, 0.2, 0.4, 0.8, 1.6),
    validation=0.02,
    targets=(0.4, 0.6, 0.7),
    loss_epochs=(1.0, 5.0),
)

STUDY = Study(
    question="Does any start beat He on ResNet-50 and ImageNet when every one has its own rate?",
    full=FULL,
    reduced=dataclasses.replace(
        FULL,
        variants=(
            Variant("ResNet-50, 128 pixels", short(ImageNetResNet(50), 128, 1024, epochs=18)),
        ),
        candidates=(HE, ZERO_GAMMA, IDINIT_LITERAL, IDINIT),
        learning_rates=(0.2, 0.4, 0.8),
    ),
    smoke=dataclasses.replace(
        FULL,
        variants=(Variant("ResNet-18, 32 pixels", short(ImageNetResNet(18), 32, 16, epochs=1)),),
        candidates=(HE,),
        learning_rates=(0.1,),
        seeds=1,
    ),
)
