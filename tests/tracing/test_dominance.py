"""Dominators, regions and counts of kernels against a search of all ways, on random programs."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from idinit_jax.tracing.answers.dominance import SOURCES, Dominance, Edges, Regions
from idinit_jax.tracing.answers.vanishing import find_vanishing
from idinit_jax.tracing.facts import find_facts
from idinit_jax.tracing.frameworks import take_apart
from idinit_jax.tracing.program.flatten import flatten
from idinit_jax.tracing.traced import make_program

SIZE = 14


def _random_program(seed):
    """Sums, products, functions and kernels of values that came before."""
    draw = np.random.default_rng(seed)
    steps = [(draw.integers(4), *draw.integers(-4, 0, 2)) for _ in range(SIZE)]

    def apply(params, x):
        values = [x] * 4
        for kind, one, other in steps:
            one, other = values[one], values[other]
            made = (one + other, one * jnp.tanh(other), jnp.sin(one), one @ params["w"])[kind]
            values.append(made)
        return values[-1] + values[-2]

    arrays = {"w": jax.ShapeDtypeStruct((3, 3), "float32")}, jax.ShapeDtypeStruct((2, 3), "float32")
    return flatten(make_program(take_apart(apply, arrays, {})))


def _edges(line):
    facts = find_facts(line)
    return facts, Edges(facts, find_vanishing(facts))


def _ways(edges, start, value):
    """All ways from one value to another."""
    if value == start:
        return [(value,)]
    return [(*way, value) for before in edges.before(value) for way in _ways(edges, start, before)]


@pytest.mark.parametrize("seed", range(20))
def test_common_dominator_is_the_last_value_on_all_ways(seed):
    line = _random_program(seed)
    facts, edges = _edges(line)
    (source,) = line.inputs
    dominance = Dominance(edges, facts.bits[source])
    through = {
        value: [set(way) for way in _ways(edges, source, value)]
        for value in range(len(line.shapes))
        if edges.carried[value]
    }
    for one, other in itertools.combinations(through, 2):
        expected = max(set.intersection(*through[one], *through[other]))
        assert dominance.common(one, other) == expected != SOURCES


@pytest.mark.parametrize("seed", range(20))
def test_fewest_and_most_kernels_are_those_of_the_ways(seed):
    line = _random_program(seed)
    facts, edges = _edges(line)
    (source,) = line.inputs
    dominance = Dominance(edges, facts.bits[source])
    kernels = {use.output for use in facts.uses.values()}
    for value in range(len(line.shapes)):
        if edges.carried[value] and value != source:
            counts = [len(kernels & set(way)) for way in _ways(edges, source, value)]
            paths = dominance.between(source, value)
            assert (paths.fewest, paths.most) == (min(counts), max(counts))


@pytest.mark.parametrize("seed", range(20))
def test_regions_hold_the_kernels_of_all_ways(seed):
    line = _random_program(seed)
    facts, edges = _edges(line)
    regions = Regions(edges)
    kernels = {use.output for use in facts.uses.values()}
    for start, value in itertools.combinations(sorted(kernels), 2):
        ways = _ways(edges, start, value)
        inside = kernels & set().union(*ways) - {start}
        assert set(regions.values(regions.kernels_between(start, value))) == inside
        assert regions.reaches(start, value) == bool(ways)
