"""The kernel in plain Python: the executable specification, and what runs where the C extension is missing.

Pure functions over buffers: they open nothing, keep nothing, and never look past the bytes they were given.
A verdict on a record never depends on bytes that were not there: where more bytes could change it, MORE is said.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any, Final, NamedTuple

Buffer = bytes | bytearray | memoryview
# One run of records in one block: the block, its field table, how many records, fields a record, and the
# field wanted (-1: this run has no such column).
Run = tuple[Buffer, Buffer, int, int, int]
# A writable buffer of so many bytes, or more.
Allocate = Callable[[int], Any]

RFC4180: Final = 0
PHP: Final = 1

DONE: Final = 0  # everything up to `stop` was indexed
MORE: Final = 1  # the record at `position` needs more bytes
HEADER: Final = 2  # a header line or a byte order mark stands at `position`
LIMIT: Final = 3  # no end in sight within max_record_bytes
MOST_REJECTS: Final = 4096  # of one call: each is some objects, whatever its size

UNCLOSED_QUOTE: Final = 1
TEXT_AFTER_QUOTE: Final = 2
FIELD_COUNT: Final = 3
BAD_UTF8: Final = 4
BAD_TIMESTAMP: Final = 5
TOO_LONG: Final = 6

_NEEDS_MORE: Final = -1
_INT32_MAX: Final = 0x7FFFFFFF
# How many readings of one record are tried: what keeps the work per byte bounded.
_READINGS: Final = 64
# Ambiguous quotes beyond this many in one record stay literal.
_CHOICES: Final = 4096
# A header longer than this is not one.
_HEADER_BYTES: Final = 1 << 16

_BOM: Final = b"\xef\xbb\xbf"
_QUOTE: Final = 0x22
_BACKSLASH: Final = 0x5C
_DELIMITER: Final = 0x3B
_LF: Final = 0x0A
_CR: Final = 0x0D

# What a header begins with, where nothing else says that it does.
_NAME: Final = b"//timestamp"
_NAMES: Final = _NAME + b";tracking_code"
_LAST_NAME: Final = b"description"

_TIMESTAMP: Final = re.compile(rb"(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?", re.ASCII)
_RECORD_START: Final = re.compile(rb'"?\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d', re.ASCII)
_PLAUSIBLE: Final = "0000-00-00 00:00:00"
_EPOCH: Final = datetime(1970, 1, 1)
_MICROSECOND: Final = timedelta(microseconds=1)


class Indexed(NamedTuple):
    """What ``index`` found; the C kernel returns the same as a plain tuple."""

    status: int
    position: int  # where to go on
    dialect: int  # the dialect that last worked
    records: int
    blank_lines: int
    # uint32, records x (width + 1): the start with the dialect in its top bit, then the end of each field.
    fields: bytes
    timestamps: bytes  # int64, records: microseconds since 1970
    rejects: list[tuple[int, int, int, int]]  # records before it, start, end, reason
    record_bytes: int  # line ends among them
    blank_bytes: int


class _Reading(NamedTuple):
    fault: int  # 0, a reason, or _NEEDS_MORE
    end: int  # past the line end
    ends: list[int]
    choices: list[bool]  # one for each ambiguous quote met: does it close the field?
    forked: bool  # a \" was met inside quotes: other readings differ from here on
    doubled: bool  # a \"" was read as one quote: what only RFC 4180 writes


class _Window(NamedTuple):
    """The bytes one record may take, and what it means to run out of them."""

    data: bytes
    end: int
    width: int
    timestamp: int
    payload: int
    at_end: int  # 0: the file ends here, else the fault


def index(
    data: Buffer,
    start: int,
    stop: int,
    final: bool,
    width: int,
    timestamp: int,
    payload: int,
    auto: bool,
    dialect: int,
    max_record_bytes: int,
) -> Indexed:
    """Index the records of ``data`` that start in ``start:stop``; the last one may end past ``stop``.

    It ends before ``stop`` where ``MOST_REJECTS`` were found.

    ``width`` is the number of fields, ``timestamp`` and ``payload`` are field numbers (payload -1: none).
    ``final`` says that the member ends where ``data`` does.
    """
    data = bytes(data)
    position = start
    records = blank_lines = record_bytes = blank_bytes = 0
    fields = array("I")
    timestamps = array("q")
    rejects: list[tuple[int, int, int, int]] = []
    status = DONE
    while position < stop and position < len(data):
        end = _blank_line(data, position, final)
        if end == _NEEDS_MORE:
            status = MORE
            break
        if end:
            blank_lines += 1
            blank_bytes += end - position
            position = end
            continue
        size = len(data) - position
        limited = size > max_record_bytes
        window = _Window(
            data,
            position + max_record_bytes if limited else len(data),
            width,
            timestamp,
            payload,
            TOO_LONG if limited else 0 if final else _NEEDS_MORE,
        )
        reading, reason, chosen = _resolve(window, position, auto, dialect)
        if reason == _NEEDS_MORE:
            status = MORE
            break
        if reason:
            if _is_header(window, position):
                status = HEADER
                break
            known = reason in (BAD_UTF8, BAD_TIMESTAMP)
            end = _own_end(window, position, reading) if known else _resynchronise(window, position)
            if end < 0:
                status = MORE if end == _NEEDS_MORE else LIMIT
                break
            if end < window.end and data[end - 1] != _LF:
                # A header follows without a line end before it: the record ends there, and may be good so far.
                reading, reason, chosen = _resolve(window._replace(end=end, at_end=0), position, auto, dialect)
            if reason:
                rejects.append((records, position, end, reason))
                position = end
                if len(rejects) == MOST_REJECTS:
                    break
                continue
        dialect = chosen
        fields.append(position | dialect << 31)
        fields.extend(reading.ends)
        moment = parse_timestamp(_field(data, position, reading.ends, timestamp))
        timestamps.append(moment or 0)
        records += 1
        record_bytes += reading.end - position
        position = reading.end
    return Indexed(
        status,
        position,
        dialect,
        records,
        blank_lines,
        fields.tobytes(),
        timestamps.tobytes(),
        rejects,
        record_bytes,
        blank_bytes,
    )


def _blank_line(data: bytes, position: int, final: bool) -> int:
    """The end of the blank line at ``position``, 0 if there is none."""
    if data[position] == _LF:
        return position + 1
    if data[position] != _CR:
        return 0
    if position + 1 == len(data):
        return position + 1 if final else _NEEDS_MORE
    return position + 2 if data[position + 1] == _LF else 0


def _resolve(window: _Window, start: int, auto: bool, dialect: int) -> tuple[_Reading, int, int]:
    """The first reading that breaks no rule: it, 0 and its dialect; or the one in force, and its fault."""
    first = _read(window, start, dialect, None)
    reason = first.fault or _judge(window, start, first)
    if reason == _NEEDS_MORE:
        return first, reason, dialect
    if not reason:
        return first, 0 if _is_utf8(window.data[start : first.end]) else BAD_UTF8, dialect
    if not (auto and first.forked):
        # Without a \" inside quotes every reading is this one. A header is its caller's to find.
        return first, _more_for_header(window, start) or reason, dialect
    other = _read(window, start, 1 - dialect, None)
    if other.fault == _NEEDS_MORE:
        return other, _NEEDS_MORE, dialect
    if _proves_itself(window, start, other, 1 - dialect):
        # Where every \" closed its field, PHP may have written the record just as well: no reason to change sides.
        return other, 0, RFC4180 if dialect == PHP and other.doubled else PHP
    choices: list[bool] = []
    for _ in range(_READINGS):
        reading = _read(window, start, PHP, choices)
        if reading.fault == _NEEDS_MORE:
            return reading, _NEEDS_MORE, dialect
        if _proves_itself(window, start, reading, PHP):
            return reading, 0, PHP
        # Closing was tried first: turn the last quote that closed into a literal one.
        choices = reading.choices
        while choices and not choices[-1]:
            choices.pop()
        if not choices:
            break
        choices[-1] = False
    return first, _more_for_header(window, start) or reason, dialect


def _read(window: _Window, start: int, dialect: int, choices: list[bool] | None) -> _Reading:
    """Read one record. ``choices`` decide its ambiguous quotes, closing beyond them; None: all are literal."""
    data, end, width = window.data, window.end, window.width
    ends: list[int] = []
    made: list[bool] = []
    forked = doubled = False
    at = start

    def reading(fault: int, past: int = 0) -> _Reading:
        return _Reading(fault, past, ends, made, forked, doubled)

    while True:
        if len(ends) == width:
            return reading(FIELD_COUNT)
        if at < end and data[at] == _QUOTE:
            at += 1
            while True:  # inside quotes
                at = data.find(b'"', at, end)
                if at < 0:
                    return reading(window.at_end or UNCLOSED_QUOTE)
                follows = _follows(window, at + 1)
                if data[at - 1] == _BACKSLASH:
                    forked = True
                    if dialect == PHP:
                        if follows == _NEEDS_MORE:
                            return reading(_NEEDS_MORE)
                        last = len(ends) == width - 1
                        closes = False
                        if choices is not None and follows == (_LF if last else _DELIMITER):
                            closes = choices[len(made)] if len(made) < len(choices) else len(made) < _CHOICES
                            if len(made) < _CHOICES:
                                made.append(closes)
                        at += 1
                        if closes:
                            break
                        continue
                    doubled |= follows == _QUOTE
                if follows == _NEEDS_MORE:
                    return reading(_NEEDS_MORE)
                at += 1
                if follows == _QUOTE:
                    at += 1
                    continue
                if follows == 0:
                    return reading(TEXT_AFTER_QUOTE)
                if follows == TOO_LONG:
                    return reading(TOO_LONG)
                break
        while at < end and data[at] != _DELIMITER and data[at] != _LF:
            at += 1
        if at == end and window.at_end:
            return reading(window.at_end)
        ends.append(at)
        if at == end or data[at] == _LF:
            past = min(at + 1, end)
            return reading(0 if len(ends) == width else FIELD_COUNT, past)
        at += 1


def _follows(window: _Window, at: int) -> int:
    """What stands behind a quote: a quote, a delimiter, a line end (or the file's), 0 for text; or a fault."""
    data, end = window.data, window.end
    if at == end:
        return window.at_end or _LF
    if data[at] == _CR:
        if at + 1 == end:
            return window.at_end or _LF
        return _LF if data[at + 1] == _LF else 0
    return data[at] if data[at] in (_QUOTE, _DELIMITER, _LF) else 0


def _field(data: bytes, start: int, ends: list[int], field: int) -> bytes:
    """The bytes between a field's delimiters or, where it is quoted, between its quotes."""
    first = ends[field - 1] + 1 if field else start
    last = ends[field]
    if field == len(ends) - 1 and last > first and data[last - 1] == _CR:
        last -= 1
    if last > first and data[first] == _QUOTE:
        return data[first + 1 : last - 1]
    return data[first:last]


def _judge(window: _Window, start: int, reading: _Reading) -> int:
    if parse_timestamp(_field(window.data, start, reading.ends, window.timestamp)) is None:
        return BAD_TIMESTAMP
    # The six names of the older generation fill up a record of eight that was cut in its third field.
    last = window.data[reading.ends[-2] + 1 : reading.ends[-1]] if window.width > 1 else b""
    fills = last.removesuffix(b"\r") == _LAST_NAME and _own_end(window, start, reading) < reading.end
    return FIELD_COUNT if fills else 0


def _own_end(window: _Window, start: int, reading: _Reading) -> int:
    """Where the record ends: where a header begins in one of its bare fields, if one does."""
    data, at = window.data, start
    while (at := _find_header(data, at, reading.end)) >= 0:
        name_end = at + len(_NAME)
        if name_end in reading.ends:
            field = reading.ends.index(name_end)
            if data[reading.ends[field - 1] + 1 if field else start] != _QUOTE:
                return _before_mark(data, start, at)
    return reading.end


def _find_header(data: bytes, start: int, end: int) -> int:
    """The first header in a line but not at its beginning, -1 for none."""
    while (start := data.find(_NAMES, start + 1, end)) >= 0:
        past = start + len(_NAMES)
        if past == end or data[past] in (_DELIMITER, _CR, _LF):
            break
    return start


def _before_mark(data: bytes, start: int, at: int) -> int:
    return at - len(_BOM) if at - start > len(_BOM) and data[at - len(_BOM) : at] == _BOM else at


def _proves_itself(window: _Window, start: int, reading: _Reading, dialect: int) -> bool:
    """Whether a reading other than the one in force may be taken: no rule broken, and the payload is JSON."""
    if reading.fault or _judge(window, start, reading):
        return False
    if not _is_utf8(window.data[start : reading.end]):
        return False
    if window.payload < 0:
        return True
    payload = _field(window.data, start, reading.ends, window.payload)
    if window.data[(reading.ends[window.payload - 1] + 1) if window.payload else start] == _QUOTE:
        payload = unescape(payload, dialect)
    return not payload or is_json(payload)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _first_line(window: _Window, start: int) -> bytes | None:
    """The line at ``start`` without its end; None where more bytes are needed to know it."""
    limit = min(window.end, start + _HEADER_BYTES)
    newline = window.data.find(b"\n", start, limit)
    if newline < 0:
        if limit == window.end and window.at_end == _NEEDS_MORE:
            return None
        newline = limit
    return window.data[start:newline]


def _more_for_header(window: _Window, start: int) -> int:
    return _NEEDS_MORE if _first_line(window, start) is None else 0


def _is_header(window: _Window, start: int) -> bool:
    """Whether the line names the columns; a byte order mark counts, too: it is never part of a record."""
    line = _first_line(window, start) or b""
    if line.startswith(_BOM):
        return True
    # The first record may follow without a line end; and what a header follows that way is no header.
    record = _RECORD_START.search(line)
    names = [_bare_name(name) for name in line[: record.start() if record else len(line)].split(b";")]
    return b"timestamp" in names and b"tracking_code" in names


def _bare_name(name: bytes) -> bytes:
    name = name.removesuffix(b"\r").removeprefix(b"//")
    if len(name) >= 2 and name[:1] == b'"' == name[-1:]:
        name = name[1:-1]
    return name.removeprefix(b"//")


def _resynchronise(window: _Window, start: int) -> int:
    """Where the next record or header plausibly starts, _NEEDS_MORE, or -2 for not within the limit."""
    data, at = window.data, start
    while True:
        newline = data.find(b"\n", at, window.end)
        if newline >= 0 or window.at_end != _NEEDS_MORE:
            header = _find_header(data, at, newline if newline >= 0 else window.end)
            if header >= 0:
                return _before_mark(data, start, header)
        if newline < 0:
            break
        at = newline + 1
        plausible = _starts_record(window, at)
        if plausible is None:
            return _NEEDS_MORE
        if plausible:
            return at
    if window.at_end == TOO_LONG:
        return -2
    return window.at_end or window.end


def _starts_record(window: _Window, at: int) -> bool | None:
    """Whether a line starts like a record or a header; None where more bytes are needed to know."""
    data, end = window.data, window.end
    line = data[at : min(end, at + 13)]
    out_of_bytes: bool | None = None if window.at_end == _NEEDS_MORE else False
    for start in (_BOM, b"//", b'"//', b"timestamp;"):
        if line.startswith(start):
            return True
        if len(line) < len(start) and start.startswith(line) and at + len(line) == end:
            return out_of_bytes
    for _ in range(window.timestamp):
        while at < end and data[at] != _DELIMITER and data[at] != _LF:
            at += 1
        if at == end:
            return out_of_bytes
        if data[at] == _LF:
            return False
        at += 1
    if at < end and data[at] == _QUOTE:
        at += 1
    for shape in _PLAUSIBLE:
        if at == end:
            return out_of_bytes
        byte = data[at]
        if shape == "0":
            fits = 0x30 <= byte <= 0x39
        elif shape == " ":
            fits = byte in b" T"
        else:
            fits = byte == ord(shape)
        if not fits:
            return False
        at += 1
    return True


def parse_timestamp(text: Buffer) -> int | None:
    """Microseconds since 1970 of ``2021-04-20 13:01:01.123456``; None if it is not a time without a zone."""
    match = _TIMESTAMP.fullmatch(bytes(text))
    if match is None:
        return None
    year, month, day, hour, minute, second = map(int, match.groups()[:6])
    microsecond = int((match[7] or b"").ljust(6, b"0"))
    try:
        moment = datetime(year, month, day, hour, minute, second, microsecond)
    except ValueError:
        return None
    return (moment - _EPOCH) // _MICROSECOND


def unescape(field: Buffer, dialect: int) -> bytes:
    """The value of a quoted field's inside: each doubled quote once, all else as it stands."""
    field = bytes(field)
    if dialect == RFC4180:
        return field.replace(b'""', b'"')
    # A quote behind a backslash was written once, whatever follows it.
    return re.sub(rb'(\\")|""', lambda match: match[1] or b'"', field)


_JSON_TOKEN: Final = re.compile(
    rb"[ \t\n\r]*(?:"
    rb"(?P<string>\"(?:[^\x00-\x1f\"\\]|\\[\"\\/bfnrt]|\\u[0-9a-fA-F]{4})*\")"
    rb"|(?P<scalar>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null)"
    rb"|(?P<mark>[\[\]{}:,]))"
)
_JSON_DEPTH: Final = 1024


def is_json(text: Buffer) -> bool:
    """Whether the bytes are one JSON text (RFC 8259), nested at most 1,024 deep. UTF-8 is not checked here."""
    text = bytes(text).rstrip(b" \t\n\r")
    stack: list[bytes] = []
    at = 0
    # What may come: a value, a value or "]", a key or "}", a key, ":", or "," and the closing mark.
    expected = "value"
    while at < len(text):
        match = _JSON_TOKEN.match(text, at)
        if match is None or expected == "nothing":
            return False
        at = match.end()
        mark = match["mark"]
        if expected in ("key", "key or end") and match["string"] is not None:
            expected = "colon"
        elif expected == "colon" and mark == b":":
            expected = "value"
        elif expected in ("value", "value or end") and mark in (b"[", b"{"):
            if len(stack) == _JSON_DEPTH:
                return False
            stack.append(mark)
            expected = "value or end" if mark == b"[" else "key or end"
        elif expected in ("value", "value or end") and mark is None:
            expected = "comma" if stack else "nothing"
        elif expected == "comma" and mark == b",":
            expected = "value" if stack[-1] == b"[" else "key"
        elif (mark == b"]" and stack and stack[-1] == b"[" and expected in ("comma", "value or end")) or (
            mark == b"}" and stack and stack[-1] == b"{" and expected in ("comma", "key or end")
        ):
            stack.pop()
            expected = "comma" if stack else "nothing"
        else:
            return False
    return expected == "nothing"


def count_lines(data: Buffer, start: int, stop: int) -> int:
    """How many line feeds stand in ``data[start:stop]``."""
    return bytes(data[start:stop]).count(b"\n")


def records_in(fields: Buffer, records: int, width: int, size: int) -> tuple[int, int]:
    """How many of the first ``records`` it takes to have ``size`` bytes of log, all if they have less; their bytes.

    A record's bytes are those from its start to its line end, whose last byte counts.
    """
    table = memoryview(fields).cast("B").cast("I")
    count = total = 0
    for at in range(0, records * (width + 1), width + 1):
        if total >= size:
            break
        total += table[at + width] + 1 - (table[at] & 0x7FFFFFFF)
        count += 1
    return count, total


def _values(runs: list[Run]) -> list[bytes | None]:
    """The values of one column, None where a run has no such column: such a run needs no table."""
    values: list[bytes | None] = []
    for data, fields, records, width, field in runs:
        if field < 0:
            values.extend([None] * records)
            continue
        data = bytes(data)
        table = memoryview(fields).cast("B").cast("I")
        for at in range(0, records * (width + 1), width + 1):
            start = table[at] & 0x7FFFFFFF
            ends = table[at + 1 : at + 1 + width].tolist()
            inside = _field(data, start, ends, field)
            first = ends[field - 1] + 1 if field else start
            if first < ends[field] and data[first] == _QUOTE:
                inside = unescape(inside, table[at] >> 31)
            values.append(inside)
    return values


def _bitmap(values: list[bytes | None]) -> tuple[bytes | None, int]:
    """Arrow's validity bitmap and the number of nulls; no bitmap where there are none."""
    nulls = values.count(None)
    if not nulls:
        return None, 0
    bits = bytearray((len(values) + 7) // 8)
    for i, value in enumerate(values):
        if value is not None:
            bits[i // 8] |= 1 << i % 8
    return bytes(bits), nulls


def strings(
    runs: list[Run], empty_is_null: bool, allocate: Allocate = bytearray
) -> tuple[bytes, Any, int, bytes | None, int]:
    """The buffers of a ``string`` column: int32 offsets, data (from ``allocate``), bytes used, validity, nulls."""
    values = [None if empty_is_null and not value else value for value in _values(runs)]
    offsets = array("i", [0])
    for value in values:
        offsets.append(offsets[-1] + len(value or b""))
    data = b"".join(value or b"" for value in values)
    return offsets.tobytes(), _allocated(data, allocate), len(data), *_bitmap(values)


def _allocated(data: bytes | bytearray, allocate: Allocate) -> Any:
    buffer = allocate(len(data))
    memoryview(buffer).cast("B")[: len(data)] = data
    return buffer


def views(
    runs: list[Run], empty_is_null: bool, allocate: Allocate = bytearray
) -> tuple[bytes, Any, int, bytes | None, int]:
    """The buffers of a ``string_view`` column: views, unescaped values (``allocate``), bytes used, validity, nulls.
    Data buffer i of the column is run i's block, the last one holds the unescaped values.
    """
    out = bytearray()
    unescaped = bytearray()
    values = [None if empty_is_null and not value else value for value in _values(runs)]
    at = 0
    for number, (data, fields, records, width, field) in enumerate(runs):
        data = bytes(data) if field >= 0 else b""
        table = memoryview(fields).cast("B").cast("I")
        for record in range(records):
            value = values[at]
            at += 1
            if value is None or len(value) <= 12:
                value = value or b""
                out += len(value).to_bytes(4, "little") + value.ljust(12, b"\0")
                continue
            row = record * (width + 1)
            start = table[row] & 0x7FFFFFFF
            first = table[row + field] + 1 if field else start
            first += data[first] == _QUOTE
            buffer = number
            if _field(data, start, table[row + 1 : row + 1 + width].tolist(), field) != value:
                buffer, first = len(runs), len(unescaped)
                unescaped += value
            out += len(value).to_bytes(4, "little") + value[:4]
            out += buffer.to_bytes(4, "little") + first.to_bytes(4, "little")
    return bytes(out), _allocated(unescaped, allocate), len(unescaped), *_bitmap(values)


class Field:
    """A field as it stands in the log, and where that is."""

    __slots__ = ("_decoded", "_dialect", "_member", "_record", "raw")

    def __init__(self, raw: bytes, dialect: int, member: str, record: int) -> None:
        self.raw = raw
        self._dialect = dialect
        self._member = member
        self._record = record
        self._decoded: Any = None


def events(
    run: Run,
    columns: tuple[int, ...],
    timestamps: Buffer,
    moment: Callable[[int], Any],
    statuses: dict[str, Any],
    event: Callable[..., Any],
    payload: Callable[..., Any],
    member: str,
    first_record: int,
    rejects: list[int],
) -> list[Any]:
    """The records as ``event`` tuples; equal values may be one object.

    ``columns`` are the fields' numbers in the order of Event, -1 for none. ``moment`` makes a datetime of microseconds,
    ``payload`` a subclass of Field. ``rejects`` say how many records come before each: they count in the numbering.
    """
    data, fields, records, width, _ = run
    values = [_values([(data, fields, records, width, column)]) for column in columns[:7]]
    texts = [[None if value is None else value.decode() for value in column] for column in values]
    raws = _raws((data, fields, records, width, columns[7]))
    starts = memoryview(fields).cast("B").cast("I")[:: width + 1]
    made = []
    passed = 0
    for i, time in enumerate(memoryview(timestamps).cast("B").cast("q")[:records]):
        while passed < len(rejects) and rejects[passed] <= i:
            passed += 1
        raw = raws[i]
        rest = [column[i] for column in texts[1:]]
        rest[3] = None if rest[3] is None else statuses.get(rest[3], rest[3])
        last = None if raw is None else payload(raw, starts[i] >> 31, member, first_record + i + passed)
        made.append(event(moment(time), *rest, last))
    return made


def _raws(run: Run) -> list[bytes | None]:
    """The fields of one column as they stand in the log, quotes and all; None where they are empty."""
    data, fields, records, width, field = run
    if field < 0:
        return [None] * records
    table = memoryview(fields).cast("B").cast("I")
    found: list[bytes | None] = []
    for at in range(0, records * (width + 1), width + 1):
        first = table[at + field] + 1 if field else table[at] & 0x7FFFFFFF
        last = table[at + field + 1]
        if field == width - 1 and last > first and data[last - 1] == _CR:
            last -= 1
        raw = bytes(data[first:last])
        found.append(None if raw in (b"", b'""') else raw)
    return found


def validity_of(codes: Buffer) -> tuple[bytes | None, int]:
    """The validity of int32 codes of which -1 stands for a null, and how many do; None if none does."""
    return _bitmap([None if code < 0 else b"" for code in memoryview(codes).cast("B").cast("i")])


class Dictionary:
    """The distinct values of a column in the order they were met; it only grows."""

    def __init__(self) -> None:
        self._codes: dict[bytes, int] = {}
        self.size = 0  # bytes of all values
        self.total = 0  # the same, each value counted as often as it was encoded

    def __len__(self) -> int:
        return len(self._codes)

    def strings(self) -> tuple[Buffer, Buffer]:
        """The values as the buffers of a string array, int32 offsets and data; code i stands for value i.

        In C they are views, not copies, and stay as they are when the dictionary grows.
        """
        return array("i", accumulate(map(len, self._codes), initial=0)).tobytes(), b"".join(self._codes)

    def take(self) -> tuple[Buffer, Buffer]:
        """The same, handed over: none are left."""
        taken = self.strings()
        self._codes, self.size, self.total = {}, 0, 0
        return taken

    def encode(self, runs: list[Run], empty_is_null: bool) -> bytes:
        """The int32 codes of a column's values, -1 for a null. OverflowError beyond 2 GiB of distinct values."""
        codes = array("i")
        for value in _values(runs):
            if value is None or (empty_is_null and not value):
                codes.append(-1)
                continue
            if value not in self._codes:
                if self.size + len(value) > _INT32_MAX:
                    raise OverflowError("Dictionary: more than 2 GiB of values")
                self._codes[value] = len(self._codes)
                self.size += len(value)
            self.total += len(value)
            codes.append(self._codes[value])
        return codes.tobytes()
