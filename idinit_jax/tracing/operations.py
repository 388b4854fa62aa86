"""What the primitives of a jaxpr do to a signal."""

from idinit_jax.tracing import flatten

ARITHMETIC = frozenset(["add", "sub", "mul", "div", "add_any"])
PRODUCTS = frozenset(["dot_general", "conv_general_dilated", "ragged_dot_general"])
CONTRACTIONS = PRODUCTS | {"gather"}
# Sums and choices over positions: with numbers, an index or an adjacency beside it the signal stays
# what it is.
PASSING = CONTRACTIONS | {"scatter", "scatter-add", "scatter-max", "scatter-min", "cumsum"}
POOLING = frozenset(["reduce_window", "reduce_window_max", "reduce_window_sum", "max_pool"])
REDUCTIONS = frozenset(
    ["reduce_sum", "reduce_max", "reduce_min", "reduce_prod", "argmax", "argmin"]
)
# Functions of single entries.
ENTRYWISE = ARITHMETIC | {
    *("nonlinearity", "convert_element_type", "neg", "sign", "abs", "max", "min", "clamp"),
    *("exp", "exp2", "expm1", "log", "log1p", "logistic", "tanh", "erf", "erfc", "sin", "cos"),
    *("integer_pow", "pow", "square", "sqrt", "rsqrt", "cbrt"),
    *("tan", "asin", "acos", "atan", "sinh", "cosh", "asinh", "acosh", "atanh", "erf_inv"),
    *("floor", "ceil", "round"),
}
# Bounded functions, as primitives and by the names of jax.nn.
SATURATING = frozenset(["exp", "logistic", "tanh", "erf"])
SQUASHING = frozenset(["sigmoid", "hard_sigmoid", "log_sigmoid", "logistic", "tanh", "hard_tanh"])
# The same entries in another shape or dtype, perhaps repeated.
RESHAPES = frozenset(
    ["broadcast_in_dim", "convert_element_type", "reshape", "transpose", "squeeze"]
)
# The same numbers at other positions, under another dtype, sign or sharding.
REARRANGEMENTS = frozenset(
    [
        *("reshape", "transpose", "squeeze", "expand_dims", "broadcast_in_dim", "rev", "tile"),
        *("slice", "dynamic_slice", "concatenate", "pad", "split", "select_n"),
        *("convert_element_type", "reduce_precision", "neg", "copy", "copy_p", "name"),
        *("real", "imag", "complex", "conj"),
        *("stop_gradient", "optimization_barrier", "sharding_constraint", "reshard"),
        *("mesh_cast", "pvary", "psum", "psum2", "psum_invariant", "all_gather", "ppermute"),
        *("all_to_all", "reduce_scatter"),
        *(flatten.LAYER_SLICE, flatten.LAYER_STACK, flatten.RESHARD, flatten.CARRY, flatten.JOIN),
    ]
)
