"""The log reader: pulls blocks through the indexer and hands out batches or events. It knows no format."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from types import TracebackType
from typing import Any, Final, Literal, NoReturn, TypedDict, TypeVar, Unpack

import pyarrow as pa

from trackparse.archive import open_archive
from trackparse.columns import ColumnBuilder
from trackparse.errors import ArchiveError, TrackparseError
from trackparse.events import Event, events_of
from trackparse.filters import Filter
from trackparse.index import Indexer, Segment
from trackparse.limits import Limits
from trackparse.readahead import ReadAhead
from trackparse.rejects import Quarantine
from trackparse.sources import open_source
from trackparse.stream import OnError, SegmentStream, Stats

BLOCK_SIZE: Final = 1 << 20  # bytes: a block, its index and its columns stay in the second-level cache
DEFAULT_LIMITS: Final = Limits()
_INTERRUPTED_WAIT: Final = 1.0  # seconds that close waits for a blocked read after Ctrl-C

_T = TypeVar("_T")

Dialect = Literal["auto", "php", "rfc4180"]
StringType = Literal["string", "string_view"]


class Options(TypedDict, total=False):
    """The options of ``open_log``."""

    columns: Iterable[str] | None
    where: Filter | None
    dialect: Dialect
    on_error: OnError
    string_type: StringType
    dictionary: Iterable[str]
    block_size: int
    members: Iterable[str] | None
    limits: Limits
    progress: Callable[[Stats], object] | None


class LogReader:
    """A tracking log as a stream of record batches; or of events, from the same stream.

    Iterating goes on where the last iteration stopped. Close it, or use it as a context manager, or drop it: each
    ends its thread and closes what it opened. A source that is a generator is closed, too; a file that you opened is
    not. Where a read of the source blocks, close waits 5 s for it and leaves it to end by itself.

    Threads may share it; each batch goes to one of them. A forked child has to open the log anew.
    """

    def __init__(
        self,
        source: Any,
        *,
        columns: Iterable[str] | None,
        where: Filter | None,
        dialect: Dialect,
        on_error: OnError,
        string_type: StringType,
        dictionary: Iterable[str],
        block_size: int,
        members: Iterable[str] | None,
        limits: Limits,
        progress: Callable[[Stats], object] | None,
    ) -> None:
        if block_size < 1 or block_size > 1 << 30:
            raise ValueError(f"block_size={block_size}: from 1 byte to 1 GiB")
        self._indexer = Indexer(dialect, limits, block_size)
        opened = open_source(source)
        self.name: str = opened.name
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._reading = False  # what the lock's owner is doing
        self._closed = False
        self._fault: Exception | None = None
        self._interrupted = TrackparseError(f"{self.name}: reading was interrupted: open the log again")
        self._pending: list[Segment] = []
        self.quarantine = Quarantine(limits)
        self._limits = limits
        try:
            self._ahead = ReadAhead(open_archive(opened, limits, members), block_size)
        except BaseException:
            opened.close()
            raise
        try:
            # Its generator does not know the reader: a reader that is dropped must end at once.
            self._stream = SegmentStream(
                opened, self._ahead, self._indexer, on_error, self.quarantine, block_size, progress
            )
            self._groups = self._stream.groups()
            # A filter without a condition lets everything through.
            self._where = where if where and where.columns else None
            self.builder = self._open(columns, string_type, dictionary)
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
        return self.quarantine.table()

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
                            self._stream.leave_out(len(events) - len(kept))
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
        group = self._next_group(self.builder.fitting)
        if self._where is None:
            return group
        selected = self._where.select(group, self._looked_at.build(group))
        self._stream.leave_out(sum(segment.records for segment in group) - sum(segment.records for segment in selected))
        return selected

    def _next_group(self, fitting: Callable[[list[Segment]], int]) -> list[Segment]:
        """The segments of the next batch, as many as are fitting; StopIteration at the end."""
        while True:
            group = self._pending or next(self._groups)
            count = fitting(group)
            self._pending = group[count:]
            self._stream.deliver(group[:count])
            if good := [segment for segment in group[:count] if segment.records]:
                return good


def open_log(
    source: Any,
    *,
    columns: Iterable[str] | None = None,
    where: Filter | None = None,
    dialect: Dialect = "auto",
    on_error: OnError = "raise",
    string_type: StringType = "string",
    dictionary: Iterable[str] = (),
    block_size: int = BLOCK_SIZE,
    members: Iterable[str] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    progress: Callable[[Stats], object] | None = None,
) -> LogReader:
    """Open a tracking log: a ZIP, a gzipped CSV or a bare one. The header is read here, the rest as you iterate.

    ``source`` is a path, bytes, a binary file or an iterable of bytes chunks. ``columns`` are the columns to
    materialise, in that order (None: all). ``where`` is a ``Filter``: good records that do not meet it are left out
    and counted, bad ones are as without it. ``dialect`` is ``"auto"``, ``"php"`` or ``"rfc4180"``. A bad record raises
    ``RecordError`` (``on_error="raise"``), goes to ``rejects`` (``"quarantine"``) or is only counted (``"skip"``).
    ``string_type`` is ``"string"``, or ``"string_view"`` for values that point into the block. Columns in
    ``dictionary`` come dictionary-encoded. ``block_size`` (bytes) is about the size of a batch. ``members`` are names
    or patterns of files in the archive (None: every ``*.csv``). ``progress`` is called with ``Stats`` after each block.

    Raises ArchiveError or HeaderError if it is not a log, OSError if it cannot be opened, ValueError for options that
    are none. Every record before a fault is delivered before the fault is raised.
    """
    return LogReader(
        source,
        columns=columns,
        where=where,
        dialect=dialect,
        on_error=on_error,
        string_type=string_type,
        dictionary=dictionary,
        block_size=block_size,
        members=members,
        limits=limits,
        progress=progress,
    )


def read_log(source: Any, **options: Unpack[Options]) -> pa.Table:
    """The whole log as a table; options as for ``open_log``."""
    with open_log(source, **options) as log:
        return log.read_all()


def iter_events(source: Any, **options: Unpack[Options]) -> Iterator[Event]:
    """The events of a log, one by one; options as for ``open_log``. At its end, or dropped, it closes the log."""
    return open_log(source, **options).events()
