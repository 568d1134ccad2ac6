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
from collections.abc import Iterable, Sequence, Set
from typing import Final

import pyarrow as pa

from trackparse.columns.builder import ColumnBuilder, encoded, with_last_dictionaries
from trackparse.convert.partitioner import BLOCK_BYTES, copied
from trackparse.errors import LimitError
from trackparse.limits import Limits
from trackparse.records.kernel.chooser import kernel
from trackparse.records.segments import Segment
from trackparse.schema import LOG

# Bytes of one row group; with longer values than usual it ends before its rows are full. Two are in memory: 27 MiB
# keep an ordinary conversion below 200 MiB, pyarrow itself included.
GROUP_BYTES: Final = 27 << 20
# With more distinct values, for each row, text is held as it is.
_DISTINCT_SHARE: Final = 0.3
# With more columns none is held as codes: each of them would cost work in each batch.
_MOST_CODES: Final = 64
# Bytes of records for one batch. A page of the writer holds at most a batch.
_BATCH_BYTES: Final = 1 << 20
# Bytes of its cells, text apart: with hundreds of columns, which a record may lack, a batch has fewer records. Columns
# that none of them has cost nothing.
_CELL_BYTES: Final = 16 << 20
_TIME_CELL: Final = 8
_TEXT_CELL: Final = 5
# What the table that is written, the one that is collected and the file's directory may have together. Where it would
# be more, reading waits.
_ALL_BYTES: Final = 112 << 20
# Bytes of the directory for each column of each row group, apart from its name, which is held twice. They stay in
# memory until the file is closed.
_DIRECTORY_ENTRY: Final = 1800
# The bounds of each page stay there, too. Short ones are not counted; of longer ones than these the writer keeps none.
_BOUND_USUAL: Final = 64
_BOUND_MOST: Final = 4 << 10
# Bytes of the directory at most, for row groups that ended early and columns that no record of a row group has. Only a
# log of very many columns gets there.
DIRECTORY_BYTES: Final = 64 << 20
# Unused bytes that a column of text may keep, beside a quarter of the bytes of its text. If it has more, all are freed.
_UNUSED: Final = 2 << 10


