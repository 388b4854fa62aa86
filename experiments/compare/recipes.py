"""Recipes that several studies train by, so that a study says only what is its own."""

from experiments.compare.study import Variant
from experiments.config import Data, Model, Optimization, TrainConfig


def cifar10(
    name: str,
    model: Model,
    *,
    epochs: float = 200.0,
    warmup_epochs: float = 0.0,
    clip: float = 10.0,
) -> Variant:
    """CIFAR-10 with SGD: batch 128, momentum 0.9, weight decay 5e-4, crops, flips, a cosine."""
    return Variant(
        name,
        TrainConfig(
            model,
            data=Data(dataset="cifar10", batch_size=128, pad=4, flip=True),
            optimization=Optimization(epochs=epochs, warmup_epochs=warmup_epochs, clip=clip),
        ),
    )


def small_cifar10(
    name: str,
    model: Model,
    *,
    images: int,
    epochs: float,
    warmup_epochs: float = 0.0,
    clip: float = 10.0,
    shrink: int = 2,
    batch_size: int = 64,
) -> Variant:
    """The same for a CPU: few images, shrunk, in small batches, flipped and not cropped."""
    data = Data(
        dataset="cifar10",
        shrink=shrink,
        batch_size=batch_size,
        flip=True,
        train_examples=images,
    )
    recipe = Optimization(epochs=epochs, warmup_epochs=warmup_epochs, clip=clip)
    return Variant(name, TrainConfig(model, data=data, optimization=recipe, log_steps=1))
