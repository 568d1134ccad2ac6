"""Logs that can be read again and again: each use opens them anew. Everything else is the reader's."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias, Unpack

import pyarrow as pa

from trackparse.archive.readahead import INFLATING_MOST
from trackparse.columns.builder import ColumnBuilder, with_last_dictionaries
from trackparse.columns.filters import Selection, both
from trackparse.columns.payload import PayloadBuilder, PayloadColumns
from trackparse.display import counted, html_line, html_page
from trackparse.errors import ArchiveError, HeaderError, OptionError, TrackparseError, suggestion
from trackparse.events import Event
from trackparse.notebook import ROWS, records_line, rejects_html, rows_html, schema_html
from trackparse.options import DatasetOptions, ReadOptions, dataset_options, read_part, whole_number
from trackparse.progress import Progress
from trackparse.reader import LogReader
from trackparse.schema import COLUMNS, LOG
from trackparse.sources.listing import Log, logs_of

_SHOWN: Final = 3  # names in a repr
_LOOKED_AT: Final = 4 << 20  # bytes of log that a notebook looks at for a few rows: a filter may let nothing through
# Options that may change which columns are found in the logs.
_ABOUT_COLUMNS: Final = {"columns", "dictionary", "members", "dialect"}

# What names one log or several, or holds one.
DatasetSource: TypeAlias = str | os.PathLike[str] | bytes | bytearray | memoryview


class LogDataset:
    """One log or several, opened anew at each use. ``dataset`` makes it.

    Its methods have the names of ``pyarrow.dataset.Dataset``. It can be used as an Arrow stream, and each stream begins
    with the first record: DuckDB may query it twice, Polars may join it with itself. Memory does not grow with the
    logs, except for ``to_table``. Threads may use it at the same time. Where all sources are names it can be pickled;
    the names are those that the sources stood for when it was made.

    Each method takes options of ``dataset``, which replace for that use those that the dataset was made with.

    >>> days = trackparse.dataset("days/*.zip", columns=["status", "log"])
    >>> duckdb.sql("SELECT log, count(*) FROM days WHERE status = 'failed' GROUP BY log").show()
    >>> days.count_rows()
    3000
    """

    def __init__(self, logs: Sequence[Log], options: DatasetOptions) -> None:
        """``options`` are complete."""
        self._logs = logs
        self._options = options
        self._found: Sequence[str] | None = None  # columns besides the known ones; None as long as nobody looked

    @property
    def files(self) -> list[str]:
        """The names of the logs, in the order in which they are read; ``<bytes>`` for one in memory."""
        return [log.name for log in self._logs]

    @property
    def where(self) -> Selection | None:
        """The filter that it was made with."""
        return self._options["where"]

    @property
    def payload_columns(self) -> PayloadColumns:
        """The columns of values inside payloads that it was made with."""
        return self._options["payload_columns"] or {}

    @property
    def schema(self) -> pa.Schema:
        """The schema of every batch. If ``columns`` names known columns only, nothing is opened for it.

        Otherwise headers of logs are read when it is first asked for: that of the first log, or with ``columns`` those
        of as many logs as it takes to find all columns. Raises what opening a log raises, and OptionError for a column
        that none has.
        """
        if self._found is None:
            self._found = self._look()
        options = self._options
        return ColumnBuilder(
            self._found,
            options["columns"],
            options["string_type"],
            options["dictionary"],
            options["limits"],
            PayloadBuilder(self.payload_columns),
        ).schema

    def open(self, **options: Unpack[DatasetOptions]) -> LogReader:
        """A reader of all logs, as ``open_log`` gives of one; it has rejects and stats of its own.

        ``damage`` has the errors of damaged logs.

        >>> with days.open(on_error="quarantine") as log:
        ...     table = log.read_all()
        ...     print(log.rejects["member"], log.damage)
        """
        return open_all(self, options)

    def filter(self, where: Selection) -> LogDataset:
        """A dataset of those records that meet one more ``Filter``: for an engine, which gives no options.

        TypeError for anything else. An expression of pyarrow filters batches: ``batch.filter(expression)``.

        >>> failed = days.filter(trackparse.Filter(statuses=["failed"]))
        >>> duckdb.sql("SELECT log, count(*) FROM failed GROUP BY log").show()
        """
        if not isinstance(where, Selection):
            raise TypeError(
                f"filter: expected a trackparse.Filter, such as Filter(statuses=['opened']), not {type(where).__name__}"
                "; an expression of pyarrow filters batches: batch.filter(expression)"
            )
        filtered = LogDataset(self._logs, {**self._options, "where": both(where, self.where)})
        filtered._found = self._found
        return filtered

    def get_fragments(self) -> Iterator[LogDataset]:
        """A dataset for each log, all with the schema of this one: for an engine that reads logs side by side.

        Raises what ``schema`` raises.

        >>> counts = {day.files[0]: day.count_rows() for day in days.get_fragments()}
        """
        if self._found is None:
            self._found = self._look()
        for log in self._logs:
            fragment = LogDataset([log], self._options)
            fragment._found = self._found
            yield fragment

    def to_batches(self, **options: Unpack[DatasetOptions]) -> Iterator[pa.RecordBatch]:
        """All records, as record batches.

        >>> for batch in days.to_batches(columns=["status"]):
        ...     print(batch.num_rows)
        """
        return self.open(**options)

    def to_reader(self, **options: Unpack[DatasetOptions]) -> pa.RecordBatchReader:
        """All records, as a ``pyarrow.RecordBatchReader``.

        >>> pyarrow.dataset.write_dataset(days.to_reader(), "copy", format="parquet")
        """
        return self.open(**options).to_reader()

    def to_table(self, **options: Unpack[DatasetOptions]) -> pa.Table:
        """All records, as a ``pyarrow.Table``, in memory.

        >>> table = days.to_table(where=trackparse.Filter(statuses=["failed"]))
        """
        with self.open(**options) as log:
            return log.read_all()

    def head(self, num_rows: int, **options: Unpack[DatasetOptions]) -> pa.Table:
        """The first ``num_rows`` records, fewer if there are fewer, as a ``pyarrow.Table``.

        No more of the logs is read than it takes. OptionError for a negative number.

        >>> days.head(5).to_pandas()
        """
        whole_number("rows", least=0)("num_rows", num_rows)
        batches: list[pa.RecordBatch] = []
        left = num_rows
        with self.open(**options) as log:
            while left and (batch := next(log, None)) is not None:
                batches.append(batch.slice(0, left))
                left -= batches[-1].num_rows
        return with_last_dictionaries(pa.Table.from_batches(batches, schema=log.schema))

    def count_rows(self, **options: Unpack[DatasetOptions]) -> int:
        """How many records there are, without bad ones. No columns are built.

        >>> days.count_rows(where=trackparse.Filter(statuses=["failed"]))
        24
        """
        dataset_options(options)  # those that count for nothing here are checked, too
        asked: DatasetOptions = {**options, "columns": ["timestamp"], "dictionary": (), "payload_columns": None}
        with self.open(**asked) as log:
            return sum(segment.records for group in log.segments() for segment in group)

    def events(self, **options: Unpack[DatasetOptions]) -> Iterator[Event]:
        """All records as ``Event``, one by one, with all fields, whatever ``columns`` says.

        >>> codes = {event.tracking_code for event in days.events()}
        """
        return self.open(**options).events()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.to_reader().__arrow_c_stream__(requested_schema)

    def __arrow_c_schema__(self) -> object:
        return self.schema.__arrow_c_schema__()

    def __repr__(self) -> str:
        names = ", ".join(map(repr, self.files[:_SHOWN]))
        more = f" and {len(self._logs) - _SHOWN} more" if len(self._logs) > _SHOWN else ""
        count = f"{len(self._logs)} logs" if len(self._logs) > 1 else "1 log"
        columns = self._options["columns"]
        shown = "" if columns is None else f"; columns {', '.join(columns)}"
        return f"<LogDataset of {count}: {names}{more}{shown}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: names, schema, and the first rows, which a pass of its own reads."""
        count = counted(len(self._logs), "log")
        names = ", ".join(self.files[:_SHOWN]) + (f" and {len(self._logs) - _SHOWN} more" * (len(self._logs) > _SHOWN))
        return html_page(f"LogDataset of {count}: {names}", *self._looked_into())

    # ---- what happens inside ----------------------------------------------------------------------------

    def _looked_into(self) -> Iterator[str]:
        """The first rows and rejects as HTML, of as much of the logs as is looked at; or the error instead."""
        batches: list[pa.RecordBatch] = []
        options: DatasetOptions = {
            "on_error": "quarantine",
            "on_rejects": None,
            "progress": _stop_looking,
            "block_size": 1 << 16,
        }
        try:
            with self.open(**options) as log:
                try:
                    while sum(batch.num_rows for batch in batches) < ROWS and (batch := next(log, None)) is not None:
                        batches.append(batch)
                except _EnoughError:
                    pass
                yield rows_html(pa.Table.from_batches(batches, schema=log.schema))
                yield html_line(f"looked at for these rows: {records_line(log.stats)}")
                yield rejects_html(log.rejects)
                yield schema_html(log.schema)
        except _EnoughError:
            yield html_line(f"no header in the first {_LOOKED_AT >> 20} MiB")
        except (TrackparseError, OSError, ImportError) as error:
            yield html_line(f"{type(error).__name__}: {error}")

    def _reader(
        self,
        logs: Sequence[Log],
        options: ReadOptions,
        found: Sequence[str] | None = None,
        inflating: int = INFLATING_MOST,
    ) -> LogReader:
        keep_damaged = self._options["on_damage"] == "keep"
        return LogReader(logs, options, alone=False, found=found, keep_damaged=keep_damaged, inflating=inflating)

    def _look(self) -> list[str]:
        """The columns that the logs have besides the known ones, as far as the schema needs them."""
        columns = self._options["columns"]
        # Only the headers are wanted.
        options: ReadOptions = read_part(self._options)
        options |= {
            "columns": None,
            "dictionary": (),
            "payload_columns": None,
            "where": None,
            "on_rejects": None,
            "progress": None,
        }
        if columns is None:
            with self._reader(self._logs, options) as log:
                return [name for name in log.schema.names if name not in COLUMNS]
        wanted = [name for name in (*columns, *self._options["dictionary"]) if name not in (*COLUMNS, LOG)]
        found = {LOG} if LOG in columns else set[str]()
        for one in self._logs if wanted else ():
            if found.issuperset(wanted):
                break
            try:
                with self._reader([one], options) as log:
                    found.update(log.schema.names)
            except (ArchiveError, HeaderError):
                if self._options["on_damage"] == "raise":
                    raise
        if missing := [name for name in wanted if name not in found]:
            where = f"any of the {len(self._logs)} logs" if len(self._logs) > 1 else "this log"
            known = (*COLUMNS, *sorted(found - {*COLUMNS, LOG}), LOG)
            raise OptionError(f"no column {missing[0]!r} in {where}{suggestion(missing[0], known)}")
        return sorted(found - {*COLUMNS})


