"""Data sets prepared by TensorFlow Datasets, decoded into memory."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tiny_data import Prepared, image_features, labelled_images, prepare

from experiments.data import ArrayData, catalogue, fits_in_memory, load

PROJECT = Path(__file__).parents[3]
SHARED = PROJECT.parent / "shared" / "tfds"


def assert_same_examples(data: ArrayData, examples: list[dict]) -> None:
    """Equal up to order; labels tell the examples apart."""
    assert sorted(data.labels) == sorted(example["label"] for example in examples)
    for image, label in zip(*data, strict=True):
        np.testing.assert_array_equal(image, examples[label]["image"])


def test_decodes_every_image_and_label(tiny_images):
    data = load("tiny_images", tiny_images.data_dir)
    assert_same_examples(data.train, tiny_images.examples["train"])
    assert_same_examples(data.test, tiny_images.examples["test"])
    assert (data.train.images.dtype, data.train.labels.dtype) == (np.uint8, np.int32)
    info = data.info
    assert (info.name, info.num_classes, info.image_shape) == ("tiny_images", 50, (8, 6, 3))
    assert (info.train_size, info.test_size) == (50, 11)
    pixels = data.train.images / 255
    np.testing.assert_allclose(info.mean, pixels.mean(axis=(0, 1, 2)), atol=1e-9)
    np.testing.assert_allclose(info.std, pixels.std(axis=(0, 1, 2)), atol=1e-9)


def test_second_load_reads_the_copy(tiny_images, monkeypatch):
    first = load("tiny_images", tiny_images.data_dir)

    def refuse(*_):
        raise AssertionError("decoded again")

    monkeypatch.setattr("experiments.data.decoding._decode", refuse)
    again = load("tiny_images", tiny_images.data_dir)
    np.testing.assert_array_equal(first.train.images, again.train.images)
    np.testing.assert_array_equal(first.test.labels, again.test.labels)


def test_data_prepared_anew_are_decoded_anew(tmp_path):
    for seed in (0, 1):
        data_dir = tmp_path / "data"
        shutil.rmtree(data_dir, ignore_errors=True)
        examples = {
            split: labelled_images(5, lambda _: (4, 4, 1), seed) for split in ("train", "test")
        }
        prepare(data_dir, "fresh_images", image_features((4, 4, 1), 5), examples)
        assert_same_examples(load("fresh_images", str(data_dir)).train, examples["train"])


def test_without_a_test_split_a_tenth_of_train_is_held_out(tmp_path):
    examples = {"train": labelled_images(20, lambda _: (4, 4, 1), seed=0)}
    prepare(tmp_path, "single_split", image_features((4, 4, 1), 20), examples)
    data = load("single_split", str(tmp_path))
    assert (data.info.train_size, data.info.test_size) == (18, 2)
    both = np.concatenate([data.train.labels, data.test.labels])
    assert sorted(both) == list(range(20))


def test_features_may_have_other_names(tmp_path):
    features = {"picture": tfds.features.Image(shape=(4, 4, 1))}
    features["kind"] = tfds.features.ClassLabel(num_classes=5)
    renamed = [
        {"picture": example["image"], "kind": example["label"]}
        for example in labelled_images(5, lambda _: (4, 4, 1), seed=0)
    ]
    prepare(
        tmp_path, "other_names", features, {"train": renamed, "test": renamed}, ("picture", "kind")
    )
    assert sorted(load("other_names", str(tmp_path)).train.labels) == list(range(5))


def test_what_fits(tiny_images, tiny_photographs, monkeypatch):
    assert fits_in_memory("digits")
    assert fits_in_memory("tiny_images", tiny_images.data_dir)
    assert not fits_in_memory("tiny_photographs", tiny_photographs.data_dir)
    decoded = (50 + 11) * 8 * 6 * 3
    monkeypatch.setattr(catalogue, "_MEMORY_LIMIT", decoded)
    assert fits_in_memory("tiny_images", tiny_images.data_dir)
    monkeypatch.setattr(catalogue, "_MEMORY_LIMIT", decoded - 1)
    assert not fits_in_memory("tiny_images", tiny_images.data_dir)


def test_images_of_different_sizes_are_refused(tiny_photographs):
    with pytest.raises(ValueError, match=r"vary in size or are too many.*use train_stream"):
        load("tiny_photographs", tiny_photographs.data_dir)


def test_missing_data_set_tells_the_command_that_prepares_it(tmp_path):
    with pytest.raises(FileNotFoundError) as failure:
        load("cifar100", str(tmp_path))
    message = str(failure.value)
    assert str(tmp_path / "cifar100") in message
    command = message.split('python -c "')[1].rstrip('"')
    compile(command, "command", "exec")
    assert f"tfds.builder('cifar100', data_dir='{tmp_path}', file_format='array_record')" in command
    assert command.endswith(".download_and_prepare()")


def test_default_data_dir_is_that_of_tensorflow_datasets(tmp_path):
    code = "from experiments.data import load; load('cifar100')"
    run = python(code, TFDS_DATA_DIR=str(tmp_path))
    assert run.returncode == 1
    assert f"not prepared as array_record in {tmp_path}/cifar100" in run.stderr
    assert "tfds.builder('cifar100', file_format=" in run.stderr


def test_another_file_format_is_as_good_as_missing(tiny_images, tmp_path):
    shutil.copytree(tiny_images.data_dir, tmp_path, dirs_exist_ok=True)
    file = tmp_path / "tiny_images" / "1.0.0" / "dataset_info.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"fileFormat": "tfrecord"}))
    with pytest.raises(FileNotFoundError, match="not prepared as array_record"):
        load("tiny_images", str(tmp_path))


@pytest.mark.parametrize(
    ("wrong", "nearest"), [("cifar11", "cifar10"), ("digit", "digits"), ("mnits", "mnist")]
)
def test_unknown_name_gets_the_nearest(wrong, nearest, tmp_path):
    with pytest.raises(ValueError, match=f"no data set is called '{wrong}'.*\\b{nearest}\\b"):
        load(wrong, str(tmp_path))


def test_other_tasks_are_refused_with_what_was_found(tmp_path):
    features = {"text": tfds.features.Text(), "label": tfds.features.ClassLabel(num_classes=2)}
    prepare(tmp_path, "reviews", features, {"train": [{"text": "good", "label": 1}]})
    with pytest.raises(ValueError, match=r"is not image.*label: ClassLabel, text: Text"):
        load("reviews", str(tmp_path))


def test_missing_train_split_is_refused(tmp_path):
    examples = {"dev": labelled_images(2, lambda _: (4, 4, 1), seed=0)}
    prepare(tmp_path, "no_train", image_features((4, 4, 1), 2), examples)
    with pytest.raises(ValueError, match="no split called train, only dev"):
        load("no_train", str(tmp_path))


def test_missing_labels_are_refused(tmp_path):
    unlabelled = [
        {**example, "label": -1} for example in labelled_images(2, lambda _: (4, 4, 1), 0)
    ]
    examples = {"train": labelled_images(2, lambda _: (4, 4, 1), seed=0), "test": unlabelled}
    prepare(tmp_path, "unlabelled", image_features((4, 4, 1), 2), examples)
    with pytest.raises(ValueError, match=r"test lie in -1 \.\. -1, outside of 0 \.\. 1"):
        load("unlabelled", str(tmp_path))


def test_tensorflow_is_never_imported(tiny_images: Prepared, tmp_path):
    code = f"""
