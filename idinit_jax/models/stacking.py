"""Identical blocks in a row: looped, or scanned with their parameters stacked on axis 0."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

STACKED = "blocks"
Variables = Mapping[str, Any]


def block_name(index: int) -> str:
    """The name of a looped block in the parameter tree."""
    return f"block_{index}"


def run_blocks(
    parent: nn.Module,
    make_block: Callable[..., nn.Module],
    length: int,
    x: jax.Array,
    *args: Any,
    per_block: jax.Array | None = None,
    scan: bool,
    remat: bool,
) -> jax.Array:
    """Apply ``length`` identical blocks in a row; to call inside ``parent``'s compact method.

    Looped, the parameters lie under ``block_0``, ``block_1``, ...; scanned, under ``blocks`` with a
    leading axis of ``length``, and compilation time does not grow with ``length``. Either way the
    values that `init` draws are the same, see `stack_blocks` and `unstack_blocks`.

    Args:
        parent: the module that owns the blocks.
        make_block: makes one block from its ``name`` and ``parent``; a block maps x to its shape.
        length: number of blocks.
        x: input of the first block.
        *args: further arguments of every block, the same for all.
        per_block: one number for each block, (length,), handed over before ``args``.
        scan: whether to scan.
        remat: whether to recompute a block's activations in the backward pass.

    Returns:
        The output of the last block.
    """
    if length == 0:
        return x
    inputs = jnp.zeros(length) if per_block is None else per_block

    def body(block: nn.Module, x: jax.Array, number: jax.Array) -> jax.Array:
        return block(x, *args) if per_block is None else block(x, number, *args)

    if parent.is_initializing():
        draw_blocks(parent, make_block, length, lambda block: body(block, x, inputs[0]), scan)
    if remat:
        body = nn.remat(body, prevent_cse=not scan)
    if not scan:
        for i in range(length):
            x = body(make_block(name=block_name(i)), x, inputs[i])
        return x
    scanned = nn.scan(
        lambda block, x, number: (body(block, x, number), None),
        variable_axes={"params": 0, "batch_stats": 0, "intermediates": 0},
        split_rngs={"params": True, "dropout": True},
        length=length,
    )
    return scanned(make_block(name=STACKED), x, inputs)[0]


def draw_blocks(
    parent: nn.Module,
    make_block: Callable[..., nn.Module],
    length: int,
    apply: Callable[[nn.Module], jax.Array],
    scan: bool,
) -> None:
    """Put the blocks' first variables into ``parent``: block i's key is the parent's folded with i.

    One compiled loop draws all blocks. A block's values depend neither on how many follow it nor on
    whether they are scanned.
    """
    block = make_block(parent=None)
    key = parent.make_rng("params")
    draw = nn.init(apply, block)
    stacked = jax.lax.map(lambda i: draw(jax.random.fold_in(key, i)), jnp.arange(length))
    for collection, values in stacked.items():
        tree = {STACKED: values}
        for name, value in (tree if scan else unstack_blocks(tree)).items():
            parent.put_variable(collection, name, value)


def unstack_blocks(variables: Variables) -> dict[str, Any]:
    """Scanned variables as looped ones: ``blocks`` becomes ``block_0``, ``block_1``, ...

    Args:
        variables: nested mappings of arrays, such as what `init` returns or its "params".

    Returns:
        A new tree; everything outside ``blocks`` is the same object as before.

    >>> import numpy as np
    >>> unstack_blocks({"blocks": {"bias": np.array([1, 2])}, "head": 3})
    {'block_0': {'bias': np.int64(1)}, 'block_1': {'bias': np.int64(2)}, 'head': 3}
    """
    tree: dict[str, Any] = {}
    for name, value in variables.items():
        if name == STACKED:
            length = jax.tree.leaves(value)[0].shape[0]
            for i in range(length):
                tree[block_name(i)] = jax.tree.map(lambda leaf, i=i: leaf[i], value)
        else:
            tree[name] = unstack_blocks(value) if isinstance(value, Mapping) else value
    return tree


def stack_blocks(variables: Variables) -> dict[str, Any]:
    """Looped variables as scanned ones, the inverse of `unstack_blocks`.

    Args:
        variables: nested mappings of arrays, such as what `init` returns or its "params".

    Returns:
        A new tree in which ``blocks`` holds all ``block_i`` of its level, stacked on axis 0.

    Raises:
        ValueError: where a ``block_i`` is missing or the blocks of one level differ in shape.

    >>> import numpy as np
    >>> stack_blocks({"block_0": np.ones(3), "block_1": np.ones(3)})["blocks"].shape
    (2, 3)
    """
    names = [name for name in variables if re.fullmatch(r"block_\d+", name)]
    tree = {
        name: stack_blocks(value) if isinstance(value, Mapping) else value
        for name, value in variables.items()
        if name not in names
    }
    if names:
        missing = {block_name(i) for i in range(len(names))} - set(names)
        if missing:
            raise ValueError(f"cannot stack {sorted(names)}: {sorted(missing)} missing")
        blocks = [variables[block_name(i)] for i in range(len(names))]
        tree[STACKED] = jax.tree.map(lambda *leaves: jnp.stack(leaves), *blocks)
    return tree
