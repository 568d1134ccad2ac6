"""The log reader: pulls blocks through the indexer and hands out batches or events. It knows no format."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from types import TracebackType
from typing import Any, Final, Literal, TypedDict, Unpack

import pyarrow as pa

from trackparse.archive import open_archive
from trackparse.columns import ColumnBuilder
from trackparse.errors import ArchiveError, TrackparseError
from trackparse.events import Event, events_of
from trackparse.index import Indexer, Segment
from trackparse.limits import Limits
from trackparse.readahead import ReadAhead
from trackparse.sources import open_source
from trackparse.stream import OnError, SegmentStream, Stats

BLOCK_SIZE: Final = 1 << 20  # bytes: a block, its index and its columns stay in the second-level cache
DEFAULT_LIMITS: Final = Limits()

Dialect = Literal["auto", "php", "rfc4180"]
StringType = Literal["string", "string_view"]

_REJECTS_SCHEMA: Final = pa.schema(
    [
        ("member", pa.string()),
        ("record", pa.int64()),
        ("line", pa.int64()),
        ("byte_offset", pa.int64()),
        ("reason", pa.string()),
        ("raw", pa.binary()),
    ]
)


class Options(TypedDict, total=False):
    """The options of ``open_log``."""

    columns: Iterable[str] | None
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
    ends its thread and closes what it opened.
    """

    def __init__(
        self,
        source: Any,
        *,
        columns: Iterable[str] | None,
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
        self._ahead = ReadAhead(open_archive(opened, limits, members), block_size)
        self._lock = threading.Lock()
        self._closed = False
        self._fault: Exception | None = None
        self._pending: list[Segment] = []
        try:
            # Its generator does not know the reader: a reader that is dropped must end at once.
            self._stream = SegmentStream(opened, self._ahead, self._indexer, on_error, block_size, progress)
            self._groups = self._stream.groups()
            self._builder = self._open(columns, string_type, dictionary)
        except BaseException:
            self.close()
            raise

    def _open(self, columns: Iterable[str] | None, string_type: str, dictionary: Iterable[str]) -> ColumnBuilder:
        """Read as far as the first header: it makes the schema."""
        first = next(self._groups, None)
        if first is None:
            raise ArchiveError(f"{self.name}: there is no log in it")
        self._pending = first
        return ColumnBuilder(self._indexer.first_columns or (), columns, string_type, dictionary)

    # ---- what the caller sees ---------------------------------------------------------------------------

    @property
    def schema(self) -> pa.Schema:
        """The schema of every batch."""
        return self._builder.schema

    @property
    def stats(self) -> Stats:
        """What was read and delivered so far."""
        return self._stream.stats

    @property
    def rejects(self) -> pa.Table:
        """The bad records so far: member, record, line, byte_offset, reason, raw. Kept by ``"quarantine"`` only."""
        rows = [
            (p.member, p.record, p.line, p.byte_offset, reject.reason, reject.raw)
            for reject in self._stream.rejects
            for p in (reject.position,)
        ]
        if not rows:
            # pa.array would import pandas, where there is one.
            return pa.Table.from_batches([], schema=_REJECTS_SCHEMA)
        lists = zip(*rows, strict=True)
        arrays = [pa.array(values, field.type) for values, field in zip(lists, _REJECTS_SCHEMA, strict=True)]
        return pa.Table.from_arrays(arrays, schema=_REJECTS_SCHEMA)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self

    def __next__(self) -> pa.RecordBatch:
        group = self._next_group()
        fitting = self._builder.fitting(group)
        if 0 < fitting < len(group):
            # What comes before the fault is delivered before it.
            with self._lock:
                self._pending = group[fitting:] + self._pending
        try:
            return self._builder.build(group[: fitting or None])
        except Exception as fault:
            self._fault = fault
            raise

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
        self._ahead.close()

    def __enter__(self) -> LogReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- what happens inside ----------------------------------------------------------------------------

    def _event_lists(self) -> Iterator[list[Event]]:
        while True:
            try:
                group = self._next_group()
            except StopIteration:
                return
            for segment in group:
                yield events_of(segment)

    def _next_group(self) -> list[Segment]:
        """The segments of the next batch; StopIteration at the end."""
        with self._lock:
            if self._closed:
                raise ValueError(f"{self.name}: the log is closed: open it again")
            if self._fault is not None:
                raise self._fault
            group, self._pending = self._pending, []
            try:
                while not group:
                    group = next(self._groups)
            except StopIteration:
                raise
            except Exception as fault:
                # An error that was seen once must not look like the end the next time.
                self._fault = fault
                raise
            except BaseException:
                self._fault = TrackparseError(f"{self.name}: reading was interrupted: open the log again")
                raise
            return group


def open_log(
    source: Any,
    *,
    columns: Iterable[str] | None = None,
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
    materialise, in that order (None: all). ``dialect`` is ``"auto"``, ``"php"`` or ``"rfc4180"``. A bad record raises
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
