"""Layer-sequential unit-variance initialization in one forward pass (Mishkin and Matas 2016)."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from idinit_jax.calibration.correction import Seen, make_pass
from idinit_jax.calibration.gauges import (
    Where,
    bias_gauges,
    kernel_gauges,
    without_embeddings,
)
from idinit_jax.calibration.report import LsuvReport
from idinit_jax.calibration.tries import Leaves, Limits, Steps, repeat
from idinit_jax.tracing import traced, traced_with
from idinit_jax.tracing.frameworks import is_array, with_named


class Calibrated(NamedTuple):
    """What LSUV gives back.

    Attributes:
        values: what the framework calls an initialized model, with the calibrated parameters.
        report: std before and after for every kernel; prints as a table.
    """

    values: Any
    report: LsuvReport


def lsuv_calibrate(
    model: Any,
    values: Any,
    *inputs: Any,
    call_kwargs: Mapping[str, Any] = {},
    target_std: float = 1.0,
    tolerance: float = 0.1,
    max_tries: int = 10,
    center_outputs: bool = False,
    where: Where = without_embeddings,
) -> Calibrated:
    """Rescale every kernel so that its output on a batch has the same standard deviation.

    The output `y = W x` of a contraction is proportional to its kernel, so in one forward pass
    each output is measured and multiplied by `target_std / std(y)` on the spot, the next layer
    sees the corrected signal, and `W` gets the same factor at the end. A second pass verifies.
    What is measured is the kernel's own output over batch, positions and features together,
    before its bias: with biases at zero this is the layer's output, as in the paper.

    A kernel with several uses (a recurrent cell, tied weights) gets one factor from the variance
    over all its uses together; the uses change with it, so passes are repeated until it is within
    tolerance. Stacked layers (`scan`) get one factor each.

    The paper starts from orthonormal kernels; `initialize(..., scheme="lsuv")` makes them.
    Mishkin and Matas 2016, "All you need is a good init", arXiv 1511.06422, Algorithm 1.

    Args:
        model: a Linen, NNX or Equinox module, a Haiku transformed function, a function
            `apply(params, *inputs)`, or any of them `traced`.
        values: the initialized model: what Linen's and Haiku's `init` return, the NNX or Equinox
            module, the function's parameter tree.
        *inputs: a real batch; a few hundred examples say enough.
        call_kwargs: keyword arguments of the model's call, such as `{"train": False}`. Batch
            statistics are read as the call reads them, and are not updated.
        target_std: standard deviation that every kernel's output is given.
        tolerance: largest accepted `abs(std**2 / target_std**2 - 1)`, above 0.
        max_tries: how often kernels may be rescaled, at least 1; once is enough unless a kernel
            has several uses.
        center_outputs: whether each bias is shifted by one number, the mean of the layer's
            output, so that this mean is zero.
        where: which kernels to rescale; by default all but embeddings.

    Returns:
        The values and a report. A kernel that cannot be calibrated (constant output on this batch,
        weights that pass through a standardization or are sums of kernels) keeps its values, and
        the report says why.

    Raises:
        TypeError: a model of no known kind, or values that are no arrays.
        ValueError: values that do not fit the model, settings out of range, or a kernel inside a
            `shard_map`.

    >>> import flax.linen as nn, jax
    >>> model = nn.Sequential([nn.Dense(64), nn.relu, nn.Dense(64), nn.relu, nn.Dense(10)])
    >>> batch = 3.0 * jax.random.normal(jax.random.key(0), (256, 32))
    >>> variables = model.init(jax.random.key(1), batch)
    >>> variables, report = lsuv_calibrate(model, variables, batch)
    >>> [round(reading.std_after, 4) for reading in report.kernels]
    [1.0, 1.0, 1.0]
    """
    known = traced_with(model, values, inputs, call_kwargs)
    calibrate = compile_lsuv(known, center_outputs=center_outputs, where=where)
    return calibrate(
        values,
        *with_named(inputs, call_kwargs)[0],
        target_std=target_std,
        tolerance=tolerance,
        max_tries=max_tries,
    )


def compile_lsuv(
    model: Any,
    *inputs: Any,
    call_kwargs: Mapping[str, Any] = {},
    center_outputs: bool = False,
    where: Where = without_embeddings,
) -> Callable[..., Calibrated]:
    """`lsuv_calibrate` for many batches or seeds: traced once, compiled at the first call.

    Args:
        model, call_kwargs, center_outputs, where: as for `lsuv_calibrate`.
        *inputs: sample inputs, arrays or ShapeDtypeStructs; for a function its parameter tree
            comes first.

    Returns:
        calibrate(values, *inputs, call_kwargs, target_std, tolerance, max_tries) -> Calibrated;
        of its call_kwargs it takes the arrays, and the others from here.

    >>> import flax.linen as nn, jax
    >>> model, batch = nn.Dense(4), jax.random.normal(jax.random.key(0), (64, 8))
    >>> calibrate = compile_lsuv(model, batch)
    >>> results = [calibrate(model.init(jax.random.key(i), batch), batch) for i in range(3)]
    """
    known = traced(model, inputs, call_kwargs)
    apart, program = known.model, known.program
    kernels = kernel_gauges(known, where)
    biases = bias_gauges(known, kernels) if center_outputs else ()
    run = make_pass(program, kernels, biases)

    def calibrate(
        values: Any,
        *inputs: Any,
        call_kwargs: Mapping[str, Any] = {},
        target_std: float = 1.0,
        tolerance: float = 0.1,
        max_tries: int = 10,
    ) -> Calibrated:
        _check_settings(target_std, tolerance, max_tries)
        params, state = apart.split(values)
        if any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(params)):
            raise TypeError("the values are shapes only; give an initialized model")
        leaves, tree = _arrays(params), jax.tree.structure(params)
        held, arrays = _arrays(state), _arrays(with_named(inputs, call_kwargs)[0])
        _check_shapes("values", program.params, leaves)
        _check_shapes("inputs", program.inputs, arrays)
        target = jnp.float32(target_std)

        def one_pass(leaves: Leaves, steps: Steps, correct: bool) -> tuple[Leaves, Seen]:
            return run(leaves, held, arrays, target, steps, jnp.asarray(correct))

        limits = Limits(target_std, tolerance, max_tries)
        leaves, report = repeat(one_pass, leaves, kernels, biases, limits)
        return Calibrated(apart.join(jax.tree.unflatten(tree, leaves), state), report)

    return calibrate


def _check_settings(target_std: float, tolerance: float, max_tries: int) -> None:
    for name, value in (("target_std", target_std), ("tolerance", tolerance)):
        if not 0 < value < float("inf"):
            raise ValueError(f"{name} must be a positive number, got {value!r}")
    if max_tries < 1:
        raise ValueError(f"max_tries must be at least 1, got {max_tries!r}")


def _arrays(tree: Any) -> Leaves:
    return [jnp.asarray(leaf) for leaf in jax.tree.leaves(tree) if is_array(leaf)]


def _check_shapes(what: str, traced: Any, given: Leaves) -> None:
    expected = [leaf.shape for leaf in jax.tree.leaves(traced) if is_array(leaf)]
    shapes = [leaf.shape for leaf in given]
    if shapes != expected:
        raise ValueError(f"the {what} do not fit the model: shapes {expected}, got {shapes}")
