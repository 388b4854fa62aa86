"""Roles, axes and kinds that tracing finds in known architectures, against what is known of them.

The expectations were written from the papers and the code of the architectures, not from traces.
"""

import importlib
import pathlib

import pytest
from gallery.entry import GALLERY, differences

for file in sorted((pathlib.Path(__file__).parent / "gallery").glob("*.py")):
    importlib.import_module(f"gallery.{file.stem}")


@pytest.mark.parametrize("name", GALLERY)
def test_graph_is_as_written_down(name):
    entry = GALLERY[name]()
    if found := differences(entry.trace(), entry):
        pytest.fail("\n".join(["", *found]), pytrace=False)


def test_gallery_is_large():
    assert len(GALLERY) >= 100
