"""ResNets without norms of 20 to 1202 layers: what trains at all?"""

import dataclasses

from experiments.compare.candidates import FIXUP, HE, IDINIT, LSUV, REZERO, SKIPINIT, ZERO_HADAMARD
from experiments.compare.recipes import cifar10, small_cifar10
from experiments.compare.study import Budget, Study, Variant
from experiments.config import CifarResNet


def full(depth: int) -> Variant:
    """A ResNet without norms; clipping at 1 gives He its best chance."""
    model = CifarResNet(depth=depth, norm="none", scan=True)
    return cifar10(f"{depth} layers", model, epochs=50, clip=1.0)


def small(depth: int, images: int) -> Variant:
    """A narrow one on tiny images."""
    model = CifarResNet(depth=depth, width=4, norm="none", scan=True)
    return small_cifar10(
        f"{depth} layers", model, images=images, epochs=2, clip=1.0, shrink=4, batch_size=32
    )


FULL = Budget(
    variants=tuple(map(full, (20, 56, 110, 302, 1202))),
    candidates=(HE, LSUV, ZERO_HADAMARD, SKIPINIT, REZERO, FIXUP, IDINIT),
    learning_rates=(0.001, 0.003, 0.01, 0.03, 0.1),
    targets=(0.4, 0.6, 0.8),
    loss_epochs=(1.0, 5.0),
)

STUDY = Study(
    question="Without norms, which start trains a residual network of 20, 110 or 1202 layers?",
    full=FULL,
    reduced=dataclasses.replace(
        FULL,
        variants=(small(20, 4000), small(110, 4000), small(1202, 4000)),
        candidates=(HE, FIXUP, IDINIT),
        learning_rates=(0.003, 0.01, 0.03, 0.1),
        tuning_seeds=2,
        validation=0.02,
        targets=(0.2, 0.3),
        loss_epochs=(1.0,),
    ),
    smoke=dataclasses.replace(
        FULL,
        variants=(small(8, 320), small(32, 320)),
        candidates=(HE, IDINIT),
        learning_rates=(0.03,),
        seeds=2,
        targets=(0.2,),
    ),
)
