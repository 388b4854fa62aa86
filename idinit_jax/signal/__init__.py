"""See the signal of a model: forward, backward, spectrum, assertions."""

from idinit_jax.signal.assertions import (
    assert_finite_signal,
    assert_gradient_flow,
    assert_identity_at_init,
    assert_isometry,
    assert_no_dead_parameters,
    assert_symmetry_broken,
    assert_unit_variance,
    assert_variance_preserved,
)
from idinit_jax.signal.meter import Meter, Statistics, make_meter, measure, unit_noise
from idinit_jax.signal.rows import ParameterRow, SignalReport, SignalRow
from idinit_jax.signal.spectrum import Spectrum, spectrum
from idinit_jax.signal.statistics import Backward, Forward
from idinit_jax.signal.weights import WeightRow, weight_spectra

__all__ = [
    "Backward",
    "Forward",
    "Meter",
    "ParameterRow",
    "SignalReport",
    "SignalRow",
    "Spectrum",
    "Statistics",
    "WeightRow",
    "assert_finite_signal",
    "assert_gradient_flow",
    "assert_identity_at_init",
    "assert_isometry",
    "assert_no_dead_parameters",
    "assert_symmetry_broken",
    "assert_unit_variance",
    "assert_variance_preserved",
    "make_meter",
    "measure",
    "spectrum",
    "unit_noise",
    "weight_spectra",
]
