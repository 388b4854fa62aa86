"""Keys and random bits, and arrays that come from nothing: no entry of an operand moves them."""

import math
from collections.abc import Mapping

from idinit_jax.tracing.table import intervals
from idinit_jax.tracing.table.intervals import Bounds
from idinit_jax.tracing.table.law import Applied, Law, Row

_BITS = intervals.always(0.0, math.inf)


def drawn(bounds: Bounds = intervals.everywhere) -> Row:
    """Locally constant in all operands, which are keys and bits."""
    return lambda applied: Law(choosers=tuple(range(len(applied.ins))), range=bounds)


def iota(applied: Applied) -> Law:
    """The position along an axis."""
    last = applied.out[applied.params["dimension"]] - 1
    return drawn(intervals.always(0.0, float(last)))(applied)


def gamma(applied: Applied) -> Law:
    """Positive numbers, or their logarithms, from a key and a shape parameter."""
    logarithms = applied.params["log_space"]
    return Law(choosers=(0,), range=intervals.everywhere if logarithms else _BITS)


def uniform(applied: Applied) -> Law:
    """Between two operands; drawn anew every time."""
    del applied
    return Law(range=lambda operands: intervals.hull(operands))


RANDOM: Mapping[str, Row] = {
    "random_bits": drawn(_BITS),
    "random_clone": drawn(),
    "random_fold_in": drawn(),
    "random_seed": drawn(),
    "random_split": drawn(),
    "random_unwrap": drawn(_BITS),
    "random_wrap": drawn(),
    "rng_bit_generator": drawn(_BITS),
    "threefry2x32": drawn(_BITS),
    "threefry4x32": drawn(_BITS),
    "philox2x32": drawn(_BITS),
    "philox4x32": drawn(_BITS),
    "iota_2x32_shape": drawn(_BITS),
    "random_gamma": gamma,
    "rng_uniform": uniform,
    "iota": iota,
    "empty": drawn(),
    "empty2": drawn(),
}
