"""Rows of columns as lines of JSON. ``jsonl.h`` is the same in C."""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from typing import Final

from trackparse.records.kernel.codes import JsonColumn
from trackparse.records.kernel.grammar import is_utf8

_ESCAPES: Final = {code: f"\\u{code:04x}" for code in range(0x20)} | {
    ord(char): f"\\{letter}" for char, letter in zip('\b\t\n\f\r"\\', 'btnfr"\\', strict=True)
}


def json_text(text: bytes) -> bytes:
    """Text as JSON, with its quotes."""
    # Only bytes of ASCII are escaped: those of other characters may be looked at one by one.
    return b'"%b"' % text.decode("latin-1").translate(_ESCAPES).encode("latin-1")


def json_lines(columns: list[JsonColumn], rows: int) -> bytes:
    """A line for each row: an object with the names of the columns and their values, null included.

    Bytes that are not UTF-8 are base64, under the column's name and ``_base64``.
    """
    members = [[*_members(column, rows)] for column in columns]
    return b"".join(b"{%b}\n" % b",".join(column[row] for column in members) for row in range(rows))


def _members(column: JsonColumn, rows: int) -> Iterator[bytes]:
    """The name and the value of a column, for each row."""
    _check(column, rows)
    key = json_text(column.name.encode())
    words = memoryview(column.first).cast("B").cast("q" if column.kind == "q" else "i")
    bits = None if column.validity is None else bytes(column.validity)
    for row in range(rows):
        if bits is not None and not bits[row // 8] >> row % 8 & 1:
            yield key + b":null"
        elif column.kind == "q":
            yield key + b":%d" % words[row]
        else:
            value = bytes(column.data[words[row] : words[row + 1]])
            if column.kind == "t" or is_utf8(value):
                yield key + b":" + json_text(value)
            else:
                yield key[:-1] + b'_base64":"%b"' % binascii.b2a_base64(value, newline=False)


def _check(column: JsonColumn, rows: int) -> None:
    """ValueError if the buffers are not those of so many rows."""
    size = len(column.first) // (8 if column.kind == "q" else 4)
    fits = column.kind in ("q", "t", "b") and 0 <= rows <= size - (column.kind != "q")
    if fits and column.kind != "q":
        offsets = memoryview(column.first).cast("B").cast("i")[: rows + 1].tolist()
        fits = offsets[0] >= 0 and offsets == sorted(offsets) and offsets[-1] <= len(column.data)
    if not fits or (column.validity is not None and 8 * len(column.validity) < rows):
        raise ValueError("json_lines: arguments out of range")
