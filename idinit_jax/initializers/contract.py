"""What an initializer is: key, shape, dtype, out_sharding -> Array."""

import dataclasses
import operator
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jax import numpy as jnp
from jax.typing import DTypeLike

from idinit_jax.initializers.arguments import Axes, check_axes, check_count
from idinit_jax.initializers.axes import KernelAxes, kernel_axes
from idinit_jax.initializers.placement import Placement, program

Key = Any
"""A `jax.random.key` or a raw uint32 key; None where nothing is random."""


@runtime_checkable
class Initializer(Protocol):
    """One array's first values, as a function; JAX's and Flax's own initializers are such too."""

    def __call__(
        self,
        key: Key,
        shape: Sequence[int],
        dtype: Any = None,
        out_sharding: Any = None,
    ) -> jax.Array: ...


@dataclasses.dataclass(frozen=True, repr=False)
class Rule(ABC):
    """An initializer as a value: comparable, hashable, and printed the way it was written.

    A call checks its arguments and runs `values` as one compiled program, so eager code and code
    under `jax.jit` give the same bits. A program that fills many arrays calls `values` itself.
    """

    @property
    def needs_key(self) -> bool:
        """Whether the values are random; where they are not, any key and None will do."""
        return True

    @abstractmethod
    def values(self, key: Key, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        """The values in the arithmetic's own `dtype`, float32 or float64: pure and traceable."""

    def __call__(
        self,
        key: Key,
        shape: Sequence[int],
        dtype: DTypeLike | None = None,
        out_sharding: Placement | None = None,
    ) -> jax.Array:
        """The values of a new array.

        Args:
            key: a `jax.random.key` or a raw uint32 key; None where `needs_key` is false.
            shape: the array's stored shape.
            dtype: any real floating type; float32 (float64 under x64) by default. The arithmetic
                is float32, float64 for float64, and is cast once at the end.
            out_sharding: a NamedSharding, or a PartitionSpec of the mesh in context; each device
                makes its own part, with the values of the unsharded array.

        Raises:
            TypeError: an integer, bool or complex dtype; no key where one is needed.
            ValueError: a shape that the rule has no meaning for.
        """
        fill = program(self, _check_shape(shape), _check_dtype(dtype), out_sharding)
        return fill(self._check_key(key) if self.needs_key else None)

    def __repr__(self) -> str:
        shown = (f for f in dataclasses.fields(self) if not f.kw_only or self._is_set(f))
        given = ((f.name, getattr(self, f.name)) for f in shown)
        arguments = ", ".join(f"{name}={value!r}" for name, value in given if value is not None)
        return f"{type(self).__name__}({arguments})"

    def _is_set(self, field: dataclasses.Field) -> bool:
        return getattr(self, field.name) != field.default

    def _check_key(self, key: Key) -> Key:
        kind = getattr(key, "dtype", None)
        if kind is None or not (jnp.issubdtype(kind, jax.dtypes.prng_key) or kind == np.uint32):
            raise TypeError(f"{self} is random and needs a key, jax.random.key(seed); got {key!r}")
        return key


class Keyless(Rule):
    """A rule without randomness: any key and None will do."""

    @property
    def needs_key(self) -> bool:
        return False


@dataclasses.dataclass(frozen=True, repr=False)
class KernelRule(Rule):
    """A rule that tells inputs, outputs and receptive field apart.

    Args:
        in_axis, out_axis: the axes of the inputs and outputs, one or several; several count as
            one, flattened row-major.
        batch_axis: axes along which independent kernels are stacked, such as a scanned layer's.
        groups: `feature_group_count`: the in axis then stores c_in / groups channels and the out
            axis all c_out, group-major. Every group gets the rule on its own channels.
        All other axes are the receptive field.
    """

    in_axis: Axes = dataclasses.field(default=-2, kw_only=True)
    out_axis: Axes = dataclasses.field(default=-1, kw_only=True)
    batch_axis: Axes = dataclasses.field(default=(), kw_only=True)
    groups: int = dataclasses.field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        for name in ("in_axis", "out_axis", "batch_axis"):
            axes = check_axes(name, getattr(self, name), required=name != "batch_axis")
            object.__setattr__(self, name, axes)
        object.__setattr__(self, "groups", check_count("groups", self.groups))

    @abstractmethod
    def kernel(self, key: Key, axes: KernelAxes, dtype: Any) -> jax.Array:
        """The values of a kernel with no axis of size 0."""

    def values(self, key: Key, shape: tuple[int, ...], dtype: Any) -> jax.Array:
        axes = kernel_axes(shape, self.in_axis, self.out_axis, self.batch_axis, self.groups)
        return jnp.zeros(shape, dtype) if 0 in shape else self.kernel(key, axes, dtype)


def _check_shape(shape: Sequence[int]) -> tuple[int, ...]:
    try:
        sizes = tuple(operator.index(size) for size in shape)
    except TypeError:
        raise TypeError(f"shape must be a sequence of whole numbers, got {shape!r}") from None
    if any(size < 0 for size in sizes):
        raise ValueError(f"shape must have no negative size, got {sizes}")
    return sizes


def _check_dtype(dtype: DTypeLike | None) -> np.dtype:
    checked = jnp.dtype(jnp.result_type(float) if dtype is None else dtype)
    if not jnp.issubdtype(checked, jnp.floating):
        raise TypeError(
            f"dtype={checked.name} cannot hold initial values; use a real floating type such as"
            " float32, float64, bfloat16 or float16"
        )
    return checked
