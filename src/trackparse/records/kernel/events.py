"""Events, made in bulk. ``native_events.h`` is the same in C."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trackparse.records.kernel.codes import CR, DIALECT_SHIFT, NO_COLUMN, START_MASK, Buffer, Run
from trackparse.records.kernel.timestamp import time_parts
from trackparse.records.kernel.values import values_of


class Field:
    """A field as it stands in the log, and where that is. A payload is a subclass of it."""

    __slots__ = ("_decoded", "_dialect", "_member", "_record", "raw")

    def __init__(self, raw: bytes, dialect: int, member: str, record: int) -> None:
        self.raw = raw
        self._dialect = dialect
        self._member = member
        self._record = record
        self._decoded: Any = None


def events(
    run: Run,
    *,
    columns: tuple[int, ...],
    kinds: str,
    timestamps: Buffer,
    moment: Callable[..., Any],
    statuses: dict[str, Any],
    event: Callable[..., Any],
    payload: Callable[..., Any],
    member: str,
    first_record: int,
    rejects: list[int],
) -> list[Any]:
    """The records as ``event`` tuples; equal values may be one object.

    ``columns`` are the numbers of the fields in the order of Event, NO_COLUMN for None. ``kinds`` has a letter for each
    that says what is made of it: ``m`` a moment, ``t`` text, ``n`` text or None if it is empty, ``s`` a status, ``j`` a
    payload. ``moment`` takes seven numbers, year to microsecond; ``payload`` is a subclass of Field. ``rejects`` say of
    each reject how many records come before it: rejects count in the numbers of records.
    """
    starts = memoryview(run.fields).cast("B").cast("I")[:: run.width + 1]
    made: list[list[Any]] = []
    numbers: list[int] = []
    rejects_before = 0
    for i in range(run.records):
        while rejects_before < len(rejects) and rejects[rejects_before] <= i:
            rejects_before += 1
        numbers.append(first_record + i + rejects_before)
    for column, kind in zip(columns, kinds, strict=True):
        own = run._replace(field=column)
        if kind == "m":
            made.append(
                [moment(*time_parts(time)) for time in memoryview(timestamps).cast("B").cast("q")[: run.records]]
            )
        elif kind == "j":
            made.append(
                [
                    None if raw is None else payload(raw, start >> DIALECT_SHIFT, member, number)
                    for raw, start, number in zip(_raws(own), starts, numbers, strict=True)
                ]
            )
        else:
            texts = [None if value is None else value.decode() for value in values_of([own])]
            if kind == "s":
                texts = [None if text is None else statuses.get(text, text) for text in texts]
            made.append([text or None for text in texts] if kind == "n" else texts)
    return [event(*values) for values in zip(*made, strict=True)]


def _raws(run: Run) -> list[bytes | None]:
    """The fields of one column as they stand in the log, quotes and all; None where they are empty."""
    if run.field == NO_COLUMN:
        return [None] * run.records
    table = memoryview(run.fields).cast("B").cast("I")
    found: list[bytes | None] = []
    for at in range(0, run.records * (run.width + 1), run.width + 1):
        first = table[at + run.field] + 1 if run.field else table[at] & START_MASK
        last = table[at + run.field + 1]
        while run.field == run.width - 1 and last > first and run.data[last - 1] == CR:
            last -= 1
        raw = bytes(run.data[first:last])
        found.append(None if raw in (b"", b'""') else raw)
    return found
