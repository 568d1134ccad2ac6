"""Rejects (bad records), packed into batches as they come, and kept or handed on. Reads no log, writes no file."""

from __future__ import annotations

import sys
import threading
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, chain, repeat
from typing import Any, Final, NamedTuple, TypeAlias

import pyarrow as pa

from trackparse.errors import LimitError, printable
from trackparse.limits import Limits
from trackparse.records.header import header_line
from trackparse.records.kernel import codes
from trackparse.records.kernel.chooser import kernel
from trackparse.records.segments import REASONS, Rejects

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
_LONGEST_NAME: Final = 95  # characters
_HALF_NAME: Final = _LONGEST_NAME // 2
_LONGEST_REPEATED: Final = 1 << 10  # characters of a header
_NO_PLACE: Final = codes.NO_PLACE.to_bytes(8, sys.byteorder, signed=True)
_REASONS: Final = {code: reason.encode() for code, reason in REASONS.items()}

Write: TypeAlias = Callable[[pa.RecordBatch], object]


class Quarantine:
    """Packs rejects into batches as they come. It hands the batches to ``write``; without it, it keeps them."""

    def __init__(self, limits: Limits, write: Write | None = None) -> None:
        self._write = write
        self._limits = limits
        self._kept = 0  # bytes of ``_batches``
        self._lock = threading.RLock()  # one thread may read the log while another one asks for its rejects
        self._batches: list[pa.RecordBatch] = []
        self._held: list[_Held] = []  # what is not packed yet
        self._rows = self._bytes = 0  # of these
        self._last_header: str | None = None  # of the row above
        self._last_member = ""

    def add(self, rejects: Rejects, columns: tuple[str, ...]) -> None:
        """Take rejects that stood under one header, whose ``columns`` these are."""
        self._last_member = printable(rejects.member)
        member = _shortened(self._last_member)
        header = header_line(columns) if columns else None
        repeated = header if header is None or len(header) <= _LONGEST_REPEATED else None
        first = header if header != self._last_header else repeated
        self._last_header = header
        each = len(member) + len(repeated or "") + _ROW_BYTES
        with self._lock:
            self._bytes += len(first or "")
            if self._rows + len(rejects) < BATCH_ROWS and self._bytes + self._size(rejects, each) < BATCH_BYTES:
                self._hold(_Held(rejects, member, first, repeated), each)
                return
            ends = [*accumulate(rejects.column(codes.SIZE), initial=0)]
            start, count = 0, len(rejects)
            while start < count:
                before = self._bytes - ends[start] - each * start
                stops = range(start + 1, count + 1)
                full = bisect_left(stops, BATCH_BYTES, key=lambda stop: before + ends[stop] + each * stop)
                stop = min(start + 1 + full, start + BATCH_ROWS - self._rows, count)
                self._hold(_Held(rejects.part(start, stop), member, first, repeated), each)
                if self._bytes >= BATCH_BYTES or self._rows == BATCH_ROWS:
                    self.flush()
                start, first = stop, repeated

    @staticmethod
    def _size(rejects: Rejects, each: int) -> int:
        return len(rejects.raw) + each * len(rejects)

    def _hold(self, held: _Held, each: int) -> None:
        self._held.append(held)
        self._rows += len(held.rejects)
        self._bytes += self._size(held.rejects, each)

    def flush(self) -> None:
        """Make a batch of the rejects that came since the last batch."""
        with self._lock:
            if not self._held:
                return
            batch = _packed(self._held)
            self._held, self._rows, self._bytes = [], 0, 0
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


def _shortened(name: str) -> str:
    """The name, or its beginning and its end: the log stands there, and the member."""
    return name if len(name) <= _LONGEST_NAME else f"{name[:_HALF_NAME]}…{name[-_HALF_NAME:]}"


def names_log(member: str, log: str) -> bool:
    """Whether the ``member`` of a reject, which may be shortened, begins with the name of this log."""
    name = printable(log)
    return member == name or member.startswith((f"{name}: ", f"{name[:_HALF_NAME]}…"))


