"""Random operands, and the experiments that are made of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from experiment import Experiment, of_primitive

# A function that contains the primitive, and its operands.
Build = Callable[["Draw"], tuple[Callable, Sequence[Any]]]
Make = Callable[["Draw"], Experiment]


class Draw:
    """Sizes and arrays from one generator."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def sizes(self, count: int = 3, low: int = 2, high: int = 4) -> tuple[int, ...]:
        return tuple(int(size) for size in self.rng.integers(low, high + 1, count))

    def normal(self, *shape: int) -> np.ndarray:
        return self.rng.normal(size=shape) * 2

    def positive(self, *shape: int) -> np.ndarray:
        return self.rng.uniform(0.3, 2.0, shape)

    def unit(self, *shape: int) -> np.ndarray:
        return self.rng.uniform(-0.95, 0.95, shape)

    def whole(self, high: int, *shape: int, low: int = 0) -> np.ndarray:
        return np.asarray(self.rng.integers(low, high, shape), np.int32)

    def truth(self, *shape: int) -> np.ndarray:
        return self.rng.random(shape) < 0.5


def makers(builds: Mapping[str, Sequence[Build]]) -> dict[str, list[Make]]:
    """How the experiments of every primitive are made."""

    def made(operation: str, build: Build) -> Make:
        return lambda draw: of_primitive(operation, *build(draw))

    return {name: [made(name, build) for build in some] for name, some in builds.items()}
