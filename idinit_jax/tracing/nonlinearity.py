"""Name the nonlinearity that follows a kernel from the operations that were seen."""

from collections.abc import Sequence

from idinit_jax.tracing import operations

_NAMED = {
    "swish": "silu",
    "logistic": "sigmoid",
    "max": "relu",
    "erf": "gelu",
    "erfc": "gelu",
    "integer_pow3": "gelu",
    "tanh": "tanh",
    "log1p": "softplus",
    "logaddexp": "softplus",
    "sin": "sin",
    "cos": "sin",
    "abs": "abs",
    "exp": "exp",
    "clamp": "hard_tanh",
}
# Marks that `flow` leaves: a product with a function of the same value, a bound other than zero.
GATED, CLIPPED = "gated", "clipped"
# What a function is called whose product with its argument is the activation.
_GATES = {
    "sigmoid": "silu",
    "logistic": "silu",
    "exp": "silu",
    "tanh": "gelu",
    "softplus": "mish",
    "relu": "hard_silu",
    "relu6": "hard_silu",
    "hard_sigmoid": "hard_silu",
}
# Comparisons, and what normalizations are written with, are no activations by themselves.
_COMPARISONS = frozenset(["gt", "ge", "lt", "le"])
_SILENT = _COMPARISONS | {GATED, CLIPPED, "square", "integer_pow2", "rsqrt", "sqrt"}
# Nodes that may be part of one; an unknown operation is not taken for one.
ACTIVATIONS = (operations.ENTRYWISE - operations.REARRANGEMENTS - operations.ARITHMETIC) | (
    _COMPARISONS
)


def following(operations: Sequence[str]) -> str | None:
    """The first activation among the operations that act on a kernel's output.

    A polynomial or an error function gives a gelu away even where the model spells it out, a
    selection by sign a leaky ReLU.
    """
    heard = [name for name in operations if name not in _SILENT]
    if heard:
        name = _NAMED.get(heard[0], heard[0])
        return _GATES.get(name, name) if GATED in operations else name
    if "gt" in operations or "ge" in operations:
        return "leaky_relu"
    return None
