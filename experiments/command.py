"""The command line: an experiment of configs/ by name, every field of it overridable by a flag."""

import importlib
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass, field

import tyro

import configs
from experiments.config import Execution, TrainConfig

PROGRAM = "python -m experiments.train"


@dataclass(frozen=True)
class Command:
    """What the flags fill in."""

    config: TrainConfig
    execution: Execution = field(default_factory=Execution)


def experiment_names() -> list[str]:
    """All experiments, one file of configs/ each."""
    return sorted(module.name for module in pkgutil.iter_modules(configs.__path__))


def parse(arguments: Sequence[str]) -> tuple[str, TrainConfig, Execution]:
    name, *flags = arguments
    module = importlib.import_module(f"configs.{name}")
    command = tyro.cli(
        Command,
        prog=f"{PROGRAM} {name}",
        description=module.__doc__,
        default=Command(module.CONFIG),
        args=flags,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.AvoidSubcommands),
    )
    return name, command.config, command.execution
