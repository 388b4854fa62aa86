"""A study: a question, and everything that decides which runs answer it."""

import importlib
import pkgutil
from dataclasses import dataclass
from typing import Literal, NamedTuple

from experiments import studies
from experiments.command import nearest
from experiments.config import Initialization, TrainConfig

BudgetName = Literal["full", "reduced", "smoke"]


@dataclass(frozen=True)
class Candidate:
    """An initialization that competes.

    Args:
        name: in tables and pictures.
        init: what it is.
        published: accuracy in % that its authors report for the full budget, if any.
    """

    name: str
    init: Initialization
    published: float | None = None


@dataclass(frozen=True)
class Variant:
    """A network with its data and recipe, in which all candidates compete.

    Args:
        name: in tables and pictures.
        config: of a run. Initialization, learning rate, seed, held-out share and evaluations are
            the comparison's to fill in.
    """

    name: str
    config: TrainConfig


@dataclass(frozen=True)
class Budget:
    """How thoroughly the question is asked.

    Args:
        variants: networks and recipes.
        candidates: what competes in each of them.
        learning_rates: the grid, ascending; of a single rate nothing is tuned.
        seeds: final runs a variant and candidate.
        tuning_seeds: runs a variant, candidate and learning rate.
        validation: share of the training images on which the rate is chosen, in (0, 1).
        targets: training accuracies, in (0, 1), that runs race to.
        loss_epochs: the training loss after so many epochs is reported.
    """

    variants: tuple[Variant, ...]
    candidates: tuple[Candidate, ...]
    learning_rates: tuple[float, ...]
    seeds: int = 3
    tuning_seeds: int = 1
    validation: float = 0.1
    targets: tuple[float, ...] = ()
    loss_epochs: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if not self.learning_rates or list(self.learning_rates) != sorted(set(self.learning_rates)):
            raise ValueError(f"learning rates must ascend, got {self.learning_rates}")
        for things in (self.variants, self.candidates):
            names = [thing.name for thing in things]
            if len(set(names)) != len(names):
                raise ValueError(f"names must differ, got {names}")

    @property
    def cells(self) -> tuple["Cell", ...]:
        """Every variant with every candidate."""
        return tuple(Cell(v, c) for v in self.variants for c in self.candidates)


class Cell(NamedTuple):
    """One variant with one candidate."""

    variant: Variant
    candidate: Candidate

    def __str__(self) -> str:
        return f"{self.variant.name}, {self.candidate.name}"


@dataclass(frozen=True)
class Study:
    """A question and the budgets it may be asked with.

    Args:
        question: in a sentence or two.
        full: what would settle it.
        reduced: what two CPU cores answer in minutes.
        smoke: seconds, for tests of the machinery; its numbers mean nothing.
        baseline: name of the candidate that all others are compared with.
    """

    question: str
    full: Budget
    reduced: Budget
    smoke: Budget
    baseline: str = "He"

    def __post_init__(self) -> None:
        for budget in (self.full, self.reduced, self.smoke):
            names = [candidate.name for candidate in budget.candidates]
            if self.baseline not in names:
                raise ValueError(f"the baseline {self.baseline!r} is not among {names}")

    def budget(self, name: BudgetName) -> Budget:
        """The budget of this name."""
        return {"full": self.full, "reduced": self.reduced, "smoke": self.smoke}[name]


def study_names() -> list[str]:
    """All studies, one file of experiments/studies each."""
    return sorted(module.name for module in pkgutil.iter_modules(studies.__path__))


def load_study(name: str) -> Study:
    """The study of this name.

    Raises:
        ValueError: if there is none, naming the nearest.
    """
    names = study_names()
    if name not in names:
        raise ValueError(
            f"no study is called {name!r}; did you mean {nearest(name, names)!r}? "
            f"Studies: {', '.join(names)}"
        )
    return importlib.import_module(f"experiments.studies.{name}").STUDY
