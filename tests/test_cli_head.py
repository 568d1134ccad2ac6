"""``trackparse head``, ``schema`` and ``sample``."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import pytest

import trackparse
from support.cli import ROW, csv_of, ended, good, with_bad, with_text
from support.service import sample
from trackparse import Event
from trackparse.cli.head import _lines
from trackparse.testing.sample import COLUMNS, sample_rows, write_sample


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.zip"
    path.write_bytes(sample(3_000))
    return path


def test_head_prints_ten_events_in_columns(log: Path) -> None:
    lines = good("head", log).stdout.splitlines()
    assert len(lines) == 11
    assert lines[0].split() == list(COLUMNS)
    column = lines[0].index("status")
    truth = list(sample_rows(10))
    assert [line[column:].split()[0] for line in lines[1:]] == [row[4] for row in truth]
    assert [line[:19] for line in lines[1:]] == [row[0] for row in truth]


def test_a_ninth_known_column_would_be_printed_as_the_others(log: Path) -> None:
    class Wider(NamedTuple):
        first: str
        payload: object
        ninth: str | None

    with trackparse.open_log(log) as reader:
        payload = next(event.payload for event in reader.events() if event.payload)
    events = iter([Wider("a", payload, "z" * 50), Wider("b", None, None)])
    lines = [*_lines(["first", "payload", "ninth", "unknown"], events)]  # type: ignore[arg-type]
    assert lines[0].split() == ["first", "payload", "ninth"]
    assert payload.text[:70] in lines[1]
    assert lines[1].endswith(f"{'z' * 12}…{'z' * 11}")
    assert lines[2] == "b"


def test_head_prints_as_many_as_asked_for(log: Path) -> None:
    assert good("head", log, "-n", "0").stdout == ""
    assert len(good("head", log, "-n", "250").stdout.splitlines()) == 251
    assert len(good("head", log, "-n", "99999").stdout.splitlines()) == 3_001
    assert len(good("head", log, "-n", "250", "--json").stdout.splitlines()) == 250


def test_head_prints_the_first_that_meet_a_filter(log: Path) -> None:
    wanted = [row for row in sample_rows(3_000) if row[4] == "failed" and row[0] >= "2021-04-20 00:01:30"][:3]
    filters = ["--status", "failed", "--since", "2021-04-20 00:01:30"]
    lines = good("head", log, "-n", "3", "--json", *filters).stdout.splitlines()
    assert [json.loads(line)["hwid"] for line in lines] == [row[3] for row in wanted]
    assert [line[:19] for line in good("head", log, "-n", "3", *filters).stdout.splitlines()[1:]] == [
        row[0] for row in wanted
    ]


def test_head_prints_every_script_as_it_is(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "log.csv", ROW)
    assert "Привет 🔥" in good("head", path).stdout
    assert "Привет 🔥" in good("head", path, "--json").stdout


def test_a_log_can_neither_break_lines_nor_steer_the_terminal(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "log.csv", with_text(description="a\nb\x1b[2Jc\x9b"))
    out = good("head", path).stdout
    assert "a\\nb\\x1b[2Jc\\x9b" in out
    assert "\x1b" not in out
    assert out.count("\n") == 2


def test_head_leaves_bad_records_out_and_says_so(tmp_path: Path) -> None:
    result = good("head", with_bad(tmp_path / "log.csv"), "-n", "5")
    assert len(result.stdout.splitlines()) == 6
    assert result.stderr.startswith("trackparse: 1 bad record ")


def test_head_prints_what_stands_before_the_damage(log: Path) -> None:
    log.write_bytes(log.read_bytes()[:-5_000])
    result = ended(1, "head", log, "-n", "100000", "--json")
    assert len(result.stdout.splitlines()) > 10
    assert result.stderr.count("\n") == 1


def test_head_of_the_older_generation_has_no_app_and_no_payload(tmp_path: Path) -> None:
    path = tmp_path / "old.zip"
    write_sample(path, rows=5, columns=6)
    fields = json.loads(good("head", path, "-n", "1", "--json").stdout)
    assert fields["appCode"] is None
    assert fields["payload"] is None


def test_schema_prints_columns_and_types(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(b"//timestamp;tracking_code;re\x1bgion\n")
    lines = [line.split() for line in good("schema", path).stdout.splitlines()]
    assert lines[0] == ["timestamp", "timestamp[us]"]
    assert [name for name, _ in lines] == [*COLUMNS, "re\\x1bgion"]
    columns = json.loads(good("schema", path, "--json").stdout)
    assert list(columns) == [*COLUMNS, "re\x1bgion"]
    assert columns["payload"] == "string"


def test_sample_writes_what_the_library_writes(tmp_path: Path) -> None:
    out, wanted = tmp_path / "out.zip", tmp_path / "wanted.zip"
    result = good("sample", out, "--rows", "100", "--dialect", "rfc4180", "--seed", "4")
    write_sample(wanted, rows=100, dialect="rfc4180", seed=4)
    assert out.read_bytes() == wanted.read_bytes()
    assert result.stdout.startswith(f"{out}: 100 rows, ")
    assert "missing" in ended(1, "sample", tmp_path / "missing" / "out.zip", "--rows", "1").stderr


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["lines", "json"])
def test_more_rows_than_any_log_has(form: list[str], tmp_path: Path) -> None:
    log = csv_of(tmp_path / "log.csv", ROW * 3)
    assert good("head", log, "-n", str(10**30), *form).stdout == good("head", log, *form).stdout


def test_long_values_are_shortened_as_they_come() -> None:
    def events() -> Iterator[Event]:
        for number in range(60):
            text = str(number) * (1 << 20)
            yield Event(datetime(2021, 4, 20), "T", "t", "h", "sent", text, None, None)

    tracemalloc.start()
    lines = list(_lines(("timestamp", "tracking_code", "target_id", "hwid", "status", "description"), events()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(lines) == 61
    assert peak < 20 << 20
