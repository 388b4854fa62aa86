"""Every Python block of the README and of the documentation runs as it is written."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/*.md")))


def run(page: Path, directory: Path) -> subprocess.CompletedProcess[str]:
    """A page in a process of its own, which this suite's strict settings do not reach."""
    return subprocess.run(
        [sys.executable, str(Path(__file__).with_name("run_blocks.py")), str(page)],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("page", PAGES)
def test_blocks_run_as_written(page: str, tmp_path: Path) -> None:
    process = run(ROOT / page, tmp_path)
    assert process.returncode == 0, process.stdout + process.stderr


@pytest.mark.parametrize(
    ("blocks", "complaint"),
    [
        (["one = 1", "two = one + 1\nassert two == 2"], None),
        (["one = 1", "assert one == 2"], "page.md"),
        (["missing"], "NameError"),
        ([">>> one = 1\n>>> one\n1\n", "assert one == 1"], None),
        (["one = 1", ">>> one\n2\n"], "Expected:\n    2\nGot:\n    1"),
        (["def test_sum():\n    assert 1 + 1 == 3"], "AssertionError"),
    ],
)
def test_a_block_that_fails_is_noticed(
    blocks: list[str], complaint: str | None, tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    page.write_text("\n".join(f"Text.\n\n```python\n{block}\n```\n" for block in blocks))
    process = run(page, tmp_path)
    assert (process.returncode == 0) == (complaint is None)
    assert (complaint or "") in process.stdout + process.stderr


def test_an_error_names_the_line_of_its_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("Text.\n\n- A list.\n\n  ```python\n  one = 1\n  missing\n  ```\n")
    assert f'"{page}", line 7' in run(page, tmp_path).stderr
