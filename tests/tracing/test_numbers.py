"""What tracing says of a model, held against the model run on numbers.

Parameters are drawn at random and changed one at a time, and what moves is looked at: nothing here
knows how tracing works.
"""

import itertools
import math
from collections import Counter
from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gallery import (
    bent_kernels,
    chosen_kernels,
    experts,
    frozen,
    gated_tails,
    learned_signals,
    loops,
    own_functions,
    radial_bases,
    small_functions,
    unlike_residuals,
)
from gallery.entry import GALLERY, Entry
from spelled.programs import KINDS, Block, Network
from spelled.spellings import Spelling, X, write

from idinit_jax.tracing import Kernel, ModelGraph
from idinit_jax.tracing.program import Site
from idinit_jax.tracing.program.evaluate import evaluate
from idinit_jax.tracing.program.sites import equation_at

MODULES = (
    bent_kernels,
    chosen_kernels,
    experts,
    frozen,
    gated_tails,
    learned_signals,
    loops,
    own_functions,
    radial_bases,
    small_functions,
    unlike_residuals,
)
# Every so many of the entries of these modules, which are small.
EVERY = 16
SAMPLE = [
    name
    for name, build in GALLERY.items()
    if build.__module__ in {module.__name__ for module in MODULES}
    # JAX has no gradient of a loop whose length depends on data; negative distances are none.
    and not any(word in name for word in ("adaptive", "inverse_powers"))
][::EVERY]
CONTRACTIONS = ("dot_general", "conv_general_dilated")
FIRST_BLOCKS = (Block("dense", "relu", "none", False, True, False),)
SPELLING = Spelling(
    *("matmul", "out_in", "scanned", False, "plain", "jax", False, "scanned", "einsum", "einsum")
)
QUICKLY = {"xla_backend_optimization_level": 0}


class Numbers:
    """A traced model with numbers for its parameters, its state and its inputs.

    Attributes:
        graph: what tracing says.
        params: path -> array.
        kernels: site -> kernel, of every first use that is a contraction with one kernel alone.
    """

    def __init__(self, graph: ModelGraph) -> None:
        self.graph = graph
        random = np.random.default_rng(0)
        program = graph.program
        leaves = jax.tree.leaves(program.params)
        self.params = {
            path: draw(random, leaf, _scale(graph, path))
            for path, leaf in zip(program.paths, leaves, strict=True)
        }
        # A variance among the state is positive.
        self.state = jax.tree.map(lambda leaf: abs(draw(random, leaf)) + 1, program.state)
        self.inputs = jax.tree.map(lambda leaf: draw(random, leaf), program.inputs)
        shared = Counter(use.site for one in graph.kernels for use in one.uses)
        self.kernels = {
            one.uses[0].site: one
            for one in graph.kernels
            if one.operation in CONTRACTIONS and shared[one.uses[0].site] == 1
        }

    def value(self, params: dict[str, Any], changes: dict[Site, Any]) -> Any:
        """A function of all outputs that no symmetry of theirs hides anything from; and records.

        The records are the operands of the first uses and of the residual sums. At a site with a
        change, a factor and an offset, the outputs are changed by that.
        """
        program = self.graph.program
        sites = {*self.kernels, *(one.site for one in self.graph.residuals)}
        leaves = [params[path] for path in program.paths]
        tree = jax.tree.unflatten(jax.tree.structure(program.params), leaves)
        hooks = {site: record_operands(changes.get(site, (1, 0))) for site in sites}
        outputs, records = evaluate(program, tree, self.state, self.inputs, hooks)
        total = jnp.zeros(())
        for one in outputs:
            if jnp.issubdtype(one.dtype, jnp.floating):
                weights = jnp.sin(1 + jnp.arange(one.size, dtype=jnp.float32)).reshape(one.shape)
                total += jnp.sum(weights * one) + jnp.sum(jnp.square(one)) / 7
        return total, records

    @cached_property
    def run(self) -> Any:
        """Compiled: parameters, changes of outputs -> (value, records), gradients."""

        def run(some: dict[str, Any], rest: dict[str, Any], changes: dict[Site, Any]) -> Any:
            value = lambda some: self.value(some | rest, changes)  # noqa: E731 one expression
            return jax.value_and_grad(value, has_aux=True)(some)

        return jax.jit(run, compiler_options=QUICKLY)

    def at(self, changed: dict[str, Any], outputs: Mapping[Site, Any] = MappingProxyType({})):
        """The value, the records and the gradients with some parameters or outputs changed."""
        params = self.params | changed
        some = {p: v for p, v in params.items() if jnp.issubdtype(v.dtype, jnp.floating)}
        rest = {path: v for path, v in params.items() if path not in some}
        changes = {site: outputs.get(site, (1.0, 0.0)) for site in self.kernels}
        (value, records), gradients = self.run(some, rest, changes)
        return value, jax.tree.map(np.asarray, records), gradients


