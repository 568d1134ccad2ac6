"""The grammar of docs/format.md once more, from the page alone: slow, and without a line of trackparse.

It reads one bare log that is in memory as a whole, all columns of it, without limits. "Page silent" marks what the page
does not say, so that it had to be learnt from what the library does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from itertools import takewhile
from typing import Any

NAMES = (b"timestamp", b"tracking_code", b"target_id", b"hwid", b"status", b"description", b"appCode", b"payload")
GENERATIONS = (NAMES, NAMES[:6])
BOM = b"\xef\xbb\xbf"
QUOTE, BACKSLASH = b'"', b"\\"
MOST_READINGS = 64  # of a record; with more the page leaves open what becomes of it
LONG_HEADER = 1024  # for rejects
LONGEST_HEADER = 64 << 10  # one of as many bytes cannot be used
START_OF_RECORD = 16 << 10  # where its timestamp is
BLANK_LINES = 16 << 10  # bytes of them between a record and what follows it

TIMESTAMP = re.compile(rb"(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?", re.ASCII)
LOOKS_LIKE_TIMESTAMP = re.compile(rb'"?\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d', re.ASCII)
BARE_ENDS = re.compile(rb"(?=\r*(?:\n|\Z)|;)")
LINE_END = re.compile(rb"\r*(?:\n|\Z)")
HEADER_INSIDE = re.compile(
    rb"(?:\xef\xbb\xbf)?"
    rb'(?://[ \t]*(?:timestamp|"timestamp")|"//[ \t]*timestamp")[ \t]*;'
    # Page silent: slashes may stand before the second name, and blanks behind the first ones.
    rb'[ \t]*(?:(?://)?tracking_code|"(?://)?tracking_code")[ \t]*'
    rb'(?=[;\r\n]|\Z|(?:\xef\xbb\xbf)?"?\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)',
    re.ASCII,
)
AROUND_NAMES = b' \t\r\v\f"/'
SEP = (b"sep=;", b'"sep=;"')


@dataclass(frozen=True, slots=True)
class Header:
    names: tuple[bytes, ...]
    damaged: bool = False
    # Of a damaged one: those of the header that it seems to be.
    meant: tuple[bytes, ...] = ()

    @property
    def columns(self) -> int:
        return len(self.meant or self.names)

    @property
    def timestamp(self) -> int:
        # Page silent: a damaged header that names no timestamp has it in place of the first name that nobody knows.
        names = self.meant or self.names
        if b"timestamp" in names:
            return names.index(b"timestamp")
        return next((at for at, name in enumerate(names) if name not in NAMES), 0)

    @property
    def payload(self) -> int | None:
        names = self.meant or self.names
        return names.index(b"payload") if b"payload" in names else None

    @property
    def text(self) -> str:
        # Page silent: not as it stands in the log, but made of its names. One with a quote stands in quotes, but for
        # one that ends like a known name: it stays odd.
        names = (
            QUOTE + text.replace(QUOTE, QUOTE + QUOTE) + QUOTE if QUOTE in text and not text.endswith(NAMES) else text
            for text in self.names
        )
        return "//" + b";".join(names).decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Reject:
    record: int
    line: int
    byte_offset: int
    reason: str
    raw: bytes
    header: str | None


@dataclass(slots=True)
class Log:
    """What becomes of a log. Columns are the known ones, then those that the first header adds."""

    columns: tuple[str, ...] = ()
    rows: list[tuple[datetime | str | None, ...]] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    blank_lines: int = 0
    error: str | None = None
    most_readings: int = 1  # of one record


Order = Callable[["Reading"], tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read the bytes at a place as a record."""

    fields: tuple[bytes, ...]
    end: int  # behind its line end
    choices: tuple[int, ...]  # at each \" that could close its field: 0 it did, 1 it was a literal quote
    bare_quote: bool  # a quote in a bare field
    dialects: frozenset[str]
    fault: str | None
    ends: tuple[int, ...] = ()  # of its fields
    reached: int = 0  # where it breaks a rule
    header: int | None = None  # where a header begins without which it has too few fields


def read(data: bytes, dialect: str = "auto", columns: tuple[str, ...] = ()) -> Log:
    """Read a log. Columns are those asked for, which the first header has; all of them unless told."""
    return Reader(data, dialect, columns).read()


