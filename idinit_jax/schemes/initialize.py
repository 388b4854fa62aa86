"""A whole model in one call."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, Sharding

from idinit_jax.schemes.birth import born, on_host
from idinit_jax.schemes.choosing import Chosen, Overrides, choose
from idinit_jax.schemes.own import own_start
from idinit_jax.schemes.placement import OutShardings, shardings_of
from idinit_jax.schemes.scheme import Scheme
from idinit_jax.schemes.stream import Words, streams
from idinit_jax.schemes.trained import refuse_trained
from idinit_jax.tracing import Model, traced


def initialize(
    model: Any,
    key: jax.Array,
    *inputs: Any,
    scheme: str | Scheme = "idinit",
    overrides: Overrides | None = None,
    call_kwargs: Mapping[str, Any] = {},
    out_shardings: OutShardings = None,
    mesh: Mesh | None = None,
    reference: Any = None,
    overwrite: bool = False,
) -> Any:
    """Start a model of any framework: every parameter by its traced role, in one call.

    The model's jaxpr says what each parameter is for, the scheme what such a parameter starts as.
    A parameter's values depend on the key, its path and its shape alone: not on other parameters,
    devices, shardings, or on whether this runs under `jax.jit`.

    Args:
        model: a Linen, NNX or Equinox module, a Haiku transformed function, a function
            `apply(params, *inputs)`, or any of them `traced`, which needs no inputs any more.
        key: a `jax.random.key`.
        *inputs: sample inputs, arrays or ShapeDtypeStructs; for a function its parameter tree
            comes first.
        scheme: one of `schemes()`, or a Scheme.
        overrides: path pattern or predicate -> initializer or rule; of several that select a
            parameter the last one counts. `{"**/head/kernel": zeros()}`
        call_kwargs: keyword arguments of the model's call, such as `{"train": False}`; arrays
            among them are inputs like the others.
        out_shardings: where parameters live: a sharding, a tree of them, or a function
            (path, shape) -> sharding. Every parameter is made on its devices, part by part.
        mesh: with it PartitionSpecs may stand for shardings; alone it replicates.
        reference: for a model that holds its values, the values known to be fresh.
        overwrite: start anew even what looks trained.

    Returns:
        What the framework calls an initialized model. Linen and Haiku: what `model.init` returns;
        NNX: the model, updated in place; Equinox: a new model; a function: its parameter tree.

    Raises:
        TypeError: a model of no known kind.
        ValueError: an unknown scheme; an override that selects nothing; a parameter without a
            rule; a model that looks trained.

    >>> import flax.linen as nn, jax, jax.numpy as jnp
    >>> model = nn.Sequential([nn.Dense(4), nn.relu, nn.Dense(4), nn.relu, nn.Dense(2)])
    >>> variables = initialize(model, jax.random.key(0), jnp.ones((1, 4)))
    >>> variables["params"]["layers_2"]["kernel"].round(3)
    Array([[1., 0., 0., 0.],
           [0., 1., 0., 0.],
           [0., 0., 1., 0.],
           [0., 0., 0., 1.]], dtype=float32)
    """
    known = traced(model, inputs, call_kwargs)
    apart, graph = known.model, known.graph
    if not overwrite:
        refuse_trained(apart, graph, reference)
    chosen = choose(graph, scheme, overrides)
    in_order = [chosen[path] for path in graph.program.paths]
    return apart.join(*start(apart, key, in_order, shardings_of(apart.params, out_shardings, mesh)))


def start(
    model: Model,
    key: jax.Array,
    chosen: Sequence[Chosen],
    shardings: Sequence[Sharding | None],
) -> tuple[Any, Any]:
    """Parameters and state of a model taken apart, from one choice a parameter leaf."""
    own, state = own_start(model, key, [one.fill is None for one in chosen])
    tree = jax.tree.structure(model.params)
    leaves = make_leaves(key, chosen, own, shardings)
    return jax.tree.unflatten(tree, leaves), state


def make_leaves(
    key: jax.Array,
    chosen: Sequence[Chosen],
    kept: Sequence[Any],
    shardings: Sequence[Sharding | None],
) -> list[Any]:
    """Each chosen array, or the kept one where the choice is to keep it."""

    words = streams(key, [one.stream for one in chosen])
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        # NumPy's work alone runs in threads: JAX's contexts, a default device say, do not reach
        # into them. Each array is handed to JAX as it comes.
        return [
            _leaf(one, stream, own, sharding, host)
            for one, stream, own, sharding, host in zip(
                chosen,
                words,
                kept,
                shardings,
                threads.map(_host, chosen, words, shardings),
                strict=True,
            )
        ]


def _host(one: Chosen, words: Words, sharding: Sharding | None) -> np.ndarray | None:
    if sharding is not None:
        return None
    return on_host(one.fill, words, one.entry.shape, one.entry.dtype)


def _leaf(
    one: Chosen, words: Words, kept: Any, sharding: Sharding | None, host: np.ndarray | None
) -> Any:
    if host is not None:
        return jax.device_put(host)
    if one.fill is not None:
        return born(one.fill, words, one.entry.shape, one.entry.dtype, sharding)
    return kept if sharding is None else jax.device_put(kept, sharding)
