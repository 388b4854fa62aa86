"""Shrunken images are means over tiles."""

import numpy as np
import pytest

from experiments.data import ArrayData, Dataset, shrink
from experiments.data.arrays import describe


@pytest.fixture
def noise() -> Dataset:
    """Images of 6 x 4 pixels."""
    rng = np.random.default_rng(20250311)
    parts = (
        ArrayData(rng.integers(0, 256, (n, 6, 4, 3)).astype(np.uint8), np.arange(n, dtype=np.int32))
        for n in (1003, 5)
    )
    train, test = parts
    return Dataset(describe("noise", 1003, train, test), train, test)


def test_every_pixel_is_the_mean_of_its_tile(noise: Dataset) -> None:
    small = shrink(noise, 2)
    for part, original in ((small.train, noise.train), (small.test, noise.test)):
        assert part.images.dtype == np.uint8
        assert part.images.shape[1:] == (3, 2, 3)
        pixels = original.images.astype(np.float64)
        means = sum(pixels[:, i::2, j::2] for i in range(2) for j in range(2)) / 4
        assert abs(part.images - means).max() <= 0.5
        np.testing.assert_array_equal(part.labels, original.labels)


def test_the_description_is_of_the_shrunken_images(noise: Dataset) -> None:
    small = shrink(noise, 2)
    assert small.info == describe("noise", 1003, small.train, small.test)
    # Averages of 4 independent pixels: a quarter of the variance.
    ratio = np.divide(small.info.std, noise.info.std)
    np.testing.assert_allclose(ratio, 0.5, rtol=0.05)


def test_a_factor_of_one_changes_nothing(noise: Dataset) -> None:
    assert shrink(noise, 1) is noise


@pytest.mark.parametrize("factor", [0, -2, 3, 4])
def test_a_factor_that_does_not_divide_is_refused(noise: Dataset, factor: int) -> None:
    with pytest.raises(ValueError, match=f"must divide images of 6 x 4, got {factor}"):
        shrink(noise, factor)
