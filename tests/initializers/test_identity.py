"""IDInit against its definition, written out as loops, and against its theorems."""

import itertools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax
from jax import numpy as jnp
from scipy import stats

from idinit_jax.initializers import LAYOUTS, dirac, idinit, zeros_identity

# Each shape is compiled anew, so a few dozen are enough to meet every case below.
few = settings(max_examples=15)

layouts = st.sampled_from(LAYOUTS)
dtypes = st.sampled_from(["float32", "bfloat16", "float16"])
sizes = st.integers(1, 7)


@st.composite
def convolutions(draw):
    """(taps, c_in / groups, c_out / groups, groups), over 0 to 3 receptive axes."""
    taps = tuple(draw(st.lists(st.integers(1, 4), max_size=3)))
    return taps, draw(sizes), draw(sizes), draw(st.integers(1, 3))


def idi(d_out: int, d_in: int) -> np.ndarray:
    """The definition: identities stacked until the rows are filled."""
    matrix = np.zeros((d_out, d_in))
    for m in range(d_out):
        matrix[m, m % d_in] = 1
    # A wide matrix has a row for each of its first columns only, which is [I | 0].
    return matrix


def idiz(d_out: int, d_in: int) -> np.ndarray:
    """The definition, case by case."""
    matrix = idi(d_out, d_in)
    if d_in == 1:
        return np.array([[(-1.0) ** m] for m in range(d_out)])
    if d_out < d_in:
        matrix[:, d_out:] = -idi(d_out, d_in - d_out)
        return matrix
    for m in range(d_out):
        matrix[m, (m + 1) % d_in] = -1
    return matrix


