"""Decoded examples kept on disk, so that a data set is decoded once and not once a run."""

import os
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from experiments.data.arrays import ArrayData


def cached(name: str, make: Callable[[], ArrayData]) -> ArrayData:
    """Examples kept under `name`, made and kept where they are absent or damaged.

    They are kept in $XDG_CACHE_HOME/idinit_jax, or ~/.cache/idinit_jax, which may be deleted at any
    time. Where nothing can be written they are made each time.

    Args:
        name: file name without its ending.
        make: gives the examples where there is no good copy.

    Returns:
        The examples.
    """
    path = _directory() / f"{name}.npz"
    # An .npz file carries checksums, which reading verifies.
    with suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return _read(path)
    data = make()
    with suppress(OSError):
        _write(path, data)
    return data


def _directory() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "idinit_jax"


def _read(path: Path) -> ArrayData:
    # Opened here: np.load forgets to close a file that it cannot read.
    with path.open("rb") as file, np.load(file) as kept:
        return ArrayData(kept["images"], kept["labels"])


def _write(path: Path, data: ArrayData) -> None:
    # Renamed when complete: two runs that start together both find either nothing or everything.
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as directory:
        complete = Path(directory) / path.name
        np.savez(complete, images=data.images, labels=data.labels)
        complete.replace(path)
