"""NumPy arrays that JAX's CPU backend adopts as they are instead of copying them."""

import math

import numpy as np

# XLA's CPU backend takes over host memory that starts at a multiple of this many bytes.
_ALIGNMENT = 64
_SPARE = _ALIGNMENT // 4


def empty(shape: tuple[int, ...]) -> np.ndarray:
    """float32 of any values, aligned."""
    return _aligned(np.empty(math.prod(shape) + _SPARE, np.float32), shape)


def zeros(shape: tuple[int, ...]) -> np.ndarray:
    """float32 zeros, aligned; pages come from the system when first touched."""
    return _aligned(np.zeros(math.prod(shape) + _SPARE, np.float32), shape)


def _aligned(buffer: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    first = -buffer.ctypes.data % _ALIGNMENT // 4
    return buffer[first : first + math.prod(shape)].reshape(shape)
