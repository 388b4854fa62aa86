"""Array leaves of a tree, and what stands beside them."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

PyTree = Any


@jax.tree_util.register_pytree_node_class
class Named(dict):
    """Arrays given by keyword: inputs like the others, the last of them."""

    def tree_flatten(self) -> tuple[list, tuple]:
        names = tuple(sorted(self))
        return [self[name] for name in names], names

    @classmethod
    def tree_unflatten(cls, names: tuple, values: Any) -> "Named":
        return cls(zip(names, values, strict=True))


def with_named(inputs: tuple, call_kwargs: Mapping[str, Any]) -> tuple[tuple, dict[str, Any]]:
    """Inputs with the arrays among the keyword arguments, and the keyword arguments without."""
    arrays = Named(
        (name, value)
        for name, value in call_kwargs.items()
        if any(map(is_array, jax.tree.leaves(value)))
    )
    rest = {name: value for name, value in call_kwargs.items() if name not in arrays}
    return ((*inputs, arrays) if arrays else inputs), rest


def as_call(inputs: tuple) -> tuple[tuple, Mapping[str, Any]]:
    """Positional arguments and arrays by keyword."""
    if inputs and isinstance(inputs[-1], Named):
        return inputs[:-1], inputs[-1]
    return inputs, {}


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


def output_arrays(output: PyTree) -> tuple[list, Any]:
    """The arrays of a model's output, and its structure.

    Raises:
        TypeError: part of the output is an object that JAX cannot look into.
    """
    leaves, tree = jax.tree.flatten(output)
    for leaf in leaves:
        if not is_array(leaf) and not isinstance(leaf, bool | int | float | complex | str):
            raise TypeError(
                f"the model gives back a {type(leaf).__module__}.{type(leaf).__qualname__}, which"
                " is no array and no pytree: return its arrays, or register its class with"
                " jax.tree_util.register_pytree_node_class"
            )
    return [leaf for leaf in leaves if is_array(leaf)], tree
