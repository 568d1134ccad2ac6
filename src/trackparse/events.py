"""Typed events, one immutable object for each record. Payloads are decoded when somebody looks into them."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, NoReturn

import orjson

from trackparse.display import html_line, html_page, html_table, html_text
from trackparse.errors import PayloadError
from trackparse.records.kernel.chooser import kernel
from trackparse.records.kernel.codes import NO_COLUMN, Run
from trackparse.records.segments import Segment
from trackparse.schema import KNOWN, Status

# Events made at once. 700 new objects start Python's garbage collector; with fewer it does not run for a caller who
# keeps no events: made a block at a time, a million events took 0.2 s of CPU more.
_AT_ONCE: Final = 256

_SHOWN: Final = 60  # characters of a payload in its repr
_INDENTED_MOST: Final = 1 << 16  # characters of a payload that a notebook shows indented
_DIGITS: Final = bytes.maketrans(b"123456789", b"000000000")
_BEYOND_64_BITS: Final = b"0" * 19  # in a text whose digits are all "0": a number that may not fit into 64 bits

LARGE_PAYLOAD: Final = 1 << 20  # bytes; payloads of real notifications have at most 4 KiB
_STATUS_BY_TEXT: Final[dict[str, Any]] = {status.value: status for status in Status}
_LETTERS: Final = {"timestamp": "m", "text": "t", "status": "s", "json": "j"}
# A letter for each column says what the kernel makes of it; "n" is text that is None where it is empty.
_KINDS: Final = "".join(
    "n" if column.null_if_empty and column.kind == "text" else _LETTERS[column.kind] for column in KNOWN
)


class Payload(kernel.Field, Mapping[str, Any]):
    """The JSON object of an event, as a read-only mapping. It is decoded when it is first looked into.

    ``dict(payload)`` makes a dict of it. ``raw`` is the field as it stands in the log, with its quotes (bytes), and
    ``text`` its JSON text. Values are those of ``json.loads``: integers are exact, up to the 4,300 digits that Python
    takes, and a number too large for a float is infinite. ``[]`` and ``null``, which PHP writes for an empty array, are
    an empty mapping. ``NaN`` and ``Infinity`` are not JSON, nor is what is nested more than 1,024 deep.

    Looking into it raises PayloadError if it is not a JSON object. The other fields of its event are good all the same.

    >>> for event in trackparse.iter_events("tracking_log.zip"):
    ...     if event.payload and "aps" in event.payload:
    ...         print(event.payload["aps"]["alert"])
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
                # orjson rounds integers beyond 64 bits, which have 19 digits or more: three or more of these digits
                # stand at every sixth byte. Most payloads are known to hold no such number after a look at these bytes.
                if b"000" in text[::6].translate(_DIGITS) and _BEYOND_64_BITS in text.translate(_DIGITS):
                    value = self._parsed(text)
            except orjson.JSONDecodeError:
                # orjson also refuses some valid JSON: half of a surrogate pair, and numbers too large for a float.
                value = self._parsed(text)
            if not isinstance(value, dict):
                if value is not None and value != []:
                    raise self._error("not a JSON object")
                value = {}
            self._decoded = value
        decoded: dict[str, Any] = self._decoded
        return decoded

    def _parsed(self, text: bytes) -> Any:
        """The value, by the slower parser of the standard library, which takes all JSON."""
        try:
            value = json.loads(text.decode(), parse_constant=_refuse)
            if kernel.is_json(text):
                return value
            # How deep the standard library goes depends on its version and on who calls it; orjson's limit counts.
            problem = "nested too deeply"
        except RecursionError:
            problem = "nested too deeply"
        except ValueError as error:
            problem = f"not JSON: {error}"
        raise self._error(problem) from None

    def check(self) -> None:
        """Raise PayloadError if this is not a JSON object.

        A text of more than 1 MiB is checked without decoding it: the values may take thirty times its bytes.
        """
        text = self._json()
        if len(text) <= LARGE_PAYLOAD:
            self._value()
        elif not is_large_object(text):
            raise self._error("not a JSON object")

    def _error(self, problem: str) -> PayloadError:
        return PayloadError(
            f"{self._member}: record {self._record}: the payload is {problem}: {self.raw[:80]!r}",
            advice=".text has all of it",
        )

    def __getitem__(self, key: str) -> Any:
        return self._value()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._value())

    def __len__(self) -> int:
        return len(self._value())

    def __repr__(self) -> str:
        text = self.text
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
        return f"<Payload {shown!r}, {len(text):,} characters: dict(payload) decodes it>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the JSON, indented."""
        return html_page("Payload", *_payload_html(self))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Mapping):
            return NotImplemented
        if isinstance(other, Payload) and self.text == other.text:
            return True
        theirs = other._value() if isinstance(other, Payload) else other
        try:
            return self._value() == theirs
        except RecursionError:
            raise self._error("nested too deeply to compare") from None

    # Equal to a dict with the same values, which has no hash, either.
    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[object, ...]:
        return Payload, (self.raw, self._dialect, self._member, self._record)


