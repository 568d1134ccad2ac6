"""What the indexer makes of a block: records by their fields, and the rejects between them. No logic of its own."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from trackparse.errors import Position, Reason
from trackparse.records.kernel import codes
from trackparse.records.kernel.codes import START_MASK, Buffer


class Reject(NamedTuple):
    """A bad record, kept with its place and its bytes."""

    position: Position
    reason: Reason
    raw: bytes
    before: int  # how many records of its segment come before it


REASONS: Final = {
    codes.UNCLOSED_QUOTE: Reason.UNCLOSED_QUOTE,
    codes.TEXT_AFTER_QUOTE: Reason.TEXT_AFTER_QUOTE,
    codes.FIELD_COUNT: Reason.FIELD_COUNT,
    codes.BAD_UTF8: Reason.BAD_UTF8,
    codes.BAD_TIMESTAMP: Reason.BAD_TIMESTAMP,
    codes.TOO_LONG: Reason.TOO_LONG,
    codes.BAD_HEADER: Reason.BAD_HEADER,
    codes.TRUNCATED: Reason.TRUNCATED,
}
_ROW_BYTES: Final = 8 * codes.REJECT_WORDS


@dataclass(frozen=True, slots=True)
class Rejects:
    """Rejects of one member, as the kernel finds them: an object for each would cost more than finding it did."""

    member: str = ""
    table: Buffer = b""  # the reject table
    raw: Buffer = b""  # the bytes of all of them, one behind the other

    def __len__(self) -> int:
        return len(self.table) // _ROW_BYTES

    def __getitem__(self, at: int) -> Reject:
        before, record, line, byte_offset, size, reason = (self.column(word)[at] for word in range(codes.REJECT_WORDS))
        start = sum(self.column(codes.SIZE)[: at % len(self)])
        raw = bytes(self.raw[start : start + size])
        return Reject(Position(self.member, record, line, byte_offset), REASONS[reason], raw, before)

    def column(self, word: int) -> memoryview:
        """One word of each row of the table, such as ``codes.SIZE``."""
        return memoryview(self.table).cast("q")[word :: codes.REJECT_WORDS]

    @property
    def before(self) -> list[int]:
        """How many records of their segment come before each."""
        return self.column(codes.BEFORE).tolist()

    def part(self, start: int, stop: int, records_gone: int = 0) -> Rejects:
        """Those from ``start`` to ``stop``, for a segment whose first ``records_gone`` records are gone."""
        sizes = self.column(codes.SIZE)
        first, size = sum(sizes[:start]), sum(sizes[start:stop])
        part = Rejects(self.member, self.table[start * _ROW_BYTES : stop * _ROW_BYTES], self.raw[first : first + size])
        if not records_gone:
            return part
        return part.with_word(codes.BEFORE, [number - records_gone for number in part.before])

    def with_word(self, word: int, values: Iterable[int]) -> Rejects:
        """The same with other values for one word of each row of the table."""
        table = array("q", bytes(self.table))
        table[word :: codes.REJECT_WORDS] = array("q", values)
        return replace(self, table=table.tobytes())


def one_reject(position: Position, reason: int, raw: bytes) -> Rejects:
    """A reject with no record before it; ``reason`` is a number of ``codes``."""
    place = (0, position.record, position.line, position.byte_offset, len(raw), reason)
    return Rejects(position.member, array("q", place).tobytes(), raw)


@dataclass(frozen=True, slots=True)
class Segment:
    """Records of one stretch of one block, and the rejects between them."""

    member: str
    data: Buffer
    columns: tuple[str, ...]  # in the order of the fields
    records: int
    fields: Buffer  # the kernel's field table
    timestamps: Buffer  # int64 microseconds since 1970
    first_record: int  # its number among all records and rejects of the member, 0-based
    blank_lines: int
    rejects: Rejects
    size: int  # bytes of the member that it covers
    record_bytes: int  # with line ends
    blank_bytes: int  # of blank lines; with those in front of the segment
    header_bytes: int  # with byte order marks, and with those in front of the segment
    unresolved: int  # records and rejects of which not all readings were weighed
    trusted: bool = True  # False below a header that cannot be used: all records there are rejects
    log: str = ""  # the name of its log, if the column LOG is wanted

    def until_reject(self) -> Segment:
        """Its records before its first reject, and that reject."""
        records = self.rejects.before[0]
        rows = memoryview(self.fields).cast("B").cast("I")
        width = len(self.columns) + 1
        starts, ends = rows[: records * width : width], rows[width - 1 : records * width : width]
        size = sum(min(end + 1, len(self.data)) - (start & START_MASK) for start, end in zip(starts, ends, strict=True))
        return replace(self, records=records, rejects=self.rejects.part(0, 1), record_bytes=size)

    def part(self, start: int, stop: int) -> Segment:
        """Its records ``start`` to ``stop``, and the rejects between them. All that the stream counts is 0."""
        stop = min(stop, self.records)
        before = self.rejects.before
        rejects_gone = bisect_right(before, start) if start else 0
        row = 4 * (len(self.columns) + 1)  # bytes of the field table
        return replace(
            self,
            records=stop - start,
            fields=memoryview(self.fields)[start * row : stop * row],
            timestamps=memoryview(self.timestamps)[start * 8 : stop * 8],
            first_record=self.first_record + start + rejects_gone,
            blank_lines=0,
            rejects=self.rejects.part(rejects_gone, bisect_right(before, stop), start),
            size=0,
            record_bytes=0,
            blank_bytes=0,
            header_bytes=0,
            unresolved=0,
        )
