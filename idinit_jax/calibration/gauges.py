"""Where each kernel and each bias is measured, and whether it can be corrected at once."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from idinit_jax.calibration.report import NOT_SELECTED
from idinit_jax.calibration.slots import Meter, meter
from idinit_jax.tracing import Kernel, Parameter, Traced
from idinit_jax.tracing.answers.proportion import Proportion, proportion
from idinit_jax.tracing.facts import Facts
from idinit_jax.tracing.program import Site
from idinit_jax.tracing.program.sites import in_while_loop

Where = Callable[[Kernel], bool]
_IN_WHILE = "it lies in a loop of unknown length"
_HIDDEN = "the model uses it through arithmetic in which its scale is lost"


class Gauge(NamedTuple):
    """A parameter and the places where its effect is measured.

    Attributes:
        path: of the parameter.
        leaf: its index among the leaves of the parameter tree.
        view: the shape that `stack_axes` refer to.
        stack_axes: axes with one correction an index; without any the array gets one correction.
        meters: empty where nothing is measured.
        left_alone: why it is not corrected; empty where it is.
    """

    path: str
    leaf: int
    view: tuple[int, ...]
    stack_axes: tuple[int, ...]
    meters: tuple[Meter, ...]
    left_alone: str = ""

    @property
    def layers(self) -> int:
        return math.prod(self.view[axis] for axis in self.stack_axes)

    @property
    def uses(self) -> int:
        """How many measurements decide one correction; a single one is known on the spot."""
        slots = np.concatenate([one.slots.reshape(-1) for one in self.meters])
        return int(np.bincount(slots).max())


def without_embeddings(kernel: Kernel) -> bool:
    """Every kernel but those that are looked up by index, tied ones included."""
    return kernel.role != "embedding"


def kernel_gauges(known: Traced, where: Where) -> tuple[Gauge, ...]:
    """One gauge a kernel, in forward order."""
    program = known.program
    leaves = {path: leaf for leaf, path in enumerate(program.paths)}

    def gauge(kernel: Kernel) -> Gauge:
        leaf = leaves[kernel.path]
        if not where(kernel):
            return Gauge(kernel.path, leaf, kernel.shape, (), (), NOT_SELECTED)
        if any(in_while_loop(program, use.site) for use in kernel.uses):
            return Gauge(kernel.path, leaf, kernel.shape, (), (), _IN_WHILE)
        held = _proportions(known, known.line.params[leaf])
        by_layer = [
            meter(program, use.site, one.scans, kernel.layers, use.layer)
            for use, one in zip(kernel.uses, held, strict=True)
            if one is not None
        ]
        meters = tuple(one for one in by_layer if one is not None)
        if len(meters) == len(kernel.uses):
            return Gauge(kernel.path, leaf, kernel.view, kernel.stack_axes, meters)
        # Which turn uses which layer is not known: one scale for the whole array.
        whole = (meter(program, use.site, frozenset(), 1) for use in kernel.uses)
        meters = tuple(one for one in whole if one is not None)
        left_alone = _HIDDEN if None in held else ""
        return Gauge(kernel.path, leaf, kernel.shape, (), meters, left_alone)

    return tuple(map(gauge, known.graph.kernels))


def bias_gauges(known: Traced, kernels: tuple[Gauge, ...]) -> tuple[Gauge, ...]:
    """One gauge for each bias that is added to the output of a kernel which is corrected."""
    leaves = {path: leaf for leaf, path in enumerate(known.program.paths)}
    corrected = {gauge.path for gauge in kernels if not gauge.left_alone}

    def gauge(bias: Parameter) -> Gauge | None:
        leaf = leaves[bias.path]
        layers = math.prod(bias.shape[axis] for axis in bias.stack_axes)
        found_meters = [
            meter(known.program, site, scans, layers)
            for site, scans in _additions(known.facts, known.line.params[leaf])
        ]
        meters = tuple(one for one in found_meters if one is not None)
        if not meters or len(meters) < len(found_meters):
            return None
        return Gauge(bias.path, leaf, bias.shape, bias.stack_axes, meters)

    biases = [one for one in known.graph.parameters if one.kind == "bias"]
    return tuple(filter(None, (gauge(one) for one in biases if one.kernel in corrected)))


def _proportions(known: Traced, parameter: int) -> list[Proportion | None]:
    """How the weight of every use follows a kernel; it does not where others are in it too."""
    return [
        None if len(one.shares) > 1 else proportion(known.facts, one.use.weight, parameter)
        for one in known.answers.contractions
        if any(share.parameter == parameter for share in one.shares)
    ]


def _additions(facts: Facts, parameter: int) -> Iterator[tuple[Site, frozenset[Site]]]:
    """Where a parameter's own entries are added to the signal."""
    for node in facts.line.nodes:
        if node.operation == "add":
            found = (proportion(facts, value, parameter) for value in node.inputs)
            yield from ((node.site, one.scans) for one in found if one and one.unscaled)
