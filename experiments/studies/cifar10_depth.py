"""ResNets with batch norm of 20, 56 and 110 layers: does identity win as networks get deeper?"""

import dataclasses

from experiments.compare.candidates import (
    FIXUP,
    HE,
    IDINIT,
    IDINIT_LITERAL,
    SKIPINIT,
    ZERO_GAMMA,
    ZERO_HADAMARD,
)
from experiments.compare.recipes import cifar10, small_cifar10
from experiments.compare.study import Budget, Study, Variant
from experiments.config import CifarResNet

DEPTHS = (20, 56, 110)


def small(depth: int) -> Variant:
    """A narrow ResNet on tiny images, 2 epochs of 62 steps."""
    model = CifarResNet(depth=depth, width=8, scan=True)
    return small_cifar10(f"ResNet-{depth}", model, images=4000, epochs=2, shrink=4)


FULL = Budget(
    variants=tuple(
        cifar10(f"ResNet-{depth}", CifarResNet(depth=depth), warmup_epochs=1) for depth in DEPTHS
    ),
    candidates=(HE, ZERO_GAMMA, ZERO_HADAMARD, SKIPINIT, FIXUP, IDINIT_LITERAL, IDINIT),
    learning_rates=(0.01, 0.03, 0.1, 0.3, 1.0),
    targets=(0.6, 0.8, 0.9),
    loss_epochs=(1.0, 5.0),
)

STUDY = Study(
    question="With batch norm, at 20 layers He starts fastest. Does identity win with depth, once "
    "every start has its own learning rate?",
    full=FULL,
    reduced=dataclasses.replace(
        FULL,
        variants=tuple(map(small, DEPTHS)),
        candidates=(HE, ZERO_GAMMA, ZERO_HADAMARD, SKIPINIT, IDINIT_LITERAL, IDINIT),
        validation=0.03,
        targets=(0.2, 0.3),
        loss_epochs=(1.0,),
    ),
    smoke=dataclasses.replace(
        FULL,
        variants=(
            small_cifar10("ResNet-8", CifarResNet(depth=8, width=4), images=640, epochs=1),
            small_cifar10("ResNet-14", CifarResNet(depth=14, width=4), images=640, epochs=1),
        ),
        candidates=(HE, IDINIT),
        learning_rates=(0.1,),
        seeds=2,
        targets=(0.2,),
    ),
)
