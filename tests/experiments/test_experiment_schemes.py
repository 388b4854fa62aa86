"""What a scheme's name, and an ablation's departure from it, mean for each role."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.config import Initialization
from experiments.schemes import Initializers, initializers

CONV = (3, 3, 16, 16)


def tail(chosen: Initializers) -> tuple[float, float]:
    """Largest entry of a tail kernel, and the norm scale after it."""
    assert chosen.tail is not None
    kernel = chosen.tail(jax.random.key(0), CONV, jnp.float32)
    return float(jnp.abs(kernel).max()), float(chosen.tail_scale(jax.random.key(0), (1,))[0])


@pytest.mark.parametrize(
    ("init", "norm", "expected"),
    [
        (Initialization("idinit"), "batch", (0.1, 1e-3)),
        (Initialization("idinit"), "none", (1e-6, 1.0)),
        (Initialization("idinit_literal"), "batch", (1e-6, 1.0)),
        (Initialization("he", tail="literal"), "batch", (1e-6, 1.0)),
        (Initialization("he", tail="norm_aware"), "batch", (0.1, 1e-3)),
        (Initialization("zero"), "batch", (0.0, 1.0)),
        (Initialization("zero_hadamard"), "batch", (0.0, 1.0)),
        (Initialization("zero_gamma"), "none", (0.0, 1.0)),
    ],
)
def test_how_a_branch_ends(init: Initialization, norm, expected: tuple[float, float]) -> None:
    assert tail(initializers(init, norm)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("init", "scale"),
    [
        (Initialization("he"), 1.0),
        (Initialization("zero_gamma"), 0.0),
        (Initialization("idinit", tail="standard"), 1.0),
        (Initialization("idinit", tail="norm_aware_he"), 1e-3),
    ],
)
def test_a_random_tail_has_he_variance(init: Initialization, scale: float) -> None:
    """std = sqrt(2 / fan_in) within 5 standard errors of a std of 2304 normal draws."""
    chosen = initializers(init, "batch")
    assert chosen.tail is not None
    kernel = np.asarray(chosen.tail(jax.random.key(1), CONV, jnp.float32))
    expected = np.sqrt(2 / (9 * 16))
    assert kernel.std() == pytest.approx(expected, rel=5 / np.sqrt(2 * kernel.size))
    assert tail(chosen)[1] == pytest.approx(scale)


@pytest.mark.parametrize("layout", ["patch", "tap", "channel"])
def test_identity_is_laid_out_as_asked_in_every_role(layout) -> None:
    """The one nonzero of output 0 reads input 0: at the first tap, or at the centre."""
    init = Initialization("idinit", layout=layout, stem="identity", head="identity")
    chosen = initializers(init, "batch")
    row, column = (1, 1) if layout == "channel" else (0, 0)
    for rule in (chosen.stem, chosen.hidden, chosen.shortcut, chosen.head):
        assert rule is not None
        kernel = np.asarray(rule(jax.random.key(0), CONV, jnp.float32))[..., 0]
        assert np.argwhere(kernel).tolist() == [[row, column, 0]]


def test_shortcuts_follow_the_scheme_unless_told() -> None:
    assert (
        initializers(Initialization("he"), "batch").shortcut
        == initializers(Initialization("idinit", shortcut_start="standard"), "batch").shortcut
    )


@pytest.mark.parametrize("scheme", ["skipinit", "rezero", "fixup"])
def test_residual_styles(scheme) -> None:
    chosen = initializers(Initialization(scheme), "none")
    assert chosen.residual == scheme
    assert (chosen.hidden is None) == (scheme == "fixup")
