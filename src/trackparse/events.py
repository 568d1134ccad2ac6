"""Typed events: one immutable object a record. Fields come from the kernel in bulk, payloads wait until asked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final, NamedTuple, NoReturn

import orjson

from trackparse.errors import PayloadError
from trackparse.records.kernel.chooser import kernel
from trackparse.records.kernel.codes import NO_COLUMN
from trackparse.records.segments import Segment
from trackparse.schema import KNOWN, Status

_EPOCH: Final = datetime(1970, 1, 1)
# Fewer objects than start the cyclic collector (700): whoever keeps no events never waits for it. A block's worth at
# once took 0.73 s of CPU a million events where this takes 0.52 s.
_AT_ONCE: Final = 256


_DIGITS: Final = bytes.maketrans(b"123456789", b"000000000")
_BEYOND_64_BITS: Final = b"0" * 19  # the fewest digits of an integer that does not fit; longer ones hold them, too

LARGE_PAYLOAD: Final = 1 << 20  # bytes; those of real notifications have 4 KiB
_STATUSES: Final[dict[str, Any]] = {status.value: status for status in Status}
_LETTERS: Final = {"timestamp": "m", "text": "t", "status": "s", "json": "j"}
# What the kernel makes of each column; n: text, None where it is empty.
_KINDS: Final = "".join("n" if one.null_if_empty and one.kind == "text" else _LETTERS[one.kind] for one in KNOWN)


class Payload(kernel.Field, Mapping[str, Any]):
    """The JSON object of an event. Nothing is unescaped or decoded until it is looked into.

    ``raw`` is the field as it stands in the log, quotes and all. Values are those of ``json.loads``: integers are
    exact, up to the 4,300 digits that Python takes, and a number too large for a float is infinite. ``[]`` and
    ``null``, which PHP writes for an empty array, are an empty mapping; ``NaN`` and ``Infinity`` are not JSON.
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
            text = self._json()
            try:
                value = orjson.loads(text)
                # It rounds integers beyond 64 bits. Of 19 digits in a row at least three stand at every sixth byte:
                # most payloads are known to hold none after a look at these.
                if b"000" in text[::6].translate(_DIGITS) and _BEYOND_64_BITS in text.translate(_DIGITS):
                    value = self._parsed(text)
            except orjson.JSONDecodeError:
                # It refuses some JSON, too: half of a surrogate pair, and numbers beyond the range of a float.
                value = self._parsed(text)
            if not isinstance(value, dict):
                if value is not None and value != []:
                    raise PayloadError(f"{self._where()}: the payload is not a JSON object: {self._quote()}")
                value = {}
            self._decoded = value
        decoded: dict[str, Any] = self._decoded
        return decoded

    def _parsed(self, text: bytes) -> Any:
        """The value, by the parser that takes all JSON and takes its time."""
        try:
            return json.loads(text.decode(), parse_constant=_refuse)
        except RecursionError:
            told = "the payload is nested too deeply"
        except ValueError as fault:
            told = f"the payload is not JSON: {fault}"
        raise PayloadError(f"{self._where()}: {told}: {self._quote()}") from None

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
        if not isinstance(other, Mapping):
            return NotImplemented
        if isinstance(other, Payload) and self.text == other.text:
            return True
        theirs = other._value() if isinstance(other, Payload) else other
        try:
            return self._value() == theirs
        except RecursionError:
            raise PayloadError(f"{self._where()}: the payload is nested too deeply to compare") from None

    # It compares like the dict that it stands for, and so has no hash, either.
    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[object, ...]:
        return Payload, (self.raw, self._dialect, self._member, self._record)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a value of JSON")


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
    numbers = tuple(columns.index(one.name) if one.name in columns else NO_COLUMN for one in KNOWN)
    for start in range(0, segment.records, _AT_ONCE):
        part = segment.part(start, start + _AT_ONCE)
        yield kernel.events(
            part.run(""),
            numbers,
            _KINDS,
            part.timestamps,
            _moment,
            _STATUSES,
            Event,
            Payload,
            part.member,
            part.first_record,
            [*part.rejects.before],
        )
