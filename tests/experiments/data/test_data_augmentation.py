"""Random crops, flips and normalization against their definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from scipy import stats

from experiments.data import (
    Augmentation,
    DataInfo,
    apply,
    augment,
    draw,
    load,
    normalize,
)

pytestmark = pytest.mark.usefixtures("quick_compilation")

jitted_augment = jax.jit(augment, static_argnums=2)

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
BOTH = Augmentation(MEAN, STD, pad=4, flip=True)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def info(mean: tuple[float, ...], std: tuple[float, ...]) -> DataInfo:
    return DataInfo("noise", 2, (8, 8, 3), 1, 1, mean, std)


def padded_crop(image: np.ndarray, shift: np.ndarray, flip: bool, pad: int) -> np.ndarray:
    """The textbook's way: pad, cut out, mirror."""
    height, width, _ = image.shape
    top, left = shift + pad
    padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)))
    crop = padded[top : top + height, left : left + width]
    return crop[:, ::-1] if flip else crop


@given(
    case=st.sampled_from([((5, 9, 1), 0), ((8, 6, 3), 4), ((1, 1, 1), 3)]),
    flip=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_equals_padding_cutting_and_mirroring(case, flip, seed):
    (height, width, channels), pad = case
    images = noise(6, height, width, channels)
    key = jax.random.key(seed)
    augmentation = Augmentation(MEAN[:channels], STD[:channels], pad, flip)
    crops = draw(key, 6, augmentation).crops
    expected = np.stack(
        [
            padded_crop(image, np.asarray(shift), bool(mirrored), pad)
            for image, shift, mirrored in zip(images, *crops, strict=True)
        ]
    )
    expected = (expected / 255 - augmentation.mean) / augmentation.std
    result = jitted_augment(key, jnp.asarray(images), augmentation)
    assert result.dtype == jnp.float32
    np.testing.assert_allclose(result, expected, atol=2e-6)


def test_shifts_and_flips_are_uniform_and_independent(key):
    # Chi-square over the 9 x 9 x 2 joint outcomes of 81,000 draws; false alarms: 1e-6.
    shift, flip = draw(key, 81_000, BOTH).crops
    outcome = ((np.asarray(shift) + 4) @ [9, 1]) * 2 + np.asarray(flip)
    counts = np.bincount(outcome, minlength=162)
    assert len(counts) == 162
    assert stats.chisquare(counts).pvalue > 1e-6


def test_pixels_from_outside_are_black(key):
    white = jnp.full((16, 8, 8, 3), 255, jnp.uint8)
    black, result = -np.divide(MEAN, STD), np.asarray(jitted_augment(key, white, BOTH))
    outside = np.isclose(result, black, atol=1e-6).all(axis=-1)
    inside = np.isclose(result, (1 - np.asarray(MEAN)) / STD, atol=1e-6).all(axis=-1)
    assert (outside ^ inside).all()
    # A shift by (dy, dx) brings in 64 - (8 - |dy|)(8 - |dx|) pixels from outside.
    kept = np.prod(8 - np.abs(np.asarray(draw(key, 16, BOTH).crops.shift)), axis=-1)
    np.testing.assert_array_equal(inside.sum(axis=(1, 2)), kept)


def test_without_pad_and_flip_it_is_normalization(key):
    images = jnp.asarray(noise(16, 8, 8, 3))
    plain = jitted_augment(key, images, Augmentation(MEAN, STD))
    expected = jax.jit(lambda x: normalize(x, info(MEAN, STD)))(images)
    np.testing.assert_array_equal(plain, expected)


def test_normalized_training_images_have_mean_zero_and_std_one():
    data = load("digits")
    pixels = np.asarray(normalize(jnp.asarray(data.train.images), data.info), np.float64)
    assert abs(pixels.mean()) < 1e-6
    assert abs(pixels.std() - 1) < 1e-6


def test_values_depend_on_the_key_alone(key):
    images = jnp.asarray(noise(16, 8, 8, 3))
    eager = augment(key, images, BOTH)
    compiled = jitted_augment(key, images, BOTH)
    np.testing.assert_allclose(eager, compiled, atol=1e-6)  # compiled code fuses multiply and add
    np.testing.assert_array_equal(compiled, jitted_augment(key, images, BOTH))
    assert (compiled != jitted_augment(jax.random.key(1), images, BOTH)).any()


def test_raw_keys_are_accepted(key):
    images = jnp.asarray(noise(16, 8, 8, 3))
    raw = jitted_augment(jax.random.key_data(key), images, BOTH)
    np.testing.assert_array_equal(raw, jitted_augment(key, images, BOTH))


def test_a_shard_of_the_batch_gets_its_part_of_the_draw(key):
    images = jnp.asarray(noise(16, 8, 8, 3))
    part = jax.tree.map(lambda leaf: leaf[4:8], draw(key, 16, BOTH))
    shard = jax.jit(apply, static_argnums=2)(images[4:8], part, BOTH)
    np.testing.assert_array_equal(shard, jitted_augment(key, images, BOTH)[4:8])


def test_eight_devices_give_the_values_of_one_without_communication(key):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    images = noise(16, 8, 8, 3)
    step = jitted_augment.lower(key, jax.device_put(images, sharding), BOTH)
    program = step.compile()
    assert not any(word in program.as_text() for word in ("all-gather", "all-to-all", "collective"))
    result = program(key, jax.device_put(images, sharding))
    assert result.sharding.is_equivalent_to(sharding, 4)
    np.testing.assert_array_equal(result, jitted_augment(key, images, BOTH))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"pad": -1}, "pad must be 0 pixels or more, got -1"),
        ({"distortions": -2}, "0 distortions or more, got -2"),
        ({"magnitude": 11.0}, r"magnitude must lie in 0 .. 10, got 11.0"),
    ],
)
def test_impossible_augmentations_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(MEAN, STD, **wrong)
