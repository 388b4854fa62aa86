"""LSUV in one pass against the layer-by-layer algorithm and against plain forward passes.

python -m benchmarks.lsuv --batch 32 --image-size 224
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from idinit_jax.calibration import compile_lsuv
from idinit_jax.models.resnet import imagenet_resnet

TRIES = 2  # forward passes a kernel: one to measure, one to see that it is within tolerance


def seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    jax.block_until_ready(work())
    return time.perf_counter() - start


def layer_std(model: nn.Module, variables: dict, images: jax.Array, layer: tuple[str, ...]) -> Any:
    """A forward pass that measures the output of one layer, for the layer-by-layer algorithm."""

    def run(variables: dict, images: jax.Array) -> jax.Array:
        _, found = model.apply(
            variables,
            images,
            capture_intermediates=lambda module, _: module.path == layer,
            mutable=["intermediates"],
        )
        (output,) = jax.tree.leaves(found["intermediates"])
        return jnp.std(output)

    return jax.jit(run).lower(variables, images).compile()


def alternated(work: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Seconds of every run, the works taking turns; the first run of each is not counted."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for repeat in range(repeats + 1):
        for name, one in work.items():
            elapsed = seconds(one)
            if repeat:
                times[name].append(elapsed)
    return times


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """The three works on one model and batch, and what LSUV reports."""
    model = imagenet_resnet(options.depth, num_classes=1000)
    shape = (options.batch, options.image_size, options.image_size, 3)
    images = jax.random.normal(jax.random.key(0), shape)
    variables = jax.jit(model.init)(jax.random.key(1), images[:1])
    forward = jax.jit(model.apply)
    calibrate = compile_lsuv(model, images)
    # The last layer: every layer before it has to run, as under hooks on a whole forward pass.
    last_layer = layer_std(model, variables, images, ("head",))
    times = alternated(
        {
            "forward": lambda: forward(variables, images),
            "one_pass": lambda: calibrate(variables, images).values,
            "layer_try": lambda: last_layer(variables, images),
        },
        options.repeats,
    )
    return {"report": calibrate(variables, images).report, **times}


def record(options: argparse.Namespace, results: dict[str, Any]) -> dict[str, Any]:
    """Medians and ratios."""
    report, forward, one_pass = (results[name] for name in ("report", "forward", "one_pass"))
    layerwise = len(report.kernels) * TRIES * statistics.median(results["layer_try"])
    ratios = [one / plain for one, plain in zip(one_pass, forward, strict=True)]
    return {
        "benchmark": "lsuv",
        **vars(options),
        "kernels": len(report.kernels),
        "missed": len(report.missed),
        "passes": report.passes,
        "forward_s": round(statistics.median(forward), 3),
        "one_pass_s": round(statistics.median(one_pass), 3),
        "forward_passes": round(statistics.median(ratios), 2),
        "layer_by_layer_s": round(layerwise, 1),
        "layer_by_layer_extrapolated_from": "tries of one layer",
        "times_faster": round(layerwise / statistics.median(one_pass), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--depth", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    print(json.dumps(record(options, measured(options))))


if __name__ == "__main__":
    main()
