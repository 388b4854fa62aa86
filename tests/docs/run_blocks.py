"""Run the Python blocks of a Markdown file as its reader would: ``python run_blocks.py FILE``.

They share their names, in order. Blocks with prompts have their output checked, and test functions
are called where they are defined.
"""

import doctest
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK = re.compile(r"^ *```python\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def blocks(text: str) -> Iterator[tuple[int, str]]:
    """Every block, and the number of lines before it."""
    for found in BLOCK.finditer(text):
        yield text.count("\n", 0, found.start(1)), textwrap.dedent(found[1])


def run_session(code: str, names: dict[str, Any], path: str, line: int) -> None:
    """A block with prompts; what differs from the printed output is shown, and ends the process."""
    test = doctest.DocTestParser().get_doctest(code, names, path, path, line)
    if doctest.DocTestRunner().run(test, clear_globs=False).failed:
        sys.exit(1)
    names |= test.globs


def run_code(code: str, names: dict[str, Any], path: str, line: int) -> None:
    """A block without; errors name the file and its line."""
    before = set(names)
    exec(compile("\n" * line + code, path, "exec"), names)
    for name in sorted(names.keys() - before):
        if name.startswith("test_"):
            names[name]()


def main(path: str) -> None:
    """All blocks of a file."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for line, code in blocks(Path(path).read_text()):
        run = run_session if ">>> " in code else run_code
        run(code, names, path, line)


if __name__ == "__main__":
    main(sys.argv[1])
