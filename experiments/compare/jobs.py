"""The runs of a study: which there are, and the full config that addresses each."""

import dataclasses
import math
from typing import Literal, NamedTuple

from experiments.compare.study import Budget, Cell
from experiments.config import TrainConfig

FIRST_TUNING_SEED = 1000
"""Seeds of tuning runs lie apart from those of final runs, which count from 0."""

Kind = Literal["signal", "tuning", "final"]


class Job(NamedTuple):
    """One thing to compute: the signal at the start of a run, or a run.

    Args:
        kind: "signal" is measured on the first batch; a "tuning" run is evaluated on held-out
            training images, a "final" run on the test images, once, at its end.
        config: of the run.
    """

    kind: Kind
    config: TrainConfig


def signal_job(budget: Budget, cell: Cell) -> Job:
    """The measurement of a cell's signal at the start, which no learning rate changes."""
    return Job("signal", final_config(cell, budget.learning_rates[0], 0))


def tuning_jobs(budget: Budget, cell: Cell, learning_rate: float) -> list[Job]:
    """The runs that judge one learning rate; none where there is nothing to choose."""
    if len(budget.learning_rates) == 1:
        return []
    seeds = range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + budget.tuning_seeds)
    return [
        Job("tuning", tuning_config(cell, learning_rate, seed, budget.validation)) for seed in seeds
    ]


def final_jobs(budget: Budget, cell: Cell, learning_rate: float) -> list[Job]:
    """The runs that count, with the chosen rate."""
    return [Job("final", final_config(cell, learning_rate, seed)) for seed in range(budget.seeds)]


def tuning_config(cell: Cell, learning_rate: float, seed: int, validation: float) -> TrainConfig:
    """A run that is evaluated on a share of the training images, which it does not train on."""
    config = configured(cell, learning_rate, seed)
    return dataclasses.replace(config, data=dataclasses.replace(config.data, validation=validation))


def final_config(cell: Cell, learning_rate: float, seed: int) -> TrainConfig:
    """A run on all training images of the budget that looks at the test images only at its end."""
    config = configured(cell, learning_rate, seed)
    return dataclasses.replace(
        config,
        data=dataclasses.replace(config.data, validation=0.0),
        eval_epochs=math.ceil(config.optimization.epochs) + 1,
    )


def configured(cell: Cell, learning_rate: float, seed: int) -> TrainConfig:
    """The variant's config with the candidate, the rate and the seed."""
    config = cell.variant.config
    return dataclasses.replace(
        config,
        init=cell.candidate.init,
        optimization=dataclasses.replace(config.optimization, learning_rate=learning_rate),
        seed=seed,
    )