import sys
from experiments.data import load, train_stream
load("tiny_images", {tiny_images.data_dir!r})
stream = train_stream(
    "tiny_images", batch_size=4, image_size=8, seed=0, data_dir={tiny_images.data_dir!r}
)
next(iter(stream))
assert "tensorflow" not in sys.modules
"""
    run = python(code, XDG_CACHE_HOME=str(tmp_path))
    assert run.returncode == 0, run.stderr


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter at the project's root."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason=f"prepared data sets are absent from {SHARED}")
@pytest.mark.parametrize(
    ("name", "shape", "per_class", "mean", "std"),
    [
        # The moments that the literature states.
        ("cifar10", (32, 32, 3), 5000, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
        ("fashion_mnist", (28, 28, 1), 6000, (0.2860,), (0.3530,)),
    ],
)
def test_real_data(name, shape, per_class, mean, std):
    data = load(name, str(SHARED))
    assert data.info.image_shape == shape
    np.testing.assert_array_equal(np.bincount(data.train.labels), [per_class] * 10)
    np.testing.assert_array_equal(np.bincount(data.test.labels), [1000] * 10)
    np.testing.assert_allclose(data.info.mean, mean, atol=6e-5)
    np.testing.assert_allclose(data.info.std, std, atol=6e-5)
