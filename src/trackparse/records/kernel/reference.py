"""The kernel in plain Python: the executable specification, and what runs where the C extension is missing.

Pure functions over buffers: they open nothing, keep nothing, and never look past the bytes they were given.
A verdict on a record never depends on bytes that were not there: where more bytes could change it, MORE is said.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Generator
from datetime import datetime, timedelta
from itertools import accumulate, count
from typing import Any, Final, NamedTuple, cast

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
HEADER: Final = 2  # a line that may be a header stands at `position`
LIMIT: Final = 3  # no end in sight within max_record_bytes
MOST_REJECTS: Final = 4096  # of one call: each is some objects, whatever its size

UNCLOSED_QUOTE: Final = 1
TEXT_AFTER_QUOTE: Final = 2
FIELD_COUNT: Final = 3
BAD_UTF8: Final = 4
BAD_TIMESTAMP: Final = 5
TOO_LONG: Final = 6
BAD_HEADER: Final = 7  # said by the caller: it looks at headers

_NEEDS_MORE: Final = -1
_INT32_MAX: Final = 0x7FFFFFFF
# What keeps the work per byte bounded. How many readings of one record are weighed, and in logs of how many columns:
_READINGS: Final = 64
_SANE_WIDTH: Final = 64
# Every byte of the log pays for so many that are read again.
_CREDIT_PER_BYTE: Final = 64
# A header longer than this is not one.
_HEADER_BYTES: Final = 1 << 16
# How far the timestamp of a record is looked for, and how many steps that may take: where fields before it may close in
# more than one place, each is tried.
_AHEAD_BYTES: Final = 1 << 14
_AHEAD_STEPS: Final = 128

_BOM: Final = b"\xef\xbb\xbf"
_QUOTE: Final = 0x22
_BACKSLASH: Final = 0x5C
_DELIMITER: Final = 0x3B
_LF: Final = 0x0A
_CR: Final = 0x0D

# What a header begins with that stands in the middle of a line.
_HEADER_START: Final = re.compile(
    rb'(?:"//[ \t]*timestamp"|//[ \t]*(?:"timestamp"|timestamp))[ \t]*(;)'
    rb'[ \t]*(?:"(?://)?tracking_code"|(?://)?tracking_code)[ \t]*(?:[;\r\n]|\Z)'
)
_LAST_NAME: Final = b"description"
# Blanks, quotes and slashes: more than may stand around a name.
_AROUND_NAME: Final = b' \t\n\r\v\f"/'

_TIMESTAMP: Final = re.compile(rb"(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?", re.ASCII)
_RECORD_START: Final = re.compile(rb'"?\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d', re.ASCII)
_PLAUSIBLE: Final = "0000-00-00 00:00:00"
_EPOCH: Final = datetime(1970, 1, 1)
_MICROSECOND: Final = timedelta(microseconds=1)


class Indexed(NamedTuple):
    """What ``index`` found; the C kernel returns the same as a plain tuple."""

    status: int
    position: int  # where to go on
    dialect: int  # the dialect in force from there on
    records: int
    blank_lines: int
    # uint32, records x (width + 1): the start with the dialect in its top bit, then the end of each field.
    fields: bytes
    timestamps: bytes  # int64, records: microseconds since 1970
    rejects: list[tuple[int, int, int, int, int]]  # records and line feeds before it, start, end, reason
    record_bytes: int  # line ends among them
    blank_bytes: int
    mark_bytes: int  # of byte order marks and separator lines
    lines: int  # line feeds in all that was indexed
    unresolved: int  # records with readings that were not weighed
    credit: int  # bytes that may be read again


class _Reading(NamedTuple):
    fault: int  # 0, a reason, or _NEEDS_MORE
    end: int  # past the line end
    reached: int  # where it ended, or where the fault was seen
    ends: list[int]
    dialect: int
    choices: list[bool]  # one for each \" that may close its field: does it?
    forked: bool  # a \" was met inside quotes: other readings differ from here on
    settled: bool  # no other reading of these bytes is whole
    sided: bool  # a \" was read as the other dialect would not read it
    bare_quote: bool  # a quote stands in a bare field


class _Weighed(NamedTuple):
    reading: _Reading
    reason: int  # 0, a reason, or _NEEDS_MORE
    read: int  # bytes of all readings
    unresolved: bool


class _Window(NamedTuple):
    """The bytes that one record may take, and what it means to run out of them."""

    data: bytes
    end: int
    at_end: int  # 0: the file ends here, else the fault
    final: bool
    width: int
    timestamp: int
    payload: int
    names: list[bytes]  # of the known columns


def index(
    data: Buffer,
    start: int,
    stop: int,
    final: bool,
    width: int,
    timestamp: int,
    payload: int,
    names: bytes,
    auto: bool,
    dialect: int,
    max_record_bytes: int,
    credit: int,
) -> Indexed:
    """Index the records of ``data`` that start in ``start:stop``; the last one may end past ``stop``.

    It ends before ``stop`` where ``MOST_REJECTS`` were found.

    ``width`` is the number of fields, ``timestamp`` and ``payload`` are field numbers (payload -1: there is none).
    ``names`` are those of the known columns, with ``;`` between them: a line with the first two, or with names for
    all but two of its fields, may be a header.
    ``final`` says that the member ends where ``data`` does. ``dialect`` and ``credit`` are what the stretch before this
    one ended with.
    """
    data = bytes(data)
    position = start
    records = blank_lines = record_bytes = blank_bytes = mark_bytes = unresolved = 0
    fields = array("I")
    timestamps = array("q")
    rejects: list[tuple[int, int, int, int, int]] = []
    most = credit_limit(max_record_bytes)
    status = DONE
    while position < stop and position < len(data):
        end = _blank_line(data, position, final, max_record_bytes)
        if end == _NEEDS_MORE:
            status = MORE
            break
        if end:
            blank_lines += 1
            blank_bytes += end - position
            position = end
            continue
        mark = _mark(data, position, final)
        if mark == _NEEDS_MORE:
            status = MORE
            break
        if mark:
            mark_bytes += mark
            position += mark
            continue
        limited = len(data) - position > max_record_bytes
        window = _Window(
            data,
            position + max_record_bytes if limited else len(data),
            TOO_LONG if limited else 0 if final else _NEEDS_MORE,
            final,
            width,
            timestamp,
            payload,
            names.split(b";"),
        )
        weighed = _resolve(window, position, auto, dialect, credit)
        if weighed.reason == _NEEDS_MORE:
            status = MORE
            break
        reading, spent = weighed.reading, weighed.read
        if weighed.reason:
            line = _first_line(window, position) or b""
            if is_separator_line(line):
                size = len(line) + (data[position + len(line) : position + len(line) + 1] == b"\n")
                mark_bytes += size
                position += size
                continue
            if credit > 0 and _names_columns(line, window):
                status = HEADER
                break
            known = weighed.reason in (BAD_UTF8, BAD_TIMESTAMP)
            end = _own_end(window, position, reading) if known else _resynchronise(window, position)
            if end < 0:
                status = MORE if end == _NEEDS_MORE else LIMIT
                break
            if end < window.end and data[end - 1] != _LF:
                # A header follows without a line end before it: the record ends there, and may be good so far.
                weighed = _resolve(window._replace(end=end, at_end=0), position, auto, dialect, credit)
                reading = weighed.reading
                spent += weighed.read
            if weighed.reason:
                unresolved += weighed.unresolved
                credit = min(most, credit - spent + _CREDIT_PER_BYTE * (end - position))
                rejects.append((records, count_lines(data, start, position), position, end, weighed.reason))
                position = end
                if len(rejects) == MOST_REJECTS:
                    break
                continue
        unresolved += weighed.unresolved
        size = reading.end - position
        # The reading that was taken is free: the scan would have read those bytes as well.
        credit = min(most, credit - (spent - size) + _CREDIT_PER_BYTE * size)
        if reading.sided:
            dialect = reading.dialect
        fields.append(position | reading.dialect << 31)
        fields.extend(reading.ends)
        moment = parse_timestamp(_field(data, position, reading.ends, timestamp))
        timestamps.append(moment or 0)
        records += 1
        record_bytes += size
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
        mark_bytes,
        count_lines(data, start, position),
        unresolved,
        credit,
    )


def credit_limit(max_record_bytes: int) -> int:
    """The credit that a log starts with, and the most that it ever has: bytes that may be read again."""
    return 2 * max_record_bytes


def _blank_line(data: bytes, position: int, final: bool, max_record_bytes: int) -> int:
    """The end of the blank line at ``position``, 0 if there is none."""
    at, end = position, min(len(data), position + max_record_bytes)
    while at < end and data[at] == _CR:
        at += 1
    if at == position + max_record_bytes:
        return 0
    if at == len(data):
        return at if final else _NEEDS_MORE
    return at + 1 if data[at] == _LF else 0


def _mark(data: bytes, position: int, final: bool) -> int:
    """The size of the byte order mark at ``position``, 0 if there is none."""
    there = data[position : position + len(_BOM)]
    if there == _BOM:
        return len(_BOM)
    return _NEEDS_MORE if _BOM.startswith(there) and not final else 0


def _resolve(window: _Window, start: int, auto: bool, dialect: int, credit: int) -> _Weighed:
    """Weigh the readings of one record: the best that breaks no rule, or else the one whose fault is told.

    This is the rule of the writer. Readings come in the order of the last criterion, so that the first one to meet all
    others wins, and among equals the first.
    """
    best: tuple[int, _Reading] | None = None  # of those that break no rule
    whole: tuple[int, _Reading, int] | None = None  # of those that end where a record would, with their fault
    furthest: tuple[int, _Reading, int] | None = None  # of the others
    read = 0
    unresolved = False
    # Where these are read once, the literal reading of each \" is taken.
    bounded = window.width > _SANE_WIDTH or credit <= 0
    fixed = not auto and dialect == RFC4180
    if credit <= 0:
        # Nothing may be read twice: the record ends with its line, or is bad.
        window = _end_with_line(window, start)
    readings = _readings(window, start, auto, dialect, bounded)
    reading, cut = next(readings)
    for number in count():
        if reading.fault == _NEEDS_MORE:
            return _Weighed(reading, _NEEDS_MORE, 0, False)
        read += reading.reached - start
        fault = reading.fault or _judge(window, start, reading)
        # The first one tells: without a \" inside quotes, or where a cheap test says so, there is no other.
        settled = fixed or not reading.forked or (reading.settled and not number)
        only = settled or bounded
        unresolved |= cut or (bounded and not settled)
        if only and not fault:
            return _Weighed(reading, 0, read, unresolved)
        if not fault or fault in (BAD_TIMESTAMP, BAD_UTF8):
            misses = _misses(window, start, reading)
            if misses == _NEEDS_MORE:
                return _Weighed(reading, _NEEDS_MORE, 0, False)
            if fault:
                if whole is None or misses < whole[0]:
                    whole = misses, reading, fault
            elif best is None or misses < best[0]:
                best = misses, reading
                if not misses:
                    break
        elif furthest is None or len(reading.ends) > furthest[0]:
            furthest = len(reading.ends), reading, fault
        if only:
            break
        try:
            reading, cut = readings.send(read > credit)
        except StopIteration:
            break
    if best:
        return _Weighed(best[1], 0, read, unresolved)
    _, told, reason = cast("tuple[int, _Reading, int]", whole or furthest)
    if _first_line(window, start) is None:
        # It may be a header: only the whole line tells.
        reason = _NEEDS_MORE
    return _Weighed(told, reason, read, unresolved)


def _end_with_line(window: _Window, start: int) -> _Window:
    newline = window.data.find(b"\n", start, window.end)
    return window._replace(end=newline + 1, at_end=UNCLOSED_QUOTE) if newline >= 0 else window


def _readings(
    window: _Window, start: int, auto: bool, dialect: int, bounded: bool
) -> Generator[tuple[_Reading, bool], bool, None]:
    """The readings in the order of the last criterion: those of the dialect in force first, and where a \" may close
    its field, closing first. With the last ones comes whether others were left out: when there are too many, or when
    True is sent, only those are read that need no choice."""
    if bounded or not (auto or dialect == PHP):
        yield _read(window, start, dialect, None), False
        return
    cut = False
    if dialect == RFC4180:
        yield _read(window, start, RFC4180, None), False
    choices: list[bool] = []
    for step in count(1):
        reading = _read(window, start, PHP, choices)
        enough = yield reading, False
        choices = reading.choices
        # Turn the last quote that closed into a literal one.
        while choices and not choices[-1]:
            choices.pop()
        if not choices:
            break
        choices[-1] = False
        if enough or step == _READINGS - 2:
            cut = True
            yield _read(window, start, PHP, None), cut
            break
    if auto and dialect == PHP:
        yield _read(window, start, RFC4180, None), cut


def _read(window: _Window, start: int, dialect: int, choices: list[bool] | None) -> _Reading:
    """Read one record. ``choices`` say which \" close their field where they may; beyond them all do. None: none do."""
    data, end, width = window.data, window.end, window.width
    ends: list[int] = []
    made: list[bool] = []
    forked = sided = bare_quote = False
    settled = True
    at = start

    def reading(fault: int, past: int = 0) -> _Reading:
        return _Reading(fault, past, past or at, ends, dialect, made, forked, settled, sided, bare_quote)

    while True:
        if len(ends) == width:
            return reading(FIELD_COUNT)
        if at < end and data[at] == _QUOTE:
            at += 1
            while True:  # inside quotes
                quote = data.find(b'"', at, end)
                if quote < 0:
                    return reading(window.at_end or UNCLOSED_QUOTE)
                at = quote
                follows = _follows(window, at + 1)
                if follows == _NEEDS_MORE:
                    return reading(_NEEDS_MORE)
                if data[at - 1] == _BACKSLASH:
                    settled = settled and _settles(window, at, dialect, forked)
                    forked = True
                    if dialect == PHP:
                        closes = False
                        if choices is not None and follows == (_LF if len(ends) == width - 1 else _DELIMITER):
                            closes = choices[len(made)] if len(made) < len(choices) else True
                            made.append(closes)
                        at += 1
                        if closes:
                            break
                        sided = True
                        continue
                    sided |= follows == _QUOTE
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
            bare_quote |= data[at] == _QUOTE
            at += 1
        if at == end and window.at_end:
            return reading(window.at_end)
        ends.append(at)
        if at == end or data[at] == _LF:
            past = min(at + 1, end)
            return reading(0 if len(ends) == width else FIELD_COUNT, past)
        at += 1


