"""Warm whole-model He against one plain `jax.random.normal` of the same count: one JSON line.

    python -m benchmarks.initialize_warm [runs]

Both sides in one process, taking turns, after one call each. `draws` is the time for the values
alone, of a model that has been traced before.
"""

import json
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import jax

from benchmarks.initialize_once import MODELS, model_and_input
from idinit_jax.schemes import choose, initialize
from idinit_jax.schemes.initialize import make_leaves
from idinit_jax.tracing import trace


def seconds(function: Callable[[], Any]) -> dict[str, float]:
    """Wall and CPU seconds until the result is there."""
    wall, cpu = time.perf_counter(), time.process_time()
    jax.block_until_ready(function())
    return {
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
    }


def sides(name: str) -> dict[str, Callable[[], Any]]:
    """What is compared for one model."""
    model, x = model_and_input(name)
    key = jax.random.key(0)
    chosen = list(choose(trace(model, x), "he").values())
    nothing = [None] * len(chosen)
    count = sum(leaf.size for leaf in jax.tree.leaves(initialize(model, key, x)["params"]))
    return {
        "initialize": lambda: initialize(model, key, x, scheme="he"),
        "draws": lambda: make_leaves(key, chosen, nothing, nothing),
        "plain_normal": lambda: jax.random.normal(key, (count,)),
    }


def compare(name: str, runs: int) -> dict:
    """Medians, and both of ours over the plain draw."""
    functions = sides(name)
    for function in functions.values():
        jax.block_until_ready(function())
    measured: dict[str, list[dict[str, float]]] = {side: [] for side in functions}
    for _ in range(runs):
        for side, function in functions.items():
            measured[side].append(seconds(function))
    medians = {
        side: {unit: median(one[unit] for one in ones) for unit in ones[0]}
        for side, ones in measured.items()
    }
    plain = medians["plain_normal"]
    for side in ("initialize", "draws"):
        for unit in list(plain):
            medians[side][f"{unit}_ratio"] = medians[side][unit] / plain[unit]
    return medians


if __name__ == "__main__":
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    results = {name: compare(name, runs) for name in MODELS}
    print(json.dumps({"benchmark": "initialize_warm", "runs": runs, **results}))
