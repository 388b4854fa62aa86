"""Where the signal is looked at: the uses of kernels and the residual sums, in forward order."""

import itertools
import math
import os
import sys
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core

from idinit_jax.tracing.frameworks import is_array
from idinit_jax.tracing.graph import Kernel, ModelGraph, ResidualSum, Use
from idinit_jax.tracing.program import Program, Site
from idinit_jax.tracing.program.flatten import open_jaxpr
from idinit_jax.tracing.program.sites import entered, equation_at, scans_around

# Addresses of the edges of a model, which no equation has.
INPUT: Site = (-1,)
OUTPUT: Site = (sys.maxsize,)
Kind = Literal["input", "kernel", "sum", "softmax", "output"]


class Loop(NamedTuple):
    """A scan around a site: its position in the site, and its number of turns."""

    position: int
    length: int


class Place(NamedTuple):
    """One equation whose output is looked at.

    Attributes:
        name: the kernel's path; for a sum the path that its branch's kernels share, and "/+".
        kind: "kernel" or "sum"; reports also have "input", "softmax" and "output".
        site: the equation.
        loops: scans around it, outermost first.
        features: axes of the output that hold features.
        trunk: whether it lies on the main path: on no branch and on no shortcut, and not on a way
            that enters branches alone.
        size: entries of the output, in one turn.
        kernel: the kernel, None for a sum.
        use: its use here, None for a sum.
        residual: the sum, None for a kernel.
    """

    name: str
    kind: Kind
    site: Site
    loops: tuple[Loop, ...]
    features: tuple[int, ...]
    trunk: bool
    size: int
    kernel: Kernel | None = None
    use: Use | None = None
    residual: ResidualSum | None = None

    @property
    def turns(self) -> int:
        """How often the equation runs."""
        return math.prod(loop.length for loop in self.loops)

    def order(self, turn: int) -> tuple[int, ...]:
        """A key that sorts turns of places in the order in which they run."""
        turns = _unravel(turn, [loop.length for loop in self.loops])
        key = list(self.site)
        for loop, index in reversed(list(zip(self.loops, turns, strict=True))):
            key.insert(loop.position + 1, index)
        return tuple(key)

    def layer(self, turn: int) -> int | None:
        """Which layer of a stacked kernel a turn uses; None where nothing is stacked."""
        if self.use is not None and self.use.layer is not None:
            return self.use.layer
        return turn if self.turns > 1 else None


def find_edges(program: Program) -> tuple[Place, ...]:
    """The first floating output, and the first floating input if there is one.

    Raises:
        TypeError: the model puts out no floating array.
    """
    outputs = program.jaxpr.out_avals
    inputs = [leaf for leaf in jax.tree.leaves(program.inputs) if is_array(leaf)]
    edges = [_edge("output", OUTPUT, outputs[output_index(program)])]
    if (index := first_floating(inputs)) is not None:
        edges.append(_edge("input", INPUT, inputs[index]))
    return tuple(edges)


def _edge(kind: Literal["input", "output"], site: Site, aval: Any) -> Place:
    return Place(kind, kind, site, (), (-1,), False, math.prod(aval.shape))


def output_index(program: Program) -> int:
    """Which output is measured: the first floating one.

    Raises:
        TypeError: there is none.
    """
    index = first_floating(program.jaxpr.out_avals)
    if index is None:
        raise TypeError("the model puts out no floating array; measure what gives its logits")
    return index


def first_floating(arrays: Sequence[Any]) -> int | None:
    """Index of the first floating array, None if there is none."""
    for index, array in enumerate(arrays):
        if jnp.issubdtype(array.dtype, jnp.floating):
            return index
    return None


def find_places(graph: ModelGraph) -> tuple[Place, ...]:
    """Every use of a kernel and every residual sum of a model."""
    uses = [
        _use_place(graph, kernel, i) for kernel in graph.kernels for i in range(len(kernel.uses))
    ]
    return (*uses, *_sum_places(graph))


def loops_around(program: Program, site: Site) -> tuple[Loop, ...]:
    """The scans that an equation lies in."""
    scans = scans_around(program, site)
    return tuple(Loop(len(around) - 1, length) for around, length in scans.items())


