"""``--payload``: columns out of payloads on the command line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import trackparse
from support.cli import csv_of, failed, good, with_text

PAYLOADS = (
    '{"aps":{"alert":"Привет \\"all\\""},"md":{"uid":7},"a:b":1,"a:int64":2,"on":true,"x":1e400}',
    '{"md":{"uid":"8"},"a:b":[1, 2],"on":1}',
    "",
)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return csv_of(tmp_path / "log.csv", *(with_text(payload=payload) for payload in PAYLOADS))


def test_parquet_has_the_columns_and_the_misfits_are_told(log: Path, tmp_path: Path) -> None:
    dest = tmp_path / "out.parquet"
    asked = ("--payload", "alert=/aps/alert", "--payload", "uid=/md/uid:int64", "--payload", "on=/on:bool")
    done = good("convert", log, "-o", dest, "--columns", "status", *asked)
    assert (
        done.stderr == f"trackparse: {log}: 2 values in payloads are null: not of the type asked for with --payload\n"
    )
    table = pq.read_table(dest)
    assert table.schema.types == [pa.string(), pa.string(), pa.int64(), pa.bool_()]
    assert table.to_pylist() == [
        {"status": "sent", "alert": 'Привет "all"', "uid": 7, "on": True},
        {"status": "sent", "alert": None, "uid": None, "on": None},
        {"status": "sent", "alert": None, "uid": None, "on": None},
    ]


def test_several_logs_at_a_time_have_them_too(log: Path, tmp_path: Path) -> None:
    other = csv_of(tmp_path / "other.csv", with_text(payload='{"md":{"uid":9}}'))
    good("convert", log, other, "--jobs", 2, "--payload", "uid=/md/uid:uint8")
    assert pq.read_table(tmp_path / "other.parquet")["uid"].to_pylist() == [9]
    assert pq.read_table(tmp_path / "log.parquet")["uid"].to_pylist() == [7, None, None]


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("x=/a:b", ["1", "[1,2]", None]),  # "b" is no type, so it is part of the key
        ("x=/a:int64", [None, None, None]),
        ("x=/a:int64:string", ["2", None, None]),
        ("x=/a:int64:int8", [2, None, None]),
        ("x=y=/md/uid", None),
        ("x=/md/uid:float32", [7.0, None, None]),
        ("x=/x:float64", [None, None, None]),  # JSON has no word for what is too large
        ("x=/md", ['{"uid":7}', '{"uid":"8"}', None]),
        ("x=:bool", [None, None, None]),
    ],
)
def test_what_stands_behind_the_last_colon_is_a_type_if_it_is_one(asked: str, found: list[object], log: Path) -> None:
    if found is None:
        assert "expected NAME=/KEY/KEY" in failed(2, "cat", log, "--payload", asked)
        return
    lines = [json.loads(line) for line in good("cat", log, "--columns", "hwid", "--payload", asked).stdout.splitlines()]
    assert [list(line) for line in lines] == [["hwid", "x"]] * 3
    assert [line["x"] for line in lines] == found


def test_the_whole_payload(log: Path) -> None:
    line = good("cat", log, "--columns", "hwid", "--payload", "all=").stdout.splitlines()[0]
    assert json.loads(json.loads(line)["all"]) == json.loads(PAYLOADS[0])


def test_csv_has_them(log: Path) -> None:
    text = good("cat", log, "--format", "csv", "--columns", "hwid", "--payload", "n=/md/uid:int8").stdout
    assert list(csv.reader(io.StringIO(text))) == [["hwid", "n"], ["hwid", "7"], ["hwid", ""], ["hwid", ""]]


@pytest.mark.parametrize(
    "asked", ["alert", "=/a", "alert=aps/alert", "alert=/a~b", "alert=/a~", "alert=:", "alert=/a~2"]
)
def test_what_is_no_pointer_is_refused(asked: str, log: Path) -> None:
    message = " ".join(failed(2, "cat", log, "--payload", asked).split())
    assert f"{asked!r}: expected NAME=/KEY/KEY or NAME=/KEY/KEY:TYPE, such as alert=/aps/alert" in message


def test_names_that_are_taken_are_refused(log: Path) -> None:
    twice = failed(2, "cat", log, "--payload", "a=/a", "--payload", "a=/b")
    assert "'a=/b': there is a column 'a' already" in twice
    known = failed(2, "cat", log, "--payload", "status=/a")
    assert "payload column 'status': the log has a column of this name: take another one" in known


@pytest.mark.parametrize(("word", "noted"), [("integer", True), ("Int64", True), ("int65", True), ("source", False)])
def test_a_word_that_may_be_meant_as_a_type_is_named(word: str, noted: bool, tmp_path: Path) -> None:
    log = csv_of(tmp_path / "log.csv", with_text(payload=json.dumps({f"uid:{word}": 7})))
    result = good("cat", log, "--columns", "hwid", "--payload", f"uid=/uid:{word}")
    assert json.loads(result.stdout)["uid"] == "7"
    said = f"trackparse: --payload uid=/uid:{word}: {word!r} is not a type, so it is taken as part of the key; "
    assert result.stderr.startswith(said) is noted
    assert bool(result.stderr) is noted


@pytest.mark.parametrize("command", ["convert", "cat"])
def test_a_column_without_any_value_is_named(command: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = csv_of(tmp_path / "log.csv", *[with_text(payload='{"md":{"uid":"x"}}')] * 3)
    columns = ["--payload", "a=/md/uid", "--payload", "b=/md/uit", "--payload", "c=/md/uid:int64"]
    result = good(command, log, *columns)
    said = "the payload column 'b' is null in all records: none has a value at '/md/uit'"
    assert [line for line in result.stderr.splitlines() if "payload column" in line] == [f"trackparse: {log}: {said}"]
    trackparse.read_log(log, payload_columns={"n": "/md/n:int16", "on": "/md/on:bool"})
    assert "none has a value at '/md/n:int16'; with a type it is ('/md/n', pyarrow.int16())" in caplog.text
    assert "none has a value at '/md/on:bool'; with a type it is ('/md/on', pyarrow.bool_())" in caplog.text
    # One record with a value is enough; so is a log without a record.
    csv_of(log, with_text(payload="{}"), with_text(payload='{"md":{"uit":1}}'))
    assert good(command, log, "--payload", "b=/md/uit").stderr == ""
    csv_of(log)
    assert good(command, log, "--payload", "b=/md/uit").stderr == ""
