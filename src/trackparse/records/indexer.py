"""Finds the records in the blocks of a member: a pure state machine, bytes in, segments out. No I/O, no threads.

How it works. Blocks end anywhere, and nothing that comes out may depend on where. Two rules see to that:

- *The kernel never guesses.* ``index`` answers MORE where the bytes that are not there yet could change what a record
  is: a quote at the end may be the first of two, a CR may belong to a CR LF, a line that breaks off may be a header.
  The indexer then keeps all bytes from that record on: the *carry*. Only ``finish`` says that no more bytes will
  come, and then the kernel never answers MORE.
- *A block is not copied.* The carry is joined with the first bytes of the next block to a *seam*, 4 KiB or as long as
  the carry, and only the records that start in the carry are indexed there. If the last of them does not end in the
  seam, the seam doubles. The block itself is indexed from where that record ended. So one record of a block is
  copied.

A record that is longer than a block stays in the carry, and whole blocks are added to that. It is read again only
when the carry has doubled, so the bytes read again stay proportional to its length. ``Limits.max_record_bytes`` ends
it.

*Credit* bounds what hostile logs cost: the bytes that may be read for nothing, by readings that are not taken and in
bad records. It is counted by the kernel (kernel/index.py) and handed from one call to the next, over all members of a
log. It depends on the bytes of the log alone, and not on how they are cut into blocks.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Final

from trackparse.errors import HeaderError, LimitError, Position
from trackparse.limits import Limits
from trackparse.records.header import (
    Header,
    columns_below,
    diagnose,
    header_behind_record,
    is_damaged,
    names_a_log,
    parse_header,
    starts_with_timestamp,
)
from trackparse.records.kernel import codes
from trackparse.records.kernel.chooser import kernel
from trackparse.records.kernel.codes import HEADER_BYTES, Buffer, Indexed, Question
from trackparse.records.kernel.index import credit_limit
from trackparse.records.kernel.lines import BOM, is_separator_line
from trackparse.records.segments import Rejects, Segment, one_reject
from trackparse.schema import COLUMNS, GENERATIONS, REQUIRED

_DIALECTS: Final = {"auto": codes.PHP, "php": codes.PHP, "rfc4180": codes.RFC4180}
# What may stand before a header: blank lines and byte order marks.
_LEADING: Final = re.compile(rb"(?:\xef\xbb\xbf|\r*\n)*")
# The known names below a damaged header: there the kernel stops only at a header that has both of these.
_REQUIRED: Final = ";".join(REQUIRED).encode()
# The credit that a header costs that cannot be used. Each costs a call of the kernel, and a log may hold nothing else.
_BAD_HEADER_COST: Final = 1 << 14
# The kernel cannot be interrupted by a signal, so it is called for this many bytes at a time.
_SLICE_BYTES: Final = 1 << 22
_NEAR_BYTES: Final = 1024  # most headers are shorter than this
_SEAM_BYTES: Final = 4096
# Longer blocks are fed in pieces of this size: positions of the kernel have 31 bits, and a carry of 1 GiB may be added.
_FED_BYTES: Final = 256 << 20


class Indexer:
    """Indexes one member after the other: ``start``, ``feed`` its blocks, then ``finish`` or ``abandon``."""

    def __init__(self, dialect: str, limits: Limits, block_size: int) -> None:
        self._automatic = dialect == "auto"
        self._first_dialect = self._dialect = _DIALECTS[dialect]
        self._limits = limits
        self._credit = credit_limit(limits.max_record_bytes)
        self._slice = min(block_size, _SLICE_BYTES)
        self.columns: tuple[str, ...] | None = None  # of the records that come next; None before the member's header
        self._probable_columns: tuple[str, ...] = ()  # the same, but below a damaged header those that it seems to name
        self._names = ";".join(COLUMNS).encode()  # of the known columns, then the others of this log
        self._trusted = True  # False below a header that cannot be used: the columns are not known
        self.first_columns: tuple[str, ...] | None = None  # of the first header of all members
        self._first_names = frozenset(COLUMNS)  # of these, and of all logs
        self._last_columns: tuple[str, ...] = ()  # of the last header that could be used
        self._last_names: frozenset[str] = frozenset()
        self._member = ""
        self._log = ""
        self._carry = bytearray()  # bytes behind the last whole record
        self._retry_at = 0  # how long the carry must be before it is read again
        # The place in the member of the next byte that is not indexed yet.
        self._offset = 0
        self._line = 1
        self._record = 0
        # Counted since the last segment. What stands between records waits here for the next segment, so that
        # segments do not depend on the blocks.
        self._blank_lines = 0
        self._blank_bytes = 0
        self._header_bytes = 0
        self._unresolved = 0
        self._size = 0  # bytes indexed, without headers and what stands before the first of them

    def start(self, member: str, log: str = "") -> None:
        """Begin a new member, with its own header; lines and records are counted anew. ``log``: see ``Segment``."""
        self._member = member
        self._log = log
        self.columns = None
        if not self._trusted:
            self._last_columns, self._last_names = (), frozenset()
        self._trusted = True
        self._dialect = self._first_dialect
        self._carry = bytearray()
        self._retry_at = 0
        self._offset = 0
        self._line = 1
        self._record = 0

    def feed(self, block: Buffer) -> Iterator[Segment]:
        """The segments that the next block completes.

        The block is borrowed, not copied: segments keep it.
        """
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
        """The segments of what is left at the end of the member."""
        data = bytes(self._carry)
        self._carry = bytearray()
        yield from self._index(data, 0, len(data), final=True)
        if self.columns is None:
            raise HeaderError(
                f"{self._member}: the log is empty",
                advice="a tracking log starts with a header: ask for the log again",
            )
        yield from self._flush_counts()

    def abandon(self) -> Iterator[Segment]:
        """The segments of what is left where the member breaks off; the record that does not end is a reject."""
        data = bytes(self._carry)
        self._carry = bytearray()
        at = yield from self._index(data, 0, len(data), final=False)
        yield from self._truncated(data[at:])
        yield from self._flush_counts()

    def _truncated(self, data: bytes) -> Iterator[Segment]:
        """The segments of bytes that were to wait for more, where no more will come.

        Whole lines are read as at a member's end, so that a stray quote costs no more than there. What comes last is
        the reject.
        """
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
                # A bad record at the end might have gone on: nobody knows where it ends.
                position, raw = bad.position, bad.raw + raw
                last = replace(last, rejects=last.rejects.part(0, len(last.rejects) - 1))
            yield last
        self._size += len(data) - len(whole)
        if raw:
            truncated = one_reject(position, codes.TRUNCATED, raw)
            yield self._new_segment(data, 0, b"", b"", position.record, truncated, 0)

    def _close_seam(self, block: Buffer) -> Generator[Segment, None, int | None]:
        """Index the records that start in the carry; returns where to go on in the block, None to wait for the next."""
        start = len(self._carry)
        take = max(_SEAM_BYTES, start)
        while take < len(block):
            seam = bytes(self._carry) + bytes(block[:take])
            at = yield from self._index(seam, 0, start, final=False)
            if at >= start:
                self._carry = bytearray()
                return at - start
            # The rest of the carry needs a longer seam.
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
            # Reading it again only when it has doubled keeps the work linear.
            self._retry_at = 2 * len(data)

    def _keep(self, data: Buffer, at: int) -> None:
        self._carry = bytearray(memoryview(data)[at:])
        self._retry_at = 0

    def _index(self, data: Buffer, start: int, end: int, *, final: bool) -> Generator[Segment, None, int]:
        """Index the records that start in ``data[start:end]``; returns where the first undecided record starts."""
        at = start
        while at < end:
            if self.columns is None:
                past = self._first_header(data, at, final)
                if past is None:
                    return at
                at = past
                continue
            result = self._ask(self._probable_columns, data, at, min(end, at + self._slice), final)
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
                    f"{self._position(self._record)}: the record does not end within "
                    f"{self._limits.max_record_bytes} bytes",
                    advice="raise Limits.max_record_bytes if a record may be that long",
                    option="limits",
                )
        return at

    def _ask(self, columns: tuple[str, ...], data: Buffer, start: int, stop: int, final: bool) -> Indexed:
        """What the kernel finds in ``data[start:stop]``."""
        return kernel.index(
            Question(
                data,
                start,
                stop,
                final=final,
                width=len(columns),
                timestamp=_timestamp_field(columns),
                payload=columns.index("payload") if "payload" in columns else codes.NO_COLUMN,
                names=self._known_names,
                trusted=self._trusted,
                automatic=self._automatic,
                dialect=self._dialect,
                max_record_bytes=self._limits.max_record_bytes,
                credit=self._credit,
                record=self._record,
                line=self._line,
                byte_offset=self._offset,
            )
        )

    @property
    def _known_names(self) -> bytes:
        """The names by which a header in the middle is known, with ";" between them."""
        return self._names if self._trusted else _REQUIRED

    def _segment(self, data: Buffer, result: Indexed, start: int) -> Iterator[Segment]:
        """The segment of what the kernel found from ``start`` on; nothing if it found neither records nor rejects."""
        records, end = result.records, result.position
        first_record = self._record
        rejects = Rejects(self._member, result.rejects, result.raw)
        self._line += result.lines
        self._offset += end - start
        self._record += records + len(rejects)
        self._blank_lines += result.blank_lines
        self._blank_bytes += result.blank_bytes
        self._header_bytes += result.mark_bytes
        self._unresolved += result.unresolved
        self._size += end - start
        if records or rejects:
            yield self._new_segment(
                data, records, result.fields, result.timestamps, first_record, rejects, result.record_bytes
            )

    def _flush_counts(self) -> Iterator[Segment]:
        """A segment without records, of the blank lines and headers since the last segment."""
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
        """A segment with all that was counted since the last one."""
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
            self._size,
            record_bytes,
            self._blank_bytes,
            self._header_bytes,
            self._unresolved,
            self._trusted,
            self._log,
        )
        self._blank_lines = self._blank_bytes = self._header_bytes = self._unresolved = self._size = 0
        return segment

    def _position(self, record: int) -> Position:
        return Position(self._member, record, self._line, self._offset)

    def _skip(self, data: Buffer, start: int, end: int, blank_bytes: int = 0) -> int:
        """Count bytes that are no record: a header, and ``blank_bytes`` of blank lines. Returns ``end``."""
        self._blank_bytes += blank_bytes
        self._header_bytes += end - start - blank_bytes
        self._line += kernel.count_lines(data, start, end)
        self._offset += end - start
        return end

    def _first_header(self, data: Buffer, at: int, final: bool) -> int | None:
        """Decide the columns by the member's first line; returns where to go on, None if more bytes are needed."""
        near = _bytes_of_line(data, at)
        leading = _LEADING.match(near).group()  # type: ignore[union-attr]
        if leading:
            self._blank_lines += leading.count(b"\n")
            return self._skip(data, at, at + len(leading), len(leading) - len(BOM) * leading.count(BOM))
        line, newline, _ = near.partition(b"\n")
        if not (newline or final or len(near) == HEADER_BYTES):
            return None
        if is_separator_line(line):
            return self._skip(data, at, at + len(line) + len(newline))
        header = parse_header(line)
        if names_a_log(header):
            if header.problem:
                raise HeaderError(f"{self._member}: {header.problem}")
            self._set_columns(header.columns)
            return self._skip(data, at, at + _header_size(header, line, newline))
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
        """The columns of a log without a header, by its first record; None if more bytes are needed.

        They are those of a generation, or of the member before: a log that was split has its header in the first part.
        """
        # A record that another column begins is not known for one.
        before = self._last_columns if self._last_columns[:1] == COLUMNS[:1] else ()
        layouts = [*([before] if before else []), *(names for names in GENERATIONS if len(names) != len(before))]
        found: list[tuple[bool, int, tuple[str, ...]]] = []  # whether the record is bad, where it ends, the columns
        for columns in layouts:
            result = self._ask(columns, data, at, at + 1, final)
            if result.status == codes.MORE:
                return None
            # A record that is bad for one of these two reasons has the right number of fields as well.
            reason = memoryview(result.rejects).cast("q")[codes.REASON] if result.rejects else 0
            if result.records or reason in (codes.BAD_TIMESTAMP, codes.BAD_UTF8):
                found.append((not result.records, result.position, columns))
        if found:
            # If several fit, take the one with the shortest record: a longer record has swallowed a line.
            _, _, columns = min(found, key=lambda one: one[:2])
            return columns
        line = bytes(data[at : at + HEADER_BYTES]).partition(b"\n")[0]
        fields = line.count(b";") + 1
        layouts.sort(key=len, reverse=True)
        return next((columns for columns in layouts if len(columns) <= fields), layouts[-1])

    def _next_header(self, data: Buffer, at: int, final: bool) -> Generator[Segment, None, int | None]:
        """Let a header in the middle decide the columns; returns where to go on, None if more bytes are needed.

        Headers stand in the middle where logs were joined with ``cat``. Below a header that cannot be used, every
        record is a reject until the next one that can be used.
        """
        line, newline, _ = _bytes_of_line(data, at).partition(b"\n")
        if not (newline or final or len(line) >= HEADER_BYTES):
            # The kernel answers HEADER after max_record_bytes at most, and a header may be longer than that.
            return None
        header = parse_header(line)
        if header.problem:
            header = header_behind_record(line, self._known_names.split(b";")) or header
        size = _header_size(header, line, newline)
        behind = len(line) - header.size
        if behind and self._credit <= 0:
            raise LimitError(
                f"{self._position(self._record)}: too many headers without a line end",
                advice="look at what joined them, or cut the log before this line",
            )
        # What stands behind it on its line is read again.
        self._credit -= behind
        if not header.problem and self._trusted and header.columns == self.columns:
            return self._skip(data, at, at + size)
        # Blank lines before it belong to the columns that end here.
        yield from self._flush_counts()
        layouts = (self._last_columns, self.first_columns or (), *GENERATIONS)
        if not is_damaged(header, (self._first_names, self._last_names), layouts):
            self._set_columns(header.columns)
            return self._skip(data, at, at + size)
        if self._credit <= 0:
            raise LimitError(
                f"{self._position(self._record)}: too many headers that cannot be used",
                advice="look at what damaged them, or cut the log before this line",
            )
        end = at + size
        refused_line = one_reject(self._position(self._record), codes.BAD_HEADER, bytes(data[at:end]))
        refused = Indexed(
            codes.DONE,
            position=end,
            dialect=self._dialect,
            records=0,
            blank_lines=0,
            fields=b"",
            timestamps=b"",
            rejects=bytes(refused_line.table),
            raw=bytes(refused_line.raw),
            record_bytes=0,
            blank_bytes=0,
            mark_bytes=0,
            lines=kernel.count_lines(data, at, end),
            unresolved=0,
            credit=self._credit,
        )
        yield from self._segment(data, refused, at)
        self._credit -= _BAD_HEADER_COST
        self.columns = header.columns
        self._probable_columns = columns_below(header, layouts)
        self._trusted = False
        return end

    def _set_columns(self, columns: tuple[str, ...]) -> None:
        self.columns = self._probable_columns = self._last_columns = columns
        self._trusted = True
        self._last_names = frozenset(columns)
        self._names = _names_of(columns)
        if self.first_columns is None:
            self.first_columns = columns
            self._first_names = frozenset((*COLUMNS, *columns))


