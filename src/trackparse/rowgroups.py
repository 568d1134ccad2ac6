"""Collects batches into row groups: what Parquet's writer is fastest with, in little memory. Writes nothing.

Text is encoded as dictionaries while it comes in. A value that repeats is held once, however many rows wait for their
row group, and the writer takes codes as they are where it would otherwise look up each value.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import Final

import pyarrow as pa

from trackparse.dispatch import kernel

# Bytes of text held for one row group; with less that repeats than usual it ends before its rows are full.
TEXT_BYTES: Final = 32 << 20
# Above this share of distinct values codes would come on top of nearly all of the text.
_DISTINCT_SHARE: Final = 0.75
_WAITING: Final = 2  # batches that wait to be encoded
_CODES: Final = pa.dictionary(pa.int32(), pa.string())


class _Held:
    """The rows of one column that wait for their row group, as they came."""

    def __init__(self, kind: pa.DataType) -> None:
        self._kind = kind
        self._arrays: list[pa.Array] = []
        self.text_bytes = 0

    def add(self, array: pa.Array) -> None:
        self._arrays.append(array)
        if self._kind == pa.string():
            self.text_bytes += array.nbytes

    def repeats(self) -> bool:
        """Not asked: what does not repeat is what is held."""
        return False

    def array(self) -> pa.ChunkedArray:
        return pa.chunked_array(self._arrays, self._kind)


class _Encoded:
    """The same as codes, and each distinct value once."""

    def __init__(self) -> None:
        self._values = kernel.Dictionary()
        self._codes = bytearray()
        self._rows = 0

    @property
    def text_bytes(self) -> int:
        return self._values.size

    def add(self, array: pa.Array) -> None:
        validity, offsets, data = array.buffers()
        self._codes += self._values.encode_array(validity, offsets, data or b"", array.offset, len(array))
        self._rows += len(array)

    def repeats(self) -> bool:
        """Whether codes are worth it."""
        return len(self._values) <= self._rows * _DISTINCT_SHARE

    def array(self) -> pa.ChunkedArray:
        """All of them. It is empty then."""
        validity, nulls = kernel.validity_of(self._codes)
        buffers = [None if validity is None else pa.py_buffer(validity), pa.py_buffer(self._codes)]
        codes = pa.Array.from_buffers(pa.int32(), self._rows, buffers, nulls)
        count = len(self._values)
        values = pa.StringArray.from_buffers(count, *map(pa.py_buffer, self._values.take()))
        return pa.chunked_array([pa.DictionaryArray.from_arrays(codes, values)])


class RowGroups:
    """Takes batches and makes tables of exactly ``rows`` rows, fewer where their text fills 32 MiB.

    Text columns whose first rows hardly repeat are not encoded, then and later. ``schema`` is that of all tables, known
    with the first; before it, that of the batches.
    """

    def __init__(self, schema: pa.Schema, rows: int) -> None:
        self.schema = schema
        self._rows = rows
        self._decided = False
        self._encoded = {field.name for field in schema if field.type == pa.string()}
        self._begin()

    def _begin(self) -> None:
        self._held = 0
        self._columns = [
            _Encoded() if field.name in self._encoded else _Held(field.type) for field in self.schema
        ]

    def tables(self, batches: Iterable[pa.RecordBatch], encoder: Executor) -> Iterator[pa.Table]:
        """All rows of the batches, a row group at a time. They are encoded by ``encoder``, one thread, on the way."""
        waiting: deque[Future[list[pa.Table]]] = deque()
        for batch in batches:
            waiting.append(encoder.submit(self._add, batch))
            while waiting and (len(waiting) > _WAITING or waiting[0].done()):
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
        if self._held:
            yield self._take()

    def _add(self, batch: pa.RecordBatch) -> list[pa.Table]:
        """Take the next rows; the tables that they fill."""
        filled = []
        while batch.num_rows:
            part = batch.slice(0, self._rows - self._held)
            batch = batch.slice(part.num_rows)
            self._held += part.num_rows
            for column, array in zip(self._columns, part.columns, strict=True):
                column.add(array)
            if self._held == self._rows or sum(column.text_bytes for column in self._columns) >= TEXT_BYTES:
                filled.append(self._take())
        return filled

    def _take(self) -> pa.Table:
        if not self._decided:
            self._decided = True
            columns = zip(self.schema.names, self._columns, strict=True)
            self._encoded &= {name for name, column in columns if column.repeats()}
            kinds = [_CODES if field.name in self._encoded else field.type for field in self.schema]
            self.schema = pa.schema(zip(self.schema.names, kinds, strict=True))
        arrays = []
        for kind in self.schema.types:
            # What is taken is let go of at once: both at a time would be a third of all memory.
            array = self._columns.pop(0).array()
            arrays.append(array if array.type == kind else array.cast(kind))
        self._begin()
        return pa.Table.from_arrays(arrays, schema=self.schema)
