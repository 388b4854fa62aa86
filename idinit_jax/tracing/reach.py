"""Which values the inputs reach."""

from collections.abc import Container, Iterable
from typing import Any, NamedTuple

import jax.numpy as jnp

from idinit_jax.tracing import choices, flatten
from idinit_jax.tracing.flatten import StraightLine


class DataReach(NamedTuple):
    """Where the data arrive.

    Attributes:
        is_data: for every value whether inputs reach it; kernels that they choose do not count.
        chosen: those kernels and their biases, see `choices`.
    """

    is_data: list[bool]
    chosen: set[int]


def data_reach(line: StraightLine, signals: Iterable[int] = ()) -> DataReach:
    """Follow the inputs, and `signals`: values that are signals although no input reaches them."""
    seeds = [value for value in line.inputs if carries_signal(line.dtypes[value])] + [*signals]
    is_data = reached(line, seeds)
    chosen = choices.chosen(line, is_data, reached(line, line.params))
    return DataReach(reached(line, seeds, chosen) if chosen else is_data, chosen)


def carries_signal(dtype: Any) -> bool:
    """Whether an array of this dtype holds numbers, and no random keys."""
    return is_bool(dtype) or (dtype is not None and jnp.issubdtype(dtype, jnp.number))


def is_bool(dtype: Any) -> bool:
    return dtype is not None and jnp.issubdtype(dtype, jnp.bool_)


def is_real(dtype: Any) -> bool:
    """Whether an array of this dtype can have a gradient: floating or complex."""
    return dtype is not None and jnp.issubdtype(dtype, jnp.inexact)


def reached(line: StraightLine, seeds: Iterable[int], barred: Container[int] = ()) -> list[bool]:
    """Which values depend on the seeds, through the turns of loops too, but past `barred` ones."""
    mark = [False] * len(line.shapes)
    for seed in seeds:
        mark[seed] = True
    leaving = dict(line.loops)
    changed = True
    while changed:
        changed = False
        for node in line.nodes:
            hit = any(mark[value] for value in node.inputs)
            if node.operation == flatten.CARRY:
                hit = hit or mark[leaving[node.outputs[0]]]
            for value in node.outputs:
                if hit and not mark[value] and value not in barred:
                    mark[value] = changed = True
        changed = changed and bool(line.loops)
    return mark
