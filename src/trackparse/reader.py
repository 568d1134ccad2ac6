"""The log reader: opens a source and hands out batches or events. It knows neither archives nor the grammar."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Final, NoReturn, TypeVar, Unpack

import pyarrow as pa

from trackparse.archive.opening import open_archive
from trackparse.archive.readahead import ReadAhead
from trackparse.columns.builder import ColumnBuilder, with_last_dictionaries
from trackparse.errors import ArchiveError, HeaderError, TrackparseError
from trackparse.events import Event, events_of
from trackparse.options import LogSource, ReadOptions, read_options
from trackparse.records.indexer import Indexer
from trackparse.records.segments import Segment
from trackparse.records.stream import SegmentStream, Stats
from trackparse.rejects.files import holds_rejects
from trackparse.rejects.kept import Quarantine
from trackparse.sources.opening import open_anywhere

_INTERRUPTED_WAIT: Final = 1.0  # seconds that close waits for a blocked read after Ctrl-C
_SHOWN: Final = 8  # columns in a repr
# Values of a batch for each byte of a block. An ordinary log has one value for 40 bytes. Where the first header had
# 1,024 names, and a later one has two, a record of 22 bytes is 1,024 values.
_CELLS_A_BYTE: Final = 2

_T = TypeVar("_T")


class LogReader:
    """A tracking log as a stream of record batches, or of events. ``open_log`` makes it.

    name: the path of the log, or ``<bytes>``, ``<stream>`` or a URL.

    It is an iterator of ``pyarrow.RecordBatch``, and an Arrow C stream: DuckDB, Polars and pandas take it as it is.
    Batches and events come from the same stream, and iterating goes on where the last iteration stopped. Every record
    before an error is delivered before the error is raised; asked again, it raises the same error.

    Use it as a context manager, or close it, or drop it: each ends its thread and closes what it opened. It closes a
    source that is a generator, but not a file that you opened. If a read of the source blocks, ``close`` waits 5 s and
    then leaves that read to end by itself.

    Threads may share a reader; each batch goes to one of them. After a fork the child has to open the log itself.

    >>> with trackparse.open_log("tracking_log.zip", on_error="quarantine") as log:
    ...     for batch in log:
    ...         print(batch.num_rows)
    ...     print(log.stats.records, log.rejects.num_rows)
    """

    def __init__(self, source: LogSource, **options: Unpack[ReadOptions]) -> None:
        """Open a log; ``open_log`` says what the options are."""
        asked = read_options(options)
        limits, block_size = asked["limits"], asked["block_size"]
        self._indexer = Indexer(asked["dialect"], limits, block_size)
        opened = open_anywhere(source, asked["filesystem"])
        self.name: str = opened.name
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._reading = False  # whether the thread that has the lock is reading
        self._closed = False
        self._error: Exception | None = None
        self._interrupted = TrackparseError(f"{self.name}: reading was interrupted", advice="open the log again")
        self._pending: list[Segment] = []
        self._quarantine = Quarantine(limits, asked["on_rejects"])
        on_rejects = self._quarantine.add if asked["on_error"] == "quarantine" else None
        self._limits = limits
        self._cells_most = _CELLS_A_BYTE * block_size
        self._parts: list[list[Segment]] = []  # of the batches that are left of what was read
        try:
            self._ahead = ReadAhead(open_archive(opened, limits, asked["members"]), block_size)
        except BaseException:
            opened.close()
            raise
        try:
            # The stream holds no reference to the reader: a reader that is dropped must end at once.
            self._stream = SegmentStream(
                opened, self._ahead, self._indexer, asked["on_error"], on_rejects, block_size, asked["progress"]
            )
            self._groups = self._stream.groups()
            where = asked["where"]
            self._where = where if where and where.columns else None  # a filter without a condition is no filter
            self.builder = self._open(asked["columns"], asked["string_type"], asked["dictionary"])
        except BaseException as error:
            self._fail(error)
            self.close()
            if isinstance(error, HeaderError) and holds_rejects(Path(self.name)):
                raise HeaderError(
                    f"{self.name}: a file of rejects, not a tracking log",
                    advice="read it with trackparse.read_rejects, mend the rows, and make a log of them with "
                    "trackparse.mended_log",
                ) from None
            raise

    def _open(self, columns: Iterable[str] | None, string_type: str, dictionary: Iterable[str]) -> ColumnBuilder:
        """Read as far as the first header, which decides the schema."""
        first = next(self._groups, None)
        if first is None:
            raise ArchiveError(f"{self.name}: no log in this archive")
        self._pending = first
        found = self._indexer.first_columns or ()
        if self._where is not None:
            self._filter_columns = ColumnBuilder(found, self._where.columns, "string", (), self._limits)
        return ColumnBuilder(found, columns, string_type, dictionary, self._limits)

    # ---- what the caller sees ---------------------------------------------------------------------------

    @property
    def schema(self) -> pa.Schema:
        """The schema of every batch, known before the first batch is read."""
        return self.builder.schema

    @property
    def stats(self) -> Stats:
        """Counts of what was read and delivered so far."""
        return self._stream.stats

    @property
    def rejects(self) -> pa.Table:
        """The bad records so far, if ``on_error="quarantine"``; else an empty table.

        Its columns: ``member``, the name of the file in the archive; ``record``, 0-based in its member; ``line``,
        1-based; ``byte_offset``, 0-based in the inflated member; ``reason``, a value of ``Reason``; ``raw``, the bytes;
        ``header``, the header line that the record stands under.
        """
        return self._quarantine.table()

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self

    def __next__(self) -> pa.RecordBatch:
        return self._guarded(self._next_batch)

    def segments(self) -> Iterator[list[Segment]]:
        """The segments of the next batches, from which ``builder`` builds columns. For outputs other than batches."""
        while True:
            try:
                yield self._guarded(self._next_segments)
            except StopIteration:
                return

    def events(self) -> Iterator[Event]:
        """The rest of the records as ``Event``, one by one, with all fields, whatever ``columns`` says.

        >>> with trackparse.open_log("tracking_log.zip") as log:
        ...     codes = {event.tracking_code for event in log.events()}
        """
        return chain.from_iterable(self._event_lists())

    def to_reader(self) -> pa.RecordBatchReader:
        """The rest of the log as a ``pyarrow.RecordBatchReader``."""
        return pa.RecordBatchReader.from_batches(self.schema, self)

    def read_all(self) -> pa.Table:
        """The rest of the log as a ``pyarrow.Table``."""
        return with_last_dictionaries(pa.Table.from_batches(self, schema=self.schema))

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.to_reader().__arrow_c_stream__(requested_schema)

    def __arrow_c_schema__(self) -> object:
        return self.schema.__arrow_c_schema__()

    def close(self) -> None:
        """End the reading thread and close what was opened. It may be called more than once."""
        self._closed = True
        self._ahead.close(_INTERRUPTED_WAIT if self._error is self._interrupted else None)

    def __repr__(self) -> str:
        names = self.schema.names
        shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
        closed = ", closed" if self._closed else ""
        return f"<LogReader {self.name!r}: columns {shown}; {self.stats.records:,} records so far{closed}>"

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
                    group = self._guarded(lambda: self._parts.pop(0) if self._parts else self._next_group(len))
                except StopIteration:
                    return
                for segment, gaps in self._wanted(group):
                    for events in events_of(segment, gaps):
                        yield events
                        del events  # frees their memory before the next list is made
        except GeneratorExit:
            raise
        except BaseException as error:
            self._fail(error)
            raise

    def _wanted(self, group: list[Segment]) -> list[tuple[Segment, Sequence[int]]]:
        """The records that the filter lets through, and where others stand between them: only those become events."""
        if self._where is None:
            return [(segment, segment.rejects.before) for segment in group]
        found = self._where.select_numbered(group, self._filter_columns.build(group))
        self._stream.count_filtered(_records_of(group) - _records_of([segment for segment, _ in found]))
        return [*found]

    def _next_parts(self) -> list[list[Segment]]:
        """The segments of the next batch; of several, where the schema is so wide that one batch would fill memory."""
        group = self._next_group(self.builder.matching_schema)
        most = max(1, self._cells_most // max(1, len(self.builder.schema)))
        if _records_of(group) <= most:
            return [group]
        return [[segment.part(start, start + most)] for segment in group for start in range(0, segment.records, most)]

    def _guarded(self, make: Callable[[], _T]) -> _T:
        """What ``make`` returns. One thread at a time calls it, and nobody after an error.

        After an error the stream has ended, and must not look as if the log ended there. After Ctrl-C the records that
        were being read are lost: going on would leave a gap.
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
        except BaseException as error:
            self._fail(error)
            raise
        return made

    def _check(self) -> None:
        if self._closed:
            raise ValueError(f"{self.name}: the log is closed: open it again")
        if self._error is not None:
            raise self._error
        if self._reading:
            raise RuntimeError(f"{self.name}: the log is being read: neither progress nor a signal handler may read it")

    def _fail(self, error: BaseException) -> None:
        if self._error is None:
            self._error = error if isinstance(error, Exception) else self._interrupted
        # Ended now, because the traceback may keep the reader alive for long.
        self._ahead.close(0)

    def _next_batch(self) -> pa.RecordBatch:
        return self.builder.build(self._next_segments())

    def _next_segments(self) -> list[Segment]:
        if not self._parts:
            self._parts = self._next_parts()
        group = self._parts.pop(0)
        if self._where is None:
            return group
        selected = self._where.select(group, self._filter_columns.build(group))
        self._stream.count_filtered(_records_of(group) - _records_of(selected))
        return selected

    def _next_group(self, matching_schema: Callable[[list[Segment]], int]) -> list[Segment]:
        """The segments of the next batch, up to the first that does not fit the schema; StopIteration at the end."""
        while True:
            group = self._pending or self._more()
            count = matching_schema(group)
            self._pending = group[count:]
            self._stream.account(group[:count])
            if good := [segment for segment in group[:count] if segment.records]:
                return good

    def _more(self) -> list[Segment]:
        """The next segments. First the limit of kept rejects is checked; at the end the last rejects are handed on."""
        self._quarantine.check()
        try:
            return next(self._groups)
        except Exception:
            self._quarantine.flush()
            raise


