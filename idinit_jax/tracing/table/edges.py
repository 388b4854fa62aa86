"""The nodes that stand for the edges of loops and conditionals in a straight line."""

from collections.abc import Mapping

from idinit_jax.tracing.table.collectives import reshard
from idinit_jax.tracing.table.law import Applied, Law, Row, identity, linear
from idinit_jax.tracing.table.moves import dropped, inserted


def one_of(applied: Applied) -> Law:
    """What enters a loop or what its body leaves; what one of the branches leaves."""
    return linear(
        tuple(range(len(applied.ins))), {i: identity(s) for i, s in enumerate(applied.ins)}
    )


def layer_slice(applied: Applied) -> Law:
    """What a turn sees of an array: one position of its first axis."""
    return linear((0,), {0: dropped(applied.ins[0], (0,))})


def layer_stack(applied: Applied) -> Law:
    """What the turns leave; they bring the first dimension."""
    return linear((0,), {0: inserted(applied.ins[0], 0, applied.out[0])})


def first(applied: Applied) -> Law:
    """What a function with a derivative of its own gives, whatever its operands are."""
    moves = {i: identity(s) for i, s in enumerate(applied.ins) if i == 0 or s == applied.out}
    return linear((0,), moves)


EDGES: Mapping[str, Row] = {
    "carry": one_of,
    "join": one_of,
    "custom": first,
    "layer_slice": layer_slice,
    "layer_stack": layer_stack,
    "reshard": reshard,
}