def _payload_html(payload: Payload) -> Iterator[str]:
    text = payload.text
    if len(text) <= _INDENTED_MOST:
        try:
            text = json.dumps(dict(payload), indent=2, ensure_ascii=False)
        except PayloadError as error:
            yield html_line(str(error))
        except (RecursionError, ValueError):
            pass  # deeper, or a longer number, than Python's own writer takes: the text is shown as it stands
    yield html_text(text)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a value of JSON")


def is_large_object(text: bytes) -> bool:
    """Whether a text is a JSON object. It is not decoded."""
    return text.lstrip()[:1] == b"{" and kernel.is_json(text)


class Event(NamedTuple):
    """One record of the log, a named tuple. A field that the log has no column for is None.

    timestamp: when it happened. Without a zone, because the log gives none.
    tracking_code: the code of the message, such as ``T-D6C2-ABC2228F-C9C305A9``.
    target_id: the device as the sender of the message named it: a hardware id or a push token.
    hwid: the hardware id of the device.
    status: a ``Status``, or the text of a status that is not one of these.
    description: ``Success``, the text of an error, or empty.
    app_code: the application that the message was sent to; may be empty. None where the log has no such column.
    payload: what was sent, a ``Payload``. None where it is empty. Check for None before you look into it.

    >>> for event in trackparse.iter_events("tracking_log.zip"):
    ...     if event.status == trackparse.Status.FAILED:
    ...         print(event.timestamp, event.description)
    """

    timestamp: datetime
    tracking_code: str
    target_id: str
    hwid: str
    status: Status | str
    description: str
    app_code: str | None
    payload: Payload | None

    def _repr_html_(self) -> str:
        """What a notebook shows: a row for each field, and the payload, indented."""
        rows = [(name, value) for name, value in zip(self._fields, self, strict=True) if name != "payload"]
        payload = () if self.payload is None else _payload_html(self.payload)
        return html_page("Event", html_table(("", ""), rows), *payload)


def events_of(segment: Segment, gaps: Sequence[int]) -> Iterator[list[Event]]:
    """The events of a segment, in short lists.

    ``gaps`` says where records are missing: for each missing record, how many events of the segment come before it.
    """
    columns = segment.columns
    numbers = tuple(columns.index(column.name) if column.name in columns else NO_COLUMN for column in KNOWN)
    fields, timestamps = memoryview(segment.fields), memoryview(segment.timestamps)
    row = 4 * (len(columns) + 1)  # bytes of the field table
    for start in range(0, segment.records, _AT_ONCE):
        stop = min(start + _AT_ONCE, segment.records)
        gaps_before = bisect_right(gaps, start) if start else 0
        part = fields[start * row : stop * row]
        yield kernel.events(
            Run(segment.data, part, stop - start, len(columns), NO_COLUMN),
            columns=numbers,
            kinds=_KINDS,
            timestamps=timestamps[start * 8 : stop * 8],
            moment=datetime,
            statuses=_STATUS_BY_TEXT,
            event=Event,
            payload=Payload,
            member=segment.member,
            first_record=segment.first_record + start + gaps_before,
            rejects=[gap - start for gap in gaps[gaps_before : bisect_right(gaps, stop)]],
        )