def _records_of(segments: Iterable[Segment]) -> int:
    return sum(segment.records for segment in segments)


def open_log(source: LogSource, **options: Unpack[ReadOptions]) -> LogReader:
    """Open a tracking log: a ZIP, a gzipped CSV or a bare CSV. It reads the header now, and the rest as you iterate.

    ``source`` is a path, a URL, bytes, a binary file or an iterable of bytes chunks. A str with a scheme is a URL:
    ``s3://``, ``gs://``, ``hdfs://`` and ``file://`` are opened by ``pyarrow.fs``, with its settings in the query, such
    as ``?endpoint_override=localhost:9000&scheme=http``; ``https://`` is downloaded as by ``client.open_url``. Nothing
    is stored on the way. Messages show neither user nor query of a URL. The options:

    - ``columns``: names of the columns to make, in this order. Default: all.
    - ``where``: a ``Filter``. Good records that do not meet it are left out and counted; it does not change which
      records are bad.
    - ``dialect``: how quotes are written: ``"auto"`` (default), ``"php"`` or ``"rfc4180"``.
    - ``on_error``: what to do about a bad record. ``"raise"`` (default): raise a ``RecordError``. ``"quarantine"``:
      keep it in ``rejects`` and go on. ``"skip"``: count it and go on.
    - ``on_rejects``: a function that is called with record batches of the bad records as they come; ``rejects`` then
      stays empty. For ``on_error="quarantine"`` only.
    - ``string_type``: ``"string"`` (default), or ``"string_view"`` for values that point into the block.
    - ``dictionary``: names of the columns to hand out dictionary-encoded. Default: none.
    - ``block_size``: bytes, 1 to 1 GiB: how much of the log one batch covers, roughly. Default: 1 MiB.
    - ``members``: names or patterns of the files in the archive to read. Default: every ``*.csv``.
    - ``limits``: how much one log may cost, a ``Limits``.
    - ``progress``: a function that is called with ``Stats`` after each block.
    - ``filesystem``: a ``pyarrow.fs.FileSystem``, or a file system of fsspec, in which a path is looked for. It does
      the retries.

    Raises OSError if the source cannot be opened, or DownloadError for an ``https://`` URL; ArchiveError or HeaderError
    if it is not a log; OptionError for a value that cannot be used, such as the name of a column that the log lacks or
    a URL with an unknown scheme; and TypeError for an unknown option or a wrong kind of value. Reading raises
    ArchiveError for a damaged archive, RecordError for a bad record, LimitError, and the errors of the source. Every
    record before an error is delivered before the error is raised.

    >>> with trackparse.open_log("tracking_log.zip", columns=["timestamp", "status"]) as log:
    ...     for batch in log:
    ...         print(batch.num_rows)
    >>> table = trackparse.read_log("s3://push-logs/2021-04-20.zip?region=eu-central-1")
    """
    return LogReader(source, **options)


def read_log(source: LogSource, **options: Unpack[ReadOptions]) -> pa.Table:
    """The whole log as a ``pyarrow.Table``. Source, options and errors are those of ``open_log``.

    >>> table = trackparse.read_log("tracking_log.zip", columns=["timestamp", "status"])
    """
    with open_log(source, **options) as log:
        return log.read_all()


def iter_events(source: LogSource, **options: Unpack[ReadOptions]) -> Iterator[Event]:
    """The records of a log as ``Event``, one by one. Source, options and errors are those of ``open_log``.

    The log is closed at its end, or when the iterator is dropped.

    >>> for event in trackparse.iter_events("tracking_log.zip"):
    ...     print(event.timestamp, event.status)
    """
    return open_log(source, **options).events()
