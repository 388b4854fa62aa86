"""Array leaves of a tree, and what stands beside them."""

from typing import Any

import jax
import jax.numpy as jnp

PyTree = Any


def is_array(leaf: Any) -> bool:
    """Whether a leaf is an array or stands for one."""
    return hasattr(leaf, "shape") and hasattr(leaf, "dtype")


def abstract(tree: PyTree) -> PyTree:
    """The tree with every array replaced by its ShapeDtypeStruct; other leaves stay."""
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(jnp.shape(leaf), leaf.dtype) if is_array(leaf) else leaf,
        tree,
    )


def partition(inputs: tuple) -> tuple[list, Any]:
    """Array leaves, and what is needed to put the rest around them again."""
    leaves, tree = jax.tree.flatten(inputs)
    return [leaf for leaf in leaves if is_array(leaf)], (leaves, tree)


def combine(dynamic: list, static: Any) -> tuple:
    leaves, tree = static
    arrays = iter(dynamic)
    return jax.tree.unflatten(tree, [next(arrays) if is_array(leaf) else leaf for leaf in leaves])
