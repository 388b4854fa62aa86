"""Cold whole-model initialization against `jax.jit(model.init)`: one JSON line.

    python -m benchmarks.initialize_cold [runs]

Cold: the first call in a fresh process without a compilation cache, tracing included. Sides take
turns. Seconds are wall time; CPU seconds are given beside them, for a machine that is busy. The
networks are written in plain Flax, and besides are the project's own models.
"""

import json
import sys

from benchmarks.initialize_once import MODELS, OWN_MODELS, alternate

SCHEMES = ("idinit", "he")


def compare(runs: int) -> dict:
    """Medians of every side, and how many times faster ours is."""
    models = (*MODELS, *OWN_MODELS)
    jobs = [("ours", model, scheme) for model in models for scheme in SCHEMES]
    jobs += [("framework", model, "own") for model in models]
    measured = alternate(jobs, runs)
    report: dict = {"benchmark": "initialize_cold", "runs": runs}
    for model in models:
        theirs = measured["framework", model, "own"]
        report[model] = {"framework": theirs}
        for scheme in SCHEMES:
            ours = measured["ours", model, scheme]
            faster = {f"{unit}_ratio": theirs[unit] / ours[unit] for unit in _UNITS}
            report[model][scheme] = {**ours, **faster}
    return report


_UNITS = ("seconds", "cpu_seconds")

if __name__ == "__main__":
    print(json.dumps(compare(int(sys.argv[1]) if len(sys.argv) > 1 else 5)))
