"""Converts a log to a file: places, damage, bad records, report. A sink writes the records."""

from __future__ import annotations

import hashlib
import io
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path, PurePath
from types import TracebackType
from typing import IO, Any, Final, Protocol, TypeAlias, Unpack

import pyarrow as pa

from trackparse.archive.readahead import INFLATING_MOST
from trackparse.atomic import all_or_none, identity, is_read_here, kept, uninterrupted
from trackparse.columns.builder import ColumnBuilder
from trackparse.convert.changed import REJECTS_SUM, Known, SafeRejectsPlace, rejects_sums
from trackparse.convert.outputs import check_is_parquet
from trackparse.convert.parquet import SOURCE, ParquetSink
from trackparse.convert.places import LocalPlace, Place, is_source, place_of
from trackparse.datasets import LogDataset, open_all
from trackparse.display import counted, html_details, html_line, html_page, html_table
from trackparse.errors import ArchiveError, HeaderError, OptionError, printable
from trackparse.notebook import rejects_html
from trackparse.options import (
    ConvertOptions,
    Destination,
    LogSource,
    OnDamage,
    convert_options,
    read_options,
    read_part,
)
from trackparse.reader import LogReader, tell_of_empty_columns
from trackparse.records.segments import Segment
from trackparse.records.stream import Stats
from trackparse.rejects.files import check_rejects_name, rejects_writer
from trackparse.rejects.kept import SCHEMA
from trackparse.sources.listing import Log
from trackparse.sources.opening import is_in_no_filesystem, open_anywhere
from trackparse.sources.source import FileSource, MemorySource, Source
from trackparse.sources.urls import name_of
from trackparse.version import __version__


class Reader(Protocol):
    """What is converted: a log that is read, or what stands in for one. Closed at the end of ``with``."""

    builder: ColumnBuilder

    @property
    def stats(self) -> Stats:
        """What was read so far."""
        ...

    @property
    def damage(self) -> Sequence[ArchiveError | HeaderError]:
        """Errors of logs among several that could not be read to their end."""
        ...

    @property
    def rejects(self) -> pa.Table:
        """The bad records that are kept."""
        ...

    def segments(self) -> Iterator[list[Segment]]:
        """The segments of the next batches, from which ``builder`` builds columns."""
        ...

    def __enter__(self) -> Reader: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Sink(Protocol):
    """An output. It gets the segments of a log one list after the other; then it is closed, or aborted."""

    def write(self, segments: list[Segment]) -> None:
        """Write the records of these, or keep them for later."""

    def close(self, metadata: Mapping[str, str]) -> None:
        """Write what is left, and end the file, with metadata that were not known before."""

    def abort(self) -> None:
        """Close the file after an error, in whatever state it is: it will be removed."""


# Opens the output, and begins a file of the columns that the builder makes, with these metadata.
NewSink: TypeAlias = Callable[[ColumnBuilder, Place, ConvertOptions, Mapping[str, str]], Sink]

# By the suffix of the destination; of any other it is Parquet.
_SINKS: Final[Mapping[str, NewSink]] = {".parquet": ParquetSink}
# Bytes of a log on this machine that the caller's thread inflates: for so few another thread saves nothing.
SMALL_LOG: Final = 256 << 10
# Another process may remove a folder, one that it made for a log that it could not convert, before a file is in it.
ATTEMPTS: Final = 10
# Metadata of the file: the version of this library that made it, and the damage of its log.
VERSION: Final = "trackparse.version"
PARTIAL: Final = "trackparse.partial"
# Made at import: when a report says that there is no memory left, there is none to make it with.
_NO_REJECTS: Final = pa.Table.from_batches([], schema=SCHEMA)


