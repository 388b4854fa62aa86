"""Where a loss or gradient first stopped being finite: the layer, by name."""

import math
from typing import NamedTuple

from idinit_jax.signal import SignalReport
from idinit_jax.signal.verdict import find_nonfinite


class Offence(NamedTuple):
    """The layer where values first stopped being finite, and a sentence about it."""

    layer: str
    reason: str


class NonFiniteError(FloatingPointError):
    """Training stopped because a loss or gradient was not finite.

    Args:
        step: the update that was not made, counted from 1.
        offence: where the first value that is not finite comes from.
        loss: of the step.
        gradient_norm: of the step.
    """

    def __init__(self, step: int, offence: Offence, loss: float, gradient_norm: float) -> None:
        found = f"loss {loss:g}, gradient norm {gradient_norm:g}"
        super().__init__(f"step {step}: {found}; {offence.reason}")
        self.step = step
        self.layer = offence.layer


def find_offence(report: SignalReport) -> Offence:
    """What a measurement of the step that went wrong has to say of it.

    Args:
        report: of the state before the step, on the batch of the step.

    Returns:
        The first parameter that was not finite to begin with; else the first layer whose signal is
        not, in the forward pass and then in the backward pass; else the parameter with the largest
        gradient, as every value is finite and only the norm of all of them is not.
    """
    for row in report.parameters:
        if not math.isfinite(row.norm):
            return Offence(row.name, f"parameter {row.name} is not finite before the step")
    finding = find_nonfinite(report)
    if finding is not None:
        return Offence(finding.layer, f"not finite at {finding.layer}: {finding.evidence}")
    name = max(report.parameters, key=lambda row: row.gradient_norm).name
    return Offence(name, f"the gradient's norm overflows; its largest part belongs to {name}")
