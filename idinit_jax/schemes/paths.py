"""Paths of parameters, and the patterns that select them."""

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

import jax

from idinit_jax.schemes.scheme import Entry

Where = str | Callable[[Entry], bool]
"""A pattern over paths, or a predicate over entries of a graph.

In a pattern `*` stands for any text within one part of a path, `?` for one character, and `**` for
any number of whole parts, none included.
"""


def path_of(key_path: tuple[Any, ...]) -> str:
    """A leaf's path, joined by "/".

    >>> path_of((jax.tree_util.DictKey("dense"), jax.tree_util.DictKey("kernel")))
    'dense/kernel'
    """
    return jax.tree_util.keystr(key_path, simple=True, separator="/")


def paths_of(tree: Any) -> tuple[str, ...]:
    """The paths of all leaves, in leaf order."""
    return tuple(path_of(path) for path, _ in jax.tree_util.tree_leaves_with_path(tree))


def matches(pattern: str, path: str) -> bool:
    """Whether a path fits a pattern.

    >>> matches("**/head/*", "head/kernel"), matches("*/kernel", "block/head/kernel")
    (True, False)
    """
    return _regex(pattern).fullmatch(path) is not None


def selected(where: Where, entries: Iterable[Entry]) -> list[Entry]:
    """The entries that a pattern or predicate selects.

    Raises:
        ValueError: it selects none; the nearest paths are told.
    """
    entries = list(entries)
    if isinstance(where, str):
        found = [entry for entry in entries if matches(where, entry.path)]
    else:
        found = [entry for entry in entries if where(entry)]
    if not found:
        raise ValueError(no_match(where, [entry.path for entry in entries]))
    return found


def no_match(where: Where, paths: Sequence[str]) -> str:
    """What to say where nothing is selected."""
    if not isinstance(where, str):
        return f"the predicate {getattr(where, '__name__', where)!r} selects no parameter"
    words = where.replace("*", "").strip("/")
    near = difflib.get_close_matches(words, paths, n=3, cutoff=0.0)
    near = [path for path in paths if words and words in path][:3] or near
    return f"the pattern {where!r} selects no parameter; near misses: {', '.join(near)}"


@cache
def _regex(pattern: str) -> re.Pattern[str]:
    text = re.escape(pattern).replace(r"\?", "[^/]")
    text = text.replace(r"\*\*/", "(?:.*/)?").replace(r"/\*\*", "(?:/.*)?").replace(r"\*\*", ".*")
    return re.compile(text.replace(r"\*", "[^/]*"))