def _settles(window: _Window, at: int, dialect: int, forked: bool) -> bool:
    """Whether the quote at ``at``, behind a backslash and inside quotes, leaves no other reading: that of the other
    dialect breaks at the first such quote, and none of them may close its field. ``forked``: it is not the first."""
    after = window.data[at + 1 : min(at + 3, window.end)]
    if dialect == PHP:
        return bool(after) and after[0] not in b";\r\n" and (forked or after[0] != _QUOTE)
    return forked or (len(after) == 2 and after[0] == _QUOTE and after[1] not in b'";\r\n')


def _follows(window: _Window, at: int) -> int:
    """What stands behind a quote: a quote, a delimiter, a line end (or the file's), 0 for text; or a fault."""
    data, end = window.data, window.end
    if at < end and data[at] != _CR:
        return data[at] if data[at] in (_QUOTE, _DELIMITER, _LF) else 0
    while at < end and data[at] == _CR:
        at += 1
    if at == end:
        return window.at_end or _LF
    return _LF if data[at] == _LF else 0


def _misses(window: _Window, start: int, reading: _Reading) -> int:
    """Which criteria of the rule of the writer a reading misses, as a number: less is better, 0 misses none.

    First, no bare field holds a quote. Second, what follows is the end, a blank line, or starts like a record or a
    header. Third, the payload is a JSON object or array, or empty.
    """
    follows = _starts_well(window, reading.end)
    if follows is None:
        return _NEEDS_MORE
    return reading.bare_quote << 2 | (not follows) << 1 | (not _has_json(window, start, reading))


