"""Typed events: one immutable object a record. Fields come from the kernel in bulk, payloads wait until asked."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import orjson

from trackparse.dispatch import kernel
from trackparse.errors import PayloadError
from trackparse.index import Segment

_EPOCH: Final = datetime(1970, 1, 1)
# Timestamps repeat; a hostile log need not.
_MOMENTS: Final = 4096


class Status(enum.StrEnum):
    """What happened to the notification; a value not listed comes as plain ``str``."""

    CREATED = "created"
    SENT = "sent"
    DELIVERED = "delivered"  # handed to the gateway
    FAILED = "failed"
    OPENED = "opened"


_STATUSES: Final[dict[str, Status]] = {status.value: status for status in Status}


class Payload(Mapping[str, Any]):
    """The JSON object of an event. Nothing is unescaped or decoded until it is looked into."""

    __slots__ = ("_decoded", "_dialect", "_place", "raw")

    raw: bytes  # the field as it stands in the log, quotes and all

    def __init__(self, raw: bytes, dialect: int, place: tuple[str, int]) -> None:
        self.raw = raw
        self._dialect = dialect
        self._place = place  # member, record
        self._decoded: dict[str, Any] | None = None

    @property
    def text(self) -> str:
        """The JSON text."""
        return self._json().decode()

    def _json(self) -> bytes:
        raw = self.raw
        return kernel.unescape(raw[1:-1], self._dialect) if raw[:1] == b'"' else raw

    def _value(self) -> dict[str, Any]:
        if self._decoded is None:
            try:
                value = orjson.loads(self._json())
            except orjson.JSONDecodeError as fault:
                raise PayloadError(f"{self._where()}: the payload is not JSON: {fault}: {self._quote()}") from None
            if not isinstance(value, dict):
                raise PayloadError(f"{self._where()}: the payload is not a JSON object: {self._quote()}")
            self._decoded = value
        return self._decoded

    def _where(self) -> str:
        return f"{self._place[0]}: record {self._place[1]}"

    def _quote(self) -> str:
        return f"{self.raw[:80]!r}: .text has all of it"

    def __getitem__(self, key: str) -> Any:
        return self._value()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._value())

    def __len__(self) -> int:
        return len(self._value())

    def __repr__(self) -> str:
        return f"Payload({self.text!r})"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Payload):
            return self.text == other.text or self._value() == other._value()
        return self._value() == other if isinstance(other, Mapping) else NotImplemented

    # It compares like the dict that it stands for, and so has no hash, either.
    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[object, ...]:
        return Payload, (self.raw, self._dialect, self._place)


class Event(NamedTuple):
    """One record of the log."""

    timestamp: datetime  # no zone is given, so none is invented
    tracking_code: str
    target_id: str
    hwid: str
    status: Status | str
    description: str
    app_code: str | None
    payload: Payload | None


def events_of(segment: Segment, moments: dict[int, datetime]) -> Iterator[Event]:
    """The events of a segment; ``moments`` keeps datetimes for reuse from call to call."""
    def texts(name: str) -> list[Any]:
        return kernel.texts(segment.run(name))

    return map(
        Event,
        _moments(segment, moments),
        *(texts(name) for name in ("tracking_code", "target_id", "hwid")),
        [_STATUSES.get(text, text) for text in texts("status")],
        texts("description"),
        texts("appCode"),
        _payloads(segment),
    )


def _moments(segment: Segment, moments: dict[int, datetime]) -> list[datetime]:
    times = memoryview(segment.timestamps).cast("B").cast("q")[: segment.records]
    found = []
    for time in times:
        moment = moments.get(time)
        if moment is None:
            if len(moments) >= _MOMENTS:
                moments.clear()
            moment = moments[time] = _EPOCH + timedelta(microseconds=time)
        found.append(moment)
    return found


def _payloads(segment: Segment) -> list[Payload | None]:
    width = len(segment.columns) + 1
    starts = memoryview(segment.fields).cast("B").cast("I")[::width].tolist()
    raws = kernel.raws(segment.run("payload"))
    first = segment.first_record
    rejects = [reject.before for reject in segment.rejects]
    if not rejects:
        return [
            None if raw is None else Payload(raw, start >> 31, (segment.member, record))
            for record, (raw, start) in enumerate(zip(raws, starts, strict=False), first)
        ]
    found: list[Payload | None] = []
    passed = 0
    for number, (raw, start) in enumerate(zip(raws, starts, strict=False)):
        while passed < len(rejects) and rejects[passed] <= number:
            passed += 1
        found.append(None if raw is None else Payload(raw, start >> 31, (segment.member, first + number + passed)))
    return found
