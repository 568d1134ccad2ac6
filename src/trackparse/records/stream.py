"""Pulls the blocks of all members through the indexer, and counts. No columns, no events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import PurePath
from typing import Final, Literal, NamedTuple

from trackparse.archive.readahead import ClosedError, MemberDamaged, MemberEnd, MemberStart, ReadAhead, ReadHere
from trackparse.archive.zip_headers import member_label
from trackparse.errors import HeaderError, LimitError, Reason, RecordError
from trackparse.records.indexer import Indexer
from trackparse.records.kernel.codes import MOST_REJECTS
from trackparse.records.segments import Reject, Rejects, Segment
from trackparse.sources.source import Source

OnError = Literal["raise", "quarantine", "skip"]


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts of what was read so far.

    records: good records, including those that a filter left out.
    filtered: good records that ``where`` left out.
    rejected: bad records.
    blank_lines: blank lines.
    bytes_read: bytes read from the source.
    bytes_total: size of the source in bytes. None if it is not known.
    bytes_inflated: bytes of the members, unpacked.
    members: files of the archive that were begun.
    members_left_out: files of the archive that are not read because of their names.
    bytes_in_records: bytes of good records, with their line ends.
    bytes_in_rejects: bytes of bad records, with their line ends.
    bytes_in_blank_lines: bytes of blank lines.
    bytes_in_headers: bytes of header lines, with their line ends, and of byte order marks.
    unresolved: records and rejects that can be read in so many ways that not all of them were compared.
    misfits: values inside payloads that do not fit the type of their column in ``payload_columns``: they are null.

    When a log was read to its end, ``bytes_in_records + bytes_in_rejects + bytes_in_blank_lines + bytes_in_headers``
    is ``bytes_inflated``: every byte is accounted for.

    >>> with trackparse.open_log("tracking_log.zip", on_error="skip") as log:
    ...     for batch in log:
    ...         pass
    ...     print(log.stats.records, log.stats.rejected)
    1000 0
    """

    records: int = 0
    filtered: int = 0
    rejected: int = 0
    blank_lines: int = 0
    bytes_read: int = 0
    bytes_total: int | None = None
    bytes_inflated: int = 0
    members: int = 0
    members_left_out: int = 0
    bytes_in_records: int = 0
    bytes_in_rejects: int = 0
    bytes_in_blank_lines: int = 0
    bytes_in_headers: int = 0
    unresolved: int = 0
    misfits: int = 0


# The fields of Stats that are counted here; the source knows the others.
COUNTS: Final = tuple({field.name for field in fields(Stats)} - {"bytes_read", "bytes_total", "members_left_out"})
# A batch costs some 4 µs a column, however few records it has.
_BYTES_A_COLUMN: Final = 32
_MANY_COLUMNS: Final = 64  # up to here what has come is handed out at once


class Among(NamedTuple):
    """Where a log stands among others that are read as one.

    in_column: whether the records have the name of the log in the column LOG. before: what was read of the logs before
    this one. others: bytes of all other logs; None if not known.
    """

    in_column: bool
    before: Stats
    others: int | None


