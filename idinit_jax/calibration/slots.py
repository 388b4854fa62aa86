"""Which scale each measurement of a kernel decides: one a layer that the array stacks."""

import math
from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from idinit_jax.tracing.program import Program, Site
from idinit_jax.tracing.program.sites import equation_at, scans_around


class Meter(NamedTuple):
    """One place where the signal is measured on behalf of a parameter.

    Attributes:
        site: the equation whose output is measured.
        slots: one entry a turn of the scans around the site, the layer that is measured there.
        size: entries of the output in one turn.
    """

    site: Site
    slots: np.ndarray
    size: int


def meter(
    program: Program, site: Site, scans: Collection[Site], layers: int, layer: int | None = None
) -> Meter | None:
    """The meter at a site; None where it is not known which layer a turn uses.

    Args:
        program: the model's.
        site: where the parameter meets the signal.
        scans: those that hand the parameter out layer by layer.
        layers: number of layers that the parameter stacks.
        layer: the one that this use picks by a fixed index.
    """
    around, equation = scans_around(program, site), equation_at(program, site)
    turns = tuple(around.values())
    size = math.prod(getattr(equation.outvars[0].aval, "shape", ()))
    if layers == 1 or layer is not None:
        return Meter(site, np.full(turns, layer or 0), size)
    lengths = [turn if scan in scans else 1 for scan, turn in around.items()]
    if np.prod(lengths, dtype=int) != layers:
        return None
    slots = np.arange(layers).reshape(lengths)
    return Meter(site, np.broadcast_to(slots, turns), size)
