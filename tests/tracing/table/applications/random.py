"""Keys and random bits, and arrays that come from nothing."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from applications.draw import Build, Make, makers
from jax import lax
from jax.extend.core import primitives


def keyed(function: Callable) -> list[Build]:
    return [lambda draw: (function, [jax.random.key(int(draw.whole(100)))])]


def _words(function: Callable, *shapes: tuple[int, ...]) -> list[Build]:
    """Of unsigned numbers."""
    return [
        lambda draw: (
            function,
            [np.asarray(draw.whole(2**31 - 1, *shape), np.uint32) for shape in shapes],
        )
    ]


def _position(*shape: int, axis: int) -> Build:
    return lambda _: (lambda: lax.broadcasted_iota(jnp.int32, shape, axis), [])


def _gamma(log_space: bool) -> Build:
    def drawn(key: Any, a: Any) -> Any:
        return primitives.random_gamma_p.bind(key, a, log_space=log_space)

    return lambda draw: (drawn, [jax.random.key(int(draw.whole(100))), 0.2 * draw.positive(2)])


_BUILDS: dict[str, list[Build]] = {
    "random_bits": keyed(lambda key: jax.random.bits(key, (3,))),
    "random_clone": keyed(jax.random.clone),
    "random_fold_in": keyed(lambda key: jax.random.fold_in(key, 3)),
    "random_seed": _words(lambda seed: jax.random.key(seed), ()),
    "random_split": keyed(jax.random.split),
    "random_unwrap": keyed(jax.random.key_data),
    "random_wrap": _words(jax.random.wrap_key_data, (2,)),
    "rng_bit_generator": _words(lambda key: lax.rng_bit_generator(key, (3,)), (4,)),
    "threefry2x32": _words(primitives.threefry2x32_p.bind, (3,), (3,), (3,), (3,)),
    "random_gamma": [_gamma(False), _gamma(True)],
    "rng_uniform": [
        lambda _: (
            lambda a, b: lax.rng_uniform(a, b, (3,)),
            [np.float64(-1.5), np.float64(2.0)],
        )
    ],
    "iota": [_position(3, axis=0), _position(2, 4, axis=1), _position(4, 2, axis=0)],
    "empty": [lambda _: (lambda: lax.empty((2,), jnp.float32), [])],
}

RANDOM: dict[str, list[Make]] = makers(_BUILDS)
