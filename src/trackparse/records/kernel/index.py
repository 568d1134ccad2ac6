"""The index of a block: where its records and their fields end, and which records are bad.

``index.h`` is the same in C, but it scans plain records 64 bytes at a time and calls the grammar for the others only.

Credit keeps the work linear in the bytes of a log. It is the number of bytes that may be read for nothing: by readings
that are not taken, and in bad records. A log starts with ``credit_limit``, each of its bytes earns CREDIT_PER_BYTE, and
what was read for nothing is spent. With no credit left a record has one reading and ends with its line, or is bad.
"""

from __future__ import annotations

from array import array
from typing import Final

from trackparse.records.kernel.codes import (
    BAD_HEADER,
    BAD_TIMESTAMP,
    BAD_UTF8,
    DIALECT_SHIFT,
    DONE,
    HEADER,
    LF,
    LIMIT,
    MORE,
    MOST_REJECTS,
    NEEDS_MORE,
    TOO_LONG,
    Indexed,
    Question,
)
from trackparse.records.kernel.dialect import NOTHING_FOLLOWS, Weighed, resolve
from trackparse.records.kernel.grammar import Window, header_at_fault, line_end, own_end, record_time, resynchronise
from trackparse.records.kernel.lines import blank_line, is_separator_line, mark_size, names_columns
from trackparse.records.kernel.values import count_lines

CREDIT_PER_BYTE: Final = 64
# What a byte costs in which a header is looked for below a good record: each line may have to be looked through.
SEARCH_COST: Final = 8


def credit_limit(max_record_bytes: int) -> int:
    """The credit that a log starts with; it never has more."""
    return 2 * max_record_bytes


