"""Start a part of a model anew, and train that part alone."""

from collections.abc import Mapping
from typing import Any

import jax
import optax
from jax.sharding import Mesh

from idinit_jax.schemes.choosing import Overrides, choose
from idinit_jax.schemes.initialize import make_leaves
from idinit_jax.schemes.own import own_start
from idinit_jax.schemes.paths import Where, matches, no_match, paths_of, selected
from idinit_jax.schemes.placement import OutShardings, shardings_of
from idinit_jax.schemes.scheme import Scheme
from idinit_jax.tracing import traced_with


def reinitialize(
    model: Any,
    values: Any,
    key: jax.Array,
    *inputs: Any,
    where: Where,
    scheme: str | Scheme = "idinit",
    overrides: Overrides | None = None,
    call_kwargs: Mapping[str, Any] = {},
    out_shardings: OutShardings = None,
    mesh: Mesh | None = None,
) -> Any:
    """Start the selected parameters anew; all others stay the very arrays they are.

    Args:
        model: as for `initialize`.
        values: what the framework calls an initialized model: Linen variables, an NNX or Equinox
            module (for NNX `model` itself), a Haiku or function's parameter tree.
        key: a `jax.random.key`.
        *inputs: sample inputs; for a function without its parameter tree, which `values` is.
        where: path pattern or predicate of what to start anew, such as `"head/**"`.
        scheme, overrides, call_kwargs, out_shardings, mesh: as for `initialize`.

    Returns:
        The model with the selected parameters replaced, in the form of `values`. NNX: the module,
        updated in place.

    Raises:
        ValueError: `where` selects nothing, and what `initialize` raises.

    >>> import flax.linen as nn, jax, jax.numpy as jnp
    >>> model, x = nn.Sequential([nn.Dense(4), nn.relu, nn.Dense(2)]), jnp.ones((1, 4))
    >>> old = model.init(jax.random.key(0), x)
    >>> new = reinitialize(model, old, jax.random.key(1), x, where="layers_2/*", scheme="he")
    >>> new["params"]["layers_0"]["kernel"] is old["params"]["layers_0"]["kernel"]
    True
    """
    known = traced_with(model, values, inputs, call_kwargs)
    apart, graph = known.model, known.graph
    params, state = apart.split(values)
    anew = {entry.path for entry in selected(where, graph)}
    chosen = choose(graph, scheme, overrides)
    paths = graph.program.paths
    wanted = [path in anew and chosen[path].fill is None for path in paths]
    own = own_start(apart, key, wanted)[0] if any(wanted) else [None] * len(paths)
    places = shardings_of(apart.params, out_shardings, mesh)
    picked = [index for index, path in enumerate(paths) if path in anew]
    made = make_leaves(
        key,
        [chosen[paths[index]] for index in picked],
        [own[index] for index in picked],
        [places[index] for index in picked],
    )
    leaves, tree = jax.tree.flatten(params)
    for index, value in zip(picked, made, strict=True):
        leaves[index] = value
    return apart.join(jax.tree.unflatten(tree, leaves), state)


def selection(params: Any, where: str) -> Any:
    """A tree of bools, True where a path pattern selects: a mask for `optax.masked`.

    Raises:
        ValueError: it selects nothing.

    >>> selection({"body": {"kernel": 0}, "head": {"kernel": 0}}, "head/**")
    {'body': {'kernel': False}, 'head': {'kernel': True}}
    """
    paths = paths_of(params)
    flags = [matches(where, path) for path in paths]
    if not any(flags):
        raise ValueError(no_match(where, paths))
    return jax.tree.unflatten(jax.tree.structure(params), flags)


def train_only(
    optimizer: optax.GradientTransformation, params: Any, where: str
) -> optax.GradientTransformation:
    """The optimizer on the selected parameters; all others frozen.

    Args:
        optimizer: any optax transformation.
        params: the parameter tree.
        where: a path pattern.

    Raises:
        ValueError: it selects nothing.

    >>> import jax.numpy as jnp
    >>> params = {"body": jnp.ones(2), "head": jnp.ones(2)}
    >>> optimizer = train_only(optax.sgd(1.0), params, "head")
    >>> updates, _ = optimizer.update(params, optimizer.init(params), params)
    >>> updates["body"], updates["head"]
    (Array([0., 0.], dtype=float32), Array([-1., -1.], dtype=float32))
    """
    labels = jax.tree.map(lambda flag: "train" if flag else "freeze", selection(params, where))
    return optax.multi_transform({"train": optimizer, "freeze": optax.set_to_zero()}, labels)
