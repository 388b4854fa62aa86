"""How far one has to read to follow a call of `initialize`: files entered, calls between files.

python -m benchmarks.call_path

Every model is initialized in a fresh process, once. Prints one JSON line: the files of idinit_jax
in which a function runs, and the calls of such a function from another file, by way of a framework
or not. The project's own models stand for a user's, so their files are not counted.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

import idinit_jax
from idinit_jax.models import ViT, vit_size

ROOM = Path(idinit_jax.__file__).parent
MODELS_ROOM = ROOM / "models"


class ResidualMLP(nn.Module):
    """Three residual blocks of width 16 with one hidden layer each."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.Dense(16)(x)
        for _ in range(3):
            x = x + nn.Dense(16)(nn.relu(nn.Dense(32)(x)))
        return nn.Dense(3)(x)


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "residual_mlp": (ResidualMLP, (1, 8)),
    "vit_ti16": (lambda: ViT(vit_size("Ti"), 16, 1000), (1, 224, 224, 3)),
}


class Reader:
    """Follows a call from file to file, as `sys.setprofile` tells of it.

    Attributes:
        files: of the project, entered so far.
        crossings: calls of a function of the project from another of its files.
    """

    def __init__(self) -> None:
        self.files: set[str] = set()
        self.crossings = 0

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and _is_read(frame):
            file, caller = frame.f_code.co_filename, _caller(frame)
            self.files.add(file)
            self.crossings += caller is not None and caller != file


def _is_read(frame: FrameType) -> bool:
    """Whether the frame is a function of the project; an import runs a file as a whole."""
    file = Path(frame.f_code.co_filename)
    ours = file.is_relative_to(ROOM) and not file.is_relative_to(MODELS_ROOM)
    return ours and frame.f_code.co_name != "<module>"


def _caller(frame: FrameType) -> str | None:
    """The file of the nearest function of the project below this one on the stack."""
    below = frame.f_back
    while below is not None and not _is_read(below):
        below = below.f_back
    return None if below is None else below.f_code.co_filename


def measure(name: str) -> dict[str, int]:
    """Files and crossings of one call of `initialize`."""
    make, shape = MODELS[name]
    model, inputs, key = make(), jax.ShapeDtypeStruct(shape, jnp.float32), jax.random.key(0)
    reader = Reader()
    sys.setprofile(reader)
    try:
        idinit_jax.initialize(model, key, inputs)
    finally:
        sys.setprofile(None)
    return {"files": len(reader.files), "crossings": reader.crossings}


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
        return
    results = {}
    for name in MODELS:
        command = [sys.executable, "-m", "benchmarks.call_path", name]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        results[name] = json.loads(answer)
    print(json.dumps({"benchmark": "call_path", "jax": jax.__version__, "models": results}))


if __name__ == "__main__":
    main()
