"""The largest singular values of ResNet-50's Jacobian, and what they cost.

    python -m benchmarks.signal_spectrum --image-size 224

Prints one line of JSON: the products spent, the largest singular values with their error bounds,
and the time in units of one forward pass (medians of `--repeats` calls in one process). Lanczos is
compared on a small network with the singular values of the Jacobian written out.
"""

import argparse
import json
import time

import jax
import numpy as np

import idinit_jax
import idinit_jax.schemes
from idinit_jax import signal
from idinit_jax.models import imagenet_resnet


def resnet50(image_size: int, products: int, repeats: int) -> dict[str, object]:
    model = imagenet_resnet(50, 1000)
    x = jax.random.normal(jax.random.key(0), (1, image_size, image_size, 3))
    values = idinit_jax.schemes.initialize(model, jax.random.key(1), x)
    forward = jax.jit(model.apply)
    jax.block_until_ready(forward(values, x))
    passes = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(forward(values, x))
        passes.append(time.perf_counter() - start)
    start = time.perf_counter()
    found = signal.spectrum(model, values, x, count=20, products=products)
    seconds = time.perf_counter() - start
    return {
        "products": found.products,
        "shape": found.shape,
        "singular_values": [round(float(value), 4) for value in found.singular_values],
        "errors": [float(f"{error:.2g}") for error in found.errors],
        "mean_square": found.mean_square,
        "mean_square_error": found.mean_square_error,
        "with_compilation_over_forward": seconds / float(np.median(passes)),
    }


def lanczos_against_exact(width: int = 512, depth: int = 8) -> dict[str, float]:
    """Largest deviation of the first ten values, in units of the bound that was given."""
    kernels = idinit_jax.he(batch_axis=0)(jax.random.key(0), (depth, width, width))
    x = jax.random.normal(jax.random.key(1), (1, width))

    def network(kernels: jax.Array, x: jax.Array) -> jax.Array:
        return jax.lax.scan(lambda x, w: (jax.nn.relu(x @ w), None), x, kernels)[0]

    exact = signal.spectrum(network, kernels, x, exact_limit=width).singular_values
    found = signal.spectrum(network, kernels, x, exact_limit=8, products=60, count=10)
    nearest = np.abs(exact[None] - found.singular_values[:, None]).min(axis=1)
    return {
        "small_relative_error": float(np.max(nearest / found.singular_values)),
        "small_error_over_bound": float(np.max(nearest / found.errors)),
        "small_mean_square_error_in_sigma": float(
            abs(found.mean_square - np.mean(exact**2)) / found.mean_square_error
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--products", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    found = resnet50(options.image_size, options.products, options.repeats)
    print(json.dumps({"jax": jax.__version__, **found, **lanczos_against_exact()}))


if __name__ == "__main__":
    main()
