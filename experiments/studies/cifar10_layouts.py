"""The paper's ablation: which parts of IDInit help ResNet-20 on CIFAR-10, beside its numbers."""

import dataclasses

from experiments.compare.recipes import cifar10, small_cifar10
from experiments.compare.study import Budget, Candidate, Study
from experiments.config import CifarResNet, Initialization

FULL = Budget(
    variants=(cifar10("ResNet-20", CifarResNet(depth=20)),),
    candidates=(
        Candidate("He (neither)", Initialization("he"), published=87.01),
        Candidate(
            "convolution only", Initialization("idinit_literal", tail="standard"), published=90.43
        ),
        Candidate("tail only", Initialization("he", tail="literal"), published=92.90),
        Candidate("both", Initialization("idinit_literal"), published=93.91),
        Candidate("both, tap", Initialization("idinit_literal", layout="tap")),
        Candidate("both, channel", Initialization("idinit_literal", layout="channel")),
        Candidate("norm-aware, patch", Initialization("idinit", layout="patch")),
        Candidate("norm-aware, tap", Initialization("idinit", layout="tap")),
        Candidate("norm-aware, channel", Initialization("idinit", layout="channel")),
    ),
    learning_rates=(0.01, 0.03, 0.1, 0.3, 1.0),
    targets=(0.6, 0.8, 0.9),
    loss_epochs=(1.0, 5.0),
)

STUDY = Study(
    question="Do identity convolutions, zero-preserving tails, or both help ResNet-20 on CIFAR-10, "
    "as the paper's ablation has it, and in which layout?",
    full=FULL,
    reduced=dataclasses.replace(
        FULL,
        variants=(
            small_cifar10(
                "ResNet-20", CifarResNet(depth=20, width=8, scan=True), images=5000, epochs=3
            ),
        ),
        validation=0.05,
        targets=(0.3, 0.4),
        loss_epochs=(1.0,),
    ),
    smoke=dataclasses.replace(
        FULL,
        variants=(small_cifar10("ResNet-8", CifarResNet(depth=8, width=4), images=640, epochs=1),),
        candidates=FULL.candidates[:2],
        learning_rates=(0.1,),
        seeds=2,
        targets=(0.2,),
    ),
    baseline="He (neither)",
)
