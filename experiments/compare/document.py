"""A report as a list of blocks, written as Markdown or as one HTML page."""

import base64
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from idinit_jax.signal.page import SCRIPT, STYLE


class Heading(NamedTuple):
    """Opens a section."""

    text: str


class Paragraph(NamedTuple):
    """Plain text."""

    text: str


class Bullets(NamedTuple):
    """Plain sentences."""

    items: Sequence[str]


class Table(NamedTuple):
    """Cells of plain text; the first column names the row."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


class Picture(NamedTuple):
    """A PNG.

    Args:
        file: its name, beside the report.
        text: what it shows.
        png: its bytes.
    """

    file: str
    text: str
    png: bytes


Block = Heading | Paragraph | Bullets | Table | Picture


def to_markdown(title: str, blocks: Sequence[Block]) -> str:
    """The report as Markdown, which refers to its pictures by name."""
    return "\n\n".join([f"# {title}", *map(_markdown, blocks)]) + "\n"


def to_html(title: str, blocks: Sequence[Block]) -> str:
    """The report as a page without references to anything outside of it."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE} img {{ max-width: 100%; }}</style></head>"
        f"<body><h1>{escape(title)}</h1>{''.join(map(_html, blocks))}"
        f"<script>{SCRIPT}</script></body></html>\n"
    )


def _markdown(block: Block) -> str:
    match block:
        case Heading(text):
            return f"## {text}"
        case Paragraph(text):
            return text
        case Bullets(items):
            return "\n".join(f"- {item}" for item in items)
        case Table(columns, rows):
            lines = [columns, ["---"] * len(columns), *rows]
            return "\n".join(f"| {' | '.join(cell or ' ' for cell in line)} |" for line in lines)
        case Picture(file, text, _):
            return f"![{text}]({file})"


def _html(block: Block) -> str:
    match block:
        case Heading(text):
            return f"<h2>{escape(text)}</h2>"
        case Paragraph(text):
            return f"<p>{escape(text)}</p>"
        case Bullets(items):
            return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>"
        case Table(columns, rows):
            head = "".join(f'<th scope="col"><button>{escape(c)}</button></th>' for c in columns)
            body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
            table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            return f'<div class="scroll" tabindex="0">{table}</div>'
        case Picture(_, text, png):
            data = base64.b64encode(png).decode()
            return f'<p><img alt="{escape(text)}" src="data:image/png;base64,{data}"></p>'


def _cell(text: str) -> str:
    return f"<td>{escape(text)}</td>"
