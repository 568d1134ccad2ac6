"""Writes Parquet: row groups as they fill, each by a thread of its own while the next one is read."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from trackparse.atomic import name_errors_after
from trackparse.columns.builder import ColumnBuilder
from trackparse.convert.places import Place
from trackparse.convert.row_groups import CODES, RowGroups
from trackparse.options import ConvertOptions
from trackparse.records.segments import Segment

# What readers filter by. The bounds of random device names, or of JSON, exclude nothing.
STATISTICS_COLUMNS: Final = ("timestamp", "tracking_code", "status", "appCode")


class ParquetSink:
    """A Parquet file of the records that it is given. Its errors name ``output``."""

    def __init__(
        self, builder: ColumnBuilder, output: Place, options: ConvertOptions, metadata: Mapping[str, str]
    ) -> None:
        self._groups = RowGroups(builder, options["row_group_size"])
        self._file = _File(output, options["compression"], metadata)
        self._executor: ThreadPoolExecutor | None = None  # a log of one row group needs none
        self._writing: Future[None] | None = None  # the last row group that was handed over

    def write(self, segments: list[Segment]) -> None:
        """Collect the records of these; a row group that is full is handed to the thread."""
        groups = self._groups
        while segments:
            if self._writing is not None and groups.crowded:
                self._writing.result()
            segments = groups.add(segments)
            if groups.full:
                self._hand_over()

    def close(self, metadata: Mapping[str, str]) -> None:
        """Write what is left, and end the file, with metadata that were not known before."""
        if self._writing is None:
            self._file.begin(self._groups.schema)
            if len(self._groups):
                self._file.write([self._groups.take()])
        else:
            if len(self._groups):
                self._hand_over()
            self._writing.result()
        self._file.add_metadata(metadata)
        self._end()

    def abort(self) -> None:
        """Close the file after an error, in whatever state it is: it will be removed."""
        with suppress(Exception):
            self._end()

    def _end(self) -> None:
        if self._executor is None:
            self._file.close()
            return
        # By the thread, too: after Ctrl-C a row group may still be under way.
        with self._executor:
            self._executor.submit(_then_free_memory, self._file.close).result()

    def _hand_over(self) -> None:
        """Give a full row group to the thread. Wait for the one before first: two are in memory, never three."""
        if self._writing is not None:
            self._writing.result()
        table = self._groups.take()
        if self._writing is None:
            # The first row group decides the schema.
            self._file.begin(self._groups.schema)
        if self._executor is None:
            self._executor = ThreadPoolExecutor(1, "trackparse-parquet")
        self._writing = self._executor.submit(_then_free_memory, self._file.write, [table])


def _then_free_memory(work: Callable[..., None], *arguments: object) -> None:
    """Do the work, and give back what the writer took for it.

    The writer's allocator would keep it: as much as a row group, and more from one conversion to the next.
    """
    try:
        work(*arguments)
    finally:
        pa.default_memory_pool().release_unused()


class _File:
    """A Parquet file that is written; its errors name ``output``."""

    def __init__(self, output: Place, compression: str, metadata: Mapping[str, str]) -> None:
        self._dest = output.name
        self._metadata = metadata
        self._compression = compression
        self._writer: Any = None
        # If Ctrl-C comes while the executor starts its thread, the executor forgets that thread, and starts another.
        self._one_thread = threading.Lock()
        with name_errors_after(self._dest):
            self._sink = output.open()

    def begin(self, schema: pa.Schema) -> None:
        """Before all row groups."""
        numbers = (field for field in schema if pa.types.is_temporal(field.type) or pa.types.is_integer(field.type))
        deltas = {field.name: "DELTA_BINARY_PACKED" for field in numbers}
        with name_errors_after(self._dest):
            self._writer = pq.ParquetWriter(
                self._sink,
                schema,
                compression=self._compression,
                # Timestamps come in order: their differences take two or three bits, and no look-up.
                use_dictionary=[field.name for field in schema if field.type == CODES] or False,
                column_encoding=deltas or None,
                write_statistics=[name for name in schema.names if name in STATISTICS_COLUMNS] or False,
                # A stored schema would make readers of the file hand out its text as dictionaries.
                store_schema=False,
            )
        self.add_metadata(self._metadata)

    def write(self, tables: list[pa.Table]) -> None:
        """Write the only table of the list as a row group, and take it out of the list: the executor keeps the list."""
        table = tables.pop()
        with self._one_thread, name_errors_after(self._dest):
            # An upload goes on behind, from memory: the row group before this one has to be gone.
            self._sink.flush()
            self._writer.write_table(table, table.num_rows)

    def add_metadata(self, metadata: Mapping[str, str]) -> None:
        self._writer.add_key_value_metadata(metadata)

    def close(self) -> None:
        with self._one_thread, name_errors_after(self._dest), self._sink:
            if self._writer is not None:
                self._writer.close()
