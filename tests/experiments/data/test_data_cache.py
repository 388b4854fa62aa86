"""Decoded copies on disk: used when good, remade when not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from experiments.data import ArrayData
from experiments.data.cache import cached

DATA = ArrayData(np.arange(48, dtype=np.uint8).reshape(4, 2, 2, 3), np.arange(4, dtype=np.int32))


class Maker:
    """Counts how often the examples had to be made."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> ArrayData:
        self.calls += 1
        return DATA


def assert_is_data(result: ArrayData) -> None:
    np.testing.assert_array_equal(result.images, DATA.images)
    np.testing.assert_array_equal(result.labels, DATA.labels)
    assert (result.images.dtype, result.labels.dtype) == (np.uint8, np.int32)


def only_file(cache_home: Path) -> Path:
    (file,) = (cache_home / "idinit_jax").iterdir()
    return file


def test_made_once_and_equal_when_read_back(cache_home):
    make = Maker()
    for _ in range(3):
        assert_is_data(cached("name", make))
    assert make.calls == 1
    assert only_file(cache_home).name == "name.npz"


def test_names_are_kept_apart():
    make = Maker()
    cached("one", make)
    cached("two", make)
    assert make.calls == 2


def flip_a_bit(content: bytes) -> bytes:
    # Inside of the first array, of which only the checksum can tell.
    middle = content.index(DATA.images.tobytes()) + 5
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "damage",
    [flip_a_bit, lambda content: content[: len(content) // 2], lambda _: b"", lambda _: b"text"],
    ids=["flipped bit", "truncated", "empty", "another format"],
)
def test_damaged_copy_is_made_anew(cache_home, damage: Callable[[bytes], bytes]):
    make = Maker()
    cached("name", make)
    file = only_file(cache_home)
    file.write_bytes(damage(file.read_bytes()))
    assert_is_data(cached("name", make))
    assert make.calls == 2
    assert_is_data(cached("name", make))
    assert make.calls == 2


def test_works_where_nothing_can_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert_is_data(cached("name", Maker()))


def test_a_failed_write_leaves_nothing(cache_home, monkeypatch):
    def fail(path: Path, **_: np.ndarray) -> None:
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", fail)
    assert_is_data(cached("name", Maker()))
    assert list((cache_home / "idinit_jax").iterdir()) == []
