"""Payload columns: they hold what a look-up in ``event.payload`` finds, for every payload and on every kernel."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import trackparse
from support.kernels import SLOW
from support.logs import H6, H8, line, line6
from support.payloads import KEYS, expected, looked_up, payload_run, random_payload, random_wanted, same, values_of
from test_events import JSON_TEXTS
from trackparse.columns.payload import PayloadColumns
from trackparse.convert import row_groups
from trackparse.records.kernel.chooser import kernel as chosen_kernel
from trackparse.records.kernel.codes import Wanted
from trackparse.testing.sample import encode_row, sample_rows

ROWS = 2000 // SLOW
LOG = H8 + b"".join(encode_row(fields) for fields in sample_rows(ROWS))
PAYLOADS = [json.loads(fields[7] or "{}") for fields in sample_rows(ROWS)]
SAMPLE: PayloadColumns = {
    "alert": "/aps/alert",
    "badge": ("/aps/badge", pa.int8()),
    "uid": ("/md/uid", pa.int64()),
    "aps": "/aps",
}


class Case(NamedTuple):
    """A payload, and what stands at a pointer of it."""

    name: str
    payload: str
    pointer: str
    found: Any
    type: pa.DataType | None = None
    misfit: bool = False

    def __str__(self) -> str:
        return self.name


DEEP = '{"a":' * 1023 + "[1]" + "}" * 1023
CASES = [
    Case("a string", '{"a":"b"}', "/a", "b"),
    Case("an empty string", '{"a":""}', "/a", ""),
    Case("nothing there", '{"a":1}', "/b", None),
    Case("null", '{"a":null}', "/a", None),
    Case("null with a type", '{"a":null}', "/a", None, pa.int64()),
    Case("a path through a string", '{"a":"b"}', "/a/b", None),
    Case("a path through null", '{"a":null}', "/a/b", None),
    Case("the empty key", '{"":{"":1}}', "//", "1"),
    Case("the payload itself", '{ "a" : [ 1 , "b c" ] }', "", '{"a":[1,"b c"]}'),
    Case("a slash and a tilde in a key", '{"a/b":{"~":1,"~1":2}}', "/a~1b/~0", "1"),
    Case("a tilde before a one", '{"a/b":{"~":1,"~1":2}}', "/a~1b/~01", "2"),
    Case("an escape in a key", r'{"\u0061\/\"":1}', '/a~1"', "1"),
    Case("a key that ends as another one", '{"xa":1,"a":2,"ax":3}', "/a", "2"),
    Case("a long key", '{"aaaaaaaaaaaa":1,"aaaaaaaaaaab":2}', "/aaaaaaaaaaab", "2"),
    Case("a key in capital letters", '{"A":1}', "/a", None),
    Case("an emoji as a key", r'{"\ud83c\udf81":1}', "/🎁", "1"),
    Case("an element", '{"a":[1,{"b":2},[3,4]]}', "/a/1/b", "2"),
    Case("an element of an element", '{"a":[1,{"b":2},[3,4]]}', "/a/2/1", "4"),
    Case("an element beyond the last", '{"a":[1]}', "/a/1", None),
    Case("the element behind the last", '{"a":[1]}', "/a/-", None),
    Case("a number with a zero in front", '{"a":[1,2]}', "/a/01", None),
    Case("a number that is no element's", '{"a":[1,2]}', "/a/+1", None),
    Case("no element of an empty array", '{"a":[],"b":1}', "/a/0", None),
    Case("a number as a key", '{"a":{"0":1,"01":2}}', "/a/01", "2"),
    Case("the last of two", '{"a":1,"a":2}', "/a", "2"),
    Case("the last of two, which is null", '{"a":1,"a":null}', "/a", None),
    Case("the last of two has nothing there", '{"a":{"b":1},"a":{"c":2}}', "/a/b", None),
    Case("the last of two is a string", '{"a":{"b":1},"a":"x"}', "/a/b", None),
    Case("the last of two has less of it", '{"a":{"b":{"c":1}},"a":{"b":{}}}', "/a/b/c", None),
    Case("the last of two, written otherwise", r'{"a":1,"\u0061":2}', "/a", "2"),
    Case("an element of the last of two", '{"a":[1,2],"a":[3]}', "/a/1", None),
    Case("a number as it is written", '{"a":1.50E+02}', "/a", "1.50E+02"),
    Case(
        "a large integer as it is written",
        '{"a":123456789012345678901234567890}',
        "/a",
        "1" + "23456789012345678901234567890",
    ),
    Case("words", '{"a":true}', "/a", "true"),
    Case("an object without blanks", '{"a": {"b" : [ 1,\t"x y" ,\r\n{} ] } }', "/a", '{"b":[1,"x y",{}]}'),
    Case("an object as it is written", r'{"a":{"b":"\u0061\/","b":1}}', "/a", r'{"b":"\u0061\/","b":1}'),
    Case("escapes", r'{"a":"\"\\\/\b\f\n\r\té\u20ac\ud83c\udf81"}', "/a", '"\\/\b\f\n\r\té€🎁'),
    Case("NUL", r'{"a":"\u0000"}', "/a", "\0"),
    Case("half an emoji", r'{"a":"x\ud83d"}', "/a", None, misfit=True),
    Case("the other half", r'{"a":"\udf81x"}', "/a", None, misfit=True),
    Case("two other halves", r'{"a":"\udf81\udf81"}', "/a", None, misfit=True),
    Case("two first halves", r'{"a":"\ud83d\ud83d"}', "/a", None, misfit=True),
    Case("half an emoji and another escape", r'{"a":"\ud83d\n"}', "/a", None, misfit=True),
    Case("half an emoji in an object", r'{"a":{"b":"\ud83d"}}', "/a", r'{"b":"\ud83d"}'),
    Case("half an emoji elsewhere", r'{"\ud83d":"\ud83d","a":1}', "/a", "1"),
    Case("an integer", '{"a":-9223372036854775808}', "/a", -(2**63), pa.int64()),
    Case("an integer that is too small", '{"a":-9223372036854775809}', "/a", None, pa.int64(), True),
    Case("the largest", '{"a":18446744073709551615}', "/a", 2**64 - 1, pa.uint64()),
    Case("one more", '{"a":18446744073709551616}', "/a", None, pa.uint64(), True),
    Case("ten times as much", '{"a":99999999999999999999}', "/a", None, pa.uint64(), True),
    Case("one too many", '{"a":128}', "/a", None, pa.int8(), True),
    Case("one below nothing", '{"a":-1}', "/a", None, pa.uint8(), True),
    Case("minus nothing", '{"a":-0}', "/a", 0, pa.uint8()),
    Case("a fraction is no integer", '{"a":1.0}', "/a", None, pa.int64(), True),
    Case("an exponent is no integer", '{"a":1e2}', "/a", None, pa.int64(), True),
    Case("a number in a string is no integer", '{"a":"1"}', "/a", None, pa.int64(), True),
    Case("true is no integer", '{"a":true}', "/a", None, pa.int64(), True),
    Case("an array is no integer", '{"a":[1]}', "/a", None, pa.int64(), True),
    Case("a float", '{"a":0.1}', "/a", 0.1, pa.float64()),
    Case("a float with an exponent", '{"a":-1.5e-3}', "/a", -0.0015, pa.float64()),
    Case("a float that needs all digits", '{"a":0.30000000000000004}', "/a", 0.30000000000000004, pa.float64()),
    Case("a float that is halfway", '{"a":9007199254740993}', "/a", 9007199254740992.0, pa.float64()),
    Case("a float of 56 bits", '{"a":7319426012139375.3}', "/a", 7319426012139375.0, pa.float64()),
    Case("a float of 57 bits", '{"a":73194260121393753e-1}', "/a", 7319426012139375.0, pa.float64()),
    Case("the 23rd power", '{"a":3e-23}', "/a", 3e-23, pa.float64()),
    Case("the other 23rd power", '{"a":7e23}', "/a", 7e23, pa.float64()),
    Case("a small float", '{"a":5e-324}', "/a", 5e-324, pa.float64()),
    Case("too large a float", '{"a":-1e400}', "/a", -math.inf, pa.float64()),
    Case("an integer as a float", '{"a":7}', "/a", 7.0, pa.float64()),
    Case("a narrow float", '{"a":0.1}', "/a", 0.10000000149011612, pa.float32()),
    Case("a number in a string is no float", '{"a":"1"}', "/a", None, pa.float64(), True),
    Case("true", '{"a":true}', "/a", True, pa.bool_()),
    Case("false", '{"a":false}', "/a", False, pa.bool_()),
    Case("a number is no bool", '{"a":1}', "/a", None, pa.bool_(), True),
    Case("a word in a string is no bool", '{"a":"true"}', "/a", None, pa.bool_(), True),
    Case("an object is no bool", '{"a":{"b":true}}', "/a", None, pa.bool_(), True),
    Case("a string with a type", '{"a":"b"}', "/a", "b", pa.string()),
    Case("blanks all around", ' \t\r\n{ \n"a" \r: \t1 } \n', "/a", "1"),
    Case("blanks and a line break in the log", '{\n"a":\n"b\\nc"\n}', "/a", "b\nc"),
    Case("an empty array is an empty object", "[]", "", "{}"),
    Case("null is an empty object", " null ", "", "{}"),
    Case("an array", "[1]", "/0", None),
    Case("a number alone", "1", "", None),
    Case("a string alone", '"a"', "", None),
    Case("as deep as it goes", DEEP, "/a" * 1023 + "/0", "1"),
    Case("too deep", DEEP.replace("[1]", "[[1]]"), "", None),
    Case("the most digits", '{"a":%s}' % ("9" * 4300), "/a", "9" * 4300),
    Case("too many digits elsewhere", '{"a":1,"b":-%s}' % ("9" * 4301), "/a", None),
    Case("as many behind a point", '{"a":1,"b":1.%s}' % ("9" * 4301), "/a", "1"),
    *(
        Case(f"not JSON: {broken}", broken, "/a", None)
        for broken in (
            *('{"a":1', '{"a":1}}', '{"a":1} {}', '{"a":1,}', '{"a":1,"b"}', '{"a":1 "b":2}', '{"a":1,"b":2 3}'),
            *('{"a":1,"b":tru e}', '{"a":1,"b":nul}', '{"a":1,"b":NaN}', '{"a":1,"b":-}', '{"a":1,"b":01}'),
            *(
                '{"a":1,"b":1.}',
                '{"a":1,"b":.5}',
                '{"a":1,"b":+1}',
                '{"a":1,"b":1e}',
                '{"a":1,"b":[1}',
                '{"a":1,"b":{]}',
            ),
            *('{"a":1,"b":[,1]}', '{"a":1,"b":"\\x"}', '{"a":1,"b":"\\u12g4"}', '{"a":1,"b":"\t"}', '{"a":1,"b":"x}'),
            *("{'a':1}", '{"a":1,b:2}', '{"a":1,"b":"x"y}', '{"a":1,"b":x"y"}', '{"a":1,"b":[1 2]}', '{"a":1,"b":\\"}'),
            *(
                '{"a":1,"b":"\\u00',
                '{"a":1,"b"::2}',
                '{"a":1,2:3}',
                '{"a":1,null:3}',
                "\ufeff" + '{"a":1}',
                '{"a":1}\0',
            ),
            *('{"a":1,"b":[1]2}', '{"a":1,"b":{}"c":2}', '{"a":1,"b":""""}', '{"a":1,"b":1"2"}', '{"a":1,"b":"1"2}'),
        )
    ),
]


