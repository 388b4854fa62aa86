"""Peak memory of whole-model initialization over parameter bytes: one JSON line.

    python -m benchmarks.initialize_memory [runs]

Each run is a fresh process; the peak is that of resident memory during the call, above what the
process held before it.
"""

import json
import sys

from benchmarks.initialize_once import MODELS, SIDES, alternate


def compare(runs: int) -> dict:
    """Peak over parameter bytes for He, of both sides."""
    jobs = [(side, model, "he") for side in SIDES for model in MODELS]
    measured = alternate(jobs, runs)
    ratios = {
        f"{side}_{model}": measured[side, model, "he"]["peak_bytes"]
        / measured[side, model, "he"]["parameter_bytes"]
        for side, model, _ in jobs
    }
    return {"benchmark": "initialize_memory", "runs": runs, "peak_over_parameters": ratios}


if __name__ == "__main__":
    print(json.dumps(compare(int(sys.argv[1]) if len(sys.argv) > 1 else 5)))
