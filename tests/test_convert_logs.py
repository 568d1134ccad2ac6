"""Many logs to Parquet: a file a log, what is there already, and what one bad log costs."""

from __future__ import annotations

import json
import logging
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

import trackparse
from support.archives import python_zip
from support.cli import failed, good
from support.kernels import SLOW
from support.logs import H6, H8, line, line6
from support.service import sample
from support.workers import START_ALL_ALLOWED
from trackparse.convert import processes as convert_processes
from trackparse.convert import running, sharing
from trackparse.convert.sharing import useful_processes
from trackparse.options import CONVERT_DEFAULTS
from trackparse.testing.sample import encode_row, sample_rows

NAMES = ["a", "b", "c"]
jobs = pytest.mark.parametrize("jobs", [1, 2])


@pytest.fixture
def days(tmp_path: Path) -> Path:
    """A folder with three logs, of one, two and three rows."""
    folder = tmp_path / "days"
    folder.mkdir()
    for number, name in enumerate(NAMES, 1):
        (folder / f"{name}.csv").write_bytes(H8 + line() * number)
    return folder


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def rows_in(folder: Path) -> dict[str, int]:
    return {path.name: pq.read_metadata(path).num_rows for path in sorted(folder.glob("*.parquet"))}


def change(log: Path, data: bytes) -> None:
    """Write other content, at another time: file systems may count in steps."""
    log.write_bytes(data)
    os.utime(log, ns=(0, log.stat().st_mtime_ns + 10**9))


@pytest.mark.parametrize("by", [(), ("date",)])
@pytest.mark.parametrize("changed", ["size", "time"])
def test_a_log_of_which_only_the_size_or_the_time_is_another_is_converted_again(
    changed: str, by: tuple[str, ...], tmp_path: Path
) -> None:
    log, lake = tmp_path / "day.csv", tmp_path / "lake"
    log.write_bytes(H8 + line(description=b"a"))
    [first] = trackparse.convert_logs(log, lake, partition_by=by)
    moment = log.stat().st_mtime_ns
    log.write_bytes(H8 + line(description=b"bb" if changed == "size" else b"b"))
    os.utime(log, ns=(0, moment if changed == "size" else moment + 10**9))
    [again] = trackparse.convert_logs(log, lake, partition_by=by)
    assert (first.skipped, again.skipped) == (False, False)
    found = pads.dataset(lake, partitioning="hive").to_table()["description"].to_pylist()
    assert found == ["bb" if changed == "size" else "b"]


