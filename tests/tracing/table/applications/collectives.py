"""What devices make of their arrays together; operands have a leading axis of devices."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from applications.draw import Draw, Make
from experiment import Experiment, under_devices
from jax import lax
from jax._src.lax import parallel

DEVICES = 2
_gather_invariant = getattr(
    parallel, "all_gather_invariant", getattr(parallel, "_all_gather_invariant", None)
)


def over(operation: str, function: Callable, operands: int = 1, **settings: Any) -> list[Make]:
    """A collective of an array on every device."""

    def make(draw: Draw) -> Experiment:
        values = [draw.normal(DEVICES, 2, 4) for _ in range(operands)]
        return under_devices(operation, function, values, DEVICES, **settings)

    return [make]


def _made_varying(draw: Draw) -> Experiment:
    """An array that all devices have becomes one of each."""
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:DEVICES]), ("i",))
    spread = jax.jit(
        jax.shard_map(
            lambda x: lax.pcast(x, "i", to="varying")[None],
            mesh=mesh,
            in_specs=jax.sharding.PartitionSpec(),
            out_specs=jax.sharding.PartitionSpec("i"),
        )
    )
    return Experiment("pvary", lambda given: [spread(*given)], [draw.normal(2, 3)], {}, (0, 1))


def _seen_by_devices(draw: Draw) -> Experiment:
    """An array of all devices is cut into theirs; only its rows are."""
    array = draw.normal(DEVICES * 2, 3)
    return Experiment("reshard", lambda v: [np.reshape(v[0], (DEVICES, 2, 3))], [array], {}, (0, 1))


def _seen_together(draw: Draw) -> Experiment:
    arrays = draw.normal(DEVICES, 3, 2)
    return Experiment("reshard", lambda v: [np.concatenate(list(v[0]), 1)], [arrays], {}, (1, 0))


COLLECTIVES: dict[str, list[Make]] = {
    "psum": over("psum", lambda x: lax.psum(x, "i"), check_vma=False),
    "psum_invariant": over("psum_invariant", lambda x: lax.psum(x, "i")),
    "pmax": over("pmax", lambda x: lax.pmax(x, "i")),
    "pmin": over("pmin", lambda x: lax.pmin(x, "i")),
    "ppermute": [
        *over("ppermute", lambda x: lax.ppermute(x, "i", [(0, 1), (1, 0)])),
        *over("ppermute", lambda x: lax.ppermute(x, "i", [(0, 1)])),
    ],
    "pvary": [_made_varying],
    "all_gather": [
        *over("all_gather", lambda x: lax.all_gather(x, "i", tiled=True)),
        *over("all_gather", lambda x: lax.all_gather(x, "i", axis=1, tiled=True)),
        *over("all_gather", lambda x: lax.all_gather(x, "i")),
        *over("all_gather", lambda x: lax.all_gather(x, "i", axis=2)),
    ],
    "all_gather_invariant": [
        *over("all_gather_invariant", lambda x: _gather_invariant(x, "i", axis=1, tiled=False)),
        *over("all_gather_invariant", lambda x: _gather_invariant(x, "i", axis=0, tiled=True)),
    ],
    "all_to_all": [
        *over("all_to_all", lambda x: lax.all_to_all(x, "i", 1, 0, tiled=True)),
        *over("all_to_all", lambda x: lax.all_to_all(x, "i", 0, 0, tiled=True)),
        *over("all_to_all", lambda x: lax.all_to_all(x, "i", 0, 1)),
    ],
    "reduce_scatter": [
        *over("reduce_scatter", lambda x: lax.psum_scatter(x, "i", tiled=True)),
        *over(
            "reduce_scatter",
            lambda x: lax.psum_scatter(x, "i", scatter_dimension=1, tiled=True),
        ),
        *over("reduce_scatter", lambda x: lax.psum_scatter(x, "i")),
    ],
    "axis_index": over("axis_index", lambda: lax.axis_index("i"), 0),
    "reshard": [_seen_by_devices, _seen_together],
}