class RowGroups:
    """Collects tables of exactly ``rows`` rows, fewer where they fill their memory: ``add``, and ``take`` when full."""

    def __init__(self, columns: ColumnBuilder, rows: int, bounded: Sequence[str] = ()) -> None:
        """``bounded``: columns whose least and greatest value in each page go to the directory."""
        self._columns = columns
        self._builder = columns  # of this row group
        self._codes: list[str] = []  # columns that are collected as codes
        self._decided = False  # by the first row group
        self._rows = rows
        self._bounded = bounded
        # A value of a payload is never longer than its payload, but each column has a copy of it.
        self._copies = 1 + sum(field.type == pa.string() for field in columns.payload.fields)
        self._cells = {field.name: _TEXT_CELL if field.type == pa.string() else _TIME_CELL for field in columns.schema}
        # Columns that all records have, whatever their header.
        made = {"timestamp", LOG, *(field.name for field in columns.payload.fields)}
        self._made = made & self._cells.keys()
        self._waiting: list[Segment] = []  # for a batch
        self._waiting_names = set(self._made)  # columns that one of them has
        self._waiting_cells = self._cells_of(self._made)  # bytes of a record's cells in these
        self._last_columns: tuple[str, ...] = ()
        self._waiting_rows = self._waiting_bytes = 0
        self._block_bytes = 0  # of their blocks
        self._held = 0  # rows of the batches
        self._chunks: dict[str, list[pa.Array]] = {}  # of each column that one of them has
        self._ends: dict[str, int] = {}  # rows of these
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
        """Take as many of the next records as fit; returns the others. Each segment has records."""
        together, most = self._together(segments)
        if not together:
            self._make_batch()
            return [*segments]
        left = _BATCH_BYTES - self._waiting_bytes
        room = min(most - self._waiting_rows, self._rows - len(self))
        taken, rest, size = _split(segments[:together], room, left)
        rest += segments[together:]
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
        full = self._waiting_bytes >= _BATCH_BYTES or self._waiting_rows >= _rows_of(self._waiting_cells)
        if full or len(self) == self._rows:
            self._make_batch()
        elif self._block_bytes > BLOCK_BYTES:
            self._waiting = copied(self._waiting)
            self._block_bytes = self._waiting_bytes
        return rest

    def _cells_of(self, names: Iterable[str]) -> int:
        return sum(map(self._cells.__getitem__, names))

    def _new_names(self, columns: Iterable[str], *known: Set[str]) -> set[str]:
        return (self._cells.keys() & columns).difference(*known)

    def _together(self, segments: Sequence[Segment]) -> tuple[int, int]:
        """How many of the first segments may go into one batch with the records that wait, and its records at most.

        A record costs a cell in each column that any record of the batch has: a header with other columns may end it.
        """
        rows, cells, last = self._waiting_rows, self._waiting_cells, self._last_columns
        # No more than end the row group: of small ones, each would look at all segments of a block.
        enough = rows + self._rows - len(self)
        names: set[str] = set()
        for number, segment in enumerate(segments):
            if segment.columns is not last:
                last = segment.columns
                new = self._new_names(last, self._waiting_names, names)
                names |= new
                more = self._cells_of(new)
                if rows >= _rows_of(cells + more):
                    return number, _rows_of(cells)
                cells += more
            rows += segment.records
            if rows >= min(enough, _rows_of(cells)):
                return number + 1, _rows_of(cells)
        return len(segments), _rows_of(cells)

    def _wait_for_batch(self, segments: Sequence[Segment], size: int) -> None:
        for segment in segments:
            if segment.columns is not self._last_columns:
                self._last_columns = segment.columns
                new = self._new_names(segment.columns, self._waiting_names)
                self._waiting_names |= new
                self._waiting_cells += self._cells_of(new)
            if not self._waiting or self._waiting[-1].data is not segment.data:
                self._block_bytes += len(segment.data)
            self._waiting.append(segment)
        self._waiting_rows += sum(segment.records for segment in segments)
        self._waiting_bytes += size

    def _make_batch(self) -> None:
        """Make a batch of the records that wait. The row group may end with it."""
        if self._waiting:
            for name, array in self._builder.arrays(self._waiting).items():
                chunk, size = _close_fitting(array)
                self._fill(name)
                self._chunks[name].append(chunk)
                self._ends[name] += len(chunk)
                self._plain_bytes += size
                if name in self._bounded:
                    self._directory_bytes += _bytes_of_bounds(chunk)
        self._held += self._waiting_rows
        self._waiting = []
        self._waiting_names = set(self._made)
        self._waiting_cells = self._cells_of(self._made)
        self._last_columns = ()
        self._waiting_rows = self._waiting_bytes = self._block_bytes = 0
        if self._held == self._rows or self._bytes >= GROUP_BYTES:
            self._end()

    def _end(self) -> None:
        """Close this row group: nothing more is added to it."""
        self.full = True
        names = self._columns.schema.names
        early = self._held < self._rows
        # Others are not counted: an ordinary log may have very many of them.
        counted = (name for name in names if early or name not in self._chunks)
        self._directory_bytes += sum(_DIRECTORY_ENTRY + 2 * len(name) for name in counted)
        if self._directory_bytes > DIRECTORY_BYTES:
            raise LimitError(
                f"{len(names)} columns are too many for so many rows: the directory of the Parquet file stays in "
                f"memory until its end, and needs more than {DIRECTORY_BYTES} bytes",
                advice="name the columns that you want with columns=",
                option="columns",
            )

    def take(self) -> pa.Table:
        """Hand over all rows as a table; none are left. All tables have one schema."""
        if self._waiting:
            self._make_batch()
        self._written_bytes = self._bytes
        schema = self._builder.schema
        missing = set(schema.names) - self._chunks.keys()
        for name in schema.names:
            self._fill(name)
        columns = [pa.chunked_array(self._chunks[field.name], field.type) for field in schema]
        table = with_last_dictionaries(pa.table(columns, schema=schema))
        if not self._decided:
            table = self._with_codes(table, missing)
            self._decided = True
        self._chunks = {}
        self._ends = {}
        self._held = self._plain_bytes = 0
        if self.full:
            names, payload = self._columns.names, self._columns.payload
            limits = Limits(max_dictionary_bytes=None)
            self._builder = ColumnBuilder(names, names, "string", self._codes, limits, payload)
        self.full = False
        return table

    def _fill(self, name: str) -> None:
        """Add nulls to a column, for the records of batches that did not have it."""
        end = self._ends.get(name)
        if end is None:
            self._chunks[name] = []
            end = 0
        if end < self._held:
            self._chunks[name].append(self._builder.nulls(name, self._held - end))
        self._ends[name] = self._held

    def _with_codes(self, table: pa.Table, missing: Set[str]) -> pa.Table:
        """The first table, with the columns that are collected as codes from now on as codes: none of the missing."""
        names = self._columns.names
        # If it is not full, it is the last one, too.
        for number, name in enumerate(names if self.full and len(names) <= _MOST_CODES else ()):
            is_text = table.schema.field(number).type == pa.string() and name not in missing
            column = _encoded(table.column(number)) if is_text else None
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


def _rows_of(cells: int) -> int:
    """Records of a batch at most, if the cells of each have so many bytes."""
    return max(1, _CELL_BYTES // max(1, cells))


def _close_fitting(array: pa.Array) -> tuple[pa.Array, int]:
    """The array without unused memory, and its bytes: that of text may have been made for values with their quotes."""
    if array.type != pa.string():
        values = array.indices if pa.types.is_dictionary(array.type) else array
        return array, values.nbytes
    validity, offsets, data = array.buffers()
    size = offsets.size + (0 if validity is None else validity.size)
    if data is None:
        return array, size
    size += data.size
    if data.parent is None or 4 * data.parent.size <= 5 * data.size + 4 * _UNUSED:
        return array, size
    data = pa.py_buffer(data.to_pybytes())
    return pa.Array.from_buffers(pa.string(), len(array), [validity, offsets, data], array.null_count), size


def _bytes_of_bounds(array: pa.Array) -> int:
    """What the least and the greatest value of a page take, at most; 0 where they are as short as usual."""
    values = array.dictionary if pa.types.is_dictionary(array.type) else array
    if values.type != pa.string() or not len(values):
        return 0
    longest = kernel.longest(values.buffers()[1])
    return 2 * min(longest, _BOUND_MOST) if longest > _BOUND_USUAL else 0


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
