"""One log or several as one stream of segments; each is opened when its turn comes. No columns, no events."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from trackparse.archive.opening import Archive, open_archive
from trackparse.archive.readahead import INFLATING_MOST, ClosedError, ReadAhead, ReadHere
from trackparse.errors import ArchiveError, HeaderError, TrackparseError
from trackparse.options import ReadOptions
from trackparse.progress import Progress, reporter
from trackparse.records.header import MEND
from trackparse.records.indexer import Indexer
from trackparse.records.segments import Rejects, Segment
from trackparse.records.stream import Among, SegmentStream, Stats
from trackparse.rejects.files import holds_rejects
from trackparse.schema import LOG
from trackparse.sources.listing import Log
from trackparse.sources.source import Source
from trackparse.sources.urls import scheme_of

logger: Final = logging.getLogger("trackparse")


class JoinedLogs:
    """The segments of logs, one log after the other, and what was counted of all of them.

    ``damage`` has the errors of logs that could not be read to their end, if ``keep_damaged``; else such an error is
    raised. A damaged log costs none of the others anything.
    """

    def __init__(
        self,
        logs: Sequence[Log],
        options: ReadOptions,
        on_rejects: Callable[[Rejects, tuple[str, ...]], object] | None,
        *,
        alone: bool,
        keep_damaged: bool,
        inflating: int = INFLATING_MOST,
    ) -> None:
        """``alone``: there is one log, and its records have no column with its name.

        ``inflating``: how many threads inflate, at most; 0: the one that reads.
        """
        self._logs = logs
        self._options = options
        self._on_rejects = on_rejects
        self._alone = alone
        self._keep = keep_damaged
        self._inflating = inflating
        self._in_column = not alone and LOG in (options["columns"] or ())
        sizes = [log.size for log in logs]
        self._size = None if None in sizes else sum(size for size in sizes if size is not None)
        self._reporter = reporter(options["progress"])
        self._start = time.monotonic()
        self._closed = False
        self._aheads: list[ReadAhead | ReadHere] = []  # of the log that is read, and of the next one once it is begun
        self._stream: SegmentStream | None = None
        self.damage: list[ArchiveError | HeaderError] = []
        self.first_columns: tuple[str, ...] = ()  # of the first header of all

    @property
    def stats(self) -> Stats:
        """What was read so far."""
        return Stats(bytes_total=self._size) if self._stream is None else self._stream.stats

    def count_filtered(self, records: int) -> None:
        """Count good records that a filter leaves out."""
        if self._stream is not None:
            self._stream.count_filtered(records)

    def count_misfits(self, values: int) -> None:
        """Count values inside payloads that do not fit the types of their columns."""
        if self._stream is not None:
            self._stream.count_misfits(values)

    def account(self, segments: Sequence[Segment]) -> None:
        """Count segments that are handed out, and hand on their rejects."""
        if self._stream is not None:
            self._stream.account(segments)

    def groups(self) -> Iterator[list[Segment]]:
        """As ``SegmentStream.groups``, of all logs. A group has segments of one log only."""
        try:
            yield from self._groups()
        finally:
            self._end_report()

    def _groups(self) -> Iterator[list[Segment]]:
        begun: tuple[Source, ReadAhead | ReadHere] | None = None
        for number, log in enumerate(self._logs):
            source, ahead = begun or self._begin(log)
            begun = None
            indexer = Indexer(self._options["dialect"], self._options["limits"], self._options["block_size"])
            self._stream = stream = self._stream_of(number, source, ahead, indexer)
            try:
                for group in stream.groups():
                    self.first_columns = self.first_columns or indexer.first_columns or ()
                    if ahead.ended and begun is None and number + 1 < len(self._logs):
                        # Its thread has nothing more to do, so that of the next log may begin.
                        begun = self._begin_early(self._logs[number + 1])
                    yield group
                if not indexer.first_columns:
                    raise ArchiveError(f"{log.name}: no log in this archive")
            except (ArchiveError, HeaderError) as error:
                if isinstance(error, HeaderError) and _is_rejects(log):
                    error = _rejects_error(log.name)
                if not self._keep:
                    raise error from None
                self._note(error)
                ahead.close()
            self._aheads.remove(ahead)

    def close(self, wait: float | None = None) -> None:
        """End the threads, and close what was opened; as ``ReadAhead.close``. It may be called from any thread."""
        self._closed = True
        for ahead in [*self._aheads]:
            ahead.close(wait)
        self._end_report()

    def _end_report(self) -> None:
        if self._reporter is not None:
            self._reporter.close()

    def _begin(self, log: Log) -> tuple[Source, ReadAhead | ReadHere]:
        source = log.open()
        try:
            archive = open_archive(source, self._options["limits"], self._options["members"])
            ahead = self._ahead_of(archive)
        except BaseException:
            source.close()
            raise
        self._aheads.append(ahead)
        if self._closed:  # by another thread, which did not see this one
            ahead.close()
            raise ClosedError(f"{log.name}: the log is closed: open it again")
        return source, ahead

    def _ahead_of(self, archive: Archive) -> ReadAhead | ReadHere:
        size = self._options["block_size"]
        return ReadAhead(archive, size, threads=self._inflating) if self._inflating else ReadHere(archive, size)

    def _begin_early(self, log: Log) -> tuple[Source, ReadAhead | ReadHere] | None:
        """The log, whose thread runs already. None if that cannot be: why not is told when its turn comes."""
        ahead = None
        try:
            source, ahead = self._begin(log)
            if isinstance(ahead, ReadAhead):
                ahead.start()
        except Exception:
            if ahead is not None:
                self._aheads.remove(ahead)
                ahead.close()
            return None
        return source, ahead

    def _stream_of(self, number: int, source: Source, ahead: ReadAhead | ReadHere, indexer: Indexer) -> SegmentStream:
        log = self._logs[number]
        others = None if self._size is None or log.size is None else self._size - log.size
        among = None if self._alone else Among(self._in_column, self.stats, others)
        options = self._options
        return SegmentStream(
            source,
            ahead,
            indexer,
            options["on_error"],
            self._on_rejects,
            options["block_size"],
            self._telling(number),
            log.name,
            among,
        )

    def _telling(self, number: int) -> Callable[[Stats], None] | None:
        """What tells the caller how far this log is."""
        report, name, count, start = self._reporter, self._logs[number].name, len(self._logs), self._start
        if report is None:
            return None

        def tell(stats: Stats) -> None:
            elapsed = time.monotonic() - start
            read, total = stats.bytes_read, stats.bytes_total
            report(Progress("reading", name, number + 1, count, read, total, elapsed, stats=stats))

        return tell

    def _note(self, error: ArchiveError | HeaderError) -> None:
        # Its traceback would hold all that was read.
        self.damage.append(error.with_traceback(None))
        if len(self.damage) == len(self._logs) and not self.stats.records:
            raise self.damage[0]
        kept = f"{error.message}; its records before that are kept, and the other logs are read"
        logger.warning(TrackparseError(kept, advice=error.advice, option=error.option))


def _is_rejects(log: Log) -> bool:
    """Whether it is a file of rejects, on this machine."""
    try:
        return not scheme_of(log.name) and holds_rejects(Path(log.name))
    except OSError:
        return False


def _rejects_error(name: str) -> HeaderError:
    return HeaderError(f"{name}: a file of rejects (bad records), not a tracking log", advice=MEND)