class _Indexer:
    """What was asked, and what was found so far."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self.data = bytes(question.data)
        self.names = question.names.lower().split(b";")
        self.position = question.start
        self.dialect = question.dialect
        self.credit = question.credit
        self.records = self.blank_lines = self.unresolved = 0
        self.record_bytes = self.blank_bytes = self.mark_bytes = 0
        self.fields = array("I")
        self.timestamps = array("q")
        self.rejects = array("q")
        self.raws: list[bytes] = []

    def window(self) -> Window:
        """What the record at ``position`` may take."""
        question, size = self.question, len(self.data)
        limited = size - self.position > question.max_record_bytes
        return Window(
            self.data,
            self.position + question.max_record_bytes if limited else size,
            TOO_LONG if limited else 0 if question.final else NEEDS_MORE,
            question.final,
            question.width,
            question.timestamp,
            question.payload,
            self.names,
        )

    def earn(self, spent: int, size: int) -> None:
        """Pay for ``spent`` bytes that were read for nothing, with what ``size`` bytes of the log earn."""
        most = credit_limit(self.question.max_record_bytes)
        self.credit = min(most, self.credit - spent + CREDIT_PER_BYTE * size)

    def add_reject(self, end: int, weighed: Weighed, bytes_read: int) -> None:
        """Take the bytes from ``position`` to ``end`` as a reject."""
        question, raw, reason = self.question, self.data[self.position : end], weighed.reason
        if not question.trusted and reason in (0, BAD_TIMESTAMP):
            # The timestamp may stand in another field: the name of its column may be the damaged one.
            reason = BAD_HEADER
        record = question.record + self.records + len(self.raws)
        line = question.line + count_lines(self.data, question.start, self.position)
        byte_offset = question.byte_offset + self.position - question.start
        self.rejects.extend((self.records, record, line, byte_offset, len(raw), reason))
        self.raws.append(raw)
        self.unresolved += weighed.unresolved
        self.earn(bytes_read, end - self.position)
        self.position = end

    def add_record(self, window: Window, weighed: Weighed, bytes_read: int) -> None:
        """Take the record at ``position`` as it was read; as a reject, if the columns are not known."""
        reading, start = weighed.reading, self.position
        size = reading.end - start
        if reading.sided:
            self.dialect = reading.dialect
        if not self.question.trusted:
            self.add_reject(reading.end, weighed, bytes_read - size)
            return
        self.unresolved += weighed.unresolved
        # The reading that was taken is free: the scan would have read those bytes as well.
        self.earn(bytes_read - size, size)
        self.fields.append(start | reading.dialect << DIALECT_SHIFT)
        self.fields.extend(reading.ends)
        self.timestamps.append(record_time(window, start, reading.ends) or 0)
        self.records += 1
        self.record_bytes += size
        self.position = reading.end

    def indexed(self, status: int) -> Indexed:
        """All that was found."""
        return Indexed(
            status,
            self.position,
            self.dialect,
            self.records,
            self.blank_lines,
            self.fields.tobytes(),
            self.timestamps.tobytes(),
            self.rejects.tobytes(),
            b"".join(self.raws),
            self.record_bytes,
            self.blank_bytes,
            self.mark_bytes,
            count_lines(self.data, self.question.start, self.position),
            self.unresolved,
            self.credit,
        )


def index(question: Question) -> Indexed:
    """Index the records of a block that start in ``start:stop``; the last one may end behind ``stop``.

    It ends before ``stop`` where MOST_REJECTS were found.
    """
    x = _Indexer(question)
    return x.indexed(index_records(x))


def index_records(x: _Indexer) -> int:
    """Index until ``stop``; returns the status."""
    data, final, limit = x.data, x.question.final, x.question.max_record_bytes
    while x.position < min(x.question.stop, len(data)) and len(x.raws) < MOST_REJECTS:
        end = blank_line(data, x.position, final, limit)
        if end == NEEDS_MORE:
            return MORE
        if end:
            x.blank_lines += 1
            x.blank_bytes += end - x.position
            x.position = end
            continue
        mark = mark_size(data, x.position, final)
        if mark == NEEDS_MORE:
            return MORE
        if mark:
            x.mark_bytes += mark
            x.position += mark
            continue
        status = index_one(x)
        if status != DONE:
            return status
    return DONE


def index_one(x: _Indexer) -> int:
    """Index the record at ``position``: a record, a reject or a separator line, or the status with which to stop."""
    data, at, question = x.data, x.position, x.question
    window = x.window()
    weighed = resolve(window, at, question.automatic, x.dialect, x.credit)
    if weighed.reason == NEEDS_MORE:
        return MORE
    bytes_read = weighed.bytes_read
    if weighed.reason:
        line = data[at : max(at, line_end(window, at))]
        if is_separator_line(line):
            size = len(line) + (data[at + len(line) : at + len(line) + 1] == b"\n")
            x.mark_bytes += size
            x.position += size
            return DONE
        if names_columns(line, window.names, window.width):
            return HEADER
        end = 0
        # Where a header follows without a line end before it, the record ends there, and may be good up to there.
        while weighed.reason and not weighed.reading.reason:
            end = own_end(window, at, weighed.reading)
            if end == weighed.reading.end:
                break
            window, weighed = read_up_to(x, window, end, bytes_read)
            bytes_read += weighed.bytes_read
        if weighed.reason and not ends_itself(weighed.reason):
            end = resynchronise(window, at)
            if end < 0:
                return MORE if end == NEEDS_MORE else LIMIT
            if end < window.end and data[end - 1] != LF:
                window, weighed = read_up_to(x, window, end, bytes_read)
                bytes_read += weighed.bytes_read
            elif end < weighed.fault:
                # A line inside a good record may look like the start of one. The header is below it then.
                header = header_at_fault(window, at, weighed.fault)
                if header == NEEDS_MORE:
                    return MORE
                if header:
                    shorter, again = read_up_to(x, window, header, bytes_read)
                    bytes_read += again.bytes_read
                    if not again.reason:
                        window, weighed = shorter, again
        if weighed.reason:
            x.add_reject(end, weighed, bytes_read)
            return DONE
    elif weighed.misses & NOTHING_FOLLOWS and x.credit > 0:
        # A header that follows without a line end may spoil the right reading. This one ends too soon then, or late.
        end = resynchronise(window, at)
        if end == NEEDS_MORE:
            return MORE
        bytes_read += SEARCH_COST * ((end if end > 0 else window.end) - at)
        if 0 < end < window.end and data[end - 1] != LF:
            shorter, again = read_up_to(x, window, end, bytes_read)
            bytes_read += again.bytes_read
            if not again.reason and again.misses < weighed.misses:
                window, weighed = shorter, again
    x.add_record(window, weighed, bytes_read)
    return DONE


def ends_itself(reason: int) -> bool:
    """Whether a record that is bad for this reason ends where its reading does."""
    return reason in (BAD_UTF8, BAD_TIMESTAMP)


def read_up_to(x: _Indexer, window: Window, end: int, spent: int) -> tuple[Window, Weighed]:
    """The record at ``position`` again, up to the header at ``end``, which has no line end before it."""
    window = window._replace(end=end, at_end=0)
    return window, resolve(window, x.position, x.question.automatic, x.dialect, x.credit - spent)
