"""Typed events: one immutable object a record. Fields come from the kernel in bulk, payloads wait until asked."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson

from trackparse.dispatch import kernel
from trackparse.errors import PayloadError
from trackparse.header import COLUMNS
from trackparse.index import Segment

_EPOCH: Final = datetime(1970, 1, 1)
# Fewer objects than start the cyclic collector (700): whoever keeps no events never waits for it. A block's worth at
# once took 0.73 s of CPU a million events where this takes 0.52 s.
_AT_ONCE: Final = 256


class Status(enum.StrEnum):
    """What happened to the notification; a value not listed comes as plain ``str``."""

    CREATED = "created"
    SENT = "sent"
    DELIVERED = "delivered"  # handed to the gateway
    FAILED = "failed"
    OPENED = "opened"


LARGE_PAYLOAD: Final = 1 << 20  # bytes; those of real notifications have 4 KiB
_STATUSES: Final[dict[str, Any]] = {status.value: status for status in Status}


class Payload(kernel.Field, Mapping[str, Any]):
    """The JSON object of an event. Nothing is unescaped or decoded until it is looked into.

    ``raw`` is the field as it stands in the log, quotes and all.
    """

    __slots__ = ()

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
        decoded: dict[str, Any] = self._decoded
        return decoded

    def check(self) -> None:
        """PayloadError if it is not a JSON object.

        A large one is looked through and not decoded: its values may take thirty times its bytes.
        """
        text = self._json()
        if len(text) <= LARGE_PAYLOAD:
            self._value()
        elif not is_large_object(text):
            raise PayloadError(f"{self._where()}: the payload is not a JSON object: {self._quote()}")

    def _where(self) -> str:
        return f"{self._member}: record {self._record}"

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
        return Payload, (self.raw, self._dialect, self._member, self._record)


def is_large_object(text: bytes) -> bool:
    """Whether a text is a JSON object, without decoding it."""
    return text.lstrip()[:1] == b"{" and kernel.is_json(text)


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


@lru_cache(4096)
def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)


def events_of(segment: Segment) -> Iterator[list[Event]]:
    """The events of a segment, a short list at a time."""
    columns = segment.columns
    numbers = tuple(columns.index(name) if name in columns else -1 for name in COLUMNS)
    for start in range(0, segment.records, _AT_ONCE):
        part = segment.part(start, start + _AT_ONCE)
        yield kernel.events(
            part.run(""),
            numbers,
            part.timestamps,
            _moment,
            _STATUSES,
            Event,
            Payload,
            part.member,
            part.first_record,
            [*part.rejects.before],
        )
