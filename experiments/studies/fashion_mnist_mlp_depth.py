"""Plain multilayer perceptrons of 5 to 200 layers on Fashion-MNIST, with ReLU and with tanh."""

import dataclasses
from typing import Literal

from experiments.compare.candidates import (
    HE,
    IDINIT,
    LSUV,
    ORTHOGONAL,
    XAVIER,
    ZERO_HADAMARD,
)
from experiments.compare.study import Budget, Study, Variant
from experiments.config import MLP, Data, Optimization, TrainConfig

Activation = Literal["relu", "tanh"]
ACTIVATIONS: tuple[Activation, ...] = ("relu", "tanh")


def full(activation: Activation, depth: int) -> Variant:
    """``depth`` kernels, 128 wide, 20 epochs."""
    model = MLP(features=(128,) * (depth - 1), activation=activation)
    data = Data(dataset="fashion_mnist", batch_size=128)
    recipe = Optimization(epochs=20, clip=1.0)
    config = TrainConfig(model, data=data, optimization=recipe)
    return Variant(f"{activation}, {depth} layers", config)


def small(activation: Activation, depth: int) -> Variant:
    """``depth`` kernels, 64 wide, on 14 x 14 pixels, 2 epochs of 60 steps."""
    model = MLP(features=(64,) * (depth - 1), activation=activation, scan=True)
    data = Data(dataset="fashion_mnist", shrink=2, batch_size=100, train_examples=6000)
    recipe = Optimization(epochs=2, clip=1.0)
    config = TrainConfig(model, data=data, optimization=recipe, log_steps=1)
    return Variant(f"{activation}, {depth} layers", config)


FULL = Budget(
    variants=tuple(full(one, depth) for one in ACTIVATIONS for depth in (5, 20, 50, 100, 200)),
    candidates=(HE, XAVIER, ORTHOGONAL, LSUV, IDINIT),
    learning_rates=(0.0003, 0.001, 0.003, 0.01, 0.03, 0.1),
    targets=(0.6, 0.8, 0.85),
    loss_epochs=(1.0, 5.0),
)

STUDY = Study(
    question="How deep can a network without shortcuts and norms be and still train?",
    full=FULL,
    reduced=dataclasses.replace(
        FULL,
        variants=tuple(small(one, depth) for one in ACTIVATIONS for depth in (5, 50, 200)),
        candidates=(HE, XAVIER, ORTHOGONAL, LSUV, ZERO_HADAMARD, IDINIT),
        learning_rates=(0.001, 0.006, 0.04, 0.2),
        validation=0.03,
        targets=(0.4, 0.6, 0.7),
        loss_epochs=(1.0,),
    ),
    smoke=dataclasses.replace(
        FULL,
        variants=(small("relu", 5), small("tanh", 5)),
        candidates=(HE, IDINIT),
        learning_rates=(0.04,),
        seeds=2,
        targets=(0.4,),
    ),
)
