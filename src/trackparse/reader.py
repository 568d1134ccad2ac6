"""The log reader: pulls blocks through the indexer and hands out batches or events. It knows no format."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from types import TracebackType
from typing import Any, Final, Literal, TypedDict, Unpack

import pyarrow as pa

from trackparse.archive import open_archive
from trackparse.columns import ColumnBuilder
from trackparse.errors import ArchiveError, RecordError
from trackparse.events import Event, events_of
from trackparse.index import EXPLANATIONS, TRUNCATED, Indexer, Reject, Segment
from trackparse.limits import Limits
from trackparse.readahead import MemberEnd, MemberStart, ReadAhead
from trackparse.sources import open_source

BLOCK_SIZE: Final = 1 << 20  # bytes: a block, its index and its columns stay in the second-level cache
DEFAULT_LIMITS: Final = Limits()
ON_ERROR: Final = ("raise", "quarantine", "skip")

OnError = Literal["raise", "quarantine", "skip"]
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


@dataclass(frozen=True, slots=True)
class Stats:
    """What was read so far."""

    records: int = 0  # good ones
    rejected: int = 0
    blank_lines: int = 0
    bytes_read: int = 0  # of the source
    bytes_inflated: int = 0  # of the members
    members: int = 0  # begun


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
        if on_error not in ON_ERROR:
            raise ValueError(f"on_error={on_error!r}: there are {', '.join(ON_ERROR)}")
        if block_size < 1 or block_size > 1 << 30:
            raise ValueError(f"block_size={block_size}: from 1 byte to 1 GiB")
        self._indexer = Indexer(dialect, limits, block_size)
        self._source = open_source(source)
        self.name: str = self._source.name
        self._ahead = ReadAhead(open_archive(self._source, limits, members), block_size)
        self._on_error = on_error
        self._block_size = block_size
        self._progress = progress
        self._lock = threading.Lock()
        self._stats = Stats()
        self._rejects: list[Reject] = []
        self._closed = False
        self._fault: Exception | None = None
        self._pending: list[Segment] = []
        self._groups = self._group_segments()
        try:
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
        found = first[0].columns if first else self._indexer.columns
        return ColumnBuilder(found or (), columns, string_type, dictionary)

    # ---- what the caller sees ---------------------------------------------------------------------------

    @property
    def schema(self) -> pa.Schema:
        """The schema of every batch."""
        return self._builder.schema

    @property
    def stats(self) -> Stats:
        """What was read and delivered so far."""
        return replace(self._stats, bytes_read=self._source.bytes_read)

    @property
    def rejects(self) -> pa.Table:
        """The bad records so far: member, record, line, byte_offset, reason, raw. Kept by ``"quarantine"`` only."""
        rows = [
            (p.member, p.record, p.line, p.byte_offset, reject.reason, reject.raw)
            for reject in self._rejects
            for p in (reject.position,)
        ]
        lists = zip(*rows, strict=True) if rows else ([] for _ in _REJECTS_SCHEMA)
        arrays = [pa.array(values, field.type) for values, field in zip(lists, _REJECTS_SCHEMA, strict=True)]
        return pa.Table.from_arrays(arrays, schema=_REJECTS_SCHEMA)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self

    def __next__(self) -> pa.RecordBatch:
        return self._builder.build(self._next_group())

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
            except Exception as fault:
                # An error that was seen once must not look like the end the next time.
                self._fault = None if isinstance(fault, StopIteration) else fault
                raise
            return group

    def _group_segments(self) -> Iterator[list[Segment]]:
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
                self._stats = replace(self._stats, members=self._stats.members + 1)
                continue
            if isinstance(item, MemberEnd):
                inside = False
                yield from indexer.finish()
            else:
                self._stats = replace(self._stats, bytes_inflated=self._stats.bytes_inflated + len(item))
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
            self._rejects.extend(rejects)
        stats = self._stats
        self._stats = replace(
            stats,
            records=stats.records + segment.records,
            rejected=stats.rejected + len(rejects),
            blank_lines=stats.blank_lines + segment.blank_lines,
        )
        return segment, fault


def _record_error(reject: Reject) -> RecordError:
    shown = repr(reject.raw[:120]) + ("..." if len(reject.raw) > 120 else "")
    return RecordError(
        f"{reject.position}: {EXPLANATIONS[reject.reason]} ({reject.reason}): {shown}; "
        "on_error='quarantine' sets bad records aside and goes on",
        reject.position,
        reject.reason,
        reject.raw,
    )


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
