"""Whether the values that a model holds look as if someone had trained them."""

import math
from typing import Any

import jax
import numpy as np

from idinit_jax.schemes.paths import paths_of
from idinit_jax.schemes.stream import is_traced
from idinit_jax.tracing.frameworks import Model
from idinit_jax.tracing.graph import ModelGraph, Parameter
from idinit_jax.tracing.program.first_values import is_uneven

# Fresh Equinox biases are random, so only norms tell there.
_TELLING = {
    "equinox": ("norm_scale", "norm_bias"),
    "nnx": ("norm_scale", "norm_bias", "bias"),
    "function": ("norm_scale", "norm_bias", "bias"),
}


def refuse_trained(model: Model, graph: ModelGraph, reference: Any) -> None:
    """Raise where initializing would overwrite values that look trained.

    Only models that hold their values are concerned: NNX, Equinox, and a function's tree.

    Args:
        model: taken apart.
        graph: traced from it.
        reference: the same model, or its parameters, as known to be fresh; None to go by norms
            and biases, most of which start alike in every entry and part in training.

    Raises:
        ValueError: the values differ from the reference, or look trained.
    """
    if model.framework not in _TELLING or model.own is None:
        return
    params, _ = model.own(jax.random.key(0))  # a model that holds its values answers with them
    held = dict(zip(graph.program.paths, jax.tree.leaves(params), strict=True))
    evidence = (
        _uneven(held, graph, _TELLING[model.framework])
        if reference is None
        else _differing(held, _fresh(model, reference))
    )
    if evidence:
        raise ValueError(
            f"the model looks trained: {evidence}. To start it anew all the same, pass "
            "overwrite=True; to initialize a part of it, use reinitialize"
        )


def _fresh(model: Model, reference: Any) -> dict[str, Any]:
    params = reference if model.framework == "function" else model.split(reference)[0]
    return dict(zip(paths_of(params), jax.tree.leaves(params), strict=True))


def _uneven(held: dict[str, Any], graph: ModelGraph, kinds: tuple[str, ...]) -> str | None:
    """Most norms and biases are uneven. A few are by design, such as a recurrence's rates."""
    telling = [entry for entry in graph.parameters if entry.kind in kinds and _tells(entry)]
    uneven = [entry for entry in telling if _varies(held[entry.path])]
    if 2 * len(uneven) <= len(telling):
        return None
    first = uneven[0]
    others = f", and of {len(uneven) - 1} more norms and biases" if uneven[1:] else ""
    return f"the entries of {first.path} ({first.kind}) differ from one another{others}"


def _tells(entry: Parameter) -> bool:
    return math.prod(entry.shape) > 1


def _varies(value: Any) -> bool:
    return not is_traced(value) and is_uneven(np.asarray(value))


def _differing(held: dict[str, Any], fresh: dict[str, Any]) -> str | None:
    if held.keys() != fresh.keys():
        missing = sorted(held.keys() ^ fresh.keys())
        raise ValueError(f"the reference is of another model; only one of the two has {missing}")
    for path, value in held.items():
        if not np.array_equal(np.asarray(value), np.asarray(fresh[path])):
            return f"{path} differs from the reference"
    return None
