"""Fills make what the initializers make: the same zeros, the same moments, whole or in parts."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import idinit_jax
from idinit_jax.schemes.filling import fill_of
from idinit_jax.schemes.stream import Window, words_of

WORDS = words_of(jax.random.key(5), "kernel")


def values(initializer, shape):
    return np.asarray(fill_of(initializer, shape).values(WORDS, Window.whole(shape)))


def identity_by_definition(shape, layout, groups):
    """(IDI_1, IDIZ_1) of an HWIO kernel of `groups` groups, entry by entry from the definition."""
    height, width, c_in, c_out = shape
    taps, rows = height * width, c_out // groups
    columns = c_in if layout == "channel" else c_in * taps
    centre = ((height - 1) // 2) * width + (width - 1) // 2
    place = {
        "patch": lambda n: divmod(n, taps),
        "tap": lambda n: divmod(n, c_in)[::-1],
        "channel": lambda n: (n, centre),
    }[layout]
    ones, zero_sum = np.zeros(shape), np.zeros(shape)
    for output in range(c_out):
        m = output % rows

        def put(kernel, column, value, output=output):
            channel, tap = place(column)
            kernel[tap // width, tap % width, channel, output] += value

        put(ones, m % columns, 1)
        put(zero_sum, m % columns, 1 if columns > 1 or m % 2 == 0 else -1)
        if columns > 1:
            wide = rows < columns
            put(zero_sum, rows + m % (columns - rows) if wide else (m + 1) % columns, -1)
    return ones, zero_sum


@given(
    taps=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    c_in=st.integers(1, 7),
    c_out=st.integers(1, 9),
    groups=st.integers(1, 3),
    layout=st.sampled_from(idinit_jax.LAYOUTS),
)
def test_identity_kernels_are_their_definition(taps, c_in, c_out, groups, layout):
    shape = (*taps, c_in, c_out * groups)
    ones, zero_sum = identity_by_definition(shape, layout, groups)
    identity = idinit_jax.idinit(0.5, noise=0.0, layout=layout, groups=groups)
    near_zero = idinit_jax.zeros_identity(0.25, layout=layout, groups=groups)
    np.testing.assert_array_equal(values(identity, shape), 0.5 * ones)
    np.testing.assert_array_equal(values(near_zero, shape), 0.25 * zero_sum)


@pytest.mark.parametrize(
    "initializer",
    [
        idinit_jax.idinit(noise=0.0, in_axis=(0, 3), out_axis=1, batch_axis=2),
        idinit_jax.zeros_identity(in_axis=3, out_axis=(2, 0), layout="tap"),
    ],
    ids=repr,
)
def test_identity_kernels_on_any_axes_are_the_initializers(initializer):
    shape = (3, 4, 2, 5)
    np.testing.assert_array_equal(values(initializer, shape), initializer(None, shape))


@pytest.mark.parametrize(
    ("initializer", "std"),
    [
        (idinit_jax.normal(0.3), 0.3),
        (idinit_jax.uniform(-0.2, 0.2), 0.2 / 3**0.5),
        (idinit_jax.truncated_normal(0.3), 0.3 * 0.879626),
        (idinit_jax.truncated_normal_exact(0.3), 0.3),
        (idinit_jax.variance_scaling(3.0, "fan_out", "uniform"), (3 / 128) ** 0.5),
        (idinit_jax.he(nonlinearity="tanh"), 5 / 3 / 96**0.5),
        (idinit_jax.he("fan_avg", "leaky_relu", negative_slope=1.0), (1 / 112) ** 0.5),
        (idinit_jax.xavier(gain=2.0), 2 / 112**0.5),
        (idinit_jax.lecun(), 96**-0.5),
        (idinit_jax.zeros_perturbed(0.01), 0.01),
        (idinit_jax.perturbed(idinit_jax.ones(), 0.1), 0.1),
        (idinit_jax.perturbed(idinit_jax.he(), 0.1), (2 / 96 + 0.01) ** 0.5),
        (idinit_jax.orthogonal(2.0), 2 / 128**0.5),
    ],
    ids=repr,
)
def test_std_is_the_formulas(initializer, std):
    """96 x 128 entries: a sample std is within 5 standard errors, 3.2 %, of the true one."""
    fill = fill_of(initializer, (96, 128))
    assert fill.std == pytest.approx(std, rel=1e-5)
    made = np.asarray(fill.values(WORDS, Window.whole((96, 128))))
    assert made.std() == pytest.approx(std, rel=0.032)
    assert made.dtype == np.float32


@pytest.mark.parametrize("shape", [(3, 64, 96), (96, 64), (5, 2)])
def test_std_of_identity_kernels_is_exact(shape):
    for initializer in (idinit_jax.idinit(0.9, noise=0.0), idinit_jax.zeros_identity(0.2)):
        assert fill_of(initializer, shape).std == pytest.approx(values(initializer, shape).std())


@pytest.mark.parametrize(
    "initializer",
    [
        idinit_jax.idinit(noise=0.1),
        idinit_jax.perturbed(idinit_jax.ones(), 0.1),
        idinit_jax.perturbed(idinit_jax.xavier(), 0.1),
    ],
    ids=repr,
)
def test_sums_are_the_same_bits_under_jit(initializer):
    shape = (17, 33)
    fill = fill_of(initializer, shape)
    traced = jax.jit(lambda key: fill.values(words_of(key, "kernel"), Window.whole(shape)))
    np.testing.assert_array_equal(values(initializer, shape), traced(jax.random.key(5)))


def test_any_other_initializer_is_called_with_the_stream_as_its_key():
    made = values(jax.nn.initializers.glorot_normal(), (8, 8))
    again = values(jax.nn.initializers.glorot_normal(), (8, 8))
    np.testing.assert_array_equal(made, again)
    assert made.std() > 0
