"""Whole-model initialization against constructing the same network in PyTorch: one JSON line.

    python -m benchmarks.initialize_torch [runs]

PyTorch's side builds ResNet-50 and ViT-B/16 with torchvision's rules, each in a fresh process as
ours is: kaiming_normal_ fan_out for convolutions; for the ViT lecun-normal patches, Xavier
projections and feed-forward with biases of std 1e-6, zero head. Says so if PyTorch is missing.
"""

import importlib.util
import json
import math
import subprocess
import sys
import time
from statistics import median
from typing import Any

from benchmarks.initialize_once import MODELS, run

SCHEMES = ("idinit", "he")


def resnet50() -> Any:
    """ResNet-50 and torchvision's rules for it."""
    from torch import nn

    def conv(c_in: int, c_out: int, taps: int, stride: int = 1) -> list[Any]:
        kernel = nn.Conv2d(c_in, c_out, taps, stride, taps // 2, bias=False)
        nn.init.kaiming_normal_(kernel.weight, mode="fan_out", nonlinearity="relu")
        return [kernel, nn.BatchNorm2d(c_out)]

    layers, c_in = conv(3, 64, 7, 2), 64
    for stage, blocks in enumerate((3, 4, 6, 3)):
        width = 64 * 2**stage
        for block in range(blocks):
            layers += conv(c_in, width, 1) + conv(width, width, 3) + conv(width, 4 * width, 1)
            layers += conv(c_in, 4 * width, 1) if block == 0 else []
            c_in = 4 * width
    return nn.ModuleList([*layers, nn.Linear(c_in, 1000)])


def vit_b16(width: int = 768) -> Any:
    """ViT-B/16 and torchvision's rules for it."""
    import torch
    from torch import nn

    def xavier(c_in: int, c_out: int) -> Any:
        layer = nn.Linear(c_in, c_out)
        nn.init.xavier_uniform_(layer.weight)
        nn.init.normal_(layer.bias, std=1e-6)
        return layer

    def block() -> Any:
        attention = nn.MultiheadAttention(width, 12)
        norms = [nn.LayerNorm(width), nn.LayerNorm(width)]
        return nn.ModuleList(
            [*norms, attention, xavier(width, 4 * width), xavier(4 * width, width)]
        )

    patches = nn.Conv2d(3, width, 16, 16)
    nn.init.trunc_normal_(patches.weight, std=math.sqrt(1 / (3 * 16 * 16)))
    tokens = nn.Parameter(torch.zeros(1, 1, width))
    positions = nn.Parameter(torch.empty(1, 197, width).normal_(std=0.02))
    head = nn.Linear(width, 1000)
    nn.init.zeros_(head.weight)
    blocks = [block() for _ in range(12)]
    return nn.ModuleList([patches, *blocks, head]), nn.ParameterList([tokens, positions])


def measure(name: str) -> dict[str, float]:
    """Construct once and say what it took."""
    import torch

    torch.manual_seed(0)
    wall, cpu = time.perf_counter(), time.process_time()
    {"resnet50": resnet50, "vit_b16": vit_b16}[name]()
    return {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}


def run_torch(name: str) -> dict[str, float]:
    """What a fresh process measures."""
    command = [sys.executable, "-m", "benchmarks.initialize_torch", "--once", name]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return json.loads(output.splitlines()[-1])


def compare(runs: int) -> dict:
    """Medians of both sides; sides take turns."""
    report: dict = {"benchmark": "initialize_torch", "runs": runs}
    for model in MODELS:
        measured: dict[str, list[dict[str, float]]] = {}
        for _ in range(runs):
            measured.setdefault("torch", []).append(run_torch(model))
            for scheme in SCHEMES:
                measured.setdefault(scheme, []).append(run("ours", model, scheme))
        medians = {
            side: {unit: median(one[unit] for one in ones) for unit in ("seconds", "cpu_seconds")}
            for side, ones in measured.items()
        }
        ratios = {
            f"{scheme}_ratio": medians["torch"]["seconds"] / medians[scheme]["seconds"]
            for scheme in SCHEMES
        }
        report[model] = medians | ratios
    return report


if __name__ == "__main__":
    if sys.argv[1:2] == ["--once"]:
        print(json.dumps(measure(sys.argv[2])))
    elif importlib.util.find_spec("torch") is None:
        print(json.dumps({"benchmark": "initialize_torch", "skipped": "PyTorch is not installed"}))
    else:
        print(json.dumps(compare(int(sys.argv[1]) if len(sys.argv) > 1 else 5)))
