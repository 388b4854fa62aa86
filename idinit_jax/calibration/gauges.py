"""Where each kernel and each bias is measured, and whether it can be corrected at once."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from idinit_jax.calibration.report import NOT_SELECTED
from idinit_jax.calibration.slots import Meter, meter
from idinit_jax.tracing.flatten import StraightLine, flatten
from idinit_jax.tracing.graph import Kernel, ModelGraph, Parameter
from idinit_jax.tracing.program import Site
from idinit_jax.tracing.proportion import Proportion, proportions
from idinit_jax.tracing.surroundings import in_while_loop

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


def kernel_gauges(graph: ModelGraph, where: Where) -> tuple[Gauge, ...]:
    """One gauge a kernel, in forward order."""
    line = flatten(graph.program)
    found = proportions(line)
    nodes = {node.site: node.inputs for node in line.nodes}
    leaves = {path: leaf for leaf, path in enumerate(graph.program.paths)}

    def gauge(kernel: Kernel) -> Gauge:
        leaf = leaves[kernel.path]
        if not where(kernel):
            return Gauge(kernel.path, leaf, kernel.shape, (), (), NOT_SELECTED)
        if any(in_while_loop(graph.program, use.site) for use in kernel.uses):
            return Gauge(kernel.path, leaf, kernel.shape, (), (), _IN_WHILE)
        held = [_proportion_at(nodes[use.site], found, leaf) for use in kernel.uses]
        by_layer = [
            meter(graph.program, use.site, one.scans, kernel.layers, use.layer)
            for use, one in zip(kernel.uses, held, strict=True)
            if one is not None
        ]
        meters = tuple(one for one in by_layer if one is not None)
        if len(meters) == len(kernel.uses):
            return Gauge(kernel.path, leaf, kernel.view, kernel.stack_axes, meters)
        # Which turn uses which layer is not known: one scale for the whole array.
        whole = (meter(graph.program, use.site, (), 1) for use in kernel.uses)
        meters = tuple(one for one in whole if one is not None)
        return Gauge(kernel.path, leaf, kernel.shape, (), meters, "" if all(held) else _HIDDEN)

    return tuple(map(gauge, graph.kernels))


def bias_gauges(graph: ModelGraph, kernels: tuple[Gauge, ...]) -> tuple[Gauge, ...]:
    """One gauge for each bias that is added to the output of a kernel which is corrected."""
    line = flatten(graph.program)
    found = proportions(line)
    leaves = {path: leaf for leaf, path in enumerate(graph.program.paths)}
    corrected = {gauge.path for gauge in kernels if not gauge.left_alone}

    def gauge(bias: Parameter) -> Gauge | None:
        leaf = leaves[bias.path]
        layers = math.prod(bias.shape[axis] for axis in bias.stack_axes)
        found_meters = [
            meter(graph.program, site, scans, layers)
            for site, scans in _additions(line, found, leaf)
        ]
        meters = tuple(one for one in found_meters if one is not None)
        if not meters or len(meters) < len(found_meters):
            return None
        return Gauge(bias.path, leaf, bias.shape, bias.stack_axes, meters)

    biases = [one for one in graph.parameters if one.kind == "bias" and one.kernel in corrected]
    return tuple(filter(None, map(gauge, biases)))


def _proportion_at(
    values: tuple[int, ...], found: list[Proportion | None], leaf: int
) -> Proportion | None:
    held = (found[value] for value in values)
    return next((one for one in held if one is not None and one.leaf == leaf), None)


def _additions(
    line: StraightLine, found: list[Proportion | None], leaf: int
) -> Iterator[tuple[Site, tuple[Site, ...]]]:
    """Where a parameter's own entries are added to the signal."""
    for node in line.nodes:
        held = _proportion_at(node.inputs, found, leaf)
        if node.operation == "add" and held is not None and held.unscaled:
            yield node.site, held.scans
