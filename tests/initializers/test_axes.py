"""What the axes of a kernel mean, against counting."""

import itertools

import numpy as np
import pytest
from jax import numpy as jnp

from idinit_jax.initializers import kernel_axes


def test_fans_count_products():
    """A grouped 3 x 5 convolution of 8 channels to 12, in two groups, taken apart by hand."""
    axes = kernel_axes((3, 5, 4, 12), groups=2)
    inputs_of = {m: set() for m in range(12)}
    for m, n, tap in itertools.product(range(12), range(8), range(15)):
        if m // 6 == n // 4:
            inputs_of[m].add((n, tap))
    assert {len(inputs) for inputs in inputs_of.values()} == {axes.fan_in} == {60}
    outputs_of_one = sum((0, tap) in inputs_of[m] for m in range(12) for tap in range(15))
    assert outputs_of_one == axes.fan_out == 90


@pytest.mark.parametrize(
    ("shape", "kwargs", "fans"),
    [
        ((7, 5), {}, (7, 5)),
        ((3, 3, 4, 8), {}, (36, 72)),
        ((3, 3, 8, 4), {"in_axis": -1, "out_axis": -2}, (36, 72)),
        ((6, 7, 5), {"batch_axis": 0}, (7, 5)),
        ((8, 3, 2, 4), {"in_axis": 0, "out_axis": (1, 2, 3)}, (8, 24)),
        ((3, 3, 1, 8), {"groups": 8}, (9, 9)),
    ],
)
def test_fans_of_common_kernels(shape, kwargs, fans):
    axes = kernel_axes(shape, **kwargs)
    assert (axes.fan_in, axes.fan_out) == fans


def test_fold_puts_every_entry_in_its_place():
    """Copies, groups, outputs, inputs and taps, each told by its own digit."""
    axes = kernel_axes((5, 2, 3, 6), in_axis=2, out_axis=3, batch_axis=1, groups=2)
    matrices = jnp.arange(2 * 2 * 3 * 15).reshape(2, 2, 3, 15)
    kernel = np.asarray(axes.fold(matrices))
    for tap, copy, n, m in itertools.product(range(5), range(2), range(3), range(6)):
        group, row = divmod(m, 3)
        assert kernel[tap, copy, n, m] == matrices[copy, group, row, n * 5 + tap]