def record_operands(change):
    factor, offset = change

    def hook(compute, operands, _):
        outputs = [(factor * one + offset).astype(one.dtype) for one in compute(*operands)]
        return outputs, list(operands)

    return hook


def draw(random: np.random.Generator, leaf: Any, scale: float = 1.0) -> Any:
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jnp.broadcast_to(jax.random.key(0), leaf.shape)
    if jnp.issubdtype(leaf.dtype, jnp.bool_):
        return jnp.asarray(random.random(leaf.shape) < 0.7)
    if jnp.issubdtype(leaf.dtype, jnp.integer):
        return jnp.asarray(random.integers(0, 2, leaf.shape), leaf.dtype)
    return jnp.asarray(scale * random.standard_normal(leaf.shape), leaf.dtype)


def _scale(graph: ModelGraph, path: str) -> float:
    one = graph[path]
    return one.fan_in**-0.5 if isinstance(one, Kernel) else 0.5


def composed(kind: str) -> Entry:
    """A network of the spelling test with everything that a block can have."""
    network = Network((Block(kind, "gelu", "before", True, True, True), *FIRST_BLOCKS), turns=2)
    written = write(network, SPELLING)
    return Entry(written.apply, (written.params, X), written.expected, 4)


@pytest.fixture(scope="module", params=[*SAMPLE, *KINDS])
def numbers(request):
    build = GALLERY.get(request.param, lambda: composed(request.param))
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield Numbers(build().trace())


def test_gradients_reach_what_is_trained_and_nothing_else(numbers):
    _, _, gradients = numbers.at({})
    for path, gradient in gradients.items():
        idle = numbers.graph[path].kind in ("frozen", "unused")
        assert idle == (not np.any(gradient)), (path, numbers.graph[path].kind)


def test_what_is_unused_moves_nothing(numbers):
    unused = [one.path for one in numbers.graph.parameters if one.kind == "unused"]
    moved = {path: 3 * numbers.params[path] + 1 for path in unused}
    assert numbers.at(moved)[0] == numbers.at({})[0]


def added_behind(graph, tails):
    """What is added behind these kernels, or behind none; the biases of others keep them alive."""
    added = ("bias", "norm_bias", "position_embedding", "class_token")
    return {
        one.path
        for one in graph.parameters
        if one.kind in added and (one.kernel is None or one.kernel in tails)
    }


def test_a_branch_is_zero_with_its_tails_and_learns_from_near_there(numbers):
    """What is added along a branch is zero too. At zero itself a relu has no derivative, and a
    recurrent kernel reads a state of zeros, so one tail must learn where all are small.
    """
    graph, (_, _, usual) = numbers.graph, numbers.at({})
    for one in graph.residuals:
        paths = {*one.tails, *added_behind(graph, one.tails)}
        zero = {path: jnp.zeros_like(numbers.params[path]) for path in paths}
        _, records, _ = numbers.at(zero)
        np.testing.assert_array_equal(records[one.site][one.branch_operand], 0)
        _, _, gradients = numbers.at({path: 1e-3 * numbers.params[path] for path in one.tails})
        assert any(
            np.abs(gradients[path]).max() > 0.01 * np.abs(usual[path]).max() for path in one.tails
        ), one.tails


def test_what_ends_a_branch_silences_it(numbers):
    graph = numbers.graph
    for index, one in enumerate(graph.residuals):
        behind = added_behind(graph, one.tails)
        zero = {path: jnp.zeros_like(numbers.params[path]) for path in behind}
        ends = [
            each
            for each in graph.parameters
            if each.ends_branch and each.branch == index and not each.bent
        ]
        for each in ends:
            zero[each.path] = jnp.full_like(numbers.params[each.path], -each.offset / each.factor)
        if ends:
            _, records, _ = numbers.at(zero)
            branch = records[one.site][one.branch_operand]
            np.testing.assert_allclose(branch, 0, atol=1e-5)


def weight(numbers, site, path, values):
    """The operand that the values of a parameter change, in the first turn in which they do.

    Returns its index, and what it is now and with the values.
    """
    before, after = (numbers.at(changed)[1][site] for changed in ({}, {path: values}))
    turns = len(jax.tree.leaves(before)[0].shape) - len(
        equation(numbers, site).invars[0].aval.shape
    )
    for turn in itertools.product(*map(range, before[0].shape[:turns])):
        moved = [i for i in range(2) if np.any(before[i][turn] != after[i][turn])]
        if len(moved) == 1:
            return moved[0], before[moved[0]][turn], after[moved[0]][turn]
        if moved:
            break
    return None


