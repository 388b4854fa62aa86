"""Theorems about numbers are run in double precision; NaN and infinity come and go."""

from collections.abc import Iterator

import jax
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def precise() -> Iterator[None]:
    with jax.enable_x64(True), np.errstate(all="ignore"):
        yield