def whole_derivative(program: Program, site: Site) -> Site:
    """The function with a derivative of its own that an equation ends; else the equation.

    To look at its result there is no need to open it, which would lose that derivative.
    """
    found = site
    while len(site) > 2:
        result = equation_at(program, site).outvars
        site, body = site[:-2], site[-2]
        caller = equation_at(program, site)
        if caller.primitive.name in ("scan", "while", "cond"):
            break
        if open_jaxpr(entered(caller, body)).outvars != result:
            break
        if caller.primitive.name.startswith("custom_"):
            found = site
    return found


def _unravel(index: int, lengths: Sequence[int]) -> list[int]:
    turns = []
    for length in reversed(lengths):
        index, turn = divmod(index, length)
        turns.append(turn)
    return turns[::-1]


def _use_place(graph: ModelGraph, kernel: Kernel, index: int) -> Place:
    use = kernel.uses[index]
    path = kernel.path or "kernel"
    name = path if index == 0 else f"{path}#{index + 1}"
    trunk = use.main and use.branch is None and use.role != "shortcut"
    eqn = equation_at(graph.program, use.site)
    site = whole_derivative(graph.program, use.site)
    loops = loops_around(graph.program, site)
    features = feature_axes(eqn, kernel)
    return Place(name, "kernel", site, loops, features, trunk, _size(eqn), kernel, use)


def _size(eqn: core.JaxprEqn) -> int:
    return math.prod(shape_of(eqn.outvars[0]))


def _sum_places(graph: ModelGraph) -> list[Place]:
    names: dict[str, int] = {}
    places = []
    for residual in graph.residuals:
        prefix = os.path.commonpath(residual.branch_kernels) if residual.branch_kernels else ""
        prefix = prefix.removesuffix("/kernel")
        names[prefix] = names.get(prefix, 0) + 1
        suffix = "+" if names[prefix] == 1 else f"+{names[prefix]}"
        name = f"{prefix}/{suffix}" if prefix else suffix
        loops = loops_around(graph.program, residual.site)
        features = _sum_features(graph, residual)
        size = _size(equation_at(graph.program, residual.site))
        places.append(
            Place(
                name, "sum", residual.site, loops, features, residual.main, size, residual=residual
            )
        )
    return places


def _sum_features(graph: ModelGraph, residual: ResidualSum) -> tuple[int, ...]:
    """A sum has its features where the convolution that ends its branch puts them, else last."""
    rank = len(shape_of(equation_at(graph.program, residual.site).outvars[0]))
    for path in residual.tails:
        tail = graph[path]
        if isinstance(tail, Kernel) and tail.operation == "conv_general_dilated":
            eqn = equation_at(graph.program, tail.uses[0].site)
            if len(shape_of(eqn.outvars[0])) == rank:
                return feature_axes(eqn, tail)
    return (-1,) if rank else ()


def shape_of(variable: Any) -> tuple[int, ...]:
    """The shape of a variable of a jaxpr."""
    return tuple(variable.aval.shape)


def feature_axes(eqn: core.JaxprEqn, kernel: Kernel) -> tuple[int, ...]:
    """The axes of a contraction's output that the kernel produces."""
    kind, params = eqn.primitive.name, eqn.params
    if kind == "conv_general_dilated":
        return (params["dimension_numbers"].out_spec[1],)
    if kind == "gather":
        return tuple(params["dimension_numbers"].offset_dims)
    if kind != "dot_general":
        return (-1,)
    contracting, batch = params["dimension_numbers"]
    ranks = [len(shape_of(var)) for var in eqn.invars]
    free = [ranks[side] - len(contracting[side]) - len(batch[side]) for side in (0, 1)]
    start = len(batch[0])
    if kernel_operand(eqn, kernel) == 0:
        return tuple(range(start, start + free[0]))
    return tuple(range(start + free[0], start + free[0] + free[1]))


def kernel_operand(eqn: core.JaxprEqn, kernel: Kernel) -> int:
    """Which operand of a dot_general is the kernel: the one of its size, by default the second."""
    size = math.prod(kernel.shape) // kernel.layers
    sizes = [math.prod(shape_of(var)) for var in eqn.invars]
    return 0 if sizes[0] == size and sizes[1] != size else 1


def turns_of(places: Sequence[Place]) -> list[tuple[Place, int]]:
    """Every turn of every place, in the order in which they run."""
    turns = itertools.chain.from_iterable(
        ((place, turn) for turn in range(place.turns)) for place in places
    )
    return sorted(turns, key=lambda one: one[0].order(one[1]))
