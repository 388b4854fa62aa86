"""Multilayer perceptrons and a small residual network on the bundled digits: needs no download."""

import dataclasses

from experiments.compare.candidates import HE, IDINIT, ORTHOGONAL, XAVIER
from experiments.compare.study import Budget, Study, Variant
from experiments.config import MLP, CifarResNet, Data, Model, Optimization, TrainConfig


def network(name: str, model: Model, epochs: float) -> Variant:
    """A network on digits, trained with SGD."""
    data = Data(dataset="digits", batch_size=64)
    recipe = Optimization(epochs=epochs)
    return Variant(name, TrainConfig(model, data=data, optimization=recipe, log_steps=1))


FULL = Budget(
    variants=(
        network("MLP of 3 layers", MLP(features=(64, 64)), epochs=20),
        network("MLP of 21 layers", MLP(features=(64,) * 20), epochs=20),
        network("ResNet-14 without norms", CifarResNet(depth=14, norm="none"), epochs=10),
    ),
    candidates=(HE, XAVIER, ORTHOGONAL, IDINIT),
    learning_rates=(0.003, 0.01, 0.03, 0.1, 0.3),
    seeds=5,
    tuning_seeds=3,
    targets=(0.8, 0.9, 0.95),
    loss_epochs=(1.0, 5.0),
)

STUDY = Study(
    question="Which start trains small networks on 8 x 8 digits best, and does depth matter?",
    full=FULL,
    reduced=dataclasses.replace(FULL, learning_rates=(0.01, 0.03, 0.1), tuning_seeds=1),
    smoke=dataclasses.replace(
        FULL,
        variants=(network("MLP of 3 layers", MLP(features=(32, 32)), epochs=2),),
        candidates=(HE, IDINIT),
        learning_rates=(0.01, 0.1),
        seeds=2,
        tuning_seeds=1,
        targets=(0.5, 0.8),
        loss_epochs=(1.0,),
    ),
)
