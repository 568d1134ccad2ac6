"""Header lines: which columns a log has, and where its first record starts. No records, no I/O."""

from __future__ import annotations

import re
from functools import lru_cache
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
_INSTEAD: Final = {
    (b"PK\x03\x04", b"\x1f\x8b", b"7z\xbc\xaf", b"BZh", b"\xfd7zXZ", b"(\xb5/\xfd"): (
        "it is packed, once more perhaps: unpack it first"
    ),
    (b"\xff\xfe", b"\xfe\xff", b"/\0/\0", b"\0/\0/"): "it is UTF-16: convert it to UTF-8",
    (b"{", b"["): "it is JSON, an answer of the service, it seems: download the file that it names",
    (b"<",): "it is a web page: ask for the log again",
    (b"PAR1",): "it is Parquet, which was read from a log already",
    (b"\0",): "it is NUL bytes: fetch it again",
}
_SLASHES: Final = re.compile(rb"\A(?://\s*)+")
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
    if len(texts) > MAX_COLUMNS:
        raise HeaderError(f"the header names {len(texts)} columns: a tracking log has at most {MAX_COLUMNS}")
    for text in texts:
        if texts.count(text) > 1:
            raise HeaderError(f"the header names the column {text!r} twice: rename one of them")
    return texts, size


@lru_cache(64)
def header_line(columns: tuple[str, ...]) -> str:
    """The header that names these columns, without a line end: what ``parse_header`` reads as them."""
    names = map(_written, columns)
    return "//" + ";".join(names)


def _written(name: str) -> str:
    """Quotes around a name would not be part of it."""
    return f'"{name}"' if len(name) >= 2 and name[0] == '"' == name[-1] else name


def what_it_is(line: bytes) -> str:
    """What a log that is none may be instead, and what to do about it; empty where that is not known."""
    for starts, advice in _INSTEAD.items():
        if line.startswith(starts):
            return f"; {advice}"
    if b"timestamp" in line and b"tracking_code" in line:
        return "; its fields are not separated by ';': export it again with ';'"
    return ""


def starts_with_timestamp(line: bytes) -> bool:
    """Whether the line is a record rather than a header."""
    return _RECORD_START.match(line) is not None


def _name(field: bytes) -> bytes:
    field = _SLASHES.sub(b"", field.strip())
    if len(field) >= 2 and field[:1] == b'"' == field[-1:]:
        field = _SLASHES.sub(b"", field[1:-1].strip())
    return field
