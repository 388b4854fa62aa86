"""One forward pass that measures the signal and corrects parameters on the way."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from idinit_jax.calibration.gauges import Gauge
from idinit_jax.calibration.moments import Moments, moments, pooled
from idinit_jax.tracing.program import Program, PyTree, Site
from idinit_jax.tracing.program.evaluate import Compute, Hook, evaluate

# A signal whose std is below this share of its mean is constant but for rounding.
_CONSTANT = 1e-6

# (parameter leaves, state leaves, input leaves, target std, steps, whether to correct)
# -> (parameter leaves, what was seen).
Pass = Callable[..., tuple[list[jax.Array], "Seen"]]
Operation = Callable[[jax.Array, jax.Array], jax.Array]
Measured = tuple[list[jax.Array], Moments]


class Seen(NamedTuple):
    """What one pass saw and did, by path: arrays of shape (layers,).

    Attributes:
        kernels, biases: moments of the signal that each one was measured on.
        gains: what the values of each kernel were multiplied by.
    """

    kernels: dict[str, Moments]
    biases: dict[str, Moments]
    gains: dict[str, jax.Array]


def gain_to(target: jax.Array, seen: Moments) -> jax.Array:
    """What a signal has to be multiplied by to have the target std; 1 where it is constant."""
    alive = is_alive(seen) & jnp.isfinite(seen.variance)
    std = jnp.sqrt(jnp.where(alive, seen.variance, 1.0))
    return jnp.where(alive, target / std, 1.0)


def is_alive(seen: Moments) -> jax.Array:
    """Whether a signal varies at all."""
    return (seen.variance > 0) & (seen.variance > _CONSTANT**2 * seen.mean**2)


def make_pass(program: Program, kernels: Sequence[Gauge], biases: Sequence[Gauge]) -> Pass:
    """Compile the pass.

    A kernel with one use a layer is corrected while the signal runs: the output of a contraction
    is proportional to its kernel, so scaling the output is scaling the kernel, and everything
    behind it sees the corrected signal. A kernel with several uses keeps its values during the
    pass, and is corrected at its end by the moments of all its uses together, raised to the power
    of its step.
    """
    rescaled = [gauge for gauge in kernels if not gauge.left_alone]

    def run(
        params: list[jax.Array],
        state: list[jax.Array],
        inputs: list[jax.Array],
        target: jax.Array,
        steps: dict[str, jax.Array],
        correct: jax.Array,
    ) -> tuple[list[jax.Array], Seen]:
        def gain(seen: Moments) -> jax.Array:
            return jnp.where(correct, gain_to(target, seen), 1.0)

        def shift(seen: Moments) -> jax.Array:
            return jnp.where(correct & jnp.isfinite(seen.mean), seen.mean, 0.0)

        hooks = _hooks(kernels, gain, jnp.multiply) | _hooks(biases, shift, jnp.subtract)
        _, records = evaluate(program, params, state, inputs, hooks)
        measured = _by_path(kernels, records)
        gains = {one.path: gain(measured[one.path]) ** steps.get(one.path, 1.0) for one in rescaled}
        seen = Seen(measured, _by_path(biases, records), gains)
        changed = list(params)
        for one in rescaled:
            changed[one.leaf] = _per_layer(one, params[one.leaf], jnp.multiply, gains[one.path])
        for one in biases:
            shifts = shift(seen.biases[one.path])
            changed[one.leaf] = _per_layer(one, params[one.leaf], jnp.subtract, shifts)
        return changed, seen

    return jax.jit(run)


def _hooks(
    gauges: Sequence[Gauge], correction: Callable[[Moments], jax.Array], operation: Operation
) -> dict[Site, Hook]:
    def measure(compute: Compute, operands: list[jax.Array], extra: PyTree) -> Measured:
        del extra
        outputs = compute(*operands)
        return outputs, moments(outputs[0])

    def measure_and_correct(compute: Compute, operands: list[jax.Array], extra: PyTree) -> Measured:
        (signal,), seen = measure(compute, operands, extra)
        corrected = operation(_wide(signal), correction(seen).astype(_wide(signal).dtype))
        return [corrected.astype(signal.dtype)], seen

    return {
        meter.site: measure if gauge.left_alone or gauge.uses > 1 else measure_and_correct
        for gauge in gauges
        for meter in gauge.meters
    }


def _by_path(gauges: Sequence[Gauge], records: Mapping[Site, PyTree]) -> dict[str, Moments]:
    return {
        gauge.path: pooled(
            [records[meter.site] for meter in gauge.meters], gauge.meters, gauge.layers
        )
        for gauge in gauges
        if gauge.meters
    }


def _per_layer(
    gauge: Gauge, stored: jax.Array, operation: Operation, numbers: jax.Array
) -> jax.Array:
    """The parameter after an operation with one number a layer, cast once."""
    shape = [size if axis in gauge.stack_axes else 1 for axis, size in enumerate(gauge.view)]
    values = _wide(stored).reshape(gauge.view)
    numbers = numbers.reshape(shape).astype(values.dtype)
    return operation(values, numbers).reshape(stored.shape).astype(stored.dtype)


def _wide(array: jax.Array) -> jax.Array:
    """In float32, or float64 where it is."""
    return array if array.dtype == jnp.float64 else array.astype(jnp.float32)
