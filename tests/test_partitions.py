"""Many logs to hive partitions: what engines read back, what a repeated or broken run leaves, and what it may cost."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

import trackparse
from support.archives import python_zip
from support.cli import failed, good
from support.kernels import SLOW
from support.logs import H6, H8, line, line6
from test_convert_logs import change
from trackparse.convert import partitions
from trackparse.convert.jobs import Existing
from trackparse.convert.lake import folder_name
from trackparse.convert.places import Folder
from trackparse.schema import COLUMNS
from trackparse.testing.sample import encode_row, sample_rows

NULL = "__HIVE_DEFAULT_PARTITION__"
KEYS = pa.schema([("date", pa.string()), ("appCode", pa.string()), ("status", pa.string())])
jobs = pytest.mark.parametrize("jobs", [1, 2])


def day(number: int, apps: int = 3, rows: int = 60) -> bytes:
    """A log whose records are of two days and some apps, in no order of them."""
    return H8 + b"".join(
        line(
            b'{"n":%d}' % row,
            time=b"2021-04-%02d %02d:00:00" % (number + row % 2, row % 24),
            app=b"A-%d" % (row * 7 % apps),
        )
        for row in range(rows)
    )


def three_days(first: int) -> bytes:
    """A log of three days and two apps. Most of it is of one app on the day in the middle."""
    return H8 + b"".join(
        line(
            b'{"n":%d}' % row,
            time=b"2021-04-%02d 12:00:00" % (first + (row % 3 if row % 4 == 0 else 1)),
            app=b"A-%d" % (row % 8 == 0),
        )
        for row in range(600)
    )


@pytest.fixture
def days(tmp_path: Path) -> Path:
    """A folder with two logs, whose days overlap."""
    folder = tmp_path / "days"
    folder.mkdir()
    for number, name in ((1, "a"), (2, "b")):
        (folder / f"{name}.csv").write_bytes(day(number))
    return folder


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.parquet"))


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def as_rows(table: pa.Table, by: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """The rows in an order of their own, with the partition columns as text."""
    names = [name for name in sorted({*COLUMNS, *by}) if name in table.column_names]
    return sorted(zip(*(map(repr, table[name].to_pylist()) for name in names), strict=True))


def expected(logs: Path, by: tuple[str, ...], **options: Any) -> list[tuple[Any, ...]]:
    table = trackparse.dataset(logs, **options).to_table()
    if "date" in by:
        table = table.append_column("date", pc.strftime(table["timestamp"], "%Y-%m-%d"))
    return as_rows(table, by)


def by_pyarrow(lake: Path, by: tuple[str, ...]) -> list[tuple[Any, ...]]:
    keys = pa.schema([KEYS.field(name) for name in by])
    return as_rows(ds.dataset(lake, partitioning=ds.partitioning(keys, flavor="hive")).to_table(), by)


def queried(query: str) -> pa.Table:
    relation = duckdb.sql(query)
    assert relation is not None
    return relation.to_arrow_table()


def by_duckdb(lake: Path, by: tuple[str, ...]) -> list[tuple[Any, ...]]:
    files = f"read_parquet('{lake}/**/*.parquet', hive_partitioning = true, hive_types_autocast = false)"
    return as_rows(queried(f"SELECT * FROM {files}"), by)  # noqa: S608


def by_polars(lake: Path, by: tuple[str, ...]) -> list[tuple[Any, ...]]:
    keys = dict.fromkeys(by, pl.String)
    frame = pl.scan_parquet(f"{lake}/**/*.parquet", hive_partitioning=True, hive_schema=keys).collect()
    return as_rows(frame.to_arrow(), by)


class TestRead:
    @pytest.mark.parametrize("by", [("date",), ("appCode",), ("date", "appCode"), ("status", "date")], ids=str)
    def test_engines_read_back_what_was_in_the_logs(self, by: tuple[str, ...], days: Path, lake: Path) -> None:
        reports = trackparse.convert_logs(days, lake, partition_by=by)
        wanted = expected(days, by)
        assert by_pyarrow(lake, by) == by_duckdb(lake, by) == by_polars(lake, by) == wanted
        for report in reports:
            assert report.path == lake
            assert sorted(map(str, report.files)) == [
                str(lake / name) for name in files(lake) if Path(name).stem == Path(report.source).stem
            ]
            assert report.bytes_out == sum(path.stat().st_size for path in map(Path, report.files))
        assert sum(report.records for report in reports) == len(wanted)
        for name in files(lake):
            schema = pq.read_schema(lake / name)
            assert not {*by} & {*schema.names}
            assert schema.names == [column for column in COLUMNS if column not in by]

    def test_a_file_for_each_log_and_partition_with_one_row_group(self, days: Path, lake: Path) -> None:
        trackparse.convert_logs(days, lake, partition_by=("date", "appCode"))
        assert files(lake) == sorted(
            f"date=2021-04-{date:02}/appCode=A-{app}/{name}.parquet"
            for name, first in (("a", 1), ("b", 2))
            for date in (first, first + 1)
            for app in range(3)
        )
        assert {pq.read_metadata(lake / name).num_row_groups for name in files(lake)} == {1}

    def test_other_files_are_not_opened(self, days: Path, lake: Path) -> None:
        trackparse.convert_logs(days, lake, partition_by=("date", "appCode"))
        for name in files(lake)[1:]:  # DuckDB takes the schema of the first one
            if "date=2021-04-02/appCode=A-1" not in name:
                (lake / name).write_bytes(b"not opened")
        keys = ds.partitioning(KEYS, flavor="hive")
        schema = pa.schema([("hwid", pa.string()), *KEYS])
        wanted = (pc.field("date") == "2021-04-02") & (pc.field("appCode") == "A-1")
        assert ds.dataset(lake, schema, partitioning=keys).to_table(filter=wanted).num_rows == 20
        query = f"FROM read_parquet('{lake}/**/*.parquet', hive_partitioning = true) WHERE date = '2021-04-02'"
        assert queried(f"SELECT hwid {query} AND appCode = 'A-1'").num_rows == 20
        scanned = pl.scan_parquet(f"{lake}/**/*.parquet", hive_partitioning=True, schema={
            name: pl.Datetime("us") if name == "timestamp" else pl.String
            for name in COLUMNS if name != "appCode"
        }, hive_schema={"date": pl.String, "appCode": pl.String})  # fmt: skip
        scanned = scanned.filter(pl.col("date") == "2021-04-02", pl.col("appCode") == "A-1")
        assert scanned.select("hwid").collect().height == 20

    def test_odd_characters_come_back(self, tmp_path: Path, lake: Path) -> None:
        odd = ["a/b", "x=y", "100%", "%41", "q?#", 'say "hi"', "it's", "C:\\d", "täg+ 您", "a\tb", "{[^]}", "*", "..",
               " ", "007", "a;b", "\x7f", "NULL", "~&<>|"]  # fmt: skip
        log = tmp_path / "odd.csv"
        log.write_bytes(H8 + b"".join(line(app=b'"%s"' % app.replace('"', '""').encode()) for app in odd))
        trackparse.convert_logs(log, lake, partition_by=("appCode",), dialect="rfc4180")
        wanted = expected(log, ("appCode",), dialect="rfc4180")
        assert {row[0] for row in wanted} == {*map(repr, odd)}
        assert (
            by_pyarrow(lake, ("appCode",)) == by_duckdb(lake, ("appCode",)) == by_polars(lake, ("appCode",)) == wanted
        )
        assert {path.name for path in lake.iterdir()} >= {"appCode=a%2Fb", "appCode=100%25", "appCode=täg+ 您"}

    def test_hive_escapes_these_characters_and_no_others(self) -> None:
        for char in map(chr, range(1, 128)):
            escaped = char < " " or char in "\"#%'*/:=?\\{[]^\x7f"
            wanted = f"appCode=a{f'%{ord(char):02X}' if escaped else char}b"
            assert folder_name("appCode", f"a{char}b") == wanted

    def test_null_and_empty_text_are_one_partition(self, tmp_path: Path, lake: Path) -> None:
        log = tmp_path / "both.csv"
        log.write_bytes(H6 + line6() * 2 + H8 + line(app=b"") + line(app=NULL.encode()) + line())
        trackparse.convert_logs(log, lake, partition_by=("appCode",))
        table = ds.dataset(lake, partitioning=ds.partitioning(pa.schema([KEYS.field("appCode")]), flavor="hive"))
        assert table.to_table()["appCode"].null_count == 4
        assert files(lake)[-1] == f"appCode={NULL}/both.parquet"
        assert len(files(lake)) == 2

    def test_columns_and_filters_and_payload_columns(self, days: Path, lake: Path) -> None:
        options: Any = {
            "columns": ["hwid", "status"],
            "payload_columns": {"n": ("/n", pa.int64())},
            "where": trackparse.Filter(app_codes=["A-1"]),
        }
        trackparse.convert_logs(days, lake, partition_by=("date", "appCode"), **options)
        table = ds.dataset(lake, partitioning=ds.partitioning(KEYS, flavor="hive")).to_table()
        assert table.column_names[:3] == ["hwid", "status", "n"]
        assert sorted(table["n"].to_pylist()) == sorted([row for row in range(60) if row * 7 % 3 == 1] * 2)
        assert {*table["appCode"].to_pylist()} == {"A-1"}


class TestMemory:
    @pytest.fixture
    def large(self, tmp_path: Path) -> Path:
        """A log in which one app has most of the records."""
        rows = (encode_row((*row[:6], "A-main" if number % 4 else f"A-{number % 7}", row[7]))
                for number, row in enumerate(sample_rows(3000)))  # fmt: skip
        (tmp_path / "large.csv").write_bytes(H8 + b"".join(rows))
        return tmp_path / "large.csv"

    @pytest.mark.parametrize("by", [("appCode",), ("date", "status"), ("status",)], ids=str)
    def test_what_does_not_fit_gives_the_same_files(
        self, by: tuple[str, ...], large: Path, lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        options: Any = {"partition_by": by, "block_size": 1 << 14}
        trackparse.convert_logs(large, lake, **options)
        relieved: list[None] = []
        relieve = partitions.PartitionSink._relieve
        monkeypatch.setattr(partitions, "HELD_BYTES", 100_000)
        monkeypatch.setattr(partitions.PartitionSink, "_relieve", lambda sink: relieved.append(relieve(sink)))
        trackparse.convert_logs(large, tmp_path / "other", **options)
        assert len(relieved) > 3
        assert content(tmp_path / "other") == content(lake)
        assert by_pyarrow(lake, by) == expected(large, by)

    @pytest.mark.parametrize("held", [1, 10_000, 30_000])
    def test_a_partition_that_is_the_largest_only_later_has_each_row_once(
        self, held: int, lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log = tmp_path / "turns.csv"
        mixed, one = [b"A-%d" % (row % 4) for row in range(400)], [b"A-1"] * 400
        apps = [*mixed, *one, *mixed, *one]
        log.write_bytes(H8 + b"".join(line(b"%d" % row, app=app) for row, app in enumerate(apps)))
        monkeypatch.setattr(partitions, "HELD_BYTES", held)
        (report,) = trackparse.convert_logs(log, lake, partition_by=("appCode",), block_size=4096)
        assert (report.error, report.records) == (None, 1600)
        assert by_pyarrow(lake, ("appCode",)) == expected(log, ("appCode",))

    def test_what_failed_leaves_nothing(self, large: Path, lake: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(partitions, "HELD_BYTES", 100_000)
        large.write_bytes(large.read_bytes() + b"bad\n")
        (report,) = trackparse.convert_logs(large, lake, partition_by=("appCode",), block_size=1 << 14)
        assert isinstance(report.error, trackparse.RecordError)
        assert content(lake) == {}

    @pytest.mark.parametrize("held", [100_000, partitions.HELD_BYTES], ids=["spilled", "held"])
    @pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()], ids=["error", "interrupt"])
    @pytest.mark.parametrize("written", [0, 1, 2, 3])
    def test_a_run_that_fails_while_it_writes_leaves_no_empty_folder_of_its_own(
        self,
        written: int,
        error: BaseException,
        held: int,
        large: Path,
        lake: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """In the first of the files that get their names together, and behind some that have theirs."""
        by = ("appCode", "status")
        theirs = [lake / "appCode=A-3", lake / "appCode=A-1/status=sent", lake / "appCode=A-1/empty"]
        for folder in theirs:
            folder.mkdir(parents=True)
        left = [written]
        write_file = partitions.PartitionSink._write_file

        def failing(*arguments: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise error
            return write_file(*arguments)

        monkeypatch.setattr(partitions, "HELD_BYTES", held)
        monkeypatch.setattr(partitions, "_TOGETHER", 2)
        with monkeypatch.context() as patched:
            patched.setattr(partitions.PartitionSink, "_write_file", failing)
            with suppress(KeyboardInterrupt):
                (report,) = trackparse.convert_logs(large, lake, partition_by=by, block_size=1 << 14)
                assert report.error is error
        assert len(files(lake)) == written // 2 * 2
        assert {folder for folder in lake.rglob("*") if folder.is_dir() and not any(folder.iterdir())} <= {*theirs}
        assert all(folder.is_dir() for folder in theirs)
        assert (lake / "_trackparse").exists() == (written > 1)
        (report,) = trackparse.convert_logs(large, lake, partition_by=by)
        assert report.error is None
        assert by_pyarrow(lake, by) == expected(large, by)

    def test_an_interruption_while_a_log_is_read_leaves_no_folder(
        self, large: Path, lake: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The folder of the partition that is written meanwhile."""
        monkeypatch.setattr(partitions, "HELD_BYTES", 100_000)

        def interrupted(sink: partitions.PartitionSink, segments: Any) -> None:
            write(sink, segments)
            if [*lake.glob("appCode=*/.*")]:
                raise KeyboardInterrupt

        write = partitions.PartitionSink.write
        monkeypatch.setattr(partitions.PartitionSink, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            trackparse.convert_logs(large, lake, partition_by=("appCode",), block_size=1 << 14)
        assert not lake.exists()

    def test_a_folder_that_another_process_removes_is_made_again(
        self, days: Path, lake: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It had made it, too, and could not convert its log."""
        left = [3]
        make_folder_of = Folder.make_folder_of

        def removed_at_once(folder: Folder, name: str) -> None:
            make_folder_of(folder, name)
            if "=" in name and left[0]:
                left[0] -= 1
                folder.remove_if_empty(name.rpartition("/")[0])

        monkeypatch.setattr(Folder, "make_folder_of", removed_at_once)
        reports = trackparse.convert_logs(days, lake, partition_by=("date",))
        assert [report.error for report in reports] == [None, None]
        assert by_pyarrow(lake, ("date",)) == expected(days, ("date",))

    @pytest.mark.parametrize("jobs", [1, 2])
    def test_logs_that_failed_leave_no_folder(self, jobs: int, days: Path, lake: Path) -> None:
        options: Any = {"partition_by": ("date",), "jobs": jobs, "on_error": "quarantine"}
        reports = trackparse.convert_logs(days, lake, payload_columns={"date": "/x"}, **options)
        assert all("a payload column has the name 'date'" in str(report.error) for report in reports)
        assert not lake.exists()
        (days / "a.csv").write_bytes(b"<html>")
        trackparse.convert_logs(days, lake, **options)
        assert (lake / "_trackparse/b.json").exists()

    def test_too_many_partitions_are_an_error(self, large: Path, lake: Path) -> None:
        limits = trackparse.Limits(max_partitions=20)
        (report,) = trackparse.convert_logs(large, lake, partition_by=("hwid",), limits=limits)
        assert "more than 20 partitions by hwid; partition by columns with fewer" in str(report.error)
        assert content(lake) == {}

    def test_the_names_of_all_partitions_are_bounded(self, tmp_path: Path, lake: Path) -> None:
        """They are held several times, in all: 10,000 of 1,600 bytes took 836 MiB."""
        log = tmp_path / "log.csv"
        log.write_bytes(H8 + b"".join(line(app=b"A-%d" % n + b"x" * 190) for n in range(12)))
        limits = trackparse.Limits(max_partitions=12)
        (report,) = trackparse.convert_logs(log, lake, partition_by=("appCode",), limits=limits)
        assert report.error is None
        log.write_bytes(H8 + b"".join(line(app=b"A-%d" % n + b"x" * 210) for n in range(12)))
        (report,) = trackparse.convert_logs(log, lake, partition_by=("appCode",), limits=limits)
        assert "the values of the partitions by appCode have more than 2400 bytes in all" in str(report.error)

    def test_as_many_partitions_as_are_allowed_are_none_too_many(self, tmp_path: Path, lake: Path) -> None:
        log = tmp_path / "log.csv"
        log.write_bytes(H8 + b"".join(line(app=b"A-%d" % n) for n in range(3)))
        for most in (2, 3):
            limits = trackparse.Limits(max_partitions=most)
            (report,) = trackparse.convert_logs(log, lake, partition_by=("appCode",), limits=limits)
            assert (report.error is None) == (most == 3)


class TestRepeated:
    @jobs
    def test_a_second_run_does_nothing(self, jobs: int, days: Path, lake: Path) -> None:
        first = trackparse.convert_logs(days, lake, partition_by=("date",), jobs=jobs)
        before = content(lake)
        inodes = [path.stat().st_ino for path in sorted(lake.rglob("*"))]
        again = trackparse.convert_logs(days, lake, partition_by=iter(["date"]), jobs=jobs)
        assert [report.skipped for report in again] == [True, True]
        assert [(r.records, r.bytes_out, r.path, r.files) for r in again] == [
            (r.records, r.bytes_out, r.path, r.files) for r in first
        ]
        assert content(lake) == before
        assert [path.stat().st_ino for path in sorted(lake.rglob("*"))] == inodes
        assert json.loads(json.dumps(again[0].to_dict()))["files"] == [*map(str, again[0].files)]

    def test_a_log_that_has_changed_has_no_row_twice(self, days: Path, lake: Path) -> None:
        trackparse.convert_logs(days, lake, partition_by=("date", "appCode"))
        change(days / "a.csv", day(2, apps=5))
        reports = trackparse.convert_logs(days, lake, partition_by=("date", "appCode"))
        assert [report.skipped for report in reports] == [False, True]
        assert by_pyarrow(lake, ("date", "appCode")) == expected(days, ("date", "appCode"))
        assert not (lake / "date=2021-04-01/appCode=A-0/a.parquet").exists()

    def test_other_partitions_have_no_row_twice(self, days: Path, lake: Path) -> None:
        trackparse.convert_logs(days, lake, partition_by=("date", "appCode"))
        trackparse.convert_logs(days, lake, partition_by=("date",))
        assert by_pyarrow(lake, ("date",)) == expected(days, ("date",))
        assert len(files(lake)) == 4

    def test_old_partitions_are_gone_before_new_ones_have_their_names(
        self, days: Path, lake: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No reader finds a row twice, whenever the run is killed."""
        trackparse.convert_logs(days / "a.csv", lake, partition_by=("date", "appCode"))
        old = [*lake.rglob("a.parquet")]
        still_there: list[list[Path]] = []
        replace = Path.replace

        def watched(path: Path, target: Path) -> Path:
            if target.name == "a.parquet":
                still_there.append([one for one in old if one.exists()])
            return replace(path, target)

        monkeypatch.setattr(Path, "replace", watched)
        trackparse.convert_logs(days / "a.csv", lake, partition_by=("date",))
        assert len(old) > 1
        assert still_there
        assert not any(still_there)

    @pytest.mark.parametrize("moment", range(9))
    def test_a_run_that_is_killed_is_made_good_by_the_next(
        self, moment: int, days: Path, lake: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Killed before the n-th change of a name."""
        by = ("date", "appCode")
        trackparse.convert_logs(days, lake, partition_by=by)
        change(days / "a.csv", day(4, apps=2))
        left = [moment]

        class Killed(BaseException):
            pass

        def counted(act: Callable[..., Any]) -> Callable[..., Any]:
            def acts(*arguments: Any, **more: Any) -> Any:
                if left[0] <= 0:
                    raise Killed
                left[0] -= 1
                return act(*arguments, **more)

            return acts

        with monkeypatch.context() as patched:
            patched.setattr(Path, "replace", counted(Path.replace))
            patched.setattr(Path, "unlink", counted(Path.unlink))
            with pytest.raises(Killed):
                trackparse.convert_logs(days, lake, partition_by=by, existing="replace")
        told = json.loads((lake / "_trackparse/a.json").read_bytes())
        assert not told["whole"] or by_pyarrow(lake, by) != expected(days, by)
        reports = trackparse.convert_logs(days, lake, partition_by=by)
        assert [report.error for report in reports] == [None, None]
        assert not reports[0].skipped
        assert by_pyarrow(lake, by) == expected(days, by)
        assert {name for name in content(lake) if "/." not in name} == {
            *files(lake), "_trackparse/a.json", "_trackparse/b.json"
        }  # fmt: skip

    @pytest.mark.parametrize("held", [20_000, partitions.HELD_BYTES], ids=["spilled", "held"])
    @pytest.mark.parametrize("failing", range(6))
    def test_a_file_that_cannot_be_brought_to_the_disk_costs_no_old_one(
        self, failing: int, held: int, tmp_path: Path, lake: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """In the spilled case one partition is most of the log, and is written while the log is read."""
        log, by = tmp_path / "log.csv", ("date", "appCode")
        monkeypatch.setattr(partitions, "HELD_BYTES", held)
        log.write_bytes(three_days(1))
        trackparse.convert_logs(log, lake, partition_by=by)
        old = {name: data for name, data in content(lake).items() if name.endswith(".parquet")}
        folders = {path for path in lake.rglob("*") if path.is_dir()}
        change(log, three_days(2))
        left = [1 + failing]  # the first one is that of the list of files
        flush = os.fsync

        def fails(file: int) -> None:
            left[0] -= 1
            if left[0] == -1:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            flush(file)

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", fails)
            [report] = trackparse.convert_logs(log, lake, partition_by=by)
        assert os.strerror(errno.EIO) in str(report.error)
        assert ".parquet" in str(report.error)
        assert {name: data for name, data in content(lake).items() if name.endswith(".parquet")} == old
        assert {path for path in lake.rglob("*") if path.is_dir()} == folders
        [report] = trackparse.convert_logs(log, lake, partition_by=by)
        assert report.error is None
        assert by_pyarrow(lake, by) == expected(log, by)
        assert not (lake / "date=2021-04-01").exists()

    @pytest.mark.parametrize("held", [20_000, partitions.HELD_BYTES], ids=["spilled", "held"])
    def test_a_signal_between_old_and_new_files_waits_for_the_new_ones(
        self, held: int, tmp_path: Path, lake: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        log, by = tmp_path / "log.csv", ("date", "appCode")
        monkeypatch.setattr(partitions, "HELD_BYTES", held)
        log.write_bytes(three_days(1))
        trackparse.convert_logs(log, lake, partition_by=by)
        change(log, three_days(2))
        remove = Folder.remove

        def interrupted(folder: Folder, name: str) -> None:
            remove(folder, name)
            signal.raise_signal(signal.SIGINT)
            time.sleep(0.05)  # for the main thread to hear of it

        monkeypatch.setattr(Folder, "remove", interrupted)
        with pytest.raises(KeyboardInterrupt):
            trackparse.convert_logs(log, lake, partition_by=by)
        assert by_pyarrow(lake, by) == expected(log, by)

    def test_of_a_folder_that_others_use_only_stale_files_go(self, tmp_path: Path, lake: Path) -> None:
        log = tmp_path / "log.csv"
        log.write_bytes(three_days(1))
        trackparse.convert_logs(log, lake, partition_by=("date", "appCode"))
        other = lake / "date=2021-04-01/appCode=A-1/other.parquet"
        other.write_bytes(b"other")
        change(log, three_days(2))
        trackparse.convert_logs(log, lake, partition_by=("date", "appCode"))
        assert [*(lake / "date=2021-04-01").rglob("*")] == [other.parent, other]

    def test_a_file_that_is_gone_is_made_again_and_one_that_was_changed_is_kept(self, days: Path, lake: Path) -> None:
        trackparse.convert_logs(days, lake, partition_by=("date",))
        wanted = content(lake)
        (lake / "date=2021-04-01/a.parquet").unlink()
        reports = trackparse.convert_logs(days, lake, partition_by=("date",))
        assert [report.skipped for report in reports] == [False, True]
        assert content(lake) == wanted
        (lake / "date=2021-04-01/a.parquet").write_bytes(b"mine")
        reports = trackparse.convert_logs(days, lake, partition_by=("date",))
        assert "date=2021-04-01/a.parquet: the file has changed since it was made" in str(reports[0].error)
        assert (lake / "date=2021-04-01/a.parquet").read_bytes() == b"mine"

    @pytest.mark.parametrize("gone", ["the file", "its folder"])
    @pytest.mark.parametrize("existing", ["skip", "replace"])
    def test_what_is_stale_and_gone_is_fine(self, existing: Existing, gone: str, tmp_path: Path, lake: Path) -> None:
        log, old = tmp_path / "log.csv", lake / "appCode=A-2"
        log.write_bytes(day(1))
        trackparse.convert_logs(log, lake, partition_by=("appCode",))
        (old / "log.parquet").unlink()
        if gone == "its folder":
            old.rmdir()
        log.write_bytes(day(1, apps=2))
        [report] = trackparse.convert_logs(log, lake, partition_by=("appCode",), existing=existing)
        assert report.error is None
        assert files(lake) == ["appCode=A-0/log.parquet", "appCode=A-1/log.parquet"]
        assert by_pyarrow(lake, ("appCode",)) == expected(log, ("appCode",))

    @pytest.mark.parametrize("existing", ["skip", "replace"])
    @pytest.mark.parametrize(
        "name",
        ["../mine.parquet", "../a.parquet", "_trackparse/../../a.parquet", "/{}/a.parquet", "/{}/date=1/a.parquet"],
    )
    def test_a_list_that_names_files_elsewhere_removes_none(
        self, days: Path, lake: Path, name: str, existing: Any
    ) -> None:
        trackparse.convert_logs(days / "a.csv", lake, partition_by=("date",))
        theirs = lake / name.format(lake.parent)
        theirs.parent.mkdir(exist_ok=True)
        theirs.write_bytes(b"mine")
        place = lake / "_trackparse/a.json"
        told = json.loads(place.read_bytes())
        told["made_of"]["size"] = 1
        told["files"][name.format(lake.parent)] = [1, 4]
        place.write_text(json.dumps(told))
        (report,) = trackparse.convert_logs(days / "a.csv", lake, partition_by=("date",), existing=existing)
        if existing == "skip":
            assert "a.json: not a list of the files of a log" in str(report.error)
        else:
            assert report.error is None
        assert theirs.read_bytes() == b"mine"

    @pytest.mark.parametrize("existing", ["skip", "replace"])
    @pytest.mark.parametrize(
        "change",
        [
            '"files": {"date=1/a.parquet": [1e999, 1]}',
            '"files": {"date=1\\u0000/a.parquet": [1, 1]}',
            '"files": {"date=\\ud800/a.parquet": [1, 1]}',
            '"files": ' + "[" * 100_000,
            '"made_of": {"a": 1}',
            '"made_of": {"name": 1}',
        ],
        ids=lambda change: change[:30],
    )
    def test_a_damaged_list_is_an_error_of_its_log(self, days: Path, lake: Path, change: str, existing: Any) -> None:
        trackparse.convert_logs(days, lake, partition_by=("date",))
        place = lake / "_trackparse/a.json"
        place.write_text(place.read_text().rstrip()[:-1] + f", {change}}}")
        first, second = trackparse.convert_logs(days, lake, partition_by=("date",), existing=existing)
        if existing == "skip":
            assert "a.json: " in str(first.error)
        else:
            assert first.error is None
        assert second.error is None

    def test_files_of_others_are_kept(self, days: Path, lake: Path, tmp_path: Path) -> None:
        foreign = lake / "date=2021-04-01" / "a.parquet"
        foreign.parent.mkdir(parents=True)
        foreign.write_bytes(b"mine")
        reports = trackparse.convert_logs(days, lake, partition_by=("date",))
        assert "a.parquet: the file exists, and no list of a conversion of this log has it" in str(reports[0].error)
        assert reports[1].error is None
        assert foreign.read_bytes() == b"mine"
        assert files(lake) == ["date=2021-04-01/a.parquet", "date=2021-04-02/b.parquet", "date=2021-04-03/b.parquet"]
        (lake / "_trackparse" / "a.json").write_bytes(b"mine")
        (report,) = trackparse.convert_logs(days / "a.csv", lake, partition_by=("date",))
        assert "a.json: not a list of the files of a log; convert the log again with existing=" in str(report.error)
        (report,) = trackparse.convert_logs(days / "a.csv", lake, partition_by=("date",), existing="replace")
        assert report.error is None
        assert by_pyarrow(lake, ("date",)) == expected(days, ("date",))
        other = tmp_path / "other" / "a.csv"
        other.parent.mkdir()
        other.write_bytes(day(9))
        (report,) = trackparse.convert_logs(other, lake, partition_by=("date",))
        assert f"made of another log, {days / 'a.csv'}" in str(report.error)
        (report,) = trackparse.convert_logs(days / "a.csv", lake, partition_by=("date",), existing="error")
        assert "converted before" in str(report.error)
        assert by_pyarrow(lake, ("date",)) == expected(days, ("date",))

    @pytest.mark.parametrize("removed", ["all lists", "one list"])
    @pytest.mark.parametrize(
        ("before", "now"),
        [
            (("date",), ("appCode",)),
            (("date",), ("date", "appCode")),
            (("date", "appCode"), ("date",)),
            (("date", "appCode"), ("appCode", "date")),
            (("date", "status"), ("date", "appCode")),
            (("date",), ("date",)),
        ],
        ids=str,
    )
    def test_files_whose_list_was_removed_are_not_joined_by_others_of_the_same_log(
        self, before: tuple[str, ...], now: tuple[str, ...], removed: str, days: Path, lake: Path
    ) -> None:
        trackparse.convert_logs(days, lake, partition_by=before)
        was = {name: data for name, data in content(lake).items() if name.endswith("a.parquet")}
        for path in (lake / "_trackparse").glob("*" if removed == "all lists" else "a.json"):
            path.unlink()
        (days / "c.csv").write_bytes(day(3))  # a new one
        reports = trackparse.convert_logs(days, lake, partition_by=now)
        told = "a.parquet: the file exists, and no list of a conversion of this log has it; write to another folder"
        assert told in str(reports[0].error)
        assert (reports[1].error is None) == (removed == "one list")
        assert reports[2].error is None
        assert {name: data for name, data in content(lake).items() if name.endswith("a.parquet")} == was
        reports = trackparse.convert_logs(days, lake, partition_by=now, existing="replace")
        assert [report.error for report in reports] == [None] * 3
        assert by_pyarrow(lake, now) == expected(days, now)

    def test_replacing_the_files_of_another_log_is_said(
        self, days: Path, lake: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        trackparse.convert_logs(days, lake, partition_by=("date",))
        for folder in ("moved", "other"):
            (tmp_path / folder).mkdir()
        (days / "a.csv").rename(tmp_path / "moved/a.csv")
        trackparse.convert_logs(tmp_path / "moved", lake, partition_by=("date",), existing="replace")
        assert not caplog.messages
        (tmp_path / "other/a.csv").write_bytes(day(3))
        trackparse.convert_logs(tmp_path / "other", lake, partition_by=("date",), existing="replace")
        told = f"{tmp_path}/other/a.csv: in place of the files of another log, {tmp_path}/moved/a.csv"
        assert caplog.messages == [told]

    def test_after_a_damaged_list_replace_leaves_no_row_twice(self, days: Path, lake: Path) -> None:
        trackparse.convert_logs(days, lake, partition_by=("date",))
        (lake / "_trackparse" / "a.json").write_bytes(b'{"whole": true')
        change(days / "a.csv", day(2))
        (report,) = trackparse.convert_logs(days / "a.csv", lake, partition_by=("date",), existing="replace")
        assert report.error is None
        assert not (lake / "date=2021-04-01/a.parquet").exists()
        assert by_pyarrow(lake, ("date",)) == expected(days, ("date",))
        assert json.loads((lake / "_trackparse/a.json").read_bytes())["whole"]

    @pytest.mark.parametrize("existing", ["skip", "replace"])
    def test_one_log_is_not_in_one_file_and_in_partitions_of_a_folder(
        self, existing: Any, days: Path, lake: Path, tmp_path: Path
    ) -> None:
        trackparse.convert_logs(days / "a.csv", lake)
        reports = trackparse.convert_logs(days, lake, partition_by=("date",), existing=existing)
        assert "lake/a.parquet: a log of this name was converted to this one file" in str(reports[0].error)
        assert reports[1].error is None
        reports = trackparse.convert_logs(days, lake, existing=existing)
        assert "_trackparse/b.json: a log of this name was converted to partitions" in str(reports[1].error)
        assert files(lake) == ["a.parquet", "date=2021-04-02/b.parquet", "date=2021-04-03/b.parquet"]
        store = pafs.SubTreeFileSystem(str(tmp_path), pafs.LocalFileSystem())
        (report,) = trackparse.convert_logs("days/b.csv", "lake", filesystem=store)
        assert "lake/_trackparse/b.json: a log of this name" in str(report.error)
        (report,) = trackparse.convert_logs("days/b.csv", "b.parquet", filesystem=store)
        assert report.error is None


class TestBad:
    @jobs
    def test_a_bad_log_costs_itself(self, jobs: int, days: Path, lake: Path) -> None:
        (days / "c.csv").write_bytes(b"<html>")
        (days / "d.zip").write_bytes(python_zip({"log.csv": day(1, rows=5000)})[:-200])
        reports = trackparse.convert_logs(days, lake, jobs=jobs, partition_by=("date",))
        assert [type(report.error).__name__ for report in reports] == [
            "NoneType", "NoneType", "HeaderError", "TruncatedError"
        ]  # fmt: skip
        assert {Path(name).stem for name in content(lake)} == {"a", "b"}
        (kept,) = trackparse.convert_logs(days / "d.zip", lake, partition_by=("date",), on_damage="keep")
        (again,) = trackparse.convert_logs(days / "d.zip", lake, partition_by=("date",), on_damage="keep")
        assert kept.records == again.records > 0
        assert again.skipped
        assert str(kept.damage) == str(again.damage)
        assert b"trackparse.partial" in pq.read_metadata(kept.files[0]).metadata

    def test_bad_records_go_to_a_file_that_readers_of_the_lake_pass_over(self, days: Path, lake: Path) -> None:
        (days / "b.csv").write_bytes(day(2) + b"x\n")
        reports = trackparse.convert_logs(days, lake, partition_by=("date",), on_error="quarantine")
        rejects = lake / "_trackparse" / "b.rejects.jsonl"
        assert [report.rejects_path for report in reports] == [None, rejects]
        assert trackparse.read_rejects(rejects)["raw"].to_pylist() == [b"x\n"]
        assert len(by_pyarrow(lake, ("date",))) == 120

    def test_a_column_date_of_its_own_is_an_error(self, tmp_path: Path, lake: Path) -> None:
        log = tmp_path / "own.csv"
        log.write_bytes(b"//timestamp;tracking_code;date\n2021-04-20 13:01:01;T-1;today\n")
        (report,) = trackparse.convert_logs(log, lake, partition_by=("date",))
        assert "the log has a column 'date' of its own; leave 'date' out of columns=" in str(report.error)
        assert content(lake) == {}
        (report,) = trackparse.convert_logs(log, lake, partition_by=("date",), columns=["tracking_code"])
        assert (report.error, files(lake)) == (None, ["date=2021-04-20/own.parquet"])
        with_payload: Any = {"payload_columns": {"appCode": "/app"}, "columns": ["hwid"]}
        (report,) = trackparse.convert_logs(log, lake, partition_by=("appCode",), existing="replace", **with_payload)
        assert "a payload column has the name 'appCode', too; give it another name" in str(report.error)
        (report,) = trackparse.convert_logs(log, lake, partition_by=("hwid",), existing="replace", columns=["hwid"])
        assert "no column is left for the files" in str(report.error)

    def test_a_value_that_is_too_long_for_a_folder(self, days: Path, lake: Path) -> None:
        (days / "a.csv").write_bytes(H8 + line() + line(app=b"x" * 300))
        reports = trackparse.convert_logs(days, lake, partition_by=("appCode",))
        assert "partition_by: the appCode 'xxxxx" in str(reports[0].error)
        assert "too long for the name of a folder" in str(reports[0].error)
        assert {Path(name).stem for name in content(lake)} == {"b"}

    @pytest.mark.parametrize(
        ("by", "error", "message"),
        [
            ("date", TypeError, "expected a list of names, such as ('date',)"),
            (7, TypeError, "expected a list of names"),
            ([7], TypeError, "7 is not a name"),
            (["appcode"], trackparse.OptionError, "no column 'appcode': did you mean 'appCode'?"),
            (["timestamp"], trackparse.OptionError, "take 'date'"),
            (["date", "date"], trackparse.OptionError, "a column is named twice"),
        ],
        ids=str,
    )
    def test_a_wrong_value(self, by: Any, error: type[Exception], message: str, days: Path, lake: Path) -> None:
        with pytest.raises(error) as caught:
            trackparse.convert_logs(days, lake, partition_by=by)
        assert message in str(caught.value)
        assert not lake.exists()


class TestCommandLine:
    def test_partitions(self, days: Path, lake: Path) -> None:
        (days / "b.csv").write_bytes(day(2) + b"x\n")
        words = ["convert", days, "--to", lake, "--partition-by", "date, appCode", "--existing", "skip"]
        result = good(*words)
        assert f"{days / 'a.csv'}: 6 files in {lake}: 60 rows, " in result.stdout
        assert f"1 bad record set aside in {lake}/_trackparse/b.rejects.jsonl" in result.stderr
        assert f"{days / 'a.csv'}: 6 files in {lake}: 60 rows, converted before" in good(*words).stdout
        assert all(
            report.skipped
            for report in trackparse.convert_logs(days, lake, partition_by=["date", "appCode"], on_error="quarantine")
        )
        assert "converted before" not in good(*words[:-2]).stdout

    def test_what_cannot_be(self, days: Path, lake: Path) -> None:
        assert "name their directory with --to" in failed(2, "convert", days, "--partition-by", "date")
        # A variable of the shell that is not set.
        assert "no column ''" in failed(2, "convert", days, "--to", lake, "--partition-by", "")
        message = failed(2, "convert", days, "--to", lake, "--partition-by", "dat")
        assert "no column 'dat': did you mean 'date'?" in message
        assert os.listdir(days) == ["a.csv", "b.csv"] or len(os.listdir(days)) == 2  # noqa: PTH208


def test_one_log_whose_name_is_not_utf8_does_not_stop_the_others(tmp_path: Path) -> None:
    """Not now, nor when it is there from the last time, nor when the lists are lost."""
    logs, lake = tmp_path / "logs", tmp_path / "lake"
    logs.mkdir()
    for name in (b"a.csv", b"bad\xff.csv", b"c.csv"):
        Path(os.fsdecode(os.fsencode(logs) + b"/" + name)).write_bytes(H8 + line())
    runs: list[tuple[Existing, bool]] = [("skip", False), ("skip", True), ("replace", False)]
    for existing, skipped in runs:
        reports = trackparse.convert_logs(logs, lake, partition_by=["date"], existing=existing)
        assert [(report.error, report.skipped) for report in reports] == [(None, skipped)] * 3
    shutil.rmtree(lake / "_trackparse")
    reports = trackparse.convert_logs(logs, lake, partition_by=["date"], existing="replace")
    assert [report.error for report in reports] == [None] * 3
    assert len([*lake.rglob("*.parquet")]) == 3


def test_a_line_about_partitions_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "new\nline\x1b.csv").write_bytes(H8 + line())
    said = good("convert", tmp_path, "--to", tmp_path / "lake", "--partition-by", "date").stdout
    assert said.count("\n") == 1
    assert "new\\nline\\x1b.csv: 1 file in" in said


def by_turns(parts: int, headers: int) -> bytes:
    """A record for each of so many partitions, then so many headers in two orders with a record each."""
    first = b"".join(b"2021-04-20 13:01:01;T;v%d;\n" % number for number in range(parts))
    one = b"//timestamp;tracking_code;status\n2021-04-20 13:01:01;T;v0\n"
    other = b"//timestamp;status;tracking_code\n2021-04-20 13:01:01;v1;T\n"
    return b"//timestamp;tracking_code;status;x\n" + first + (one + other) * (headers // 2)


@pytest.mark.skipif(SLOW > 1, reason="the slow kernel takes long for other reasons")
def test_headers_that_change_cost_no_table_of_all_partitions(tmp_path: Path) -> None:
    """Each change of header had one: 13 s more for these 20,000."""
    spent = []
    for headers in (2, 20_000):
        path = tmp_path / f"log{headers}.csv"
        path.write_bytes(by_turns(1000, headers))
        start = time.process_time()
        (report,) = trackparse.convert_logs([path], tmp_path / f"lake{headers}", partition_by=("status",))
        spent.append(time.process_time() - start)
        assert report.error is None
    assert spent[1] - spent[0] < 2  # for 1.2 MB
    parts = ds.dataset(tmp_path / "lake20000", partitioning="hive")
    assert parts.count_rows() == 21_000
    assert parts.count_rows(filter=ds.field("status") == "v1") == 10_001


@pytest.mark.parametrize("every", [1, 7, 1100])
@pytest.mark.parametrize("held", [20_000, partitions.HELD_BYTES])
def test_headers_by_turns_among_many_partitions(
    held: int, every: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In memory and from the temporary file: each partition has its records, in the order of the log."""
    monkeypatch.setattr(partitions, "HELD_BYTES", held)
    dice = random.Random(1)
    log, wanted = b"", dict[str, list[str]]()
    names: list[bytes] = []
    for number in range(1500):
        if number % every == 0:
            names = [b"tracking_code", b"status", b"hwid"][: 2 + number // every % 2]
            dice.shuffle(names)
            log += b"//timestamp;" + b";".join(names) + b"\n"
        status = f"s{dice.randrange(40)}"
        values = {b"tracking_code": b"T-%d" % number, b"status": status.encode(), b"hwid": b"h"}
        log += b"2021-04-20 13:01:01;" + b";".join(values[name] for name in names) + b"\n"
        wanted.setdefault(status, []).append(f"T-{number}")
    path = tmp_path / "log.csv"
    path.write_bytes(b"//timestamp;tracking_code;status;hwid\n" + log)
    (report,) = trackparse.convert_logs([path], tmp_path / "lake", partition_by=("status",))
    assert report.error is None
    found = {
        file.parent.name.removeprefix("status="): pq.read_table(file, partitioning=None)["tracking_code"].to_pylist()
        for file in (tmp_path / "lake").glob("status=*/*.parquet")
    }
    assert found == wanted


@pytest.mark.parametrize("fault", ["a folder in the place of a file", "a full disk while the files get their names"])
def test_an_error_in_a_later_batch_of_files_costs_no_row(
    fault: str, tmp_path: Path, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files get their names in batches. The log has partitions that are as before, new ones, and some no longer."""
    log = tmp_path / "day.csv"

    def write(apps: Iterable[int], rows: int) -> None:
        names = (b"A-%03d" % app for app in apps for _ in range(rows))
        log.write_bytes(H8 + b"".join(line(b'{"n":%d}' % number, app=app) for number, app in enumerate(names)))

    def convert() -> trackparse.ConversionReport:
        (report,) = trackparse.convert_logs(log, lake, partition_by=("appCode",))
        return report

    both = {*range(20, 250)} - {240}
    write(both | {*range(250, 270)}, 1)
    assert convert().error is None
    old = content(lake)
    write(range(250), 2)
    place = lake / "appCode=A-240/day.parquet"
    renamed: list[Path] = []
    with monkeypatch.context() as patched:
        if fault.startswith("a folder"):
            (place / "in it").mkdir(parents=True)
        else:

            def replace(path: Path, target: Path, replace: Any = Path.replace) -> Path:
                renamed.append(target)
                if len(renamed) == 2 * partitions._TOGETHER:  # what was renamed is put back after that
                    raise OSError(28, "No space left on device")
                return replace(path, target)  # type: ignore[no-any-return]

            patched.setattr(Path, "replace", replace)
        for _ in range(2):
            renamed.clear()
            assert isinstance(convert().error, OSError)
            there = {path for path in lake.rglob("*.parquet") if path.is_file()}
            told = json.loads((lake / "_trackparse/day.json").read_bytes())
            assert not told["whole"]
            assert {str(path.relative_to(lake)) for path in there} <= {*told["files"]}
            # Each partition is as it was before or as it is now, and none that the log had and has is missing.
            rows = {path.parent.name.removeprefix("appCode="): pq.read_metadata(path).num_rows for path in there}
            assert {*rows} >= {f"A-{app:03}" for app in both}
            now = content(lake)
            as_before = [name for name in files(lake) if name in old and now.get(name) == old[name]]
            assert {*rows.values()} == {1, 2}
            assert len(as_before) == [*rows.values()].count(1)
            assert not [*lake.rglob(".*")]
    if fault.startswith("a folder"):
        shutil.rmtree(place)
    assert convert().error is None
    assert by_pyarrow(lake, ("appCode",)) == expected(log, ("appCode",))
    assert len(files(lake)) == 250
    assert convert().skipped
