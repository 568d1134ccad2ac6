"""Which records are wanted: one question, asked of record batches and of events alike. Reads nothing."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import reduce
from typing import TYPE_CHECKING

import pyarrow as pa

from trackparse.records.kernel.codes import Buffer
from trackparse.records.segments import Segment

if TYPE_CHECKING:
    from trackparse.events import Event

_EPOCH = datetime(1970, 1, 1)
_COLUMNS = {"statuses": "status", "app_codes": "appCode", "tracking_codes": "tracking_code"}


@dataclass(frozen=True, slots=True)
class Filter:
    """The records that meet every condition given; None is no condition, an empty collection lets nothing through.

    A record meets ``statuses``, ``app_codes`` or ``tracking_codes`` if its value is one of them. Its timestamp is
    not before ``since`` and is before ``until``; like the log's, they have no zone.
    """

    statuses: Collection[str] | None = None
    app_codes: Collection[str] | None = None
    tracking_codes: Collection[str] | None = None
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        for name in _COLUMNS:
            values = getattr(self, name)
            if isinstance(values, (str, bytes)):
                raise TypeError(f"{name}={values!r}: a collection of values is wanted, such as [{values!r}]")
            if values is not None:
                object.__setattr__(self, name, frozenset(values))
        for name in ("since", "until"):
            moment = getattr(self, name)
            if moment is not None and not isinstance(moment, datetime):
                raise TypeError(f"{name}={moment!r}: a datetime is wanted")
            if moment is not None and moment.tzinfo is not None:
                raise ValueError(f"{name}={moment.isoformat()}: the log's timestamps have no zone: leave it out")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it looks at."""
        timestamp = () if self.since is None and self.until is None else ("timestamp",)
        return (*timestamp, *(column for name, column in _COLUMNS.items() if getattr(self, name) is not None))

    def mask(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """Which rows of a batch meet it; null, where the log lacks a column, is no. It has all ``columns``."""
        import pyarrow.compute as pc  # who asks for no filter need not wait for it

        found = []
        for name, column in _COLUMNS.items():
            values = getattr(self, name)
            if values is not None:
                found.append(_among(batch[column], values))
        if self.since is not None:
            found.append(pc.greater_equal(batch["timestamp"], _scalar(self.since)))
        if self.until is not None:
            found.append(pc.less(batch["timestamp"], _scalar(self.until)))
        return reduce(pc.and_, found)

    def select(self, segments: Sequence[Segment], looked_at: pa.RecordBatch) -> list[Segment]:
        """The records that meet it, as segments to build columns of: what they say of rejects and places is void."""
        mask = self.mask(looked_at)
        selected, start = [], 0
        for segment in segments:
            wanted = mask.slice(start, segment.records)
            start += segment.records
            fields = _rows(segment.fields, 4 * (len(segment.columns) + 1), wanted)
            timestamps = _rows(segment.timestamps, 8, wanted)
            selected.append(replace(segment, records=wanted.true_count, fields=fields, timestamps=timestamps))
        return selected

    def matches(self, event: Event) -> bool:
        """Whether an event meets it."""
        return (
            (self.statuses is None or event.status in self.statuses)
            and (self.app_codes is None or event.app_code in self.app_codes)
            and (self.tracking_codes is None or event.tracking_code in self.tracking_codes)
            and (self.since is None or event.timestamp >= self.since)
            and (self.until is None or event.timestamp < self.until)
        )


def _among(column: pa.Array, values: frozenset[str]) -> pa.Array:
    """A mask. Its cost depends on the batch alone: pc.is_in would hash all the values for each batch."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()  # the reader's dictionary holds more than this batch's values
    encoded = column.dictionary_encode()
    found = bytes(value in values for value in encoded.dictionary.to_pylist())
    bits = pa.Array.from_buffers(pa.uint8(), len(found), [None, pa.py_buffer(found)]).cast(pa.bool_())
    return bits.take(encoded.indices)


def _rows(table: Buffer, size: int, wanted: pa.BooleanArray) -> Buffer:
    """Those rows of a table of ``size`` bytes each."""
    buffers = [None, pa.py_buffer(memoryview(table))]
    rows = pa.Array.from_buffers(pa.binary(size), len(wanted), buffers)
    return memoryview(rows.filter(wanted).buffers()[1] or b"")


# Made from buffers: pa.array and pa.scalar would import pandas, where there is one.
def _scalar(moment: datetime) -> pa.Scalar:
    data = ((moment - _EPOCH) // timedelta(microseconds=1)).to_bytes(8, sys.byteorder, signed=True)
    return pa.Array.from_buffers(pa.timestamp("us"), 1, [None, pa.py_buffer(data)])[0]
