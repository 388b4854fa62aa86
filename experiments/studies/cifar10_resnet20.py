"""ResNet-20 on CIFAR-10 from every initialization that fits it, each at its own learning rate."""

import dataclasses

from experiments.compare.candidates import (
    DELTA_ORTHOGONAL,
    FIXUP,
    HE,
    IDINIT,
    IDINIT_LITERAL,
    LSUV,
    ORTHOGONAL,
    REZERO,
    SKIPINIT,
    XAVIER,
    ZERO,
    ZERO_GAMMA,
    ZERO_HADAMARD,
    ZERO_PERTURBED,
)
from experiments.compare.recipes import cifar10, small_cifar10
from experiments.compare.study import Budget, Study
from experiments.config import CifarResNet

FULL = Budget(
    variants=(cifar10("ResNet-20", CifarResNet(depth=20)),),
    candidates=(
        HE,
        XAVIER,
        ORTHOGONAL,
        DELTA_ORTHOGONAL,
        LSUV,
        ZERO,
        ZERO_PERTURBED,
        ZERO_GAMMA,
        ZERO_HADAMARD,
        SKIPINIT,
        REZERO,
        FIXUP,
        IDINIT_LITERAL,
        IDINIT,
    ),
    learning_rates=(0.01, 0.03, 0.1, 0.3, 1.0),
    targets=(0.6, 0.8, 0.9),
    loss_epochs=(1.0, 5.0),
)

SMALL = CifarResNet(depth=20, width=8, scan=True)

STUDY = Study(
    question="Which start trains ResNet-20 on CIFAR-10 best when every one has its own rate?",
    full=FULL,
    reduced=dataclasses.replace(
        FULL,
        variants=(small_cifar10("ResNet-20", SMALL, images=5000, epochs=3),),
        candidates=(HE, LSUV, ZERO_GAMMA, ZERO_HADAMARD, FIXUP, IDINIT_LITERAL, IDINIT),
        learning_rates=(0.003, 0.01, 0.03, 0.1, 0.3, 1.0),
        validation=0.05,
        targets=(0.3, 0.4),
        loss_epochs=(1.0,),
    ),
    smoke=dataclasses.replace(
        FULL,
        variants=(small_cifar10("ResNet-8", CifarResNet(depth=8, width=4), images=640, epochs=1),),
        candidates=(HE, IDINIT),
        learning_rates=(0.03, 0.1),
        seeds=2,
        validation=0.02,
        targets=(0.2,),
    ),
)