@dataclass(frozen=True, slots=True, repr=False)
class ConversionReport:
    """What ``convert_log`` did, or ``convert_logs`` with one of its logs.

    source: the name of the log.
    path: the Parquet file: a ``Path`` on this machine, else a str: the URL without user and query, the path in
        ``filesystem``, or the name of the open file.
    records: rows written.
    filtered: good records that ``where`` left out.
    rejected: bad records.
    misfits: values inside payloads that are null, because they do not fit the type of their column.
    blank_lines: blank lines in the log.
    members: files of the archive that were read.
    bytes_in: bytes read from the source.
    bytes_inflated: bytes of the log, unpacked.
    bytes_out: bytes of the Parquet file.
    seconds: how long it took.
    rejects: the bad records, a table as ``LogReader.rejects``. Empty if they were written to a file.
    rejects_path: the file of rejects, as ``path``. None if no file was written.
    damage: the error of a damaged archive, if ``on_damage="keep"``: the Parquet file holds the records before the
        damage. None for a sound archive.
    skipped: ``convert_logs`` found the log converted already. ``records`` and ``bytes_out`` are those of its file.
    error: why ``convert_logs`` could not convert the log; its file is as it was before, and all numbers are 0.
    files: the Parquet files, as ``path``: that one; with ``partition_by`` one for each partition that the log has, and
        ``path`` is the folder of all partitions.

    >>> report = trackparse.convert_log("tracking_log.zip", "tracking_log.parquet")
    >>> json.dumps(report.to_dict())
    """

    source: str
    path: Path | str
    records: int
    filtered: int
    rejected: int
    misfits: int
    blank_lines: int
    members: int
    bytes_in: int
    bytes_inflated: int
    bytes_out: int
    seconds: float
    rejects: pa.Table
    rejects_path: Path | str | None
    damage: ArchiveError | HeaderError | None
    skipped: bool = False
    error: Exception | None = None
    files: tuple[Path | str, ...] = ()

    def to_dict(self) -> dict[str, str | int | float | list[str] | None]:
        """All fields but the table ``rejects``, as values that JSON has: paths and errors are strings."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "rejects"}
        return {name: _as_json(value) for name, value in values.items()}

    def _repr_html_(self) -> str:
        return _report_html(self)

    def __repr__(self) -> str:
        seconds = f"{self.seconds:.2f} s"
        rejected = f"rejected={self.rejected}" + (f" in {str(self.rejects_path)!r}" if self.rejects_path else "")
        misfits = f", misfits={self.misfits}" if self.misfits else ""
        damage = "" if self.damage is None else f", damage={type(self.damage).__name__}"
        damage += ", skipped" * self.skipped + ("" if self.error is None else f", error={type(self.error).__name__}")
        return (
            f"<ConversionReport {str(self.path)!r}: records={self.records}, filtered={self.filtered}, "
            f"{rejected}{misfits}{damage}\n members={self.members}, bytes_in={self.bytes_in}, "
            f"bytes_inflated={self.bytes_inflated}, bytes_out={self.bytes_out}, {seconds}>"
        )


def empty_report(source: str, path: Path | str, **more: Any) -> ConversionReport:
    """The report of a log that was not converted to ``path``, a path or a URL.

    ``more`` are the fields that are not 0, empty or None.
    """
    numbers = {field.name: 0 for field in fields(ConversionReport) if field.type in ("int", "float")}
    given: dict[str, Any] = {**numbers, "rejects": _NO_REJECTS, "rejects_path": None, "damage": None, **more}
    # A key or a signature may stand in a URL.
    return ConversionReport(source=source, path=path if isinstance(path, Path) else name_of(path), **given)


def _report_html(report: ConversionReport) -> str:
    """What a notebook shows of a report."""
    written = counted(report.records, "record") + (", converted before" if report.skipped else "")
    rejected = f"{report.rejected:,} rejected" + (f", in {report.rejects_path}" if report.rejects_path else "")
    problems = [problem for problem in (report.damage, report.error) if problem is not None]
    shown = {name: value for name, value in report.to_dict().items() if value not in (None, 0, False)}
    return html_page(
        f"ConversionReport {report.path}",
        html_line(f"{written}, {rejected}" if report.rejected else written),
        *(html_line(f"{type(problem).__name__}: {problem}") for problem in problems),
        rejects_html(report.rejects),
        html_details("all of it", html_table(("", ""), shown.items())),
    )


def _as_json(value: Any) -> Any:
    if isinstance(value, tuple):
        return [*map(_as_json, value)]
    return value if value is None or isinstance(value, int | float) else printable(str(value))


def convert_log(source: LogSource, dest: Destination, **options: Unpack[ConvertOptions]) -> ConversionReport:
    """Write a log as a Parquet file, and report what was done.

    Source and options are those of ``open_log``. ``dest`` is a path, a URL (``s3://``, ``gs://``, ``hdfs://``,
    ``file://``), or a binary file that you opened for writing; it gets the bytes as they come, and stays open. With
    ``filesystem`` all paths are looked for there: those of the source, of ``dest`` and of ``rejects``. More options:

    - ``compression``: the codec of the Parquet file: ``"zstd"`` (default), ``"snappy"``, ``"gzip"``, ``"brotli"``,
      ``"lz4"``, ``"lz4_raw"`` or ``"none"``.
    - ``row_group_size``: rows of a row group. Default: 131,072. A row group has fewer rows where they fill 27 MiB in
      memory: that bounds it.
    - ``bloom_filters``: names of columns to write Bloom filters of, such as ``("tracking_code", "hwid")``. A query for
      one value, in DuckDB, say, then passes over the row groups that lack it. Default: none. A filter takes about ten
      bits for each different value of a row group. OptionError if the installed pyarrow is too old to write them.
    - ``rejects``: path or URL of a file for the bad records, ``*.parquet`` or ``*.jsonl``. For
      ``on_error="quarantine"`` only. Bad records are written as they come, and ``read_rejects`` reads them. With no
      rejects no file is written, and an old one is deleted. An old one is kept unless the old file ``dest`` says that
      it is as it was written, since a person may have mended it: the bad records go to a name beside it,
      ``day.rejects.new.jsonl``, and a warning of the logger ``trackparse`` says so.
    - ``threads``: how many threads work for the log at once, at most. 1: everything is done in the thread of the
      caller, one thing after the other, which takes least of the processor: for whoever converts many logs side by
      side. 2: another thread encodes and writes row groups; 3: a third one inflates; 4: a fourth one inflates, too,
      where an archive has several members; more than 4 is as 4. Default: None, as 4, but as 2 for a log on this
      machine of at most 256 KiB. A row group is encoded by one thread: pyarrow offers no other way. The file is the
      same, whatever the number. Threads that only wait, for a deadline or for a file to be renamed, and those of
      pyarrow's file systems are not counted.
    - ``on_damage``: what to do about a damaged archive. ``"raise"`` (default): raise its ``ArchiveError``. ``"keep"``:
      keep all records that could be read: those before the damage, and those of the other members. The report then has
      the error as ``damage``, and the metadata of the file has it as ``trackparse.partial``. Other errors are raised,
      and so is damage before the first record. After a checksum that does not match, values may be wrong, too.

    Text is written as plain strings, whatever ``string_type`` and ``dictionary`` say. The file appears under its name
    when it is complete: after an error there is neither half a file nor a changed old one. In an object store it is
    written under a hidden name beside its own, ``.NAME.*.trackparse.tmp``, which a process that is killed may leave
    behind. Only an open file holds a part after an error, which no reader takes for a whole one. The key-value metadata
    names the version of trackparse, the source, and the SHA-256 of the file of rejects if one was written.

    Raises what ``open_log`` and reading raise; OptionError if an output is the log itself, a URL to which nothing can
    be written, or a name that promises another format, such as ``day.csv``; TrackparseError if the file of rejects
    would replace a file of something else; OSError if a file cannot be written.

    >>> report = trackparse.convert_log("tracking_log.zip", "tracking_log.parquet")
    >>> report.records
    1000
    >>> report = trackparse.convert_log("s3://push-logs/2021-04-20.zip", "s3://lake/push/2021-04-20.parquet")
    """
    return convert(source, dest, convert_options(options), {})


def convert(
    source: LogSource | LogDataset,
    dest: Destination,
    asked: ConvertOptions,
    more_metadata: Mapping[str, str],
    *,
    noted_rejects: AbstractSet[str] | None = None,
    old_rejects: Known | None = None,
    open_reader: Callable[..., Reader] | None = None,
    new_sink: NewSink | None = None,
    what: str = "log",
    make_folder: Callable[[], object] | None = None,
) -> ConversionReport:
    """As ``convert_log``, of complete options, with more metadata in the file, and perhaps with another output.

    All logs of a dataset go into one file. Of its options only those that are not in ``asked`` count.

    A file of rejects that a person may have changed is not replaced. What was written before ``old_rejects`` tells;
    default: the old Parquet file. ``noted_rejects`` are the SHA-256 of other files of rejects that may be replaced;
    None: if nothing tells, the file has to look like rejects. ``open_reader`` is called with the opened source and the
    options of reading, where that is no log; ``what`` is how messages call it. ``make_folder`` makes the folder of the
    outputs, if that is not there.
    """
    filesystem = asked["filesystem"]
    output = place_of(dest, filesystem)
    _check_is_other(output, source, filesystem, what)
    if isinstance(output, LocalPlace):
        output.check_name()  # before that of the rejects, which is longer
    if new_sink is None:
        check_is_parquet(dest)
    outputs = [output]
    safe = rejects = None
    if asked["rejects"] is not None:
        _check_rejects(place_of(asked["rejects"], filesystem), output, source, asked, what)
        told = old_rejects or partial(rejects_sums, output)
        safe = SafeRejectsPlace(asked["rejects"], filesystem, partial(_known_rejects, told, noted_rejects))
        rejects = safe.place
        _check_rejects(rejects, output, source, asked, what)
        outputs.append(rejects)
    start = time.perf_counter()
    with ExitStack() as opened:
        unread = opened.enter_context(ExitStack())
        new_reader: Callable[..., Reader]
        inflating = _inflating(asked["threads"])
        if isinstance(source, LogDataset):
            name, new_reader = name_of_all(source.files), partial(_open_all, source, asked["on_damage"], inflating)
            opened.enter_context(kept(source.files))
        else:
            # Opened first: a log that is not there leaves nothing behind.
            log_source = open_anywhere(source, filesystem)
            opened.enter_context(kept([source]))
            unread.callback(log_source.close)
            if _is_small(log_source):
                inflating = 0
            name, new_reader = log_source.name, partial(open_reader or partial(_open_one, inflating), log_source)
        # A download calls itself by the last part of its URL.
        whole_name = name_of(source) if isinstance(source, str) and is_in_no_filesystem(source) else name
        metadata = {VERSION: __version__, SOURCE: printable(whole_name), **more_metadata}
        _create(outputs, opened, make_folder)
        with ExitStack() as written:
            read = read_part(asked)
            read |= {"string_type": "string", "dictionary": ()}  # a file always gets plain strings
            summed = _Summed(rejects) if rejects else None
            if summed:
                read["on_rejects"] = written.enter_context(rejects_writer(summed, metadata, asked["limits"]))
            unread.pop_all()  # from here on the reader closes it, whose thread may be in the middle of a read
            log = opened.enter_context(new_reader(**read))
            segments = _Segments(log, keep_damaged=asked["on_damage"] == "keep")

            def known_at_the_end() -> dict[str, str]:
                written.close()
                found = {PARTIAL: printable(str(segments.damage))} if segments.damage else {}
                return {**found, REJECTS_SUM: summed.digest} if summed and summed.digest else found

            new_sink = new_sink or _SINKS.get(PurePath(output.name).suffix.lower(), ParquetSink)
            _write(segments, new_sink(log.builder, output, asked, metadata), output, known_at_the_end)
            tell_of_empty_columns(name, log.builder.payload)
        digest = summed.digest if summed else ""
        if safe:
            safe.check(digest, what)
    stats = log.stats
    return ConversionReport(
        source=name,
        path=output.name,
        records=stats.records - stats.filtered,
        filtered=stats.filtered,
        rejected=stats.rejected,
        misfits=stats.misfits,
        blank_lines=stats.blank_lines,
        members=stats.members,
        bytes_in=stats.bytes_read,
        bytes_inflated=stats.bytes_inflated,
        bytes_out=output.size,
        seconds=time.perf_counter() - start,
        rejects=log.rejects,
        rejects_path=safe.written(digest, what) if safe else None,
        damage=segments.damage,
        files=(output.name,),
    )


def _create(outputs: list[Place], opened: ExitStack, make_folder: Callable[[], object] | None) -> None:
    """Make the files to write, until the end of ``opened``."""
    for attempts_left in reversed(range(ATTEMPTS if make_folder else 1)):
        try:
            if make_folder:
                make_folder()
            opened.enter_context(all_or_none(outputs))
            return
        except FileNotFoundError:
            if not attempts_left:
                raise


def name_of_all(names: Sequence[str]) -> str:
    """How messages and reports call several logs."""
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _inflating(threads: int | None) -> int:
    """How many of the threads inflate: what the caller's thread and the one that writes leave."""
    return INFLATING_MOST if threads is None else max(0, threads - 2)


def _is_small(source: Source) -> bool:
    """Whether a thread that inflates would take longer than it saves."""
    return isinstance(source, FileSource | MemorySource) and (source.size or 0) <= SMALL_LOG


def _open_one(inflating: int, source: Source, **read: Any) -> LogReader:
    log = Log(source.name, lambda: source, None)
    return LogReader([log], read_options(read), inflating=inflating)  # type: ignore[arg-type]


def _open_all(logs: LogDataset, on_damage: OnDamage, inflating: int, **read: Any) -> LogReader:
    del read["filesystem"]  # the logs are named already
    return open_all(logs, {"on_damage": on_damage, **read}, inflating)  # type: ignore[typeddict-item]


class _Segments:
    """The segments of a log. With ``keep_damaged`` a damaged archive ends them, and ``damage`` is its error."""

    def __init__(self, log: Reader, *, keep_damaged: bool) -> None:
        self._log = log
        self._keep = keep_damaged
        self.damage: ArchiveError | HeaderError | None = None

    def __iter__(self) -> Iterator[list[Segment]]:
        try:
            yield from self._log.segments()
            # Of several logs the reader itself keeps what it can.
            self.damage = next(iter(self._log.damage), None)
        except ArchiveError as damage:
            if not (self._keep and self._log.stats.records):
                raise
            # Its traceback would hold all that was read.
            self.damage = damage.with_traceback(None)


class _Summed:
    """Where rejects are written; ``digest`` is the SHA-256 of their file, empty if nothing was written."""

    closed = False

    def __init__(self, place: Place) -> None:
        self.name = place.name
        self._place = place
        self._stream: Any = None
        self._sum = hashlib.sha256()

    @property
    def digest(self) -> str:
        return self._sum.hexdigest() if self._stream is not None else ""

    def open(self) -> pa.NativeFile:
        self._stream = self._place.open()
        return pa.PythonFile(self, mode="w")

    def write(self, data: Any) -> int:
        self._sum.update(data)
        self._stream.write(data)
        return len(data)

    def tell(self) -> int:
        return int(self._stream.tell())

    def flush(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        self._stream.close()


def _write(segments: _Segments, sink: Sink, output: Place, known_at_the_end: Callable[[], Mapping[str, str]]) -> None:
    try:
        for group in segments:
            sink.write(group)
        sink.close(known_at_the_end())
    except BaseException:
        # Ctrl-C may come again. A thread may be writing still, and nobody else may close the file under it.
        uninterrupted(partial(_abort, sink, output))
        raise


def _abort(sink: Sink, output: Place) -> None:
    output.abandon()
    sink.abort()


def _check_is_other(output: Place, source: object, filesystem: object, what: str) -> None:
    """OptionError if the log, or ``what`` it is, would be written over, whatever names it has, or may be."""
    if is_source(output, source, filesystem):
        raise OptionError(f"{output.name}: that is the {what} itself: name another file to write")
    found = identity(output.path) if isinstance(output, LocalPlace) else None
    # An object that does not tell from which file it reads, or a generator, has that file open. A log is never Parquet:
    # whoever reads an old output of ours just now does not stand in the way of the new one.
    hides = identity(source) is None and not isinstance(source, str | os.PathLike | bytes | bytearray | io.BytesIO)
    if found is not None and hides and is_read_here(found) and not _is_free(output.open_old()):
        raise OptionError(
            f"{output.name}: that may be the {what} itself, since this process reads from it: name another file to "
            f"write, or hand over the path of the {what}"
        )


def _is_free(old: IO[bytes] | None) -> bool:
    """Whether the old file is no log: it is empty, or Parquet."""
    if old is None:
        return True
    with old:
        return old.read(4) in (b"", b"PAR1")


def _check_rejects(rejects: Place, dest: Place, source: object, options: ConvertOptions, what: str) -> None:
    """OptionError if rejects cannot be written there."""
    check_rejects_name(rejects.name)
    if options["on_error"] != "quarantine":
        raise OptionError(f"rejects={str(rejects.name)!r}: rejects are written with on_error='quarantine' only")
    if rejects.is_same(dest) or dest.is_same(rejects):
        raise OptionError(f"rejects={str(rejects.name)!r}: that is the Parquet file itself: name another file")
    _check_is_other(rejects, source, options["filesystem"], what)


def _known_rejects(told: Known, noted: AbstractSet[str] | None) -> AbstractSet[str] | None:
    """The SHA-256 of the files of rejects that may be replaced; None if nothing tells what was written."""
    found = told()
    return None if found is None and noted is None else {*(found or ()), *(noted or ())} - {""}
