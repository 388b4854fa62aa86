"""Movement of entries."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from applications.draw import Build, Draw, Make, makers
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jax.extend.core import primitives
from jax.sharding import PartitionSpec

Array = np.ndarray
Built = tuple[Callable, list[Any]]


def one(function: Callable) -> list[Build]:
    return [lambda draw: (function, [draw.normal(*draw.sizes(2))])]


def sized(shape: str, sizes: dict[str, int]) -> tuple[int, ...]:
    """A dimension a word: the product of its letters' sizes and its digits."""
    words = shape.split()
    return tuple(math.prod(sizes.get(c) or int(c) for c in word) for word in words)


# -- reshape


def _reshape(old: str, new: str, order: tuple[int, ...] | None = None) -> Build:
    def build(draw: Draw) -> Built:
        sizes = dict(zip("abc", draw.sizes(3), strict=True))
        shape = sized(new, sizes)
        return (
            lambda x: lax.reshape(x, shape, dimensions=order),
            [draw.normal(*sized(old, sizes))],
        )

    return build


_RESHAPES = [
    _reshape("a bc", "a b c"),
    _reshape("a b c", "ab c"),
    _reshape("ab c", "a bc"),
    _reshape("a 1 b", "1 a b 1"),
    _reshape("2a 6", "a 2 3 2"),
    _reshape("a b c", "abc"),
    _reshape("4 6", "2 34"),
    _reshape("4 6", "6 4"),
    _reshape("a b c", "ca b", (2, 0, 1)),
    _reshape("a bc", "b ca", (1, 0)),
]


# -- positions


def _permuted(*order: int) -> Build:
    return lambda draw: (
        lambda x: lax.transpose(x, order),
        [draw.normal(*draw.sizes(len(order)))],
    )


def _turned(draw: Draw) -> Built:
    """All sizes equal."""
    return lambda x: lax.transpose(x, (1, 2, 0)), [draw.normal(3, 3, 3)]


def _broadcast(shape: str, out: str, *dims: int) -> Build:
    def build(draw: Draw) -> Built:
        sizes = dict(zip("abc", draw.sizes(3), strict=True))
        wanted = sized(out, sizes)
        return (
            lambda x: lax.broadcast_in_dim(x, wanted, dims),
            [draw.normal(*sized(shape, sizes))],
        )

    return build


def _sliced(*ends: tuple[int, int], strides: tuple[int, int] | None = None) -> Build:
    """Where the pieces of the rows and of the columns start and stop."""
    starts, stops = zip(*ends, strict=True)
    return lambda draw: (lambda x: lax.slice(x, starts, stops, strides), [draw.normal(4, 5)])


def _dynamic(rows: int, columns: int) -> Build:
    """Rows from an index on; 0 stands for all."""

    def build(draw: Draw) -> Built:
        a, b = draw.sizes(2, 3, 5)
        sizes = (rows or a, columns or b)
        where = [np.int32(1), np.int32(1)]
        return lambda x, i, j: lax.dynamic_slice(x, (i, j), sizes), [draw.normal(a, b), *where]

    return build


def _updated(rows: int, columns: int) -> Build:
    def build(draw: Draw) -> Built:
        a, b = draw.sizes(2, 3, 5)
        update = draw.normal(rows or a, columns or b)
        where = [np.int32(1), np.int32(1)]
        return (
            lambda x, u, i, j: lax.dynamic_update_slice(x, u, (i, j)),
            [draw.normal(a, b), update, *where],
        )

    return build


def _split(axis: int) -> Build:
    def build(draw: Draw) -> Built:
        a, b = draw.sizes(2)
        sizes = (1, a, b)
        shape = (a + b + 1, b) if axis == 0 else (a, a + b + 1)
        return lambda x: lax.split(x, sizes, axis), [draw.normal(*shape)]

    return build


def _padded(*config: tuple[int, int, int]) -> Build:
    return lambda draw: (
        lambda x, z: lax.pad(x, z, config),
        [draw.normal(*draw.sizes(2, 3)), draw.normal()],
    )


def _concatenated(axis: int, *lengths: int) -> Build:
    def build(draw: Draw) -> Built:
        (a,) = draw.sizes(1)
        shapes = [(length, a) if axis == 0 else (a, length) for length in lengths]
        return (
            lambda *some: lax.concatenate(some, axis),
            [draw.normal(*shape) for shape in shapes],
        )

    return build


def _stacked(axis: int) -> Build:
    def build(draw: Draw) -> Built:
        shape = draw.sizes(2)
        some = [draw.normal(*shape) for _ in range(3)]
        return lambda *arrays: lax.stack(arrays, axis), some

    return build


def _unstacked(axis: int) -> Build:
    return lambda draw: (lambda x: lax.unstack(x, axis), [draw.normal(*draw.sizes(2))])


# -- gather


def _taken(function: Callable, *axes: int) -> Build:
    """Indices into some axes of an array of three."""

    def build(draw: Draw) -> Built:
        shape = draw.sizes(3, 3, 4)
        places = draw.sizes(2)
        indices = [draw.whole(shape[axis], *places) for axis in axes]
        return function, [draw.normal(*shape), *indices]

    return build


