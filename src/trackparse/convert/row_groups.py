"""Collects segments into row groups: what Parquet's writer is fastest with, in little memory. Writes nothing.

Text is encoded as dictionaries straight from the log. A value that repeats is held once, however many rows wait for
their row group, and the writer takes codes as they are where it would otherwise look up each value.

All that is held is counted, by numbers that depend on the log alone and not on how it was cut into blocks.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

import pyarrow as pa

from trackparse.columns.buffers import BufferPool
from trackparse.columns.builder import VALUE_BYTES, ColumnBuilder, encoded, runs_of
from trackparse.errors import LimitError
from trackparse.records.kernel.chooser import kernel
from trackparse.records.kernel.codes import Run
from trackparse.records.segments import Segment
from trackparse.schema import NULL_IF_EMPTY

# Bytes of text held for one row group; with less that repeats than usual it ends before its rows are full.
TEXT_BYTES: Final = 32 << 20
# Distinct values of all columns; short ones cost more than their text.
VALUES: Final = 1 << 20
# Bytes of codes, offsets, validity and times: with hundreds of columns they, not text, end the row group.
CELL_BYTES: Final = 48 << 20
_TIME_CELL: Final = 8
_TEXT_CELL: Final = 5
# What the table that is written costs, the one that is collected and the file's directory together. Where it would be
# more, reading waits.
_ALL_BYTES: Final = 200 << 20
# The writer's own, for each byte of a dictionary's text: a hash table of it, a page, the page compressed.
_WRITER_SHARE: Final = 5
# For each column of each row group, until the file is closed; its name beside it, twice.
_DIRECTORY_ENTRY: Final = 1800
# Of row groups that ended early: with a thousand columns nothing else in the file needs as much.
DIRECTORY_BYTES: Final = 64 << 20
# Bytes of records after which the row group is looked at, counted from its start: it may end there.
_STEP: Final = 1 << 20
# Above this share of distinct values codes would come on top of nearly all of the text.
_DISTINCT_SHARE: Final = 0.75
_CODES: Final = pa.dictionary(pa.int32(), pa.string())
_CODES_AT_FIRST: Final = 16 << 20  # bytes of codes that all columns together have room for before more come
_PAGE_ROWS: Final = 1024  # that the writer takes before it looks whether the page is full
# Arrays that small, so many in a row, become one: each costs as much as some hundred bytes of values.
_FEW: Final = 16
_SMALL: Final = 2 << 10  # bytes


class PlainColumn:
    """The rows of one column that wait for their row group, as they are."""

    values = 0

    def __init__(self, name: str, columns: ColumnBuilder) -> None:
        self.name = name
        self._columns = columns
        self._kind = columns.schema.field(name).type
        self._arrays: list[pa.Array] = []
        self.text_bytes = 0

    def add(self, segments: Sequence[Segment], runs: list[Run]) -> None:
        array = self._columns.column(self.name, segments, runs)
        if self._kind == pa.string():
            self.text_bytes += array.buffers()[2].size + 4 * len(array)
            array = _close_fitting(array)
        self._arrays.append(array)
        last = self._arrays[-_FEW:]
        if len(last) == _FEW and sum(array.nbytes for array in last) < _FEW * _SMALL:
            self._arrays[-_FEW:] = [pa.concat_arrays(last)]

    def repeats(self) -> bool:
        """Not asked: what does not repeat is what is held."""
        return False

    def take(self) -> pa.ChunkedArray:
        """All of them; none are left."""
        arrays, self._arrays, self.text_bytes = self._arrays, [], 0
        return pa.chunked_array(arrays, self._kind)


class DictionaryColumn:
    """The same as codes, and each distinct value once."""

    def __init__(self, name: str, pool: BufferPool, room: int, most: int) -> None:
        """Codes have ``room`` bytes at first, and never more than ``most``."""
        self.name = name
        self._values = kernel.Dictionary()
        self._pool = pool
        self._room = room
        self._most = most
        self._codes = pool.allocate(room)
        self._used = 0  # bytes of it

    @property
    def text_bytes(self) -> int:
        return self._values.size

    @property
    def values(self) -> int:
        return len(self._values)

    def add(self, segments: Sequence[Segment], runs: list[Run]) -> None:
        codes = self._values.encode(runs, self.name in NULL_IF_EMPTY)
        start, self._used = self._used, self._used + len(codes)
        if self._used > len(self._codes):
            roomier = self._pool.allocate(min(self._most, max(2 * len(self._codes), self._used)))
            roomier[:start] = memoryview(self._codes)[:start]
            self._codes = roomier
        self._codes[start : self._used] = codes

    def repeats(self) -> bool:
        """Whether codes are worth it: few distinct values, or long ones that repeat."""
        few = len(self._values) <= self._used // 4 * _DISTINCT_SHARE
        return few or self._values.size <= self._values.total * _DISTINCT_SHARE

    def take(self) -> pa.ChunkedArray:
        """All of them; none are left."""
        count = len(self._values)
        values = pa.StringArray.from_buffers(count, *map(pa.py_buffer, self._values.take()))
        codes = memoryview(self._codes)[: self._used]
        self._codes, self._used = self._pool.allocate(self._room), 0
        return pa.chunked_array([encoded(codes, values)])


def _close_fitting(array: pa.StringArray) -> pa.StringArray:
    """The array without room to spare: it may stand in a buffer that was made for a longer one, or for its quotes."""
    validity, offsets, data = array.buffers()
    if data.parent.size <= 2 * data.size + _SMALL:
        return array
    data = pa.py_buffer(data.to_pybytes())
    return pa.Array.from_buffers(pa.string(), len(array), [validity, offsets, data], array.null_count)


def _plain(codes: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text without codes, in pieces of about ``_STEP`` bytes: of one piece the writer puts 1,024 rows into a page."""
    array = codes.chunk(0).cast(pa.string())
    rows = max(1, len(array) * _STEP // max(1, array.nbytes))
    if rows >= _PAGE_ROWS:
        return pa.chunked_array([array])
    return pa.chunked_array([array.slice(start, rows) for start in range(0, len(array), rows)])


class RowGroups:
    """Collects tables of exactly ``rows`` rows, fewer where they fill their memory: ``add``, and ``take`` when full.

    Text columns whose first rows hardly repeat are not encoded, then and later. ``schema`` is that of all tables, known
    with the first; before it, that of the log.
    """

    def __init__(self, columns: ColumnBuilder, rows: int) -> None:
        self.schema = columns.schema
        self._builder = columns
        kinds = [field.type for field in self.schema]
        self._row_bytes = sum(_TEXT_CELL if kind == pa.string() else _TIME_CELL for kind in kinds)
        self._asked = rows
        self._rows = max(1, min(rows, CELL_BYTES // max(1, self._row_bytes)))
        self._written_bytes = 0  # of the last table, while it is written
        self._directory_bytes = 0
        self._held = 0
        self._log_bytes = 0  # of the records held
        self._decided = False
        self.full = False
        pool = BufferPool()
        most = 4 * self._rows
        room = min(most, _CODES_AT_FIRST // max(1, len(kinds)))
        self._columns = [
            DictionaryColumn(field.name, pool, room, most)
            if field.type == pa.string()
            else PlainColumn(field.name, columns)
            for field in columns.schema
        ]

    def __len__(self) -> int:
        """Rows since the last table."""
        return self._held

    @property
    def crowded(self) -> bool:
        """Whether the last table should be written before more is added."""
        return self._bytes() + self._written_bytes + self._directory_bytes > _ALL_BYTES

    def _bytes(self) -> int:
        return self._held * self._row_bytes + self._text_bytes() + self._values() * VALUE_BYTES

    def _text_bytes(self) -> int:
        return sum(column.text_bytes for column in self._columns)

    def _values(self) -> int:
        return sum(column.values for column in self._columns)

    def add(self, segments: Sequence[Segment]) -> list[Segment]:
        """Take the next records, as many as have room; those that were not taken yet."""
        room = self._rows - self._held
        taken, rest, size = _split(segments, room, sys.maxsize)
        stepped = False
        if self._may_fill(sum(segment.records for segment in taken), size):
            left = _STEP - self._log_bytes % _STEP
            taken, rest, size = _split(segments, room, left)
            stepped = size >= left
            if size >= left + _STEP:
                # A long record is the last one. It is taken alone, and by the next row group where it is too much.
                count = sum(segment.records for segment in taken) - 1
                if count:
                    taken, rest, size = _split(segments, count, sys.maxsize)
                    stepped = False
                elif self._held and self._text_bytes() + size > TEXT_BYTES:
                    self._end()
                    return [*segments]
        runs = runs_of(taken)
        for column in self._columns:
            column.add(taken, runs(column.name))
        self._held += sum(segment.records for segment in taken)
        self._log_bytes += size
        many = stepped and (self._text_bytes() >= TEXT_BYTES or self._values() >= VALUES)
        if many or self._held == self._rows:
            self._end()
        return rest

    def _end(self) -> None:
        """No more for this row group."""
        self.full = True
        if self._held < self._asked:
            self._directory_bytes += sum(_DIRECTORY_ENTRY + 2 * len(name) for name in self.schema.names)
        if self._directory_bytes > DIRECTORY_BYTES:
            raise LimitError(
                f"{len(self._columns)} columns fill memory before there are {self._asked} rows, and the Parquet file "
                "has too many row groups: name the columns that you want with columns="
            )

    def _may_fill(self, records: int, size: int) -> bool:
        """Whether it could be full with so many records more, whatever is in their bytes."""
        cells = records * len(self._columns)
        return self._text_bytes() + size + 4 * cells >= TEXT_BYTES or self._values() + cells >= VALUES

    def take(self) -> pa.Table:
        """The rows that were added; none are left."""
        self._written_bytes = self._bytes()
        encoded_bytes = sum(column.text_bytes for column in self._columns if column.repeats())
        self._written_bytes += _WRITER_SHARE * encoded_bytes
        self._held = self._log_bytes = 0
        self.full = False
        if not self._decided:
            return self._decide()
        return pa.Table.from_arrays([column.take() for column in self._columns], schema=self.schema)

    def _decide(self) -> pa.Table:
        """Take the first table: what hardly repeats is held as it is from now on."""
        self._decided = True
        kinds, arrays = [], []
        for number, field in enumerate(self.schema):
            repeats = self._columns[number].repeats()
            kinds.append(_CODES if repeats else field.type)
            # What is taken is let go of at once: both at a time would be a third of all memory.
            array = self._columns[number].take()
            arrays.append(array if array.type == kinds[-1] else _plain(array))
            if not repeats:
                self._columns[number] = PlainColumn(field.name, self._builder)
        self.schema = pa.schema(zip(self.schema.names, kinds, strict=True))
        return pa.Table.from_arrays(arrays, schema=self.schema)


def _split(segments: Sequence[Segment], records: int, size: int) -> tuple[list[Segment], list[Segment], int]:
    """The first records, so many or as many as it takes to have ``size`` bytes; the others; the bytes of the first."""
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
