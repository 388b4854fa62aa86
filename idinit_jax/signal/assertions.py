"""Assertions for a test suite: what a good start promises, with the layer and both numbers.

One measurement serves them all:

    report = signal.measure(model, values, batch)
    signal.assert_finite_signal(report)
    signal.assert_gradient_flow(report, factor=10.0)
"""

import math
from collections.abc import Iterable
from typing import Any

import chex
import numpy as np

from idinit_jax.signal.meter import Statistics
from idinit_jax.signal.rows import SignalReport, SignalRow
from idinit_jax.signal.softmaxes import Logits
from idinit_jax.signal.spectrum import Spectrum
from idinit_jax.signal.statistics import Summary


def assert_finite_signal(found: SignalReport | Statistics) -> None:
    """No NaN and no infinity: loss, activations, gradients, parameters.

    Under jit, give what `Meter.statistics` returns and wrap the function with `chex.chexify`.

    Args:
        found: a report, or the statistics behind one.

    Raises:
        AssertionError: naming the first place in forward order, else in backward order.

    >>> import jax, jax.numpy as jnp, idinit_jax.signal as signal
    >>> assert_finite_signal(signal.measure(lambda w, x: x @ w, jnp.eye(2), jnp.ones((3, 2))))
    """
    if isinstance(found, Statistics):
        # Squares in the largest unit are finite if the entries are.
        parameters = [(one.squares[-1], one.slope_squares[-1]) for one in found.parameters]
        forward = {str(site): _finite_part(one.summary) for site, one in found.forward.items()}
        backward = {str(site): one.squares[-1] for site, one in found.backward.items()}
        chex.assert_tree_all_finite((found.loss, forward, backward, parameters))
        return
    for row in found.rows:
        _check_finite(row.name, "activation", row.forward.rms, row.forward.nonfinite)
    for row in reversed(found.rows):
        if row.backward is not None:
            _check_finite(row.name, "gradient", row.backward.norm, row.backward.nonfinite)
    for parameter in found.parameters:
        finite = math.isfinite(parameter.norm) and math.isfinite(parameter.gradient_norm)
        _check(finite, f"{parameter.name}: norm {parameter.norm:.3g} and gradient norm "
               f"{parameter.gradient_norm:.3g}, expected finite numbers")  # fmt: skip
    _check(math.isfinite(found.loss), f"the loss is {found.loss}, expected a finite number")


def assert_identity_at_init(report: SignalReport, tolerance: float = 1e-3) -> None:
    """Every residual branch is nothing beside its shortcut.

    Args:
        report: of a model with residual sums.
        tolerance: largest std of a branch, in units of the std of branch and shortcut together.

    Raises:
        AssertionError: naming the first sum whose branch adds more.
        ValueError: the model has no residual sums.

    Reference: IDInit (arXiv 2503.04626), a residual block at init is the identity to O(eps).
    """
    sums = [row for row in report.rows if row.branch_share is not None]
    if not sums:
        raise ValueError("the model has no residual sums; assert_isometry asks the like of a chain")
    for row in sums:
        part = math.sqrt(row.branch_share or 0.0)
        _check(part <= tolerance, f"{row.name}: the branch has {part:.3g} of the sum's standard "
               f"deviation, expected at most {tolerance:.3g}")  # fmt: skip


def assert_unit_variance(
    report: SignalReport, tolerance: float = 0.1, names: Iterable[str] | None = None
) -> None:
    """The output of every kernel has variance one, as LSUV makes it.

    Args:
        report: any.
        tolerance: largest distance of a variance from one.
        names: rows to look at; by default all kernels but the embeddings.

    Raises:
        AssertionError: naming the first row that is farther off.
        KeyError: no row has one of the names.

    Reference: Mishkin and Matas 2016 (arXiv 1511.06422), Algorithm 1, with Tol_var = 0.1.
    """
    kernels = [row for row in report.rows if row.kind == "kernel" and row.role != "embedding"]
    rows = kernels if names is None else [report[name] for name in names]
    for row in rows:
        _check(abs(row.variance - 1.0) <= tolerance, f"{row.name}: the variance is "
               f"{row.variance:.4g}, expected 1 within {tolerance:.3g}")  # fmt: skip


