"""Writes a log as Parquet: row groups as they fill, and the file in its place only when it is whole."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Unpack

import pyarrow as pa
import pyarrow.parquet as pq

from trackparse.reader import LogReader, Options, open_log
from trackparse.version import __version__

# Rows: about 29 MB of log. Two row groups are in memory at a time.
ROW_GROUP_SIZE: Final = 5 << 14
# What readers filter by. The bounds of random device names, or of JSON, exclude nothing.
_SOUGHT: Final = ("timestamp", "tracking_code", "status", "appCode")


@dataclass(frozen=True, slots=True)
class ConversionReport:
    """What ``convert_log`` did."""

    path: Path  # the Parquet file
    records: int  # rows written
    rejected: int
    blank_lines: int
    members: int
    bytes_in: int  # of the source
    bytes_inflated: int
    bytes_out: int  # of the Parquet file
    seconds: float
    rejects: pa.Table  # as LogReader.rejects


def convert_log(
    source: Any,
    dest: str | os.PathLike[str],
    *,
    compression: str = "zstd",
    row_group_size: int = ROW_GROUP_SIZE,
    **options: Unpack[Options],
) -> ConversionReport:
    """Write a log as a Parquet file; options as for ``open_log``.

    Memory is bounded by ``row_group_size`` (rows). The file appears under its name when it is complete: a failure
    leaves neither half a file nor a changed old one. Its key-value metadata names trackparse's version and the source.
    """
    if row_group_size < 1:
        raise ValueError(f"row_group_size={row_group_size}: at least one row")
    path = Path(dest)
    start = time.perf_counter()
    with open_log(source, **options) as log:
        with _atomic(path) as temporary:
            _write(log, temporary, compression, row_group_size)
        stats, rejects = log.stats, log.rejects
    return ConversionReport(
        path=path,
        records=stats.records,
        rejected=stats.rejected,
        blank_lines=stats.blank_lines,
        members=stats.members,
        bytes_in=stats.bytes_read,
        bytes_inflated=stats.bytes_inflated,
        bytes_out=path.stat().st_size,
        seconds=time.perf_counter() - start,
        rejects=rejects,
    )


@contextmanager
def _atomic(path: Path) -> Iterator[Path]:
    """A name beside ``path`` to write to; renamed at the end, removed after an error."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory: name the file to write")
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
    try:
        yield temporary
        # On the disk before it has its name: a power cut must not leave an empty file under it.
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            temporary.unlink()
        raise


def _write(log: LogReader, path: Path, compression: str, row_group_size: int) -> None:
    metadata = {"trackparse.version": __version__, "trackparse.source": log.name}
    schema = log.schema.with_metadata(metadata)
    statistics = [name for name in schema.names if name in _SOUGHT]
    with (
        # Before the executor ends, all that it was given is written.
        pq.ParquetWriter(path, schema, compression=compression, write_statistics=statistics or False) as writer,
        ThreadPoolExecutor(1, "trackparse-parquet") as executor,
    ):
        written: Future[None] | None = None
        for held in _row_groups(log, row_group_size):
            # One row group is written while the next one is read, and there is never a third.
            if written is not None:
                written.result()
            written = executor.submit(_write_row_group, writer, held, row_group_size)
        if written is not None:
            written.result()


def _write_row_group(writer: pq.ParquetWriter, held: list[pa.RecordBatch], row_group_size: int) -> None:
    writer.write_table(pa.Table.from_batches(held), row_group_size)
    # The reading thread still knows the list: its rows end here.
    held.clear()


def _row_groups(log: LogReader, rows: int) -> Iterator[list[pa.RecordBatch]]:
    """The log's batches in lists of exactly ``rows`` rows, only the last one shorter."""
    held: list[pa.RecordBatch] = []
    room = rows
    for batch in log:
        while batch.num_rows >= room:
            held.append(batch.slice(0, room))
            batch = batch.slice(room)
            yield held
            held, room = [], rows
        if batch.num_rows:
            held.append(batch)
            room -= batch.num_rows
    if held:
        yield held
