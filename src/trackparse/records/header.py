"""Header lines: which columns a log has, and where its first record starts. No records, no I/O."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from trackparse.records.kernel.reference import header_within
from trackparse.schema import COLUMNS, GENERATIONS, REQUIRED

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


class Header(NamedTuple):
    """A line that names columns."""

    columns: tuple[str, ...]
    size: int  # bytes of the line that are the header: the first record may follow without a line break
    fault: str  # why it cannot be used; empty if it can


@lru_cache(16)
def parse_header(line: bytes) -> Header:
    """What a line is as a header. One that lacks the columns that every log has is none: its fault says so.

    Whether it stands first or in the middle does not matter. In the published example the first record follows its
    header without a line break.
    """
    run_in = _RECORD_START.search(line)
    size = run_in.start() if run_in else len(line)
    # Another header may follow that way as well, and a byte order mark before either.
    another = header_within(line[:size])
    size = another if another >= 0 else size
    if size < len(line) and line[:size].endswith(BOM):
        size -= len(BOM)
    fields = line[:size].split(b";")
    columns = tuple(_name(field).decode(errors="replace") for field in fields)
    return Header(columns, size, _fault_of(line[:size], columns, size < len(line)))


def _fault_of(line: bytes, columns: tuple[str, ...], run_in: bool) -> str:
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        return f"no column {missing[0]!r} in {line[:80]!r}"
    if len(line) >= HEADER_BYTES and not run_in:
        return f"the header is longer than {HEADER_BYTES} bytes: {line[:80]!r}..."
    try:
        line.decode()
    except UnicodeDecodeError:
        return f"the header is not UTF-8: {line[:80]!r}"
    if len(columns) > MAX_COLUMNS:
        return f"the header names {len(columns)} columns: a tracking log has at most {MAX_COLUMNS}"
    seen: set[str] = set()
    for name in columns:
        if name in seen:
            return f"the header names the column {name!r} twice: rename one of them"
        seen.add(name)
    return ""


def is_damaged(
    header: Header, known: Collection[str] = COLUMNS, layouts: Iterable[Collection[str]] = GENERATIONS
) -> bool:
    """Whether a header cannot be used, or has a name that is not ``known`` in place of one: as many names as one of the
    layouts, and not those."""
    names = set(header.columns)
    replaced = any(len(layout) == len(names) and not names.issuperset(layout) for layout in layouts)
    return bool(header.fault) or (replaced and not names.issubset(known))


def names_a_log(header: Header) -> bool:
    """Whether a line is a header at all, if perhaps one that cannot be used."""
    return all(name in header.columns for name in REQUIRED)


@lru_cache(64)
def header_line(columns: tuple[str, ...]) -> str:
    """The header that names these columns, without a line end: what ``parse_header`` reads as them."""
    names = map(_written, columns)
    return "//" + ";".join(names)


def _written(name: str) -> str:
    """Quotes around a name would not be part of it."""
    return f'"{name}"' if len(name) >= 2 and name[0] == '"' == name[-1] else name


def diagnose(line: bytes) -> str:
    """What a log that is none may be instead, and what to do about it; empty where that is not known."""
    for starts, advice in _INSTEAD.items():
        if line.startswith(starts):
            return advice
    if line[257:262] == b"ustar":
        return "it is a tar archive: unpack it first"
    if b"timestamp" in line and b"tracking_code" in line:
        return "its fields are not separated by ';': export it again with ';'"
    return ""


def starts_with_timestamp(line: bytes) -> bool:
    """Whether the line is a record rather than a header."""
    return _RECORD_START.match(line) is not None


def _name(field: bytes) -> bytes:
    field = _SLASHES.sub(b"", field.strip())
    if len(field) >= 2 and field[:1] == b'"' == field[-1:]:
        field = _SLASHES.sub(b"", field[1:-1].strip())
    return field
