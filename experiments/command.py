"""The command line: an experiment of configs/ by name, every field of it overridable by a flag."""

import difflib
import importlib
import pkgutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args, get_origin

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

import configs
from experiments.config import Execution, TrainConfig

PROGRAM = "python -m experiments.train"


@dataclass(frozen=True)
class Command:
    """What the flags fill in."""

    config: TrainConfig
    execution: Execution = field(default_factory=Execution)


def parse(arguments: Sequence[str]) -> tuple[str, TrainConfig, Execution]:
    """The experiment's name, its config and the execution that the arguments ask for.

    Leaves the program, with a message and the status of a command line in error, where the name, a
    flag or a value is unknown; with status 0 after ``--help``.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(overview())
        sys.exit(0 if arguments else 2)
    name, *flags = arguments
    if name not in experiment_names():
        print(unknown_experiment(name), file=sys.stderr)
        sys.exit(2)
    module = importlib.import_module(f"configs.{name}")
    command = tyro.cli(
        Command,
        prog=f"{PROGRAM} {name}",
        description=module.__doc__,
        default=Command(module.CONFIG),
        args=flags,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.AvoidSubcommands),
        registry=CHOICES,
    )
    return name, command.config, command.execution


def experiment_names() -> list[str]:
    """All experiments, one file of configs/ each."""
    return sorted(module.name for module in pkgutil.iter_modules(configs.__path__))


def overview() -> str:
    """How to use the command, and every experiment with the first line of its description."""
    lines = [f"usage: {PROGRAM} NAME [flags]", f"       {PROGRAM} NAME --help", "", "experiments:"]
    for name in experiment_names():
        summary = (importlib.import_module(f"configs.{name}").__doc__ or "").splitlines()[0]
        lines.append(f"  {name:22} {summary}")
    return "\n".join(lines)


def unknown_experiment(name: str) -> str:
    """What is said to a name that no experiment has."""
    names = experiment_names()
    return (
        f"no experiment is called {name!r}; did you mean {nearest(name, names)!r}?\n\n{overview()}"
    )


def nearest(given: str, valid: Sequence[str]) -> str:
    """The valid name most like the given one."""
    return difflib.get_close_matches(given, valid, n=1, cutoff=0.0)[0]


CHOICES = ConstructorRegistry()


@CHOICES.primitive_rule
def choice(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
    """A field with fixed names for values: an unknown one is refused with the nearest."""
    if get_origin(info.type) is not Literal:
        return None
    names: tuple[str, ...] = get_args(info.type)

    def convert(arguments: list[str]) -> str:
        (given,) = arguments
        if given not in names:
            raise ValueError(
                f"{given!r} is not known; did you mean {nearest(given, names)!r}? "
                f"Valid: {', '.join(names)}"
            )
        return given

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="{" + ",".join(names) + "}",
        instance_from_str=convert,
        is_instance=lambda value: value in names,
        str_from_instance=lambda value: [value],
    )
