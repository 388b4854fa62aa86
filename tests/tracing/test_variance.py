"""Kernels of variance one over the traced fan_in keep the mean square of every signal."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gallery import (
    convolutional_nets,
    decoders,
    equinox_models,
    residual_nets,
    small_functions,
)

from idinit_jax.tracing import Kernel
from idinit_jax.tracing.facts import find_facts
from idinit_jax.tracing.program.evaluate import evaluate
from idinit_jax.tracing.program.flatten import flatten

DRAWS = 48
MODELS = [
    convolutional_nets.inception,
    decoders.gemma_decoder_scanned,
    decoders.mixture_of_experts,
    equinox_models.equinox_transformer,
    residual_nets.resnext_grouped_convolution,
    small_functions.layers_by_index,
]


def draw_parameters(graph, random):
    """Kernels by their traced fan_in; norms that only normalize, everything else zero."""
    leaves, tree = jax.tree.flatten(graph.program.params)
    values = []
    for path, leaf in zip(graph.program.paths, leaves, strict=True):
        one = graph[path]
        if isinstance(one, Kernel):
            noise = random.standard_normal(leaf.shape, np.float32)
            values.append(noise * np.float32(one.fan_in**-0.5))
        else:
            values.append(np.full(leaf.shape, one.kind == "norm_scale", np.float32))
    return jax.tree.unflatten(tree, values)


def running_statistic(path, leaf):
    """A mean of zero or a variance of one."""
    return np.full(leaf.shape, "mean" not in jax.tree_util.keystr(path), leaf.dtype)


def draw_inputs(inputs, random):
    def draw(leaf):
        if jnp.issubdtype(leaf.dtype, jnp.integer):
            return random.integers(0, 8, leaf.shape, leaf.dtype)
        return random.standard_normal(leaf.shape, leaf.dtype)

    return jax.tree.map(draw, inputs)


def measure(side):
    """The sum of squares of a product, and what it would be if every output kept the mean square.

    An output at the border of a convolution sums fewer terms than the others.
    """

    def hook(compute, operands, _):
        (output,) = compute(*operands)
        data = operands[side]
        (terms,) = compute(*_with(operands, side, jnp.ones_like(data)))
        (sums,) = compute(*_with(operands, side, data**2))
        return [output], (jnp.sum(output**2), jnp.sum(sums) / jnp.max(terms))

    return hook


def _with(operands, side, data):
    ones = [jnp.ones_like(operand) for operand in operands]
    return [data if index == side else one for index, one in enumerate(ones)]


def signal_sides(graph):
    """Site of every product with a kernel -> which operand is the signal."""
    line = flatten(graph.program)
    nodes = [(line.nodes[use.node], use.signal) for use in find_facts(line).uses.values()]
    return {node.site: node.inputs.index(data) for node, data in nodes}


@pytest.mark.parametrize("build", MODELS, ids=lambda build: build.__name__)
def test_every_kernel_keeps_the_mean_square(build):
    """Over D draws of a kernel with m outputs the mean of squares, relative to its expectation, has
    a variance of at most 2 / (D m) for Gaussian kernels: 6 deviations and 1/20 for the correlation
    between the layers of one draw. A false alarm has a probability below 1e-8; a fan that is wrong
    by a factor of two is found from m = 4 up.
    """
    entry = build()
    graph = entry.trace()
    state = jax.tree.map_with_path(running_statistic, graph.program.state)
    sides = signal_sides(graph)
    kernels = {
        use.site: kernel
        for kernel in graph.kernels
        for use in kernel.uses
        if use.operation in ("dot_general", "conv_general_dilated")
    }
    hooks = {site: measure(sides[site]) for site in kernels}

    run = jax.jit(lambda params, inputs: evaluate(graph.program, params, state, inputs, hooks)[1])
    random = np.random.default_rng(0)
    draws = [
        run(draw_parameters(graph, random), draw_inputs(graph.program.inputs, random))
        for _ in range(DRAWS)
    ]
    records = jax.tree.map(lambda *each: np.stack(each), *draws)
    for site, (found, expected) in records.items():
        kernel = kernels[site]
        ratio = np.sum(found, 0) / np.sum(expected, 0)
        outputs = np.prod([kernel.view[axis] for axis in kernel.out_axes])
        tolerance = 6 * (2 / (DRAWS * outputs)) ** 0.5 + 0.05
        np.testing.assert_allclose(ratio, 1.0, rtol=0, atol=tolerance, err_msg=kernel.path)
