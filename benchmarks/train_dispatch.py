"""Many steps in one dispatch, or a dispatch a step: ``python -m benchmarks.train_dispatch``.

ResNet-20 at batch 128 on noise of CIFAR's shape, the same 4 steps both ways, in turns. This is what
experiments/advance.py chooses by. Prints one line of JSON, times in seconds a step.
"""

import functools
import json
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

from experiments.advance import Advance, Batches, all_at_once, one_by_one, resident_step
from experiments.advance import resident_steps as loop_of_steps
from experiments.config import CifarResNet, TrainConfig
from experiments.data import DataInfo
from experiments.experiment import first_state, make_recipe
from experiments.step import TrainState

STEPS = 4
INFO = DataInfo("noise", 10, (32, 32, 3), 512, 1, (0.5,) * 3, (0.25,) * 3)


def seconds_per_step(advance: Advance, state: TrainState, batches: Batches) -> float:
    """Of one chunk."""
    started = time.perf_counter()
    jax.block_until_ready(advance(state, batches, STEPS))
    return (time.perf_counter() - started) / STEPS


def main() -> None:
    """The command."""
    config = TrainConfig(CifarResNet(depth=20))
    recipe = make_recipe(config, INFO, 100, STEPS)
    state = first_state(recipe, config, INFO)
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.integers(0, 256, (512, *INFO.image_shape)).astype(np.uint8))
    labels = jnp.asarray(rng.integers(0, 10, 512).astype(np.int32))
    batches = Batches(images, labels, jnp.arange(512, dtype=jnp.int32).reshape(STEPS, 128))
    ways = {
        "single": one_by_one(jax.jit(functools.partial(resident_step, recipe))),
        "loop": all_at_once(jax.jit(functools.partial(loop_of_steps, recipe))),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for repetition in range(3):
        for name, advance in ways.items():
            seconds = seconds_per_step(advance, state, batches)
            if repetition:  # the first compiles
                times[name].append(seconds)
    medians = {f"{name}_s": round(statistics.median(values), 4) for name, values in times.items()}
    ratio = {"loop_over_single": round(medians["loop_s"] / medians["single_s"], 3)}
    print(json.dumps({"backend": jax.default_backend(), "jax": jax.__version__} | medians | ratio))


if __name__ == "__main__":
    main()
