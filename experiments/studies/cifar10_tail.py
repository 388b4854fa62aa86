"""Where the near-zero of a branch sits: in its last kernel, or in the norm's scale after it."""

import dataclasses

from experiments.compare.candidates import HE, IDINIT, IDINIT_LITERAL, ZERO_GAMMA
from experiments.compare.recipes import cifar10, small_cifar10
from experiments.compare.study import Budget, Candidate, Study
from experiments.config import CifarResNet, Initialization

FULL = Budget(
    variants=(
        cifar10("ResNet-20", CifarResNet(depth=20)),
        cifar10("ResNet-56", CifarResNet(depth=56)),
    ),
    candidates=(
        HE,
        ZERO_GAMMA,
        IDINIT_LITERAL,
        Candidate("literal, channel", Initialization("idinit_literal", layout="channel")),
        IDINIT,
        Candidate("norm-aware, patch", Initialization("idinit", layout="patch")),
        Candidate("norm-aware, He tail", Initialization("idinit", tail="norm_aware_he")),
        Candidate("identity, He tail", Initialization("idinit", tail="standard")),
    ),
    learning_rates=(0.01, 0.03, 0.1, 0.3, 1.0),
    targets=(0.6, 0.8, 0.9),
    loss_epochs=(1.0, 5.0),
)

STUDY = Study(
    question="Batch norm undoes a tail kernel of 1e-6 within a step. Is it better to put the "
    "near-zero into the norm's scale?",
    full=FULL,
    reduced=dataclasses.replace(
        FULL,
        variants=(
            small_cifar10(
                "ResNet-20", CifarResNet(depth=20, width=8, scan=True), images=4000, epochs=3
            ),
        ),
        candidates=FULL.candidates[:6],
        validation=0.05,
        targets=(0.3, 0.4),
        loss_epochs=(1.0,),
    ),
    smoke=dataclasses.replace(
        FULL,
        variants=(small_cifar10("ResNet-8", CifarResNet(depth=8, width=4), images=640, epochs=1),),
        candidates=FULL.candidates[:3],
        learning_rates=(0.1,),
        seeds=2,
        targets=(0.2,),
    ),
)
