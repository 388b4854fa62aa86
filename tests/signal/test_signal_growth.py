"""Trends are fitted and extrapolated; verdicts from rows that are made up need no model."""

import math

import hypothesis
import hypothesis.strategies as st
import pytest

from idinit_jax import signal


@hypothesis.given(factor=st.floats(0.05, 20.0), layers=st.integers(3, 60), start=st.floats(0.1, 9))
def test_a_geometric_series_is_recovered_and_extrapolated(
    factor: float, layers: int, start: float
) -> None:
    hypothesis.assume(abs(math.log(factor)) > 1e-2)
    found = signal.growth([start * factor**layer for layer in range(layers)])
    assert found.factor == pytest.approx(factor, rel=1e-6)
    assert found.ratio == pytest.approx(factor ** (layers - 1), rel=1e-6)
    limit = math.log((1e-30 if factor < 1 else 1e30) / start) / math.log(factor)
    assert found.limit_layer == max(math.ceil(limit - 1e-6), layers - 1) or (
        abs(found.limit_layer - limit) <= 1
    )


def test_the_trend_is_that_of_the_settled_half() -> None:
    found = signal.growth([1.0, 100.0, 100.0, 100.0, 100.0, 100.0])
    assert found.factor == pytest.approx(1.0)
    assert "steady" in str(found)


def test_it_is_said_in_layers() -> None:
    series = [2.0 ** (-layer / 3.1) for layer in range(20)]
    assert str(signal.growth(series)) == "halves every 3.1 layers; below 1e-30 at layer 309"
    assert str(signal.growth([8.0**layer for layer in range(5)])).startswith("x 8 a layer; above")


@pytest.mark.parametrize("values", [[], [1.0], [0.0, 0.0, 0.0], [math.nan, 1.0]])
def test_nothing_is_made_of_nothing(values: list[float]) -> None:
    assert signal.growth(values) is None


def test_two_layers_are_no_trend_to_extrapolate() -> None:
    assert str(signal.growth([1.0, 3.0])) == "x 3 in 1 layer"
    assert str(signal.growth([1.0, 3.0, 9.0])) == "x 9 in 2 layers"


def test_a_jump_between_two_levels_is_not_extrapolated() -> None:
    """The one small kernel at the end of a branch is no pace that deeper networks would keep."""
    assert str(signal.growth([1.0, 1.0, 1.0, 1.0, 1e-3, 1e-6])) == "x 1e-06 in 5 layers"
    assert str(signal.growth([1.0, 2.0, 3.0, 2.0, 1.0, 0.5])) == "x 0.5 in 5 layers"
