"""The examples in the docstrings run and print what they say."""

import doctest
import importlib
import pkgutil

import pytest

from idinit_jax import initializers

MODULES = [module.name for module in pkgutil.iter_modules(initializers.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(f"{initializers.__name__}.{name}")
    assert doctest.testmod(module).failed == 0


def test_every_public_name_has_an_example():
    without = {
        name
        for name in initializers.__all__
        if isinstance(value := getattr(initializers, name), type)
        and issubclass(value, initializers.Rule)
        and ">>>" not in (value.__doc__ or "")
    }
    assert without == {"Rule", "KernelRule"}