def assert_variance_preserved(report: SignalReport, factor: float = 2.0) -> None:
    """Along the main path the second moment stays what it is after the first kernel.

    Args:
        report: any; the head is left out.
        factor: largest ratio to the first row, either way, above 1.

    Raises:
        AssertionError: naming the first row where the signal has grown or shrunk by more.
    """
    rows = [row for row in report.trunk if row.role != "head"]
    for row in rows[1:]:
        first, here = rows[0].forward.rms ** 2, row.forward.rms**2
        _check(first / factor <= here <= first * factor, f"{row.name}: the second moment is "
               f"{here:.4g}, expected {first:.4g} as at {rows[0].name} within a factor of "
               f"{factor:.3g}")  # fmt: skip


def assert_gradient_flow(report: SignalReport, factor: float = 100.0) -> None:
    """Along the main path the gradient neither vanishes nor explodes.

    Args:
        report: any.
        factor: largest ratio of a gradient's norm to the one at the last row, either way.

    Raises:
        AssertionError: naming the row nearest to the output where it is more.
    """
    rows = [row for row in report.trunk if row.backward is not None]
    top = _gradient_norm(rows[-1])
    for row in reversed(rows):
        here = _gradient_norm(row)
        _check(top / factor <= here <= top * factor and here > 0, f"{row.name}: the gradient's "
               f"norm is {here:.4g}, expected {top:.4g} as at {rows[-1].name} within a factor of "
               f"{factor:.3g}")  # fmt: skip


def assert_no_dead_parameters(report: SignalReport, limit: float = 0.99) -> None:
    """Every parameter gets a gradient.

    Args:
        report: any.
        limit: largest fraction of a parameter's entries with a gradient of exactly zero. Units
            that no example of the batch reaches, and rows of an embedding that it does not look
            up, have none.

    Raises:
        AssertionError: naming the first parameter above the limit.
    """
    for row in report.parameters:
        _check(row.dead <= limit, f"{row.name}: {row.dead:.3g} of its entries have a gradient of "
               f"exactly zero, expected at most {limit:.3g}")  # fmt: skip


def assert_symmetry_broken(report: SignalReport) -> None:
    """No two units of a kernel have the same weights and the same gradient.

    Raises:
        AssertionError: naming the first kernel with such units, which training never tells apart.
    """
    for row in report.parameters:
        _check(row.identical_units == 0, f"{row.name}: {row.identical_units} of {row.units} units "
               "are identical to another one, expected 0")  # fmt: skip


def assert_isometry(spectrum: Spectrum, tolerance: float = 0.1) -> None:
    """All singular values that were computed are near one: not their mean square, each of them.

    Args:
        spectrum: as `signal.spectrum` found it between two points.
        tolerance: largest distance of a singular value from one.

    Raises:
        AssertionError: with the singular value that is farthest off.

    Reference: Pennington et al. 2017 (arXiv 1711.04735).
    """
    farthest = np.argmax(np.abs(spectrum.singular_values - 1.0))
    value = spectrum.singular_values[farthest]
    _check(bool(abs(value - 1.0) <= tolerance), f"singular value {farthest + 1} of "
           f"{min(spectrum.shape)} is {value:.4g}, expected 1 within {tolerance:.3g}")  # fmt: skip


def _finite_part(summary: Summary | Logits) -> Any:
    return summary.sums.squares[-1] if isinstance(summary, Summary) else summary


def _check_finite(name: str, what: str, size: float, nonfinite: float) -> None:
    found = f"{nonfinite:.3g} of its entries are NaN or infinite, expected 0"
    _check(math.isfinite(size), f"{name}: the {what} is not finite: {found}")


def _gradient_norm(row: SignalRow) -> float:
    return math.nan if row.backward is None else row.backward.norm


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)
