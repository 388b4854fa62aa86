"""Description, moments and split of decoded arrays."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.data import ArrayData, load, split_validation
from experiments.data.arrays import channel_moments, describe


def numbered(labels: list[int]) -> ArrayData:
    """Examples whose pixels count them."""
    images = np.arange(len(labels), dtype=np.uint8).reshape(-1, 1, 1, 1)
    return ArrayData(images, np.asarray(labels, np.int32))


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=4, max_dims=4, max_side=5)))
def test_moments_are_those_of_the_pixels(images: np.ndarray):
    mean, std = channel_moments(images)
    pixels = images.astype(np.float64) / 255
    expected_std = pixels.std(axis=(0, 1, 2))
    np.testing.assert_allclose(mean, pixels.mean(axis=(0, 1, 2)), atol=1e-12)
    np.testing.assert_allclose(std, np.where(expected_std > 1e-9, expected_std, 1.0), atol=1e-9)


def test_description_counts_what_is_there():
    train, test = numbered([0, 1, 2, 1]), numbered([2, 0])
    info = describe("name", 3, train, test)
    assert (info.name, info.num_classes, info.image_shape) == ("name", 3, (1, 1, 1))
    assert (info.train_size, info.test_size) == (4, 2)


@given(
    counts=st.lists(st.integers(4, 20), min_size=1, max_size=5),
    fraction=st.floats(0.2, 0.8),
    seed=st.integers(0, 2**31),
)
def test_split_holds_out_the_fraction_of_every_class(counts, fraction, seed):
    data = numbered([label for label, count in enumerate(counts) for _ in range(count)])
    kept, held_out = split_validation(data, fraction, seed)
    for label, count in enumerate(counts):
        assert (held_out.labels == label).sum() == round(fraction * count)
    everything = np.concatenate([kept.images.ravel(), held_out.images.ravel()])
    assert sorted(everything) == list(range(sum(counts)))
    for part in (kept, held_out):
        np.testing.assert_array_equal(part.labels, data.labels[part.images.ravel()])


def test_split_depends_on_the_seed_alone():
    data = numbered([0, 1] * 50)
    first, again, other = (split_validation(data, 0.5, seed)[1].images for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5])
def test_split_refuses_a_fraction_outside_of_the_unit_interval(fraction):
    with pytest.raises(ValueError, match="must lie in"):
        split_validation(numbered([0, 1]), fraction, seed=0)


def test_split_refuses_an_empty_part():
    with pytest.raises(ValueError, match="leaves one part empty"):
        split_validation(numbered([0, 1, 2]), 0.3, seed=0)


def test_digits_are_the_bundled_ones():
    from sklearn.datasets import load_digits

    bundled, data = load_digits(), load("digits")
    images = np.concatenate([data.train.images, data.test.images])
    labels = np.concatenate([data.train.labels, data.test.labels])
    levels = np.rint(images.reshape(-1, 64) * (16 / 255)).astype(np.int64)

    def rows(pixels, targets):
        return sorted(map(tuple, np.column_stack([pixels, targets]).astype(np.int64).tolist()))

    assert rows(levels, labels) == rows(bundled.data, bundled.target)
    assert images.dtype == np.uint8
    assert images.max() == 255
    assert (data.info.train_size, data.info.test_size) == (1438, 359)
    shares = np.bincount(data.test.labels) / np.bincount(bundled.target)
    np.testing.assert_allclose(shares, 0.2, atol=0.5 / 174)
