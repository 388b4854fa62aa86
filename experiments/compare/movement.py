"""What training did to a network: which parameters moved, and the rank of the kernels' updates."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np

from experiments.compare.results import Movement
from idinit_jax.signal import WeightRow, weight_spectra

RANK_TOLERANCE = 0.01
"""Singular values above this fraction of the largest count. Far above float32's rounding, which
gives every update full rank."""


class Kernel(NamedTuple):
    """One kernel's update: its role, and its spectrum, a row for each layer of a stack."""

    role: str
    changed: float
    size: int
    spectra: list[WeightRow]


def movements(
    network: nn.Module, inputs: jax.ShapeDtypeStruct, first: Any, last: Any
) -> tuple[Movement, ...]:
    """One `Movement` a role, in the order of the network.

    Args:
        network: a module whose ``__call__(images, train)`` gives logits.
        inputs: shape of its images (N, H, W, C).
        first: variables before training.
        last: variables after it.
    """
    rows = weight_spectra(
        network,
        last,
        inputs,
        reference=first,
        tolerance=RANK_TOLERANCE,
        call_kwargs={"train": False},
    )
    before, after = named(first["params"]), named(last["params"])
    kernels: dict[str, Kernel] = {}
    for row in rows:
        path = row.name.partition("[")[0]
        if path not in kernels:
            changed = float(np.mean(before[path] != after[path]))
            kernels[path] = Kernel(row.role, changed, after[path].size, [])
        kernels[path].spectra.append(row)
    roles = dict.fromkeys(kernel.role for kernel in kernels.values())
    return tuple(
        movement(role, [kernel for kernel in kernels.values() if kernel.role == role])
        for role in roles
    )


def movement(role: str, kernels: Iterable[Kernel]) -> Movement:
    """All kernels of a role together: entries pooled, ranks averaged over kernels."""
    kernels = list(kernels)
    rows = [row for kernel in kernels for row in kernel.spectra]
    sides = [min(row.shape) for row in rows]
    sizes = [kernel.size for kernel in kernels]
    return Movement(
        role=role,
        kernels=len(rows),
        changed=float(np.average([kernel.changed for kernel in kernels], weights=sizes)),
        rank=float(
            np.mean([moved_rank(row) / side for row, side in zip(rows, sides, strict=True)])
        ),
        effective_rank=float(
            np.mean([row.effective_rank / side for row, side in zip(rows, sides, strict=True)])
        ),
    )


def moved_rank(row: WeightRow) -> int:
    """The rank of an update; of a kernel that did not move it is 0."""
    return row.rank if row.largest > 0 else 0


def named(params: Any) -> dict[str, np.ndarray]:
    """Every array under its path."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf)
        for path, leaf in jax.tree.leaves_with_path(params)
    }
