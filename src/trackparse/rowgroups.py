"""Collects segments into row groups: what Parquet's writer is fastest with, in little memory. Writes nothing.

Text is encoded as dictionaries straight from the log. A value that repeats is held once, however many rows wait for
their row group, and the writer takes codes as they are where it would otherwise look up each value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pyarrow as pa

from trackparse.buffers import BufferPool
from trackparse.columns import ColumnBuilder, encoded
from trackparse.dispatch import kernel
from trackparse.index import Segment
from trackparse.schema import NULL_IF_EMPTY

# Bytes of text held for one row group; with less that repeats than usual it ends before its rows are full.
TEXT_BYTES: Final = 32 << 20
# Above this share of distinct values codes would come on top of nearly all of the text.
_DISTINCT_SHARE: Final = 0.75
_CODES_ROOM: Final = 16 << 20  # bytes of codes that room is made for at once, whatever the header and the rows
_CODES: Final = pa.dictionary(pa.int32(), pa.string())


class _Held:
    """The rows of one column that wait for their row group, as they are."""

    def __init__(self, name: str, columns: ColumnBuilder) -> None:
        self._name = name
        self._columns = columns
        self._kind = columns.schema.field(name).type
        self._arrays: list[pa.Array] = []
        self.text_bytes = 0

    def add(self, segments: Sequence[Segment]) -> None:
        array = self._columns.column(self._name, segments)
        self._arrays.append(array)
        if self._kind == pa.string():
            self.text_bytes += array.nbytes

    def repeats(self) -> bool:
        """Not asked: what does not repeat is what is held."""
        return False

    def take(self) -> pa.ChunkedArray:
        """All of them; none are left."""
        arrays, self._arrays, self.text_bytes = self._arrays, [], 0
        return pa.chunked_array(arrays, self._kind)


class _Encoded:
    """The same as codes, and each distinct value once."""

    def __init__(self, name: str, pool: BufferPool, room: int) -> None:
        self._name = name
        self._values = kernel.Dictionary()
        self._pool = pool
        self._room = room
        self._codes = pool.allocate(room)
        self._used = 0  # bytes of it

    @property
    def text_bytes(self) -> int:
        return self._values.size

    def add(self, segments: Sequence[Segment]) -> None:
        runs = [segment.run(self._name) for segment in segments]
        codes = self._values.encode(runs, self._name in NULL_IF_EMPTY)
        start, self._used = self._used, self._used + len(codes)
        if self._used > len(self._codes):
            roomier = self._pool.allocate(2 * self._used)
            roomier[:start] = self._codes[:start]
            self._codes, self._room = roomier, len(roomier)
        self._codes[start : self._used] = codes

    def repeats(self) -> bool:
        """Whether codes are worth it."""
        return len(self._values) <= self._used // 4 * _DISTINCT_SHARE

    def take(self) -> pa.ChunkedArray:
        """All of them; none are left."""
        count = len(self._values)
        values = pa.StringArray.from_buffers(count, *map(pa.py_buffer, self._values.take()))
        codes = memoryview(self._codes)[: self._used]
        self._codes, self._used = self._pool.allocate(self._room), 0
        return pa.chunked_array([encoded(codes, values)])


class RowGroups:
    """Collects tables of exactly ``rows`` rows, fewer where their text fills 32 MiB: ``add``, and ``take`` when full.

    Text columns whose first rows hardly repeat are not encoded, then and later. ``schema`` is that of all tables, known
    with the first; before it, that of the log.
    """

    def __init__(self, columns: ColumnBuilder, rows: int) -> None:
        self.schema = columns.schema
        self._builder = columns
        pool = BufferPool()
        room = min(4 * rows, _CODES_ROOM // max(len(self.schema), 1))
        self._rows = rows
        self._held = 0
        self._decided = False
        self._columns = [
            _Encoded(field.name, pool, room) if field.type == pa.string() else _Held(field.name, columns)
            for field in columns.schema
        ]

    def __len__(self) -> int:
        """Rows since the last table."""
        return self._held

    @property
    def full(self) -> bool:
        return self._held == self._rows or sum(column.text_bytes for column in self._columns) >= TEXT_BYTES

    def add(self, segments: Sequence[Segment]) -> list[Segment]:
        """Take as many of the next records as have room; those that have none."""
        taken, rest = [], []
        for segment in segments:
            room = self._rows - self._held
            if segment.records <= room:
                taken.append(segment)
            else:
                taken.append(segment.part(0, room))
                rest.append(segment.part(room, segment.records))
            self._held += taken[-1].records
        for column in self._columns:
            column.add(taken)
        return rest

    def take(self) -> pa.Table:
        """The rows that were added; none are left."""
        if not self._decided:
            return self._decide()
        self._held = 0
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
            arrays.append(array if array.type == kinds[-1] else array.cast(kinds[-1]))
            if not repeats:
                self._columns[number] = _Held(field.name, self._builder)
        self._held = 0
        self.schema = pa.schema(zip(self.schema.names, kinds, strict=True))
        return pa.Table.from_arrays(arrays, schema=self.schema)
