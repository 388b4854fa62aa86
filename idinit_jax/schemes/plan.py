"""An initialization planned from shapes alone, for a model that does not fit this machine."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, Sharding

from idinit_jax.schemes.choosing import Overrides
from idinit_jax.schemes.placement import OutShardings, shardings_of
from idinit_jax.schemes.provenance import Provenance, explain_graph, table
from idinit_jax.schemes.scheme import Scheme
from idinit_jax.tracing import traced

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


@dataclass(frozen=True)
class Plan:
    """What an initialization would make, and what it would take.

    Attributes:
        provenance: the start of every parameter.
        bytes: path -> bytes of the whole array.
        bytes_per_device: path -> bytes of the part that one device holds.
    """

    provenance: Provenance
    bytes: Mapping[str, int]
    bytes_per_device: Mapping[str, int]

    @property
    def parameters(self) -> int:
        """Number of values."""
        return sum(math.prod(record.shape) for record in self.provenance)

    @property
    def total_bytes(self) -> int:
        return sum(self.bytes.values())

    @property
    def total_bytes_per_device(self) -> int:
        return sum(self.bytes_per_device.values())

    def records(self) -> list[dict[str, Any]]:
        """The provenance's records, each with bytes and bytes_per_device."""
        return [
            {
                **record,
                "bytes": self.bytes[record["path"]],
                "bytes_per_device": self.bytes_per_device[record["path"]],
            }
            for record in self.provenance.records()
        ]

    def __str__(self) -> str:
        title = (
            f"scheme {self.provenance.scheme}: {self.parameters:,} parameters, "
            f"{readable(self.total_bytes)}, {readable(self.total_bytes_per_device)} a device"
        )
        columns = ("parameter", "shape", "role", "initializer", "bytes", "a device")
        return table(title, columns, [self._row(record) for record in self.records()])

    def _row(self, record: dict[str, Any]) -> tuple[str, ...]:
        return (
            record["path"],
            " x ".join(map(str, record["shape"])) or "scalar",
            record["role"],
            record["initializer"],
            readable(record["bytes"]),
            readable(record["bytes_per_device"]),
        )


def plan(
    model: Any,
    *inputs: Any,
    scheme: str | Scheme = "idinit",
    overrides: Overrides | None = None,
    call_kwargs: Mapping[str, Any] = {},
    out_shardings: OutShardings = None,
    mesh: Mesh | Any = None,
) -> Plan:
    """Plan an initialization from shapes alone: nothing of the model's size is allocated.

    Args:
        model, *inputs, scheme, overrides, call_kwargs, out_shardings: as for `initialize`.
        mesh: a Mesh, or a `jax.sharding.AbstractMesh` of devices that are not here.

    Returns:
        The plan: provenance, bytes in all and a device.

    Raises:
        ValueError: as `initialize` would.

    >>> import flax.linen as nn, jax, jax.numpy as jnp
    >>> plan(nn.Dense(3), jax.ShapeDtypeStruct((1, 2), jnp.float32)).total_bytes
    36
    """
    known = traced(model, inputs, call_kwargs)
    apart, graph = known.model, known.graph
    leaves = jax.tree.leaves(apart.params)
    shardings = shardings_of(apart.params, out_shardings, mesh)
    paths = graph.program.paths
    return Plan(
        explain_graph(graph, scheme, overrides),
        {path: _bytes(x.shape, x.dtype) for path, x in zip(paths, leaves, strict=True)},
        {
            path: _bytes(_held(x.shape, sharding), x.dtype)
            for path, x, sharding in zip(paths, leaves, shardings, strict=True)
        },
    )


def _held(shape: tuple[int, ...], sharding: Sharding | None) -> tuple[int, ...]:
    return shape if sharding is None else sharding.shard_shape(shape)


def _bytes(shape: tuple[int, ...], dtype: Any) -> int:
    return math.prod(shape) * np.dtype(dtype).itemsize


def readable(count: int) -> str:
    """Bytes in the unit that keeps the number short.

    >>> readable(36), readable(3 << 30)
    ('36 B', '3 GiB')
    """
    power = min(int(math.log(count, 1024)) if count else 0, len(_UNITS) - 1)
    return f"{count / 1024**power:.4g} {_UNITS[power]}"
