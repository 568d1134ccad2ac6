"""``trackparse check``: it finds what is wrong, says where, and nothing that is right."""

from __future__ import annotations

import json
import os
import subprocess
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from support.archives import python_zip
from support.cli import BAD, HEADER, PLAIN, PROGRAM, ROW, csv_of, ended, good, run, with_bad, with_text
from support.kernels import SLOW
from support.service import sample
from trackparse import Position
from trackparse.cli import findings
from trackparse.testing.sample import encode_row


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.zip"
    path.write_bytes(sample(3_000))
    return path


def test_a_good_log_is_said_to_be_good(log: Path) -> None:
    assert good("check", log).stdout == f"{log}: 3,000 records, all good\n"
    assert good("check", log, "--quiet").output == ""
    facts = json.loads(good("check", log, "--json").stdout)
    assert (facts["log"], facts["records"], facts["reasons"], facts["first"]) == (str(log), 3_000, {}, {})


def test_bad_records_are_told_by_reason_with_the_places_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    not_utf8 = encode_row(with_text(hwid="caf\x00")).replace(b"\0", b"\xe9")
    path.write_bytes(HEADER + (encode_row(ROW) + BAD) * 5 + not_utf8)
    out = ended(3, "check", path).stdout.splitlines()
    assert out == [
        f"{path}: 5 good records, and",
        "  field_count: 5",
        *(f"    {path}: record {2 * n + 1}, line {2 * n + 3} (byte {byte})" for n, byte in enumerate(places(3))),
        "  bad_utf8: 1",
        f"    {path}: record 10, line 12 (byte {places(5)[-1] + len(BAD)})",
    ]


@pytest.mark.parametrize("command", ["check", "stats"])
def test_only_the_first_of_very_many_bad_records_are_looked_at(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Position] = []

    def position(*place: Any) -> Position:
        looked.append(Position(*place))
        return looked[-1]

    monkeypatch.setattr(findings, "Position", position)
    path = tmp_path / "log.csv"
    path.write_bytes(HEADER + (b"//\n" * 2 + encode_row(with_text(hwid="\0")).replace(b"\0", b"\xe9")) * 10_000)
    facts = json.loads(ended(3 if command == "check" else 0, command, path, "--json").stdout)
    assert facts["reasons"] == {"field_count": 20_000, "bad_utf8": 10_000}
    assert [place.record for place in looked] == [0, 1, 3, 2, 5, 8]
    if command == "check":
        assert [place for places in facts["first"].values() for place in places] == [*map(str, looked)]


@pytest.mark.parametrize("form", ["csv", "zip"])
def test_the_place_of_a_bad_record_names_its_log_once_however_long_its_name_is(form: str, tmp_path: Path) -> None:
    path = tmp_path / ("n" * 100) / f"log.{form}"
    path.parent.mkdir()
    data = HEADER + BAD
    path.write_bytes(data if form == "csv" else python_zip({"day.csv": data}))
    place = ended(3, "check", path).stdout.splitlines()[2]
    member = "" if form == "csv" else ": member 'day.csv'"
    assert place == f"    {str(path)[:47]}…{f'{path}{member}'[-47:]}: record 0, line 2 (byte {len(HEADER)})"


def places(count: int) -> list[int]:
    row = len(encode_row(ROW))
    return [len(HEADER) + row + number * (row + len(BAD)) for number in range(count)]


@pytest.mark.parametrize("payload", ["{broken", "[1]", "nan"])
def test_a_payload_that_is_no_object_is_found(payload: str, tmp_path: Path) -> None:
    path = csv_of(tmp_path / "log.csv", ROW, with_text(payload=payload), with_text(payload=""))
    result = ended(3, "check", path)
    assert result.stdout.splitlines()[:2] == [f"{path}: 3 good records, and", "  bad_payload: 1"]
    assert "record 1" in result.stdout


def test_damage_is_found_behind_the_records_before_it(log: Path) -> None:
    log.write_bytes(log.read_bytes()[:-20_000])
    facts = json.loads(ended(3, "check", log, "--json").stdout)
    assert facts["reasons"]["damage"] == 1
    assert 0 < facts["records"] < 3_000
    assert "fetch the archive again" in facts["first"]["damage"][0]


def test_every_log_is_checked_and_the_gravest_is_told(log: Path, tmp_path: Path) -> None:
    bad = with_bad(tmp_path / "bad.csv")
    result = ended(1, "check", bad, tmp_path / "missing.zip", log)
    assert f"{bad}: 500 good records, and" in result.stdout
    assert f"{log}: 3,000 records, all good" in result.stdout
    assert result.stderr.count("\n") == 1


def test_a_log_cannot_steer_the_terminal(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "log.csv", with_text(payload='{"\x1b[2J'))
    assert "\x1b" not in ended(3, "check", path).stdout


@pytest.mark.skipif(SLOW > 1, reason="minutes with the reference, and the same whatever the kernel")
def test_memory_does_not_grow_with_the_rejects(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(HEADER + (b"2021-04-20 13:01:01;" + b"x" * 100_000 + b"\n") * 900)
    run("check", path)
    tracemalloc.start()
    run("check", path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Some blocks are read ahead, however long the log is.
    assert peak < 32_000_000 < path.stat().st_size // 2


@pytest.mark.parametrize(
    ("names", "code"),
    [(["bad"], 3), (["good"], 0), (["bad", "good"], 3), (["gone", "good"], 1)],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
@pytest.mark.parametrize("more", [(), ("--json",)])
def test_what_is_known_where_nobody_reads_the_output_is_the_exit_code(
    names: list[str], code: int, more: tuple[str, ...], tmp_path: Path
) -> None:
    good = "//timestamp;tracking_code\n2021-04-20 13:01:01;T\n"
    (tmp_path / "good").write_text(good)
    (tmp_path / "bad").write_text(good + "2021-04-20 13:01:01\n")
    reads, writes = os.pipe()
    os.close(reads)
    command = [*PROGRAM, "check", *(str(tmp_path / name) for name in names), *more]
    try:
        done = subprocess.run(command, stdout=writes, stderr=subprocess.PIPE, env=PLAIN, timeout=60, check=False)
    finally:
        os.close(writes)
    assert done.returncode == code
    assert b"Traceback" not in done.stderr
