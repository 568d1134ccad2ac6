"""Pulls the blocks of all members through the indexer and takes the rejects out. No columns, no events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, Literal

from trackparse._reference import MOST_REJECTS
from trackparse.errors import HeaderError, LimitError, Reason, RecordError
from trackparse.index import Indexer, Reject, Segment
from trackparse.readahead import ClosedError, MemberEnd, MemberStart, ReadAhead
from trackparse.rejects import Quarantine
from trackparse.sources import Source

OnError = Literal["raise", "quarantine", "skip"]
ON_ERROR: Final = ("raise", "quarantine", "skip")


@dataclass(frozen=True, slots=True)
class Stats:
    """What was read so far.

    When a log was read to its end, ``bytes_in_records + bytes_in_rejects + bytes_in_blank_lines + bytes_in_headers``
    is ``bytes_inflated``: every byte has its place. Line ends count with what they end.
    """

    records: int = 0  # good ones
    filtered: int = 0  # of these, left out by where=
    rejected: int = 0
    blank_lines: int = 0
    bytes_read: int = 0  # of the source
    bytes_total: int | None = None  # size of the source, None where nobody knows
    bytes_inflated: int = 0  # of the members
    members: int = 0  # begun
    bytes_in_records: int = 0
    bytes_in_rejects: int = 0
    bytes_in_blank_lines: int = 0
    bytes_in_headers: int = 0  # byte order marks among them


class SegmentStream:
    """The segments of a log, a batch at a time, with what was counted on the way."""

    def __init__(
        self,
        source: Source,
        ahead: ReadAhead,
        indexer: Indexer,
        on_error: OnError,
        quarantine: Quarantine,
        block_size: int,
        progress: Callable[[Stats], object] | None,
    ) -> None:
        if on_error not in ON_ERROR:
            raise ValueError(f"on_error={on_error!r}: there are {', '.join(ON_ERROR)}")
        self._source = source
        self._ahead = ahead
        self._indexer = indexer
        self._on_error = on_error
        self._block_size = block_size
        self._progress = progress
        self._stats = Stats()
        self._quarantine = quarantine

    @property
    def stats(self) -> Stats:
        """What was read so far."""
        return replace(self._stats, bytes_read=self._source.bytes_read, bytes_total=self._source.size)

    def leave_out(self, records: int) -> None:
        """Count good records that nobody wanted."""
        self._count(filtered=records)

    def groups(self) -> Iterator[list[Segment]]:
        """Segments, a batch at a time. The first group comes as soon as the header is known, and may be empty."""
        held: list[Segment] = []
        size = rejected = 0  # bytes and rejects in them: added up as they come, a header a record makes very many
        announced = False
        try:
            for segment in self._segments():
                if segment is not None:
                    held.append(self._take(segment))
                    size += segment.size
                    rejected += len(held[-1].rejects)
                    if held[-1] is not segment:
                        raise _record_error(held[-1].rejects[0])
                # What a block completed is a batch, and a long stretch of a longer one. A reject of three bytes is
                # objects of three hundred until it is packed.
                if segment is None or size >= self._block_size or rejected >= MOST_REJECTS:
                    if self._indexer.first_columns and (held or not announced):
                        announced = True
                        yield held
                    held, size, rejected = [], 0, 0
                    self._quarantine.check()
        except Exception:
            # What was cut off in the first header is no log.
            if self._indexer.first_columns and (held or not announced):
                yield held
            raise

    def deliver(self, segments: Sequence[Segment]) -> None:
        """Count segments that are handed out, and set their rejects aside."""
        for segment in segments:
            rejected = sum(map(len, segment.rejects.raws))
            if segment.rejects and self._on_error == "quarantine":
                self._quarantine.add(segment.rejects, segment.columns)
            self._count(
                records=segment.records,
                rejected=len(segment.rejects),
                blank_lines=segment.blank_lines,
                bytes_in_records=segment.record_bytes,
                bytes_in_rejects=rejected,
                bytes_in_blank_lines=segment.blank_bytes,
                bytes_in_headers=segment.header_bytes,
            )

    def _segments(self) -> Iterator[Segment | None]:
        """All segments of all members; None where a block ends. An error comes after all that was before it."""
        indexer = self._indexer
        inside = False
        while True:
            try:
                item = next(self._ahead, None)
            except ClosedError:
                raise
            except Exception:
                if inside:
                    # What was left may be damaged, too: the damage is told, not what it looks like.
                    with suppress(HeaderError, LimitError):
                        yield from indexer.abandon()
                raise
            if item is None:
                return
            if isinstance(item, MemberStart):
                inside = True
                indexer.start(item.name)
                self._count(members=1)
                continue
            if isinstance(item, MemberEnd):
                inside = False
                yield from indexer.finish()
            else:
                self._count(bytes_inflated=len(item))
                yield from indexer.feed(item)
            yield None
            if self._progress is not None:
                self._progress(self.stats)

    def _take(self, segment: Segment) -> Segment:
        """The segment; with ``"raise"``, what comes before its first reject, and that one."""
        rejects = segment.rejects
        if self._on_error == "raise" and rejects and rejects.reasons[0] != Reason.TRUNCATED:
            return segment.until_reject()
        return segment

    def _count(self, **more: int) -> None:
        self._stats = replace(self._stats, **{name: getattr(self._stats, name) + n for name, n in more.items()})


def _record_error(reject: Reject) -> RecordError:
    shown = repr(reject.raw[:120]) + ("..." if len(reject.raw) > 120 else "")
    return RecordError(
        f"{reject.position}: {reject.reason.explanation} ({reject.reason}): {shown}; "
        "on_error='quarantine' sets bad records aside and goes on",
        reject.position,
        reject.reason,
        reject.raw,
    )
