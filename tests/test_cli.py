"""The command line: what it prints, where, and how it ends."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

import trackparse
from trackparse.cli import cli
from trackparse.sample import COLUMNS, encode_row, sample_rows, write_sample

PROGRAM = [sys.executable, "-m", "trackparse.cli"]
BAD = b"this is not a record\n"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], prog_name="trackparse")


def good(*arguments: str | Path) -> Result:
    result = run(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def failed(code: int, *arguments: str | Path) -> str:
    """The one line of an expected error."""
    result = run(*arguments)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == code
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    if code == 1:
        assert result.stderr.startswith("trackparse: ")
        assert result.stderr.count("\n") == 1
    return result.stderr


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.zip"
    write_sample(path, rows=3_000)
    return path


@pytest.fixture
def bad_log(tmp_path: Path) -> Path:
    """500 records as they should be, and one that is none: record 2 on line 4."""
    lines = [encode_row(row) for row in sample_rows(500)]
    lines.insert(2, BAD)
    path = tmp_path / "bad.csv"
    path.write_bytes(f"//{';'.join(COLUMNS)}\n".encode() + b"".join(lines))
    return path


def csv_of(path: Path, *rows: tuple[str, ...]) -> Path:
    path.write_bytes(f"//{';'.join(COLUMNS)}\n".encode() + b"".join(map(encode_row, rows)))
    return path


ROW = ("2021-04-20 13:01:01", "T-1", "target", "hwid", "sent", "", "A-1", '{"aps":{"alert":"Привет 🔥"}}')


# ---- convert


def test_convert_writes_parquet_beside_the_log_and_says_so_in_one_line(log: Path) -> None:
    result = good("convert", log)
    out = log.with_suffix(".parquet")
    assert pq.read_metadata(out).num_rows == 3_000
    assert result.stdout.count("\n") == 1
    assert str(out) in result.stdout
    assert "3,000 rows" in result.stdout
    assert result.stderr == ""


def test_convert_keeps_every_field(log: Path) -> None:
    good("convert", log)
    table = pq.read_table(log.with_suffix(".parquet"))
    assert table.column_names == list(COLUMNS)
    truth = list(sample_rows(3_000))
    for number, name in enumerate(COLUMNS[1:], start=1):
        values = ["" if value is None else value for value in table[name].to_pylist()]
        assert values == [row[number] for row in truth], name
    stamps = [str(value) for value in table["timestamp"].to_pylist()]
    assert stamps == [row[0] for row in truth]


def test_a_gzipped_log_loses_both_suffixes(tmp_path: Path) -> None:
    path = tmp_path / "log.csv.gz"
    path.write_bytes(gzip.compress(csv_of(tmp_path / "plain.csv", ROW).read_bytes()))
    good("convert", path)
    assert pq.read_metadata(tmp_path / "log.parquet").num_rows == 1


def test_convert_takes_columns_compression_and_row_groups(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    options = ["--columns", "timestamp, status", "--compression", "snappy", "--row-group-size", "1000"]
    good("convert", log, "-o", out, *options)
    metadata = pq.read_metadata(out)
    assert metadata.schema.names == ["timestamp", "status"]
    assert metadata.num_row_groups == 3
    assert metadata.row_group(0).column(1).compression == "SNAPPY"


def test_convert_says_how_many_records_it_left_out_and_where_the_first_stands(bad_log: Path) -> None:
    result = good("convert", bad_log)
    assert "500 rows" in result.stdout
    assert result.stderr.count("\n") == 1
    for piece in ("1 bad record left out", "bad.csv", "record 2", "line 4", "field_count"):
        assert piece in result.stderr


def test_convert_counts_what_it_was_told_to_skip(bad_log: Path) -> None:
    assert good("convert", bad_log, "--on-error", "skip").stderr == "trackparse: 1 bad record left out\n"


def test_convert_that_must_raise_leaves_no_file(bad_log: Path) -> None:
    message = failed(1, "convert", bad_log, "--on-error", "raise")
    assert "line 4" in message
    assert not bad_log.with_suffix(".parquet").exists()
    assert [path.name for path in bad_log.parent.iterdir()] == [bad_log.name]


def test_convert_never_overwrites_the_log(log: Path, tmp_path: Path) -> None:
    before = log.read_bytes()
    link = tmp_path / "link.parquet"
    link.symlink_to(log)
    assert "is the log itself" in failed(2, "convert", log, "-o", log)
    assert "is the log itself" in failed(2, "convert", log, "-o", link)
    misnamed = log.rename(tmp_path / "log.parquet")
    assert "is the log itself" in failed(2, "convert", misnamed)
    assert misnamed.read_bytes() == before


@pytest.mark.parametrize("dialect", ["auto", "php"])
def test_convert_takes_a_dialect(log: Path, dialect: str) -> None:
    good("convert", log, "--dialect", dialect)


# ---- head


def test_head_prints_ten_events_in_columns(log: Path) -> None:
    lines = good("head", log).stdout.splitlines()
    assert len(lines) == 11
    assert lines[0].split() == list(COLUMNS)
    column = lines[0].index("status")
    truth = list(sample_rows(10))
    assert [line[column:].split()[0] for line in lines[1:]] == [row[4] for row in truth]
    assert [line[:19] for line in lines[1:]] == [row[0] for row in truth]


def test_head_prints_as_many_as_asked_for(log: Path) -> None:
    assert good("head", log, "-n", "0").stdout == ""
    assert len(good("head", log, "-n", "250").stdout.splitlines()) == 251
    assert len(good("head", log, "-n", "99999").stdout.splitlines()) == 3_001


def test_head_prints_json_lines_with_the_payload_in_them(log: Path) -> None:
    lines = good("head", log, "-n", "500", "--json").stdout.split("\n")[:-1]
    truth = list(sample_rows(500))
    assert len(lines) == 500
    for line, row in zip(lines, truth, strict=True):
        fields = json.loads(line)
        assert list(fields) == list(COLUMNS)
        assert [fields[name] for name in COLUMNS[:7]] == list(row[:7])
        assert fields["payload"] == (json.loads(row[7]) if row[7] else None)


def test_head_prints_a_payload_that_is_no_json_as_text(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "log.csv", (*ROW[:7], "{broken"))
    assert json.loads(good("head", path, "--json").stdout)["payload"] == "{broken"
    assert "{broken" in good("head", path).stdout


def test_head_prints_every_script_as_it_is(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "log.csv", ROW)
    assert "Привет 🔥" in good("head", path).stdout
    assert "Привет 🔥" in good("head", path, "--json").stdout


def test_a_log_can_neither_break_lines_nor_steer_the_terminal(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "log.csv", (*ROW[:5], "a\nb\x1b[2Jc", *ROW[6:]))
    out = good("head", path).stdout
    assert "\\x1b" in out
    assert "\x1b" not in out
    assert out.count("\n") == 2


def test_head_leaves_bad_records_out_and_says_so(bad_log: Path) -> None:
    result = good("head", bad_log, "-n", "5")
    assert len(result.stdout.splitlines()) == 6
    assert result.stderr.startswith("trackparse: 1 bad record ")


def test_head_of_the_older_generation_has_no_app_and_no_payload(tmp_path: Path) -> None:
    path = tmp_path / "old.zip"
    write_sample(path, rows=5, columns=6)
    fields = json.loads(good("head", path, "-n", "1", "--json").stdout)
    assert fields["appCode"] is None
    assert fields["payload"] is None


# ---- stats


def test_stats_counts_what_is_in_the_log(log: Path) -> None:
    facts = json.loads(good("stats", log, "--json").stdout)
    truth = list(sample_rows(3_000))
    with zipfile.ZipFile(log) as archive:
        assert facts["bytes_inflated"] == archive.infolist()[0].file_size
    assert facts["records"] == 3_000
    assert facts["rejected"] == 0
    assert facts["blank_lines"] == 0
    assert facts["members"] == 1
    assert facts["bytes_read"] == log.stat().st_size
    assert facts["first"] == truth[0][0]
    assert facts["last"] == truth[-1][0]
    assert facts["statuses"] == Counter(row[4] for row in truth)


def test_stats_prints_the_same_as_text(log: Path) -> None:
    out = good("stats", log).stdout
    lines = dict(line.split(maxsplit=1) for line in out.splitlines() if line.split()[1:])
    assert lines["records"] == "3,000"
    assert lines["created"] == f"{sum(row[4] == 'created' for row in sample_rows(3_000)):,}"
    assert lines["first"] == next(sample_rows(1))[0]


def test_stats_tells_why_records_are_bad(bad_log: Path) -> None:
    facts = json.loads(good("stats", bad_log, "--json").stdout)
    assert (facts["records"], facts["rejected"]) == (500, 1)
    assert facts["reasons"] == {"field_count": 1}
    assert "field_count" in good("stats", bad_log).stdout


def test_stats_of_a_log_without_records_has_no_time_span(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "log.csv")
    facts = json.loads(good("stats", path, "--json").stdout)
    assert (facts["records"], facts["first"], facts["last"], facts["statuses"]) == (0, None, None, {})
    good("stats", path)


# ---- sample


def test_sample_writes_what_the_library_writes(tmp_path: Path) -> None:
    out, wanted = tmp_path / "out.zip", tmp_path / "wanted.zip"
    result = good("sample", out, "--rows", "100", "--dialect", "rfc4180", "--seed", "4")
    write_sample(wanted, rows=100, dialect="rfc4180", seed=4)
    assert out.read_bytes() == wanted.read_bytes()
    assert result.stdout.startswith(f"{out}: 100 rows, ")


# ---- how it ends


@pytest.mark.parametrize("command", ["convert", "head", "stats"])
def test_an_expected_error_is_one_line(command: str, tmp_path: Path) -> None:
    missing = tmp_path / "missing.zip"
    assert f"{missing}: No such file or directory" in failed(1, command, missing)
    damaged = tmp_path / "damaged.zip"
    write_sample(damaged, rows=500)
    damaged.write_bytes(damaged.read_bytes()[:2_000])
    if command != "head":
        failed(1, command, damaged)
    other = tmp_path / "other.csv"
    other.write_bytes(b"name;size\nx;1\n")
    failed(1, command, other)


def test_head_prints_what_stands_before_the_damage(tmp_path: Path) -> None:
    path = tmp_path / "damaged.zip"
    write_sample(path, rows=500)
    path.write_bytes(path.read_bytes()[:-5_000])
    result = run("head", path, "-n", "100000", "--json")
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) > 10
    assert result.stderr.count("\n") == 1


def test_a_wrong_column_name_is_one_line(log: Path) -> None:
    assert "statsu" in failed(1, "convert", log, "--columns", "statsu")


def test_an_output_that_cannot_be_written_is_one_line(log: Path, tmp_path: Path) -> None:
    assert "missing" in failed(1, "convert", log, "-o", tmp_path / "missing" / "out.parquet")
    failed(1, "sample", tmp_path / "missing" / "out.zip", "--rows", "1")


@pytest.mark.parametrize(
    "arguments",
    [
        ["unknown"],
        ["head"],
        ["head", "x", "-n", "-1"],
        ["sample", "x"],
        ["sample", "x", "--rows", "many"],
        ["convert", "x", "--on-error", "ignore"],
        ["convert", "x", "--row-group-size", "0"],
        ["stats", "x", "--dialect", "excel"],
    ],
)
def test_bad_usage_ends_with_2(arguments: list[str]) -> None:
    assert "Usage: trackparse" in failed(2, *arguments)


@pytest.mark.parametrize("command", [[], ["convert"], ["head"], ["stats"], ["sample"]])
def test_help_says_how_to_use_it(command: list[str]) -> None:
    assert good(*command, "--help").stdout.startswith(f"Usage: {' '.join(['trackparse', *command])}")


def test_help_does_not_wait_for_pyarrow() -> None:
    code = (
        "import sys, trackparse.cli as c\n"
        "try: c.cli(['--help'])\n"
        "except SystemExit: pass\n"
        "print('pyarrow' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.endswith("False\n")


def test_version_is_that_of_the_package() -> None:
    assert good("--version").stdout == f"trackparse {trackparse.__version__}\n"


def test_without_click_one_line_says_what_to_install() -> None:
    code = "import sys; sys.modules['click'] = None; from trackparse.cli import main"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "pip install 'trackparse[cli]'" in done.stderr


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "log.zip"
    write_sample(path, rows=20_000)
    command = [*PROGRAM, "head", str(path), "-n", "20000", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_an_interrupt_ends_quietly_with_130(tmp_path: Path) -> None:
    command = [*PROGRAM, "sample", str(tmp_path / "out.zip"), "--rows", "100000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        deadline = time.monotonic() + 20
        out = tmp_path / "out.zip"
        while not (out.exists() and out.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == b""
    assert process.returncode == 130
    assert not out.exists()


def test_a_terminal_without_the_letters_is_no_error(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "log.csv", ROW)
    environment = {**os.environ, "PYTHONIOENCODING": "iso-8859-1"}
    done = subprocess.run([*PROGRAM, "head", str(path)], capture_output=True, env=environment, check=True)
    assert b"\\u041f" in done.stdout