def folded(pattern, taps, c_in, c_out, groups, layout) -> np.ndarray:
    """A kernel (*taps, c_in, groups * c_out), each group filled by itself and put in place."""
    per_group = []
    for _ in range(groups):
        if layout == "patch":
            oihw = pattern(c_out, c_in * int(np.prod(taps))).reshape(c_out, c_in, *taps)
        elif layout == "tap":
            ohwi = pattern(c_out, int(np.prod(taps)) * c_in).reshape(c_out, *taps, c_in)
            oihw = np.moveaxis(ohwi, -1, 1)
        else:
            oihw = np.zeros((c_out, c_in, *taps))
            centre = tuple((k - 1) // 2 for k in taps)
            oihw[(slice(None), slice(None), *centre)] = pattern(c_out, c_in)
        per_group.append(np.moveaxis(oihw, (0, 1), (-1, -2)))
    return np.concatenate(per_group, axis=-1)


def rows(kernel) -> np.ndarray:
    """A kernel (*taps, in, out) as the matrix (out, taps * in)."""
    kernel = np.asarray(kernel, np.float64)
    return kernel.reshape(-1, kernel.shape[-1]).T


@few
@given(convolutions(), layouts, dtypes)
def test_idinit_is_its_definition(shape, layout, dtype):
    taps, c_in, c_out, groups = shape
    rule = idinit(tau=0.75, noise=0.0, layout=layout, groups=groups)
    kernel = rule(None, (*taps, c_in, groups * c_out), dtype)
    expected = 0.75 * folded(idi, taps, c_in, c_out, groups, layout)
    np.testing.assert_array_equal(np.asarray(kernel, np.float64), expected)


@few
@given(convolutions(), layouts, dtypes)
def test_zeros_identity_is_its_definition(shape, layout, dtype):
    taps, c_in, c_out, groups = shape
    rule = zeros_identity(layout=layout, groups=groups)
    kernel = rule(None, (*taps, c_in, groups * c_out), dtype)
    epsilon = float(jnp.asarray(1e-6, dtype))
    expected = epsilon * folded(idiz, taps, c_in, c_out, groups, layout)
    np.testing.assert_array_equal(np.asarray(kernel, np.float64), expected)


@few
@given(convolutions(), layouts)
def test_theorem_1_full_rank_and_one_entry_a_row(shape, layout):
    taps, c_in, c_out, _ = shape
    matrix = rows(idinit(noise=0.0, layout=layout)(None, (*taps, c_in, c_out)))
    d_in = c_in if layout == "channel" else c_in * int(np.prod(taps))
    assert np.linalg.matrix_rank(matrix) == min(c_out, d_in)
    np.testing.assert_array_equal((matrix != 0).sum(axis=1), 1)


@pytest.mark.parametrize(("width", "multiple", "tau"), [(1, 3, 1.0), (4, 1, 0.5), (6, 4, 0.25)])
def test_theorem_2_wide_after_tall_is_a_multiple_of_the_identity(width, multiple, tau):
    rule = idinit(tau=tau, noise=0.0)
    tall = rule(None, (width, multiple * width))
    wide = rule(None, (multiple * width, width))
    np.testing.assert_array_equal(tall @ wide, tau**2 * np.eye(width))


def test_theorem_3_rows_sum_to_zero_exactly_where_there_are_two_columns():
    """The exact set: D_in > 1, whatever D_out. Entries are 0 or +-epsilon."""
    for d_out, d_in in itertools.product((1, 2, 5), (1, 2, 3, 7)):
        matrix = rows(zeros_identity(epsilon=0.5)(None, (d_in, d_out)))
        assert set(np.unique(matrix)) <= {-0.5, 0.0, 0.5}
        assert bool((matrix.sum(axis=1) == 0).all()) == (d_in > 1)
        assert (matrix.sum(axis=1) != 0).all() == (d_in == 1)
        unused = (matrix == 0).all(axis=0).sum()
        assert unused == (0 if d_in == 1 else max(0, d_in - max(2 * d_out, 2)))


def test_zeros_identity_output_has_mean_zero_and_variance_two_epsilon_squared():
    kernel = zeros_identity(epsilon=1e-3)(None, (64, 48))
    inputs = 3 + images(4096, 64)
    outputs = inputs.astype(np.float64) @ np.asarray(kernel, np.float64)
    # 4096 * 48 values of std sqrt(2) 1e-3: 6 sigma on the mean, false alarm 2e-9.
    assert abs(outputs.mean()) < 6 * np.sqrt(2) * 1e-3 / np.sqrt(outputs.size)
    np.testing.assert_allclose(outputs.var(), 2e-6, rtol=0.03)


def test_theorem_8_replicas_are_told_apart_by_noise(key):
    clean = rows(idinit(noise=0.0)(None, (4, 12)))
    noisy = rows(idinit(noise=1e-6)(key, (4, 12)))
    np.testing.assert_array_equal(clean[:4], clean[4:8])
    assert len(np.unique(clean, axis=0)) == 4
    assert len(np.unique(noisy, axis=0)) == 12


def test_noise_is_normal_and_on_the_nonzero_entries_alone(key):
    noise, shape = 0.05, (2, 3, 2000)
    kernel = np.asarray(idinit(tau=2.0, noise=noise, batch_axis=0)(key, shape))
    clean = np.asarray(idinit(tau=2.0, noise=0.0, batch_axis=0)(None, shape))
    np.testing.assert_array_equal(kernel != 0, clean != 0)
    drawn = ((kernel - clean)[clean != 0] / noise).astype(np.float64)
    # The key is fixed; a fresh one would fail 1 time in 10,000.
    assert drawn.size == 4000
    assert stats.kstest(drawn, "norm").pvalue > 1e-4


@pytest.mark.parametrize("size", [(3,), (4, 3), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("groups", [1, 3], ids=["dense", "grouped"])
def test_channel_layout_is_a_spatial_identity(size, groups):
    """Odd and even kernels, in 1, 2 and 3 dimensions: SAME padding gives the input back."""
    inputs = images(2, *(5,) * len(size), 6)
    kernel = idinit(noise=0.0, layout="channel", groups=groups)(None, (*size, 6 // groups, 6))
    np.testing.assert_array_equal(convolve(inputs, kernel, groups), inputs)


def test_channel_layout_is_a_spatial_identity_when_depthwise_dilated_or_strided():
    inputs = images(2, 8, 8, 4)
    depthwise = idinit(noise=0.0, layout="channel", groups=4)(None, (3, 3, 1, 8))
    np.testing.assert_array_equal(convolve(inputs, depthwise, 4), np.repeat(inputs, 2, axis=-1))
    dense = idinit(noise=0.0, layout="channel")(None, (3, 3, 4, 4))
    np.testing.assert_array_equal(convolve(inputs, dense, rhs_dilation=(2, 2)), inputs)
    same = ((1, 1), (1, 1))
    strided = convolve(inputs, dense, window_strides=(2, 2), padding=same)
    np.testing.assert_array_equal(strided, inputs[:, ::2, ::2])


def test_channel_layout_stacks_and_cuts_channels():
    inputs = images(1, 6, 6, 4)
    rule = idinit(noise=0.0, layout="channel")
    more = convolve(inputs, rule(None, (3, 3, 4, 10)))
    np.testing.assert_array_equal(more, inputs[..., np.arange(10) % 4])
    fewer = convolve(inputs, rule(None, (3, 3, 4, 3)))
    np.testing.assert_array_equal(fewer, inputs[..., :3])


def test_patch_layout_makes_every_output_a_shifted_copy():
    """Output m is input m // 9 moved by tap m mod 9, as IDINIT reads a row-major OIHW kernel."""
    inputs = images(1, 6, 6, 4)
    outputs = convolve(inputs, idinit(noise=0.0, layout="patch")(None, (3, 3, 4, 20)))
    padded = np.pad(inputs, ((0, 0), (1, 1), (1, 1), (0, 0)))
    for m in range(20):
        channel, tap = divmod(m, 9)
        row, column = divmod(tap, 3)
        shifted = padded[0, row : row + 6, column : column + 6, channel]
        np.testing.assert_array_equal(outputs[0, :, :, m], shifted)


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def convolve(inputs, kernel, groups=1, padding="SAME", window_strides=None, rhs_dilation=None):
    spatial = "DHW"[3 - (inputs.ndim - 2) :]
    layout = (f"N{spatial}C", f"{spatial}IO", f"N{spatial}C")
    return lax.conv_general_dilated(
        inputs,
        kernel,
        window_strides or (1,) * len(spatial),
        padding,
        rhs_dilation=rhs_dilation,
        dimension_numbers=layout,
        feature_group_count=groups,
        precision="highest",
    )


@pytest.mark.parametrize("rule", [idinit, zeros_identity], ids=["idinit", "zeros_identity"])
def test_stacked_kernels_are_independent(rule):
    kwargs = {"noise": 0.0} if rule is idinit else {}
    stacked = rule(**kwargs, batch_axis=(0, 2))(None, (2, 3, 5, 4, 6))
    one = rule(**kwargs)(None, (3, 4, 6))
    for i, j in itertools.product(range(2), range(5)):
        np.testing.assert_array_equal(stacked[i, :, j], one)


def test_several_axes_count_as_one_in_row_major_order():
    """A fused query-key-value kernel (D, 3, H, d) is the (D, 3 H d) one."""
    rule = idinit(noise=0.0, in_axis=0, out_axis=(1, 2, 3))
    fused = rule(None, (8, 3, 2, 4))
    np.testing.assert_array_equal(fused, idinit(noise=0.0)(None, (8, 24)).reshape(8, 3, 2, 4))
    output = zeros_identity(in_axis=(0, 1), out_axis=2)(None, (2, 4, 8))
    np.testing.assert_array_equal(output, zeros_identity()(None, (8, 8)).reshape(2, 4, 8))


def test_dirac_pads_with_zeros():
    """PyTorch's dirac_ and eye_, from their definition."""
    kernel = np.asarray(dirac(groups=2)(None, (3, 4, 2, 10)))
    expected = np.zeros((3, 4, 2, 10))
    for group, m in itertools.product(range(2), range(min(2, 5))):
        expected[1, 1, m, 5 * group + m] = 1
    np.testing.assert_array_equal(kernel, expected)
    np.testing.assert_array_equal(dirac()(None, (5, 3)), np.eye(5, 3))


@pytest.mark.parametrize("rule", [idinit(noise=0.0), zeros_identity(), dirac()], ids=repr)
def test_patterns_are_comparisons_of_indices(rule):
    """No gather, scatter, sort, contraction or embedded array: one elementwise pass."""
    program = jax.make_jaxpr(lambda: rule(None, (3, 3, 64, 256)))()
    text = str(program)
    assert not any(word in text for word in ("gather", "scatter", "sort", "dot_general"))
    assert all(np.size(constant) < 64 for constant in program.consts)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: idinit(tau=0.0), ValueError, "tau must be positive, got 0.0"),
        (lambda: idinit(tau=float("nan")), ValueError, "tau must be finite, got nan"),
        (lambda: idinit(tau="1"), TypeError, "tau must be a real number, got '1' of type str"),
        (lambda: idinit(noise=-1e-6), ValueError, "noise must be zero or positive, got -1e-06"),
        (lambda: zeros_identity(epsilon=0), ValueError, "epsilon must be positive, got 0"),
        (lambda: zeros_identity(epsilon=-1), ValueError, "epsilon must be positive, got -1"),
        (lambda: idinit(layout="chanel"), ValueError, "did you mean 'channel'?"),
        (lambda: zeros_identity(layout="x"), ValueError, "not one of 'patch', 'tap', 'channel'"),
    ],
)
def test_refuses_what_has_no_meaning(make, error, message):
    with pytest.raises(error) as caught:
        make()
    assert message in str(caught.value)
