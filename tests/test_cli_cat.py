"""``trackparse cat``: what other programs read of it."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import csv as arrow_csv

from support.cli import HEADER, ROW, csv_of, ended, failed, good, with_bad, with_text
from support.kernels import SLOW
from trackparse.testing.sample import COLUMNS, encode_row, sample_rows, write_sample

OLD = b"//timestamp;tracking_code;target_id;hwid;status;description\n2011-01-01T15:03:01.012345;T;u;h;created;\n"
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8) | st.sampled_from(
    ['"', '""', 'a"b', "\r", "\r\n", "\n", ",", ";", "'", "\ufeff", "\u2028", "null", "NULL", "NaN", "=1+1", "😀", " "]
)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cat") / "log.zip"
    write_sample(path, rows=3_000)
    return path


def csv_rows(data: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(), newline=""), strict=True))


def test_json_lines_hold_every_field_and_the_payload_as_an_object(log: Path) -> None:
    lines = good("cat", log).stdout_bytes.split(b"\n")
    assert lines.pop() == b""
    for line, row in zip(lines, sample_rows(3_000), strict=True):
        fields = json.loads(line)
        assert list(fields) == list(COLUMNS)
        assert fields["timestamp"] == f"{row[0]}.000000"
        assert [fields[name] for name in COLUMNS[1:7]] == list(row[1:7])
        assert fields["payload"] == (json.loads(row[7]) if row[7] else None)


@pytest.mark.parametrize("payload", ["{broken", "[1]", '"text"', "1", "nan"])
def test_a_payload_that_is_no_object_is_a_text(payload: str, tmp_path: Path) -> None:
    path = csv_of(tmp_path / "log.csv", with_text(payload=payload))
    assert json.loads(good("cat", path).stdout)["payload"] == payload


def test_a_payload_keeps_its_digits_and_takes_one_line(tmp_path: Path) -> None:
    payload = '{"big": 123456789012345678901234567890,\r\n "pi": 3.14159265358979323846264, "twice": 1, "twice": 2}'
    line = good("cat", csv_of(tmp_path / "log.csv", with_text(payload=payload))).stdout
    assert line.count("\n") == 1
    assert line.endswith(payload.replace("\r\n", "  ") + "}\n")


def test_csv_holds_what_the_log_holds(log: Path) -> None:
    header, *rows = csv_rows(good("cat", log, "--format", "csv").stdout_bytes)
    assert header == list(COLUMNS)
    assert rows == [[f"{row[0]}.000000", *row[1:]] for row in sample_rows(3_000)]


@settings(max_examples=60 // SLOW)
@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), min_size=1, max_size=4))
def test_csv_comes_back_through_the_readers_of_others(texts: list[tuple[str, str, str]]) -> None:
    rows = [with_text(target_id=target, description=description, payload=text) for target, description, text in texts]
    data = HEADER + b"".join(encode_row(row, "rfc4180") for row in rows)
    out = good("cat", "-", "--format", "csv", "--dialect", "rfc4180", stdin=data).stdout_bytes
    assert csv_rows(out)[1:] == [[f"{row[0]}.000000", *row[1:]] for row in rows]
    text_types = dict.fromkeys(COLUMNS[1:], pa.string())
    table = arrow_csv.read_csv(
        io.BytesIO(out),
        parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
        convert_options=arrow_csv.ConvertOptions(
            column_types=text_types, strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    )
    assert table["timestamp"].to_pylist() == [datetime.fromisoformat(row[0]) for row in rows]
    for number, name in enumerate(COLUMNS[1:7], start=1):
        assert table[name].to_pylist() == [row[number] for row in rows]
    # What is absent is no empty text.
    assert table["payload"].to_pylist() == [row[7] or None for row in rows]


def test_csv_of_a_log_without_records_has_its_header_line(tmp_path: Path) -> None:
    assert csv_rows(good("cat", csv_of(tmp_path / "log.csv"), "--format", "csv").stdout_bytes) == [list(COLUMNS)]
    assert good("cat", tmp_path / "log.csv").stdout == ""


def test_several_logs_are_one_stream_with_one_header_line(log: Path, tmp_path: Path) -> None:
    old = tmp_path / "old.csv"
    old.write_bytes(OLD)
    out = good("cat", log, old, "--format", "csv", "--columns", "status,timestamp").stdout_bytes
    assert len(csv_rows(out)) == 3_002
    assert csv_rows(out)[0] == ["status", "timestamp"]
    assert csv_rows(out)[-1] == ["created", "2011-01-01 15:03:01.012345"]


def test_columns_that_do_not_fit_below_the_header_line_are_an_error(tmp_path: Path) -> None:
    plain = csv_of(tmp_path / "plain.csv", ROW)
    wide = tmp_path / "wide.csv"
    wide.write_bytes(HEADER[:-1] + b";region\n" + encode_row((*ROW, "north")))
    result = ended(1, "cat", plain, wide, plain.rename(tmp_path / "again.csv"), "--format", "csv")
    assert "--columns" in result.stderr
    assert len(csv_rows(result.stdout_bytes)) == 2
    # A line of JSON says itself which columns it has.
    assert json.loads(good("cat", wide).stdout)["region"] == "north"


def test_one_bad_log_does_not_stop_the_others(log: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.zip"
    damaged.write_bytes(log.read_bytes()[:-5_000])
    result = ended(1, "cat", damaged, tmp_path / "missing.zip", log)
    assert len(result.stdout.splitlines()) > 3_000
    assert result.stderr.count("\n") == 2


def test_bad_records_are_left_out_and_counted_or_end_it(tmp_path: Path) -> None:
    log = with_bad(tmp_path / "log.csv")
    result = good("cat", log)
    assert len(result.stdout.splitlines()) == 500
    assert result.stderr == f"trackparse: {log}: 1 bad record left out\n"
    strict = ended(3, "cat", log, "--strict")
    assert len(strict.stdout.splitlines()) == 2
    assert "line 4" in strict.stderr


def test_filters_say_which_records(log: Path) -> None:
    truth = list(sample_rows(3_000))
    code, app = truth[0][1], truth[-1][6]

    def hwids(*options: str) -> list[str]:
        return [json.loads(line)["hwid"] for line in good("cat", log, *options).stdout_bytes.splitlines()]

    assert hwids("--status", "opened", "--status", "failed") == [r[3] for r in truth if r[4] in ("opened", "failed")]
    assert hwids("--code", code) == [r[3] for r in truth if r[1] == code]
    assert hwids("--app", app, "--status", "sent") == [r[3] for r in truth if r[6] == app and r[4] == "sent"]
    start, end = "2021-04-20 00:00:20", "2021-04-20 00:00:40"
    assert hwids("--since", start, "--until", end) == [r[3] for r in truth if start <= r[0] < end]
    assert hwids("--since", "2021-04-21") == []


def test_a_column_that_is_none_is_an_error(log: Path) -> None:
    assert "'status'?" in failed(2, "cat", log, "--columns", "statsu")


def test_no_text_is_quoted_in_vain_or_left_bare(tmp_path: Path) -> None:
    """pyarrow quotes texts and leaves numbers, times and what is absent: the difference of "" and nothing."""
    out = good("cat", csv_of(tmp_path / "log.csv", with_text(payload="", description="")), "--format", "csv").stdout
    assert out.splitlines()[1] == '2021-04-20 13:01:01.000000,"T-1","target","hwid","sent","","A-1",'
    assert pc.is_null(arrow_csv.read_csv(io.BytesIO(out.encode()))["payload"]).to_pylist() == [True]


def test_a_file_called_as_standard_input_is_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    csv_of(tmp_path / "-", ROW)
    monkeypatch.chdir(tmp_path)
    assert good("cat", "-", "./-", stdin=(tmp_path / "-").read_bytes()).stdout.count("T-1") == 2