def _starts_well(window: _Window, at: int) -> bool | None:
    """Whether what follows a record is what may follow one; None where more bytes are needed to know."""
    data = window.data
    if at == len(data):
        return True if window.final else None
    if at == window.end and not window.at_end:
        return True  # a header, which made the record end here
    blank = _blank_line(data, at, window.final, _HEADER_BYTES)
    if blank:
        return None if blank == _NEEDS_MORE else True
    end = min(len(data), at + _HEADER_BYTES)
    return _starts_record(window, at, end, end == len(data) and not window.final)


def _has_json(window: _Window, start: int, reading: _Reading) -> bool:
    if window.payload < 0:
        return True
    payload = _field(window.data, start, reading.ends, window.payload)
    if _is_quoted(window.data, start, reading.ends, window.payload):
        payload = unescape(payload, reading.dialect)
    return not payload or (payload.lstrip(b" \t\n\r")[:1] in (b"{", b"[") and is_json(payload))


def _is_quoted(data: bytes, start: int, ends: list[int], field: int) -> bool:
    first = ends[field - 1] + 1 if field else start
    return first < ends[field] and data[first] == _QUOTE


def _field(data: bytes, start: int, ends: list[int], field: int) -> bytes:
    """The bytes between a field's delimiters or, where it is quoted, between its quotes."""
    first = ends[field - 1] + 1 if field else start
    last = ends[field]
    if field == len(ends) - 1:
        while last > first and data[last - 1] == _CR:
            last -= 1
    if last > first and data[first] == _QUOTE:
        return data[first + 1 : last - 1]
    return data[first:last]


