"""What the indexer makes of a block: records by their fields, and the rejects between them. No logic of its own."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from trackparse.errors import Position, Reason
from trackparse.records.kernel.codes import START_MASK, Buffer


class Reject(NamedTuple):
    """A bad record, kept with its place and its bytes."""

    position: Position
    reason: Reason
    raw: bytes
    before: int  # how many records of its segment come before it


@dataclass(frozen=True, slots=True)
class Rejects:
    """Rejects of one member, as columns of equal length.

    An object for each reject would cost more than finding it did.
    """

    member: str = ""
    # The next three as in Position.
    records: Sequence[int] = ()
    lines: Sequence[int] = ()
    byte_offsets: Sequence[int] = ()
    reasons: Sequence[Reason] = ()
    raws: Sequence[bytes] = ()
    before: Sequence[int] = ()  # how many records of their segment come before each

    def __len__(self) -> int:
        return len(self.raws)

    def __getitem__(self, at: int) -> Reject:
        position = Position(self.member, self.records[at], self.lines[at], self.byte_offsets[at])
        return Reject(position, self.reasons[at], self.raws[at], self.before[at])

    def part(self, start: int, stop: int, records_gone: int = 0) -> Rejects:
        """Those from ``start`` to ``stop``, for a segment whose first ``records_gone`` records are gone."""
        if start >= min(stop, len(self)):
            return Rejects(self.member)
        at = slice(start, stop)
        before = [number - records_gone for number in self.before[at]]
        return Rejects(
            self.member,
            self.records[at],
            self.lines[at],
            self.byte_offsets[at],
            self.reasons[at],
            self.raws[at],
            before,
        )


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
