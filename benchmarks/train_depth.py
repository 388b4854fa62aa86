"""What depth costs a scanned network: ``python -m benchmarks.train_depth``.

Compiles the training step of CIFAR ResNets of 20 to 1202 layers whose blocks are scanned, and times
it; the ratios are compile time over ResNet-20's, and the time of a step a layer. The time that does
not grow with depth is stem, head and optimizer of one block more or less; it is not taken out.
Prints one line of JSON; step times are medians of alternating runs, in seconds.
"""

import argparse
import json
import statistics
import time
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.config import CifarResNet, TrainConfig
from experiments.data import DataInfo
from experiments.experiment import first_state, make_recipe
from experiments.step import Batch, train_step

DEPTHS = (20, 56, 110, 1202)
INFO = DataInfo("noise", 10, (32, 32, 3), 512, 1, (0.5,) * 3, (0.25,) * 3)


def compile_step(depth: int, norm: str, batch: Batch) -> tuple[Any, Any, dict[str, float]]:
    """The compiled step and its first state; seconds of lowering and compiling."""
    config = TrainConfig(CifarResNet(depth=depth, norm=norm, scan=True))  # type: ignore[arg-type]
    recipe = make_recipe(config, INFO, 100, 50)
    state = first_state(recipe, config, INFO)
    wall, processor = time.perf_counter(), time.process_time()
    step = jax.jit(partial(train_step, recipe)).lower(state, batch).compile()
    seconds = {"wall": time.perf_counter() - wall, "processor": time.process_time() - processor}
    return step, state, seconds


def timed(step: Any, state: Any, batch: Batch, depth: int) -> float:
    """Seconds of one step, the mean over as many as make the deepest network's layers.

    So every depth is timed for as long, and what another network left in the caches, which one
    short step would show, counts as little for all.
    """
    jax.block_until_ready(step(state, batch))
    steps = max(DEPTHS) // depth
    start = time.perf_counter()
    for _ in range(steps):
        jax.block_until_ready(step(state, batch))
    return (time.perf_counter() - start) / steps


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--norm", default="batch", choices=("batch", "layer", "none"))
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (options.batch, *INFO.image_shape)).astype(np.uint8)
    batch = Batch(jnp.asarray(pixels), jnp.arange(options.batch) % INFO.num_classes)
    programs = {depth: compile_step(depth, options.norm, batch) for depth in DEPTHS}
    times: dict[int, list[float]] = {depth: [] for depth in DEPTHS}
    for repeat in range(options.repeats + 1):
        for depth, (step, state, _) in programs.items():
            seconds = timed(step, state, batch, depth)
            if repeat:
                times[depth].append(seconds)
    step_time = {depth: statistics.median(values) for depth, values in times.items()}
    per_layer = {depth: seconds / depth for depth, seconds in step_time.items()}
    compiling = {depth: seconds for depth, (_, _, seconds) in programs.items()}
    report = {
        "batch": options.batch,
        "norm": options.norm,
        "compile_s": compiling,
        "step_s": step_time,
        "per_layer_s": per_layer,
        "compile_1202_over_20": compiling[1202]["processor"] / compiling[20]["processor"],
        "per_layer_spread": max(abs(one / per_layer[20] - 1) for one in per_layer.values()),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
