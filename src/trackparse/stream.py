"""Pulls the blocks of all members through the indexer and takes the rejects out. No columns, no events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal

from trackparse.errors import RecordError
from trackparse.index import EXPLANATIONS, TRUNCATED, Indexer, Reject, Segment
from trackparse.readahead import MemberEnd, MemberStart, ReadAhead
from trackparse.sources import Source

OnError = Literal["raise", "quarantine", "skip"]
ON_ERROR: Final = ("raise", "quarantine", "skip")


@dataclass(frozen=True, slots=True)
class Stats:
    """What was read so far."""

    records: int = 0  # good ones
    rejected: int = 0
    blank_lines: int = 0
    bytes_read: int = 0  # of the source
    bytes_inflated: int = 0  # of the members
    members: int = 0  # begun


class SegmentStream:
    """The segments of a log, a batch at a time, with what was counted on the way."""

    def __init__(
        self,
        source: Source,
        ahead: ReadAhead,
        indexer: Indexer,
        on_error: OnError,
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
        self.rejects: list[Reject] = []

    @property
    def stats(self) -> Stats:
        """What was read so far."""
        return replace(self._stats, bytes_read=self._source.bytes_read)

    def groups(self) -> Iterator[list[Segment]]:
        """Segments, a batch at a time. The first group comes as soon as the header is known, and may be empty."""
        held: list[Segment] = []
        announced = False
        try:
            for segment in self._segments():
                if segment is not None:
                    good, fault = self._take(segment)
                    held += [good] if good.records else []
                    if fault is not None:
                        raise fault
                # What a block completed is a batch, and a long stretch of a longer one.
                if segment is None or sum(part.size for part in held) >= self._block_size:
                    if held or (not announced and self._indexer.columns):
                        announced = True
                        yield held
                    held = []
        except Exception:
            if held or (not announced and self._indexer.columns):
                yield held
            raise

    def _segments(self) -> Iterator[Segment | None]:
        """All segments of all members; None where a block ends. An error comes after all that was before it."""
        indexer = self._indexer
        inside = False
        while True:
            try:
                item = next(self._ahead, None)
            except Exception:
                if inside:
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

    def _take(self, segment: Segment) -> tuple[Segment, RecordError | None]:
        """Count a segment and set its rejects aside; with ``"raise"``, what comes before the first, and its error."""
        fault = None
        rejects = segment.rejects
        if rejects and self._on_error == "raise" and rejects[0].reason != TRUNCATED:
            fault = _record_error(rejects[0])
            segment = segment.head(rejects[0].before)
            rejects = rejects[:1]
        if self._on_error == "quarantine":
            self.rejects.extend(rejects)
        self._count(records=segment.records, rejected=len(rejects), blank_lines=segment.blank_lines)
        return segment, fault

    def _count(self, **more: int) -> None:
        self._stats = replace(self._stats, **{name: getattr(self._stats, name) + n for name, n in more.items()})


def _record_error(reject: Reject) -> RecordError:
    shown = repr(reject.raw[:120]) + ("..." if len(reject.raw) > 120 else "")
    return RecordError(
        f"{reject.position}: {EXPLANATIONS[reject.reason]} ({reject.reason}): {shown}; "
        "on_error='quarantine' sets bad records aside and goes on",
        reject.position,
        reject.reason,
        reject.raw,
    )