class Reader:
    def __init__(self, data: bytes, dialect: str, columns: tuple[str, ...]) -> None:
        self.data = data
        self.fixed = None if dialect == "auto" else dialect
        self.in_force = "php" if dialect == "auto" else dialect
        self.all_columns = not columns
        self.columns = tuple(column.encode() for column in columns)
        self.added: tuple[bytes, ...] = ()
        self.at = 0
        self.header = Header(NAMES)  # in force
        self.usable = self.header  # the last one that could be used
        self.first: tuple[bytes, ...] = ()
        self.told = ""  # the last long header that a reject has
        self.blank_lines = 0  # above the header in force
        self.log = Log()

    def read(self) -> Log:
        self.start()
        while not self.log.error and self.at < len(self.data):
            if not self.skip():
                self.item()
        return self.log

    def skip(self) -> bool:
        """Pass over a byte order mark, a blank line, or a `sep=;` at a place where a record may start."""
        if self.data.startswith(BOM, self.at):
            self.at += len(BOM)
        elif line(self.data, self.at) == b"":
            self.log.blank_lines += 1
            self.at = next_line(self.data, self.at)
        # Page silent: wherever a record may start, before a header or not, and in quotes, too.
        elif line(self.data, self.at) in SEP:
            self.at = next_line(self.data, self.at)
        else:
            return False
        return True

    # The start

    def start(self) -> None:
        while self.at < len(self.data) and self.skip():
            pass
        header, end = self.header_here()
        if header and header.damaged:
            self.log.error = "HeaderError"
        elif header:
            self.header = header
            self.at = end
        elif LOOKS_LIKE_TIMESTAMP.match(self.data, self.at):
            self.header = self.generation()
        else:
            self.log.error = "HeaderError"
        if self.log.error:
            self.log.blank_lines = 0
            return
        self.usable = self.header
        self.first = self.header.names
        self.added = tuple(column for column in self.header.names if column not in NAMES)
        if not self.columns:
            self.columns = NAMES + self.added
        self.log.columns = tuple(column.decode() for column in self.columns)

    def generation(self) -> Header:
        """The number of columns that the first record has, whatever else is wrong with it."""
        fit = []
        for names in GENERATIONS:
            header = Header(names)
            whole = self.choose(header, self.data)
            reading, end = self.up_to_header(header, self.data, whole)
            if (whole.fault or reading.fault) and self.header_here(first=False)[0]:
                continue  # A damaged header, and no record.
            if has_end(reading):
                fit.append((end, header))
        if fit:
            return min(fit, key=lambda it: it[0])[1]
        return Header(GENERATIONS[line(self.data, self.at).count(b";") < 7])

    # Headers

    def header_here(self, first: bool = True) -> tuple[Header | None, int]:
        """The header that starts here, if one does, and where it ends. One that cannot be used is damaged."""
        text = line(self.data, self.at)
        end = next_line(self.data, self.at)
        if len(text) >= LONGEST_HEADER:
            text = text[:LONGEST_HEADER]
            end = self.at + len(text)
        behind = () if first else self.names_behind(text)
        end_of_line = end
        if before_others(text) != text:
            text = before_others(text)
            end = self.at + len(text)
        names = names_of(text)
        if not self.names_columns(text) and not behind:
            return None, end
        whole = is_header(names)
        if first and not whole:
            return None, end
        usable = whole and len(set(names)) == len(names) and is_utf8(text) and len(names) <= 1024
        usable = usable and len(text) < LONGEST_HEADER
        if behind and not usable:
            return self.damaged(behind), end_of_line
        if not first and usable:
            # Page silent: names that the first header added are known.
            unknown = set(names) - set(self.added) - set(NAMES) - set(self.usable.names)
            others = (self.usable.names, self.first, *GENERATIONS)
            usable = not (unknown and any(set(them) - set(names) for them in others if len(them) == len(names)))
            usable &= not (unknown and any(is_nearly(names, them) for them in others))
            usable &= len(unknown) > 2 or not has_damaged_name(names, unknown)
            usable &= all(map(has_letter, unknown))
            usable &= unknown.isdisjoint(map(name, filter(is_odd_name, text.split(b";"))))
        return self.damaged(names) if not usable else Header(names), end

    def damaged(self, names: tuple[bytes, ...]) -> Header:
        # Page silent: a name without a letter or a digit does not count where all others are those of a header.
        lettered = tuple(filter(has_letter, names))
        others = takewhile(lambda them: len(them) != len(names), (self.usable.names, self.first, *GENERATIONS))
        meant = (them for them in others if lettered == them or is_nearly(names, them))
        return Header(names, damaged=True, meant=next(meant, ()))

    def names_behind(self, text: bytes) -> tuple[bytes, ...]:
        """The names that end a line of something else: one at the end of a field, and at least two fields behind it."""
        if self.header.damaged or any(
            begins_inside(text[: found.start()], found) for found in HEADER_INSIDE.finditer(text, 1)
        ):
            return ()
        known = self.known()
        fields = [name.strip(AROUND_NAMES).lower() for name in text.split(b";")]
        behind: list[bytes] = []
        while fields and fields[-1] in known:
            behind.insert(0, known[fields.pop()])
        first = max((name for name in known if fields and fields[-1].endswith(name)), key=len, default=None)
        if len(behind) < 2 or not (fields and (first or is_header(behind))):
            return ()
        if fields[0] in known and not is_header(behind):
            return ()  # The header begins with the line.
        return (known[first], *behind) if first else tuple(behind)

    def names_columns(self, text: bytes) -> bool:
        """Whether a line is a header, or was one."""
        # Page silent: quotes, slashes and blanks do not count at either end of a name here, in pairs or not; and two
        # names at least are known.
        # And below a damaged header there is no other one but with both of the names.
        names = [name.strip(AROUND_NAMES).lower() for name in text.split(b";")]
        if is_header(names) or self.header.damaged:
            return is_header(names)
        known = set(names) & {name.lower() for name in (*NAMES, *self.header.names)}
        slashed = known and text.startswith((b"//", b'"//')) and len(names) == len(self.header.names) >= 3
        mostly = len(known) > max(1, len(names) // 2) and len(names) - len(known) <= 2
        return bool(slashed) or mostly

    # Records

    def item(self) -> None:
        """The record or the header that starts here."""
        start = self.at
        whole = self.choose(self.header, self.data)
        reading, end = self.up_to_header(self.header, self.data, whole)
        header, header_end = self.header_here(first=False) if whole.fault or reading.fault else (None, start)
        if header and (header.damaged or header != self.header):
            self.blank_lines = self.log.blank_lines
        if header is None and reading.fault is None:
            self.good(reading, end)
        elif header is None:
            self.reject(start, end, self.fault(reading))
        elif header.damaged:
            self.reject(start, header_end, "bad_header")
            self.header = header
        else:
            self.header = self.usable = header
            self.at = header_end

    def fault(self, reading: Reading) -> str:
        # Page silent: below a damaged header a bad timestamp is no fault of its own, as its column is not known.
        if self.header.damaged and reading.fault in (None, "bad_timestamp"):
            return "bad_header"
        return reading.fault or ""

    def up_to_header(self, header: Header, data: bytes, whole: Reading) -> tuple[Reading, int]:
        """The reading, of what is before a header run into the record if there is one; and where it ends.

        ``data`` is the log, or what is before such a header.
        """
        inside = self.header_inside(header, data, whole)
        if inside is not None:
            # The header ends the record, as the end of the member would.
            data = data[:inside]
            shorter = self.choose(header, data)
            if has_end(whole) or whole.header is not None:
                # It may end before the header, or have no end that is known.
                return self.up_to_header(header, data, shorter)
            return shorter, inside
        if whole.fault is None and not self.may_follow(header, data, whole.end):
            inside = self.header_behind(header, data, self.at)
            if inside is not None:
                cut = data[:inside]
                shorter = self.choose(header, cut)
                if shorter.fault is None and self.order(header, cut, shorter)[:4] < self.order(header, data, whole)[:4]:
                    return shorter, shorter.end
        return whole, whole.end if has_end(whole) else self.end_of_bad(header, data)

    def header_behind(self, header: Header, data: bytes, at: int) -> int | None:
        """Where a header begins inside one of the lines from this one on, before a line that may follow a record."""
        while at < len(data):
            end = next_line(data, at)
            for found in HEADER_INSIDE.finditer(data, at + 1, end):
                if begins_inside(data[at : found.start()], found):
                    return found.start()
            at = end
            if at < len(data) and self.plausible(header, data, at):
                return None
        return None

    def known(self) -> dict[bytes, bytes]:
        """The names by which a header is known, by their small letters."""
        names = (b"timestamp", b"tracking_code") if self.header.damaged else (*NAMES, *self.usable.names)
        return {name.lower(): name for name in names if name}

    def header_inside(self, header: Header, data: bytes, reading: Reading) -> int | None:
        """Where a header begins that ends the record."""
        if reading.header is not None:
            return reading.header
        if not has_end(reading):
            return self.header_in_bad(header, data)
        return self.header_in_field(data, reading) if reading.fault else None

    def header_in_field(self, data: bytes, reading: Reading) -> int | None:
        """Where a header begins in a bare field of a reading."""
        for found in HEADER_INSIDE.finditer(data, self.at + 1, reading.end):
            start = max((end + 1 for end in reading.ends if end < found.start()), default=self.at)
            if not data.startswith(QUOTE, start):
                return found.start()
        return None

    def header_in_bad(self, header: Header, data: bytes) -> int | None:
        """Where a header begins that ends a record without an end of its own."""
        inside = self.header_behind(header, data, self.at)
        if inside is not None:
            return inside
        # A line of a good record may look like the start of one: the header stands where the record breaks a rule.
        # Page silent: of several readings, where the last of them does.
        faults = (it.reached for it in self.readings(header, data) if it.fault in ("text_after_quote", "field_count"))
        fault = max(faults, default=self.at)
        start = max(self.at, data.rfind(b"\n", 0, fault) + 1)
        for found in HEADER_INSIDE.finditer(data, start + 1, next_line(data, fault)):
            if begins_inside(data[start : found.start()], found):
                good = self.choose(header, data[: found.start()]).fault is None
                return found.start() if good else None
        return None

    def choose(self, header: Header, data: bytes) -> Reading:
        """The rule of the writer."""
        all_readings = self.readings(header, data)
        self.log.most_readings = max(self.log.most_readings, len(all_readings))
        judged = [self.cut(judge(reading, header, data[self.at : reading.end]), data) for reading in all_readings]
        order = partial(self.order, header, data)
        good = [reading for reading in judged if reading.fault is None]
        whole = [reading for reading in judged if reading.fault and has_end(reading)]
        if good and not self.is_beginning(min(good, key=order), judged, whole, order):
            return min(good, key=order)
        if whole:
            return min(whole, key=order)
        judged = [reading for reading in judged if not has_end(reading)]
        return min(judged, key=lambda it: (-len(it.fields), self.in_force not in it.dialects, it.choices))

    def is_beginning(self, best: Reading, judged: list[Reading], whole: list[Reading], order: Order) -> bool:
        """Whether the best good reading is only the beginning of a bad record."""
        criteria = order(best)[:3]
        if any(order(reading)[:3] < criteria for reading in whole):
            return True
        others = (reading.reached for reading in judged if not has_end(reading))
        return criteria[1:] == (True, True) and max(others, default=0) > best.end

    def cut(self, reading: Reading, data: bytes) -> Reading:
        """A record that was cut, with a header run into it that has as many fields as the record lacks."""
        # Page silent: it is told by its last name.
        named = has_end(reading) and reading.fields[-1].strip(AROUND_NAMES).lower() in self.known()
        if not named or reading.fault == "bad_timestamp":
            return reading
        inside = self.header_in_field(data, reading)
        last_line = data[self.at : reading.end].rstrip(b"\r\n").rpartition(b"\n")[2]
        if inside is None and not self.names_behind(last_line):
            return reading
        return replace(reading, fault="field_count", header=inside)

    def order(self, header: Header, data: bytes, reading: Reading) -> tuple[Any, ...]:
        payload = header.payload
        return (
            reading.bare_quote,
            not self.may_follow(header, data, reading.end),
            payload is not None and not json_or_empty(reading.fields[payload]),
            self.is_header_at(header, data, reading.end),
            # Of equal ones that nothing follows, the shorter one.
            0 if self.may_follow(header, data, reading.end) else reading.end,
            self.in_force not in reading.dialects,
            reading.choices,
        )

    def may_follow(self, header: Header, data: bytes, at: int) -> bool:
        past = past_blank_lines(data, at)
        return past >= len(data) or line(data, past) == b"" or self.plausible(header, data, past)

    def is_header_at(self, header: Header, data: bytes, at: int) -> bool:
        """Whether what may follow a record is a header, by the looks of it."""
        at = past_blank_lines(data, at)
        text = line(data, at)
        if at >= len(data) or text == b"" or text.startswith(BOM):
            return False
        if text.startswith((b"//", b'"//', *SEP)):
            return before_inside(text) != QUOTE
        return not timestamp_in(header, data, at) and self.plausible(header, data, at)

    def plausible(self, header: Header, data: bytes, at: int) -> bool:
        """Whether a record or a header starts at this place, by the looks of it."""
        text = line(data, at)
        if text.startswith((BOM, b"//", b'"//', *SEP)):
            return before_inside(text) != QUOTE
        return (
            timestamp_in(header, data, at) or self.names_columns(before_others(text)) or bool(self.names_behind(text))
        )

    def readings(self, header: Header, data: bytes) -> list[Reading]:
        found: dict[object, Reading] = {}
        for dialect in ("php", "rfc4180") if self.fixed is None else (self.fixed,):
            for reading in readings(data, self.at, header.columns, dialect):
                # The same fields up to the same end: one reading that exists in both dialects.
                same = (reading.fields, reading.end, reading.fault)
                if same in found:
                    reading = replace(found[same], dialects=found[same].dialects | reading.dialects)
                found[same] = reading
                if len(found) > MOST_READINGS:
                    return list(found.values())
        return list(found.values())

    def end_of_bad(self, header: Header, data: bytes) -> int:
        at = next_line(data, self.at)
        while at < len(data) and not self.plausible(header, data, at):
            at = next_line(data, at)
        return at

    def good(self, reading: Reading, end: int) -> None:
        if self.fixed is None and len(reading.dialects) == 1:
            (self.in_force,) = reading.dialects
        if self.header.damaged:
            self.reject(self.at, end, self.fault(reading))
            return
        if self.adds_column():
            return
        values = dict(zip(self.header.names, reading.fields, strict=True))
        row = (cell(column, values.get(column)) for column in self.columns)
        self.log.rows.append(tuple(row))
        self.at = end

    def adds_column(self) -> bool:
        """Whether the header names a column that has no place: an error at the first record below it."""
        if not self.all_columns or self.header.damaged or set(self.header.names) <= set(self.columns):
            return False
        self.log.error = "HeaderError"
        self.log.blank_lines = self.blank_lines
        return True

    def reject(self, start: int, end: int, reason: str) -> None:
        if self.adds_column():
            return
        number = len(self.log.rows) + len(self.log.rejects)
        lines = self.data.count(b"\n", 0, start) + 1
        header: str | None = self.header.text
        if len(self.header.text.encode()) > LONG_HEADER:
            header, self.told = None if header == self.told else header, self.header.text
        else:
            self.told = ""
        self.log.rejects.append(Reject(number, lines, start, reason, self.data[start:end], header))
        self.at = end


# Readings


def readings(data: bytes, start: int, columns: int, dialect: str) -> Iterator[Reading]:
    """Every reading of the record at start in one dialect."""
    todo = [Reading((), start, (), False, frozenset([dialect]), None)]
    while todo:
        reading = todo.pop()  # as far as the field that starts at its end
        if data.startswith(QUOTE, reading.end):
            last = len(reading.fields) == columns - 1
            ways, fault, end, reached = quoted(data, reading.end + 1, last, dialect)
        else:
            end = end_of_bare(data, reading.end)
            value, fault, reached = data[reading.end : end], None, end
            reading = replace(reading, bare_quote=reading.bare_quote or QUOTE in value)
            ways = [(value, end, ())]
        if fault:
            yield replace(reading, fault=fault, end=end, reached=reached)
        for value, end, choices in ways:
            longer = replace(
                reading, fields=(*reading.fields, value), ends=(*reading.ends, end), choices=reading.choices + choices
            )
            if data.startswith(b";", end) and len(longer.fields) == columns:
                # Page silent: with one more field than the header has it is clear what is wrong.
                yield replace(longer, fault="field_count", reached=end + 1)
            elif data.startswith(b";", end):
                todo.append(replace(longer, end=end + 1))
            else:
                behind = behind_line_end(data, end)
                yield replace(longer, end=behind, reached=behind)


Way = tuple[bytes, int, tuple[int, ...]]  # value, end, choices


def quoted(data: bytes, start: int, last: bool, dialect: str) -> tuple[list[Way], str | None, int, int]:
    """The ways to close the field whose content starts here; the fault of the last way, its end, and its place."""
    ways: list[Way] = []
    choices: tuple[int, ...] = ()
    at = start
    while (quote := data.find(QUOTE, at)) >= 0:
        behind = quote + 1
        if dialect == "php" and data[start:quote].endswith(BACKSLASH):
            if LINE_END.match(data, behind) if last else data.startswith(b";", behind):
                ways.append((value_of(data[start:quote], dialect), behind, (*choices, 0)))
                choices = (*choices, 1)
            at = behind
        elif data.startswith(QUOTE, behind):
            at = behind + 1
        elif data.startswith(b";", behind) or LINE_END.match(data, behind):
            ways.append((value_of(data[start:quote], dialect), behind, choices))
            return ways, None, behind, behind
        else:
            return ways, "text_after_quote", behind, behind
    return ways, "unclosed_quote", len(data), len(data)


def value_of(inside: bytes, dialect: str) -> bytes:
    if dialect == "php":
        return re.sub(rb'(\\")|""', lambda found: found[1] or QUOTE, inside)
    return inside.replace(b'""', QUOTE)


def judge(reading: Reading, header: Header, raw: bytes) -> Reading:
    """What makes a record bad; of two faults the first."""
    fault = reading.fault
    if fault is None and len(reading.fields) != header.columns:
        fault = "field_count"
    # Page silent: this one is told before bytes that are not UTF-8.
    if fault is None and timestamp(reading.fields[header.timestamp]) is None:
        fault = "bad_timestamp"
    if fault is None and not is_utf8(raw):
        fault = "bad_utf8"
    return replace(reading, fault=fault)


def has_end(reading: Reading) -> bool:
    return reading.fault in (None, "bad_utf8", "bad_timestamp")


# Lines and names


def line(data: bytes, at: int) -> bytes:
    """The line without its line end."""
    found = LINE_END.search(data, at)
    assert found
    return data[at : found.start()]


def next_line(data: bytes, at: int) -> int:
    return data.find(b"\n", at) + 1 or len(data)


def past_blank_lines(data: bytes, at: int) -> int:
    most = at + BLANK_LINES
    while at < min(most, len(data)) and line(data, at) == b"":
        at = behind_line_end(data, at)
    return at


def behind_line_end(data: bytes, at: int) -> int:
    found = LINE_END.match(data, at)
    assert found
    return found.end()


def name(text: bytes) -> bytes:
    """A column's name: `//` before it, quotes around it and blanks at its ends do not count."""
    text = without_slashes(text)
    if len(text) > 1 and text.startswith(QUOTE) and text.endswith(QUOTE):
        text = without_slashes(text[1:-1]).replace(QUOTE + QUOTE, QUOTE)
    return text


def is_odd_name(text: bytes) -> bool:
    """Whether slashes stand inside a name, or a quote that encloses nothing."""
    bare = without_slashes(text)
    return b"//" in name(text) or (QUOTE in bare and not re.fullmatch(rb'"([^"]|"")*"', bare))


def has_letter(text: bytes) -> bool:
    return re.search(r"[^\W_]", text.decode(errors="replace")) is not None


def is_nearly(names: tuple[bytes, ...], them: tuple[bytes, ...]) -> bool:
    """Whether names are others with one wrong, one additional or one missing character, or end inside one of them."""
    text, theirs = b";".join(names).decode(errors="replace"), b";".join(them).decode(errors="replace")
    if theirs.startswith(text) and theirs[len(text) : len(text) + 1] not in ("", ";"):
        return True
    return is_one_off(text, theirs)


def is_one_off(one: str, other: str) -> bool:
    longer, shorter = sorted((one, other), key=len, reverse=True)
    more = len(longer) - len(shorter)
    return more <= 1 and any(
        longer[:at] + longer[at + 1 :] == shorter[:at] + shorter[at + 1 - more :] for at in range(len(longer))
    )


def has_damaged_name(names: tuple[bytes, ...], unknown: set[bytes]) -> bool:
    """Whether a known name that is missing is there with one wrong character, or a `;` is wrong or missing."""
    lacking = [one.decode() for one in NAMES if one not in names]
    for at, text in enumerate(names):
        here, before = text.decode(errors="replace"), names[at - 1].decode(errors="replace") if at else None
        if text in unknown and any(is_one_off(here, lost) for lost in lacking):
            return True
        if text in unknown and any(joins(here, a, b) for a in lacking for b in lacking if a != b):
            return True
        if (
            before is not None
            and unknown & {text, names[at - 1]}
            and any(joins(lost, before, here) for lost in lacking)
        ):
            return True
    first, last = names[0].decode(errors="replace"), names[-1].decode(errors="replace")
    return len(unknown) == 1 and any(
        (names[0] in unknown and lost.endswith(first)) or (names[-1] in unknown and lost.startswith(last))
        for lost in lacking
    )


def joins(whole: str, one: str, other: str) -> bool:
    return re.fullmatch(f"{re.escape(one)}.?{re.escape(other)}", whole, re.DOTALL) is not None


def without_slashes(text: bytes) -> bytes:
    text = text.strip()
    while text.startswith(b"//"):
        text = text[2:].strip()
    return text


def begins_inside(before: bytes, found: re.Match[bytes]) -> bool:
    """Whether a header that was found on a line does not begin with it."""
    return found[0].startswith(BOM) or bool(before.strip(AROUND_NAMES)) or before.count(QUOTE) % 2 == 1


def before_inside(text: bytes) -> bytes:
    """What of a line is before a header that begins inside it."""
    for found in HEADER_INSIDE.finditer(text, 1):
        before = text[: found.start()]
        # Page silent: behind a `;`, or nothing but quotes, slashes and blanks, it is one header with what is before it.
        # A quote that nothing closes ends a value that began on a line above.
        one_header = before.endswith(b";") or not before.strip(AROUND_NAMES)
        if found[0].startswith(BOM) or not one_header or before.count(QUOTE) % 2:
            return before
    return text


def before_others(text: bytes) -> bytes:
    """What of a line is before a record or a header run into it."""
    run_in = LOOKS_LIKE_TIMESTAMP.search(text)
    if run_in:
        closes_name = run_in[0].startswith(QUOTE) and text.count(QUOTE, 0, run_in.start()) % 2
        text = text[: run_in.start() + closes_name].removesuffix(BOM)
    return before_inside(text)


def names_of(text: bytes) -> tuple[bytes, ...]:
    return tuple(map(name, text.split(b";")))


def is_header(names: Iterable[bytes]) -> bool:
    return {b"timestamp", b"tracking_code"} <= set(names)


def timestamp_in(header: Header, data: bytes, at: int) -> bool:
    """Whether what looks like a timestamp stands in its column, by one way to close the fields before it."""
    data = data[at : at + START_OF_RECORD]
    starts = {0}  # of the next field
    for _ in range(header.timestamp):
        ends = {end for start in starts for end in ends_of(data, start)}
        starts = {end + 1 for end in ends if data.startswith(b";", end)}
    return any(LOOKS_LIKE_TIMESTAMP.match(data, start) for start in starts)


def ends_of(data: bytes, start: int) -> set[int]:
    """Where a field before the timestamp may end."""
    if data.startswith(QUOTE, start):
        return quoted_ends(data, start + 1)
    end = end_of_bare(data, start)
    return set() if QUOTE in data[start:end] else {end}


def quoted_ends(data: bytes, start: int) -> set[int]:
    """Where the field whose content starts here may close before a `;`, with each \\" in either dialect."""
    ends: set[int] = set()
    todo = {start}
    while todo:
        at = min(todo)
        todo.remove(at)
        quote = data.find(QUOTE, at)
        if quote < 0:
            continue
        behind = quote + 1
        if data[start:quote].endswith(BACKSLASH):
            todo.add(behind)
        if data.startswith(QUOTE, behind):
            todo.add(behind + 1)
        elif data.startswith(b";", behind):
            ends.add(behind)
    return ends


def end_of_bare(data: bytes, start: int) -> int:
    found = BARE_ENDS.search(data, start)
    assert found
    return found.start()


# Values


def cell(column: bytes, value: bytes | None) -> datetime | str | None:
    if value is None or (column == b"payload" and not value):
        return None
    return timestamp(value) if column == b"timestamp" else value.decode()


def timestamp(text: bytes) -> datetime | None:
    found = TIMESTAMP.fullmatch(text)
    if not found:
        return None
    fraction = (found[7] or b"").ljust(6, b"0")
    try:
        return datetime(*(int(number) for number in (*found.groups()[:6], fraction)))  # type: ignore[arg-type]
    except ValueError:
        return None


def is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def json_or_empty(text: bytes) -> bool:
    if not text:
        return True
    try:
        # Page silent: how deep it may be nested. trackparse takes 1,024 brackets in one another, Python a few less.
        value = json.loads(text.decode(), parse_int=str, parse_constant=not_json)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict | list)


def not_json(text: str) -> None:
    raise ValueError(text)
