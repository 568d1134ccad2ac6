"""Lines that are not records: blank lines, byte order marks, separator lines, headers. ``lines.h`` is the same in C.

The kernel only says that a line may be a header; ``records/header.py`` decides.
"""

from __future__ import annotations

import re
from typing import Final

from trackparse.records.kernel.codes import CR, DELIMITER, LF, NEEDS_MORE
from trackparse.records.kernel.timestamp import RECORD_START, record_start

BOM: Final = b"\xef\xbb\xbf"
SEPARATOR_LINES: Final = (b"sep=;", b'"sep=;"')

# The beginning of a header that stands in the middle of a line.
_HEADER_START: Final = re.compile(
    rb'(?:"//[ \t]*timestamp"|//[ \t]*(?:"timestamp"|timestamp))[ \t]*(;)'
    rb'[ \t]*(?:"(?://)?tracking_code"|(?://)?tracking_code)[ \t]*'
    rb"(?:[;\r\n]|\Z|(?:%b)?%b)" % (BOM, RECORD_START.pattern)
)
# Blanks, quotes and slashes: a real header has fewer of them around a name, so a damaged one is still known.
_AROUND_NAME: Final = b' \t\n\r\v\f"/'


def blank_line(data: bytes, position: int, final: bool, max_record_bytes: int) -> int:
    """Where the blank line at ``position`` ends; 0 if the line is not blank, or NEEDS_MORE."""
    at, end = position, min(len(data), position + max_record_bytes)
    while at < end and data[at] == CR:
        at += 1
    if at == position + max_record_bytes:
        return 0
    if at == len(data):
        return at if final else NEEDS_MORE
    return at + 1 if data[at] == LF else 0


def mark_size(data: bytes, position: int, final: bool) -> int:
    """The bytes of the byte order mark at ``position``; 0 without one, or NEEDS_MORE."""
    there = data[position : position + len(BOM)]
    if there == BOM:
        return len(BOM)
    return NEEDS_MORE if BOM.startswith(there) and not final else 0


def before_mark(data: bytes, start: int, at: int) -> int:
    """``at``, or where the byte order mark right before it begins."""
    return at - len(BOM) if at - start > len(BOM) and data[at - len(BOM) : at] == BOM else at


def is_separator_line(line: bytes) -> bool:
    """Whether this is the line that Excel puts before a header."""
    return line.rstrip(b"\r") in SEPARATOR_LINES


def is_name(field: bytes, names: list[bytes]) -> bool:
    """Whether a field is one of the names of a header. ``names`` are in small letters."""
    text = field.strip(_AROUND_NAME).lower()
    return bool(text) and text in names


def find_header(data: bytes, start: int, end: int) -> tuple[int, int] | None:
    """Where the first header inside a line begins, and where its first name ends.

    A header at the line's beginning is not meant, even if blanks, quotes or slashes come before it: that is the line
    itself. But a quote that nothing closes is the end of a value that began above.
    """
    for found in _HEADER_START.finditer(data, start + 1, end):
        before = data[start : found.start()]
        if before.strip(_AROUND_NAME) or before.count(b'"') % 2:
            return found.start(), found.start(1)
    return None


def header_within(line: bytes) -> int | None:
    """Where a second header begins in a line that may be a header.

    ``//timestamp`` behind a delimiter does not begin one: it is a name of the first. Behind a quote that nothing closes
    it does: that is the last line of a record, with the end of a value that began above.
    """
    at = 0
    while True:
        found = find_header(line, at, len(line))
        if found is None:
            return None
        at = found[0]
        if line[at - 1] != DELIMITER or line.count(b'"', 0, at) % 2:
            return at


def names_behind(line: bytes, names: list[bytes]) -> list[bytes]:
    """The names of a header that stands behind other bytes of its line; empty without one.

    Logs look like that which were joined where the first had no line end. The last fields are names, two or more, and
    the field before them ends with a name, or the first two of ``names`` are among them. A line that begins with a name
    is a header itself, so there only those two show that another one follows. ``names`` are in small letters. A header
    that ``find_header`` finds is not meant.
    """
    if len(names) <= 2 or find_header(line, 0, len(line)) is not None:
        return []
    fields = [field.strip(_AROUND_NAME).lower() for field in line.split(b";")]
    found: list[bytes] = []
    while fields and fields[-1] and fields[-1] in names:
        found.insert(0, fields.pop())
    if len(found) < 2 or not fields:
        return []
    whole = set(names[:2]).issubset(found)
    if not whole and fields[0] and fields[0] in names:
        return []
    first = max((name for name in names if fields[-1].endswith(name)), key=len, default=b"")
    if first:
        return [first, *found]
    return found if whole else []


def names_columns(line: bytes, names: list[bytes], width: int) -> bool:
    """Whether a line is a header, or was one before it was damaged.

    It is a header if the first two of ``names`` are among its fields. It was one if most of its fields are known names,
    and at most two are not. ``names`` are in small letters.
    """
    # The first record may follow without a line end, and so may another header; a byte order mark may stand between.
    end = record_start(line)
    if end < len(line):
        end = before_mark(line, 0, end)
    another = header_within(line[:end])
    header = line[: end if another is None else before_mark(line, 0, another)]
    # Capital letters make no difference: a header in capitals is a header, though no good one.
    fields = [field.strip(_AROUND_NAME).lower() for field in header.split(b";")]
    known = sum(name in fields for name in names)
    if all(name in fields for name in names[:2]) or (known >= 2 and len(fields) - known < min(known, 3)):
        return True
    if names_behind(line, names):
        return True
    # Few other lines start like this and have a name in them, whatever became of the others. With another number of
    # fields no record below it would fit, either.
    return known > 0 and len(names) > 2 and len(fields) == width > 2 and line.startswith((b"//", b'"//'))
