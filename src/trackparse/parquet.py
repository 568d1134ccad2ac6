"""Writes a log as Parquet: row groups as they fill, and the file in its place only when it is whole."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Unpack

import pyarrow as pa
import pyarrow.parquet as pq

from trackparse.errors import ArchiveError
from trackparse.files import atomic_all, identity, naming
from trackparse.index import Segment
from trackparse.reader import DEFAULT_LIMITS, LogReader, Options, open_log
from trackparse.rejects import check_old_rejects, check_rejects_name, printable, rejects_writer
from trackparse.rowgroups import RowGroups
from trackparse.version import __version__

# Rows: about 93 MB of log. Two row groups are in memory at a time.
ROW_GROUP_SIZE: Final = 1 << 18
# What readers filter by. The bounds of random device names, or of JSON, exclude nothing.
_SOUGHT: Final = ("timestamp", "tracking_code", "status", "appCode")


OnDamage = Literal["raise", "keep"]
ON_DAMAGE: Final = ("raise", "keep")


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


def convert_log(
    source: Any,
    dest: str | os.PathLike[str],
    *,
    compression: str = "zstd",
    row_group_size: int = ROW_GROUP_SIZE,
    rejects: str | os.PathLike[str] | None = None,
    on_damage: OnDamage = "raise",
    **options: Unpack[Options],
) -> ConversionReport:
    """Write a log as a Parquet file; options as for ``open_log``.

    A row group has ``row_group_size`` rows, fewer where their text, each repeated value counted once, fills 32 MiB:
    that bounds memory. Text is written as strings, whatever ``string_type`` and ``dictionary`` say. The file appears
    under its name when it is complete: a failure leaves neither half a file nor a changed old one. Its key-value
    metadata names trackparse's version and the source.

    ``rejects`` is a file for the bad records that ``on_error="quarantine"`` sets aside, ``*.parquet`` or ``*.jsonl``:
    they are written as they come, and ``read_rejects`` reads them. Where there are none it is not written, and one
    of an earlier run is removed. A file of something else is not replaced: that, and an output that is the log itself,
    is a ValueError.

    ``on_damage="keep"`` keeps the records before a fault of the archive (``ArchiveError``, so ``TruncatedError``, too):
    the report has it as ``damage``, the file's metadata as ``trackparse.partial``. Other errors are raised as ever, and
    so is a fault before the first record. After a checksum that does not fit, values may be wrong, too.
    """
    if row_group_size < 1:
        raise ValueError(f"row_group_size={row_group_size}: at least one row")
    if on_damage not in ON_DAMAGE:
        raise ValueError(f"on_damage={on_damage!r}: there are {', '.join(ON_DAMAGE)}")
    path = Path(dest)
    _check_is_other(path, source)
    rejects_path = None if rejects is None else _checked(Path(rejects), path, source, options)
    # What the row groups are collected from, and no block is kept for a view into it.
    options |= {"string_type": "string", "dictionary": ()}
    start = time.perf_counter()
    with open_log(source, **options) as log:
        metadata = {"trackparse.version": __version__, "trackparse.source": printable(log.name)}
        segments = _Segments(log, on_damage)
        with atomic_all([path] if rejects_path is None else [path, rejects_path]) as [parquet, *others]:
            with ExitStack() as opened:
                if rejects_path:
                    limits = options.get("limits", DEFAULT_LIMITS)
                    write = opened.enter_context(rejects_writer(rejects_path, others[0].temporary, metadata, limits))
                    log.quarantine.write = write
                file = _File(parquet.temporary, compression, path)
                _write(segments, RowGroups(log.builder, row_group_size), file, metadata)
                log.quarantine.pack()
            if rejects_path:
                # Once more: reading takes long.
                check_old_rejects(rejects_path)
                others[0].stays_empty = not log.stats.rejected
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
        rejects_path=rejects_path if stats.rejected else None,
        damage=segments.damage,
    )


def _check_is_other(output: Path, source: Any) -> None:
    """ValueError if the log would be written over, whatever names it has."""
    if (found := identity(output)) and found == identity(source):
        raise ValueError(f"{output}: that is the log itself: name another file to write")


def _checked(rejects: Path, dest: Path, source: Any, options: Options) -> Path:
    """Where to write rejects; ValueError if that makes no sense, or if something else would be lost by it."""
    check_rejects_name(rejects)
    if options.get("on_error") != "quarantine":
        raise ValueError(f"rejects={str(rejects)!r}: only on_error='quarantine' sets rejects aside")
    found = identity(rejects)
    if os.path.realpath(rejects) == os.path.realpath(dest) or (found and found == identity(dest)):
        raise ValueError(f"rejects={str(rejects)!r}: that is the Parquet file itself: name another")
    _check_is_other(rejects, source)
    check_old_rejects(rejects)
    return rejects


class _Segments:
    """What the batches of a log are built of. With ``"keep"`` the damage of its archive ends them, and is kept."""

    def __init__(self, log: LogReader, on_damage: OnDamage) -> None:
        self._log = log
        self._keep = on_damage == "keep"
        self.damage: ArchiveError | None = None

    def __iter__(self) -> Iterator[list[Segment]]:
        try:
            yield from self._log.segments()
        except ArchiveError as damage:
            if not (self._keep and self._log.stats.records):
                raise
            # Its traceback would hold all that was read.
            self.damage = damage.with_traceback(None)


class _File:
    """A Parquet file that is written; its errors name ``dest``."""

    def __init__(self, path: Path, compression: str, dest: Path) -> None:
        self._dest = dest
        self._compression = compression
        self._writer: Any = None
        # An executor that Ctrl-C met while it started its thread does not know it, and starts another one.
        self._one_thread = threading.Lock()
        with naming(dest):
            # As bytes: a name that is not UTF-8 is none for pyarrow as text.
            self._sink = pa.OSFile(os.fsencode(path), "wb")

    def begin(self, schema: pa.Schema) -> None:
        """Before all row groups."""
        with naming(self._dest):
            self._writer = pq.ParquetWriter(
                self._sink,
                schema,
                compression=self._compression,
                # What is text and not encoded hardly repeats: to try would cost time.
                use_dictionary=[field.name for field in schema if field.type != pa.string()] or False,
                write_statistics=[name for name in schema.names if name in _SOUGHT] or False,
                # It would say that the text is to be handed out as the dictionaries it came in.
                store_schema=False,
            )

    def write(self, tables: list[pa.Table]) -> None:
        """Write the one table in the list, as a row group, and let go of it: an executor keeps its arguments longer."""
        table = tables.pop()
        with self._one_thread, naming(self._dest):
            self._writer.write_table(table, table.num_rows)

    def add_metadata(self, metadata: dict[str, str]) -> None:
        self._writer.add_key_value_metadata(metadata)

    def close(self) -> None:
        with self._one_thread, naming(self._dest), self._sink:
            if self._writer is not None:
                self._writer.close()


def _write(segments: _Segments, groups: RowGroups, file: _File, metadata: dict[str, str]) -> None:
    """All records; the file is closed then, whatever happens."""
    with ThreadPoolExecutor(1, "trackparse-parquet") as executor:
        try:
            _write_row_groups(segments, groups, file, executor)
            file.add_metadata(metadata)
            if segments.damage:
                file.add_metadata({"trackparse.partial": printable(str(segments.damage))})
        except BaseException:
            with suppress(Exception):
                executor.submit(file.close).result()
            raise
        # Over there, too: after Ctrl-C a row group may still be under way.
        executor.submit(file.close).result()


def _write_row_groups(
    segments: Iterable[list[Segment]], groups: RowGroups, file: _File, executor: ThreadPoolExecutor
) -> None:
    writing: Future[None] | None = None
    for rest in segments:
        while rest:
            if writing is not None and groups.crowded:
                writing.result()
            rest = groups.add(rest)
            if groups.full:
                writing = _hand_over(groups, file, executor, writing)
    if len(groups):
        writing = _hand_over(groups, file, executor, writing)
    if writing is None:
        file.begin(groups.schema)
    else:
        writing.result()


def _hand_over(
    groups: RowGroups, file: _File, executor: ThreadPoolExecutor, writing: Future[None] | None
) -> Future[None]:
    """Have a row group written while the next one is read, and never a third: ``writing`` is the one before."""
    if writing is not None:
        writing.result()
    table = groups.take()
    if writing is None:
        # The first row group decides the schema.
        file.begin(groups.schema)
    return executor.submit(file.write, [table])
