"""Texts as bytes."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from tiny_data import prepare

from experiments.data import load_text

SHARED = Path(__file__).parents[4] / "shared" / "tfds"


def test_texts_of_each_split_are_joined(tmp_path):
    texts = {"train": "First Citizen:", "validation": "naïve", "test": "Exeunt"}
    examples = {split: [{"text": text}] for split, text in texts.items()}
    prepare(tmp_path, "small_text", {"text": tfds.features.Text()}, examples)
    loaded = load_text("small_text", str(tmp_path))
    assert {split: bytes(getattr(loaded, split)).decode() for split in texts} == texts
    assert loaded.train.dtype == np.uint8


def test_what_is_missing_is_named(tmp_path):
    examples = {"train": [{"line": "a"}]}
    prepare(tmp_path, "lines", {"line": tfds.features.Text()}, examples)
    with pytest.raises(ValueError, match=r"features \['line'\] and the splits \['train'\]"):
        load_text("lines", str(tmp_path))


def test_missing_text_tells_the_command_that_prepares_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"tfds.builder\('tiny_shakespeare', data_dir="):
        load_text(data_dir=str(tmp_path))


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason=f"prepared data sets are absent from {SHARED}")
def test_real_text():
    text = load_text(data_dir=str(SHARED))
    assert [len(part) for part in text] == [1_003_854, 55_770, 55_770]
    assert bytes(text.train[:14]) == b"First Citizen:"