def equation(numbers, site):
    return equation_at(numbers.graph.program, site)


def test_weights_are_linear_in_kernels_unless_said_otherwise(numbers):
    for site, kernel in numbers.kernels.items():
        stored = numbers.params[kernel.path]
        # Open: a kernel of which a softmax is taken has unit axes too, though it is bent.
        if kernel.unit_axes and kernel.linear:
            found = weight(numbers, site, kernel.path, 2 * stored)
            assert found is None or np.allclose(found[1], found[2], rtol=1e-3), kernel.path
            continue
        first, second = (weight(numbers, site, kernel.path, t * stored) for t in (-1, 3))
        if first is None or second is None:
            continue
        (_, once, opposite), (_, _, thrice) = first, second
        size = np.abs(once).max()
        linear = np.allclose(thrice - once, once - opposite, rtol=1e-3, atol=1e-4 * size)
        assert kernel.linear == linear, kernel.path


def test_outputs_are_made_apart_and_inputs_together(numbers):
    """An entry of a kernel moves the outputs of its own index, whatever input it reads."""
    random = np.random.default_rng(1)
    for site, kernel in numbers.kernels.items():
        if kernel.unit_axes or not kernel.linear or kernel.masked:
            continue
        stored, eqn = numbers.params[kernel.path], equation(numbers, site)
        index = tuple(random.integers(size) for size in kernel.view)

        def moved(index, site=site, kernel=kernel, stored=stored, eqn=eqn):
            changed = stored.reshape(kernel.view).at[index].add(1.0).reshape(stored.shape)
            found = weight(numbers, site, kernel.path, changed)
            if found is None:
                return None
            side, before, after = found
            signal = np.random.default_rng(2).standard_normal(eqn.invars[1 - side].aval.shape)
            operands = [jnp.asarray(signal, before.dtype)] * 2
            operands[side] = jnp.asarray(after - before)
            return np.asarray(eqn.primitive.bind(*operands, **eqn.params)) != 0

        base = moved(index)
        for axis in (*kernel.out_axes, *kernel.in_axes):
            other = list(index)
            other[axis] = (index[axis] + 1) % kernel.view[axis]
            there = moved(tuple(other))
            if kernel.view[axis] == 1 or base is None or there is None:
                continue
            if axis in kernel.out_axes:
                assert not np.any(base & there), (kernel.path, axis)
            else:
                np.testing.assert_array_equal(base, there, err_msg=f"{kernel.path} {axis}")


def acted_on(numbers, kind):
    """Parameters of this kind with the kernel whose outputs each acts on, all of them alike."""
    for one in numbers.graph.parameters:
        if one.kind != kind or one.kernel is None or one.bent:
            continue
        kernel = numbers.graph[one.kernel]
        site = kernel.uses[0].site
        made = (kernel.view[axis] for axis in (*kernel.out_axes, *kernel.batch_axes))
        if (
            site in numbers.kernels
            and len(kernel.uses) == 1
            and math.prod(made) == math.prod(one.shape)
        ):
            yield one, site


def test_a_bias_shifts_the_outputs_of_its_kernel(numbers):
    for one, site in acted_on(numbers, "bias"):
        value, _, _ = numbers.at({one.path: numbers.params[one.path] + 0.3})
        shifted, _, _ = numbers.at({}, {site: (1.0, 0.3 * one.factor)})
        np.testing.assert_allclose(value, shifted, rtol=1e-4, atol=1e-5, err_msg=one.path)


def test_a_multiplier_scales_the_outputs_of_its_kernel(numbers):
    """With the biases between the two at zero."""
    biases = [one.path for one in numbers.graph.parameters if one.kind == "bias"]
    zero = {path: jnp.zeros_like(numbers.params[path]) for path in biases}
    for one, site in acted_on(numbers, "multiplier"):
        stored = numbers.params[one.path]
        more = (1.3 * (one.factor * stored + one.offset) - one.offset) / one.factor
        value, _, _ = numbers.at(zero | {one.path: more})
        scaled, _, _ = numbers.at(zero, {site: (1.3, 0.0)})
        np.testing.assert_allclose(value, scaled, rtol=1e-3, err_msg=one.path)
        assert abs(value - numbers.at(zero)[0]) > 10 * abs(value - scaled), one.path
