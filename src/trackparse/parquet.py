"""Writes a log as Parquet: row groups as they fill, and the file in its place only when it is whole."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Unpack

import pyarrow as pa
import pyarrow.parquet as pq

from trackparse.reader import LogReader, Options, open_log
from trackparse.version import __version__

ROW_GROUP_SIZE: Final = 1 << 17  # rows: about 48 MB of log
# No payload is like another: a dictionary would only be tried in vain.
_UNIQUE: Final = "payload"


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
    repeating = [name for name in log.schema.names if name != _UNIQUE]
    with pq.ParquetWriter(
        path,
        log.schema.with_metadata(metadata),
        compression=compression,
        use_dictionary=repeating,
    ) as writer:
        held: list[pa.RecordBatch] = []  # fewer than row_group_size rows

        def flush() -> None:
            writer.write_table(pa.Table.from_batches(held, log.schema), row_group_size)
            held.clear()

        room = row_group_size
        for batch in log:
            while batch.num_rows >= room:
                held.append(batch.slice(0, room))
                batch = batch.slice(room)
                flush()
                room = row_group_size
            if batch.num_rows:
                held.append(batch)
                room -= batch.num_rows
        if held:
            flush()
