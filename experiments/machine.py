"""What a run is computed on: reported before it starts, and kept beside its records."""

import os
import platform
import resource
import sys
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import flax
import jax

from experiments.config import Execution

Device = Any
"""A jax.Device, which type checkers take for a variable."""


@dataclass(frozen=True)
class Machine:
    """Backend, devices, processes and versions.

    Args:
        backend: "cpu", "gpu" or "tpu".
        devices: how many of which kind are used, over all processes.
        parallel: "jit" or "pmap".
        precision: of the computation.
        processes: how many hosts take part.
        cores: that this process may use.
        versions: of Python, JAX, jaxlib and Flax.
    """

    backend: str
    devices: str
    parallel: str
    precision: str
    processes: int
    cores: int
    versions: str

    def __str__(self) -> str:
        return (
            f"{self.backend}: {self.devices}, {self.parallel}, {self.precision}, "
            f"{self.processes} process(es), {self.cores} cores; {self.versions}"
        )


def describe_machine(execution: Execution, precision: str) -> Machine:
    """The machine as this process sees it."""
    devices = chosen_devices(execution.devices)
    return Machine(
        backend=devices[0].platform,
        devices=f"{len(devices)} x {devices[0].device_kind}",
        parallel=execution.parallel,
        precision=precision,
        processes=jax.process_count(),
        cores=len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1,
        versions=f"Python {platform.python_version()}, JAX {jax.__version__}, "
        f"jaxlib {version('jaxlib')}, Flax {flax.__version__}",
    )


def chosen_devices(count: int | None) -> list[Device]:
    """The first ``count`` devices, or all.

    Raises:
        ValueError: if there are not so many.
    """
    devices = jax.devices()
    if count is not None and not 0 < count <= len(devices):
        raise ValueError(f"--devices must lie in 1 .. {len(devices)}, got {count}")
    return devices[:count]


def peak_memory() -> int:
    """Largest resident size of this process so far, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
