"""The examples in the docstrings run and print what they say."""

import doctest
import importlib
import pkgutil

import pytest

from idinit_jax import signal

MODULES = [module.name for module in pkgutil.iter_modules(signal.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    module = importlib.import_module(f"{signal.__name__}.{name}")
    assert doctest.testmod(module).failed == 0
