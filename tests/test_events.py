"""Events: typed, immutable, and their payloads lazy."""

from __future__ import annotations

import json
import math
import pickle
import random
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

import trackparse
from support.logs import EXAMPLE, EXAMPLE_PAYLOAD, H6, H8, MOMENT, line, line6
from trackparse import Event, Payload, PayloadError, Status

NUMBERS = (
    st.integers()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?([eE][-+]?[0-9]{1,4})?", fullmatch=True)
)
TOKENS = st.sampled_from([*"{}[],: ", "null", "true", "NaN", "Infinity", "-", '"a"', r'"\ud83d"'])
TEXTS = st.text(max_size=5) | st.text("0123456789", max_size=40)
VALUES = st.recursive(
    NUMBERS.map(str) | TEXTS.map(json.dumps) | TOKENS,
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda parts: f"[{','.join(parts)}]")
        | st.lists(st.tuples(st.sampled_from(['"a"', '"b"', '"\\u00e9"']), inner), max_size=4).map(
            lambda pairs: "{" + ",".join(f"{key}:{value}" for key, value in pairs) + "}"
        )
    ),
    max_leaves=8,
)
JSON_TEXTS = VALUES.map(lambda value: f'{{"x":{value}}}') | VALUES | st.lists(TOKENS, max_size=8).map("".join)
NOT_OBJECTS = [
    b"oops",
    b'"{""a"":"',
    b"{",
    b"[1]",
    b"[[]]",
    b"[null]",
    b"1",
    b"0",
    b"true",
    b"false",
    b'"""text"""',
    b'{"a":NaN}',
    b'{"a":Infinity}',
    b'{"a":-Infinity}',
    b'{"a":18446744073709551617,"b":NaN}',
    b"NaN",
    b"\xef\xbb\xbf{}",
    b'{"a":01}',
    b'{"a":1} {"b":2}',
    b"[" * 2000,
    b"[" * 2000 + b"]" * 2000,
    b'{"a":' * 2000 + b"0" + b"}" * 2000,
    b'{"a":' + b"9" * 5000 + b"}",
]


def events_of(*records: bytes, header: bytes = H8, **options: Any) -> list[Event]:
    return list(trackparse.iter_events(header + b"".join(records), **options))


def payload_of(field: bytes, **options: Any) -> Payload:
    (event,) = events_of(line(field), **options)
    assert event.payload is not None
    return event.payload


def test_the_published_example(kernel: str) -> None:
    (event,) = trackparse.iter_events(EXAMPLE)
    assert event.timestamp == datetime(2021, 4, 20, 13, 1, 1)
    assert event.timestamp.tzinfo is None
    assert event.tracking_code == "T-D6C2-ABC2228F-C9C305A9"
    assert event.target_id == event.hwid == "0991"
    assert event.status is Status.DELIVERED
    assert event.description == "Success"
    assert event.app_code == "C90C0-0E786"
    assert event.payload is not None
    assert event.payload["md"]["uid"] == 11793546856
    assert event.payload["aps"] == {"alert": "..."}
    assert event.payload.text == EXAMPLE_PAYLOAD
    assert event.payload.raw == b'"{""aps"":{""alert"":""...""},""md"":{""uid"":11793546856}}"'


def test_the_older_generation_has_no_app_and_no_payload(kernel: str) -> None:
    (event,) = events_of(line6(time=b"2011-01-01T15:03:01.012345"), header=H6)
    assert tuple(event) == (datetime(2011, 1, 1, 15, 3, 1, 12345), "T-6", "U6", "H6", "created", "", None, None)
    assert event.status is Status.CREATED


@pytest.mark.parametrize("status", list(Status))
def test_a_status_of_the_list_is_one_of_the_enum(status: Status, kernel: str) -> None:
    (event,) = events_of(line(status=status.value.encode()))
    assert event.status is status
    assert event.status == status.value
    assert f"{event.status}" == status.value


