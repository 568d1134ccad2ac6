"""Batches of Parquet files in pieces that fit into memory. There a long value may stand once for many rows."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Container, Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


def open_parquet(file: Any, texts: Container[str], filesystem: Any = None) -> pq.ParquetFile:
    """The file, to be read by ``pieces_of``: columns of text or bytes come as dictionaries if ``texts`` names them."""
    metadata = pq.read_metadata(file, filesystem=filesystem)
    columns = [metadata.schema.column(number) for number in range(metadata.num_columns)]
    names = [one.path for one in columns if one.physical_type == "BYTE_ARRAY" and one.path in texts]
    return pq.ParquetFile(file, metadata=metadata, read_dictionary=names, filesystem=filesystem)


def named_twice(schema: pa.Schema, wanted: Iterable[str]) -> str | None:
    """The first of the wanted columns that the file has more than once, so that nobody can tell which is meant."""
    return next((name for name in wanted if schema.names.count(name) > 1), None)


def pieces_of(batch: pa.RecordBatch, most: int) -> Iterator[pa.RecordBatch]:
    """The batch with plain columns in place of dictionaries, in pieces with at most ``most`` bytes of these, or a row.

    A plain column repeats a value for each row that has it.
    """
    sizes = pa.repeat(pa.scalar(0, pa.int64()), batch.num_rows)
    for column in batch.columns:
        if pa.types.is_dictionary(column.type):
            lengths = pc.binary_length(column.dictionary).cast(pa.int64())
            sizes = pc.add(sizes, pc.fill_null(lengths.take(column.indices), 0))
    ends = pc.cumulative_sum(sizes).to_pylist() if (pc.sum(sizes).as_py() or 0) > most else None
    start = 0
    while start < batch.num_rows:
        before = ends[start - 1] if ends and start else 0
        stop = batch.num_rows if ends is None else max(bisect_right(ends, before + most), start + 1)
        yield _plain(batch.slice(start, stop - start))
        start = stop


def _plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    columns = [one.dictionary_decode() if pa.types.is_dictionary(one.type) else one for one in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
