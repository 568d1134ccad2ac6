"""Finds the records in the blocks of a member: a pure state machine, bytes in, segments out. No I/O, no threads.

A block is never copied: only the record that straddles two of them is, into a seam of its own.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import Final

from trackparse import _reference as codes
from trackparse.dispatch import kernel
from trackparse.errors import HeaderError, LimitError, Position
from trackparse.header import BOM, GENERATIONS, HEADER_BYTES, MAX_COLUMNS, parse_header, starts_with_timestamp
from trackparse.limits import Limits

Buffer = bytes | bytearray | memoryview

DIALECTS: Final = {"auto": codes.PHP, "php": codes.PHP, "rfc4180": codes.RFC4180}
REASONS: Final = {
    codes.UNCLOSED_QUOTE: "unclosed_quote",
    codes.TEXT_AFTER_QUOTE: "text_after_quote",
    codes.FIELD_COUNT: "field_count",
    codes.BAD_UTF8: "bad_utf8",
    codes.BAD_TIMESTAMP: "bad_timestamp",
    codes.TOO_LONG: "too_long",
}
TRUNCATED: Final = "truncated"
EXPLANATIONS: Final = {
    "unclosed_quote": "a quoted field does not end",
    "text_after_quote": "text follows a closing quote",
    "field_count": "the number of fields is not the header's",
    "bad_utf8": "bytes that are not UTF-8",
    "bad_timestamp": "the timestamp is none",
    "too_long": "longer than Limits.max_record_bytes",
    TRUNCATED: "the log ends in the middle of it",
}
# What may stand before a header: blank lines and byte order marks.
_LEADING: Final = re.compile(rb"(?:\xef\xbb\xbf|\r*\n)*")
_SEAM_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Reject:
    """A bad record, kept."""

    position: Position
    reason: str
    raw: bytes
    before: int  # records of its segment that come before it


@dataclass(frozen=True, slots=True)
class Segment:
    """Records of one stretch of one block, and the rejects between them."""

    member: str
    data: Buffer
    columns: tuple[str, ...]  # in the order of the fields
    records: int
    fields: bytes  # the kernel's field table
    timestamps: bytes  # int64 microseconds since 1970
    first_record: int  # of all records and rejects of the member, 0-based
    blank_lines: int
    rejects: tuple[Reject, ...]
    size: int  # bytes of the member that it covers

    def head(self, records: int) -> Segment:
        """The first ``records`` records of it, and no rejects."""
        return replace(self, records=records, rejects=())

    def run(self, column: str) -> codes.Run:
        """What the kernel needs to read one column of it."""
        field = self.columns.index(column) if column in self.columns else -1
        return self.data, self.fields, self.records, len(self.columns), field


class Indexer:
    """Indexes one member after the other: ``start``, ``feed`` its blocks, then ``finish`` or ``abandon``."""

    def __init__(self, dialect: str, limits: Limits, block_size: int) -> None:
        if dialect not in DIALECTS:
            raise ValueError(f"dialect={dialect!r}: there are {', '.join(DIALECTS)}")
        self._auto = dialect == "auto"
        self._dialect = DIALECTS[dialect]
        self._limits = limits
        self._slice = block_size
        self.columns: tuple[str, ...] | None = None  # of the records that come next
        self.first_columns: tuple[str, ...] | None = None  # of the first header of all
        self._member = ""
        self._carry = bytearray()  # bytes after the last whole record
        self._retry_at = 0  # how long the carry must be before another look is worth it
        self._offset = 0  # of the next byte in the member
        self._line = 1
        self._record = 0
        self._blank_lines = 0  # before the header: the next segment counts them

    def start(self, member: str) -> None:
        """A new member: its own header, lines and records counted anew."""
        self._member = member
        self.columns = None
        self._carry = bytearray()
        self._retry_at = 0
        self._offset = 0
        self._line = 1
        self._record = 0

    def feed(self, block: Buffer) -> Iterator[Segment]:
        """The segments that the next block completes. The block is borrowed: segments keep it."""
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
            raise HeaderError(f"{self._member}: it is empty: a tracking log starts with a header")

    def abandon(self) -> Iterator[Segment]:
        """The segments of what is left where the member was cut off: what may go on is a reject."""
        data = bytes(self._carry)
        self._carry = bytearray()
        at = 0
        if data:
            at = yield from self._index(data, 0, len(data), final=False)
        if at < len(data):
            reject = Reject(self._position(self._record), TRUNCATED, data[at:], 0)
            yield self._segment(data, (codes.MORE, 0, 0, 0, 0, b"", b"", []), at, len(data), (reject,))

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
            columns = self.columns
            result = kernel.index(
                data,
                at,
                min(end, at + self._slice),
                final,
                len(columns),
                columns.index("timestamp"),
                columns.index("payload") if "payload" in columns else -1,
                self._auto,
                self._dialect,
                self._limits.max_record_bytes,
            )
            status, past, self._dialect = result[:3]
            yield self._segment(data, result, at, past)
            at = past
            if status == codes.MORE:
                return at
            if status == codes.HEADER:
                header_end = self._next_header(data, at, final)
                if header_end is None:
                    return at
                at = header_end
            elif status == codes.LIMIT:
                raise LimitError(
                    f"{self._position(self._record)}: no end of the record within "
                    f"{self._limits.max_record_bytes} bytes: raise Limits.max_record_bytes if this is meant"
                )
        return at

    def _segment(
        self,
        data: Buffer,
        result: tuple[int, int, int, int, int, bytes, bytes, list[tuple[int, int, int, int]]],
        start: int,
        end: int,
        rejects: tuple[Reject, ...] = (),
    ) -> Segment:
        """What the kernel found in ``data[start:end]``, with its place in the member."""
        _, _, _, records, blank_lines, fields, timestamps, found = result
        first_record, offset, line, counted = self._record, self._offset, self._line, start
        kept = list(rejects)
        for before, reject_start, reject_end, reason in found:
            line += kernel.count_lines(data, counted, reject_start)
            counted = reject_start
            position = Position(
                self._member, first_record + before + len(kept), line, offset + reject_start - start
            )
            kept.append(Reject(position, REASONS[reason], bytes(data[reject_start:reject_end]), before))
        self._line = line + kernel.count_lines(data, counted, end)
        self._offset += end - start
        self._record += records + len(kept)
        blank_lines += self._blank_lines
        self._blank_lines = 0
        return Segment(
            self._member,
            data,
            self.columns or (),
            records,
            fields,
            timestamps,
            first_record,
            blank_lines,
            tuple(kept),
            end - start,
        )

    def _position(self, record: int) -> Position:
        return Position(self._member, record, self._line, self._offset)

    def _skip(self, data: Buffer, start: int, end: int) -> int:
        """Pass over bytes that are no record."""
        self._line += kernel.count_lines(data, start, end)
        self._offset += end - start
        return end

    def _first_header(self, data: Buffer, at: int, final: bool) -> int | None:
        """Decide the columns by the member's first line; where to go on, None if more bytes are needed."""
        window = bytes(data[at : at + HEADER_BYTES])
        blank = _LEADING.match(window).end()  # type: ignore[union-attr]
        if blank:
            self._blank_lines += window[:blank].count(b"\n")
            return self._skip(data, at, at + blank)
        line, newline, _ = window.partition(b"\n")
        if not (newline or final or len(window) == HEADER_BYTES):
            return None
        header = parse_header(line)
        if header:
            self._set_columns(header[0])
            past = at + header[1] + (len(newline) if header[1] == len(line) else 0)
            return self._skip(data, at, past)
        if starts_with_timestamp(line):
            columns = self._guess_columns(data, at, final)
            if columns is None:
                return None
            self._set_columns(columns)
            return at
        raise HeaderError(
            f"{self._member}: not a tracking log: it starts with {line[:40]!r}, not with a header line "
            "(//timestamp;tracking_code;...) or a timestamp"
        )

    def _guess_columns(self, data: Buffer, at: int, final: bool) -> tuple[str, ...] | None:
        """The generation that a log without a header belongs to: the one that its first record fits."""
        for columns in GENERATIONS.values():
            payload = columns.index("payload") if "payload" in columns else -1
            result = kernel.index(
                data,
                at,
                at + 1,
                final,
                len(columns),
                0,
                payload,
                self._auto,
                self._dialect,
                self._limits.max_record_bytes,
            )
            if result[0] == codes.MORE:
                return None
            if result[3]:
                return columns
        line = bytes(data[at : at + HEADER_BYTES]).partition(b"\n")[0]
        return GENERATIONS[8 if line.count(b";") >= 7 else 6]

    def _next_header(self, data: Buffer, at: int, final: bool) -> int | None:
        """Let a header in the middle (logs joined with ``cat``) decide the columns; where to go on, None to wait."""
        start = at
        window = bytes(data[at : at + HEADER_BYTES + 3])
        if window[:3] == BOM:
            window = window[3:]
            at += 3
        line, newline, _ = window.partition(b"\n")
        if not (newline or final or len(line) >= HEADER_BYTES):
            # The kernel looks no further than max_record_bytes, and a header may be longer.
            return None
        header = parse_header(line)
        if header:
            self._set_columns(header[0])
            at += header[1] + (len(newline) if header[1] == len(line) else 0)
        elif at == start:
            raise HeaderError(f"{self._position(self._record)}: unreadable header {line[:80]!r}")
        return self._skip(data, start, at)

    def _set_columns(self, columns: tuple[str, ...]) -> None:
        if len(columns) > MAX_COLUMNS:
            raise HeaderError(f"{self._member}: {len(columns)} columns: a tracking log has at most {MAX_COLUMNS}")
        self.columns = columns
        self.first_columns = self.first_columns or columns