@pytest.mark.parametrize("status", ["bounced", "", "Sent", "sent "])
def test_another_status_is_kept_as_text(status: str, kernel: str) -> None:
    (event,) = events_of(line(status=status.encode()))
    assert type(event.status) is str
    assert event.status == status


def test_the_statuses_are_those_of_the_service() -> None:
    assert [status.value for status in Status] == ["created", "sent", "delivered", "failed", "opened"]


def test_a_quoted_status_is_one_of_the_enum_too(kernel: str) -> None:
    assert events_of(line(status=b'"opened"'))[0].status is Status.OPENED


def test_an_event_cannot_be_changed(kernel: str) -> None:
    (event,) = events_of(line())
    with pytest.raises(AttributeError):
        event.status = Status.FAILED  # type: ignore[misc]
    with pytest.raises(AttributeError):
        event.seen = True  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        event.payload["a"] = 1  # type: ignore[index]
    with pytest.raises(AttributeError):
        event.payload.seen = True  # type: ignore[union-attr]


def test_events_are_events_and_compare_as_such(kernel: str) -> None:
    one, two, other = events_of(line(b'{"a":1}'), line(b'"{""a"":1}"'), line(b'{"a":2}'))
    assert type(one) is Event
    assert one == two
    assert one != other
    assert one._replace(payload=None) == (MOMENT, "T-1", "u", "h", "sent", "", "A-1", None)
    assert one._fields[0] == "timestamp"
    assert one._fields[6] == "app_code"


def test_events_and_payloads_survive_pickling(kernel: str) -> None:
    events = events_of(line(b'"{""a"":""\\"b\\"""}"'), line(b""), line(b"oops"), line(status=b"bounced"))
    copies = pickle.loads(pickle.dumps(events))  # noqa: S301
    assert [tuple(copy[:7]) for copy in copies] == [tuple(event[:7]) for event in events]
    assert copies[0].status is Status.SENT
    assert copies[0].payload == {"a": '"b"'}
    assert copies[0].payload.raw == events[0].payload.raw  # type: ignore[union-attr]
    assert copies[1].payload is None
    with pytest.raises(PayloadError, match="record 2"):
        copies[2].payload["a"]


def test_an_empty_payload_is_none(kernel: str) -> None:
    assert [event.payload for event in events_of(line(b""), line(b'""'))] == [None, None]


