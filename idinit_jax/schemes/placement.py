"""Where each parameter lives, from the several ways in which one may say it."""

from collections.abc import Mapping
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding

from idinit_jax.schemes.paths import paths_of

OutShardings = Any
"""None, a sharding for all, a tree of shardings, or a function (path, shape) -> sharding.

With a mesh, a PartitionSpec may stand for a sharding anywhere.
"""


def shardings_of(
    params: Any, out_shardings: OutShardings, mesh: Mesh | None
) -> list[Sharding | None]:
    """One sharding, or None, a parameter leaf.

    Args:
        params: the tree of parameters or of their shapes.
        out_shardings: see `OutShardings`; a tree may be a prefix of the parameters' own. A mesh
            alone replicates every parameter over it.
        mesh: what PartitionSpecs refer to.

    Raises:
        TypeError: something that is no sharding, or a PartitionSpec without a mesh.
        ValueError: a tree that does not fit the parameters.
    """
    leaves = jax.tree.leaves(params)
    if out_shardings is None:
        out_shardings = None if mesh is None else PartitionSpec()
    if callable(out_shardings):
        paths = paths_of(params)
        given = [out_shardings(path, x.shape) for path, x in zip(paths, leaves, strict=True)]
    else:
        given = _spread(out_shardings, params)
    return [_resolved(one, mesh) for one in given]


def _spread(tree: Any, params: Any) -> list[Any]:
    if isinstance(tree, Mapping) and "params" in tree and "params" not in params:
        tree = tree["params"]
    try:
        full = jax.tree.map(
            lambda one, below: jax.tree.map(lambda _: _Held(one), below),
            tree,
            params,
            is_leaf=_is_placement,
        )
    except ValueError as error:
        raise ValueError(f"out_shardings does not fit the parameters: {error}") from None
    return [held.value for held in jax.tree.leaves(full)]


class _Held:
    """Keeps None from being taken for an empty tree."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _is_placement(node: Any) -> bool:
    return node is None or isinstance(node, Sharding | PartitionSpec)


def _resolved(given: Any, mesh: Mesh | None) -> Sharding | None:
    if given is None or isinstance(given, Sharding):
        return given
    if isinstance(given, PartitionSpec):
        if mesh is None:
            raise TypeError(f"{given} needs a mesh: pass mesh=..., or NamedSharding(mesh, {given})")
        return NamedSharding(mesh, given)
    raise TypeError(f"expected a jax.sharding.Sharding or PartitionSpec, got {given!r}")
