"""Every experiment of configs/ can be set up and takes a step, on small data of its form."""

import jax
import numpy as np
import pytest
from tiny_data import Prepared

from experiments.command import experiment_names, parse
from experiments.experiment import set_up

CIFAR_RESNET = "--depth 8 --width 4"
VIT = "--depth 1 --width 12 --heads 2"
SMALLER = {
    "cifar10_resnet20": CIFAR_RESNET,
    "cifar10_resnet56": CIFAR_RESNET,
    "cifar10_resnet110": CIFAR_RESNET,
    "cifar10_vit_tiny4": f"{VIT} --patch 2",
    "digits_resnet8": "--width 4",
    "imagenet_resnet50": "--depth 18 --image-size 8",
    "imagenet_vit_s16": f"{VIT} --patch 4 --image-size 8",
    "imagenet_vit_b32": f"{VIT} --patch 4 --image-size 8",
}

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.mark.parametrize("name", experiment_names())
def test_a_step_of_every_experiment(
    name: str, tiny_images: Prepared, tiny_photographs: Prepared
) -> None:
    data = tiny_photographs if name.startswith("imagenet") else tiny_images
    dataset = "tiny_photographs" if name.startswith("imagenet") else "tiny_images"
    flags = f"--dataset {dataset} --data-dir {data.data_dir} --batch-size 8 --devices 1"
    flags = f"{flags} {SMALLER.get(name, '')}".split()
    _, config, execution = parse([name, *flags])
    experiment = set_up(config, execution)
    # The gradient of JAX's own attention in bfloat16 is compiled by way of promotion.
    with jax.numpy_dtype_promotion("standard"):
        state, metrics = experiment.feed.run(experiment.initial, 0, 1)
    assert int(state.step) == 1
    assert np.isfinite(metrics.loss).all()
    assert 0 < metrics.gradient_norm[0] < 1e4
