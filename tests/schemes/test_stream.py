"""Random numbers by position: the cipher, independence, and the same bits from both engines."""

import jax
import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from jax.extend.random import threefry_2x32

from idinit_jax.schemes.fill import Draws
from idinit_jax.schemes.quantile import draws, quantile_table
from idinit_jax.schemes.stream import Window, bits, key_of, streams, substream, threefry, words_of

DISTRIBUTIONS = ("normal", "uniform", "truncated_normal")
EXPECTED = {
    "normal": scipy.stats.norm(),
    "uniform": scipy.stats.uniform(-(3**0.5), 2 * 3**0.5),
    "truncated_normal": scipy.stats.truncnorm(-2, 2, scale=1 / scipy.stats.truncnorm(-2, 2).std()),
}


def test_the_cipher_is_jaxs_own_threefry(key):
    words = words_of(key, "kernel")
    first, second = np.arange(64, dtype=np.uint32), np.arange(64, dtype=np.uint32) * 2654435761
    ours = np.concatenate(threefry(words, first, second.astype(np.uint32)))
    theirs = threefry_2x32(np.concatenate(words), np.concatenate([first, second.astype(np.uint32)]))
    np.testing.assert_array_equal(ours, theirs)


@given(
    rows=st.integers(1, 5),
    columns=st.integers(1, 9),
    data=st.data(),
)
def test_a_part_holds_the_numbers_of_the_whole(rows, columns, data):
    shape = (3, rows, columns)
    words = words_of(jax.random.key(1), "kernel")
    bounds = [sorted(data.draw(st.tuples(*[st.integers(0, n)] * 2))) for n in shape]
    index = tuple(slice(a, b) for a, b in bounds)
    whole = Draws("normal", 0.5).values(words, Window.whole(shape))
    part = Draws("normal", 0.5).values(words, Window.of(shape, index))
    np.testing.assert_array_equal(part, whole[index])


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_numpy_and_jax_give_the_same_bits(distribution, key):
    window = Window.whole((33, 65))
    fill = Draws(distribution, 0.3)
    host = fill.values(words_of(key, "a"), window)
    device = jax.jit(lambda key: fill.values(words_of(key, "a"), window))(key)
    np.testing.assert_array_equal(host, device)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_draws_follow_their_distribution(distribution, key):
    """n = 200,000; each test fails by chance with probability 1e-3, seeds are fixed."""
    drawn = Draws(distribution, 1.0).values(words_of(key, distribution), Window.whole((400, 500)))
    drawn, expected = drawn.reshape(-1).astype(np.float64), EXPECTED[distribution]
    assert scipy.stats.kstest(drawn, expected.cdf).pvalue > 1e-3
    mean_error = drawn.mean() * len(drawn) ** 0.5
    assert abs(mean_error) < scipy.stats.norm.isf(5e-4)
    kurtosis = expected.stats("k") + 3
    variance_error = (drawn.var() - 1) * (len(drawn) / (kurtosis - 1)) ** 0.5
    assert abs(variance_error) < scipy.stats.norm.isf(5e-4)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_tables_are_exact_distributions(distribution):
    """Every 16-bit slice weighs the same, so moments are plain sums: no chance is involved."""
    start, slope = (column.astype(np.float64) for column in quantile_table(distribution))
    middle, width = start + slope * (2**16 - 1) / 2, slope * 2**16
    assert abs(middle.mean()) < 1e-9
    assert np.mean(middle**2 + width**2 / 12) == pytest.approx(1, abs=1e-6)
    quantiles = EXPECTED[distribution].ppf((np.arange(2**16) + 0.5) / 2**16)
    np.testing.assert_allclose(middle[50:-50], quantiles[50:-50], atol=2e-5)


def test_lowest_and_highest_words_are_the_tails():
    words = np.array([0, 2**32 - 1], np.uint32)
    low, high = draws("normal", words)
    assert low == pytest.approx(-high, abs=1e-5)
    assert 4.5 < high < 4.7


def test_neighbours_are_uncorrelated(key):
    """n = 250,000; each of six correlations exceeds 4.42 standard errors with probability 1e-5."""
    words = [words_of(key, path) for path in ("a", "b")]
    a, b = (Draws("normal", 1.0).values(one, Window.whole((500, 500))) for one in words)
    other = Draws("normal", 1.0).values(words_of(jax.random.key(1), "a"), Window.whole((500, 500)))
    pairs = [
        (a[:, 1:], a[:, :-1]),
        (a[1:], a[:-1]),
        (a[:, 2:], a[:, :-2]),
        (a, b),
        (a, other),
        (a[:, 1:] ** 2 - 1, a[:, :-1] ** 2 - 1),
    ]
    for left, right in pairs:
        correlation = np.corrcoef(left.reshape(-1), right.reshape(-1))[0, 1]
        assert abs(correlation) * left.size**0.5 < 4.42


def test_bits_are_fair(key):
    """Each of 32 bits is set in half of 2^18 words, within 4.9 standard errors (1e-6 a bit)."""
    shape = (512, 512)
    window = Window.whole(shape)
    drawn = bits(words_of(key, "bits"), window, window.rows())
    share = np.mean((drawn[..., None] >> np.arange(32, dtype=np.uint32)) & 1, axis=(0, 1))
    assert np.abs(share - 0.5).max() * 2 * (512 * 512) ** 0.5 < 4.9


def test_streams_are_named_by_path_and_key(key):
    a, b, again = streams(key, ["a", "b", "a"])
    assert a == again
    assert a != b
    assert words_of(jax.random.key(0), "a") != a
    assert words_of(jax.random.key_data(key), "a") == a
    assert substream(a, 0) != substream(a, 1)
    np.testing.assert_array_equal(jax.random.key_data(key_of(a)), np.concatenate(a))


def test_keys_of_other_implementations_serve():
    long = jax.random.key(3, impl="rbg")
    assert words_of(long, "a") != words_of(jax.random.key(4, impl="rbg"), "a")


@pytest.mark.parametrize("bad", [0, np.zeros(2), jax.numpy.zeros((3, 2), np.uint32)])
def test_what_is_no_key_is_refused(bad):
    with pytest.raises(TypeError, match="key must be"):
        words_of(bad, "a")