def _judge(window: _Window, start: int, reading: _Reading) -> int:
    """The rule that a reading with the right number of fields breaks, 0 for none."""
    if parse_timestamp(_field(window.data, start, reading.ends, window.timestamp)) is None:
        return BAD_TIMESTAMP
    # The six names of the older generation fill up a record of eight that was cut in its third field.
    last = window.data[reading.ends[-2] + 1 : reading.ends[-1]] if window.width > 1 else b""
    if last.strip(_AROUND_NAME) == _LAST_NAME and _own_end(window, start, reading) < reading.end:
        return FIELD_COUNT
    return 0 if _is_utf8(window.data[start : reading.end]) else BAD_UTF8


def _own_end(window: _Window, start: int, reading: _Reading) -> int:
    """Where the record ends: where a header begins in one of its bare fields, if one does."""
    data, at = window.data, start
    while True:
        at, name_end = _find_header(data, at, reading.end)
        if at < 0:
            return reading.end
        if name_end in reading.ends:
            field = reading.ends.index(name_end)
            if data[reading.ends[field - 1] + 1 if field else start] != _QUOTE:
                return _before_mark(data, start, at)


def _find_header(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Where the first header begins in a line, and where its first name ends; -1 for none. At the line's beginning,
    behind no more than may stand around a name, it is no header in the line but the line itself."""
    for found in _HEADER_START.finditer(data, start + 1, end):
        if data[start : found.start()].strip(_AROUND_NAME):
            return found.start(), found.start(1)
    return -1, -1


def header_within(line: bytes) -> int:
    """Where another header begins within a line that may be one, -1 for none. Behind a delimiter it is a name of it."""
    at = 0
    while True:
        at, _ = _find_header(line, at, len(line))
        if at < 0 or line[at - 1] != _DELIMITER:
            return at


def _before_mark(data: bytes, start: int, at: int) -> int:
    return at - len(_BOM) if at - start > len(_BOM) and data[at - len(_BOM) : at] == _BOM else at


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


_SEPARATOR_LINES: Final = (b"sep=;", b'"sep=;"')


def is_separator_line(line: bytes) -> bool:
    """Whether it is what Excel puts before a header."""
    return line.rstrip(b"\r") in _SEPARATOR_LINES


def _names_columns(line: bytes, window: _Window) -> bool:
    """Whether a line is a header, by its first two names, or was one: all but two of its fields are names."""
    # The first record may follow without a line end; and what a header follows that way is no header.
    record = _RECORD_START.search(line)
    line = line[: record.start() if record else len(line)]
    header = header_within(line)
    fields = [field.strip(_AROUND_NAME) for field in line[: header if header >= 0 else len(line)].split(b";")]
    names = window.names
    known = sum(name in fields for name in names)
    if all(name in fields for name in names[:2]) or (known >= 2 and len(fields) - known < min(known, 3)):
        return True
    # Nothing but a header starts like this, whatever became of its names. With another number of fields no record below
    # it fits, either.
    return len(names) > 2 and len(fields) == window.width > 2 and line.startswith((b"//", b'"//'))


def _resynchronise(window: _Window, start: int) -> int:
    """Where the next record or header plausibly starts, _NEEDS_MORE, or -2 for not within the limit."""
    data, at = window.data, start
    more = window.at_end == _NEEDS_MORE
    while True:
        newline = data.find(b"\n", at, window.end)
        if newline >= 0 or not more:
            header, _ = _find_header(data, at, newline if newline >= 0 else window.end)
            if header >= 0:
                return _before_mark(data, start, header)
        if newline < 0:
            break
        at = newline + 1
        plausible = _starts_record(window, at, window.end, more)
        if plausible is None:
            return _NEEDS_MORE
        if plausible:
            return at
    if window.at_end == TOO_LONG:
        return -2
    return window.at_end or window.end


def _starts_record(window: _Window, at: int, end: int, more: bool) -> bool | None:
    """Whether a line starts like a record or a header; None where more bytes are needed to know.

    A record is known by its timestamp, behind as many fields as the header puts before it.
    """
    data = window.data
    out_of_bytes: bool | None = None if more else False
    line = data[at : min(end, at + 7)]
    for start in (_BOM, b"//", b'"//', *_SEPARATOR_LINES):
        if line.startswith(start):
            return True
        if start.startswith(line) and at + len(line) == end:
            return out_of_bytes
    plausible = _has_timestamp(window, at, end, more)
    if plausible is not False:
        return plausible
    limit = min(end, at + _HEADER_BYTES)
    newline = data.find(b"\n", at, limit)
    if newline < 0:
        if limit == end and more:
            return None
        newline = limit
    return _names_columns(data[at:newline], window)


def _has_timestamp(window: _Window, at: int, end: int, more: bool) -> bool | None:
    """Whether something shaped like a timestamp stands behind the fields before it: bare ones without a quote, and
    quoted ones, closed wherever either dialect may close them."""
    data = window.data
    limit = min(end, at + _AHEAD_BYTES)
    out_of_bytes = None if more and limit == end else False
    # What is left to try: where, in which field, and whether that is inside its quotes.
    ways = [(at, 0, False)]
    for _ in range(_AHEAD_STEPS):
        if not ways:
            return False
        at, field, inside = ways.pop()
        if not inside and field == window.timestamp:
            found = _has_shape(data, at, limit)
            if found is None and out_of_bytes is None:
                return None
            if found:
                return True
            continue
        if not inside and not (at < limit and data[at] == _QUOTE):
            while at < limit and data[at] not in b';"\n':
                at += 1
            if at == limit and out_of_bytes is None:
                return None
            if at < limit and data[at] == _DELIMITER:
                ways.append((at + 1, field + 1, False))
            continue
        at += not inside
        quote = data.find(b'"', at, limit)
        stop = quote if quote >= 0 else limit
        past = stop
        while past < limit and data[past] == _QUOTE:
            past += 1
        if past == limit:
            if out_of_bytes is None:
                return None
            continue
        escaped, odd = data[quote - 1] == _BACKSLASH, (past - quote) % 2 == 1
        if escaped or not odd:
            ways.append((past, field, True))
        if data[past] == _DELIMITER and (escaped or odd):
            ways.append((past + 1, field + 1, False))
    return False


def _has_shape(data: bytes, at: int, end: int) -> bool | None:
    """Whether a timestamp's shape stands there, behind a quote or not; None where the bytes end before it does."""
    if at < end and data[at] == _QUOTE:
        at += 1
    for shape in _PLAUSIBLE:
        if at == end:
            return None
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
    kinds: str,
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

    ``columns`` are the fields' numbers in the order of Event, -1 for none, and ``kinds`` what is made of each: ``m`` a
    moment, ``t`` text, ``n`` text or None if it is empty, ``s`` a status, ``j`` a payload. ``moment`` makes a datetime
    of microseconds, ``payload`` a subclass of Field. ``rejects`` say how many records come before each: they count in
    the numbering.
    """
    data, fields, records, width, _ = run
    starts = memoryview(fields).cast("B").cast("I")[:: width + 1]
    made: list[list[Any]] = []
    numbers: list[int] = []
    passed = 0
    for i in range(records):
        while passed < len(rejects) and rejects[passed] <= i:
            passed += 1
        numbers.append(first_record + i + passed)
    for column, kind in zip(columns, kinds, strict=True):
        one = (data, fields, records, width, column)
        if kind == "m":
            made.append([moment(time) for time in memoryview(timestamps).cast("B").cast("q")[:records]])
        elif kind == "j":
            made.append(
                [
                    None if raw is None else payload(raw, start >> 31, member, number)
                    for raw, start, number in zip(_raws(one), starts, numbers, strict=True)
                ]
            )
        else:
            texts = [None if value is None else value.decode() for value in _values([one])]
            if kind == "s":
                texts = [None if text is None else statuses.get(text, text) for text in texts]
            made.append([text or None for text in texts] if kind == "n" else texts)
    return [event(*values) for values in zip(*made, strict=True)]


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
        while field == width - 1 and last > first and data[last - 1] == _CR:
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
