"""Several processes that train together, one or more a host."""

from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils

from experiments.config import Execution


def join(execution: Execution) -> None:
    """Connect to the other processes, if the run has any; before anything else touches JAX.

    Raises:
        ValueError: if the address, number or place of processes is given, but not --distributed;
            or if pmap is asked for, whose results stay within a process.
    """
    given = (execution.coordinator, execution.processes, execution.process)
    if not execution.distributed:
        if any(value is not None for value in given):
            raise ValueError("--coordinator, --processes and --process need --distributed")
        return
    if execution.parallel == "pmap":
        raise ValueError("--parallel pmap trains within one process; --distributed needs jit")
    jax.distributed.initialize(execution.coordinator, execution.processes, execution.process)


def own_directory(run_dir: Path) -> Path:
    """Where this process keeps its records: the run's directory, or a part of it."""
    index = jax.process_index()
    directory = run_dir / f"process_{index}" if index else run_dir
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def agree(count: int, stop: bool) -> tuple[int, bool]:
    """The same on all processes: the fewest steps that one wants, and whether any wants to stop."""
    if jax.process_count() == 1:
        return count, stop
    wishes = multihost_utils.process_allgather(np.asarray([count, stop], np.int32))
    return int(wishes[:, 0].min()), bool(wishes[:, 1].any())