def log_of(payloads: Sequence[str]) -> bytes:
    row = ("2021-04-20 13:01:01", "T-1", "u", "h", "sent", "", "A-1")
    return H8 + b"".join(encode_row((*row, payload), "rfc4180") for payload in payloads)


def read(payloads: Sequence[str], columns: PayloadColumns, **options: Any) -> tuple[pa.Table, int]:
    """The payload columns, and the number of misfits."""
    with trackparse.open_log(log_of(payloads), columns=[], payload_columns=columns, **options) as log:
        table = log.read_all()
        table.validate(full=True)
        assert table.schema == log.schema
        return table, log.stats.misfits


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_case(case: Case, kernel: str) -> None:
    asked = case.pointer if case.type is None else (case.pointer, case.type)
    table, misfits = read([case.payload], {"found": asked})
    assert table["found"].to_pylist() == [case.found]
    assert table.schema.field("found").type == (case.type or pa.string())
    assert misfits == case.misfit


@pytest.mark.parametrize("case", [case for case in CASES if case.type != pa.float32()], ids=str)
def test_a_case_is_what_the_event_says(case: Case) -> None:
    keys = [key.replace("~1", "/").replace("~0", "~") for key in case.pointer.split("/")[1:]]
    kind = {None: "t", pa.string(): "t", pa.bool_(): "?", pa.float64(): "d"}.get(case.type)
    kind = kind or {"int8": "b", "int64": "q", "uint8": "B", "uint64": "Q"}[str(case.type)]
    value, misfit = expected(looked_up(case.payload.encode(), keys), kind)
    assert same(case.found, value, kind)
    assert misfit == case.misfit


