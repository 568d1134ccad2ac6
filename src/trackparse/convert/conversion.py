"""Converts a log to a file: places, damage, bad records, report. A sink writes the records."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path, PurePath
from typing import IO, Any, Final, Protocol, TypeAlias, Unpack

import pyarrow as pa

from trackparse.atomic import all_or_none, identity, is_read_here, kept
from trackparse.columns.builder import ColumnBuilder
from trackparse.convert.parquet import ParquetSink
from trackparse.convert.places import LocalPlace, Place, is_source, place_of
from trackparse.datasets import LogDataset
from trackparse.errors import ArchiveError, HeaderError, OptionError, printable
from trackparse.options import ConvertOptions, Destination, LogSource, OnDamage, convert_options, read_part
from trackparse.reader import LogReader, open_log
from trackparse.records.segments import Segment
from trackparse.rejects.files import check_old_rejects, check_rejects_name, rejects_writer
from trackparse.sources.opening import open_anywhere
from trackparse.version import __version__


class Sink(Protocol):
    """An output. It gets the segments of a log one list after the other; then it is closed, or aborted."""

    def write(self, segments: list[Segment]) -> None:
        """Write the records of these, or keep them for later."""

    def close(self, partial: str) -> None:
        """Write what is left, and end the file. ``partial`` is the damage of its log, empty for a sound one."""

    def abort(self) -> None:
        """Close the file after an error, in whatever state it is: it will be removed."""


# Opens the output, and begins a file of the columns that the builder makes, with these metadata.
NewSink: TypeAlias = Callable[[ColumnBuilder, Place, ConvertOptions, Mapping[str, str]], Sink]

# By the suffix of the destination; of any other it is Parquet.
_SINKS: Final[Mapping[str, NewSink]] = {".parquet": ParquetSink}


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
      ``"lz4"`` or ``"none"``.
    - ``row_group_size``: rows of a row group. Default: 131,072. A row group has fewer rows where their text, each
      repeated value counted once, fills 11 MiB: that bounds memory.
    - ``rejects``: path or URL of a file for the bad records, ``*.parquet`` or ``*.jsonl``. For
      ``on_error="quarantine"`` only. Bad records are written as they come, and ``read_rejects`` reads them. With no
      rejects no file is written, and an old one is deleted.
    - ``on_damage``: what to do about a damaged archive. ``"raise"`` (default): raise its ``ArchiveError``. ``"keep"``:
      keep all records that could be read: those before the damage, and those of the other members. The report then has
      the error as ``damage``, and the metadata of the file has it as ``trackparse.partial``. Other errors are raised,
      and so is damage before the first record. After a checksum that does not match, values may be wrong, too.

    Text is written as plain strings, whatever ``string_type`` and ``dictionary`` say. The file appears under its name
    when it is complete: after an error there is neither half a file nor a changed old one. In an object store it is
    written under a hidden name beside its own, ``.NAME.*.trackparse.tmp``, which a process that is killed may leave
    behind. Only an open file holds a part after an error, which no reader takes for a whole one. The key-value metadata
    names the version of trackparse and the source.

    Raises what ``open_log`` and reading raise; OptionError if an output is the log itself, or a URL to which nothing
    can be written; TrackparseError if the file of rejects would replace a file of something else; OSError if a file
    cannot be written.

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
    new_sink: NewSink | None = None,
) -> ConversionReport:
    """As ``convert_log``, of complete options, with more metadata in the file, and perhaps with another output.

    All logs of a dataset go into one file. Of its options only those that are not in ``asked`` count.
    """
    filesystem = asked["filesystem"]
    output = place_of(dest, filesystem)
    _check_is_other(output, source, filesystem)
    outputs = [output]
    rejects = None
    if asked["rejects"] is not None:
        rejects = place_of(asked["rejects"], filesystem)
        _check_rejects(rejects, output, source, asked)
        outputs.append(rejects)
    start = time.perf_counter()
    with ExitStack() as opened:
        unread = opened.enter_context(ExitStack())
        new_reader: Callable[..., LogReader]
        if isinstance(source, LogDataset):
            name, new_reader = name_of_all(source.files), partial(_open_all, source, asked["on_damage"])
            opened.enter_context(kept(source.files))
        else:
            # Opened first: a log that is not there leaves nothing behind.
            log_source = open_anywhere(source, filesystem)
            opened.enter_context(kept([source]))
            unread.callback(log_source.close)
            name, new_reader = log_source.name, partial(open_log, log_source)
        metadata = {"trackparse.version": __version__, "trackparse.source": printable(name), **more_metadata}
        opened.enter_context(all_or_none(outputs))
        with ExitStack() as written:
            read = read_part(asked)
            read |= {"string_type": "string", "dictionary": ()}  # a file always gets plain strings
            if rejects:
                read["on_rejects"] = written.enter_context(rejects_writer(rejects, metadata, asked["limits"]))
            unread.pop_all()  # from here on the reader closes it, whose thread may be in the middle of a read
            log = opened.enter_context(new_reader(**read))
            segments = _Segments(log, keep_damaged=asked["on_damage"] == "keep")
            new_sink = new_sink or _SINKS.get(PurePath(output.name).suffix.lower(), ParquetSink)
            _write(segments, new_sink(log.builder, output, asked, metadata), output)
        if rejects:
            # Once more: reading takes long.
            check_old_rejects(rejects.name, rejects.open_old())
            rejects.stays_empty = not log.stats.rejected
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
        rejects_path=rejects.name if rejects and stats.rejected else None,
        damage=segments.damage,
        files=(output.name,),
    )


def name_of_all(names: Sequence[str]) -> str:
    """How messages and reports call several logs."""
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _open_all(logs: LogDataset, on_damage: OnDamage, **read: Any) -> LogReader:
    del read["filesystem"]  # the logs are named already
    return logs.open(on_damage=on_damage, **read)


class _Segments:
    """The segments of a log. With ``keep_damaged`` a damaged archive ends them, and ``damage`` is its error."""

    def __init__(self, log: LogReader, *, keep_damaged: bool) -> None:
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


def _write(segments: _Segments, sink: Sink, output: Place) -> None:
    try:
        for group in segments:
            sink.write(group)
        sink.close(printable(str(segments.damage)) if segments.damage else "")
    except BaseException:
        output.abandon()
        sink.abort()
        raise


def _check_is_other(output: Place, source: object, filesystem: object) -> None:
    """OptionError if the log would be written over, whatever names it has, or may be."""
    if is_source(output, source, filesystem):
        raise OptionError(f"{output.name}: that is the log itself: name another file to write")
    found = identity(output.path) if isinstance(output, LocalPlace) else None
    # An object that does not tell from which file it reads, or a generator, has that file open. A log is never Parquet:
    # whoever reads an old output of ours just now does not stand in the way of the new one.
    hides = identity(source) is None and not isinstance(source, str | os.PathLike | bytes | bytearray | io.BytesIO)
    if found is not None and hides and is_read_here(found) and not _is_free(output.open_old()):
        raise OptionError(
            f"{output.name}: that may be the log itself, since this process reads from it: name another file to write, "
            "or hand over the path of the log"
        )


def _is_free(old: IO[bytes] | None) -> bool:
    """Whether the old file is no log: it is empty, or Parquet."""
    if old is None:
        return True
    with old:
        return old.read(4) in (b"", b"PAR1")


def _check_rejects(rejects: Place, dest: Place, source: object, options: ConvertOptions) -> None:
    """OptionError if rejects cannot be written there; TrackparseError if another file would be lost."""
    check_rejects_name(rejects.name)
    if options["on_error"] != "quarantine":
        raise OptionError(f"rejects={str(rejects.name)!r}: rejects are written with on_error='quarantine' only")
    if rejects.is_same(dest) or dest.is_same(rejects):
        raise OptionError(f"rejects={str(rejects.name)!r}: that is the Parquet file itself: name another file")
    _check_is_other(rejects, source, options["filesystem"])
    check_old_rejects(rejects.name, rejects.open_old())
