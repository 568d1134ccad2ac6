"""One record: read byte by byte, why it is bad, and where to go on behind a bad one. ``grammar.h`` is the same in C.

A verdict on a record never depends on bytes that are not there yet: where more bytes could change it, the answer is
NEEDS_MORE, or None in place of a bool.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from trackparse.records.kernel.codes import (
    BACKSLASH,
    BAD_TIMESTAMP,
    BAD_UTF8,
    CR,
    DELIMITER,
    FIELD_COUNT,
    HEADER_BYTES,
    LF,
    NEEDS_MORE,
    NOT_WITHIN_LIMIT,
    PHP,
    QUOTE,
    TEXT_AFTER_QUOTE,
    TOO_LONG,
    UNCLOSED_QUOTE,
)
from trackparse.records.kernel.lines import (
    BOM,
    SEPARATOR_LINES,
    before_mark,
    find_header,
    is_name,
    names_behind,
    names_columns,
)
from trackparse.records.kernel.timestamp import TIMESTAMP_SIZE, parse_timestamp, timestamp_shape

# How far the timestamp of a record is looked for, and in how many steps: where fields before it may close in more than
# one place, each place is tried.
AHEAD_BYTES: Final = 1 << 14
AHEAD_STEPS: Final = 128

# Bounds of the work on one record: this many readings are weighed, in logs of at most this many columns.
READINGS: Final = 64
SANE_WIDTH: Final = 64

# Where a reading breaks a rule, the names with which a header begins are looked for in so many bytes.
NAMES_BYTES: Final = 1024

# What may follow a record.
RECORD_STARTS: Final = 1  # or a blank line, a byte order mark, the end of the member
HEADER_STARTS: Final = 2


class Window(NamedTuple):
    """The bytes that one record may take, and what its records look like."""

    data: bytes
    end: int
    # What a record is that reaches `end`: 0 for whole, since the member or the record ends there; or a reason, or
    # NEEDS_MORE.
    at_end: int
    final: bool
    width: int
    timestamp: int
    payload: int
    names: list[bytes]  # of the known columns


class Reading(NamedTuple):
    """One way to divide a record into fields.

    Where a ``\\"`` stands inside quotes, a record has several readings.
    """

    reason: int  # 0 if the reading breaks no rule of quoting; or a reason, or NEEDS_MORE
    end: int  # behind the line end
    reached: int  # where the record ended, or where it broke a rule
    ends: list[int]  # of its fields
    dialect: int
    choices: list[bool]  # for each \" that may close its field: whether it does
    forked: bool  # a \" stands inside quotes: other readings differ from there on
    settled: bool  # all other readings break a rule
    sided: bool  # a \" was read as the other dialect would not read it
    bare_quote: bool  # a quote stands in a bare field


def read_record(window: Window, start: int, dialect: int, choices: list[bool] | None) -> Reading:
    """Read the record at ``start`` in one dialect.

    ``choices`` say of each ``\\"`` that may close its field whether it does; those after the last choice all close.
    None: no ``\\"`` closes a field.
    """
    data, end, width = window.data, window.end, window.width
    ends: list[int] = []
    made: list[bool] = []
    forked = sided = bare_quote = False
    settled = True
    at = start

    def reading(reason: int, past: int = 0) -> Reading:
        return Reading(reason, past, past or at, ends, dialect, made, forked, settled, sided, bare_quote)

    while True:
        if len(ends) == width:
            return reading(FIELD_COUNT)
        if at < end and data[at] == QUOTE:
            at += 1
            while True:  # inside quotes
                quote = data.find(b'"', at, end)
                if quote < 0:
                    return reading(window.at_end or UNCLOSED_QUOTE)
                at = quote
                next_byte = follows(window, at + 1)
                if next_byte == NEEDS_MORE:
                    return reading(NEEDS_MORE)
                if data[at - 1] == BACKSLASH:
                    settled = settled and settles(window, at, dialect, forked)
                    forked = True
                    if dialect == PHP:
                        closes = False
                        if choices is not None and next_byte == (LF if len(ends) == width - 1 else DELIMITER):
                            closes = choices[len(made)] if len(made) < len(choices) else True
                            made.append(closes)
                        at += 1
                        if closes:
                            break
                        sided = True
                        continue
                    sided |= next_byte == QUOTE
                at += 1
                if next_byte == QUOTE:
                    at += 1
                    continue
                if next_byte == 0:
                    return reading(TEXT_AFTER_QUOTE)
                if next_byte == TOO_LONG:
                    return reading(TOO_LONG)
                break
        while at < end and data[at] != DELIMITER and data[at] != LF:
            bare_quote |= data[at] == QUOTE
            at += 1
        if at == end and window.at_end:
            return reading(window.at_end)
        ends.append(at)
        if at == end or data[at] == LF:
            past = min(at + 1, end)
            return reading(0 if len(ends) == width else FIELD_COUNT, past)
        at += 1


def settles(window: Window, at: int, dialect: int, forked: bool) -> bool:
    """Whether the ``\\"`` inside quotes, with its quote at ``at``, allows no other reading of the record.

    If it is the first of the record, the other dialect must break a rule at it; and it must not be able to close
    its field. ``forked`` says that it is not the first.
    """
    after = window.data[at + 1 : min(at + 3, window.end)]
    # At a slash or a byte order mark, a header may be run into the record: then the quote before it closes its field.
    if dialect == PHP:
        return bool(after) and after[0] not in b";\r\n/\xef" and (forked or after[0] != QUOTE)
    return forked or (len(after) == 2 and after[0] == QUOTE and after[1] not in b'";\r\n/\xef')


def follows(window: Window, at: int) -> int:
    """What stands behind a quote: QUOTE, DELIMITER, LF for a line end (the member's end, too), or 0 for text.

    Where the window ends there, a reason or NEEDS_MORE.
    """
    data, end = window.data, window.end
    if at < end and data[at] != CR:
        return data[at] if data[at] in (QUOTE, DELIMITER, LF) else 0
    while at < end and data[at] == CR:
        at += 1
    if at == end:
        return window.at_end or LF
    return LF if data[at] == LF else 0


def is_quoted(data: bytes, start: int, ends: list[int], field: int) -> bool:
    """Whether a field of a record stands in quotes."""
    first = ends[field - 1] + 1 if field else start
    return first < ends[field] and data[first] == QUOTE


def field_inside(data: bytes, start: int, ends: list[int], field: int) -> bytes:
    """The bytes between a field's delimiters or, where it is quoted, between its quotes."""
    first = ends[field - 1] + 1 if field else start
    last = ends[field]
    if field == len(ends) - 1:
        while last > first and data[last - 1] == CR:
            last -= 1
    if last > first and data[first] == QUOTE:
        return data[first + 1 : last - 1]
    return data[first:last]


def record_time(window: Window, start: int, ends: list[int]) -> int | None:
    """The timestamp of a record; None if it is not valid."""
    return parse_timestamp(field_inside(window.data, start, ends, window.timestamp))


def judge(window: Window, start: int, reading: Reading) -> int:
    """The reason why a reading that breaks no rule of quoting is bad; 0 if it is good."""
    if record_time(window, start, reading.ends) is None:
        return BAD_TIMESTAMP
    # A record may have been cut, and a header run into it that has as many names as the record lacks fields: a record
    # of eight columns in its third field, and a header of six names.
    last = window.data[reading.ends[-2] + 1 : reading.ends[-1]] if window.width > 1 else b""
    if is_name(last, window.names):
        last_line = window.data[line_start(window.data, start, reading.ends[-1]) : reading.end]
        if own_end(window, start, reading) < reading.end or names_behind(last_line, window.names):
            return FIELD_COUNT
    return 0 if is_utf8(window.data[start : reading.end]) else BAD_UTF8


def is_utf8(data: bytes) -> bool:
    """Whether the bytes are UTF-8."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def own_end(window: Window, start: int, reading: Reading) -> int:
    """Where a record really ends: at the header that begins in one of its bare fields, if there is one."""
    data, at = window.data, start
    while True:
        found = find_header(data, at, reading.end)
        if found is None:
            return reading.end
        at, name_end = found
        if name_end in reading.ends:
            field = reading.ends.index(name_end)
            if data[reading.ends[field - 1] + 1 if field else start] != QUOTE:
                return before_mark(data, start, at)


def header_at_fault(window: Window, start: int, fault: int) -> int:
    """Where a header begins in the line where a reading breaks a rule, at ``fault``; 0 without one, or NEEDS_MORE."""
    data, limit = window.data, min(window.end, fault + NAMES_BYTES)
    past = end_of_line(data, fault, limit)
    if past == window.end and window.at_end == NEEDS_MORE:
        return NEEDS_MORE
    header = find_header(data, line_start(data, start, fault), past)
    return before_mark(data, start, header[0]) if header else 0


def line_start(data: bytes, start: int, at: int) -> int:
    """Where the line that ``at`` is in starts, but not before ``start``."""
    return max(start, data.rfind(b"\n", start, at) + 1)


def line_end(window: Window, start: int) -> int:
    """Where the line at ``start`` ends, without its line feed; or NEEDS_MORE. Only HEADER_BYTES are looked at."""
    limit = min(window.end, start + HEADER_BYTES)
    newline = window.data.find(b"\n", start, limit)
    if newline < 0:
        return NEEDS_MORE if limit == window.end and window.at_end == NEEDS_MORE else limit
    return newline


def resynchronise(window: Window, start: int) -> int:
    """Where to go on behind a bad record: where the next record or header plausibly starts.

    NEEDS_MORE, or NOT_WITHIN_LIMIT, if that is not found.
    """
    data, at = window.data, start
    more = window.at_end == NEEDS_MORE
    while True:
        newline = data.find(b"\n", at, window.end)
        if newline >= 0 or not more:
            header = find_header(data, at, newline if newline >= 0 else window.end)
            if header is not None:
                return before_mark(data, start, header[0])
        if newline < 0:
            break
        at = newline + 1
        plausible = what_starts(window, at, window.end, more)
        if plausible == NEEDS_MORE:
            return NEEDS_MORE
        if plausible:
            return at
    if window.at_end == TOO_LONG:
        return NOT_WITHIN_LIMIT
    return window.at_end or window.end


def what_starts(window: Window, at: int, end: int, more: bool) -> int:
    """RECORD_STARTS or HEADER_STARTS where a line starts like one, else 0; NEEDS_MORE, where ``more`` may come.

    A record is known by its timestamp, behind as many fields as the header puts before it.
    """
    data = window.data
    out_of_bytes = NEEDS_MORE if more else 0
    line = data[at : min(end, at + 7)]
    for beginning in (BOM, b"//", b'"//', *SEPARATOR_LINES):
        if line.startswith(beginning):
            if beginning == BOM:
                return RECORD_STARTS
            if beginning != b'"//':
                return HEADER_STARTS
            past = end_of_line(data, at, end)
            if past == end and more:
                return NEEDS_MORE
            # The quote may end a value that began above; then a header is run into its record.
            found = find_header(data, at, past)
            return HEADER_STARTS if found is None or found[0] != at + 1 else 0
        if beginning.startswith(line) and at + len(line) == end:
            return out_of_bytes
    plausible = has_timestamp(window, at, end, more)
    if plausible is not False:
        return NEEDS_MORE if plausible is None else RECORD_STARTS
    past = end_of_line(data, at, end)
    if past == end and more:
        return NEEDS_MORE
    return HEADER_STARTS if names_columns(data[at:past], window.names, window.width) else 0


def end_of_line(data: bytes, at: int, end: int) -> int:
    """Where the line at ``at`` ends, without its line feed; ``end``, or HEADER_BYTES on, if it does not before that."""
    limit = min(end, at + HEADER_BYTES)
    newline = data.find(b"\n", at, limit)
    return newline if newline >= 0 else limit


def has_timestamp(window: Window, at: int, end: int, more: bool) -> bool | None:
    """Whether the shape of a timestamp stands in the timestamp's field of the record at ``at``.

    The fields before it are bare without a quote, or quoted and closed where either dialect may close them.
    """
    data = window.data
    limit = min(end, at + AHEAD_BYTES)
    out_of_bytes = None if more and limit == end else False
    # What is left to try: a position, the field that it is in, and whether it is inside that field's quotes.
    to_try = [(at, 0, False)]
    for _ in range(AHEAD_STEPS):
        if not to_try:
            return False
        at, field, inside = to_try.pop()
        if not inside and field == window.timestamp:
            first = at + (at < limit and data[at] == QUOTE)
            size = timestamp_shape(data, first, limit)
            if size == TIMESTAMP_SIZE:
                return True
            if first + size == limit and out_of_bytes is None:
                return None
            continue
        if not inside and not (at < limit and data[at] == QUOTE):
            while at < limit and data[at] not in b';"\n':
                at += 1
            if at == limit and out_of_bytes is None:
                return None
            if at < limit and data[at] == DELIMITER:
                to_try.append((at + 1, field + 1, False))
            continue
        past = at + (not inside)
        escaped = odd = False
        # Doubled quotes leave no choice, so they are no step: a payload is full of them.
        while past < limit and not escaped and not odd:
            quote = data.find(b'"', past, limit)
            past = stop = quote if quote >= 0 else limit
            while past < limit and data[past] == QUOTE:
                past += 1
            escaped, odd = data[stop - 1] == BACKSLASH, (past - stop) % 2 == 1
        if past == limit:
            if out_of_bytes is None:
                return None
            continue
        if escaped or not odd:
            to_try.append((past, field, True))
        if data[past] == DELIMITER and (escaped or odd):
            to_try.append((past + 1, field + 1, False))
    return False
