"""The command line names every field, and answers what it does not know with what is nearest."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from configs.cifar10_resnet20 import CONFIG
from experiments.command import experiment_names, parse
from experiments.config import Execution


def field_names(instance: Any) -> Iterator[str]:
    """Fields without fields of their own."""
    for field in dataclasses.fields(instance):
        value = getattr(instance, field.name)
        if dataclasses.is_dataclass(value):
            yield from field_names(value)
        else:
            yield field.name


def refusal(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stopped:
        parse(arguments)
    assert stopped.value.code == 2
    return " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_help_names_every_field_of_every_experiment(capsys: pytest.CaptureFixture[str]) -> None:
    for name in experiment_names():
        _, config, execution = parse([name])
        with pytest.raises(SystemExit) as stopped:
            parse([name, "--help"])
        assert stopped.value.code == 0
        text = capsys.readouterr().out
        for field in (*field_names(config), *field_names(execution)):
            assert f"--{field.replace('_', '-')}" in text


def test_overrides_change_their_field_and_no_other() -> None:
    flags = "--depth 56 --norm none --clip None --no-flip --scheme idinit --tail norm_aware_he"
    arguments = ["cifar10_resnet20", *flags.split(), "--data-dir", "elsewhere"]
    name, config, execution = parse(arguments)
    assert name == "cifar10_resnet20"
    assert config == dataclasses.replace(
        CONFIG,
        model=dataclasses.replace(CONFIG.model, depth=56, norm="none"),
        init=dataclasses.replace(CONFIG.init, scheme="idinit", tail="norm_aware_he"),
        data=dataclasses.replace(CONFIG.data, flip=False),
        optimization=dataclasses.replace(CONFIG.optimization, clip=None),
    )
    assert execution == Execution(data_dir="elsewhere")


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (["cifar10_resnet21"], "did you mean 'cifar10_resnet20'?"),
        (["digits_resnet8", "--scheme", "idinitt"], "did you mean 'idinit'?"),
        (["digits_resnet8", "--tail", "norm_awre"], "did you mean 'norm_aware'?"),
        (["digits_resnet8", "--scheme", "t_fixupp"], "did you mean 't_fixup'?"),
        (["cifar10_vit_tiny4", "--position", "sinkos"], "did you mean 'sincos'?"),
        (["cifar10_vit_tiny4", "--distortion", "1"], "--distortions"),
        (["digits_resnet8", "--learnin-rate", "1"], "--learning-rate"),
        (["digits_resnet8", "--epochs", "many"], "--epochs"),
    ],
)
def test_the_unknown_is_refused_with_the_nearest(
    arguments: list[str], answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answer in refusal(arguments, capsys)


def test_no_name_lists_the_experiments(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse([])
    text = capsys.readouterr().out
    assert all(name in text for name in experiment_names())
