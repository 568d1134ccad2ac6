"""Values of fields: unescaped, and as the buffers of Arrow columns. ``values.h`` is the same in C.

A column comes as a list of runs, one for each segment; a run without the column is all nulls and needs no field table.
"""

from __future__ import annotations

import re
from array import array
from itertools import pairwise
from typing import Final

from trackparse.records.kernel.codes import (
    DIALECT_SHIFT,
    NO_COLUMN,
    RFC4180,
    START_MASK,
    Buffer,
    Run,
    TextBuffers,
)
from trackparse.records.kernel.grammar import field_inside, is_quoted

_INLINE_BYTES: Final = 12  # a view holds values of up to this many bytes itself


def unescape(field: Buffer, dialect: int) -> bytes:
    """The value of a quoted field's inside: each doubled quote once, all else as it stands."""
    field = bytes(field)
    if dialect == RFC4180:
        return field.replace(b'""', b'"')
    # A quote behind a backslash was written once, whatever follows it.
    return re.sub(rb'(\\")|""', lambda match: match[1] or b'"', field)


def count_lines(data: Buffer, start: int, stop: int) -> int:
    """How many line feeds stand in ``data[start:stop]``."""
    return bytes(data[start:stop]).count(b"\n")


def records_in(fields: Buffer, records: int, width: int, size: int) -> tuple[int, int]:
    """How many records, from the first on, have ``size`` bytes of the log together, and how many bytes exactly.

    No more than ``records``, even if they have fewer bytes. A record's bytes end with its line feed, which counts.
    """
    table = memoryview(fields).cast("B").cast("I")
    count = total = 0
    for at in range(0, records * (width + 1), width + 1):
        if total >= size:
            break
        total += table[at + width] + 1 - (table[at] & START_MASK)
        count += 1
    return count, total


def longest(offsets: Buffer) -> int:
    """The bytes of the longest value of a ``string`` column, by its offsets."""
    ends = memoryview(offsets).cast("B").cast("i")
    return max((stop - start for start, stop in pairwise(ends)), default=0)


def strings(runs: list[Run], empty_is_null: bool) -> TextBuffers:
    """The buffers of a ``string`` column."""
    values = [None if empty_is_null and not value else value for value in values_of(runs)]
    offsets = array("i", [0])
    for value in values:
        offsets.append(offsets[-1] + len(value or b""))
    data = bytearray().join(value or b"" for value in values)
    return TextBuffers(offsets.tobytes(), data, len(data), *bitmap(values))


def views(runs: list[Run], empty_is_null: bool) -> TextBuffers:
    """The buffers of a ``string_view`` column.

    Data buffer i of the column is the block of run i; the last one holds the unescaped values.
    """
    out = bytearray()
    unescaped = bytearray()
    values = iter(None if empty_is_null and not value else value for value in values_of(runs))
    made: list[bytes | None] = []
    for number, run in enumerate(runs):
        data = bytes(run.data) if run.field != NO_COLUMN else b""
        table = memoryview(run.fields).cast("B").cast("I")
        for row in range(0, run.records * (run.width + 1), run.width + 1):
            value = next(values)
            made.append(value)
            if value is None or len(value) <= _INLINE_BYTES:
                value = value or b""
                out += len(value).to_bytes(4, "little") + value.ljust(_INLINE_BYTES, b"\0")
                continue
            start = table[row] & START_MASK
            ends = table[row + 1 : row + 1 + run.width].tolist()
            offset = ends[run.field - 1] + 1 if run.field else start
            offset += is_quoted(data, start, ends, run.field)
            buffer = number
            if field_inside(data, start, ends, run.field) != value:
                buffer, offset = len(runs), len(unescaped)
                unescaped += value
            out += len(value).to_bytes(4, "little") + value[:4]
            out += buffer.to_bytes(4, "little") + offset.to_bytes(4, "little")
    return TextBuffers(bytes(out), unescaped, len(unescaped), *bitmap(made))


def validity_of(codes: Buffer) -> tuple[bytes | None, int]:
    """The validity bitmap of int32 codes among which NULL_CODE stands for a null, and the number of nulls.

    None in place of the bitmap if there are no nulls.
    """
    return bitmap([None if code < 0 else b"" for code in memoryview(codes).cast("B").cast("i")])


def values_of(runs: list[Run]) -> list[bytes | None]:
    """The values of one column, None where a run has no such column."""
    values: list[bytes | None] = []
    for run in runs:
        if run.field == NO_COLUMN:
            values.extend([None] * run.records)
            continue
        data = bytes(run.data)
        table = memoryview(run.fields).cast("B").cast("I")
        for at in range(0, run.records * (run.width + 1), run.width + 1):
            start = table[at] & START_MASK
            ends = table[at + 1 : at + 1 + run.width].tolist()
            value = field_inside(data, start, ends, run.field)
            if is_quoted(data, start, ends, run.field):
                value = unescape(value, table[at] >> DIALECT_SHIFT)
            values.append(value)
    return values


def bitmap(values: list[bytes | None]) -> tuple[bytes | None, int]:
    """Arrow's validity bitmap, None if there are no nulls, and the number of nulls."""
    nulls = values.count(None)
    if not nulls:
        return None, 0
    bits = bytearray((len(values) + 7) // 8)
    for i, value in enumerate(values):
        if value is not None:
            bits[i // 8] |= 1 << i % 8
    return bytes(bits), nulls
