"""The log reader: opens a source and hands out batches or events. It knows neither archives nor the grammar."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from types import TracebackType
from typing import Final, NoReturn, TypeVar, Unpack

import pyarrow as pa

from trackparse.archive.readahead import INFLATING_MOST
from trackparse.atomic import uninterrupted
from trackparse.columns.builder import ColumnBuilder, with_last_dictionaries
from trackparse.columns.payload import PayloadBuilder
from trackparse.display import html_line, html_page
from trackparse.errors import ArchiveError, ExhaustedError, HeaderError, TrackparseError
from trackparse.events import Event, events_of
from trackparse.joined import JoinedLogs
from trackparse.notebook import records_line, rejects_html, schema_html, stats_html
from trackparse.options import LogSource, ReadOptions, read_options
from trackparse.records.segments import Segment
from trackparse.records.stream import Stats
from trackparse.rejects.kept import Quarantine
from trackparse.schema import COLUMNS, PAYLOAD_TYPES
from trackparse.sources.listing import Log
from trackparse.sources.opening import open_anywhere

logger: Final = logging.getLogger("trackparse")

_INTERRUPTED_WAIT: Final = 1.0  # seconds that close waits for a blocked read after Ctrl-C
_SHOWN: Final = 8  # columns in a repr
# Values of a batch for each byte of a block. An ordinary log has one value for 40 bytes. Where the first header had
# 1,024 names, and a later one has two, a record of 22 bytes is 1,024 values.
_CELLS_A_BYTE: Final = 2
# As many are always allowed: a batch of very many columns costs 10 ms, however few rows it has.
_CELLS: Final = 1 << 20

_T = TypeVar("_T")


class LogReader:
    """A tracking log as a stream of record batches, or of events. ``open_log`` makes it.

    name: the path of the log, or ``<bytes>``, ``<stream>`` or a URL; of several logs, the first name and their number.

    It is an iterator of ``pyarrow.RecordBatch``, and an Arrow C stream: DuckDB, Polars and pandas take it as it is.
    Batches and events come from the same stream, and iterating goes on where the last iteration stopped. Every record
    before an error is delivered before the error is raised; asked again, it raises the same error. A reader gives each
    record once: when it was read to its end, asking it again is an ``ExhaustedError``, and so is a second Arrow stream
    of it. ``trackparse.dataset`` can be read again and again.

    Use it as a context manager, or close it, or drop it: each ends its thread and closes what it opened. It closes a
    source that is a generator, but not a file that you opened. If a read of the source blocks, ``close`` waits 5 s and
    then leaves that read to end by itself.

    Threads may share a reader; each batch goes to one of them. After a fork the child has to open the log itself.

    >>> with trackparse.open_log("tracking_log.zip", on_error="quarantine") as log:
    ...     for batch in log:
    ...         print(batch.num_rows)
    ...     print(log.stats.records, log.rejects.num_rows)
    """

    def __init__(
        self,
        logs: Sequence[Log],
        options: ReadOptions,
        *,
        alone: bool = True,
        found: Sequence[str] | None = None,
        keep_damaged: bool = False,
        inflating: int = INFLATING_MOST,
    ) -> None:
        """Open logs, as ``open_log`` and ``dataset`` say; ``options`` are complete.

        alone: it is one log, and its records have no column with its name. found: what other columns there are than the
        known ones; None to take those of the first header. keep_damaged: go on with the next log behind a damaged one.
        inflating: how many threads inflate, at most; 0: the one that reads, and then only one may use this reader.
        """
        limits = options["limits"]
        self.name: str = logs[0].name + (f" and {len(logs) - 1} more" if len(logs) > 1 else "")
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._reading = False  # whether the thread that has the lock is reading
        self._closed = False
        self._ended = False  # somebody was told that there are no more records
        self._streamed = False  # it was handed on as a whole, as an Arrow stream or a table
        self._here = threading.local()  # ``ended``: this thread was told
        self._error: Exception | None = None
        self._interrupted = TrackparseError(f"{self.name}: reading was interrupted", advice="open the log again")
        self._pending: list[Segment] = []
        self._quarantine = Quarantine(limits, options["on_rejects"])
        on_rejects = self._quarantine.add if options["on_error"] == "quarantine" else None
        self._limits = limits
        self._cells_most = max(_CELLS, _CELLS_A_BYTE * options["block_size"])
        self._parts: list[list[Segment]] = []  # of the batches that are left of what was read
        # It holds no reference to the reader: a reader that is dropped must end at once.
        self._logs = JoinedLogs(logs, options, on_rejects, alone=alone, keep_damaged=keep_damaged, inflating=inflating)
        self._groups = self._logs.groups()
        where = options["where"]
        self._where = where if where and where.columns else None  # a filter without a condition is no filter
        try:
            self._pending = next(self._groups)  # read as far as the first header, which decides the schema
            self.builder = self._new_builder(self._logs.first_columns if found is None else found, options)
        except BaseException as error:
            self._fail(error)
            self.close()
            raise

    def _new_builder(self, found: Sequence[str], options: ReadOptions) -> ColumnBuilder:
        asked = options["payload_columns"] or {}
        if self._where is not None:
            # A filter of ours names columns of the log; that of an engine may name payload columns, too.
            inside = {name: asked[name] for name in self._where.columns if name in asked and name not in COLUMNS}
            columns = [name for name in self._where.columns if name not in inside]
            self._filter_columns = ColumnBuilder(found, columns, "string", (), self._limits, PayloadBuilder(inside))
        return ColumnBuilder(
            found,
            options["columns"],
            options["string_type"],
            options["dictionary"],
            self._limits,
            PayloadBuilder(asked, self._logs.count_misfits),
        )

    # ---- what the caller sees ---------------------------------------------------------------------------

    @property
    def schema(self) -> pa.Schema:
        """The schema of every batch, known before the first batch is read."""
        return self.builder.schema

    @property
    def stats(self) -> Stats:
        """Counts of what was read and delivered so far."""
        return self._logs.stats

    @property
    def damage(self) -> list[ArchiveError | HeaderError]:
        """Errors of the logs of a dataset that could not be read to their end so far, with ``on_damage="keep"``."""
        return [*self._logs.damage]

    @property
    def rejects(self) -> pa.Table:
        """The bad records so far, if ``on_error="quarantine"``; else an empty table.

        Its columns: ``member``, the log, and its file in the archive; ``record``, 0-based in its member; ``line``,
        1-based; ``byte_offset``, 0-based in the inflated member; ``reason``, a value of ``Reason``; ``raw``, the bytes;
        ``header``, the header line that the record stands under.
        """
        return self._quarantine.table()

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        self._check_not_exhausted(among_threads=True)
        return self

    def __next__(self) -> pa.RecordBatch:
        return self._guarded(self._next_batch)

    def segments(self) -> Iterator[list[Segment]]:
        """The segments of the next batches, from which ``builder`` builds columns. For outputs other than batches."""
        self._check_not_exhausted(among_threads=True)
        while True:
            try:
                yield self._guarded(self._next_segments)
            except StopIteration:
                return

    def events(self) -> Iterator[Event]:
        """The rest of the records as ``Event``, one by one, with all fields, whatever ``columns`` says.

        ``payload_columns`` adds nothing to them: ``event.payload`` has all values.

        >>> with trackparse.open_log("tracking_log.zip") as log:
        ...     codes = {event.tracking_code for event in log.events()}
        """
        return chain.from_iterable(self._event_lists())

    def to_reader(self) -> pa.RecordBatchReader:
        """The rest of the log as a ``pyarrow.RecordBatchReader``.

        Raises ExhaustedError if the log was read to its end before.
        """
        self._check_not_exhausted()
        return pa.RecordBatchReader.from_batches(self.schema, self._batches())

    def read_all(self) -> pa.Table:
        """The rest of the log as a ``pyarrow.Table``. Raises ExhaustedError if the log was read to its end before."""
        self._check_not_exhausted()
        self._streamed = True
        return with_last_dictionaries(pa.Table.from_batches(self, schema=self.schema))

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.to_reader().__arrow_c_stream__(requested_schema)

    def __arrow_c_schema__(self) -> object:
        return self.schema.__arrow_c_schema__()

    def close(self) -> None:
        """End the reading thread and close what was opened. It may be called more than once."""
        self._closed = True
        self._logs.close(_INTERRUPTED_WAIT if self._error is self._interrupted else None)

    def __repr__(self) -> str:
        # A reader that could not be made has no schema, and a traceback with local variables shows it all the same.
        names = self.schema.names if hasattr(self, "builder") else []
        shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
        closed = ", closed" if self._closed else ""
        return f"<LogReader {self.name!r}: columns {shown or 'none'}; {self.stats.records:,} records so far{closed}>"

    def _repr_html_(self) -> str:
        """What a notebook shows. Nothing is read for it: a reader gives each record once."""
        stats = self.stats
        closed = ", closed" if self._closed else ""
        error = html_line(f"{type(self._error).__name__}: {self._error}") if self._error else ""
        return html_page(
            f"LogReader {self.name}{closed}",
            html_line(f"{records_line(stats)} so far"),
            error,
            rejects_html(self.rejects),
            schema_html(self.schema),
            stats_html(stats),
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self.name}: an open log cannot be copied or sent: send its path, and open it there")

    def __enter__(self) -> LogReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            # Ctrl-C may come again. The thread that reads ahead would be left, and keep the process from ending.
            uninterrupted(self.close)

    # ---- what happens inside ----------------------------------------------------------------------------

    def _check_not_exhausted(self, *, among_threads: bool = False) -> None:
        """ExhaustedError if all records are gone: a reader at its end must not look like an empty log.

        among_threads: each of the threads that share a reader may begin a loop of its own, when another one has just
        taken the last batch.
        """
        if not self._ended or self._unusable():
            return
        if not among_threads or self._streamed or getattr(self._here, "ended", False):
            raise self._exhausted("it was read to its end")

    def _unusable(self) -> bool:
        """Whether the next read is an error of another kind."""
        return self._closed or self._error is not None or self._pid != os.getpid()

    def _exhausted(self, why: str) -> ExhaustedError:
        return ExhaustedError(
            f"{self.name}: {why}, and a reader gives each record once",
            advice="open it again, or use trackparse.dataset, which can be read again and again",
        )

    def _batches(self) -> Iterator[pa.RecordBatch]:
        """The batches of an Arrow stream. If two streams shared them, each would look complete."""
        self._check_not_exhausted()
        if not self._unusable():
            with self._lock:
                if self._streamed:
                    raise self._exhausted("another Arrow stream has read some of it")
                self._streamed = True
        # Where a stream is dropped half-way, ``yield from self`` would call ``self.close``.
        for batch in self:  # noqa: UP028
            yield batch

    def _event_lists(self) -> Iterator[list[Event]]:
        self._check_not_exhausted(among_threads=True)
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
        self._logs.count_filtered(_records_of(group) - _records_of([segment for segment, _ in found]))
        return [*found]

    def _next_parts(self) -> list[list[Segment]]:
        """The segments of the next batch; of several, where the schema is so wide that one batch would fill memory."""
        group = self._next_group(self.builder.matching_schema)
        most = max(1, self._cells_most // max(1, len(self.builder.schema)))
        if _records_of(group) <= most:
            return [group]
        return _in_parts(group, most)

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
            self._ended = self._here.ended = True
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
        self._logs.close(0)

    def _next_batch(self) -> pa.RecordBatch:
        try:
            segments = self._next_segments()
        except StopIteration:
            tell_of_empty_columns(self.name, self.builder.payload)
            raise
        return self.builder.build(segments)

    def _next_segments(self) -> list[Segment]:
        if not self._parts:
            self._parts = self._next_parts()
        group = self._parts.pop(0)
        if self._where is None:
            return group
        selected = self._where.select(group, self._filter_columns.build(group))
        self._logs.count_filtered(_records_of(group) - _records_of(selected))
        return selected

    def _next_group(self, matching_schema: Callable[[list[Segment]], int]) -> list[Segment]:
        """The segments of the next batch, up to the first that does not fit the schema; StopIteration at the end."""
        while True:
            group = self._pending or self._more()
            count = matching_schema(group)
            self._pending = group[count:]
            self._logs.account(group[:count])
            if good := [segment for segment in group[:count] if segment.records]:
                return good

    def _more(self) -> list[Segment]:
        """The next segments. First the limit of kept rejects is checked; at the end the last rejects are handed on."""
        self._quarantine.check()
        try:
            return next(self._groups)
        except Exception:  # also the end
            self._quarantine.flush()
            raise


def tell_of_empty_columns(log: str, payload: PayloadBuilder) -> None:
    """Warn of payload columns without any value, when all of them are built; ``log`` is the name of the log."""
    for name, pointer in payload.empty_columns.items():
        key, _, kind = pointer.rpartition(":")
        factory = {"bool": "bool_"}.get(kind, kind)
        hint = f"; with a type it is ({key!r}, pyarrow.{factory}())" if kind in PAYLOAD_TYPES else ""
        said = "%s: the payload column %r is null in all records: none has a value at %r%s"
        logger.warning(said, log, name, pointer, hint)


def _in_parts(group: Iterable[Segment], most: int) -> list[list[Segment]]:
    """The segments in parts of so many records: short ones share a part, since a batch costs the same however short."""
    parts: list[list[Segment]] = []
    room = 0
    for segment in group:
        start = 0
        while start < segment.records:
            if not room:
                parts.append([])
                room = most
            whole = segment.records <= room and not start
            part = segment if whole else segment.part(start, start + room)
            parts[-1].append(part)
            start += part.records
            room -= part.records
    return parts


def _records_of(segments: Iterable[Segment]) -> int:
    return sum(segment.records for segment in segments)


def open_log(source: LogSource, **options: Unpack[ReadOptions]) -> LogReader:
    """Open a tracking log: a ZIP, a gzipped CSV or a bare CSV. It reads the header now, and the rest as you iterate.

    ``source`` is a path, a URL, bytes, a binary file or an iterable of bytes chunks. A str with a scheme is a URL:
    ``s3://``, ``gs://``, ``hdfs://`` and ``file://`` are opened by ``pyarrow.fs``, with its settings in the query, such
    as ``?endpoint_override=localhost:9000&scheme=http``; ``https://`` is downloaded as by ``client.open_url``. Nothing
    is stored on the way. Messages show neither user nor query of a URL. The options:

    - ``columns``: names of the columns to make, in this order. Default: all.
    - ``payload_columns``: columns of values inside the payloads, behind those of ``columns``: a dict that has for each
      name a JSON Pointer, or a tuple of a JSON Pointer and a type, such as
      ``{"alert": "/aps/alert", "uid": ("/md/uid", pyarrow.int64())}``. A path that leads nowhere is null. Without a
      type a value comes as text: a number as it is written, an object or an array as JSON without blanks. A type is
      ``pyarrow.string()``, ``bool_()``, one of the integers, ``float32()`` or ``float64()``; a value that does not fit
      it is null, and counted in ``stats.misfits``. Events do not have these columns.
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
    - ``progress``: a function that is called with ``Progress`` after each block; or True for a bar in the terminal or
      in the notebook, which needs rich: ``pip install 'trackparse-pushwoosh[cli]'``.
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
    asked = read_options(options)
    opened = open_anywhere(source, asked["filesystem"])
    return LogReader([Log(opened.name, lambda: opened, None)], asked)


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
