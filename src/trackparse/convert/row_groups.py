"""Collects segments into row groups, in the form that Parquet's writer takes fastest, in little memory. Writes nothing.

Text is encoded as dictionaries straight from the log. A value that repeats is held once, however many rows wait for
their row group, and the writer takes codes as they are where it would otherwise look up each value.

All that is held is counted, by numbers that depend on the log alone and not on how it was cut into blocks.
"""

from __future__ import annotations

import math
import sys
from array import array as array_of_numbers
from collections.abc import Collection, Sequence
from itertools import accumulate
from typing import Final

import pyarrow as pa

from trackparse.columns.builder import VALUE_BYTES, ColumnBuilder, encoded, runs_of
from trackparse.errors import LimitError
from trackparse.records.kernel.chooser import kernel
from trackparse.records.kernel.codes import Buffer, Run
from trackparse.records.segments import Segment
from trackparse.schema import NULL_IF_EMPTY

# Bytes of text held for one row group; with less that repeats than usual it ends before its rows are full. The writer
# takes up to five times as much: 11 MiB keep an ordinary conversion below 200 MiB, pyarrow itself included.
TEXT_BYTES: Final = 11 << 20
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
# The first rows of a row group say which columns repeat; fewer rows where a column did not in the row group before.
_SAMPLE: Final = 8192
_SMALL_SAMPLE: Final = 2048
# Above this share of distinct values codes cost more than they save: they come on top of nearly all of the text, and a
# look-up for each value costs more than all else that is done with it.
_DISTINCT_SHARE: Final = 0.6
CODES: Final = pa.dictionary(pa.int32(), pa.string())
_PAGE_ROWS: Final = 1024  # that the writer takes before it looks whether the page is full
# Arrays that small, so many in a row, become one: each costs as much as some hundred bytes of values.
_FEW: Final = 16
_SMALL: Final = 2 << 10  # bytes


class PlainColumn:
    """The rows of one column that wait for their row group, as they are."""

    values = 0

    def __init__(self, name: str, columns: ColumnBuilder, arrays: Sequence[pa.Array] = ()) -> None:
        """``arrays`` are the first rows."""
        self.name = name
        self._columns = columns
        self._kind = columns.schema.field(name).type
        self._arrays = [*arrays]
        self.text_bytes = sum(map(self._text_of, arrays))

    def _text_of(self, array: pa.Array) -> int:
        if self._kind != pa.string():
            return 0
        # Not the size of the buffer: several arrays may be parts of one.
        offsets = memoryview(array.buffers()[1]).cast("B").cast("i")
        text: int = offsets[array.offset + len(array)] - offsets[array.offset]
        return text + 4 * len(array)

    def add(self, segments: Sequence[Segment], runs: list[Run]) -> None:
        array = self._columns.column(self.name, segments, runs)
        self.add_array(_close_fitting(array) if self._kind == pa.string() else array)

    def add_array(self, array: pa.Array) -> None:
        """Add rows that were made already."""
        self.text_bytes += self._text_of(array)
        self._arrays.append(array)
        last = self._arrays[-_FEW:]
        if len(last) == _FEW and sum(array.nbytes for array in last) < _FEW * _SMALL:
            self._arrays[-_FEW:] = [pa.concat_arrays(last)]

    def take(self) -> pa.ChunkedArray:
        """Hand over all rows; none are left. Text has the type of a dictionary, but is written plain."""
        arrays, self._arrays, self.text_bytes = self._arrays, [], 0
        if self._kind != pa.string():
            return pa.chunked_array(arrays, self._kind)
        arrays = [array for array in arrays if len(array)]
        if not arrays:
            return pa.chunked_array([], CODES)
        # A column has one type in all row groups, so plain text has to come as a dictionary, too. Where another
        # dictionary follows in the same row group, the writer goes over to plain values and encodes none of them: so
        # the first row has a dictionary of its own.
        first, rest = arrays[0].slice(0, 1), arrays[0].slice(1)
        numbers = pa.py_buffer(array_of_numbers("i", range(max(array.offset + len(array) for array in arrays))))
        return pa.chunked_array([_numbered(array, numbers) for array in (first, rest, *arrays[1:])], CODES)


