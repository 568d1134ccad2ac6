"""Converts a log to a file: places, damage, bad records, report. A sink writes the records."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Protocol, Unpack

import pyarrow as pa

from trackparse.atomic import PendingFile, atomic_all, identity
from trackparse.columns.builder import ColumnBuilder
from trackparse.convert.parquet import ParquetSink
from trackparse.errors import ArchiveError, OptionError, printable
from trackparse.options import ConvertOptions, LogSource, convert_options, read_part
from trackparse.reader import LogReader, open_log
from trackparse.records.segments import Segment
from trackparse.rejects.files import check_old_rejects, check_rejects_name, rejects_writer
from trackparse.sources.source import open_source
from trackparse.version import __version__


class Sink(Protocol):
    """An output. It gets the segments of a log one list after the other; then it is closed, or aborted."""

    def __init__(
        self, builder: ColumnBuilder, path: Path, dest: Path, options: ConvertOptions, metadata: Mapping[str, str]
    ) -> None:
        """Begin a file at ``path`` of the columns that ``builder`` makes, with ``metadata``. Errors name ``dest``."""

    def write(self, segments: list[Segment]) -> None:
        """Write the records of these, or keep them for later."""

    def close(self, partial: str) -> None:
        """Write what is left, and end the file. ``partial`` is the damage of its log, empty for a sound one."""

    def abort(self) -> None:
        """Close the file after an error, in whatever state it is: it will be removed."""


# By the suffix of the destination; of any other it is Parquet.
_SINKS: Final[Mapping[str, type[Sink]]] = {".parquet": ParquetSink}


@dataclass(frozen=True, slots=True, repr=False)
class ConversionReport:
    """What ``convert_log`` did.

    path: the Parquet file.
    records: rows written.
    filtered: good records that ``where`` left out.
    rejected: bad records.
    blank_lines: blank lines in the log.
    members: files of the archive that were read.
    bytes_in: bytes read from the source.
    bytes_inflated: bytes of the log, unpacked.
    bytes_out: bytes of the Parquet file.
    seconds: how long it took.
    rejects: the bad records, a table as ``LogReader.rejects``. Empty if they were written to a file.
    rejects_path: the file of rejects. None if no file was written.
    damage: the error of a damaged archive, if ``on_damage="keep"``: the Parquet file holds the records before the
        damage. None for a sound archive.

    >>> report = trackparse.convert_log("tracking_log.zip", "tracking_log.parquet")
    >>> json.dumps(report.to_dict())
    """

    path: Path
    records: int
    filtered: int
    rejected: int
    blank_lines: int
    members: int
    bytes_in: int
    bytes_inflated: int
    bytes_out: int
    seconds: float
    rejects: pa.Table
    rejects_path: Path | None
    damage: ArchiveError | None

    def to_dict(self) -> dict[str, str | int | float | None]:
        """All fields but the table ``rejects``, as values that JSON has: paths and ``damage`` are strings."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "rejects"}
        return {
            name: value if value is None or isinstance(value, int | float) else printable(str(value))
            for name, value in values.items()
        }

    def __repr__(self) -> str:
        seconds = f"{self.seconds:.2f} s"
        rejected = f"rejected={self.rejected}" + (f" in {str(self.rejects_path)!r}" if self.rejects_path else "")
        damage = "" if self.damage is None else f", damage={type(self.damage).__name__}"
        return (
            f"<ConversionReport {str(self.path)!r}: records={self.records}, filtered={self.filtered}, "
            f"{rejected}{damage}\n members={self.members}, bytes_in={self.bytes_in}, "
            f"bytes_inflated={self.bytes_inflated}, bytes_out={self.bytes_out}, {seconds}>"
        )


