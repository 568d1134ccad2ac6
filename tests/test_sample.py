"""The sample log is what it says it is: its bytes, its truth, its order in time."""

from __future__ import annotations

import csv
import io
import json
import time
import zipfile
from collections import defaultdict
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import trackparse
from support.php_logs import php_log, php_zip, requires_php
from trackparse.cli import cli
from trackparse.testing.sample import COLUMNS, encode_row, sample_rows, write_sample

HEADER = "//timestamp;tracking_code;target_id;hwid;status;description;appCode;payload\n"
STEPS = {"created": 0, "sent": 1, "delivered": 2, "failed": 2, "opened": 3}


def sample_zip(**arguments: Any) -> bytes:
    dest = io.BytesIO()
    write_sample(dest, **arguments)
    return dest.getvalue()


def member_of(archive: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.namelist() == ["tracking_log.csv"]
        return opened.read("tracking_log.csv")


@pytest.mark.parametrize("dialect", ["php", "rfc4180"])
@pytest.mark.parametrize("columns", [8, 6])
def test_the_archive_holds_the_header_and_the_encoded_truth(dialect: Any, columns: Any) -> None:
    rows = list(sample_rows(5_000, 3, columns=columns))
    assert {len(row) for row in rows} == {columns}
    wanted = f"//{';'.join(COLUMNS[:columns])}\n".encode()
    wanted += b"".join(encode_row(row, dialect) for row in rows)
    assert member_of(sample_zip(rows=5_000, dialect=dialect, seed=3, columns=columns)) == wanted


def test_the_header_is_that_of_the_log() -> None:
    assert member_of(sample_zip(rows=0)) == HEADER.encode()


def test_the_same_arguments_give_the_same_bytes_whenever_they_are_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = sample_zip(rows=1_000, seed=5)
    later = time.time() + 1e8
    monkeypatch.setattr(time, "time", lambda: later)
    assert sample_zip(rows=1_000, seed=5) == before
    assert sample_zip(rows=1_000, seed=6) != before


def test_more_rows_go_on_where_fewer_end() -> None:
    assert list(sample_rows(2_000))[:700] == list(sample_rows(700))


@pytest.mark.parametrize("rows", [0, 1, 4_096, 4_097])
def test_there_are_as_many_rows_as_asked_for(rows: int) -> None:
    assert sum(1 for _ in sample_rows(rows)) == rows
    log = member_of(sample_zip(rows=rows, dialect="rfc4180")).decode()
    assert sum(1 for _ in csv.reader(io.StringIO(log), delimiter=";")) == rows + 1


def test_rfc4180_is_read_back_by_the_csv_module() -> None:
    log = member_of(sample_zip(rows=3_000, dialect="rfc4180")).decode()
    read = list(csv.reader(io.StringIO(log, newline=""), delimiter=";", strict=True))[1:]
    assert [tuple(row) for row in read] == list(sample_rows(3_000))


def test_an_event_of_a_device_follows_the_one_before_it() -> None:
    last = ""
    steps: dict[tuple[str, str], int] = defaultdict(lambda: -1)
    statuses: dict[str, int] = defaultdict(int)
    for row in sample_rows(60_000):
        stamp, code, _, hwid, status = row[:5]
        assert stamp >= last
        assert STEPS[status] == steps[code, hwid] + 1
        last, steps[code, hwid] = stamp, STEPS[status]
        statuses[status] += 1
    assert statuses["sent"] > statuses["delivered"] > statuses["opened"] > statuses["failed"] > 0
    assert statuses.keys() == STEPS.keys()


@pytest.mark.parametrize("columns", [8, 6])
@pytest.mark.parametrize("rows", [1, 200, 20_000])
def test_the_rows_of_a_dated_log_fill_its_day_in_order(rows: int, columns: Any) -> None:
    made = list(sample_rows(rows, 2, columns=columns, date=date(2024, 2, 29)))
    stamps = [row[0] for row in made]
    assert len(stamps) == rows
    assert stamps == sorted(stamps)
    assert {stamp[:10] for stamp in stamps} == {"2024-02-29"}
    if rows == 20_000:
        assert {stamp[11:13] for stamp in stamps} > {f"{hour:02}" for hour in range(20)}
        assert {row[4] for row in made} == STEPS.keys()


def test_days_have_the_same_apps_and_devices_and_other_messages() -> None:
    first, second = (list(sample_rows(5_000, date=date(2026, 3, day))) for day in (1, 2))
    assert {row[6] for row in first} & {row[6] for row in second}
    assert len({row[3] for row in first} & {row[3] for row in second}) > 10
    assert not {row[1] for row in first} & {row[1] for row in second}


def test_the_command_writes_a_log_for_each_day(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "logs"
    command = ["sample", str(folder), "--days", "3", "--date", "2026-03-01", "--rows", "200"]
    done = CliRunner().invoke(cli, command)
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert (done.exit_code, done.output) == (0, f"{folder}: 3 logs of 200 rows each, {size / 1e3:.1f} kB\n")
    assert sorted(path.name for path in folder.iterdir()) == ["2026-02-27.zip", "2026-02-28.zip", "2026-03-01.zip"]
    for path in folder.iterdir():
        day = date.fromisoformat(path.stem)
        assert path.read_bytes() == sample_zip(rows=200, date=day)
        assert trackparse.read_log(path)["timestamp"].cast("date32").unique().to_pylist() == [day]
    one = tmp_path / "one.zip"
    assert CliRunner().invoke(cli, ["sample", str(one), "--date", "2026-03-01", "--rows", "200"]).exit_code == 0
    assert one.read_bytes() == (folder / "2026-03-01.zip").read_bytes()


@pytest.mark.parametrize(
    ("more", "word"), [(["--days", "0"], "--days"), (["--days", "800000"], "--days"), (["--date", "1.3."], "--date")]
)
def test_days_that_do_not_exist_are_a_usage_error(more: list[str], word: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["sample", str(tmp_path / "logs"), "--rows", "1", *more])
    assert done.exit_code == 2
    assert word in done.output
    assert not (tmp_path / "logs").exists()


def test_the_rows_are_like_those_of_a_log() -> None:
    rows = list(sample_rows(60_000))
    assert 330 < sum(len(encode_row(row)) for row in rows) / len(rows) < 400
    assert len({row[6] for row in rows}) == 12
    assert 10_000 < len({row[3] for row in rows}) <= 20_000
    assert len({row[0] for row in rows}) < len(rows) / 10
    assert 0.5 < sum(row[2] == row[3] for row in rows) / len(rows) < 0.9
    texts = {row[7] for row in rows}
    payloads = [json.loads(text) for text in texts if text]
    assert len(texts) > 10_000
    assert all(payload["aps"]["alert"] and payload["md"]["uid"].isdecimal() for payload in payloads)
    for piece in ('\\"', "\\/", "\\u04", "Доставка", "🔥", "\\ud83d", "\\n"):
        assert any(piece in text for text in texts), piece
    assert "" in texts
    assert {"", "Success"} < {row[5] for row in rows}


def test_a_dialect_that_is_not_known_is_not_taken_for_another_one() -> None:
    with pytest.raises(ValueError, match="dialect is 'PHP': expected 'php' or 'rfc4180'"):
        encode_row(("a", "b"), "PHP")  # type: ignore[arg-type]


def test_too_many_rows_for_a_day_are_wrong_usage(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["sample", str(tmp_path / "x.zip"), "--rows", "1000001", "--date", "2021-04-20"])
    assert result.exit_code == 2
    assert result.stderr == "trackparse: rows is 1000001: expected 1,000,000 or fewer for one day\n"


@pytest.mark.parametrize(
    ("field", "php", "rfc4180"),
    [
        ("plain", "plain", "plain"),
        ("", "", ""),
        ("a b", '"a b"', '"a b"'),
        ("a;b", '"a;b"', '"a;b"'),
        ("a\\b", '"a\\b"', '"a\\b"'),
        ('a"b', '"a""b"', '"a""b"'),
        ('a\\"b', '"a\\"b"', '"a\\""b"'),
        ('a\\\\"b', '"a\\\\"b"', '"a\\\\""b"'),
        ('a\\""b', '"a\\"""b"', '"a\\""""b"'),
        ("end\\", '"end\\"', '"end\\"'),
        ("a\nb\rc\td", '"a\nb\rc\td"', '"a\nb\rc\td"'),
    ],
)
def test_a_field_is_quoted_as_its_writer_quotes_it(field: str, php: str, rfc4180: str) -> None:
    assert encode_row((field, "x"), "php") == f"{php};x\n".encode()
    assert encode_row((field, "x"), "rfc4180") == f"{rfc4180};x\n".encode()


@requires_php
def test_php_writes_the_same_bytes() -> None:
    log, truth = php_log(5_000)
    assert log == HEADER.encode() + b"".join(encode_row(row, "php") for row in truth)


@requires_php
def test_php_writes_rfc4180_when_it_has_no_escape_character() -> None:
    log, truth = php_log(5_000, escape=False)
    text = io.StringIO(log.decode(), newline="")
    read = list(csv.reader(text, delimiter=";", strict=True))
    assert [tuple(row) for row in read[1:]] == list(truth)
    assert truth == php_log(5_000)[1]


@requires_php
@pytest.mark.parametrize("stored", [False, True])
def test_php_packs_the_log(stored: bool) -> None:
    log, _ = php_log(100)
    archive = php_zip(log, stored=stored)
    assert member_of(archive) == log
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        method = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
        assert opened.infolist()[0].compress_type == method


class OneWay(io.RawIOBase):
    """A file that cannot be sought, as a pipe."""

    def __init__(self) -> None:
        self.taken = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.taken += data
        return len(data)


def test_a_file_that_cannot_be_sought_will_do() -> None:
    dest = OneWay()
    write_sample(dest, rows=500)  # type: ignore[arg-type]
    assert member_of(bytes(dest.taken)) == member_of(sample_zip(rows=500))


def test_a_path_will_do(tmp_path: Path) -> None:
    path = tmp_path / "log.zip"
    write_sample(path, rows=500)
    assert path.read_bytes() == sample_zip(rows=500)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"rows": -1}, "rows"),
        ({"rows": 1, "columns": 7}, "columns"),
        ({"rows": 1_000_001, "date": date(2026, 3, 1)}, "for one day"),
        ({"rows": 1, "dialect": "x"}, "dialect"),
    ],
)
def test_bad_arguments_are_named(arguments: dict[str, Any], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        sample_zip(**arguments)


@pytest.mark.parametrize("columns", [8, 6])
def test_memory_does_not_grow_with_rows(columns: Any) -> None:
    import tracemalloc

    class Hole(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            return len(data)

    def peak(rows: int) -> int:
        tracemalloc.start()
        try:
            write_sample(Hole(), rows=rows, columns=columns)  # type: ignore[arg-type]
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1)  # what is made once for all logs of a seed
    assert peak(30_000) < 1.25 * peak(10_000)


def test_an_interruption_while_the_member_is_opened_stays_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = zipfile.ZipFile.open
    members: list[Any] = []

    def interrupted(*arguments: Any, **options: Any) -> None:
        members.append(opened(*arguments, **options))
        raise KeyboardInterrupt

    monkeypatch.setattr(zipfile.ZipFile, "open", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_sample(tmp_path / "sample.zip", rows=1)
    assert not list(tmp_path.iterdir())
    # In whatever order the garbage collector ends them, no error is printed.
    archive = members[0]._zipfile
    archive.fp.close()
    members[0].close()
    archive.close()