class DictionaryColumn:
    """The rows of one column that wait for their row group, as codes, and each distinct value once."""

    def __init__(self, name: str, columns: ColumnBuilder, most: int) -> None:
        """Codes have ``most`` bytes at most."""
        self.name = name
        self._columns = columns
        self._values = kernel.Dictionary()
        self._most = most
        self._codes = bytearray()
        self._used = 0  # bytes of it

    @property
    def text_bytes(self) -> int:
        return self._values.size

    @property
    def values(self) -> int:
        return len(self._values)

    def add(self, segments: Sequence[Segment], runs: list[Run]) -> None:
        self._add_codes(self._values.encode(runs, self.name in NULL_IF_EMPTY))

    def add_array(self, array: pa.Array) -> None:
        """Add rows that were made already."""
        self._add_codes(self._values.encode_strings(len(array), *array.buffers()))

    def _add_codes(self, codes: bytes) -> None:
        start, self._used = self._used, self._used + len(codes)
        if self._used > len(self._codes):
            roomier = bytearray(min(self._most, 2 * self._used))
            roomier[:start] = memoryview(self._codes)[:start]
            self._codes = roomier
        self._codes[start : self._used] = codes

    def repeats(self, rows: int) -> bool:
        """Whether codes save more than they cost in a row group of ``rows`` rows.

        They do if there are few distinct values, or if long values repeat.
        """
        held, distinct = self._used // 4, len(self._values)
        if not held or not self._values.total:
            return True
        # A null has no value, so it is no repetition of one.
        count = held - kernel.validity_of(memoryview(self._codes)[: self._used])[1]
        rows = rows * count // held
        growth = _distinct_of(max(rows, count), count, distinct) / max(1, distinct) * count / max(rows, count)
        share = min(distinct / count, self._values.size / self._values.total)
        return share * growth <= _DISTINCT_SHARE

    def as_plain(self) -> PlainColumn:
        """The same rows, as they are."""
        codes, (offsets, values) = self._take()
        return PlainColumn(self.name, self._columns, _plain(codes, memoryview(offsets).cast("B").cast("i"), values))

    def take(self) -> pa.ChunkedArray:
        """Hand over all rows; none are left."""
        count = len(self._values)
        codes, values = self._take()
        return pa.chunked_array([encoded(codes, pa.StringArray.from_buffers(count, *map(pa.py_buffer, values)))])

    def _take(self) -> tuple[memoryview, tuple[Buffer, Buffer]]:
        """The codes, and the values as offsets and bytes; none are left."""
        codes = memoryview(self._codes)[: self._used]
        self._codes, self._used = bytearray(), 0
        return codes, self._values.take()


def _distinct_of(rows: int, count: int, distinct: int) -> float:
    """How many distinct values ``rows`` rows will have, if the first ``count`` rows have ``distinct``.

    All values are taken to be equally likely.
    """
    if distinct >= count:
        return rows
    all_values = float(distinct)
    for _ in range(40):
        all_values = distinct / -math.expm1(-count / all_values)
    return all_values * -math.expm1(-rows / all_values)


def _numbered(array: pa.StringArray, numbers: pa.Buffer) -> pa.DictionaryArray:
    """The values as a dictionary of themselves, each in its place.

    Made of the same buffers: pyarrow.compute, once imported, takes 28 MiB.
    """
    validity, offsets, data = array.buffers()
    end = array.offset + len(array)
    indices = pa.Array.from_buffers(pa.int32(), len(array), [validity, numbers], offset=array.offset)
    values = pa.Array.from_buffers(pa.string(), end, [None, offsets, data])
    return pa.DictionaryArray.from_arrays(indices, values, safe=False)


def _close_fitting(array: pa.StringArray) -> pa.StringArray:
    """The array without unused memory: its buffer may have been made for more rows, or for values with their quotes."""
    validity, offsets, data = array.buffers()
    if data.parent.size <= 2 * data.size + _SMALL:
        return array
    data = pa.py_buffer(data.to_pybytes())
    return pa.Array.from_buffers(pa.string(), len(array), [validity, offsets, data], array.null_count)


