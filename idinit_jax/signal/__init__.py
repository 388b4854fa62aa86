"""See the signal of a model: forward, backward, spectrum, assertions."""

from idinit_jax.schemes import assert_replicas_agree
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
from idinit_jax.signal.compare import Comparison, compare
from idinit_jax.signal.diagnose import diagnose
from idinit_jax.signal.growth import Growth, growth
from idinit_jax.signal.meter import Meter, Statistics, make_meter, measure, unit_noise
from idinit_jax.signal.picture import save_picture
from idinit_jax.signal.recommend import Evidence, Recommendation, recommend
from idinit_jax.signal.rows import ParameterRow, SignalReport, SignalRow
from idinit_jax.signal.spectrum import Spectrum, spectrum
from idinit_jax.signal.statistics import Backward, Forward
from idinit_jax.signal.verdict import Finding, Verdict, judge
from idinit_jax.signal.weights import WeightRow, weight_spectra

__all__ = [
    "Backward",
    "Comparison",
    "Evidence",
    "Finding",
    "Forward",
    "Growth",
    "Meter",
    "ParameterRow",
    "Recommendation",
    "SignalReport",
    "SignalRow",
    "Spectrum",
    "Statistics",
    "Verdict",
    "WeightRow",
    "assert_finite_signal",
    "assert_gradient_flow",
    "assert_identity_at_init",
    "assert_isometry",
    "assert_no_dead_parameters",
    "assert_replicas_agree",
    "assert_symmetry_broken",
    "assert_unit_variance",
    "assert_variance_preserved",
    "compare",
    "diagnose",
    "growth",
    "judge",
    "make_meter",
    "measure",
    "recommend",
    "save_picture",
    "spectrum",
    "unit_noise",
    "weight_spectra",
]
