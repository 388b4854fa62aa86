"""Whether every device and host holds the same parameters."""

import hashlib
from typing import Any

import jax
import numpy as np
from jax import numpy as jnp
from jax.experimental import multihost_utils

from idinit_jax.schemes.paths import path_of


def assert_replicas_agree(tree: Any) -> None:
    """Check that replicas of a tree's arrays are the same, bit for bit, NaN included.

    Parts of an array that several devices of this host hold are compared with one another, and
    arrays that every host holds in full are compared between hosts by their hash.

    Args:
        tree: of arrays; leaves that are none are passed over.

    Raises:
        AssertionError: naming the first array that differs, and the devices.

    >>> import jax.numpy as jnp
    >>> assert_replicas_agree({"kernel": jnp.ones((2, 2))})
    """
    arrays = [
        (path_of(path), leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
        if isinstance(leaf, jax.Array)
    ]
    for path, array in arrays:
        _check_devices(path, array)
    if jax.process_count() > 1:
        _check_hosts([(path, array) for path, array in arrays if array.is_fully_replicated])


def _check_devices(path: str, array: jax.Array) -> None:
    first: dict[str, tuple[Any, bytes]] = {}
    for shard in array.addressable_shards:
        held = _bytes_of(shard.data)
        device, expected = first.setdefault(str(shard.index), (shard.device, held))
        if held != expected:
            raise AssertionError(
                f"replicas of {path} differ between {device} and {shard.device}"
                f" (part {shard.index} of shape {array.shape})"
            )


def _check_hosts(arrays: list[tuple[str, jax.Array]]) -> None:
    digests = [
        hashlib.blake2b(_bytes_of(array.addressable_data(0)), digest_size=8).digest()
        for _, array in arrays
    ]
    mine = np.frombuffer(b"".join(digests), np.uint32).reshape(len(arrays), 2)
    hosts = np.asarray(multihost_utils.process_allgather(mine))
    for (path, _), differs in zip(arrays, (hosts != hosts[:1]).any(axis=(0, 2)), strict=True):
        if differs:
            raise AssertionError(f"replicas of {path} differ between hosts")


def _bytes_of(array: jax.Array) -> bytes:
    if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        array = jax.random.key_data(array)
    return np.asarray(array).tobytes()