def _plain(codes: memoryview, offsets: memoryview, values: Buffer) -> list[pa.Array]:
    """Text without codes, in pieces of about ``_STEP`` bytes: of one piece the writer puts 1,024 rows into a page.

    Only a sample comes here, so Python is fast enough. ``cast`` would import pyarrow.compute, and ``pa.array`` pandas:
    28 MiB or more.
    """
    data = memoryview(values)
    rows = [data[offsets[code] : offsets[code + 1]] if code >= 0 else data[:0] for code in codes.cast("i")]
    count = max(1, len(rows) * _STEP // max(1, sum(map(len, rows))))
    if count >= _PAGE_ROWS:
        count = len(rows)
    return [_strings(rows[at : at + count], codes[4 * at : 4 * (at + count)]) for at in range(0, len(rows), count)]


def _strings(rows: Sequence[memoryview], codes: memoryview) -> pa.StringArray:
    """The values of the rows. Where the code is that of a null, so is the value."""
    ends = array_of_numbers("i", accumulate(map(len, rows), initial=0))
    validity, nulls = kernel.validity_of(codes)
    buffers = [validity and pa.py_buffer(validity), pa.py_buffer(ends), pa.py_buffer(b"".join(rows))]
    return pa.Array.from_buffers(pa.string(), len(rows), buffers, nulls)


class RowGroups:
    """Collects tables of exactly ``rows`` rows, fewer where they fill their memory: ``add``, and ``take`` when full.

    In each row group a text column whose first rows hardly repeat is not encoded. All tables have one ``schema``, in
    which text is a dictionary.
    """

    def __init__(self, columns: ColumnBuilder, rows: int) -> None:
        self._builder = columns
        kinds = [field.type for field in columns.schema]
        self.schema = pa.schema(
            [(field.name, CODES if field.type == pa.string() else field.type) for field in columns.schema]
        )
        # A value of a payload is never longer than its payload, but each column has a copy of it.
        self._copies = 1 + sum(field.type == pa.string() for field in columns.payload.fields)
        self._row_bytes = sum(_TEXT_CELL if kind == pa.string() else _TIME_CELL for kind in kinds)
        self._asked = rows
        self._rows = max(1, min(rows, CELL_BYTES // max(1, self._row_bytes)))
        self._written_bytes = 0  # of the last table, while it is written
        self._directory_bytes = 0
        self._held = 0
        self._log_bytes = 0  # of the records held
        self.full = False
        self._columns = self._new_columns()
        self._plain: set[str] = set()  # text columns that were not encoded in the last row group

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
        """Take as many of the next records as fit; returns the others."""
        # Stop where a sample ends, so that it has the same rows whatever the blocks are.
        ends = (_SMALL_SAMPLE if self._plain else 0, _SAMPLE, self._rows)
        room = min(end for end in ends if end > self._held) - self._held
        taken, rest, size = _split(segments, room, sys.maxsize)
        stepped = False
        if self._may_fill(sum(segment.records for segment in taken), size):
            left = _STEP - self._log_bytes % _STEP
            taken, rest, size = _split(segments, room, left)
            stepped = size >= left
            if size >= left + _STEP:
                # The last record is a long one. It is taken alone, or left for the next row group if it is too long.
                count = sum(segment.records for segment in taken) - 1
                if count:
                    taken, rest, size = _split(segments, count, sys.maxsize)
                    stepped = False
                elif self._held and self._text_bytes() + self._copies * size > TEXT_BYTES:
                    self._end()
                    return [*segments]
        runs = runs_of(taken)
        own = len(self._builder.names)
        for column in self._columns[:own]:
            column.add(taken, runs(column.name))
        made = self._builder.payload.arrays(runs)
        for column in self._columns[own:]:
            column.add_array(made.pop(0))  # freed before the next one is copied
        self._held += sum(segment.records for segment in taken)
        self._log_bytes += size
        if self._held == _SMALL_SAMPLE and self._plain:
            self._decide(self._plain, self._rows)
        elif self._held == _SAMPLE:
            self._decide(self.schema.names, self._rows)
        many = stepped and (self._text_bytes() >= TEXT_BYTES or self._values() >= VALUES)
        if many or self._held == self._rows:
            self._end()
        return rest

    def _decide(self, names: Collection[str], rows: int) -> None:
        """Do not encode those of the columns ``names`` whose values hardly repeat in a row group of ``rows`` rows."""
        for number, column in enumerate(self._columns):
            if column.name in names and isinstance(column, DictionaryColumn) and not column.repeats(rows):
                self._columns[number] = column.as_plain()

    def _end(self) -> None:
        """Close this row group: nothing more is added to it."""
        self.full = True
        if self._held < self._asked:
            self._directory_bytes += sum(_DIRECTORY_ENTRY + 2 * len(name) for name in self.schema.names)
        if self._directory_bytes > DIRECTORY_BYTES:
            raise LimitError(
                f"{len(self._columns)} columns fill memory before there are {self._asked} rows, and the Parquet file "
                "has too many row groups",
                advice="name the columns that you want with columns=",
                option="columns",
            )

    def _may_fill(self, records: int, size: int) -> bool:
        """Whether ``records`` more, of ``size`` bytes in the log, could fill it, whatever their text is."""
        cells = records * len(self._columns)
        return self._text_bytes() + self._copies * size + 4 * cells >= TEXT_BYTES or self._values() + cells >= VALUES

    def take(self) -> pa.Table:
        """Hand over all rows as a table; none are left."""
        if self._held < _SAMPLE and self._text_bytes() >= _STEP:
            # Long values have filled it before anything was decided.
            self._decide(self.schema.names, self._held)
        encoded_bytes = sum(column.text_bytes for column in self._columns if isinstance(column, DictionaryColumn))
        self._written_bytes = self._bytes() + _WRITER_SHARE * encoded_bytes
        self._plain = {column.name for column in self._columns if isinstance(column, PlainColumn)}
        self._plain -= {field.name for field in self.schema if field.type != CODES}
        # Each column frees its memory when it is taken. Two copies of all of them would be a third of all memory.
        table = pa.Table.from_arrays([column.take() for column in self._columns], schema=self.schema)
        self._columns = self._new_columns()
        self._held = self._log_bytes = 0
        self.full = False
        return table

    def _new_columns(self) -> list[PlainColumn | DictionaryColumn]:
        return [
            DictionaryColumn(field.name, self._builder, 4 * self._rows)
            if field.type == pa.string()
            else PlainColumn(field.name, self._builder)
            for field in self._builder.schema
        ]


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
