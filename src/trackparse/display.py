"""What people are shown: text that cannot steer a terminal, and HTML for notebooks. Knows nothing of logs.

Whoever writes a log chooses its values and names. So they are never taken for markup, and each is cut to a width.
Colours are those of the page, light or dark.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Final

_WIDEST: Final = 60  # characters of a cell
_COLUMNS_MOST: Final = 12  # of a table
_LONGEST: Final = 4_000  # characters of a text that stands by itself
_LINE: Final = "1px solid rgba(128,128,128,.35)"
_CELL: Final = f"padding:2px 8px;text-align:left;vertical-align:top;white-space:nowrap;border-bottom:{_LINE}"
_NUMBER: Final = f"{_CELL};text-align:right"


def escaped(text: str) -> str:
    """The text with escapes for line breaks and for control characters, which could send commands to a terminal."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def shortened(text: str, width: int) -> str:
    """At most ``width`` characters. The middle is left out: tokens differ at both ends."""
    if len(text) <= width:
        return text
    half = (width - 1) // 2
    return f"{text[: width - 1 - half]}…{text[-half:]}" if half else f"{text[: width - 1]}…"


def counted(count: int, noun: str) -> str:
    """``3 rows``, ``1 row``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def html_page(title: str, *parts: str) -> str:
    """A piece of HTML with a title above its parts, no wider than the page."""
    # The classes that notebooks have for tables of data would colour every second row for a light page.
    heading = f'<div style="margin-bottom:4px"><b>{_inline(title, 200)}</b></div>'
    return f'<div style="max-width:100%;overflow-x:auto;color:inherit">{heading}{"".join(parts)}</div>'


def html_line(text: str) -> str:
    """A line of text, as long as a page takes."""
    return f'<div style="margin:4px 0;overflow-wrap:anywhere">{_inline(text, 500)}</div>'


def html_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table, each value in one line. Of more than 12 columns the first are shown, and how many more there are."""
    more = len(header) - _COLUMNS_MOST
    head = "".join(f'<th style="{_CELL}">{_inline(name)}</th>' for name in header[:_COLUMNS_MOST])
    body = "".join(f"<tr>{''.join(map(_cell, row[:_COLUMNS_MOST]))}</tr>" for row in rows)
    table = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>" if header else f"<tbody>{body}</tbody>"
    note = html_line(f"and {counted(more, 'more column')}") if more > 0 else ""
    return f'<table style="border-collapse:collapse;margin:4px 0;color:inherit;background:none">{table}</table>{note}'


def html_text(text: str) -> str:
    """A text of several lines, in a box that scrolls. Only the beginning of a long one is shown."""
    shown = text[:_LONGEST]
    lines = html.escape("\n".join(map(escaped, shown.split("\n"))))
    note = html_line(f"and {counted(len(text) - _LONGEST, 'more character')}") if len(text) > _LONGEST else ""
    style = "margin:0;max-width:100%;max-height:20em;overflow:auto;white-space:pre-wrap;overflow-wrap:anywhere;"
    style += "font-family:monospace;line-height:1.3"
    return f'<pre style="{style};color:inherit;background:none">{lines}</pre>{note}'


def html_details(summary: str, inside: str) -> str:
    """A part that is unfolded by a click."""
    return f"<details><summary>{_inline(summary)}</summary>{inside}</details>"


def _cell(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f'<td style="{_NUMBER}">{value:,}</td>'
    return f'<td style="{_CELL}">{"" if value is None else _inline(str(value))}</td>'


def _inline(text: str, width: int = _WIDEST) -> str:
    # Cut before it is escaped: a value may have 16 MiB.
    return html.escape(shortened(escaped(shortened(text, width)), width))