def _windows(draw: Draw) -> Built:
    """Windows shorter than an axis, at two places."""
    numbers = lax.GatherDimensionNumbers((1, 2), (0,), (0, 1))
    return (
        lambda x, i: lax.gather(x, i, numbers, (1, 2, 3)),
        [draw.normal(3, 4, 3), draw.whole(2, 2, 2)],
    )


def _batched_gather(draw: Draw) -> Built:
    """Of every member of a batch its own rows, batch axes in different places."""
    numbers = lax.GatherDimensionNumbers(
        (2,), (0,), (0,), operand_batching_dims=(1,), start_indices_batching_dims=(0,)
    )
    return (
        lambda x, i: lax.gather(x, i, numbers, (1, 1, 4)),
        [draw.normal(3, 2, 4), draw.whole(3, 2, 5, 1)],
    )


def _gathered(mode: str, fill: float | None = None) -> Build:
    """Rows, some of which do not exist."""
    numbers = lax.GatherDimensionNumbers((1,), (0,), (0,))
    return lambda draw: (
        lambda x, i: lax.gather(x, i, numbers, (1, 3), mode=mode, fill_value=fill),
        [draw.normal(4, 3), np.array([[1], [9], [0]], np.int32)],
    )


# -- the same entries


def _mesh() -> jax.sharding.Mesh:
    return jax.sharding.Mesh(np.array(jax.devices()[:2]), ("i",))


def _constrained(x: jax.Array) -> jax.Array:
    sharding = jax.sharding.NamedSharding(_mesh(), PartitionSpec())
    return lax.with_sharding_constraint(x, sharding)


def _many(function: Callable) -> list[Build]:
    return [lambda draw: (function, [draw.normal(2, 3), draw.normal(3)])]


def _narrower(draw: Draw) -> Built:
    return lambda x: lax.bitcast_convert_type(x, jnp.int32), [draw.normal(*draw.sizes(2))]


def _as_wide(draw: Draw) -> Built:
    return lambda x: lax.bitcast_convert_type(x, jnp.int64), [draw.normal(*draw.sizes(2))]


def _wider(draw: Draw) -> Built:
    pairs = np.asarray(draw.normal(3, 2), np.float32)
    return lambda x: lax.bitcast_convert_type(x, jnp.float64), [pairs]


_BUILDS: dict[str, list[Build]] = {
    "copy": one(primitives.copy_p.bind),
    "device_put": _many(lambda *some: jax.device_put(list(some))),
    "name": one(lambda x: checkpoint_name(x, "x")),
    "optimization_barrier": _many(lambda *some: lax.optimization_barrier(some)),
    "sharding_constraint": one(_constrained),
    "stop_gradient": one(lambda x: primitives.stop_gradient_p.bind(x)),
    "reshape": _RESHAPES,
    "transpose": [_permuted(1, 0), _permuted(2, 0, 1), _turned],
    "squeeze": [lambda draw: (lambda x: lax.squeeze(x, (1, 3)), [draw.normal(3, 1, 2, 1)])],
    "broadcast_in_dim": [
        _broadcast("a b", "c a b", 1, 2),
        _broadcast("a b", "a c b", 0, 2),
        _broadcast("1 b", "a b", 0, 1),
        _broadcast("", "a b"),
    ],
    "tile": [lambda draw: (lambda x: lax.tile(x, (2, 3)), [draw.normal(*draw.sizes(2))])],
    "rev": [lambda draw: (lambda x: lax.rev(x, (1,)), [draw.normal(3, 3)])],
    "slice": [
        _sliced((1, 4), (0, 5)),
        _sliced((0, 3), (2, 3)),
        _sliced((0, 4), (1, 5), strides=(2, 1)),
        _sliced((1, 2), (0, 5), strides=(2, 2)),
    ],
    "dynamic_slice": [_dynamic(2, 0), _dynamic(1, 0), _dynamic(2, 1)],
    "dynamic_update_slice": [_updated(2, 0), _updated(1, 0), _updated(2, 1), _updated(0, 0)],
    "split": [_split(0), _split(1)],
    "pad": [
        _padded((1, 2, 0), (0, 1, 0)),
        _padded((-1, 2, 0), (1, -1, 0)),
        _padded((0, 0, 1), (2, 0, 0)),
        lambda draw: (
            lambda x, z: lax.pad(x, z, ((2, 0, 0), (0, 0, 0))),
            [draw.normal(1, 3), draw.normal()],
        ),
    ],
    "concatenate": [
        _concatenated(0, 2, 3),
        _concatenated(1, 1, 2, 1),
        _concatenated(1, 3, 3),
    ],
    "stack": [_stacked(0), _stacked(1), _stacked(2)],
    "unstack": [_unstacked(0), _unstacked(1)],
    "gather": [
        _taken(lambda x, i: x[i[0]], 0),
        _taken(lambda x, i: x[:, i], 1),
        _taken(lambda x, i, j: x[i, j], 0, 1),
        _taken(lambda x, i, j: x[i[0], :, j[0]], 0, 2),
        lambda draw: (
            lambda x, i: jnp.take_along_axis(x, i, 1),
            [draw.normal(3, 4), draw.whole(4, 3, 2)],
        ),
        _windows,
        _batched_gather,
        _gathered("clip"),
        _gathered("fill"),
        _gathered("fill", 3.0),
        _gathered("fill", 0.0),
    ],
    "bitcast_convert_type": [_narrower, _as_wide, _wider],
}

MOVES: dict[str, list[Make]] = makers(_BUILDS)
