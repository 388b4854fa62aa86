"""Which parameter starts as what, and why: as records, Markdown, or a table."""

import importlib.util
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from idinit_jax.schemes.choosing import Chosen, Overrides, choose
from idinit_jax.schemes.scheme import Scheme, get_scheme
from idinit_jax.tracing import ModelGraph, traced
from idinit_jax.tracing.graph import Kernel


class Record(NamedTuple):
    """One parameter's start.

    Attributes:
        path, shape, dtype: of the parameter.
        role: of a kernel; the kind of any other parameter.
        initializer: as one would write it; "the model's own" where that stays.
        fan_in, fan_out: of a kernel, None for others.
        std: standard deviation of its entries, None where it is not known beforehand.
        reason: why this initializer.
        evidence: why this role.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    role: str
    initializer: str
    fan_in: int | None
    fan_out: int | None
    std: float | None
    reason: str
    evidence: str


_COLUMNS = ("parameter", "shape", "role", "initializer", "fan in", "fan out", "std", "why")


@dataclass(frozen=True)
class Provenance:
    """The start of every parameter of a model under a scheme, in forward order.

    Printing it gives a table, drawn by rich where that is installed.
    """

    scheme: str
    entries: tuple[Record, ...]

    def records(self) -> list[dict[str, Any]]:
        """One dictionary a parameter, for a data frame or JSON."""
        return [record._asdict() for record in self.entries]

    def markdown(self) -> str:
        """A Markdown table."""
        lines = [_COLUMNS, tuple("---" for _ in _COLUMNS), *map(_cells, self.entries)]
        return "\n".join(
            "| " + " | ".join(_escaped(cell) for cell in line) + " |" for line in lines
        )

    def __iter__(self) -> Iterator[Record]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, path: str) -> Record:
        for record in self.entries:
            if record.path == path:
                return record
        raise KeyError(f"no parameter at {path!r}; there are {[r.path for r in self.entries]}")

    def __str__(self) -> str:
        title = f"scheme {self.scheme}: {len(self)} parameters"
        return table(title, _COLUMNS, [_cells(record) for record in self.entries])

    def _repr_markdown_(self) -> str:
        return self.markdown()


def explain(
    model: Any,
    *inputs: Any,
    scheme: str | Scheme = "idinit",
    overrides: Overrides | None = None,
    call_kwargs: Mapping[str, Any] = {},
) -> Provenance:
    """What `initialize` would do with each parameter, and why; nothing is allocated.

    Args:
        model, *inputs, scheme, overrides, call_kwargs: as for `initialize`.

    Returns:
        The provenance table; `print` it, or take its `records()` or `markdown()`.

    Raises:
        ValueError: as `initialize` would.

    >>> import flax.linen as nn, jax.numpy as jnp
    >>> table = explain(nn.Dense(3), jnp.ones((1, 2)), scheme="he")
    >>> table["kernel"].initializer, table["kernel"].fan_in
    ("he(mode='fan_in', nonlinearity='linear', distribution='normal')", 2)
    """
    return explain_graph(traced(model, inputs, call_kwargs).graph, scheme, overrides)


def explain_graph(
    graph: ModelGraph, scheme: str | Scheme = "idinit", overrides: Overrides | None = None
) -> Provenance:
    """`explain` for a model that has been traced."""
    chosen = choose(graph, scheme, overrides)
    return Provenance(get_scheme(scheme).name, tuple(map(record_of, chosen.values())))


def record_of(chosen: Chosen) -> Record:
    """The record of one choice."""
    entry, choices = chosen.entry, dict.fromkeys(chosen.choices)
    kernel = entry if isinstance(entry, Kernel) else None
    roles = (entry.layer_roles or (entry.role,)) if isinstance(entry, Kernel) else (entry.kind,)
    return Record(
        entry.path,
        entry.shape,
        entry.dtype,
        "/".join(dict.fromkeys(roles)),
        "; ".join(_written(choice.initializer) for choice in choices),
        kernel.fan_in if kernel else None,
        kernel.fan_out if kernel else None,
        None if chosen.fill is None else chosen.fill.std,
        "; ".join(choice.reason for choice in choices),
        entry.reason,
    )


def table(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Rows under a title, drawn by rich where that is installed, else plain."""
    if importlib.util.find_spec("rich"):
        return _rich(title, columns, rows)
    widths = [max(map(len, cells)) for cells in zip(columns, *rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (columns, *rows)
    ]
    return "\n".join([title, *lines])


def _rich(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    from rich.console import Console
    from rich.table import Table

    drawn = Table(*columns, title=title)
    for row in rows:
        drawn.add_row(*(cell.replace("[", r"\[") for cell in row))
    console = Console(file=io.StringIO(), width=200)
    console.print(drawn)
    text: str = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue] it is a StringIO
    return text.rstrip()


def _cells(record: Record) -> tuple[str, ...]:
    return (
        record.path,
        " x ".join(map(str, record.shape)) or "scalar",
        record.role,
        record.initializer,
        "" if record.fan_in is None else str(record.fan_in),
        "" if record.fan_out is None else str(record.fan_out),
        "" if record.std is None else f"{record.std:.3g}",
        record.reason,
    )


def _escaped(cell: str) -> str:
    return cell.replace("|", r"\|")


def _written(initializer: Any) -> str:
    if initializer is None:
        return "the model's own"
    text = repr(initializer)
    return getattr(initializer, "__name__", text) if text.startswith("<") else text
