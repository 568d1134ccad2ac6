"""The log reader: pulls blocks through the indexer and hands out batches or events. It knows no format."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from types import TracebackType
from typing import Final, NoReturn, TypeVar, Unpack

import pyarrow as pa

from trackparse.archive.opening import open_archive
from trackparse.archive.readahead import ReadAhead
from trackparse.columns.builder import ColumnBuilder
from trackparse.errors import ArchiveError, TrackparseError
from trackparse.events import Event, events_of
from trackparse.options import LogSource, ReadOptions, read_options
from trackparse.records.indexer import Indexer
from trackparse.records.segments import Segment
from trackparse.records.stream import SegmentStream, Stats
from trackparse.rejects.kept import Quarantine
from trackparse.sources.source import open_source

_INTERRUPTED_WAIT: Final = 1.0  # seconds that close waits for a blocked read after Ctrl-C

_T = TypeVar("_T")


class LogReader:
    """A tracking log as a stream of record batches; or of events, from the same stream.

    Iterating goes on where the last iteration stopped. Close it, or use it as a context manager, or drop it: each
    ends its thread and closes what it opened. A source that is a generator is closed, too; a file that you opened is
    not. Where a read of the source blocks, close waits 5 s for it and leaves it to end by itself.

    Threads may share it; each batch goes to one of them. A forked child has to open the log anew.
    """

    def __init__(self, source: LogSource, **options: Unpack[ReadOptions]) -> None:
        """``open_log`` says what the options are."""
        asked = read_options(options)
        limits, block_size = asked["limits"], asked["block_size"]
        self._indexer = Indexer(asked["dialect"], limits, block_size)
        opened = open_source(source)
        self.name: str = opened.name
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._reading = False  # what the lock's owner is doing
        self._closed = False
        self._fault: Exception | None = None
        self._interrupted = TrackparseError(f"{self.name}: reading was interrupted", advice="open the log again")
        self._pending: list[Segment] = []
        self._quarantine = Quarantine(limits, asked["on_rejects"])
        on_rejects = self._quarantine.add if asked["on_error"] == "quarantine" else None
        self._limits = limits
        try:
            self._ahead = ReadAhead(open_archive(opened, limits, asked["members"]), block_size)
        except BaseException:
            opened.close()
            raise
        try:
            # Its generator does not know the reader: a reader that is dropped must end at once.
            self._stream = SegmentStream(
                opened, self._ahead, self._indexer, asked["on_error"], on_rejects, block_size, asked["progress"]
            )
            self._groups = self._stream.groups()
            # A filter without a condition lets everything through.
            where = asked["where"]
            self._where = where if where and where.columns else None
            self.builder = self._open(asked["columns"], asked["string_type"], asked["dictionary"])
        except BaseException as fault:
            self._fail(fault)
            self.close()
            raise

    def _open(self, columns: Iterable[str] | None, string_type: str, dictionary: Iterable[str]) -> ColumnBuilder:
        """Read as far as the first header: it makes the schema."""
        first = next(self._groups, None)
        if first is None:
            raise ArchiveError(f"{self.name}: there is no log in it")
        self._pending = first
        found = self._indexer.first_columns or ()
        if self._where is not None:
            self._looked_at = ColumnBuilder(found, self._where.columns, "string", (), self._limits)
        return ColumnBuilder(found, columns, string_type, dictionary, self._limits)

    # ---- what the caller sees ---------------------------------------------------------------------------

    @property
    def schema(self) -> pa.Schema:
        """The schema of every batch."""
        return self.builder.schema

    @property
    def stats(self) -> Stats:
        """What was read and delivered so far."""
        return self._stream.stats

    @property
    def rejects(self) -> pa.Table:
        """The bad records so far: member, record, line, byte_offset, reason, raw, and the header that was in force.

        Kept by ``"quarantine"`` only.
        """
        return self._quarantine.table()

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self

    def __next__(self) -> pa.RecordBatch:
        return self._guarded(self._next_batch)

    def segments(self) -> Iterator[list[Segment]]:
        """What the next batches would be built of, for ``builder`` to build them."""
        while True:
            try:
                yield self._guarded(self._next_segments)
            except StopIteration:
                return

    def events(self) -> Iterator[Event]:
        """The records as ``Event``, one by one, all fields whatever ``columns`` says."""
        return chain.from_iterable(self._event_lists())

    def to_reader(self) -> pa.RecordBatchReader:
        """The rest of the log as a ``pyarrow.RecordBatchReader``."""
        return pa.RecordBatchReader.from_batches(self.schema, self)

    def read_all(self) -> pa.Table:
        """The rest of the log as a table."""
        return pa.Table.from_batches(self, schema=self.schema)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.to_reader().__arrow_c_stream__(requested_schema)

    def __arrow_c_schema__(self) -> object:
        return self.schema.__arrow_c_schema__()

    def close(self) -> None:
        """End the reading thread and close what was opened; twice does no harm."""
        self._closed = True
        self._ahead.close(_INTERRUPTED_WAIT if self._fault is self._interrupted else None)

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self.name}: an open log cannot be copied or sent: send its path, and open it there")

    def __enter__(self) -> LogReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- what happens inside ----------------------------------------------------------------------------

    def _event_lists(self) -> Iterator[list[Event]]:
        try:
            while True:
                try:
                    group = self._guarded(lambda: self._next_group(len))
                except StopIteration:
                    return
                for segment in group:
                    for events in events_of(segment):
                        if self._where is not None:
                            kept = list(filter(self._where.matches, events))
                            self._stream.count_filtered(len(events) - len(kept))
                            events = kept
                        yield events
                        del events  # before the next ones are made
        except GeneratorExit:
            raise
        except BaseException as fault:
            self._fail(fault)
            raise

    def _guarded(self, make: Callable[[], _T]) -> _T:
        """What ``make`` returns: one thread at a time, and never again after a fault.

        An error that was seen once must not look like the end the next time; and what was under way when Ctrl-C came
        is lost, so that going on would leave a gap.
        """
        if self._pid != os.getpid():
            raise RuntimeError(f"{self.name}: the log was opened before a fork: open it again in the child")
        try:
            with self._lock:
                self._check()
                self._reading = True
                try:
                    made = make()
                finally:
                    self._reading = False
        except StopIteration:
            raise
        except BaseException as fault:
            self._fail(fault)
            raise
        return made

    def _check(self) -> None:
        if self._closed:
            raise ValueError(f"{self.name}: the log is closed: open it again")
        if self._fault is not None:
            raise self._fault
        if self._reading:
            raise RuntimeError(f"{self.name}: the log is being read: neither progress nor a signal handler may read it")

    def _fail(self, fault: BaseException) -> None:
        if self._fault is None:
            self._fault = fault if isinstance(fault, Exception) else self._interrupted
        # Nothing more is wanted. The traceback may keep the reader alive for long.
        self._ahead.close(0)

    def _next_batch(self) -> pa.RecordBatch:
        return self.builder.build(self._next_segments())

    def _next_segments(self) -> list[Segment]:
        group = self._next_group(self.builder.matching_schema)
        if self._where is None:
            return group
        selected = self._where.select(group, self._looked_at.build(group))
        before, after = (sum(segment.records for segment in segments) for segments in (group, selected))
        self._stream.count_filtered(before - after)
        return selected

    def _next_group(self, matching_schema: Callable[[list[Segment]], int]) -> list[Segment]:
        """The segments of the next batch, as many as are fitting; StopIteration at the end."""
        while True:
            group = self._pending or self._more()
            count = matching_schema(group)
            self._pending = group[count:]
            self._stream.account(group[:count])
            if good := [segment for segment in group[:count] if segment.records]:
                return good

    def _more(self) -> list[Segment]:
        """The next segments. Before them, what is kept is checked; behind the last ones, what waits is handed on."""
        self._quarantine.check()
        try:
            return next(self._groups)
        except Exception:
            self._quarantine.flush()
            raise


def open_log(source: LogSource, **options: Unpack[ReadOptions]) -> LogReader:
    """Open a tracking log: a ZIP, a gzipped CSV or a bare one. The header is read here, the rest as you iterate.

    ``source`` is a path, bytes, a binary file or an iterable of bytes chunks. The options:

    - ``columns``: names of the columns to make, in this order. None: all.
    - ``where``: a ``Filter``. Good records that do not meet it are left out and counted; bad records are as without it.
    - ``dialect``: ``"auto"``, ``"php"`` or ``"rfc4180"``.
    - ``on_error``: what becomes of a bad record: ``"raise"`` a ``RecordError``, ``"quarantine"`` it in ``rejects`` and
      go on, or ``"skip"`` it, which only counts it.
    - ``on_rejects``: called with record batches of the bad records as they come, which ``rejects`` then does not keep.
    - ``string_type``: ``"string"``, or ``"string_view"`` for values that point into the block.
    - ``dictionary``: names of the columns to hand out dictionary-encoded.
    - ``block_size``: bytes of the log in a batch, about (1 MiB).
    - ``members``: names or patterns of the files in the archive to read. None: every ``*.csv``.
    - ``limits``: ``Limits`` for hostile input.
    - ``progress``: called with ``Stats`` after each block.

    Raises ArchiveError or HeaderError if it is not a log, OSError if it cannot be opened, TypeError for an unknown
    option or a wrong kind of value, ValueError for an unknown value. Every record before a fault is delivered before
    the fault is raised.

    >>> with trackparse.open_log("tracking_log.zip", columns=["timestamp", "status"]) as log:
    ...     for batch in log:
    ...         print(batch.num_rows)
    """
    return LogReader(source, **options)


def read_log(source: LogSource, **options: Unpack[ReadOptions]) -> pa.Table:
    """The whole log as a table; options as for ``open_log``."""
    with open_log(source, **options) as log:
        return log.read_all()


def iter_events(source: LogSource, **options: Unpack[ReadOptions]) -> Iterator[Event]:
    """The events of a log, one by one; options as for ``open_log``. At its end, or dropped, it closes the log."""
    return open_log(source, **options).events()
