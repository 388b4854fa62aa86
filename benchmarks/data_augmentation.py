"""What random crops and flips cost inside a training step.

    python -m benchmarks.data_augmentation

Compares the single gather of `experiments.data.augment` with cutting slices out of a padded copy,
and both with the gradient of a ResNet-20 on the same batch. Prints one JSON line.
"""

import json
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from experiments.data import Augmentation, augment, draw
from idinit_jax.models import cifar_resnet

BATCH = 128
AUGMENTATION = Augmentation(mean=(0.5,) * 3, std=(0.25,) * 3, pad=4, flip=True)


def augment_by_slices(key: jax.Array, images: jax.Array) -> jax.Array:
    """The same as `augment`, but for normalization: pad, cut a slice out of each image, mirror."""
    pad = AUGMENTATION.pad
    padded = jnp.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)))

    def cut(image: jax.Array, shift: jax.Array, flip: jax.Array) -> jax.Array:
        start = (shift[0] + pad, shift[1] + pad, 0)
        crop = jax.lax.dynamic_slice(image, start, images.shape[1:])
        return jnp.where(flip, crop[:, ::-1], crop)

    crops = draw(key, len(images), AUGMENTATION).crops
    return jax.vmap(cut)(padded, *crops).astype(jnp.float32)


def milliseconds(repeats: int, function: Callable[..., object], *arguments: object) -> float:
    """Median time of one call of the compiled function."""
    compiled = jax.jit(function)
    jax.block_until_ready(compiled(*arguments))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(compiled(*arguments))
        times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times))


def resnet_gradient(variables: dict, images: jax.Array) -> dict:
    """Gradient of a stand-in loss of ResNet-20 in training mode."""

    def loss(parameters: dict) -> jax.Array:
        logits, _ = MODEL.apply(
            {**variables, "params": parameters}, images, train=True, mutable=["batch_stats"]
        )
        return jax.nn.logsumexp(logits, axis=-1).mean()

    return jax.grad(loss)(variables["params"])


MODEL = cifar_resnet(20, num_classes=10)


def main() -> None:
    key = jax.random.key(0)
    pixels = np.random.default_rng(0).integers(0, 256, (BATCH, 32, 32, 3), dtype=np.uint8)
    images = jnp.asarray(pixels)
    normalized = images.astype(jnp.float32) / 255
    variables = MODEL.init(key, normalized, train=False)
    plain = Augmentation(AUGMENTATION.mean, AUGMENTATION.std)
    rows = {
        "normalize": milliseconds(50, lambda k, x: augment(k, x, plain), key, images),
        "gather": milliseconds(50, lambda k, x: augment(k, x, AUGMENTATION), key, images),
        "slices": milliseconds(50, augment_by_slices, key, images),
        "gradient": milliseconds(5, resnet_gradient, variables, normalized),
    }
    ratios = {
        "slices_over_gather": rows["slices"] / rows["gather"],
        "gather_over_gradient": rows["gather"] / rows["gradient"],
    }
    print(json.dumps({"batch": BATCH, "milliseconds": rows} | ratios))


if __name__ == "__main__":
    main()