def convert_log(source: LogSource, dest: str | os.PathLike[str], **options: Unpack[ConvertOptions]) -> ConversionReport:
    """Write a log as a Parquet file, and report what was done.

    Source and options are those of ``open_log``, and these:

    - ``compression``: the codec of the Parquet file: ``"zstd"`` (default), ``"snappy"``, ``"gzip"``, ``"brotli"``,
      ``"lz4"`` or ``"none"``.
    - ``row_group_size``: rows of a row group. Default: 131,072. A row group has fewer rows where their text, each
      repeated value counted once, fills 11 MiB: that bounds memory.
    - ``rejects``: path of a file for the bad records, ``*.parquet`` or ``*.jsonl``. For ``on_error="quarantine"`` only.
      Bad records are written as they come, and ``read_rejects`` reads them. With no rejects no file is written, and an
      old one is deleted.
    - ``on_damage``: what to do about a damaged archive. ``"raise"`` (default): raise its ``ArchiveError``. ``"keep"``:
      keep all records that could be read: those before the damage, and those of the other members. The report then has
      the error as ``damage``, and the metadata of the file has it as ``trackparse.partial``. Other errors are raised,
      and so is damage before the first record. After a checksum that does not match, values may be wrong, too.

    Text is written as plain strings, whatever ``string_type`` and ``dictionary`` say. The file appears under its name
    when it is complete: after an error there is neither half a file nor a changed old one. Its key-value metadata names
    the version of trackparse and the source.

    Raises what ``open_log`` and reading raise; OptionError if an output is the log itself; TrackparseError if the file
    of rejects would replace a file of something else; OSError if a file cannot be written.

    >>> report = trackparse.convert_log("tracking_log.zip", "tracking_log.parquet")
    >>> report.records
    1000
    """
    asked = convert_options(options)
    path = Path(dest)
    _check_is_other(path, source)
    rejects = None if asked["rejects"] is None else _checked(Path(asked["rejects"]), path, source, asked)
    start = time.perf_counter()
    with ExitStack() as opened:
        # Opened first: a log that is not there leaves nothing behind.
        log_source = open_source(source)
        unread = opened.enter_context(ExitStack())
        unread.callback(log_source.close)
        metadata = {"trackparse.version": __version__, "trackparse.source": printable(log_source.name)}
        files = opened.enter_context(atomic_all([path] if rejects is None else [path, rejects]))
        with ExitStack() as written:
            read = read_part(asked)
            if rejects:
                write = rejects_writer(rejects, files[1].temporary, metadata, asked["limits"])
                read["on_rejects"] = written.enter_context(write)
            unread.pop_all()  # from here on the reader closes it, whose thread may be in the middle of a read
            log = opened.enter_context(open_log(log_source, **read))
            segments = _Segments(log, keep_damaged=asked["on_damage"] == "keep")
            _write(segments, log.builder, files[0], asked, metadata)
        if rejects:
            # Once more: reading takes long.
            check_old_rejects(rejects)
            files[1].stays_empty = not log.stats.rejected
    stats = log.stats
    return ConversionReport(
        path=path,
        records=stats.records - stats.filtered,
        filtered=stats.filtered,
        rejected=stats.rejected,
        blank_lines=stats.blank_lines,
        members=stats.members,
        bytes_in=stats.bytes_read,
        bytes_inflated=stats.bytes_inflated,
        bytes_out=path.stat().st_size,
        seconds=time.perf_counter() - start,
        rejects=log.rejects,
        rejects_path=rejects if stats.rejected else None,
        damage=segments.damage,
    )


class _Segments:
    """The segments of a log. With ``keep_damaged`` a damaged archive ends them, and ``damage`` is its error."""

    def __init__(self, log: LogReader, *, keep_damaged: bool) -> None:
        self._log = log
        self._keep = keep_damaged
        self.damage: ArchiveError | None = None

    def __iter__(self) -> Iterator[list[Segment]]:
        try:
            yield from self._log.segments()
        except ArchiveError as damage:
            if not (self._keep and self._log.stats.records):
                raise
            # Its traceback would hold all that was read.
            self.damage = damage.with_traceback(None)


def _write(
    segments: _Segments,
    builder: ColumnBuilder,
    output: PendingFile,
    options: ConvertOptions,
    metadata: Mapping[str, str],
) -> None:
    kind = _SINKS.get(output.path.suffix.lower(), ParquetSink)
    sink = kind(builder, output.temporary, output.path, options, metadata)
    try:
        for group in segments:
            sink.write(group)
        sink.close(printable(str(segments.damage)) if segments.damage else "")
    except BaseException:
        sink.abort()
        raise


def _check_is_other(output: Path, source: object) -> None:
    """OptionError if the log would be written over, whatever names it has."""
    if (found := identity(output)) and found == identity(source):
        raise OptionError(f"{output}: that is the log itself: name another file to write")


def _checked(rejects: Path, dest: Path, source: object, options: ConvertOptions) -> Path:
    """The path to write rejects to. OptionError if it cannot be used; TrackparseError if another file would be lost."""
    check_rejects_name(rejects)
    if options["on_error"] != "quarantine":
        raise OptionError(f"rejects={str(rejects)!r}: rejects are written with on_error='quarantine' only")
    found = identity(rejects)
    if os.path.realpath(rejects) == os.path.realpath(dest) or (found and found == identity(dest)):
        raise OptionError(f"rejects={str(rejects)!r}: that is the Parquet file itself: name another file")
    _check_is_other(rejects, source)
    check_old_rejects(rejects)
    return rejects
