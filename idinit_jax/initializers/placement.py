"""Arrays born where they live: one compiled program per rule, shape, dtype and sharding."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Protocol

import jax
import numpy as np
from jax import numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

Placement = NamedSharding | PartitionSpec
Fill = Callable[[Any], jax.Array]


class _Values(Protocol):
    """What is run here: a rule's pure part."""

    def values(self, key: Any, shape: tuple[int, ...], dtype: Any) -> jax.Array: ...


def program(
    rule: _Values, shape: tuple[int, ...], dtype: np.dtype, out_sharding: Placement | None
) -> Fill:
    """The compiled function from a key to the array."""
    if out_sharding is None:
        return _compiled(rule, shape, dtype)
    if not isinstance(out_sharding, Placement):
        raise TypeError(
            "out_sharding must be a NamedSharding or a PartitionSpec, got"
            f" {out_sharding!r} of type {type(out_sharding).__name__}"
        )
    context = jax.sharding.get_abstract_mesh()
    if isinstance(out_sharding, PartitionSpec) and context.empty:
        raise ValueError(
            f"out_sharding={out_sharding} needs a mesh: enter one with jax.set_mesh(mesh), or"
            " pass NamedSharding(mesh, spec)"
        )
    return _compiled_sharded(rule, shape, dtype, out_sharding, context)


@lru_cache(maxsize=4096)
def _compiled(rule: _Values, shape: tuple[int, ...], dtype: np.dtype) -> Fill:
    return jax.jit(_fill(rule, shape, dtype))


@lru_cache(maxsize=4096)
def _compiled_sharded(
    rule: _Values,
    shape: tuple[int, ...],
    dtype: np.dtype,
    out_sharding: Placement,
    context: jax.sharding.AbstractMesh,
) -> Fill:
    fill = _fill(rule, shape, dtype)
    if not context.explicit_axes:
        return jax.jit(fill, out_shardings=out_sharding)
    # Under explicit axes the sharding is part of the array's type: the program runs with those
    # axes automatic, and its result is typed at the end.
    spec = out_sharding.spec if isinstance(out_sharding, NamedSharding) else out_sharding
    typed = NamedSharding(context, spec)
    return jax.jit(jax.sharding.auto_axes(fill, axes=context.explicit_axes, out_sharding=typed))


def _fill(rule: _Values, shape: tuple[int, ...], dtype: np.dtype) -> Fill:
    def fill(key: Any) -> jax.Array:
        double = dtype == np.float64 == jnp.result_type(float)
        return rule.values(key, shape, jnp.float64 if double else jnp.float32).astype(dtype)

    return fill
