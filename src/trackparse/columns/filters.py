"""Filters: which records are wanted, of record batches and of events alike. Reads nothing."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import reduce
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from trackparse.records.kernel.codes import Buffer
from trackparse.records.segments import Segment
from trackparse.schema import EPOCH

if TYPE_CHECKING:
    from trackparse.events import Event

_FEW: Final = 64  # records of a segment that are chosen here: a call of pyarrow takes longer
# Conditions of ``Filter`` that are sets of values, and the column of each.
_COLUMNS = {"statuses": "status", "app_codes": "appCode", "tracking_codes": "tracking_code"}


class Selection(ABC):
    """Which records are wanted, by some of their columns."""

    __slots__ = ()

    @property
    @abstractmethod
    def columns(self) -> tuple[str, ...]:
        """The columns that are looked at."""

    @abstractmethod
    def mask(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """True for each row of a batch that is wanted; null counts as false. The batch has all of ``columns``."""

    def select(self, segments: Sequence[Segment], looked_at: pa.RecordBatch) -> list[Segment]:
        """The records that meet the filter, as segments to build columns from.

        ``looked_at`` is a batch of the same records with the columns that the filter looks at. Only the columns of the
        new segments are right: their rejects and positions are those of the old ones. A segment without a wanted record
        is left out.
        """
        found = []
        for segment, wanted, before, behind in self._counted(segments, looked_at):
            if behind - before == segment.records:
                found.append(segment)
            elif behind > before:
                found.append(_chosen(segment, wanted, behind - before))
        return found

    def select_numbered(
        self, segments: Sequence[Segment], looked_at: pa.RecordBatch
    ) -> list[tuple[Segment, Sequence[int]]]:
        """As ``select``, and with each segment its gaps, which ``events_of`` needs to number the records.

        A gap stands for a record that was left out, or is bad: it is the number of selected records before it.
        """
        found: list[tuple[Segment, Sequence[int]]] = []
        for segment, wanted, before, behind in self._counted(segments, looked_at):
            if behind - before == segment.records:
                found.append((segment, segment.rejects.before if segment.rejects else ()))
            elif behind > before:
                gaps = _gaps(segment, wanted, behind - before)
                found.append((_chosen(segment, wanted, behind - before), gaps))
        return found

    def _counted(
        self, segments: Sequence[Segment], looked_at: pa.RecordBatch
    ) -> Iterator[tuple[Segment, memoryview, int, int]]:
        """Each segment, a byte for each record, 1 for a wanted one, and how many are wanted up to its start and end.

        Segments may be many and short: a call of pyarrow for each would cost too much.
        """
        import pyarrow.compute as pc

        mask = pc.fill_null(self.mask(looked_at), _no()).cast(pa.uint8())
        wanted = _memory(mask)
        counts = _memory(pc.cumulative_sum(mask.cast(pa.int32()))).cast("i")
        start = before = 0
        for segment in segments:
            stop = start + segment.records
            behind = counts[stop - 1] if stop else 0
            yield segment, wanted[start:stop], before, behind
            start, before = stop, behind


@dataclass(frozen=True, slots=True)
class Filter(Selection):
    """Which records are wanted: those that meet every condition given. Pass it as ``where=``.

    statuses: the record's status is one of these. An empty collection lets nothing through.
    app_codes: its application is one of these.
    tracking_codes: its tracking code, that of the message, is one of these.
    since: its timestamp is this moment or later. A ``datetime`` without a zone, like the timestamps of the log.
    until: its timestamp is before this moment.

    None is no condition. Raises TypeError for a wrong kind of value, ValueError for a moment with a zone.

    >>> opened = trackparse.Filter(statuses=["opened"], since=datetime(2021, 4, 20))
    >>> trackparse.read_log("tracking_log.zip", where=opened).num_rows
    0
    """

    statuses: Collection[str] | None = None
    app_codes: Collection[str] | None = None
    tracking_codes: Collection[str] | None = None
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        for name in _COLUMNS:
            values = getattr(self, name)
            if values is None:
                continue
            if isinstance(values, str | bytes) or not isinstance(values, Iterable):
                example = f", such as [{values!r}]" if isinstance(values, str) else ""
                raise TypeError(f"{name}={values!r}: expected a list of strings{example}")
            values = tuple(values)
            for value in values:
                if not isinstance(value, str):
                    raise TypeError(f"{name}: {value!r} is not a string")
            object.__setattr__(self, name, frozenset(values))
        for name in ("since", "until"):
            moment = getattr(self, name)
            if moment is not None and not isinstance(moment, datetime):
                raise TypeError(f"{name}={moment!r}: expected a datetime.datetime")
            if moment is not None and moment.tzinfo is not None:
                raise ValueError(f"{name}={moment.isoformat()}: the timestamps of a log have no zone: leave it out")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the conditions look at."""
        timestamp = () if self.since is None and self.until is None else ("timestamp",)
        return (*timestamp, *(column for name, column in _COLUMNS.items() if getattr(self, name) is not None))

    def mask(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """True for each row of a batch that meets the filter. The batch has all of ``columns``.

        Where the log lacks a column the answer may be null, which counts as false.
        """
        import pyarrow.compute as pc  # imported late: reading without a filter does not need it

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

    def matches(self, event: Event) -> bool:
        """Whether an event meets the filter."""
        return (
            (self.statuses is None or event.status in self.statuses)
            and (self.app_codes is None or event.app_code in self.app_codes)
            and (self.tracking_codes is None or event.tracking_code in self.tracking_codes)
            and (self.since is None or event.timestamp >= self.since)
            and (self.until is None or event.timestamp < self.until)
        )


@dataclass(frozen=True, slots=True)
class _Both(Selection):
    """The records that meet two selections."""

    first: Selection
    second: Selection

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that one of them looks at."""
        return tuple(dict.fromkeys((*self.first.columns, *self.second.columns)))

    def mask(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """True for each row that meets both."""
        import pyarrow.compute as pc

        return pc.and_kleene(self.first.mask(batch), self.second.mask(batch))


def both(first: Selection, second: Selection | None) -> Selection:
    """The records that meet both. One without a condition, and None, let all through."""
    if second is None or not second.columns:
        return first
    return _Both(first, second) if first.columns else second


def _among(column: pa.Array, values: frozenset[str]) -> pa.Array:
    """True where the value is one of ``values``. pc.is_in would hash all of these again for each batch."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()  # its dictionary holds values of earlier batches, too
    encoded = column.dictionary_encode()
    found = bytes(value in values for value in encoded.dictionary.to_pylist())
    bits = pa.Array.from_buffers(pa.uint8(), len(found), [None, pa.py_buffer(found)]).cast(pa.bool_())
    return bits.take(encoded.indices)


def _chosen(segment: Segment, wanted: memoryview, records: int) -> Segment:
    """The segment with the wanted records, of which there are so many."""
    fields = _rows(segment.fields, 4 * (len(segment.columns) + 1), wanted)
    return replace(segment, records=records, fields=fields, timestamps=_rows(segment.timestamps, 8, wanted))


def _rows(table: Buffer, size: int, wanted: memoryview) -> Buffer:
    """The wanted rows of a table whose rows have ``size`` bytes."""
    if len(wanted) <= _FEW:
        rows = memoryview(table)
        return b"".join(rows[at * size : (at + 1) * size] for at, one in enumerate(wanted) if one)
    buffers = [None, pa.py_buffer(memoryview(table))]
    found = pa.Array.from_buffers(pa.binary(size), len(wanted), buffers).filter(_bits(wanted))
    return memoryview(found.buffers()[1] or b"")


def _gaps(segment: Segment, wanted: memoryview, records: int) -> Sequence[int]:
    """How many wanted records, of ``records``, come before each one that was left out, or is bad."""
    import pyarrow.compute as pc

    bits = _bits(wanted)
    kept = pc.cumulative_sum(bits.cast(pa.int32()))
    left_out = _memory(kept.filter(pc.invert(bits))).cast("i")
    if not segment.rejects:
        return left_out
    numbers = _memory(kept).cast("i")
    return sorted((*left_out, *(numbers[before - 1] if before else 0 for before in segment.rejects.before)))


def _bits(wanted: memoryview) -> pa.BooleanArray:
    return pa.Array.from_buffers(pa.uint8(), len(wanted), [None, pa.py_buffer(wanted)]).cast(pa.bool_())


# Made from a buffer: pa.scalar would import pandas where that is installed.
def _no() -> pa.BooleanScalar:
    return pa.Array.from_buffers(pa.bool_(), 1, [None, pa.py_buffer(b"\0")])[0]


def _memory(array: pa.Array) -> memoryview:
    """The bytes of an array of numbers without nulls."""
    size = array.type.bit_width // 8
    return memoryview(array.buffers()[1] or b"")[array.offset * size : (array.offset + len(array)) * size]


def _scalar(moment: datetime) -> pa.Scalar:
    data = ((moment - EPOCH) // timedelta(microseconds=1)).to_bytes(8, sys.byteorder, signed=True)
    return pa.Array.from_buffers(pa.timestamp("us"), 1, [None, pa.py_buffer(data)])[0]