class SegmentStream:
    """The segments of a log, a batch at a time, with what was counted on the way."""

    def __init__(
        self,
        source: Source,
        ahead: ReadAhead | ReadHere,
        indexer: Indexer,
        on_error: OnError,
        on_rejects: Callable[[Rejects, tuple[str, ...]], object] | None,
        block_size: int,
        progress: Callable[[Stats], object] | None,
        name: str,
        among: Among | None = None,
    ) -> None:
        """``name`` is how messages call the log. ``among``: None if it is read alone; else ``stats`` include others."""
        self._source = source
        self._ahead = ahead
        self._indexer = indexer
        self._on_error = on_error
        self._block_size = block_size
        self._progress = progress
        self._name = name
        self._among = among
        self._before = Stats() if among is None else among.before
        self._counts = {name: getattr(self._before, name) for name in COUNTS}
        self._on_rejects = on_rejects

    @property
    def stats(self) -> Stats:
        """What was read so far."""
        size, others = self._source.size, 0 if self._among is None else self._among.others
        return Stats(
            **self._counts,
            bytes_read=self._before.bytes_read + self._source.bytes_read,
            bytes_total=None if size is None or others is None else size + others,
            members_left_out=self._before.members_left_out + self._ahead.left_out,
        )

    def count_filtered(self, records: int) -> None:
        """Count good records that a filter leaves out."""
        self._count(filtered=records)

    def count_misfits(self, values: int) -> None:
        """Count values inside payloads that do not fit the type of their column."""
        self._count(misfits=values)

    def groups(self) -> Iterator[list[Segment]]:
        """Segments, a batch at a time.

        The first group comes as soon as the header is known, and may be empty.
        """
        held: list[Segment] = []
        size = rejected = 0  # bytes and rejects of the held segments; adding them up anew each time would be slow
        announced = False
        try:
            for segment in self._segments():
                if segment is not None:
                    held.append(self._take(segment))
                    size += segment.size
                    rejected += len(held[-1].rejects)
                    if held[-1] is not segment:
                        raise record_error(held[-1].rejects[0])
                # A batch is what one block completed. A longer block makes several batches, and so do many rejects: one
                # of two bytes takes fifty bytes of memory.
                full = size >= max(self._block_size, self._least_size()) or rejected >= MOST_REJECTS
                if full or (segment is None and (size >= self._least_size() or not announced)):
                    if self._indexer.first_columns and (held or not announced):
                        announced = True
                        yield held
                    held, size, rejected = [], 0, 0
        except Exception:
            # Without a first header there is no schema for a batch.
            if self._indexer.first_columns and (held or not announced):
                yield held
            raise
        if held:
            yield held

    def _least_size(self) -> int:
        """Bytes that a batch waits for. Else each tiny member, chunk or block would be a batch of all columns."""
        columns = len(self._indexer.first_columns or ())
        return _BYTES_A_COLUMN * columns if columns > _MANY_COLUMNS else 0

    def account(self, segments: Sequence[Segment]) -> None:
        """Count segments that are handed out, and hand on their rejects."""
        start = 0
        for number, segment in enumerate(segments):
            if self._on_rejects is not None and segment.rejects.table:
                # Whoever gets them may ask for the counts of what came before.
                self._count_all(segments[start:number])
                start = number
                self._on_rejects(segment.rejects, segment.columns)
        self._count_all(segments[start:] if start else segments)

    def _count_all(self, segments: Sequence[Segment]) -> None:
        # Headers may follow each other record by record: a call for each of their segments would be dear.
        records = rejected = blank_lines = in_records = in_rejects = in_blank_lines = in_headers = unresolved = 0
        for one in segments:
            records += one.records
            blank_lines += one.blank_lines
            in_records += one.record_bytes
            in_blank_lines += one.blank_bytes
            in_headers += one.header_bytes
            unresolved += one.unresolved
            if one.rejects.table:
                rejected += len(one.rejects)
                in_rejects += len(one.rejects.raw)
        self._count(
            records=records,
            rejected=rejected,
            blank_lines=blank_lines,
            bytes_in_records=in_records,
            bytes_in_rejects=in_rejects,
            bytes_in_blank_lines=in_blank_lines,
            bytes_in_headers=in_headers,
            unresolved=unresolved,
        )

    def _segments(self) -> Iterator[Segment | None]:
        """All segments of all members; None where a block ends. An error comes after all segments before it."""
        indexer = self._indexer
        inside = others = False
        refused: HeaderError | LimitError | None = None  # of this member, whose end says whether it is damaged
        no_log: HeaderError | None = None  # of the first member that is no log; raised behind the others
        ended = False  # a member, of which nobody was told
        while True:
            try:
                item = next(self._ahead, None)
            except ClosedError:
                raise
            except Exception:
                if inside and refused is None:
                    yield from self._abandon()
                raise
            if ended:
                # Only now: the thread that inflates counts what stands behind the last member later than its end.
                ended = False
                self._tell()
            if item is None:
                if no_log:
                    try:
                        raise no_log
                    finally:
                        # The error's traceback refers to this frame, which must not refer to the error.
                        no_log = None
                return
            if isinstance(item, MemberStart):
                inside, others, refused = True, item.others, None
                in_column = self._among is not None and self._among.in_column
                indexer.start(_label(self._name, item.name), self._name if in_column else "")
                self._count(members=1)
                continue
            try:
                if isinstance(item, MemberEnd):
                    if refused:
                        try:
                            raise refused
                        finally:
                            refused = None
                    yield from indexer.finish()
                elif isinstance(item, MemberDamaged):
                    inside = False
                    if refused is None:
                        yield from self._abandon()
                else:
                    self._count(bytes_inflated=len(item))
                    if refused is None:
                        yield from indexer.feed(item)
            except (HeaderError, LimitError) as error:
                # A damaged member may cause this error; whether it is damaged is known at its end only. Other members
                # may still be read, so the rest of this one is skipped.
                if not (inside and others):
                    if no_log is None or isinstance(error, LimitError):
                        raise
                    try:
                        raise no_log from None
                    finally:
                        no_log = None
                if not isinstance(item, MemberEnd):
                    refused = error.with_traceback(None)
                elif isinstance(error, HeaderError):
                    no_log = no_log or error.with_traceback(None)
                else:
                    raise
            if isinstance(item, MemberEnd):
                inside, ended = False, True
            yield None
            if not ended:
                self._tell()

    def _tell(self) -> None:
        if self._progress is not None:
            self._progress(self.stats)

    def _abandon(self) -> Iterator[Segment]:
        """The segments of what is left of a damaged member.

        The caller raises the damage, so an error that the damaged bytes cause here is not raised.
        """
        with suppress(HeaderError, LimitError):
            yield from self._indexer.abandon()

    def _take(self, segment: Segment) -> Segment:
        """The segment; with ``on_error="raise"``, only up to its first reject, with that one."""
        rejects = segment.rejects
        if self._on_error == "raise" and rejects and rejects[0].reason != Reason.TRUNCATED:
            return segment.until_reject()
        return segment

    def _count(self, **more: int) -> None:
        for name, n in more.items():
            self._counts[name] += n


def _label(log: str, member: str) -> str:
    """How messages and rejects name a member of a log."""
    return log if PurePath(log).name in (member, f"{member}.gz") else member_label(log, member)


def record_error(reject: Reject) -> RecordError:
    """The error for a bad record, where bad records are errors."""
    shown = repr(reject.raw[:120]) + ("..." if len(reject.raw) > 120 else "")
    return RecordError(
        f"{reject.position}: {reject.reason.explanation} ({reject.reason}): {shown}",
        reject.position,
        reject.reason,
        reject.raw,
        advice="on_error='quarantine' sets bad records aside and goes on",
        option="on_error",
    )
