"""One whole-model initialization in a fresh process: seconds, CPU seconds and memory, as JSON.

    python -m benchmarks.initialize_once ours resnet50 he

The other `initialize_*` benchmarks start this file again and again.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

SIDES = ("ours", "framework")
MODELS = ("resnet50", "vit_b16")
OWN_MODELS = ("own_resnet50", "own_vit_b16")
_TOUCHED = 1 << 30


def run(side: str, model: str, scheme: str) -> dict[str, float]:
    """What a fresh process measures."""
    command = [sys.executable, "-m", "benchmarks.initialize_once", side, model, scheme]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return json.loads(output.splitlines()[-1])


def alternate(jobs: list[tuple[str, str, str]], runs: int) -> dict[tuple, dict[str, float]]:
    """Medians of every job, the jobs taking turns so that a busy spell meets all of them."""
    measured: dict[tuple, list[dict[str, float]]] = {job: [] for job in jobs}
    for _ in range(runs):
        for job in jobs:
            measured[job].append(run(*job))
    return {
        job: {name: median(one[name] for one in ones) for name in ones[0]}
        for job, ones in measured.items()
    }


def model_and_input(name: str) -> tuple[Any, Any]:
    """A model with the framework's He (ResNet-50) or Xavier (ViT-B/16), and its input's shape.

    In plain Flax, or as the project's `own` model, which draws equal blocks in one program and so
    shortens the framework's side.
    """
    import flax.linen as nn
    import jax
    import jax.numpy as jnp

    from benchmarks import plain_models
    from idinit_jax import models

    x = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    if name == "resnet50":
        return plain_models.ResNet50(), x
    if name == "vit_b16":
        return plain_models.ViTB16(), x
    if name == "own_resnet50":
        return models.imagenet_resnet(50, num_classes=1000), x
    xavier = nn.initializers.xavier_uniform()
    size = models.vit_size("B")
    vit = models.ViT(
        size, patch=16, num_classes=1000, hidden_init=xavier, tail_init=xavier, head_init=xavier
    )
    return vit, x


def starter(side: str, model: Any, x: Any, scheme: str) -> Any:
    """key -> initialized variables, from scratch."""
    import jax
    import jax.numpy as jnp

    from idinit_jax.schemes import initialize

    if side == "ours":
        return lambda key: initialize(model, key, x, scheme=scheme)
    return lambda key: jax.jit(model.init)(key, jnp.zeros(x.shape, x.dtype))


def touch_memory() -> None:
    """Use a gigabyte and free it: a virtual machine's very first use of a page takes far longer."""
    bytearray(_TOUCHED)[:: 1 << 12] = b"1" * (_TOUCHED >> 12)


def memory(field: str) -> int:
    """Bytes of a field of /proc/self/status, such as VmRSS or its high-water mark VmHWM."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def measure(side: str, name: str, scheme: str) -> dict[str, float]:
    """Initialize once and say what it took."""
    import jax

    model, x = model_and_input(name)
    start = starter(side, model, x, scheme)
    key = jax.block_until_ready(jax.random.key(0))
    touch_memory()
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    before = memory("VmRSS")
    seconds, cpu_seconds = time.perf_counter(), time.process_time()
    variables = jax.block_until_ready(start(key))
    return {
        "seconds": time.perf_counter() - seconds,
        "cpu_seconds": time.process_time() - cpu_seconds,
        "peak_bytes": memory("VmHWM") - before,
        "parameter_bytes": sum(leaf.nbytes for leaf in jax.tree.leaves(variables["params"])),
    }


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:])))
