"""Converts a log to a file: places, damage, bad records, report. What is written, and how, is a sink's affair."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, Unpack

import pyarrow as pa

from trackparse.atomic import Coming, atomic_all, identity
from trackparse.columns.builder import ColumnBuilder
from trackparse.convert.parquet import ParquetSink
from trackparse.errors import ArchiveError, printable
from trackparse.options import ConvertOptions, LogSource, convert_options, read_part
from trackparse.reader import LogReader, open_log
from trackparse.records.segments import Segment
from trackparse.rejects.files import check_old_rejects, check_rejects_name, rejects_writer
from trackparse.sources.source import open_source
from trackparse.version import __version__


class Sink(Protocol):
    """An output. It gets the segments of a log one list after the other; then it is closed, or aborted."""

    def __init__(self, builder: ColumnBuilder, path: Path, dest: Path, options: ConvertOptions) -> None:
        """Begin a file at ``path`` of the columns that ``builder`` makes. Errors name ``dest``."""

    def write(self, segments: list[Segment]) -> None:
        """Write the records of these, or keep them for later."""

    def close(self, metadata: Mapping[str, str]) -> None:
        """Write what is left, and end the file."""

    def abort(self) -> None:
        """End the file as it is: nobody wants it."""


# By the suffix of the destination; of any other it is Parquet.
_SINKS: Final[Mapping[str, type[Sink]]] = {".parquet": ParquetSink}


@dataclass(frozen=True, slots=True)
class ConversionReport:
    """What ``convert_log`` did."""

    path: Path  # the Parquet file
    records: int  # rows written
    filtered: int  # good records left out by where=
    rejected: int
    blank_lines: int
    members: int
    bytes_in: int  # of the source
    bytes_inflated: int
    bytes_out: int  # of the Parquet file
    seconds: float
    rejects: pa.Table  # as LogReader.rejects; empty where they went to a file
    rejects_path: Path | None  # the file of rejects; None if there is none
    damage: ArchiveError | None  # what ended the archive early, with on_damage="keep": the file is partial


def convert_log(source: LogSource, dest: str | os.PathLike[str], **options: Unpack[ConvertOptions]) -> ConversionReport:
    """Write a log as a Parquet file. The options are those of ``open_log``, and these.

    - ``compression``: a codec of Parquet (``"zstd"``).
    - ``row_group_size``: rows of a row group (262,144). It has fewer where their text, each repeated value counted
      once, fills 32 MiB: that bounds memory.
    - ``rejects``: a file for the bad records that ``on_error="quarantine"`` sets aside, ``*.parquet`` or ``*.jsonl``.
      They are written as they come, and ``read_rejects`` reads them. With no rejects no file is written, and an old one
      is deleted. A file of something else is not replaced: that is a ValueError.
    - ``on_damage``: ``"raise"``, or ``"keep"`` the records before a fault of the archive (``ArchiveError``): the report
      has the error as ``damage``, the file's metadata as ``trackparse.partial``. Other errors are raised all the same,
      and so is a fault before the first record. After a checksum that does not match, values may be wrong, too.

    Text is written as strings, whatever ``string_type`` and ``dictionary`` say. The file appears under its name when it
    is complete: a failure leaves neither half a file nor a changed old one. Its key-value metadata names trackparse's
    version and the source. ValueError if an output is the log itself.

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
    """What the batches of a log are built of. Where it is kept, the damage of an archive ends them without an error."""

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
    segments: _Segments, builder: ColumnBuilder, output: Coming, options: ConvertOptions, metadata: dict[str, str]
) -> None:
    sink = _SINKS.get(output.path.suffix.lower(), ParquetSink)(builder, output.temporary, output.path, options)
    try:
        for group in segments:
            sink.write(group)
        if segments.damage:
            metadata["trackparse.partial"] = printable(str(segments.damage))
        sink.close(metadata)
    except BaseException:
        sink.abort()
        raise


def _check_is_other(output: Path, source: object) -> None:
    """ValueError if the log would be written over, whatever names it has."""
    if (found := identity(output)) and found == identity(source):
        raise ValueError(f"{output}: that is the log itself: name another file to write")


def _checked(rejects: Path, dest: Path, source: object, options: ConvertOptions) -> Path:
    """Where to write rejects; ValueError if that makes no sense, or if something else would be lost by it."""
    check_rejects_name(rejects)
    if options["on_error"] != "quarantine":
        raise ValueError(f"rejects={str(rejects)!r}: only on_error='quarantine' sets rejects aside")
    found = identity(rejects)
    if os.path.realpath(rejects) == os.path.realpath(dest) or (found and found == identity(dest)):
        raise ValueError(f"rejects={str(rejects)!r}: that is the Parquet file itself: name another")
    _check_is_other(rejects, source)
    check_old_rejects(rejects)
    return rejects
