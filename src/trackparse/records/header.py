"""Header lines: which columns a log has, and where its first record starts. No records, no I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence, Set
from functools import lru_cache
from itertools import chain
from typing import Final, NamedTuple

from trackparse.records.kernel.codes import HEADER_BYTES
from trackparse.records.kernel.lines import before_mark, header_within, names_behind
from trackparse.records.kernel.timestamp import record_start
from trackparse.schema import COLUMNS, GENERATIONS, REQUIRED

# No tracking log has more columns than this.
MAX_COLUMNS: Final = 1024
_COLUMNS: Final = frozenset(COLUMNS)
# One wrong character makes one or two unknown names. With more it is another kind of log.
_FEW_UNKNOWN: Final = 2

# What else a file may be, by its first bytes, and what to do about it.
_OTHER_FORMATS: Final = {
    (b"PK\x03\x04", b"\x1f\x8b", b"7z\xbc\xaf", b"BZh", b"\xfd7zXZ", b"(\xb5/\xfd"): (
        "it is compressed, perhaps for the second time: unpack it first"
    ),
    (b"\xff\xfe", b"\xfe\xff", b"/\0/\0", b"\0/\0/"): "it is UTF-16: convert it to UTF-8",
    (b"{", b"["): "it is JSON, perhaps an answer of the service: download the file that it names",
    (b"<",): "it is a web page: ask for the log again",
    (b"PAR1",): "it is Parquet: a log that was converted already",
    (b"\0",): "it is NUL bytes: fetch it again",
}
# What to do with a file of rejects that was taken for a log.
MEND: Final = (
    "mend 'raw' of its records with an editor, then make Parquet of it: trackparse mend, or trackparse.convert_rejects"
)
_QUOTE_OR_SLASH: Final = re.compile(rb'["/]')
_SLASHES: Final = re.compile(rb"\A(?://\s*)+")
_ENCLOSED: Final = re.compile(rb'"(?:[^"]|"")*"')


class Header(NamedTuple):
    """A line that names columns."""

    columns: tuple[str, ...]
    size: int  # bytes of the line that are the header: the first record may follow without a line break
    problem: str  # why it cannot be used; empty if it can
    strays: frozenset[str] = frozenset()  # names that seem to hold the end of a record


@lru_cache(16)
def parse_header(line: bytes) -> Header:
    """A line, read as a header; ``names_a_log`` tells whether it is one.

    It does not matter whether it stands first or in the middle. In the published example the first record follows its
    header without a line break.
    """
    size = record_start(line)
    # Another header may follow without a line break as well, and a byte order mark may stand before it or the record.
    if size < len(line):
        size = before_mark(line, 0, size)
    another = header_within(line[:size])
    size = size if another is None else before_mark(line, 0, another)
    text = line[:size]
    is_plain = text.startswith(b"//") and not _QUOTE_OR_SLASH.search(text, 2)
    fields = (text[2:] if is_plain else text).split(b";")
    # With more names it cannot be used: to look at the quotes of each of 65,000 would be dear.
    looked_at = [] if is_plain else fields[: MAX_COLUMNS + 1]
    names = chain(map(_name, looked_at), map(bytes.strip, fields[len(looked_at) :]))
    columns = tuple(name.decode(errors="replace") for name in names)
    strays = (name for name, field in zip(columns, looked_at, strict=False) if _is_stray(field))
    return Header(columns, size, _problem_of(text, columns, size < len(line)), frozenset(strays))


def _problem_of(line: bytes, columns: tuple[str, ...], record_follows: bool) -> str:
    missing = [name for name in REQUIRED if name not in columns]
    if missing:
        return f"no column {missing[0]!r} in {line[:80]!r}"
    if len(line) >= HEADER_BYTES and not record_follows:
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
    header: Header,
    known: Iterable[Set[str]] = (frozenset(COLUMNS),),
    layouts: Sequence[Sequence[str]] = GENERATIONS,
) -> bool:
    """Whether a header cannot be used, or one of its names seems to be a damaged known name.

    A name seems damaged if it is in none of the sets ``known``, where those of ``layouts`` are, too, and the header has
    as many names as one of the layouts, but not all of the same, or is one of these but for one character, or is cut
    off inside that name. So does one that is a name of ``COLUMNS`` but for one character, or two of these or a part of
    one, where the header lacks them; a name with neither a letter nor a digit; and one with a quote that encloses
    nothing, or slashes, inside it: it seems to hold the end of a record.
    """
    names = unknown = set(header.columns)
    for some in known:
        unknown = unknown - some
    if header.problem or not header.strays.isdisjoint(unknown):
        return True
    if not unknown:
        return False
    if not all(map(_has_letter, unknown)) or _has_damaged_name(header.columns, unknown, _COLUMNS - names):
        return True
    return any(
        _is_nearly(header.columns, layout) or (len(layout) == len(names) and not names.issuperset(layout))
        for layout in layouts
    )


def columns_below(damaged: Header, layouts: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """The columns that the records below a damaged header probably have.

    Those of the first of ``layouts`` that it is but for one character. If it is none, or has as many names as one
    before that, its own names are all there is.
    """
    columns = damaged.columns
    lettered = tuple(filter(_has_letter, columns))
    for layout in layouts:
        if len(layout) == len(columns):
            break
        if lettered == layout or _is_nearly(columns, layout):
            return layout
    return columns


def _has_damaged_name(columns: Sequence[str], unknown: Set[str], missing: Set[str]) -> bool:
    """Whether an unknown name is one that is missing but for one character, or two of these, or a part of one."""
    if len(unknown) > _FEW_UNKNOWN:
        return False
    for name in unknown:
        at = columns.index(name)
        for lost in missing:
            may_be = (name[0] == lost[0] or name[-1] == lost[-1]) and len(name) - len(lost) in (-1, 0, 1)
            if may_be and _is_but_for_one(name, lost):
                return True
            if name.startswith(lost) and any(_is_made_of(name, lost, other) for other in missing if other != lost):
                return True
            if at and lost.startswith(columns[at - 1]) and _is_made_of(lost, columns[at - 1], name):
                return True
            if lost.startswith(name) and at + 1 < len(columns) and _is_made_of(lost, name, columns[at + 1]):
                return True
    # A line break may stand in the first or the last name.
    name, *others = unknown
    return not others and any(
        (name == columns[-1] and lost.startswith(name)) or (name == columns[0] and lost.endswith(name))
        for lost in missing
    )


def _is_made_of(name: str, one: str, other: str) -> bool:
    """Whether a name is two others one behind the other, perhaps with a character between them."""
    return len(name) - len(one) - len(other) in (0, 1) and name.startswith(one) and name.endswith(other)


def _has_letter(name: str) -> bool:
    return any(map(str.isalnum, name))


def _is_nearly(columns: Sequence[str], layout: Sequence[str]) -> bool:
    """Whether columns are others but for one character, a ``;`` say, or are cut off inside a name."""
    last, more = len(columns) - 1, len(columns) - len(layout)
    if more < 0 and columns[last] != layout[last] and layout[last].startswith(columns[last]):
        return columns[:last] == layout[:last]
    if abs(more) > 1:
        return False
    return _is_but_for_one(";".join(columns), ";".join(layout))


def _is_but_for_one(text: str, whole: str) -> bool:
    """Whether a text is another one, or is it with one character changed, added or lost."""
    differ = (at for at, (one, other) in enumerate(zip(text, whole, strict=False)) if one != other)
    at = next(differ, min(len(text), len(whole)))
    rest = whole[at + 1 :]
    return text[at + 1 :] in (rest, whole[at:]) or text[at:] == rest


def header_behind_record(line: bytes, known: Iterable[bytes]) -> Header | None:
    """The header that ends a line of something else, without a line break before it; None without one.

    It cannot be used: nobody knows where it begins. The first two of ``known`` are the names that every log has.
    """
    names = {name.lower(): name for name in known}
    columns = tuple(names[name].decode() for name in names_behind(line, list(names)))
    if not columns:
        return None
    return Header(columns, len(line), f"the header stands behind other bytes: {line[:80]!r}")


def names_a_log(header: Header) -> bool:
    """Whether a line is a header, though perhaps one that cannot be used: it names the columns that every log has."""
    return all(name in header.columns for name in REQUIRED)


@lru_cache(64)
def header_line(columns: tuple[str, ...]) -> str:
    """The header that names these columns, without a line end; ``parse_header`` reads the same columns from it."""
    return "//" + ";".join(map(_written, columns))


def _written(name: str) -> str:
    """A name with a quote is written as a quoted field; one that a record ran into, known by its end, as it is."""
    bare = '"' not in name or name.endswith(tuple(COLUMNS))
    return name if bare else '"' + name.replace('"', '""') + '"'


def diagnose(line: bytes) -> str:
    """What a file that is not a tracking log is instead, and what to do about it; empty if that is not known."""
    if line.lstrip().startswith(b"{") and b'"member"' in line and b'"byte_offset"' in line:
        return f"it is a file of rejects (bad records): {MEND}"
    for starts, advice in _OTHER_FORMATS.items():
        if line.startswith(starts):
            return advice
    if line[257:262] == b"ustar":
        return "it is a tar archive: unpack it first"
    if b"timestamp" in line and b"tracking_code" in line:
        return "its fields are not separated by ';': export it again with ';'"
    return ""


def starts_with_timestamp(line: bytes) -> bool:
    """Whether the line is a record rather than a header."""
    return record_start(line) == 0 < len(line)


def _is_stray(field: bytes) -> bool:
    """Whether a name holds a quote that encloses nothing, or slashes that it does not start with."""
    text = _SLASHES.sub(b"", field.strip())
    return b"//" in _name(field) or (b'"' in text and _ENCLOSED.fullmatch(text) is None)


def _name(field: bytes) -> bytes:
    field = _SLASHES.sub(b"", field.strip())
    if len(field) >= 2 and field[:1] == b'"' == field[-1:]:
        field = _SLASHES.sub(b"", field[1:-1].strip()).replace(b'""', b'"')
    return field
