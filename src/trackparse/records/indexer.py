"""Finds the records in the blocks of a member: a pure state machine, bytes in, segments out. No I/O, no threads.

A block is never copied: only the record that straddles two of them is, into a seam of its own.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from dataclasses import replace
from itertools import accumulate, count, repeat
from operator import add, itemgetter
from typing import Final

from trackparse.errors import HeaderError, LimitError, Position, Reason
from trackparse.limits import Limits
from trackparse.records.header import (
    BOM,
    HEADER_BYTES,
    Header,
    diagnose,
    is_damaged,
    names_a_log,
    parse_header,
    starts_with_timestamp,
)
from trackparse.records.kernel import reference as codes
from trackparse.records.kernel.chooser import kernel
from trackparse.records.kernel.reference import Buffer
from trackparse.records.segments import Rejects, Segment
from trackparse.schema import COLUMNS, GENERATIONS, REQUIRED

_DIALECTS: Final = {"auto": codes.PHP, "php": codes.PHP, "rfc4180": codes.RFC4180}
_REASONS: Final = {
    codes.UNCLOSED_QUOTE: Reason.UNCLOSED_QUOTE,
    codes.TEXT_AFTER_QUOTE: Reason.TEXT_AFTER_QUOTE,
    codes.FIELD_COUNT: Reason.FIELD_COUNT,
    codes.BAD_UTF8: Reason.BAD_UTF8,
    codes.BAD_TIMESTAMP: Reason.BAD_TIMESTAMP,
    codes.TOO_LONG: Reason.TOO_LONG,
    codes.BAD_HEADER: Reason.BAD_HEADER,
}
# What may stand before a header: blank lines and byte order marks.
_LEADING: Final = re.compile(rb"(?:\xef\xbb\xbf|\r*\n)*")
# Names that the kernel looks for in a line to say that it may be a header.
_MOST_NAMES: Final = 64
# The same where only a good header makes a difference.
_REQUIRED: Final = ";".join(REQUIRED).encode()
# Bytes of credit that a header costs that cannot be used: a log of nothing else would cost a call for each.
_REFUSED_COST: Final = 1 << 14
# The kernel hears no signal: it is called for this many bytes at a time.
_SLICE_BYTES: Final = 1 << 22
_NEAR: Final = 1024  # bytes in which most headers end
_SEAM_BYTES: Final = 4096
# The kernel's positions have 31 bits, and beside a piece of a block there may be a record of 1 GiB.
_FED_BYTES: Final = 256 << 20


class Indexer:
    """Indexes one member after the other: ``start``, ``feed`` its blocks, then ``finish`` or ``abandon``."""

    def __init__(self, dialect: str, limits: Limits, block_size: int) -> None:
        self._auto = dialect == "auto"
        self._first_dialect = self._dialect = _DIALECTS[dialect]
        self._limits = limits
        self._credit = codes.credit_limit(limits.max_record_bytes)
        self._slice = min(block_size, _SLICE_BYTES)
        self.columns: tuple[str, ...] | None = None  # of the records that come next
        self._names = ";".join(COLUMNS).encode()  # those of the known columns, and of these
        self._trusted = True  # whether the records that come next have these columns: a damaged header leaves that open
        self.first_columns: tuple[str, ...] | None = None  # of the first header of all
        self._last_columns: tuple[str, ...] = ()  # of the last header that could be used
        self._member = ""
        self._carry = bytearray()  # bytes after the last whole record
        self._retry_at = 0  # how long the carry must be before another look is worth it
        self._offset = 0  # of the next byte in the member
        self._line = 1
        self._record = 0
        # Passed without a record or a reject: the next segment counts them, so that counts do not depend on the blocks.
        self._blank_lines = 0
        self._blank_bytes = 0
        self._header_bytes = 0
        self._unresolved = 0
        self._passed = 0  # bytes, headers and what stands before the first not among them

    def start(self, member: str) -> None:
        """A new member: its own header, lines and records counted anew."""
        self._member = member
        self.columns = None
        self._trusted = True
        self._dialect = self._first_dialect
        self._carry = bytearray()
        self._retry_at = 0
        self._offset = 0
        self._line = 1
        self._record = 0

    def feed(self, block: Buffer) -> Iterator[Segment]:
        """The segments that the next block completes. The block is borrowed: segments keep it."""
        if len(block) > _FED_BYTES:
            for start in range(0, len(block), _FED_BYTES):
                yield from self.feed(memoryview(block)[start : start + _FED_BYTES])
            return
        at = 0
        if self._carry:
            if len(self._carry) < len(block):
                seam_end = yield from self._close_seam(block)
            else:
                seam_end = None
            if seam_end is None:
                yield from self._extend_carry(block)
                return
            at = seam_end
        at = yield from self._index(block, at, len(block), final=False)
        self._keep(block, at)

    def finish(self) -> Iterator[Segment]:
        """The segments of what is left: the member ended here."""
        data = bytes(self._carry)
        self._carry = bytearray()
        yield from self._index(data, 0, len(data), final=True)
        if self.columns is None:
            raise HeaderError(
                f"{self._member}: the member is empty",
                advice="a tracking log starts with a header: ask for the log again",
            )
        yield from self._flush_counts()

    def abandon(self) -> Iterator[Segment]:
        """The segments of what is left where the member was cut off: what may go on is a reject."""
        data = bytes(self._carry)
        self._carry = bytearray()
        at = yield from self._index(data, 0, len(data), final=False)
        yield from self._cut_off(data[at:])
        yield from self._flush_counts()

    def _cut_off(self, data: bytes) -> Iterator[Segment]:
        """What waited for bytes that never came. Its whole lines read as at a member's end: a stray quote costs no more
        than there. What then comes last is the reject."""
        whole = data[: data.rfind(b"\n") + 1] if self.columns else b""
        last = None
        for segment in self._index(whole, 0, len(whole), final=True):
            if last:
                yield last
            last = segment
        position, raw = self._position(self._record), data[len(whole) :]
        if last:
            bad = last.rejects[-1] if last.rejects else None
            if bad and bad.position.byte_offset + len(bad.raw) == self._offset:
                # Nobody knows where it would have ended.
                position, raw = bad.position, bad.raw + raw
                last = replace(last, rejects=last.rejects.part(0, len(last.rejects) - 1))
            yield last
        self._passed += len(data) - len(whole)
        if raw:
            cut = Rejects(
                self._member,
                (position.record,),
                (position.line,),
                (position.byte_offset,),
                (Reason.TRUNCATED,),
                (raw,),
                (0,),
            )
            yield self._new_segment(data, 0, b"", b"", position.record, cut, 0)

    def _close_seam(self, block: Buffer) -> Generator[Segment, None, int | None]:
        """Index the records that start in the carry. Returns where to go on in the block, None if it ends first."""
        start = len(self._carry)
        take = max(_SEAM_BYTES, start)
        while take < len(block):
            seam = bytes(self._carry) + bytes(block[:take])
            at = yield from self._index(seam, 0, start, final=False)
            if at >= start:
                self._carry = bytearray()
                return at - start
            # What was indexed is gone; what is left needs a longer seam.
            del self._carry[:at]
            start -= at
            take *= 2
        return None

    def _extend_carry(self, block: Buffer) -> Iterator[Segment]:
        self._carry += block
        if len(self._carry) < self._retry_at and len(self._carry) <= self._limits.max_record_bytes:
            return
        data, self._carry = self._carry, bytearray()
        at = yield from self._index(data, 0, len(data), final=False)
        if at:
            self._keep(data, at)
        else:
            self._carry = data
            # Looking again only when there is twice as much keeps the work linear.
            self._retry_at = 2 * len(data)

    def _keep(self, data: Buffer, at: int) -> None:
        self._carry = bytearray(memoryview(data)[at:])
        self._retry_at = 0

    def _index(self, data: Buffer, start: int, end: int, *, final: bool) -> Generator[Segment, None, int]:
        """Index the records that start in ``data[start:end]``; returns where the first undecided one starts."""
        at = start
        while at < end:
            if self.columns is None:
                past = self._first_header(data, at, final)
                if past is None:
                    return at
                at = past
                continue
            result = self._ask(self.columns, data, at, min(end, at + self._slice), final)
            self._dialect, self._credit = result.dialect, result.credit
            yield from self._segment(data, result, at)
            at = result.position
            if result.status == codes.MORE:
                return at
            if result.status == codes.HEADER:
                header_end = yield from self._next_header(data, at, final)
                if header_end is None:
                    return at
                at = header_end
            elif result.status == codes.LIMIT:
                yield from self._flush_counts()
                raise LimitError(
                    f"{self._position(self._record)}: no end of the record within "
                    f"{self._limits.max_record_bytes} bytes",
                    advice="raise Limits.max_record_bytes if a record may be that long",
                )
        return at

    def _ask(self, columns: tuple[str, ...], data: Buffer, start: int, stop: int, final: bool) -> codes.Indexed:
        """What the kernel finds in ``data[start:stop]``."""
        return codes.Indexed._make(
            kernel.index(
                data,
                start,
                stop,
                final,
                len(columns),
                _timestamp_of(columns),
                columns.index("payload") if "payload" in columns else -1,
                self._names if self._trusted else _REQUIRED,
                self._auto,
                self._dialect,
                self._limits.max_record_bytes,
                self._credit,
            )
        )

    def _segment(self, data: Buffer, result: codes.Indexed, start: int) -> Iterator[Segment]:
        """What the kernel found from ``start`` on, with its place in the member; none if that is nothing."""
        if not self._trusted and (result.records or result.rejects):
            result = self._without_records(data, result, start)
        records, found, end = result.records, result.rejects, result.position
        first_record = self._record
        rejects = self._rejects(data, start, found) if found else Rejects()
        self._line += result.lines
        self._offset += end - start
        self._record += records + len(rejects)
        self._blank_lines += result.blank_lines
        self._blank_bytes += result.blank_bytes
        self._header_bytes += result.mark_bytes
        self._unresolved += result.unresolved
        self._passed += end - start
        if records or rejects:
            yield self._new_segment(
                data, records, result.fields, result.timestamps, first_record, rejects, result.record_bytes
            )

    def _without_records(self, data: Buffer, result: codes.Indexed, start: int) -> codes.Indexed:
        """The same with a reject for each record: nobody knows which column its fields are of."""
        row = memoryview(result.fields).cast("I")
        width = len(self.columns or ()) + 1
        # Its timestamp may be the name that was damaged.
        places = [
            (begin, end, codes.BAD_HEADER if reason == codes.BAD_TIMESTAMP else reason)
            for *_, begin, end, reason in result.rejects
        ]
        for begin, end in zip(row[::width], row[width - 1 :: width], strict=True):
            # Where a header follows at once there is no line end.
            past = end + (data[end : end + 1] == b"\n")
            places.append((begin & 0x7FFFFFFF, past, codes.BAD_HEADER))
        places.sort()
        starts = [begin for begin, *_ in places]
        lines = accumulate(map(kernel.count_lines, repeat(data), (start, *starts), starts))
        rejects = [(0, line, *place) for line, place in zip(lines, places, strict=True)]
        return result._replace(records=0, fields=b"", timestamps=b"", rejects=rejects, record_bytes=0)

    def _rejects(self, data: Buffer, start: int, found: list[tuple[int, int, int, int, int]]) -> Rejects:
        """The bad records found behind ``start``."""
        before, lines, starts, ends, reasons = zip(*found, strict=True)
        return Rejects(
            self._member,
            [*map(add, before, count(self._record))],
            [*map(add, lines, repeat(self._line))],
            [*map(add, starts, repeat(self._offset - start))],
            [*map(_REASONS.__getitem__, reasons)],
            [*map(bytes, map(data.__getitem__, map(slice, starts, ends)))],
            before,
        )

    def _flush_counts(self) -> Iterator[Segment]:
        """A segment of nothing but what was passed since the last one."""
        if self._header_bytes or self._blank_bytes:
            yield self._new_segment(b"", 0, b"", b"", self._record, Rejects(), 0)

    def _new_segment(
        self,
        data: Buffer,
        records: int,
        fields: bytes,
        timestamps: bytes,
        first_record: int,
        rejects: Rejects,
        record_bytes: int,
    ) -> Segment:
        """A segment that counts all that was passed since the last one."""
        segment = Segment(
            self._member,
            data,
            self.columns or (),
            records,
            fields,
            timestamps,
            first_record,
            self._blank_lines,
            rejects,
            self._passed,
            record_bytes,
            self._blank_bytes,
            self._header_bytes,
            self._unresolved,
            self._trusted,
        )
        self._blank_lines = self._blank_bytes = self._header_bytes = self._unresolved = self._passed = 0
        return segment

    def _position(self, record: int) -> Position:
        return Position(self._member, record, self._line, self._offset)

    def _skip(self, data: Buffer, start: int, end: int, blank_bytes: int = 0) -> int:
        """Pass over bytes that are no record: a header but for ``blank_bytes`` of them."""
        self._blank_bytes += blank_bytes
        self._header_bytes += end - start - blank_bytes
        self._line += kernel.count_lines(data, start, end)
        self._offset += end - start
        return end

    def _first_header(self, data: Buffer, at: int, final: bool) -> int | None:
        """Decide the columns by the member's first line; where to go on, None if more bytes are needed."""
        window = _line_window(data, at)
        blank = _LEADING.match(window).end()  # type: ignore[union-attr]
        if blank:
            self._blank_lines += window[:blank].count(b"\n")
            return self._skip(data, at, at + blank, blank - len(BOM) * window[:blank].count(BOM))
        line, newline, _ = window.partition(b"\n")
        if not (newline or final or len(window) == HEADER_BYTES):
            return None
        if codes.is_separator_line(line):
            return self._skip(data, at, at + len(line) + len(newline))
        header = parse_header(line)
        if names_a_log(header):
            if header.fault:
                raise HeaderError(f"{self._member}: {header.fault}")
            self._set_columns(header.columns)
            return self._skip(data, at, at + _size(header, line, newline))
        if starts_with_timestamp(line):
            columns = self._guess_columns(data, at, final)
            if columns is None:
                return None
            self._set_columns(columns)
            return at
        raise HeaderError(
            f"{self._member}: not a tracking log: it starts with {line[:40]!r}, not with a header line "
            f"(//timestamp;tracking_code;...) or a timestamp",
            advice=diagnose(line),
        )

    def _guess_columns(self, data: Buffer, at: int, final: bool) -> tuple[str, ...] | None:
        """The generation that a log without a header belongs to: the one that its first record fits."""
        found: list[tuple[bool, int, tuple[str, ...]]] = []
        for columns in GENERATIONS:
            result = self._ask(columns, data, at, at + 1, final)
            if result.status == codes.MORE:
                return None
            # One with another fault has the right number of columns as well.
            reason = result.rejects[0][-1] if result.rejects else 0
            if result.records or reason in (codes.BAD_TIMESTAMP, codes.BAD_UTF8):
                found.append((not result.records, result.position, columns))
        if found:
            # Of two that fit the shorter one: the other has swallowed a line.
            return min(found, key=itemgetter(0, 1))[2]
        line = bytes(data[at : at + HEADER_BYTES]).partition(b"\n")[0]
        newest, oldest = GENERATIONS
        return newest if line.count(b";") >= len(newest) - 1 else oldest

    def _next_header(self, data: Buffer, at: int, final: bool) -> Generator[Segment, None, int | None]:
        """Let a header in the middle (logs joined with ``cat``) decide the columns; where to go on, None to wait.

        Behind one that cannot be used every record is a reject, until the next one that can.
        """
        line, newline, _ = _line_window(data, at).partition(b"\n")
        if not (newline or final or len(line) >= HEADER_BYTES):
            # The kernel looks no further than max_record_bytes, and a header may be longer.
            return None
        header = parse_header(line)
        size = _size(header, line, newline)
        if not header.fault and self._trusted and header.columns == self.columns:
            return self._skip(data, at, at + size)
        # Blank lines before it belong to the columns that end here.
        yield from self._flush_counts()
        known = (*COLUMNS, *(self.first_columns or ()))
        if not is_damaged(header, known, (*GENERATIONS, self._last_columns)):
            self._set_columns(header.columns)
            return self._skip(data, at, at + size)
        end = at + size
        found = [(0, 0, at, end, codes.BAD_HEADER)]
        lines = kernel.count_lines(data, at, end)
        refused = codes.Indexed(codes.DONE, end, self._dialect, 0, 0, b"", b"", found, 0, 0, 0, lines, 0, self._credit)
        yield from self._segment(data, refused, at)
        self._credit -= _REFUSED_COST
        self.columns = header.columns
        self._trusted = False
        return end

    def _set_columns(self, columns: tuple[str, ...]) -> None:
        self.columns = self._last_columns = columns
        self._trusted = True
        names = (*COLUMNS, *(name for name in columns if name not in COLUMNS and ";" not in name))
        self._names = ";".join(names[:_MOST_NAMES]).encode()
        self.first_columns = self.first_columns or columns


def _line_window(data: Buffer, at: int) -> bytes:
    """The bytes to look for a header in: few where its line ends soon, since hostile logs hold a million of them."""
    near = bytes(data[at : at + _NEAR])
    return near if b"\n" in near else bytes(data[at : at + HEADER_BYTES])


def _size(header: Header, line: bytes, newline: bytes) -> int:
    """The bytes of a header, its line end among them where no record stands before that."""
    return header.size + (len(newline) if header.size == len(line) else 0)


def _timestamp_of(columns: tuple[str, ...]) -> int:
    """The number of the timestamp's field or, where no column is named so, of the one whose name nobody knows."""
    if "timestamp" in columns:
        return columns.index("timestamp")
    return next((number for number, name in enumerate(columns) if name not in COLUMNS), 0)
