"""``trackparse convert``: what it writes, what it says, and what one bad log costs."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from threading import Event, Thread
from unittest.mock import patch

import pyarrow.parquet as pq
import pytest

import trackparse
from support.cli import BAD, HEADER, PLAIN, PROGRAM, ROW, csv_of, ended, failed, good, with_bad, with_text
from support.service import sample
from trackparse.testing.sample import COLUMNS, encode_row, sample_rows, write_sample


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.zip"
    path.write_bytes(sample(3_000))
    return path


@pytest.fixture
def bad_log(tmp_path: Path) -> Path:
    return with_bad(tmp_path / "bad.csv")


def rows_in(path: Path) -> int:
    return int(pq.read_metadata(path).num_rows)


def test_it_writes_parquet_beside_the_log_and_says_so_in_one_line(log: Path) -> None:
    result = good("convert", log)
    out = log.with_suffix(".parquet")
    assert rows_in(out) == 3_000
    assert result.stdout.count("\n") == 1
    assert result.stdout.startswith(f"{out}: 3,000 rows, ")
    assert result.stderr == ""


def test_it_keeps_every_field(log: Path) -> None:
    good("convert", log)
    table = pq.read_table(log.with_suffix(".parquet"))
    assert table.column_names == list(COLUMNS)
    truth = list(sample_rows(3_000))
    for number, name in enumerate(COLUMNS[1:], start=1):
        values = ["" if value is None else value for value in table[name].to_pylist()]
        assert values == [row[number] for row in truth], name
    assert [str(value) for value in table["timestamp"].to_pylist()] == [row[0] for row in truth]


def test_a_gzipped_log_loses_both_suffixes(tmp_path: Path) -> None:
    path = tmp_path / "log.csv.gz"
    path.write_bytes(gzip.compress(csv_of(tmp_path / "plain.csv", ROW).read_bytes()))
    good("convert", path)
    assert rows_in(tmp_path / "log.parquet") == 1


def test_it_takes_columns_compression_and_row_groups(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    options = ["--columns", "timestamp, status", "--compression", "snappy", "--row-group-size", "1000"]
    good("convert", log, "-o", out, *options)
    metadata = pq.read_metadata(out)
    assert metadata.schema.names == ["timestamp", "status"]
    assert metadata.num_row_groups == 3
    assert metadata.row_group(0).column(1).compression == "SNAPPY"


def test_it_writes_what_a_filter_lets_through_and_says_of_how_many(log: Path) -> None:
    wanted = [row for row in sample_rows(3_000) if row[4] in ("failed", "opened")]
    result = good("convert", log, "--status", "failed", "--status", "opened")
    table = pq.read_table(log.with_suffix(".parquet"))
    assert table["hwid"].to_pylist() == [row[3] for row in wanted]
    assert f": {len(wanted)} of 3,000 rows, " in result.stdout


def test_strict_leaves_no_file(bad_log: Path) -> None:
    message = failed(3, "convert", bad_log, "--strict")
    assert "line 4" in message
    assert [path.name for path in bad_log.parent.iterdir()] == [bad_log.name]


def test_quiet_says_only_what_went_wrong(log: Path) -> None:
    assert good("convert", log, "--quiet").output == ""


def test_the_log_is_never_written_over(log: Path, tmp_path: Path) -> None:
    before = log.read_bytes()
    link = tmp_path / "link.parquet"
    link.symlink_to(log)
    assert "is the log itself" in failed(2, "convert", log, "-o", log)
    assert "is the log itself" in failed(2, "convert", log, "-o", link)
    rejects = log.rename(tmp_path / "log.jsonl")
    assert "is the log itself" in failed(2, "convert", rejects, "--rejects", rejects)
    log = rejects.rename(log)
    misnamed = log.rename(tmp_path / "log.parquet")
    assert "is the log itself" in failed(2, "convert", misnamed)
    assert misnamed.read_bytes() == before


@pytest.mark.parametrize("dialect", ["auto", "php"])
def test_it_takes_a_dialect(log: Path, dialect: str) -> None:
    good("convert", log, "--dialect", dialect)


def test_standard_input_is_a_log(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    good("convert", "-", "-o", out, stdin=log.read_bytes())
    assert rows_in(out) == 3_000
    assert "name the file to write" in failed(2, "convert", "-", stdin=b"")


# ---- bad records, and damage


def test_bad_records_are_set_aside_in_a_file_beside_it(bad_log: Path) -> None:
    result = good("convert", bad_log)
    rejects = bad_log.with_name("bad.rejects.jsonl")
    assert result.stdout.startswith(f"{bad_log.with_suffix('.parquet')}: 500 rows, ")
    assert result.stderr == f"trackparse: {bad_log}: 1 bad record set aside in {rejects}\n"
    assert trackparse.read_rejects(rejects).select(["line", "raw"]).to_pylist() == [{"line": 4, "raw": BAD}]


def test_the_file_for_bad_records_may_be_named(bad_log: Path, tmp_path: Path) -> None:
    rejects = tmp_path / "other.parquet"
    good("convert", bad_log, "--rejects", rejects)
    assert trackparse.read_rejects(rejects)["raw"].to_pylist() == [BAD]
    assert ".jsonl" in failed(2, "convert", bad_log, "--rejects", tmp_path / "rejects.txt")


def test_without_bad_records_there_is_no_such_file(bad_log: Path) -> None:
    good("convert", bad_log)
    csv_of(bad_log, ROW)
    good("convert", bad_log)
    assert sorted(path.name for path in bad_log.parent.iterdir()) == ["bad.csv", "bad.parquet"]


def test_a_damaged_archive_is_an_error_or_kept_in_part(log: Path) -> None:
    log.write_bytes(log.read_bytes()[:-20_000])
    assert "fetch the archive again" in failed(1, "convert", log)
    assert not log.with_suffix(".parquet").exists()
    result = ended(4, "convert", log, "--keep-partial")
    *_, damage = result.stderr.splitlines()
    assert damage.startswith(f"trackparse: {log}: ")
    assert damage.endswith("; the records before the damage were kept")
    assert 0 < rows_in(log.with_suffix(".parquet")) < 3_000
    assert b"trackparse.partial" in pq.read_schema(log.with_suffix(".parquet")).metadata


# ---- several logs


def test_threads_change_nothing_in_the_file(log: Path, tmp_path: Path) -> None:
    good("convert", log, "-o", tmp_path / "many.parquet")
    good("convert", log, "-o", tmp_path / "one.parquet", "--threads", 1)
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "many.parquet").read_bytes()
    assert "0 is not in the range x>=1" in failed(2, "convert", log, "--threads", 0)


@pytest.mark.parametrize("jobs", [1, 2])
def test_many_logs_become_a_file_each_and_a_line_each(jobs: int, tmp_path: Path) -> None:
    for number in range(3):
        write_sample(tmp_path / f"day{number}.zip", rows=100 + number)
    result = good("convert", tmp_path / "day[01].zip", tmp_path / "day2.zip", "--to", tmp_path / "new/out", "-j", jobs)
    assert {path.name: rows_in(path) for path in (tmp_path / "new/out").iterdir()} == {
        "day0.parquet": 100,
        "day1.parquet": 101,
        "day2.parquet": 102,
    }
    assert sorted(line.partition(":")[0] for line in result.stdout.splitlines()) == [
        f"{tmp_path}/new/out/day{number}.parquet" for number in range(3)
    ]
    assert result.stderr == ""


def test_one_bad_log_does_not_stop_the_others(log: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_bytes(b"name;size\nx;1\n")
    missing = tmp_path / "missing.zip"
    result = ended(1, "convert", other, missing, log)
    assert rows_in(log.with_suffix(".parquet")) == 3_000
    assert not other.with_suffix(".parquet").exists()
    *lines, last = result.stderr.splitlines()
    assert last == "trackparse: 2 of 3 logs not converted"
    assert f"trackparse: {missing}: No such file or directory" in lines
    assert f"trackparse: {other}: " in " ".join(lines)
    assert len(lines) == 2


def test_an_unreadable_log_is_graver_than_a_bad_record(bad_log: Path, tmp_path: Path) -> None:
    ended(1, "convert", bad_log, tmp_path / "missing.zip", "--strict")
    ended(3, "convert", bad_log, csv_of(tmp_path / "good.csv", ROW), "--strict")


def test_a_glob_without_files_is_an_error(tmp_path: Path) -> None:
    assert f"{tmp_path}/*.zip: no file matches this pattern" in failed(1, "convert", tmp_path / "*.zip")


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tmp_path: Path) -> None:
    good("convert", csv_of(tmp_path / "log[1].csv", ROW))
    assert rows_in(tmp_path / "log[1].parquet") == 1


def test_a_log_named_twice_is_converted_once(log: Path) -> None:
    assert good("convert", log, log, log.parent / "*.zip").stdout.count("\n") == 1


def test_two_logs_become_one_file_only_if_it_is_named(log: Path, tmp_path: Path) -> None:
    twin = csv_of(tmp_path / "log.csv", ROW)
    told = "log.parquet: give one of them another name, or write them to different folders"
    assert told in failed(2, "convert", log, twin)
    assert "exclude each other" in failed(2, "convert", log, "-o", tmp_path / "out.parquet", "--to", tmp_path)
    assert not list(tmp_path.glob("*.parquet"))
    good("convert", log, twin, "-o", tmp_path / "out.parquet")
    assert [path.name for path in tmp_path.glob("*.parquet")] == ["out.parquet"]


def test_an_output_that_cannot_be_written_is_one_line(log: Path, tmp_path: Path) -> None:
    assert "missing" in failed(1, "convert", log, "-o", tmp_path / "missing" / "out.parquet")
    assert "did you mean 'status'?" in failed(2, "convert", log, "--columns", "statsu")
    assert "did you mean 'gzip'?" in failed(2, "convert", log, "--compression", "zip")


def test_a_log_cannot_steer_the_terminal_by_its_name(tmp_path: Path) -> None:
    result = good("convert", csv_of(tmp_path / "a\x1b[2J.csv", with_text(hwid="x")))
    assert "\x1b" not in result.stdout
    assert "a\\x1b[2J.parquet" in result.stdout


def write_without_end(pipe: Path, begun: Event) -> None:
    with suppress(BrokenPipeError), pipe.open("wb", buffering=0) as file:  # opening waits for the reader
        file.write(HEADER)
        for megabytes in count():
            file.write(encode_row(ROW) * (1_000_000 // len(encode_row(ROW))))
            # No pipe holds as much: it is read, and whoever reads it has long been done with opening it.
            if megabytes == 3:
                begun.set()


def exists(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def under_way(folder: Path, jobs: int) -> Iterator[subprocess.Popen[bytes]]:
    """A conversion of two logs that never end, when all that it reads at a time have begun."""
    pipes = [folder / "one.csv", folder / "two.csv"]
    for pipe in pipes:
        os.mkfifo(pipe)
    writers = []
    command = [*PROGRAM, "convert", *map(str, pipes), "--jobs", str(jobs)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True, env=PLAIN) as process:
        for pipe in pipes[:jobs]:
            begun = Event()
            writers.append(Thread(target=write_without_end, args=(pipe, begun), daemon=True))
            writers[-1].start()
            assert begun.wait(30)
        yield process
    for writer in writers:
        writer.join()
    deadline = time.monotonic() + 20
    while exists(process.pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not exists(process.pid)


@pytest.mark.parametrize(
    ("sent", "jobs", "code"),
    [(signal.SIGINT, 1, 130), (signal.SIGINT, 2, 130), (signal.SIGTERM, 2, 143), (signal.SIGHUP, 1, 143)],
)
def test_a_signal_leaves_neither_half_a_file_nor_a_process(
    sent: signal.Signals, jobs: int, code: int, tmp_path: Path
) -> None:
    with under_way(tmp_path, jobs) as process:
        process.send_signal(sent)
        assert process.communicate()[1] == b""
        assert process.returncode == code
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.csv", "two.csv"]


def test_workers_end_with_a_first_process_that_is_killed(tmp_path: Path) -> None:
    with under_way(tmp_path, 2) as process:
        process.kill()
        process.communicate()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.csv", "two.csv"]


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="there is no /proc here")
def test_a_worker_that_is_killed_costs_its_log_only(tmp_path: Path) -> None:
    with under_way(tmp_path, 2) as process:
        os.kill(workers_of(process.pid)[0], signal.SIGKILL)
        assert process.stderr is not None
        first = process.stderr.readline().decode()
        # The other one goes on, for ever.
        time.sleep(0.2)
        assert process.poll() is None
        process.terminate()
        assert process.communicate()[1] == b""
        assert process.returncode == 143
    assert first in [
        f"trackparse: {tmp_path / name}: the process that converted it was killed by signal 9, "
        "perhaps for lack of memory; try fewer --jobs\n"
        for name in ("one.csv", "two.csv")
    ]
    # The one that was killed may have left files behind; the other one tidied up.
    assert len({path.name.split(".")[1] for path in tmp_path.glob(".*")}) <= 1


def workers_of(process: int) -> list[int]:
    return [*map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split())]


def test_a_damaged_log_that_was_converted_before_is_still_told(tmp_path: Path) -> None:
    log = tmp_path / "day.zip"
    write_sample(log, rows=20_000)
    log.write_bytes(log.read_bytes()[:-50_000])
    for _ in range(2):
        found = ended(4, "convert", log, "--keep-partial", "--existing", "skip")
        assert "before the damage were kept" in found.stderr


@pytest.mark.parametrize("output", [".", "./", "/"])
def test_a_folder_without_a_name_is_wrong_usage(output: str, tmp_path: Path) -> None:
    csv_of(tmp_path / "log.csv", ROW)
    for log in (tmp_path, tmp_path / "log.csv"):
        assert "is no file: name the file to write with -o" in failed(2, "convert", log, "-o", output)


def test_names_that_mean_something_else_are_wrong_usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    csv_of(Path("log.csv"), ROW)
    for options in (["-o", "-"], ["--to", "-"]):
        assert "'-' would mean standard output: name a place" in failed(2, "convert", "log.csv", *options)
    for name in ("new/", "s3://lake/new/", "s3://lake/new/?region=x"):
        told = " ".join(failed(2, "convert", "log.csv", "-o", name).split())
        assert "new/' is no file: name the file to write with -o; for a directory give --to" in told
    for options in (["-o", "file:///a%00b"], ["--to", "file:///a%00b"]):
        assert "no file has a NUL in its name" in failed(2, "convert", "log.csv", *options)
    assert "no file has a NUL in its name" in failed(2, "convert", "file:///a%00b", "-o", "a.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["log.csv"]
    good("convert", "log.csv", "-o", "./-")
    assert pq.read_metadata("-").num_rows == 1


def test_a_nul_in_a_name_is_told_with_the_name(tmp_path: Path) -> None:
    log = csv_of(tmp_path / "log.csv", ROW)
    for work in (
        lambda: trackparse.convert_logs(log, "a\0b"),
        lambda: trackparse.convert_logs(log, "a\0b.parquet"),
        lambda: trackparse.convert_log(log, "a\0b.parquet"),
        lambda: trackparse.convert_log(log, tmp_path / "x.parquet", rejects="a\0b.jsonl", on_error="quarantine"),
        lambda: trackparse.open_log("a\0b"),
        lambda: trackparse.dataset(["a\0b*.zip"]),
        lambda: trackparse.dataset("file:///a%00b"),
        lambda: trackparse.read_rejects("a\0b.jsonl"),
    ):
        with pytest.raises(trackparse.OptionError, match=r"a(\\x00|%00)b.*: no file has a NUL in its name"):
            work()


def test_a_name_of_another_format_is_refused_before_a_store_is_asked(tmp_path: Path) -> None:
    csv_of(tmp_path / "log.csv", ROW)
    with patch("trackparse.convert.places.resolve", side_effect=AssertionError):
        assert "end it in .parquet" in failed(2, "convert", tmp_path, "-o", "gs://bucket/all.csv")


def test_a_url_without_a_name_is_wrong_usage(tmp_path: Path) -> None:
    assert "name the file to write with -o" in failed(2, "convert", csv_of(tmp_path / "log.csv", ROW), "-o", "s3://")


def test_a_closed_pipe_stops_no_conversion_and_hides_no_failure(tmp_path: Path) -> None:
    logs = [csv_of(tmp_path / f"{name}.csv", ROW) for name in "abc"]
    reads, writes = os.pipe()
    os.close(reads)
    command = [
        *PROGRAM,
        "convert",
        str(logs[0]),
        str(tmp_path / "gone.csv"),
        *map(str, logs[1:]),
        "--to",
        str(tmp_path),
    ]
    try:
        done = subprocess.run(command, stdout=writes, stderr=subprocess.PIPE, env=PLAIN, timeout=60, check=False)
    finally:
        os.close(writes)
    assert done.returncode == 1
    assert sorted(path.name for path in tmp_path.glob("*.parquet")) == ["a.parquet", "b.parquet", "c.parquet"]
    assert b"gone.csv" in done.stderr
    assert b"Traceback" not in done.stderr