def open_all(logs: LogDataset, options: DatasetOptions, inflating: int = INFLATING_MOST) -> LogReader:
    """As ``logs.open``; ``inflating`` is that of ``LogReader``."""
    if "filesystem" in options:
        raise OptionError("filesystem: it goes with the sources: give it to trackparse.dataset")
    asked = logs
    if options:
        asked = LogDataset(logs._logs, dataset_options({**logs._options, **options}))
        if not _ABOUT_COLUMNS & options.keys():
            asked._found = logs._found
    if asked._found is None and asked._options["columns"] is not None:
        asked._found = asked._look()
    log = asked._reader(asked._logs, read_part(asked._options), asked._found, inflating)
    if asked._found is None:
        asked._found = [name for name in log.builder.names if name not in COLUMNS]
    return log


class _EnoughError(Exception):
    """Enough was looked at."""


def _stop_looking(progress: Progress) -> None:
    if progress.stats.bytes_inflated > _LOOKED_AT:
        raise _EnoughError


def dataset(sources: DatasetSource | Iterable[DatasetSource], **options: Unpack[DatasetOptions]) -> LogDataset:
    """One log or several, opened anew at each use. Nothing is opened now, but the files have to be there.

    ``sources`` is the path or the URL of a log, a glob, a directory, the bytes of a log, or a list of these. URLs are
    those of ``open_log``; ``s3://`` and the like may be globs and folders, too. With ``filesystem`` paths are paths in
    it. A glob stands for all files that it matches; a directory for the ``*.zip``, ``*.csv`` and ``*.csv.gz`` in it and
    below it, without those whose names begin with ``.``, ``_`` or ``~``. Logs are read in the order of their names, and
    a file once only, however often it is named.

    Options are those of ``open_log``, and apply to each log by itself, but for ``max_rejects_bytes`` and
    ``max_dictionary_bytes`` of ``limits``, which are for all logs together. So are these:

    - ``columns``: may also name ``"log"``, for a column with the name of the log, as in ``files``. A known column that
      a log lacks is null there, and so is another one that at least one of the logs has. Without ``columns`` the first
      log decides; a later one with a column more is a HeaderError.
    - ``on_damage``: what to do about a log that is damaged or no log at all. ``"raise"`` (default): raise its
      ArchiveError or HeaderError behind the records before it. ``"keep"``: keep these records, go on with the next log,
      and warn by the logger ``trackparse``; ``LogReader.damage`` has the errors. If no log has a record, the first
      error is raised. Other errors, such as those of a file that is gone, are raised.

    Raises FileNotFoundError for a path that does not exist, and for a glob or directory without a log; OptionError for
    a pipe, and for a URL that cannot be used; TypeError for a file object and for other kinds of sources; and what
    ``open_log`` raises for options. Reading raises what reading a log raises.

    >>> days = trackparse.dataset("days/", columns=["timestamp", "status", "log"])
    >>> days.head(2).to_pylist()
    >>> polars.DataFrame(days)
    """
    asked = dataset_options(options)
    return LogDataset(logs_of(sources, asked["filesystem"]), asked)
