"""Header lines: which columns a log has, and where its first record starts. No records, no I/O."""

from __future__ import annotations

import re
from typing import Final

from trackparse.errors import HeaderError

COLUMNS: Final = (
    "timestamp",
    "tracking_code",
    "target_id",
    "hwid",
    "status",
    "description",
    "appCode",
    "payload",
)
# The two generations, by number of columns.
GENERATIONS: Final = {8: COLUMNS, 6: COLUMNS[:6]}
# A line longer than this is no header, and a wider one no tracking log.
HEADER_BYTES: Final = 1 << 16
MAX_COLUMNS: Final = 1024

BOM: Final = b"\xef\xbb\xbf"
_RECORD_START: Final = re.compile(rb'"?\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d', re.ASCII)


def parse_header(line: bytes) -> tuple[tuple[str, ...], int] | None:
    """The column names of a header line, and how many of its bytes are the header; None if it is none.

    In the published example the first record follows its header without a line break.
    """
    size = len(line)
    run_in = _RECORD_START.search(line)
    if run_in:
        if not run_in.start():
            return None
        size = run_in.start()
        line = line[:size]
    names = [_name(field) for field in line.removesuffix(b"\r").split(b";")]
    if b"timestamp" not in names or b"tracking_code" not in names:
        return None
    if size == len(line) >= HEADER_BYTES:
        raise HeaderError(f"the header is longer than {HEADER_BYTES} bytes: {line[:80]!r}...")
    try:
        texts = tuple(name.decode() for name in names)
    except UnicodeDecodeError:
        raise HeaderError(f"the header is not UTF-8: {line[:80]!r}") from None
    for text in texts:
        if texts.count(text) > 1:
            raise HeaderError(f"the header names the column {text!r} twice: rename one of them")
    return texts, size


def starts_with_timestamp(line: bytes) -> bool:
    """Whether the line is a record rather than a header."""
    return _RECORD_START.match(line) is not None


def _name(field: bytes) -> bytes:
    field = field.strip()
    if len(field) >= 2 and field[:1] == b'"' == field[-1:]:
        field = field[1:-1]
    return field.removeprefix(b"//").strip()