def check(payloads: Sequence[bytes], wanted: Sequence[Wanted]) -> int:
    """Hold the columns against the events; how many values are not null."""
    found = 0
    columns = chosen_kernel.payload_columns([payload_run(payloads)], list(wanted))
    for (keys, kind), column in zip(wanted, columns, strict=True):
        values = values_of(column, kind, len(payloads))
        misfits = 0
        for payload, ours in zip(payloads, values, strict=True):
            value, misfit = expected(looked_up(payload, [key.decode() for key in keys]), kind)
            assert same(ours, value, kind), (payload, keys, kind, ours, value)
            misfits += misfit
        assert (column.misfits, column.nulls) == (misfits, values.count(None))
        found += len(values) - values.count(None)
    return found


def test_payloads_at_random_hold_what_events_say() -> None:
    dice = random.Random(1)
    rounds = 200 // SLOW
    found = sum(check([random_payload(dice) for _ in range(8)], random_wanted(dice)) for _ in range(rounds))
    assert found > 2 * rounds


@given(st.lists(JSON_TEXTS, max_size=6), st.lists(st.sampled_from(["x", "a", "b", "é", "0", "1"]), max_size=3))
def test_any_json_holds_what_events_say(texts: list[str], keys: list[str]) -> None:
    wanted = [Wanted(tuple(key.encode() for key in keys[:depth]), kind) for depth in range(4) for kind in "t?qd"]
    check([text.encode(errors="ignore") for text in texts], wanted)


