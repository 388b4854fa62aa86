"""Random and central crops of photographs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from experiments.data.photographs import central_crop, random_crop


def ramp(height: int, width: int) -> np.ndarray:
    """An image that tells where its pixels come from: row, column, and 1."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows, columns, np.ones_like(rows)], axis=-1).astype(np.uint8)


@given(
    height=st.integers(1, 200),
    width=st.integers(1, 200),
    size=st.integers(1, 40),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_image_gives_a_square_of_its_own_pixels(height, width, size, seed):
    for crop in (
        random_crop(ramp(height, width), size, np.random.default_rng(seed)),
        central_crop(ramp(height, width), size),
    ):
        assert (crop.shape, crop.dtype) == ((size, size, 3), np.uint8)
        assert crop[..., 0].max() < height
        assert crop[..., 1].max() < width
        assert (crop[..., 2] == 1).all()


def test_random_crops_cover_the_stated_areas_and_are_mirrored_half_of_the_time():
    # Corners of a 250 x 250 ramp resized to 50 x 50 tell each crop's extent to within 4 pixels.
    rng = np.random.default_rng(0)
    crops = np.stack([random_crop(ramp(250, 250), 50, rng) for _ in range(400)]).astype(np.int64)
    heights = (crops[:, -1, 0, 0] - crops[:, 0, 0, 0]) * 50 / 49
    widths = (crops[:, 0, -1, 1] - crops[:, 0, 0, 1]) * 50 / 49
    # False alarms: 1e-6.
    assert stats.binomtest(int((widths < 0).sum()), 400).pvalue > 1e-6
    shares = heights * abs(widths) / 250**2
    assert 0.07 < shares.min() < 0.2
    assert 0.8 < shares.max() < 1.01
    assert 0.7 < (abs(widths) / heights).min() < (abs(widths) / heights).max() < 1.4


@pytest.mark.parametrize("shape", [(4, 400), (400, 4)])
def test_extreme_aspect_ratios_fall_back_to_the_central_square(shape):
    # The smallest box, 8 % of the area at 4/3, is 10 pixels high: none fits into 4.
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    centre = image[:, 198:202] if shape[0] == 4 else image[198:202]
    for seed in range(10):
        crop = random_crop(image, 4, np.random.default_rng(seed))
        assert any(np.array_equal(crop, part) for part in (centre, centre[:, ::-1]))


def test_central_crop_of_256_at_224_is_exact():
    image = np.random.default_rng(0).integers(0, 256, (256, 300, 3), dtype=np.uint8)
    np.testing.assert_array_equal(central_crop(image, 224), image[16:240, 38:262])