_KNOWN_NAMES: Final = {name.lower(): name for name in map(str.encode, COLUMNS)}


@lru_cache(16)
def _names_of(columns: tuple[str, ...]) -> bytes:
    """The known columns and these, as the kernel takes them: each name once, and capital letters make no difference."""
    names = _KNOWN_NAMES | {name.lower(): name for name in map(str.encode, columns) if b";" not in name}
    return b";".join([*names.values()][: codes.MOST_NAMES])


def _bytes_of_line(data: Buffer, at: int) -> bytes:
    """The line at ``at``, with bytes behind it or cut to HEADER_BYTES: few bytes if it ends soon.

    A hostile log holds a million lines that look like headers.
    """
    near = bytes(data[at : at + _NEAR_BYTES])
    return near if b"\n" in near else bytes(data[at : at + HEADER_BYTES])


def _header_size(header: Header, line: bytes, newline: bytes) -> int:
    """The bytes of a header; with its line end, unless the first record stands before that."""
    return header.size + (len(newline) if header.size == len(line) else 0)


def _timestamp_field(columns: tuple[str, ...]) -> int:
    """The number of the timestamp's field.

    If no column has that name, the header is damaged, and the timestamp is taken to be the first unknown column.
    """
    if "timestamp" in columns:
        return columns.index("timestamp")
    return next((number for number, name in enumerate(columns) if name not in COLUMNS), 0)
