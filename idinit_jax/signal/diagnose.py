"""From a model to its verdict."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from idinit_jax.signal.meter import Loss, Meter, make_meter, unit_noise
from idinit_jax.signal.rows import SignalReport
from idinit_jax.signal.verdict import DEAD, IDENTICAL, Verdict, judge
from idinit_jax.tracing.frameworks import with_named
from idinit_jax.tracing.program import PyTree

# A zero start of a branch of zeros under a head of zeros is awake after as many steps.
STEPS, STEP_SIZE = 3, 1e-3


def diagnose(
    model: Any,
    values: PyTree,
    *inputs: PyTree,
    loss: Loss = unit_noise,
    targets: Sequence[PyTree] = (),
    call_kwargs: Mapping[str, Any] = {},
) -> Verdict:
    """Measure a model and say what is wrong with it.

    Where a kernel has no gradient or its units are alike, the model is measured again after three
    small steps of gradient descent: what then has a gradient was not dead.

    Args:
        model, values, inputs, loss, targets, call_kwargs: see `measure`.

    >>> import jax, jax.numpy as jnp
    >>> x = jax.random.normal(jax.random.key(0), (8, 32))
    >>> kernels = jax.random.normal(jax.random.key(1), (6, 32, 32))
    >>> network = lambda ws, x: jax.lax.scan(lambda x, w: (jax.nn.relu(x @ w), None), x, ws)[0]
    >>> [finding.problem for finding in diagnose(network, kernels, x).findings]
    ['exploding']
    """
    meter = make_meter(model, values, *inputs, loss=loss, call_kwargs=call_kwargs)
    return diagnose_with(meter, values, with_named(inputs, call_kwargs)[0], targets)[1]


def diagnose_with(
    meter: Meter, values: PyTree, inputs: Sequence[PyTree], targets: Sequence[PyTree] = ()
) -> tuple[SignalReport, Verdict]:
    """The report and the verdict of a meter that may serve several values."""
    arguments = (*meter.arguments(values, inputs), tuple(targets))
    report = meter.report(meter.compiled(*arguments))
    if not seems_asleep(report):
        return report, judge(report)
    params, *rest = arguments
    for _ in range(STEPS):
        params = descend(params, meter.compiled_gradient(params, *rest))
    return report, judge(report, meter.report(meter.compiled(params, *rest)))


def seems_asleep(report: SignalReport) -> bool:
    """Whether some kernel has no gradient, or units that are alike."""
    return any(
        row.kind == "kernel"
        and (row.dead >= DEAD or row.identical_units > IDENTICAL * row.units > 0)
        for row in report.parameters
    )


@jax.jit
def descend(params: PyTree, gradients: PyTree) -> PyTree:
    """One step that moves every array that has a gradient by a root mean square of 1e-3."""

    def moved(value: jax.Array, slope: jax.Array) -> jax.Array:
        slope = slope.astype(jnp.float32)
        largest = jnp.max(jnp.abs(slope), initial=0.0)
        slope = slope / jnp.where(largest > 0, largest, 1.0)
        rms = jnp.sqrt(jnp.mean(slope * slope))
        return value - (STEP_SIZE * slope / jnp.where(rms > 0, rms, 1.0)).astype(value.dtype)

    return jax.tree.map(moved, params, gradients)
