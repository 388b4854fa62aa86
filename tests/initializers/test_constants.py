"""One value everywhere."""

import numpy as np
import pytest

from idinit_jax.initializers import constant, ones, zeros


@pytest.mark.parametrize(("rule", "value"), [(constant(-0.5), -0.5), (zeros(), 0), (ones(), 1)])
@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (2, 3, 4)], ids=str)
def test_fills_any_shape(rule, value, shape):
    np.testing.assert_array_equal(rule(None, shape), np.full(shape, value))


def test_refuses_what_is_not_a_number():
    with pytest.raises(TypeError, match="value must be a real number, got '1' of type str"):
        constant("1")
    with pytest.raises(TypeError, match="value must be a real number"):
        constant(1j)
