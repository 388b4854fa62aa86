"""Every study can be run: its networks start from all its candidates, streamed data included."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from tiny_data import image_features, labelled_images, prepare

from experiments import images
from experiments.compare.jobs import final_config, final_jobs
from experiments.compare.perform import perform
from experiments.compare.results import Training
from experiments.compare.study import Budget, Cell, load_study, study_names
from experiments.config import Data, Execution
from experiments.networks import build_network
from experiments.schemes import scheme_of
from idinit_jax import initialize

pytestmark = pytest.mark.usefixtures("quick_compilation")

IMAGES = {"digits": (8, 1), "fashion_mnist": (28, 1), "cifar10": (32, 3), "imagenet2012": (None, 3)}
IMAGENET = [name for name in study_names() if name.startswith("imagenet")]


def shape(data: Data) -> tuple[int, int, int, int]:
    """Of two images as the network sees them."""
    size, channels = IMAGES[data.dataset]
    side = (data.image_size or size or 0) // data.shrink
    return (2, side, side, channels)


@pytest.mark.parametrize("name", study_names())
def test_every_candidate_starts_a_network_of_its_study(name: str) -> None:
    study = load_study(name)
    candidates = {one.name: one for one in (*study.full.candidates, *study.reduced.candidates)}
    for candidate in candidates.values():
        config = final_config(Cell(study.smoke.variants[-1], candidate), 0.1, 0)
        network, images = build_network(config, 10), jnp.zeros(shape(config.data))
        values = jax.eval_shape(
            lambda key, network=network, images=images, config=config: initialize(
                network, key, images, scheme=scheme_of(config.init)
            ),
            jax.random.key(0),
        )
        logits = jax.eval_shape(network.apply, values, images)
        assert logits.shape == (2, 10)


@pytest.mark.parametrize("name", study_names())
def test_every_variant_is_a_network(name: str) -> None:
    study = load_study(name)
    for budget in (study.full, study.reduced, study.smoke):
        networks = [build_network(variant.config, 10) for variant in budget.variants]
        assert len(networks) == len(budget.variants)  # an impossible depth is an error


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of different sizes, as ImageNet has them, called photographs."""
    directory = tmp_path_factory.mktemp("photographs")
    splits = {
        split: labelled_images(count, lambda _: (40, 36, 3), seed=count)
        for split, count in {"train": 48, "validation": 16}.items()
    }
    prepare(directory, "photographs", image_features((None, None, 3), 48), splits)
    return directory


def on(dataset: str, budget: Budget) -> Budget:
    """The same budget with other data."""
    variants = [
        dataclasses.replace(
            one,
            config=dataclasses.replace(
                one.config, data=dataclasses.replace(one.config.data, dataset=dataset)
            ),
        )
        for one in budget.variants
    ]
    return dataclasses.replace(budget, variants=tuple(variants))


@pytest.mark.parametrize("name", IMAGENET)
def test_studies_of_imagenet_run_on_streamed_images(
    name: str, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "EVALUATION_BATCH", 16)  # as many as there are
    budget = on("photographs", load_study(name).smoke)
    (job,) = final_jobs(budget, budget.cells[0], budget.learning_rates[0])
    execution = Execution(data_dir=str(photographs), devices=1, progress=False, tensorboard=False)
    # The command trains under JAX's standard promotion, which its bfloat16 attention relies on.
    with jax.numpy_dtype_promotion("standard"):
        run = perform(job, tmp_path, execution)
    assert isinstance(run, Training)
    assert run.divergence is None
    assert run.movement
