"""One value everywhere."""

import dataclasses
from typing import Any

import jax
from jax import numpy as jnp

from idinit_jax.initializers.arguments import check_real
from idinit_jax.initializers.contract import Key, Keyless


@dataclasses.dataclass(frozen=True, repr=False)
class constant(Keyless):
    """One value everywhere; no key is needed.

    Args:
        value: any finite real number.

    Returns:
        An initializer.

    Raises:
        TypeError: value is not a real number.

    >>> import idinit_jax
    >>> idinit_jax.constant(0.5)(None, (2,))
    Array([0.5, 0.5], dtype=float32)
    """

    value: float

    def __post_init__(self) -> None:
        check_real("value", self.value)

    def values(self, key: Key, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        del key  # nothing is random
        return jnp.full(shape, self.value, dtype)


@dataclasses.dataclass(frozen=True, repr=False)
class zeros(Keyless):
    """Zero everywhere; no key is needed.

    Biases, and the baseline for kernels: units that start the same stay the same.

    Returns:
        An initializer.

    >>> import idinit_jax
    >>> idinit_jax.zeros()(None, (2,))
    Array([0., 0.], dtype=float32)
    """

    def values(self, key: Key, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        del key  # nothing is random
        return jnp.zeros(shape, dtype)


@dataclasses.dataclass(frozen=True, repr=False)
class ones(Keyless):
    """One everywhere; no key is needed. Scales of norms.

    Returns:
        An initializer.

    >>> import idinit_jax
    >>> idinit_jax.ones()(None, (2,))
    Array([1., 1.], dtype=float32)
    """

    def values(self, key: Key, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        del key  # nothing is random
        return jnp.ones(shape, dtype)