class TestPayload:
    def test_it_is_a_mapping(self, kernel: str) -> None:
        payload = payload_of(b'"{""a"":1,""b"":{""c"":[true,null]}}"')
        assert isinstance(payload, Mapping)
        assert dict(payload) == {"a": 1, "b": {"c": [True, None]}}
        assert list(payload) == ["a", "b"]
        assert len(payload) == 2
        assert "a" in payload
        assert payload.get("x") is None
        assert payload == {"b": {"c": [True, None]}, "a": 1}
        assert payload != {"a": 1}
        assert payload != 1
        with pytest.raises(KeyError, match="x"):
            payload["x"]
        with pytest.raises(TypeError):
            hash(payload)
        assert repr(payload) == '<Payload \'{"a":1,"b":{"c":[true,null]}}\', 29 characters: dict(payload) decodes it>'
        large = payload_of(b'{"a":"' + b"x" * 10_000 + b'"}')
        assert len(repr(large)) < 150
        assert "10,008 characters" in repr(large)

    def test_nothing_is_decoded_before_it_is_looked_into_and_then_once(
        self, kernel: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls: list[bytes] = []

        def loads(text: bytes) -> Any:
            calls.append(text)
            return orjson.loads(text)

        class Counting:
            JSONDecodeError = orjson.JSONDecodeError

        Counting.loads = staticmethod(loads)  # type: ignore[attr-defined]
        monkeypatch.setattr("trackparse.events.orjson", Counting)
        payload = payload_of(b'{"a":{"b":1}}')
        assert payload.raw == b'{"a":{"b":1}}'
        assert payload.text == '{"a":{"b":1}}'
        assert calls == []
        assert payload["a"] is payload["a"]
        assert len(payload) == 1
        assert calls == [b'{"a":{"b":1}}']

    def test_raw_is_the_field_and_text_its_value(self, kernel: str) -> None:
        for field, dialect in ((b'"{""a"":""\\"b\\"""}"', "php"), (b'"{""a"":""\\""b\\""""}"', "rfc4180")):
            for chosen in (dialect, "auto"):
                payload = payload_of(field, dialect=chosen)
                assert payload.raw == field
                assert payload.text == '{"a":"\\"b\\""}'
                assert payload["a"] == '"b"'

    @pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r", b""])
    def test_the_line_end_is_not_part_of_it(self, end: bytes, kernel: str) -> None:
        for field in (b"{}", b'"{}"'):
            (event,) = events_of(line(field, end=end))
            assert event.payload is not None
            assert event.payload.raw == field

    @pytest.mark.parametrize("field", NOT_OBJECTS)
    def test_what_is_no_json_object_is_said_at_access(self, field: bytes, kernel: str) -> None:
        good, event = events_of(line(), line(field))
        assert good.payload == {}
        assert event.tracking_code == "T-1"
        payload = event.payload
        assert payload is not None
        assert payload.raw == field
        assert payload.text
        for look in (lambda: payload["a"], lambda: len(payload), lambda: list(payload), lambda: "a" in payload):
            with pytest.raises(PayloadError, match=r"<bytes>: record 1: the payload is n(?:ot|ested)") as caught:
                look()
            assert isinstance(caught.value, ValueError)
            assert isinstance(caught.value, trackparse.TrackparseError)

    def test_the_record_named_counts_the_bad_ones_and_the_blocks(self, kernel: str) -> None:
        data = H8 + line() + line(b"{};") + b"\n" + line(b"oops") + line(b"{};") * 2 + line() * 40 + line(b"oops")
        for block_size in (7, 300, 1 << 20):
            events = list(trackparse.iter_events(data, on_error="skip", block_size=block_size))
            named = []
            for event in events:
                try:
                    dict(event.payload or {})
                except PayloadError as error:
                    named.append(str(error).split(": ")[1])
            assert named == ["record 2", "record 45"]

    def test_the_record_named_counts_across_every_list_that_the_kernel_makes(self, kernel: str) -> None:
        bad = {0, 255, 256, 257, 258, 512, 513, 600}
        data = H8 + b"".join(line(b"{};" if number in bad else b"%d" % number) for number in range(700))
        events = list(trackparse.iter_events(data, on_error="skip"))
        assert len(events) == 700 - len(bad)
        for event in events:
            assert event.payload is not None
            with pytest.raises(PayloadError, match=f"record {event.payload.text}: "):
                dict(event.payload)

    @pytest.mark.parametrize("field", [b"[]", b"null", b" [ ] ", b"{}", b'"[]"'])
    def test_an_empty_array_of_php_is_an_empty_mapping(self, field: bytes, kernel: str) -> None:
        payload = payload_of(field)
        assert payload == {}
        assert len(payload) == 0
        assert list(payload) == []
        assert payload.get("a") is None
        assert payload.raw == field

    @pytest.mark.parametrize(
        "number",
        [
            "18446744073709551615",
            "18446744073709551616",
            "18446744073709551617",
            "-9223372036854775808",
            "-9223372036854775809",
            "9" * 19,
            "9" * 20,
            "-" + "9" * 19,
            "1" + "0" * 400,
            "-1" + "0" * 4000,
        ],
    )
    @pytest.mark.parametrize("place", ['{"a":%s}', '{"a":[{},%s ]}', '{"b":"012345678901234567890","a":{"c":\n%s}}'])
    def test_integers_of_any_size_are_exact(self, number: str, place: str) -> None:
        for before in range(6):  # the look at every sixth byte begins anywhere
            text = " " * before + place % number
            found = Payload(text.encode(), 0, "log.csv", 1)
            assert str(json.loads(text)) == str(dict(found))
            assert number in str(dict(found))

    def test_what_one_parser_refuses_is_the_others(self) -> None:
        payload = payload_of(b'{"a":"\\ud83d","b":1e400,"c":-1e400,"d":1e-400,"e":-0,"f":-0.0,"g":1,"g":2}')
        assert list(payload.values()) == ["\ud83d", math.inf, -math.inf, 0.0, 0, 0.0, 2]
        assert math.copysign(1, payload["f"]) == -1
        assert isinstance(payload["e"], int)

    @given(JSON_TEXTS)
    def test_values_are_those_of_the_standard_library(self, text: str) -> None:
        payload = Payload(text.encode("utf-8", "surrogatepass").replace(b"\xed", b"?"), 0, "log.csv", 1)
        try:
            expected = json.loads(payload.text, parse_constant=float)
            assert not {"NaN", "Infinity"} & {*re.split(r'"(?:[^"\\]|\\.)*"|[^A-Za-z]', payload.text)}
        except (ValueError, AssertionError):
            with pytest.raises(PayloadError):
                dict(payload)
            return
        if expected in (None, []) or isinstance(expected, dict):
            # As text: 1, 1.0 and True are equal otherwise.
            assert repr(dict(payload)) == repr(expected or {})
        else:
            with pytest.raises(PayloadError, match="not a JSON object"):
                dict(payload)

    def test_nesting_as_deep_as_it_decodes_can_be_compared_or_is_an_error_of_ours(self) -> None:
        for depth in (100, 900, 1000, 1020, 1030):
            one, two = (
                Payload(blank + b'{"a":' + b"[" * depth + b"]" * depth + b"}", 0, "log.csv", 1) for blank in (b"", b" ")
            )
            try:
                assert one == two
            except PayloadError as error:
                assert depth > 900 and "nested too deeply" in str(error)  # noqa: PT017, PT018

    def test_a_float_and_a_large_number_keep_their_kind(self, kernel: str) -> None:
        payload = payload_of(b'{"a":1.0,"b":11793546856,"c":"\xc3\xa9"}')
        assert type(payload["a"]) is float
        assert payload["b"] == 11793546856
        assert payload["c"] == "é"


def test_events_carry_all_fields_whatever_the_projection(kernel: str) -> None:
    with trackparse.open_log(H8 + line(), columns=["status"]) as log:
        (event,) = log.events()
    assert event.hwid == "h"
    assert event.payload == {}


def test_columns_in_another_order_and_unknown_ones(kernel: str) -> None:
    (event,) = trackparse.iter_events(b'//region;payload;tracking_code;timestamp\neu;{"a":1};T;2021-04-20 13:01:01.5\n')
    assert [*event[:3]] == [datetime(2021, 4, 20, 13, 1, 1, 500000), "T", None]
    assert event.status is None
    assert event.payload == {"a": 1}


def test_every_record_before_a_bad_one_is_an_event(kernel: str) -> None:
    events = trackparse.iter_events(H8 + line() * 5 + line(b"{};") + line())
    assert [next(events).status for _ in range(5)] == ["sent"] * 5
    with pytest.raises(trackparse.RecordError, match="record 5, line 7"):
        next(events)


def test_extreme_timestamps(kernel: str) -> None:
    times = [b"0001-01-01 00:00:00", b"9999-12-31 23:59:59.999999", b"1969-12-31 23:59:59.5"]
    assert [event.timestamp for event in events_of(*(line(time=time) for time in times))] == [
        datetime.min,
        datetime.max,
        datetime(1969, 12, 31, 23, 59, 59, 500000),
    ]


def test_timestamps_of_all_years(kernel: str) -> None:
    dice = random.Random(0)
    times = []
    for year in (*range(2, 9999, 97), 2000, 2024, 2100):
        for month in (1, 3, 12):
            for days in (-1, 0, 30):
                more = timedelta(days, dice.randrange(86400), dice.randrange(10**6))
                times.append(datetime(year, month, 1) + more)
    texts = [time.isoformat(" ", "microseconds").encode() for time in times]
    assert [event.timestamp for event in events_of(*(line(time=text) for text in texts))] == times