@given(st.text(st.characters(exclude_categories=["Cs"])), st.sampled_from(KEYS), st.booleans())
def test_any_string_comes_back(text: str, key: str, ascii_only: bool) -> None:
    pointer = "/" + key.replace("~", "~0").replace("/", "~1")
    table, misfits = read([json.dumps({key: text}, ensure_ascii=ascii_only)], {"found": pointer})
    assert (table["found"].to_pylist(), misfits) == ([text], 0)


@given(st.integers(-(2**70), 2**70) | st.integers(-300, 300), st.sampled_from("bhiqBHIQ"))
def test_an_integer_fits_or_is_counted(number: int, kind: str) -> None:
    check([b'{"a":%d}' % number], [Wanted((b"a",), kind)])


@given(st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["%r", "%.3f", "%e", "%.25e"]))
def test_any_float_comes_back(number: float, form: str) -> None:
    check([b'{"a":%s}' % (form % number).encode()], [Wanted((b"a",), "d"), Wanted((b"a",), "f")])


def test_zero_keeps_its_sign(kernel: str) -> None:
    table, _ = read(['{"a":-0.0}', '{"a":0.0}', "{}"], {"a": ("/a", pa.float64())})
    assert [str(value) for value in table["a"].to_pylist()] == ["-0.0", "0.0", "None"]