def test_an_empty_name_is_not_the_current_folder(days: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(trackparse.OptionError, match="an empty name of a folder"):
        trackparse.convert_logs(days, "")
    assert "an empty name: name a place" in failed(2, "convert", "days", "--to", "")
    for command in ("sync", "fetch"):
        told = failed(2, command, "--to", "", "--base-url", "http://127.0.0.1:9", "--allow-http")
        assert "an empty name: name a place" in told
    assert [*tmp_path.iterdir()] == [days]


class TestHiddenNames:
    """Readers of a folder pass over files whose names begin so: their rows would be missing without a word."""

    @pytest.mark.parametrize("by", [(), ("date",)])
    @pytest.mark.parametrize("existing", ["skip", "replace"])
    def test_a_warning_says_what_readers_pass_over(
        self, by: tuple[str, ...], existing: Any, days: Path, lake: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        logs = [days / name for name in ("_a.csv", ".b.csv", "c_.d.csv")]
        for log in logs:
            log.write_bytes(H8 + line())
        for _ in range(2):  # also of what was converted before
            caplog.clear()
            reports = trackparse.convert_logs(logs, lake, partition_by=by, existing=existing)
            assert [report.error for report in reports] == [None] * 3
            assert [record.getMessage() for record in caplog.records] == [
                f"{days / name}.csv: Spark, Hive and pyarrow.dataset pass over files whose names begin with "
                f"'{name[0]}', such as {name}.parquet: rename the log"
                for name in (".b", "_a")
            ]
        found = pads.dataset(lake, partitioning="hive", format="parquet")
        assert [Path(name).name for name in found.files] == ["c_.d.parquet"]

    def test_the_folder_may_be_what_it_is_called_by(
        self, days: Path, lake: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (days / "_x").mkdir()
        (days / "_x/a.csv").write_bytes(H8 + line())
        trackparse.convert_logs(days / "*/*.csv", lake)
        assert "such as _x-a.parquet: rename the folder of the log" in caplog.text

    def test_who_names_the_file_means_it(self, days: Path, lake: Path, caplog: pytest.LogCaptureFixture) -> None:
        log = days / "_a.csv"
        log.write_bytes(H8 + line())
        trackparse.convert_log(log, lake.with_name("_a.parquet"))
        trackparse.convert_logs(log, lake.with_name("_b.parquet"))
        good("convert", log, "-o", lake.with_name("_c.parquet"))
        assert caplog.text == ""

    @pytest.mark.parametrize("more", [(), ("--to", "lake"), ("--to", "lake", "--partition-by", "date")])
    def test_the_command_says_so(self, more: tuple[str, ...], days: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(days)
        Path("_a.csv").write_bytes(H8 + line())
        told = good("convert", "_a.csv", "a.csv", *more).stderr
        assert told == (
            "trackparse: _a.csv: Spark, Hive and pyarrow.dataset pass over files whose names begin with '_', such as "
            "_a.parquet: rename the log\n"
        )


@jobs
def test_each_log_becomes_a_file(jobs: int, days: Path, lake: Path) -> None:
    told: list[trackparse.ConversionReport] = []
    reports = trackparse.convert_logs(days, lake, jobs=jobs, on_report=told.append)
    assert rows_in(lake) == {"a.parquet": 1, "b.parquet": 2, "c.parquet": 3}
    assert [report.source for report in reports] == [str(days / f"{name}.csv") for name in NAMES]
    assert [report.path for report in reports] == [lake / f"{name}.parquet" for name in NAMES]
    assert [(report.records, report.skipped, report.error) for report in reports] == [
        (n, False, None) for n in (1, 2, 3)
    ]
    assert sorted(report.source for report in told) == [report.source for report in reports]
    assert json.loads(json.dumps(reports[0].to_dict()))["source"] == str(days / "a.csv")
    assert pickle.loads(pickle.dumps(reports[0])).to_dict() == reports[0].to_dict()  # noqa: S301


def test_the_bytes_do_not_depend_on_the_jobs(days: Path, lake: Path, tmp_path: Path) -> None:
    trackparse.convert_logs(days, lake)
    trackparse.convert_logs(days, tmp_path / "other", jobs=3)
    assert content(lake) == content(tmp_path / "other")


@jobs
def test_a_bad_log_costs_itself(jobs: int, days: Path, lake: Path) -> None:
    (days / "b.csv").write_bytes(b"<html>")
    (days / "d.zip").write_bytes(python_zip({"log.csv": H8 + line() * 1000})[:-200])
    (days / "e.csv").write_bytes(H8 + line())
    (days / "e.csv").chmod(0)
    reports = trackparse.convert_logs(days, lake, jobs=jobs)
    errors = [type(report.error) for report in reports]
    unreadable = PermissionError if os.geteuid() else type(None)
    assert errors == [type(None), trackparse.HeaderError, type(None), trackparse.TruncatedError, unreadable]
    assert "b.csv: not a tracking log" in str(reports[1].error)
    assert "HeaderError" in repr(reports[1])
    assert json.loads(json.dumps(reports[1].to_dict()))["error"] == str(reports[1].error)
    assert {*rows_in(lake)} == {"a.parquet", "c.parquet", *([] if os.geteuid() else ["e.parquet"])}
    assert {*content(lake)} == {*rows_in(lake)}
    kept = trackparse.convert_logs(days / "d.zip", lake, jobs=jobs, on_damage="keep")
    assert isinstance(kept[0].damage, trackparse.TruncatedError)


@jobs
def test_bad_records_go_to_a_file_beside_each(jobs: int, days: Path, lake: Path) -> None:
    (days / "b.csv").write_bytes(H8 + line() + b"x\n")
    reports = trackparse.convert_logs(days, lake, jobs=jobs, on_error="quarantine")
    assert {*content(lake)} == {"a.parquet", "b.parquet", "b.rejects.jsonl", "c.parquet"}
    assert [report.rejects_path for report in reports] == [None, lake / "b.rejects.jsonl", None]
    assert trackparse.read_rejects(lake / "b.rejects.jsonl")["raw"].to_pylist() == [b"x\n"]
    skipped = trackparse.convert_logs(days, lake, on_error="skip")[1]
    assert (skipped.rejected, skipped.rejects_path) == (1, None)


@jobs
def test_what_is_logged_in_a_worker_is_logged_here(
    jobs: int, days: Path, lake: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (days / "d.zip").write_bytes(python_zip({"a.csv": H8 + line(), "b.txt": H8 + line()}))
    with caplog.at_level(logging.WARNING, logger="trackparse"):
        trackparse.convert_logs(days, lake, jobs=jobs)
    assert "b.txt" in caplog.text


class TestFolders:
    """Those that a run makes for its files."""

    @jobs
    @pytest.mark.parametrize("by", [(), ("date",)])
    @pytest.mark.parametrize("number", [1, 3])
    def test_where_no_log_could_be_converted_they_are_removed(
        self, jobs: int, by: tuple[str, ...], number: int, days: Path, tmp_path: Path
    ) -> None:
        for name in NAMES[number:]:
            (days / f"{name}.csv").unlink()
        for path in days.iterdir():
            path.write_bytes(b"<html>")
        (tmp_path / "old").mkdir()
        for dest in ("new", "old", "old/new/deep"):
            options: Any = {"jobs": jobs, "partition_by": by, "on_error": "quarantine"}
            reports = trackparse.convert_logs(days, tmp_path / dest, **options)
            assert all(report.error for report in reports)
            assert {path.name for path in tmp_path.iterdir()} == {"days", "old"}
            assert not [*(tmp_path / "old").iterdir()]
        (days / "a.csv").write_bytes(H8 + line())
        trackparse.convert_logs(days, tmp_path / "old/new/deep", jobs=jobs, partition_by=by)
        assert [path.name for path in (tmp_path / "old/new/deep").rglob("*.parquet")] == ["a.parquet"]

    @pytest.mark.parametrize("partitions", [(), ("--partition-by", "date")])
    def test_the_command_line_leaves_none_either(self, partitions: tuple[str, ...], days: Path, tmp_path: Path) -> None:
        (days / "a.csv").write_bytes(b"<html>")
        for log in ("a.csv", "gone.csv"):
            failed(1, "convert", days / log, "--to", tmp_path / "new/deep/folder", *partitions)
            assert [*tmp_path.iterdir()] == [days]

    @pytest.mark.parametrize("by", [(), ("date",)])
    @pytest.mark.parametrize("on_error", ["raise", "quarantine"])
    def test_one_that_another_run_removes_is_made_again(
        self, on_error: Any, by: tuple[str, ...], days: Path, lake: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It had made it, too, and could not convert its logs."""
        left = [5]
        mkdir = Path.mkdir

        def removed_at_once(folder: Path, *mode: Any, **named: Any) -> None:
            mkdir(folder, *mode, **named)
            if left[0] and folder.is_relative_to(lake):
                left[0] -= 1
                shutil.rmtree(lake)

        monkeypatch.setattr(Path, "mkdir", removed_at_once)
        reports = trackparse.convert_logs(days, lake, partition_by=by, on_error=on_error)
        assert [report.error for report in reports] == [None] * 3
        assert left == [0]
        assert pads.dataset(lake, partitioning="hive").count_rows() == 6


class TestExisting:
    @jobs
    def test_a_second_run_does_nothing(self, jobs: int, days: Path, lake: Path) -> None:
        first = trackparse.convert_logs(days, lake)
        before = content(lake), [path.stat().st_ino for path in sorted(lake.iterdir())]
        again = trackparse.convert_logs(days, lake, jobs=jobs)
        assert [report.skipped for report in again] == [True] * 3
        assert [(r.records, r.bytes_out, r.path) for r in again] == [(r.records, r.bytes_out, r.path) for r in first]
        assert (content(lake), [path.stat().st_ino for path in sorted(lake.iterdir())]) == before
        assert "skipped" in repr(again[0])

    @pytest.mark.parametrize("by", [(), ("date",)])
    def test_an_option_that_a_later_version_has_converts_nothing_again(
        self, by: tuple[str, ...], days: Path, lake: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As long as nobody gives it."""
        trackparse.convert_logs(days, lake, partition_by=by, columns=["timestamp", "status"])
        defaults: Any = CONVERT_DEFAULTS
        monkeypatch.setitem(defaults, "later", 7)
        again = trackparse.convert_logs(days, lake, partition_by=by, columns=["timestamp", "status"])
        assert [report.skipped for report in again] == [True] * 3

    @pytest.mark.parametrize("how", ["content", "time", "options"])
    def test_what_has_changed_is_converted_again(self, how: str, days: Path, lake: Path) -> None:
        where = trackparse.Filter(statuses=["sent", "failed"], app_codes=["A-1", "B-2", "C-3"])
        trackparse.convert_logs(days, lake, where=where)
        options: dict[str, Any] = {"where": where}
        if how == "content":
            change(days / "b.csv", H8 + line() * 7)
        elif how == "time":
            change(days / "b.csv", H8 + line(description=b"x") + line())
        else:
            options["columns"] = ["status"]
        changed = [True] * 3 if how == "options" else [False, True, False]
        reports = trackparse.convert_logs(days, lake, **options)
        assert [not report.skipped for report in reports] == changed
        assert [report.skipped for report in trackparse.convert_logs(days, lake, **options)] == [True] * 3
        assert pq.read_metadata(lake / "b.parquet").num_rows == {"content": 7}.get(how, 2)

    def test_options_that_change_no_row_count_for_nothing(self, days: Path, lake: Path) -> None:
        trackparse.convert_logs(days, lake, columns=["status"])
        options: Any = {"block_size": 1 << 16, "limits": trackparse.Limits(max_members=7), "columns": iter(["status"])}
        assert all(report.skipped for report in trackparse.convert_logs(days, lake, **options))

    def test_a_folder_that_was_moved_is_the_same(self, days: Path, lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        trackparse.convert_logs(days, lake)
        moved = days.rename(days.with_name("moved"))
        assert all(report.skipped for report in trackparse.convert_logs(moved, lake))
        monkeypatch.chdir(moved)
        assert all(report.skipped for report in trackparse.convert_logs("*.csv", lake))

    def test_the_file_of_another_log_is_kept(
        self, days: Path, lake: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        trackparse.convert_logs(days, lake)
        before = content(lake)
        other = tmp_path / "other" / "b.csv"
        other.parent.mkdir()
        other.write_bytes(H6 + line6())
        (report,) = trackparse.convert_logs(other, lake)
        assert f"made of another log, {days / 'b.csv'}; write to another folder" in str(report.error)
        assert content(lake) == before
        assert not caplog.messages
        (report,) = trackparse.convert_logs(other, lake, existing="replace")
        assert (report.error, report.records) == (None, 1)
        assert caplog.messages == [f"{other}: in place of the files of another log, {days / 'b.csv'}"]
        caplog.clear()
        moved = other.rename(tmp_path / "b.csv")
        trackparse.convert_logs(moved, lake, existing="replace")
        moved.write_bytes(H6 + line6() * 2)
        trackparse.convert_logs(moved, lake, existing="replace")
        (lake / "b.parquet").write_bytes(b"no Parquet file")
        trackparse.convert_logs(moved, lake, existing="replace")
        assert not caplog.messages

    def test_a_log_of_the_same_name_size_and_time_in_another_folder_is_another_log(
        self, days: Path, lake: Path, tmp_path: Path
    ) -> None:
        other = tmp_path / "other" / "b.csv"
        other.parent.mkdir()
        other.write_bytes((days / "b.csv").read_bytes().replace(b"T-", b"X-"))
        time = (days / "b.csv").stat().st_mtime_ns
        os.utime(other, ns=(time, time))
        trackparse.convert_logs(days, lake)
        (report,) = trackparse.convert_logs(other, lake)
        assert not report.skipped
        assert f"made of another log, {days / 'b.csv'}; write to another folder" in str(report.error)

    def test_other_logs_of_the_same_names_sizes_and_times_become_a_new_file_of_all(
        self, days: Path, tmp_path: Path
    ) -> None:
        trackparse.convert_logs(days, tmp_path / "all.parquet")
        others = shutil.copytree(days, tmp_path / "others")
        for path in others.iterdir():
            time = path.stat().st_mtime_ns
            path.write_bytes(path.read_bytes().replace(b"T-", b"X-"))
            os.utime(path, ns=(time, time))
        assert not trackparse.convert_logs(others, tmp_path / "all.parquet")[0].skipped
        assert all(code[0] == "X" for code in pq.read_table(tmp_path / "all.parquet")["tracking_code"].to_pylist())
        others = others.rename(tmp_path / "moved")
        assert trackparse.convert_logs(others, tmp_path / "all.parquet")[0].skipped

    @pytest.mark.parametrize("told", ["[" * 100_000, '["name"]', '{"name": 1}', '"name"', '{"name": "\\u0000"}'])
    def test_a_file_whose_metadata_are_odd_is_kept(self, told: str, days: Path, lake: Path) -> None:
        lake.mkdir()
        table = pa.table({"a": [1]}).replace_schema_metadata({"trackparse.made_of": told})
        pq.write_table(table, lake / "b.parquet")
        reports = trackparse.convert_logs(days, lake)
        assert [report.error is None for report in reports] == [True, False, True]
        assert "made" in str(reports[1].error)
        assert pq.read_metadata(lake / "b.parquet").num_rows == 1

    @pytest.mark.parametrize("foreign", [b"mine", b"", b"PAR1" + b"\xff" * 64 + b"\x40\0\0\0PAR1", None])
    def test_the_file_of_somebody_else_is_kept(self, foreign: bytes | None, days: Path, lake: Path) -> None:
        lake.mkdir()
        if foreign is None:
            trackparse.convert_log(days / "c.csv", lake / "b.parquet")
        else:
            (lake / "b.parquet").write_bytes(foreign)
        before = (lake / "b.parquet").read_bytes()
        reports = trackparse.convert_logs(days, lake)
        assert [report.error is None for report in reports] == [True, False, True]
        assert "does not say of which log it was made" in str(reports[1].error)
        assert (lake / "b.parquet").read_bytes() == before
        assert [report.skipped for report in reports] == [False] * 3

    def test_replace_and_error(self, days: Path, lake: Path) -> None:
        trackparse.convert_logs(days / "b.csv", lake, existing="error")
        reports = trackparse.convert_logs(days, lake, existing="error")
        assert [report.error is None for report in reports] == [True, False, True]
        assert "the file exists" in str(reports[1].error)
        assert not any(
            report.skipped or report.error for report in trackparse.convert_logs(days, lake, existing="replace")
        )


class TestProcesses:
    @pytest.fixture
    def started(self, monkeypatch: pytest.MonkeyPatch) -> list[None]:
        """Grows with each process that is started."""
        found: list[None] = []
        worker = convert_processes._Worker

        def counted() -> Any:
            found.append(None)
            return worker()

        monkeypatch.setattr(convert_processes, "_Worker", counted)
        return found

    def test_logs_that_they_would_not_convert_sooner_are_converted_in_this_process(
        self, days: Path, lake: Path, started: list[None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(running, "useful_processes", useful_processes)
        reports = trackparse.convert_logs(days, lake, jobs=3)
        assert [report.error for report in reports] == [None] * 3
        assert started == []

    def test_they_are_started_where_they_convert_sooner(
        self, days: Path, lake: Path, started: list[None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(running, "useful_processes", useful_processes)
        monkeypatch.setattr(sharing, "_STARTS", 0)
        monkeypatch.setattr(sharing, "SMALL_LOG", 0)
        reports = trackparse.convert_logs(days, lake, jobs=3)
        assert [report.error for report in reports] == [None] * 3
        assert len(started) == 3
        trackparse.convert_logs(days, tmp_path / "other")
        assert content(lake) == content(tmp_path / "other")

    @pytest.mark.parametrize(
        ("cores", "asked", "shares", "sizes"),
        [
            (2, {}, [1, 1], (1, 1, 1)),
            (8, {}, [4, 4], (1, 1, 1)),
            (2, {}, [1, 1, None], (1, 1, 9)),
            (2, {"threads": 2}, [2, 2, 2], (1, 1, 9)),
        ],
        ids=str,
    )
    def test_they_share_the_cores_and_one_that_outlasts_the_others_has_all(
        self,
        cores: int,
        asked: Any,
        shares: list[int | None],
        sizes: tuple[int, ...],
        lake: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        logs = [tmp_path / f"{name}.csv" for name in "abc"]
        for log, size in zip(logs, sizes, strict=True):
            log.write_bytes(H8 + line() * 1000 * size)
        monkeypatch.setattr(sharing, "usable_cores", lambda: cores)
        found: list[int | None] = []
        begin = convert_processes._Worker.begin

        def noted(worker: Any, number: int, job: Any) -> None:
            found.append(job.options["threads"])
            begin(worker, number, job)

        monkeypatch.setattr(convert_processes._Worker, "begin", noted)
        reports = trackparse.convert_logs(logs, lake, jobs=2, **asked)
        assert [report.error for report in reports] == [None] * 3
        assert found[: len(shares)] == shares

    def test_none_is_started_for_what_was_converted_before(self, days: Path, lake: Path, started: list[None]) -> None:
        trackparse.convert_logs(days, lake, jobs=2)
        assert len(started) == 2
        change(days / "b.csv", H8 + line() * 7)
        reports = trackparse.convert_logs(days, lake, jobs=2)
        assert [report.skipped for report in reports] == [True, False, True]
        assert len(started) == 2


class TestOneFile:
    @jobs
    def test_all_logs_in_their_order(self, jobs: int, days: Path, tmp_path: Path) -> None:
        dest = tmp_path / "all.parquet"
        for again in (False, True):
            (report,) = trackparse.convert_logs(days, dest, jobs=jobs, columns=["status", "log"])
            assert (report.source, report.path, report.files) == (f"{days / 'a.csv'} and 2 more", dest, (dest,))
            assert (report.records, report.skipped, report.error) == (6, again, None)
        names = [str(days / f"{name}.csv") for name in "abbccc"]
        assert pq.read_table(dest)["log"].to_pylist() == names
        assert pq.read_table(dest, columns=["status"]).equals(trackparse.dataset(days, columns=["status"]).to_table())
        assert {path.name for path in tmp_path.iterdir()} == {"days", "all.parquet"}

    def test_a_log_more_or_another_one_is_converted_anew(self, days: Path, tmp_path: Path) -> None:
        dest = tmp_path / "all.parquet"
        trackparse.convert_logs([days / "a.csv"], dest)
        assert not trackparse.convert_logs([days / "a.csv", days / "b.csv"], dest)[0].skipped
        change(days / "b.csv", H8 + line() * 5)
        (report,) = trackparse.convert_logs([days / "a.csv", days / "b.csv"], dest)
        assert (report.skipped, report.records, pq.read_metadata(dest).num_rows) == (False, 6, 6)
        trackparse.convert_log(days / "c.csv", dest)
        (report,) = trackparse.convert_logs(days, dest)
        assert "does not say of which log" in str(report.error)

    def test_bad_records_are_in_one_file_that_says_which_log(self, days: Path, tmp_path: Path) -> None:
        (days / "b.csv").write_bytes(H8 + line() + b"x\n")
        (days / "d.zip").write_bytes(python_zip({"in.csv": H8 + b"y\n" + line()}))
        (report,) = trackparse.convert_logs(days, tmp_path / "all.parquet", on_error="quarantine")
        assert (report.records, report.rejected, report.rejects_path) == (6, 2, tmp_path / "all.rejects.jsonl")
        rejects = trackparse.read_rejects(tmp_path / "all.rejects.jsonl")
        assert rejects["raw"].to_pylist() == [b"x\n", b"y\n"]
        assert "b.csv" in rejects["member"][0].as_py()
        assert "d.zip" in rejects["member"][1].as_py()

    def test_a_bad_log_is_an_error_of_all_and_leaves_the_old_file(self, days: Path, tmp_path: Path) -> None:
        dest = tmp_path / "all.parquet"
        trackparse.convert_logs(days, dest)
        before = dest.read_bytes()
        (days / "b.csv").write_bytes(b"<html>")
        (report,) = trackparse.convert_logs(days, dest)
        assert "b.csv: not a tracking log" in str(report.error)
        assert dest.read_bytes() == before
        for again in (False, True):
            (report,) = trackparse.convert_logs(days, dest, on_damage="keep")
            assert (report.error, report.records, report.skipped) == (None, 4, again)
            assert "b.csv: not a tracking log" in str(report.damage)
        assert b"trackparse.partial" in pq.read_metadata(dest).metadata

    def test_what_cannot_be(self, days: Path, tmp_path: Path) -> None:
        with pytest.raises(trackparse.OptionError, match=r"partition_by: .*all\.parquet is one file: name a folder"):
            trackparse.convert_logs(days, tmp_path / "all.parquet", partition_by=("date",))
        log = (days / "a.csv").rename(days / "a.parquet")
        with pytest.raises(trackparse.OptionError, match=r"a\.parquet is the log itself"):
            trackparse.convert_logs(days / "*", log)

    def test_a_folder_may_have_such_a_name(self, days: Path, tmp_path: Path) -> None:
        (tmp_path / "lake.parquet").mkdir()
        trackparse.convert_logs(days, tmp_path / "lake.parquet")
        trackparse.convert_logs(days, f"{tmp_path}/new.parquet/")
        assert rows_in(tmp_path / "lake.parquet") == rows_in(tmp_path / "new.parquet") == {
            "a.parquet": 1, "b.parquet": 2, "c.parquet": 3
        }  # fmt: skip

    def test_from_the_command_line(self, days: Path, tmp_path: Path) -> None:
        (days / "b.csv").write_bytes(H8 + line() + b"x\n")
        dest = tmp_path / "all.parquet"
        result = good("convert", days, "-o", dest)
        assert result.stdout.startswith(f"{dest}: 5 rows, ")
        assert f"1 bad record set aside in {tmp_path / 'all.rejects.jsonl'}" in result.stderr
        good("convert", days / "a.csv", days / "c.csv", "-o", dest, "--rejects", tmp_path / "bad.parquet")
        assert pq.read_metadata(dest).num_rows == 4
        good("convert", days / "a.csv", days / "c.csv", "-o", dest, "--existing", "skip", "--strict")
        assert "all.parquet: the file exists" in failed(1, "convert", days, "-o", dest, "--existing", "error")
        assert "standard input cannot be one of several" in failed(2, "convert", days, "-", "-o", dest)
        assert "exclude each other" in failed(2, "convert", days, "-o", dest, "--to", tmp_path)


class TestRefused:
    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"existing": "skp"}, trackparse.OptionError, "existing='skp': did you mean 'skip'?"),
            ({"jobs": 0}, trackparse.OptionError, "jobs=0: expected 1 or more processes"),
            ({"jobs": "2"}, TypeError, "jobs='2': expected a whole number of processes"),
            ({"jobs": True}, TypeError, "jobs=True: expected a whole number of processes"),
            ({"existing": None}, TypeError, "existing=None: expected one of: skip, replace, error"),
            ({"on_report": "a.txt"}, TypeError, "on_report='a.txt': expected a function that takes a ConversionReport"),
            ({"rejects": "x.jsonl", "on_error": "quarantine"}, trackparse.OptionError, "rejects: not for several logs"),
            ({"progress": print}, trackparse.OptionError, "progress: not for several logs: on_report"),
            ({"colums": []}, TypeError, "unknown option 'colums'"),
        ],
        ids=str,
    )
    def test_a_wrong_value(
        self, options: dict[str, Any], error: type[Exception], message: str, days: Path, lake: Path
    ) -> None:
        with pytest.raises(error) as caught:
            trackparse.convert_logs(days, lake, **options)
        assert message in str(caught.value)
        assert not lake.exists()

    def test_two_logs_of_one_name(self, days: Path, lake: Path) -> None:
        (days / "a.zip").write_bytes(python_zip({"a.csv": H8 + line()}))
        with pytest.raises(trackparse.OptionError, match=r"a\.csv and .*a\.zip would both become .*a\.parquet"):
            trackparse.convert_logs(days, lake)
        assert not lake.exists()

    def test_a_log_that_would_be_written_over(self, days: Path) -> None:
        (days / "a.csv").rename(days / "a.parquet")
        with pytest.raises(trackparse.OptionError, match=r"a\.parquet is the log itself"):
            trackparse.convert_logs(days / "*", days)

    @pytest.mark.parametrize("dest", ["ftp://lake/push", "https://lake/push"])
    def test_a_place_that_is_no_folder(self, dest: str, days: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(days)
        before = content(days)
        with pytest.raises(trackparse.OptionError, match=dest):
            trackparse.convert_logs(days, dest)
        assert content(days) == before

    def test_a_log_without_a_name(self, lake: Path) -> None:
        with pytest.raises(trackparse.OptionError, match="convert_log"):
            trackparse.convert_logs([H8], lake)
        assert not lake.exists()


@jobs
def test_an_error_of_the_caller_stops_all_and_leaves_no_half_file(jobs: int, days: Path, lake: Path) -> None:
    (days / "z.csv").write_bytes(H8 + b"".join(encode_row(fields) for fields in sample_rows(20_000 // SLOW)))

    def refuse(report: trackparse.ConversionReport) -> None:
        raise KeyError(report.source)

    with pytest.raises(KeyError):
        trackparse.convert_logs(days, lake, jobs=jobs, on_report=refuse)
    assert {*content(lake)} <= {"a.parquet", "b.parquet"}


def halves(lake: Path) -> list[str]:
    """The files in the folder that are no whole ones."""
    return [name for name in (content(lake) if lake.exists() else {}) if not name.endswith(".parquet")]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_ended_and_repeated_has_every_row_once(how: signal.Signals, days: Path, lake: Path) -> None:
    rows = 20_000 // SLOW
    data = H8 + b"".join(encode_row(fields) for fields in sample_rows(rows))
    for name in "defghi":
        (days / f"{name}.csv").write_bytes(data)
    code = f"import trackparse; {START_ALL_ALLOWED} print(0, flush=True); "
    code += f"trackparse.convert_logs({str(days)!r}, {str(lake)!r}, jobs=2)"
    dice = random.Random(how)
    for _ in range(1 + (how == signal.SIGKILL)):
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as run:
            assert run.stdout
            run.stdout.readline()
            time.sleep(dice.uniform(0.2, 1.2))
            run.send_signal(how)
        if how != signal.SIGKILL:
            # Ctrl-C waits for the workers. SIGTERM ends the first process at once, and the workers a moment later.
            deadline = time.monotonic() + (20 if how == signal.SIGTERM else 0)
            while halves(lake) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert not halves(lake)
        for path, count in rows_in(lake).items() if lake.exists() else ():
            assert count == {"a": 1, "b": 2, "c": 3}.get(path[0], rows)
    deadline = time.monotonic() + 20
    reports = trackparse.convert_logs(days, lake)
    while any(name.endswith(".tmp") for name in content(lake)) and time.monotonic() < deadline:
        time.sleep(0.1)  # workers of a process that was killed may still be ending
    assert not any(report.error for report in reports)
    assert rows_in(lake) == {f"{name}.parquet": {"a": 1, "b": 2, "c": 3}.get(name, rows) for name in "abcdefghi"}


class TestCommandLine:
    def test_a_folder_is_the_logs_in_it(self, days: Path, lake: Path) -> None:
        result = good("convert", days, "--to", lake, "--jobs", 2)
        assert result.stdout.count("rows, ") + result.stdout.count("row, ") == 3
        assert rows_in(lake) == {"a.parquet": 1, "b.parquet": 2, "c.parquet": 3}
        assert "records         6" in good("stats", days).stdout or good("stats", days).stdout.count("records") == 3
        assert "no log in this directory" in failed(1, "convert", lake)

    def test_what_was_converted_before(self, days: Path, lake: Path) -> None:
        good("convert", days, "--to", lake, "--existing", "skip")
        again = good("convert", days, "--to", lake, "--existing", "skip")
        assert again.stdout.splitlines() == [
            f"{lake / 'a.parquet'}: 1 row, converted before",
            f"{lake / 'b.parquet'}: 2 rows, converted before",
            f"{lake / 'c.parquet'}: 3 rows, converted before",
        ]
        assert all(report.skipped for report in trackparse.convert_logs(days, lake, on_error="quarantine"))
        assert "converted before" not in good("convert", days, "--to", lake).stdout
        message = failed(1, "convert", days / "b.csv", "--to", lake, "--existing", "error")
        assert (
            "b.parquet: the file exists; write to another folder, or write over it with --existing replace" in message
        )


def test_damage_is_not_forgotten_when_a_log_is_skipped(days: Path, lake: Path) -> None:
    broken = days / "broken.zip"
    broken.write_bytes(sample(20_000)[:-50_000])
    for again in (False, True):
        (report,) = trackparse.convert_logs(broken, lake, on_damage="keep")
        assert report.skipped is again
        assert "broken.zip" in str(report.damage)


def test_a_folder_in_a_file_system_is_made(days: Path, tmp_path: Path) -> None:
    files = pafs.SubTreeFileSystem(str(tmp_path), pafs.LocalFileSystem())
    log = next(days.glob("*.zip"), None) or next(days.iterdir())
    name = str(log.relative_to(tmp_path))
    for again in (False, True):
        (report,) = trackparse.convert_logs(name, "new/lake", filesystem=files)
        assert report.error is None
        assert report.skipped is again
    assert (tmp_path / "new/lake" / log.name).with_suffix(".parquet").exists()


def test_a_job_that_a_worker_cannot_read_is_told(days: Path, lake: Path) -> None:
    class Files(pafs.SubTreeFileSystem):  # type: ignore[misc] # a worker knows no class of a function
        def __reduce__(self) -> Any:
            return _gone, ()

    logs = [str(path.relative_to(days)) for path in sorted(days.iterdir())][:2]
    reports = trackparse.convert_logs(
        logs, "lake", jobs=2, filesystem=Files(str(days), pafs.LocalFileSystem()), limits=trackparse.Limits()
    )
    assert all("unexpected error" in str(report.error) for report in reports)


def _gone() -> None:
    raise AttributeError("Can't get attribute 'Files'")
