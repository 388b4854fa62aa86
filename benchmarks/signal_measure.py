"""What measuring a model costs beside a plain gradient step of it.

    python -m benchmarks.signal_measure --image-size 224 --batch 32

Prints one line of JSON: times are medians of `--repeats` calls of both sides in turn, in one
process; compilation is tracing, lowering and compiling, in seconds of processor time of this
process, which a busy machine changes less than wall-clock time; memory is what XLA plans for
temporaries.
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import idinit_jax.schemes
from idinit_jax import signal
from idinit_jax.models import cifar_resnet, imagenet_resnet

TRAIN = {"train": True}


def loss(logits: jax.Array) -> jax.Array:
    """A stand-in with the cost of a cross entropy."""
    return jnp.mean(jax.nn.logsumexp(logits, axis=-1) - logits[:, 0])


def compiled(function: Callable, *arguments: Any) -> tuple[Any, float, float]:
    """A compiled function, and processor and wall-clock seconds that this took."""
    processor, wall = time.process_time(), time.perf_counter()
    program = jax.jit(function).lower(*arguments).compile()
    return program, time.process_time() - processor, time.perf_counter() - wall


def timed(function: Callable, *arguments: Any) -> float:
    start = time.perf_counter()
    jax.block_until_ready(function(*arguments))
    return time.perf_counter() - start


def measure_resnet50(image_size: int, batch: int, repeats: int) -> dict[str, float]:
    """`measure` against value and gradient of the same loss."""
    model = imagenet_resnet(50, 1000)
    x = jax.random.normal(jax.random.key(0), (batch, image_size, image_size, 3))
    values = idinit_jax.schemes.initialize(
        model, jax.random.key(1), x, scheme="he", call_kwargs=TRAIN
    )
    state = {name: tree for name, tree in values.items() if name != "params"}

    def step(params: Any, state: Any, x: jax.Array) -> Any:
        def of(params: Any) -> jax.Array:
            logits, _ = model.apply(
                {"params": params, **state}, x, train=True, mutable=["batch_stats"]
            )
            return loss(logits)

        return jax.value_and_grad(of)(params)

    plain, plain_compile, plain_wall = compiled(step, values["params"], state, x)
    start = time.perf_counter()
    meter = signal.make_meter(model, values, x, loss=loss, call_kwargs=TRAIN)
    tracing = time.perf_counter() - start
    arguments = meter.arguments(values, (x,))
    measured, measured_compile, measured_wall = compiled(meter.statistics, *arguments)
    pairs = np.array(
        [
            (timed(plain, values["params"], state, x), timed(measured, *arguments))
            for _ in range(repeats + 1)
        ]
    )[1:]
    plain_time, measured_time = np.median(pairs, axis=0)
    memory, plain_memory = (
        program.memory_analysis().temp_size_in_bytes for program in (measured, plain)
    )
    return {
        "image_size": image_size,
        "batch": batch,
        "step_s": float(plain_time),
        "measure_over_step": float(np.median(pairs[:, 1] / pairs[:, 0])),
        "measure_s": float(measured_time),
        "compile_over_step": measured_compile / plain_compile,
        "compile_wall_s": measured_wall,
        "step_compile_wall_s": plain_wall,
        "trace_s": tracing,
        "memory_over_step": memory / plain_memory,
    }


def measure_resnet1202() -> dict[str, float]:
    """Rows and compilation of a scanned network of 600 blocks."""
    model = cifar_resnet(1202, 10, scan=True)
    x = jax.random.normal(jax.random.key(0), (4, 32, 32, 3))
    values = idinit_jax.schemes.initialize(model, jax.random.key(1), x, call_kwargs=TRAIN)
    start = time.perf_counter()
    meter = signal.make_meter(model, values, x, call_kwargs=TRAIN)
    tracing = time.perf_counter() - start
    measured, processor, wall = compiled(meter.statistics, *meter.arguments(values, (x,)))
    report = meter.report(measured(*meter.arguments(values, (x,))))
    return {
        "resnet1202_blocks": sum(row.kind == "sum" for row in report.rows),
        "resnet1202_trace_s": tracing,
        "resnet1202_compile_wall_s": wall,
        "resnet1202_compile_processor_s": processor,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    found = measure_resnet50(options.image_size, options.batch, options.repeats)
    print(json.dumps({"jax": jax.__version__, **found, **measure_resnet1202()}))


if __name__ == "__main__":
    main()