class _Held(NamedTuple):
    """Rejects of one member that stood under one header."""

    rejects: Rejects
    member: str
    first: str | None  # the header for the first of them
    others: str | None

    def headers(self) -> tuple[tuple[str | None, int], ...]:
        """The headers, and for how many of them each stands: one, if it can be, is copied once less."""
        count = len(self.rejects)
        return ((self.others, count),) if self.first == self.others else ((self.first, 1), (self.others, count - 1))


def _packed(held: Sequence[_Held]) -> pa.RecordBatch:
    """A batch of rejects, with little done for each in Python: a log may hold nothing but rejects of two bytes."""
    raw = b"".join(one.rejects.raw for one in held)
    found = Rejects("", b"".join(one.rejects.table for one in held), raw)
    members = ((one.member, len(one.rejects)) for one in held)
    headers = chain.from_iterable(one.headers() for one in held)
    reasons = [*map(_REASONS.__getitem__, found.column(codes.REASON))]
    arrays = [
        repeated(members),
        _numbers(found.column(codes.RECORD)),
        _numbers(found.column(codes.LINE)),
        _numbers(found.column(codes.BYTE_OFFSET)),
        _text_array(pa.string(), map(len, reasons), b"".join(reasons)),
        _text_array(pa.binary(), found.column(codes.SIZE), raw),
        repeated(headers),
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def _numbers(words: memoryview) -> pa.Array:
    """The column that is made of one word of the table of rejects."""
    data = words.tobytes()
    # The bytes may also stand across two numbers.
    if _NO_PLACE in data:
        return array_of([None if number == codes.NO_PLACE else number for number in words], pa.int64())
    return pa.Array.from_buffers(pa.int64(), len(words), [None, pa.py_buffer(data)], 0)


def batch_of(columns: Iterable[Sequence[Any]]) -> pa.RecordBatch:
    """A batch of rejects, from a sequence of values for each column of ``SCHEMA``."""
    arrays = [array_of(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def array_of(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """An array, made from buffers: pa.array would import pandas where that is installed, which takes a second."""
    validity, nulls = _validity(values)
    if kind == pa.int64():
        buffers = [validity, pa.py_buffer(array("q", (value or 0 for value in values)))]
        return pa.Array.from_buffers(kind, len(values), buffers, nulls)
    texts = [value.encode() if isinstance(value, str) else value or b"" for value in values]
    return _text_array(kind, map(len, texts), b"".join(texts), validity, nulls)


def repeated(texts: Iterable[tuple[str | None, int]]) -> pa.Array:
    """A column of text, from each text and how many times it stands there."""
    runs = [(text, (text or "").encode(), count) for text, count in texts]
    validity, nulls = None, 0
    if None in (text for text, _, _ in runs):
        validity, nulls = _validity([*chain.from_iterable(repeat(text, count) for text, _, count in runs)])
    sizes = chain.from_iterable(repeat(len(encoded), count) for _, encoded, count in runs)
    return _text_array(pa.string(), sizes, b"".join(encoded * count for _, encoded, count in runs), validity, nulls)


def _validity(values: Sequence[Any]) -> tuple[pa.Buffer | None, int]:
    """Arrow's validity bitmap, None if there are no nulls, and the number of nulls."""
    if None not in values:
        return None, 0
    found, nulls = kernel.validity_of(array("i", (-(value is None) for value in values)).tobytes())
    return pa.py_buffer(found), nulls


def _text_array(
    kind: pa.DataType, sizes: Iterable[int], data: bytes, validity: pa.Buffer | None = None, nulls: int = 0
) -> pa.Array:
    """An array of values that stand in ``data`` one behind the other, from their sizes."""
    offsets = array("i", accumulate(sizes, initial=0))
    return pa.Array.from_buffers(kind, len(offsets) - 1, [validity, pa.py_buffer(offsets), pa.py_buffer(data)], nulls)
