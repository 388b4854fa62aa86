"""Mimetic initialization of attention (Trockman and Kolter 2023, arXiv 2305.09828)."""

import dataclasses
from typing import Any

import jax
from jax import numpy as jnp

from idinit_jax.initializers import Initializer, KernelAxes, KernelRule, Key, Rule, xavier
from idinit_jax.schemes.rules import STANDARD_PARAMETERS, because, branch_of, everywhere
from idinit_jax.schemes.scheme import Scheme, register, rule
from idinit_jax.tracing.graph import AttentionPart, Kernel, ModelGraph

# W_Q W_K^T = 0.7 Z + 0.7 I for each head, W_V W_O = 0.4 Z - 0.4 I; section 4.
_PARTS: tuple[AttentionPart, ...] = ("query", "key", "value", "output")
_SCORE, _VALUE = (0.7, 0.7), (0.4, -0.4)


@dataclasses.dataclass(frozen=True, repr=False)
class mimetic_attention(KernelRule):
    """A factor of `alpha Z + beta I`, Z ~ N(0, 1/d), which two kernels of an attention make.

    With `U S V^T` the product's singular value decomposition, cut at the width of a head, queries
    are `U S^(1/2)` and keys `V S^(1/2)` for each head; values and output likewise for all heads
    together. Kernels of one attention share a stream, so that their factors belong together.

    Args:
        parts: what the kernel computes; several lie one after the other along its outputs.
        score_heads: products of queries and keys, one a key head.
        heads: heads of the queries; several may share a key head.
        stream: path of the kernel whose stream all kernels of this attention share.
        in_axis, out_axis, batch_axis, groups: see `KernelRule`.
    """

    parts: tuple[AttentionPart, ...]
    score_heads: int
    heads: int
    stream: str = dataclasses.field(compare=False)

    def kernel(self, key: Key, axes: KernelAxes, dtype: Any) -> jax.Array:
        copies, _, rows, columns = axes.matrix_shape
        rows_each = rows // len(self.parts)

        def one_copy(key: Key) -> jax.Array:
            factors = [self._part(part, key, rows_each, columns, dtype) for part in self.parts]
            return jnp.concatenate(factors)

        matrices = jax.vmap(one_copy)(jax.random.split(key, copies))
        return axes.fold(matrices[:, None])

    def _part(
        self, part: AttentionPart, key: Key, rows: int, columns: int, dtype: Any
    ) -> jax.Array:
        """The kernel of one part, `(outputs, inputs)`."""
        score_key, value_key = jax.random.split(key)
        if part == "value":
            return _factors(value_key, *_VALUE, columns, rows, dtype)[0].T
        if part == "output":
            return _factors(value_key, *_VALUE, rows, columns, dtype)[1]
        heads = self.heads if part == "query" else self.score_heads
        keys = jax.random.split(score_key, self.score_heads)
        side = 0 if part == "query" else 1
        kernels = jax.vmap(
            lambda key: _factors(key, *_SCORE, columns, rows // heads, dtype)[side].T
        )(keys)
        return jnp.repeat(kernels, heads // self.score_heads, axis=0).reshape(rows, columns)


def _factors(
    key: Key, alpha: float, beta: float, size: int, rank: int, dtype: Any
) -> tuple[jax.Array, jax.Array]:
    """`U S^(1/2)` and `V S^(1/2)`, each (size, rank), zero beyond the size."""
    product = alpha * size**-0.5 * jax.random.normal(key, (size, size), dtype)
    u, s, vt = jnp.linalg.svd(product + beta * jnp.eye(size, dtype=dtype))
    root = jnp.sqrt(s)
    pad = ((0, 0), (0, max(0, rank - size)))
    return jnp.pad(u * root[None], pad)[:, :rank], jnp.pad(vt.T * root[None], pad)[:, :rank]


@dataclasses.dataclass(frozen=True, repr=False)
class sinusoidal(Rule):
    """Sines and cosines of the position at geometric wavelengths (Vaswani et al. 2017).

    For shape `(..., positions, features)`; nothing is random.
    """

    @property
    def needs_key(self) -> bool:
        return False

    def values(self, key: Key, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        del key  # nothing is random
        positions, features = shape[-2:]
        half = (features + 1) // 2
        rates = 10_000.0 ** (-jnp.arange(half, dtype=dtype) / half)
        angles = jnp.arange(positions, dtype=dtype)[:, None] * rates[None, :]
        waves = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=1)[:, :features]
        return jnp.broadcast_to(waves, shape)


@rule
def mimetic_kernel(kernel: Kernel, graph: ModelGraph) -> tuple[Initializer, str]:
    """A factor of a mimetic product for kernels of an attention, Xavier for all others."""
    if not kernel.attention or kernel.spatial_axes:
        return xavier(), "not of an attention: Xavier"
    mates = _mates(kernel, graph)
    parts = tuple(sorted(kernel.attention, key=_PARTS.index))
    queries = next((mate for mate in mates if "query" in mate.attention), None)
    keys = next((mate for mate in mates if "key" in mate.attention), None)
    if queries is None or keys is None or kernel.fan_out % len(parts):
        return xavier(), "the kernels of its attention are not all told apart: Xavier"
    initializer = mimetic_attention(parts, heads_of(keys), heads_of(queries), mates[0].path)
    return initializer, f"{', '.join(parts)}: factor of a mimetic product"


def _mates(kernel: Kernel, graph: ModelGraph) -> list[Kernel]:
    """The kernels of the same attention: those on the same branch."""
    branch = branch_of(kernel, graph)
    paths = (kernel.path,) if branch is None else branch.branch_kernels
    return [mate for mate in graph.kernels if mate.attention and mate.path in paths]


def heads_of(kernel: Kernel) -> int:
    """Heads, where the outputs are stored as (heads, width); 1 where they are one axis."""
    sizes = [kernel.view[axis] for axis in kernel.out_axes]
    fused = len(set(kernel.attention) & {"query", "key", "value"})
    if fused > 1 and sizes[0] == fused:
        sizes = sizes[1:]
    return sizes[0] if len(sizes) > 1 else 1


register(
    Scheme(
        "mimetic",
        "query-key and value-output products near the identity, as in trained transformers; "
        "sinusoidal positions (Trockman and Kolter 2023)",
        everywhere(mimetic_kernel, because(xavier(), "head: Xavier")),
        {**STANDARD_PARAMETERS, "position_embedding": because(sinusoidal(), "sinusoidal")},
    )
)
