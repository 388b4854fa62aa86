"""How long tracing takes, and how much memory, on models too large to run here.

python -m benchmarks.trace

Every model is traced in a fresh process. Prints one JSON line: seconds for the framework's own
tracing (shapes of the parameters, forward pass) and for reading the graph, and peak memory.
"""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from idinit_jax.models import (
    LanguageModel,
    TransformerSize,
    ViT,
    cifar_resnet,
    imagenet_resnet,
    vit_size,
)
from idinit_jax.tracing import Traced, take_apart

SMALL = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
LARGE = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
TOKENS = jax.ShapeDtypeStruct((1, 2048), jnp.int32)


def decoder(scan: bool) -> LanguageModel:
    """96 blocks of width 12288: 175 billion parameters."""
    return LanguageModel(TransformerSize(12288, 96, 96), 50257, 2048, scan=scan)


MODELS: dict[str, tuple[Callable[[], Any], jax.ShapeDtypeStruct]] = {
    "resnet50": (lambda: imagenet_resnet(50, num_classes=1000), LARGE),
    "vit_b16": (lambda: ViT(vit_size("B"), 16, 1000), LARGE),
    "resnet1202": (lambda: cifar_resnet(1202, num_classes=10), SMALL),
    "resnet1202_scanned": (lambda: cifar_resnet(1202, num_classes=10, scan=True), SMALL),
    "decoder_175b": (lambda: decoder(scan=False), TOKENS),
    "decoder_175b_scanned": (lambda: decoder(scan=True), TOKENS),
}


def measure(name: str) -> dict[str, float]:
    """Seconds of each step, in wall-clock and processor time, and megabytes at the peak."""
    make, inputs = MODELS[name]
    model = make()
    clock, processor = [time.perf_counter()], [time.process_time()]

    def lap() -> None:
        clock.append(time.perf_counter())
        processor.append(time.process_time())

    traced = Traced(take_apart(model, (inputs,)))
    lap()
    _ = traced.program
    lap()
    graph = traced.graph
    lap()
    return {
        "seconds": clock[3] - clock[0],
        "processor_seconds": processor[3] - processor[0],
        "shapes_seconds": clock[1] - clock[0],
        "forward_seconds": clock[2] - clock[1],
        "graph_seconds": clock[3] - clock[2],
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "kernels": len(graph.kernels),
        "branches": graph.branches,
    }


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(measure(sys.argv[1])))
        return
    results = {}
    for name in MODELS:
        command = [sys.executable, "-m", "benchmarks.trace", name]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        results[name] = {key: round(value, 3) for key, value in json.loads(answer).items()}
    print(json.dumps({"benchmark": "trace", "jax": jax.__version__, "models": results}))


if __name__ == "__main__":
    main()
