"""Whether the values that a model holds look as if someone had trained them."""

from typing import Any

import jax
import numpy as np

from idinit_jax.schemes.paths import paths_of
from idinit_jax.schemes.stream import is_traced
from idinit_jax.tracing.frameworks import Model
from idinit_jax.tracing.graph import ModelGraph, Parameter

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
            and biases, which start alike in every entry and part in training.

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
    for entry in graph.parameters:
        if isinstance(entry, Parameter) and entry.kind in kinds and _varies(held[entry.path]):
            return f"the entries of {entry.path} ({entry.kind}) differ from one another"
    return None


def _varies(value: Any) -> bool:
    if is_traced(value) or not np.size(value):
        return False
    array = np.asarray(value)
    return bool((array != array.reshape(-1)[0]).any())


def _differing(held: dict[str, Any], fresh: dict[str, Any]) -> str | None:
    if held.keys() != fresh.keys():
        missing = sorted(held.keys() ^ fresh.keys())
        raise ValueError(f"the reference is of another model; only one of the two has {missing}")
    for path, value in held.items():
        if not np.array_equal(np.asarray(value), np.asarray(fresh[path])):
            return f"{path} differs from the reference"
    return None