@pytest.mark.parametrize("again", ['"a":0', '"a":{"b":{"b":1}}', '"a":{"b":0},"a":{}', '"c":[[1]],"c":[2]'])
@pytest.mark.skipif(SLOW > 1, reason="the bar is that of the kernel in C")
def test_a_key_that_comes_again_and_again_costs_no_more(again: str) -> None:
    """What had been found below it was looked for among all pointers: 9 s for this megabyte."""
    payload = "{" + ",".join([again] * (900_000 // len(again))) + "}"
    keys = ["a", *["b"] * 300]
    columns = {"deep": "/" + "/".join(keys), **{f"{depth}": "/" + "/".join(keys[:depth]) for depth in range(1, 20)}}
    start = time.process_time()
    table, _ = read([payload], {**columns, "array": "/c/0"})
    spent = time.process_time() - start
    last = json.loads(payload)
    assert table["1"][0].as_py() == (json.dumps(last["a"], separators=(",", ":")) if "a" in last else None)
    assert table["2"][0].is_valid == ("b" in str(last.get("a")))
    assert table["array"][0].as_py() == ("2" if "c" in last else None)
    assert spent < 0.5


def test_a_value_at_every_place_of_a_step(kernel: str) -> None:
    """The kernel looks at 64 bytes at a time, and at 4,096 before it walks on."""
    sizes = [*range(130), *range(4020, 4170)] if kernel != "reference" else range(0, 130, 7)
    payloads = [f'{{"{"x" * size}":"\\\\","a":"\\u00e9\\n","b":[1, 2]}}' for size in sizes]
    table, misfits = read(payloads, {"a": "/a", "b": ("/b/1", pa.int64())})
    assert table["a"].to_pylist() == ["é\n"] * len(payloads)
    assert table["b"].to_pylist() == [2] * len(payloads)
    assert misfits == 0
    broken = [payload.replace("\\u00e9", "\\u00g9") for payload in payloads]
    assert read(broken, {"a": "/a"})[0]["a"].null_count == len(payloads)


def test_both_dialects_and_unquoted_payloads(kernel: str) -> None:
    payload = '{"a":"say \\"hi\\"","b":["\\\\"]}'
    row = ("2021-04-20 13:01:01", "T-1", "u", "h", "sent", "", "A-1", payload)
    log = H8 + encode_row(row, "php") + encode_row(row, "rfc4180") + line(b"{}") + line(b"") + line(b"[]") + line(b'""')
    table = trackparse.read_log(log, columns=["hwid"], payload_columns={"a": "/a", "b": "/b/0", "all": ""})
    assert table["a"].to_pylist() == ['say "hi"'] * 2 + [None] * 4
    assert table["b"].to_pylist() == ["\\"] * 2 + [None] * 4
    assert table["all"].to_pylist() == [payload, payload, "{}", None, "{}", None]


@pytest.mark.parametrize("block_size", [100, 20_000, 1 << 20])
def test_the_sample(block_size: int, kernel: str) -> None:
    with trackparse.open_log(LOG, columns=["status"], payload_columns=SAMPLE, block_size=block_size) as log:
        assert log.schema.names == ["status", "alert", "badge", "uid", "aps"]
        table = log.read_all()
        misfits = log.stats.misfits
    aps = [payload.get("aps") for payload in PAYLOADS]
    assert table["alert"].to_pylist() == [one and one["alert"] for one in aps]
    assert table["badge"].to_pylist() == [one and one.get("badge") for one in aps]
    assert [text and json.loads(text) for text in table["aps"].to_pylist()] == aps
    # There it is a number in a string.
    assert table["uid"].null_count == ROWS
    assert misfits == sum("md" in payload for payload in PAYLOADS) > ROWS // 2


def test_the_columns_of_the_log_are_as_they_would_be_without() -> None:
    given: list[dict[str, Any]] = [
        {},
        {"string_type": "string_view"},
        {"dictionary": ["status"]},
        {"columns": ["payload", "status"]},
    ]
    for options in given:
        plain = trackparse.read_log(LOG, **options)
        table = trackparse.read_log(LOG, payload_columns=SAMPLE, **options)
        assert table.column_names == [*plain.column_names, *SAMPLE]
        assert table.select(plain.column_names).equals(plain)


def test_a_filter_comes_first() -> None:
    where = trackparse.Filter(statuses=["delivered"])
    kept = [fields[4] == "delivered" for fields in sample_rows(ROWS)]
    with trackparse.open_log(LOG, columns=["status"], payload_columns=SAMPLE, where=where) as log:
        table = log.read_all()
        assert log.stats.filtered == kept.count(False)
        assert log.stats.misfits == sum(
            "md" in payload for payload, delivered in zip(PAYLOADS, kept, strict=True) if delivered
        )
    alerts = [payload.get("aps", {}).get("alert") for payload in PAYLOADS]
    assert table["alert"].to_pylist() == [alert for alert, delivered in zip(alerts, kept, strict=True) if delivered]


def test_a_log_without_payloads_has_nulls() -> None:
    table = trackparse.read_log(H6 + line6() + H8 + line(b'"{""a"":1}"'), payload_columns={"a": ("/a", pa.int32())})
    assert table["a"].to_pylist() == [None, 1]
    assert trackparse.read_log(H6, payload_columns={"a": "/a"}).schema.field("a").type == pa.string()


def test_a_name_of_a_column_that_is_not_asked_for_is_free() -> None:
    table = trackparse.read_log(H8 + line(b'"{""a"":1}"'), columns=["hwid"], payload_columns={"status": "/a"})
    assert table.to_pylist() == [{"hwid": "h", "status": "1"}]


def test_two_columns_of_one_value_and_columns_of_its_parts() -> None:
    table, misfits = read(['{"a":{"b":[5]}}'], {"1": "/a", "2": "/a", "3": ("/a/b/0", pa.int8()), "4": "/a/b"})
    assert table.to_pylist() == [{"1": '{"b":[5]}', "2": '{"b":[5]}', "3": 5, "4": "[5]"}]
    assert misfits == 0


def test_events_are_as_they_are_without() -> None:
    events = list(trackparse.iter_events(LOG, payload_columns=SAMPLE))
    assert events == list(trackparse.iter_events(LOG))


def test_no_payload_columns() -> None:
    plain = trackparse.read_log(LOG)
    assert trackparse.read_log(LOG, payload_columns=None).equals(plain)
    assert trackparse.read_log(LOG, payload_columns={}).equals(plain)


def test_other_libraries_take_them() -> None:
    with trackparse.open_log(LOG, columns=["status"], payload_columns=SAMPLE) as log:
        [found] = duckdb.execute("SELECT count(DISTINCT alert), max(badge) FROM log").fetchall()
    alerts = {payload["aps"]["alert"] for payload in PAYLOADS if payload}
    assert found == (len(alerts), max(payload.get("aps", {}).get("badge", 0) for payload in PAYLOADS))
    with trackparse.open_log(LOG, columns=["status"], payload_columns=SAMPLE) as log:
        assert pl.DataFrame(log)["alert"].drop_nulls().n_unique() == len(alerts)


@pytest.mark.parametrize("size", [77, 1 << 17])
def test_parquet_has_them(size: int, tmp_path: Path) -> None:
    columns: PayloadColumns = {**SAMPLE, "yes": ("/yes", pa.bool_()), "x": ("/x", pa.float32()), "uid text": "/md/uid"}
    options: Any = {"columns": ["status", "payload"], "payload_columns": columns}
    report = trackparse.convert_log(LOG, tmp_path / "log.parquet", row_group_size=size, **options)
    table = pq.read_table(tmp_path / "log.parquet")
    assert table.replace_schema_metadata(None).equals(trackparse.read_log(LOG, **options))
    assert report.misfits == report.to_dict()["misfits"] == sum("md" in payload for payload in PAYLOADS)
    metadata = pq.ParquetFile(tmp_path / "log.parquet").metadata.row_group(0)
    encodings = {metadata.column(i).path_in_schema: metadata.column(i).encodings for i in range(metadata.num_columns)}
    assert "RLE_DICTIONARY" in encodings["alert"]


def test_their_text_ends_a_row_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_groups, "_BATCH_BYTES", 10_000)
    monkeypatch.setattr(row_groups, "GROUP_BYTES", 1 << 20)
    log = log_of([json.dumps({"a": f"{number:0900}"}) for number in range(2000)])
    options: Any = {"columns": ["status"], "payload_columns": {"all": "", "a": "/a"}}
    trackparse.convert_log(log, tmp_path / "log.parquet", **options)
    metadata = pq.ParquetFile(tmp_path / "log.parquet").metadata
    assert metadata.num_row_groups == 4
    assert metadata.row_group(0).num_rows == pytest.approx((1 << 20) / 1815, rel=0.05)
    assert pq.read_table(tmp_path / "log.parquet")["a"].to_pylist() == [f"{number:0900}" for number in range(2000)]


def test_misfits_are_counted_as_they_come() -> None:
    counts: list[int] = []
    log = log_of(['{"a":"x"}'] * 100)
    options: Any = {"payload_columns": {"a": ("/a", pa.int64())}, "block_size": 500}
    with trackparse.open_log(log, **options, progress=lambda progress: counts.append(progress.stats.misfits)) as reader:
        rows = sum(batch.num_rows for batch in reader)
        assert reader.stats.misfits == rows == 100
    assert counts == sorted(counts)
    assert 0 < counts[len(counts) // 2] < 100
