"""Collects segments into row groups, in little memory. Writes nothing.

A row group is a table of batches, each of about a mebibyte of the log. Where a batch and a row group end depends on the
records alone, not on how the log was cut into blocks: the writer's pages end with its batches, so that the bytes of a
file depend on the log alone, too.

The writer makes dictionaries. Columns whose values repeat are collected as codes, with each value once, after the first
row group, which says which these are: that saves memory, and so a row group has more rows. A column has one type in the
whole file.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

import pyarrow as pa

from trackparse.columns.builder import ColumnBuilder, encoded, with_last_dictionaries
from trackparse.convert.partitioner import BLOCK_BYTES, copied
from trackparse.errors import LimitError
from trackparse.limits import Limits
from trackparse.records.kernel.chooser import kernel
from trackparse.records.segments import Segment

# Bytes of one row group; with longer values than usual it ends before its rows are full. Two are in memory: 27 MiB
# keep an ordinary conversion below 200 MiB, pyarrow itself included.
GROUP_BYTES: Final = 27 << 20
# With more distinct values, for each row, text is held as it is.
_DISTINCT_SHARE: Final = 0.3
# Bytes of records for one batch. A page of the writer holds at most a batch.
_BATCH_BYTES: Final = 1 << 20
# Bytes of its cells, text apart: with hundreds of columns, which a record may lack, a batch has fewer records.
_CELL_BYTES: Final = 4 << 20
_TIME_CELL: Final = 8
_TEXT_CELL: Final = 5
# What the table that is written, the one that is collected and the file's directory may have together. Where it would
# be more, reading waits.
_ALL_BYTES: Final = 112 << 20
# Bytes of the directory for each column of each row group, apart from its name, which is held twice. They stay in
# memory until the file is closed.
_DIRECTORY_ENTRY: Final = 1800
# Bytes of the directory for row groups that ended early, at most. Only a log of very many columns gets there.
DIRECTORY_BYTES: Final = 64 << 20
# Unused bytes that a column of text may keep, beside a quarter of the bytes of its text. If it has more, all are freed.
_UNUSED: Final = 2 << 10


class RowGroups:
    """Collects tables of exactly ``rows`` rows, fewer where they fill their memory: ``add``, and ``take`` when full."""

    def __init__(self, columns: ColumnBuilder, rows: int) -> None:
        self._columns = columns
        self._builder = columns  # of this row group
        self._codes: list[str] = []  # columns that are collected as codes
        self._decided = False  # by the first row group
        self._rows = rows
        # A value of a payload is never longer than its payload, but each column has a copy of it.
        self._copies = 1 + sum(field.type == pa.string() for field in columns.payload.fields)
        row = sum(_TEXT_CELL if field.type == pa.string() else _TIME_CELL for field in columns.schema)
        self._batch_rows = max(1, _CELL_BYTES // max(1, row))
        self._waiting: list[Segment] = []  # for a batch
        self._waiting_rows = self._waiting_bytes = 0
        self._block_bytes = 0  # of their blocks
        self._batches: list[pa.RecordBatch] = []
        self._held = 0  # rows of these
        self._plain_bytes = 0  # of these, dictionaries apart
        self._written_bytes = 0  # of the last table, while it is written
        self._directory_bytes = 0
        self.full = False

    def __len__(self) -> int:
        """Rows since the last table."""
        return self._held + self._waiting_rows

    @property
    def crowded(self) -> bool:
        """Whether the last table should be written before more is added."""
        return self._bytes + self._written_bytes + self._directory_bytes > _ALL_BYTES

    @property
    def _bytes(self) -> int:
        return self._plain_bytes + self._builder.dictionary_bytes

    def add(self, segments: Sequence[Segment]) -> list[Segment]:
        """Take as many of the next records as fit; returns the others."""
        left = _BATCH_BYTES - self._waiting_bytes
        room = min(self._batch_rows - self._waiting_rows, self._rows - len(self))
        taken, rest, size = _split(segments, room, left)
        if size >= left + _BATCH_BYTES:
            # The last record is a long one: it is a batch of its own, or left for the next row group if it is too long.
            before = sum(segment.records for segment in taken) - 1
            if before or self._waiting_rows:
                if before:
                    taken, rest, size = _split(segments, before, sys.maxsize)
                    self._wait_for_batch(taken, size)
                else:
                    rest = [*segments]
                self._make_batch()
                return rest
            if self._held and self._bytes + self._copies * size > GROUP_BYTES:
                self._end()
                return [*segments]
        self._wait_for_batch(taken, size)
        if self._waiting_bytes >= _BATCH_BYTES or self._waiting_rows == self._batch_rows or len(self) == self._rows:
            self._make_batch()
        elif self._block_bytes > BLOCK_BYTES:
            self._waiting = copied(self._waiting)
            self._block_bytes = self._waiting_bytes
        return rest

    def _wait_for_batch(self, segments: Sequence[Segment], size: int) -> None:
        for segment in segments:
            if segment.records:
                if not self._waiting or self._waiting[-1].data is not segment.data:
                    self._block_bytes += len(segment.data)
                self._waiting.append(segment)
        self._waiting_rows += sum(segment.records for segment in segments)
        self._waiting_bytes += size

    def _make_batch(self) -> None:
        """Make a batch of the records that wait. The row group may end with it."""
        if self._waiting:
            batch = self._builder.build(self._waiting)
            batch = pa.RecordBatch.from_arrays([*map(_close_fitting, batch.columns)], schema=batch.schema)
            self._batches.append(batch)
            self._plain_bytes += sum(map(_bytes_of, batch.columns))
        self._held += self._waiting_rows
        self._waiting = []
        self._waiting_rows = self._waiting_bytes = self._block_bytes = 0
        if self._held == self._rows or self._bytes >= GROUP_BYTES:
            self._end()

    def _end(self) -> None:
        """Close this row group: nothing more is added to it."""
        self.full = True
        names = self._columns.schema.names
        if self._held < self._rows:
            self._directory_bytes += sum(_DIRECTORY_ENTRY + 2 * len(name) for name in names)
        if self._directory_bytes > DIRECTORY_BYTES:
            raise LimitError(
                f"{len(names)} columns fill memory before there are {self._rows} rows, and the Parquet file has too "
                "many row groups",
                advice="name the columns that you want with columns=",
                option="columns",
            )

    def take(self) -> pa.Table:
        """Hand over all rows as a table; none are left. All tables have one schema."""
        if self._waiting:
            self._make_batch()
        self._written_bytes = self._bytes
        table = with_last_dictionaries(pa.Table.from_batches(self._batches, schema=self._builder.schema))
        if not self._decided:
            table = self._with_codes(table)
            self._decided = True
        self._batches = []
        self._held = self._plain_bytes = 0
        if self.full:
            names, payload = self._columns.names, self._columns.payload
            limits = Limits(max_dictionary_bytes=None)
            self._builder = ColumnBuilder(names, names, "string", self._codes, limits, payload)
        self.full = False
        return table

    def _with_codes(self, table: pa.Table) -> pa.Table:
        """The first table, with the columns that are collected as codes from now on as codes."""
        # If it is not full, it is the last one, too.
        for number, name in enumerate(self._columns.names if self.full else ()):
            column = _encoded(table.column(number)) if table.schema.field(number).type == pa.string() else None
            if column is not None:
                self._codes.append(name)
                table = table.set_column(number, name, column)
        return table


def _encoded(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """The column as codes; None if its values hardly repeat."""
    distinct = kernel.Dictionary()
    codes = []
    for chunk in column.chunks:
        codes.append(distinct.encode_strings(len(chunk), *chunk.buffers()))
        if len(distinct) > _DISTINCT_SHARE * len(column):
            return None
    values = pa.StringArray.from_buffers(len(distinct), *map(pa.py_buffer, distinct.strings()))
    return pa.chunked_array([encoded(some, values) for some in codes])


def _bytes_of(array: pa.Array) -> int:
    size: int = array.indices.nbytes if pa.types.is_dictionary(array.type) else array.nbytes
    return size


def _close_fitting(array: pa.Array) -> pa.Array:
    """The array without unused memory: that of text may have been made for values with their quotes."""
    if array.type != pa.string():
        return array
    validity, offsets, data = array.buffers()
    if data is None or data.parent is None or 4 * data.parent.size <= 5 * data.size + 4 * _UNUSED:
        return array
    data = pa.py_buffer(data.to_pybytes())
    return pa.Array.from_buffers(pa.string(), len(array), [validity, offsets, data], array.null_count)


def _split(segments: Sequence[Segment], records: int, size: int) -> tuple[list[Segment], list[Segment], int]:
    """The first records, the others, and the bytes of the first.

    The first are ``records`` records, or fewer if fewer have ``size`` bytes.
    """
    taken: list[Segment] = []
    total = 0
    for number, segment in enumerate(segments):
        most = min(records, segment.records)
        count, found = kernel.records_in(segment.fields, most, len(segment.columns), size - total)
        records -= count
        total += found
        if count < segment.records:
            head = [segment.part(0, count)] if count else []
            return [*taken, *head], [segment.part(count, segment.records), *segments[number + 1 :]], total
        taken.append(segment)
    return taken, [], total
