"""Rejects (bad records), packed into batches as they come, and kept or handed on. Reads no log, writes no file."""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from typing import Any, Final, TypeAlias

import pyarrow as pa

from trackparse.errors import LimitError, printable
from trackparse.limits import Limits
from trackparse.records.header import header_line
from trackparse.records.kernel.chooser import kernel
from trackparse.records.segments import Rejects

SCHEMA: Final = pa.schema(
    [
        ("member", pa.string()),
        ("record", pa.int64()),
        ("line", pa.int64()),
        ("byte_offset", pa.int64()),
        ("reason", pa.string()),
        ("raw", pa.binary()),
        ("header", pa.string()),
    ]
)
# The largest batch: enough for a row group of Parquet, little enough to be held in memory beside the log.
BATCH_ROWS: Final = 1 << 14
BATCH_BYTES: Final = 4 << 20
_ROW_BYTES: Final = 40  # what three numbers and four offsets take
# A name or a header of 64 KiB, repeated for each reject of twenty bytes, would take three thousand times the log.
_LONGEST_NAME: Final = 255  # characters
_LONGEST_REPEATED: Final = 1 << 10  # characters of a header

Write: TypeAlias = Callable[[pa.RecordBatch], object]


class Quarantine:
    """Packs rejects into batches as they come. It hands the batches to ``write``; without it, it keeps them."""

    def __init__(self, limits: Limits, write: Write | None = None) -> None:
        self._write = write
        self._limits = limits
        self._kept = 0  # bytes of ``_batches``
        self._lock = threading.RLock()  # one thread may read the log while another one asks for its rejects
        self._batches: list[pa.RecordBatch] = []
        self._columns: list[list[Any]] = [[] for _ in SCHEMA]  # rejects that are not packed yet
        self._bytes = 0  # bytes of these
        self._last_header: str | None = None  # of the row above
        self._last_member = ""

    def add(self, rejects: Rejects, columns: tuple[str, ...]) -> None:
        """Take rejects that stood under one header, whose ``columns`` these are."""
        self._last_member = member = printable(rejects.member)[:_LONGEST_NAME]
        header = header_line(columns) if columns else None
        repeated = header if header is None or len(header) <= _LONGEST_REPEATED else None
        first = header if header != self._last_header else repeated
        self._last_header = header
        each = len(member) + len(repeated or "") + _ROW_BYTES
        more: tuple[Sequence[Any], ...] = (
            [member] * len(rejects),
            rejects.records,
            rejects.lines,
            rejects.byte_offsets,
            rejects.reasons,
            rejects.raws,
            [first, *[repeated] * (len(rejects) - 1)],
        )
        with self._lock:
            self._bytes += len(first or "")
            start, count = 0, len(rejects)
            last = BATCH_ROWS - len(self._columns[0])  # rejects up to here fit into the batch
            for stop, raw in enumerate(rejects.raws, 1):
                self._bytes += len(raw) + each
                full = self._bytes >= BATCH_BYTES or stop >= last
                if full or stop == count:
                    for column, values in zip(self._columns, more, strict=True):
                        column.extend(values[start:stop])
                    start = stop
                if full:
                    self.flush()
                    last = stop + BATCH_ROWS

    def flush(self) -> None:
        """Make a batch of the rejects that came since the last batch."""
        with self._lock:
            if not self._columns[0]:
                return
            batch = batch_of(self._columns)
            self._columns, self._bytes = [[] for _ in SCHEMA], 0
            (self._write or self._keep)(batch)

    def _keep(self, batch: pa.RecordBatch) -> None:
        self._batches.append(batch)
        self._kept += batch.nbytes

    def check(self) -> None:
        """LimitError if more is kept than ``Limits.max_rejects_bytes``."""
        most = self._limits.max_rejects_bytes
        if most is not None and self._kept + (0 if self._write else self._bytes) > most:
            raise LimitError(
                f"{self._last_member}: the bad records fill more than {most} bytes",
                advice="skip them (on_error='skip'), have convert_log write them (rejects=), or raise "
                "Limits.max_rejects_bytes",
                option="limits",
            )

    def table(self) -> pa.Table:
        """All rejects that are kept."""
        self.flush()
        return pa.Table.from_batches(self._batches, schema=SCHEMA)


def batch_of(columns: Iterable[Sequence[Any]]) -> pa.RecordBatch:
    """A batch of rejects, from a sequence of values for each column of ``SCHEMA``."""
    arrays = [array_of(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def array_of(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """An array, made from buffers: pa.array would import pandas where that is installed, which takes a second."""
    validity, nulls = None, 0
    if None in values:
        validity, nulls = kernel.validity_of(array("i", (-(value is None) for value in values)).tobytes())
        empty = {pa.int64(): 0, pa.string(): "", pa.binary(): b""}[kind]
        values = [empty if value is None else value for value in values]
    first = None if validity is None else pa.py_buffer(validity)
    if kind == pa.int64():
        return pa.Array.from_buffers(kind, len(values), [first, pa.py_buffer(array("q", values))], nulls)
    # No Python loop over the values: a log may hold nothing but rejects of three bytes.
    texts = [*map(str.encode, values)] if kind == pa.string() else values
    offsets = array("i", accumulate(map(len, texts), initial=0))
    buffers = [first, *map(pa.py_buffer, (offsets, b"".join(texts)))]
    return pa.Array.from_buffers(kind, len(values), buffers, nulls)
