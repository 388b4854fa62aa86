"""RandAugment's distortions are those of the Python Imaging Library, each drawn equally often."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps
from scipy import stats

from experiments.data import Augmentation, augment
from experiments.data.randaugment import TABLE, Distortions, distort, draw_distortions

pytestmark = pytest.mark.usefixtures("quick_compilation")

STRENGTHS = (-1.0, -0.4, 0.0, 0.6, 1.0)


def picture(height: int = 24, width: int = 20, channels: int = 3) -> np.ndarray:
    """Noise of unequal levels, whose channels reach neither black nor white."""
    rng = np.random.default_rng(20250311)
    levels = rng.beta(2, 4, (height, width, channels)) * np.linspace(150, 220, channels)
    return (20 + levels).astype(np.uint8)


COMPILED = {name: jax.jit(operation) for name, operation in TABLE.items()}


def distorted(name: str, strength: float, image: np.ndarray) -> np.ndarray:
    result = COMPILED[name](jnp.asarray(image), jnp.float32(strength))
    assert (result.dtype, result.shape) == (np.uint8, image.shape)
    return np.asarray(result)


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize(
    ("name", "enhancer"),
    [
        ("brightness", ImageEnhance.Brightness),
        ("contrast", ImageEnhance.Contrast),
        ("colour", ImageEnhance.Color),
        ("sharpness", ImageEnhance.Sharpness),
    ],
)
def test_enhancements_equal_the_library_s_but_for_its_truncation(name, enhancer, strength) -> None:
    image = picture()
    expected = enhancer(Image.fromarray(image)).enhance(1 + 0.9 * strength)
    difference = distorted(name, strength, image).astype(int) - np.asarray(expected)
    assert abs(difference).max() <= 1


@pytest.mark.parametrize("strength", STRENGTHS)
def test_levels_equal_the_library_s(strength: float) -> None:
    image = picture()
    given = {name: distorted(name, strength, image) for name in TABLE}
    picture_ = Image.fromarray(image)
    bits, threshold = 8 - round(4 * abs(strength)), round(255 * (1 - abs(strength)))
    np.testing.assert_array_equal(given["posterize"], ImageOps.posterize(picture_, bits))
    np.testing.assert_array_equal(given["solarize"], ImageOps.solarize(picture_, threshold))
    np.testing.assert_array_equal(given["equalize"], ImageOps.equalize(picture_))
    stretched = np.asarray(ImageOps.autocontrast(picture_)).astype(int)
    assert abs(given["auto contrast"] - stretched).max() <= 1
    np.testing.assert_array_equal(given["identity"], image)


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("name", ["rotate", "shear x", "shear y"])
def test_warps_equal_the_library_s_but_where_pixels_tie(name: str, strength: float) -> None:
    image = picture()
    height, width, _ = image.shape
    slide = 0.3 * strength
    data = {
        "shear x": (1, slide, -slide * height / 2, 0, 1, 0),
        "shear y": (1, 0, 0, slide, 1, -slide * width / 2),
    }
    source = Image.fromarray(image)
    expected = (
        source.rotate(30 * strength, Image.Resampling.NEAREST)
        if name == "rotate"
        else source.transform(source.size, Image.Transform.AFFINE, data[name])
    )
    same = (distorted(name, strength, image) == np.asarray(expected)).all(axis=-1)
    assert same.mean() > 0.98


def test_translations_are_shifts_by_whole_pixels() -> None:
    image = picture(20, 20)
    left, up = distorted("translate x", 1.0, image), distorted("translate y", -1.0, image)
    np.testing.assert_array_equal(left[:, :11], image[:, 9:])
    np.testing.assert_array_equal(up[9:], image[:11])
    assert not left[:, 11:].any()
    assert not up[:9].any()


@pytest.mark.parametrize("name", TABLE)
def test_grey_and_constant_images_can_be_distorted(name: str) -> None:
    for image in (picture(channels=1), np.full((6, 6, 1), 7, np.uint8)):
        distorted(name, 0.5, image)


def test_layers_follow_one_another() -> None:
    image = picture()
    names = list(TABLE)
    numbers = jnp.asarray([names.index("posterize"), names.index("solarize")])
    both = distort(jnp.asarray(image), Distortions(numbers, jnp.asarray([1.0, -1.0])), 5.0)
    expected = distorted("solarize", -0.5, distorted("posterize", 0.5, image))
    np.testing.assert_array_equal(both, expected)


def test_every_distortion_is_equally_likely_with_either_sign(key: jax.Array) -> None:
    # Chi-square over the joint outcomes of 28,000 draws; false alarms: 1e-6.
    number, sign = draw_distortions(key, 14_000, 2)
    outcome = np.asarray(number).ravel() * 2 + (np.asarray(sign).ravel() > 0)
    counts = np.bincount(outcome, minlength=2 * len(TABLE))
    assert stats.chisquare(counts).pvalue > 1e-6


def test_a_batch_is_distorted_image_by_image(key: jax.Array) -> None:
    """Every image of a batch comes out as one of the table's results on it."""
    image = picture(8, 8)
    batch = jnp.asarray(np.tile(image, (16, 1, 1, 1)))
    augmentation = Augmentation((0.0,) * 3, (1.0,) * 3, distortions=1, magnitude=8.0)
    given = np.rint(np.asarray(augment(key, batch, augmentation)) * 255).astype(np.uint8)
    every = [distorted(name, sign * 0.8, image) for name in TABLE for sign in (-1, 1)]
    assert all(any((one == other).all() for other in every) for one in given)
    assert len(np.unique(given, axis=0)) > 3
