"""A folder a day, and the same file name in each: one lake of them, whose names stay what they are."""

from __future__ import annotations

import errno
import functools
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

import trackparse
from support.cli import ended, failed, good
from support.logs import H8, line
from support.s3 import BUCKET, Bucket
from trackparse.convert.outputs import check_places, flat_name
from trackparse.sources.urls import name_of

DAYS = ["2021-04-20", "2021-04-21", "2021-04-22"]
NAMES = [f"{day}-app.parquet" for day in DAYS]
ROWS = 6


@pytest.fixture
def days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three logs, of one, two and three rows, each of its own day."""
    monkeypatch.chdir(tmp_path)
    for number, day in enumerate(DAYS, 1):
        Path("days", day).mkdir(parents=True)
        Path("days", day, "app.csv").write_bytes(log_of(day, number))
    return Path("days")


def log_of(day: str, rows: int) -> bytes:
    return H8 + line(time=b'"%s 13:00:00"' % day.encode()) * rows


def files_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet"))


def rows_in(folder: Path) -> int:
    return sum(pq.read_metadata(path).num_rows for path in folder.rglob("*.parquet"))


@pytest.mark.parametrize(
    ("below", "name"),
    [
        ("app.zip", "app.parquet"),
        ("2021-04-20/app.zip", "2021-04-20-app.parquet"),
        ("2021/04/20.csv.gz", "2021-04-20.parquet"),
        ("a.b/c.d.csv", "a.b-c.d.parquet"),
        ("date=2021-04-20/log", "date=2021-04-20-log.parquet"),
    ],
)
def test_a_name_is_the_path_below_the_folder(below: str, name: str) -> None:
    assert flat_name(below) == name


@pytest.mark.parametrize("sources", ["days", "days/", "days/*/app.csv", "days/**/*.csv", "./days/2021-*", "file"])
@pytest.mark.parametrize("by", [(), ("date",)])
def test_one_lake_of_all_however_often(sources: str, by: tuple[str, ...], days: Path) -> None:
    if sources == "file":
        sources = f"file://{days.resolve()}/*/app.csv"
    if sources.endswith("2021-*"):
        sources += "/*"
    lake = Path("lake")
    for run in range(3):
        reports = trackparse.convert_logs(sources, lake, partition_by=by)
        assert [(report.error, report.skipped) for report in reports] == [(None, run > 0)] * 3
    assert [Path(one).name for one in files_in(lake)] == NAMES
    assert rows_in(lake) == ROWS
    good("convert", sources, "--to", lake, *(["--partition-by", "date"] if by else []))
    assert [Path(one).name for one in files_in(lake)] == NAMES
    table = pads.dataset(lake, partitioning="hive").to_table()
    assert table.num_rows == ROWS


@pytest.mark.parametrize("by", [(), ("date", "appCode")])
def test_a_log_that_comes_later_changes_no_name(by: tuple[str, ...], days: Path) -> None:
    """With one log, or the first of its name, there is nothing that it could be taken for."""
    later = {day: (days / day / "app.csv").read_bytes() for day in DAYS[1:]}
    for day in later:
        (days / day / "app.csv").unlink()
    lake = Path("lake")
    trackparse.convert_logs(days, lake, partition_by=by)
    assert [Path(one).name for one in files_in(lake)] == NAMES[:1]
    for day, log in later.items():
        (days / day / "app.csv").write_bytes(log)
    reports = trackparse.convert_logs(days, lake, partition_by=by)
    assert [(report.error, report.skipped) for report in reports] == [(None, True), (None, False), (None, False)]
    assert rows_in(lake) == ROWS


@pytest.mark.parametrize("by", [[], ["--partition-by", "date"]], ids=["files", "partitions"])
@pytest.mark.parametrize("existing", ["skip", "replace", "error"])
@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("days", "days/2021-04-21"),
        ("days", "days/2021-04-21/app.csv"),
        ("days", "."),
        ("days/2021-04-21", "days"),
        ("days/2021-04-21/app.csv", "*/2021-04-21/app.csv"),
    ],
)
def test_a_log_named_by_another_folder_is_not_converted_twice(
    first: str, then: str, existing: str, by: list[str], days: Path
) -> None:
    good("convert", first, "--to", "lake", *by)
    before = rows_in(Path("lake"))
    told = ended(1, "convert", then, "--to", "lake", "--existing", existing, *by).stderr
    assert "2021-04-21/app.csv, too, which would now become" in told
    assert f"name the folder {Path(first if Path(first).is_dir() else Path(first).parent).resolve()}, or write" in told
    kept = ROWS if first == "days" or then == "days" else before
    assert rows_in(Path("lake")) == kept  # the other days are converted all the same


@pytest.mark.parametrize("by", [[], ["--partition-by", "date"]], ids=["files", "partitions"])
@pytest.mark.parametrize("existing", ["skip", "replace"])
@pytest.mark.parametrize("grown", [False, True])
@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("days", "link"),
        ("days/", "link/*.csv"),
        ("link", "days"),
        (".", "link/app.csv"),
        ("days/*/app.csv", "latest.csv"),
    ],
)
def test_a_log_named_through_a_link_is_not_converted_twice(
    first: str, then: str, grown: bool, existing: str, by: list[str], days: Path
) -> None:
    for day in DAYS[1:]:
        (days / day / "app.csv").unlink()
    log = days / DAYS[0] / "app.csv"
    Path("link").symlink_to(log.parent)
    Path("latest.csv").symlink_to(log)
    good("convert", first, "--to", "lake", "--existing", existing, *by)
    made = files_in(Path("lake"))
    assert rows_in(Path("lake")) == 1
    if grown:
        log.write_bytes(log_of(DAYS[0], 4))
    told = ended(1, "convert", then, "--to", "lake", "--existing", existing, *by).stderr
    assert "readers of the folder would find each record twice" in told
    assert files_in(Path("lake")) == made


def test_a_link_and_two_dots_lead_where_the_system_says(days: Path) -> None:
    """``x/link/../days`` is ``y/days`` if the link leads to ``y/sub``."""
    Path("y/sub").mkdir(parents=True)
    days.rename("y/days")
    Path("x/days", DAYS[0]).mkdir(parents=True)
    ours = Path("x/days", DAYS[0], "app.csv")
    ours.write_bytes(log_of(DAYS[0], 3))
    Path("x/link").symlink_to("../y/sub")
    trackparse.convert_logs("x/days", "lake")
    report, *others = trackparse.convert_logs("x/link/../days", "lake")
    assert f"made of another log, {ours.resolve()}" in str(report.error)
    assert [report.error for report in others] == [None] * 2
    assert pq.read_metadata(Path("lake", NAMES[0])).num_rows == 3


@pytest.mark.parametrize(("first", "then"), [((), ("date",)), (("date",), ())])
def test_neither_are_partitions_beside_a_file(first: tuple[str, ...], then: tuple[str, ...], days: Path) -> None:
    trackparse.convert_logs(days, "lake", partition_by=first)
    [report] = trackparse.convert_logs(days / DAYS[1], "lake", partition_by=then)
    assert "readers of the folder would find each record twice" in str(report.error)
    assert rows_in(Path("lake")) == ROWS


def test_a_folder_that_cannot_be_listed_is_an_error(days: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows whether it has the logs by another name."""
    trackparse.convert_logs("days", "lake")
    scandir = os.scandir

    def denied(path: Any) -> Any:
        if os.fspath(path) == "lake":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return scandir(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", denied)
        [report] = trackparse.convert_logs(days / DAYS[0], "lake")
    assert "Permission denied" in str(report.error)
    assert "lake" in str(report.error)
    assert files_in(Path("lake")) == NAMES


@pytest.mark.parametrize("by", [[], ["--partition-by", "date"]], ids=["files", "partitions"])
def test_the_advice_for_a_log_that_was_moved_names_a_folder_that_is_there(by: list[str], days: Path) -> None:
    good("convert", days, "--to", "lake", *by)
    days.rename("moved")
    log = Path("moved", DAYS[1], "app.csv")
    told = ended(1, "convert", log, "--to", "lake", "--existing", "skip", *by).stderr
    assert "app.csv, too, which would now become app.parquet: readers" in told
    assert f"; name the folder {log.parent.parent.resolve()}, or write to another folder" in told
    good("convert", "moved", "--to", "lake", "--existing", "skip", *by)
    assert rows_in(Path("lake")) == ROWS


def test_a_log_that_grew_is_the_same_log(days: Path) -> None:
    trackparse.convert_logs(days, "lake")
    (days / DAYS[1] / "app.csv").write_bytes(log_of(DAYS[1], 7))
    [report] = trackparse.convert_logs(days / DAYS[1], "lake")
    assert report.error
    assert [report.error for report in trackparse.convert_logs(days, "lake")] == [None] * 3
    assert rows_in(Path("lake")) == ROWS + 5


def test_another_log_of_such_a_name_is_no_obstacle(days: Path) -> None:
    """``other/app.csv`` is called ``app.parquet``, as ``days/2021-04-20/app.csv`` could have been."""
    Path("other").mkdir()
    Path("other/app.csv").write_bytes(log_of("2021-05-01", 4))
    trackparse.convert_logs("other", "lake")
    assert [report.error for report in trackparse.convert_logs(days, "lake")] == [None] * 3
    assert files_in(Path("lake")) == [*NAMES, "app.parquet"]
    Path("lake/2021-app.parquet").write_bytes(b"not Parquet")
    Path("lake/days-2021-04-20-app.parquet").write_bytes(b"")
    assert [report.error for report in trackparse.convert_logs(days, "lake", existing="replace")] == [None] * 3


@pytest.mark.parametrize("by", [(), ("date",)])
def test_logs_of_one_name_size_and_time_do_not_replace_each_other_without_a_word(
    by: tuple[str, ...], days: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logs = [days / day / "app.csv" for day in DAYS]
    for log in logs:
        log.write_bytes(log_of(DAYS[0], 1))
        os.utime(log, (1e9, 1e9))
    for log in logs:
        trackparse.convert_logs(log, "lake", partition_by=by, existing="replace")
    names = [str(log.resolve()) for log in logs]
    told = "{}: in place of the files of another log, {}".format
    assert caplog.messages == [told(names[1], names[0]), told(names[2], names[1])]
    caplog.clear()
    moved = logs[2].rename("app.csv")
    trackparse.convert_logs(moved, "lake", partition_by=by, existing="replace")
    assert not caplog.messages


@pytest.mark.parametrize("by", [(), ("date",)])
def test_folders_whose_names_are_not_utf_8_are_kept_apart(
    by: tuple[str, ...], days: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folders = [os.fsdecode(name) for name in (b"\xfe", b"\xff")]
    for folder in folders:
        Path(folder).mkdir()
        Path(folder, "app.csv").write_bytes(log_of(DAYS[0], 1))
        os.utime(Path(folder, "app.csv"), (1e9, 1e9))
    [first], [second] = (trackparse.convert_logs(folder, "lake", partition_by=by) for folder in folders)
    assert first.error is None
    assert "the file was made of another log" in str(second.error)
    assert "\\udcfe/app.csv" in str(second.error)
    assert not caplog.messages
    good("convert", folders[1], "--to", "lake", *(["--partition-by", "date"] if by else []))
    [report] = trackparse.convert_logs(folders[0], "lake", partition_by=by, existing="replace")
    assert report.error is None
    assert "\\udcfe/app.csv: in place of the files of another log, " in caplog.text
    # A log that was moved is found again.
    Path(folders[1], "app.csv").unlink()
    Path(folders[0]).rename("moved")
    [report] = trackparse.convert_logs("moved", "lake", partition_by=by)
    assert (report.error, report.skipped) == (None, True)


def test_parquet_of_somebody_else_is_not_replaced_without_a_word(days: Path, caplog: pytest.LogCaptureFixture) -> None:
    log = days / DAYS[0] / "app.csv"
    Path("lake").mkdir()
    pq.write_table(pa.table({"a": [1]}), "lake/app.parquet")
    for _ in range(2):
        trackparse.convert_logs(log, "lake", existing="replace")
    told = f"{log.resolve()}: in place of Parquet that convert did not make, lake/app.parquet"
    assert caplog.messages == [told]
    caplog.clear()
    trackparse.convert_log(log, "lake/app.parquet")
    assert told in good("convert", log, "--to", "lake").stderr


def test_standard_input_replaces_no_other_log_without_a_word(days: Path) -> None:
    log = days / DAYS[0] / "app.csv"
    command = ("convert", "-", "-o", "out.parquet")
    good("convert", log, "-o", "out.parquet")
    printed = good(*command, stdin=log.read_bytes()).stderr
    assert f"<stdin>: in place of the files of another log, {log.resolve()}" in printed
    # Of which log that was made nobody knows: it may be this one.
    assert "in place of" not in good(*command, stdin=log.read_bytes()).stderr
    pq.write_table(pa.table({"a": [1]}), "out.parquet")
    printed = good(*command, stdin=log.read_bytes()).stderr
    assert "<stdin>: in place of Parquet that convert did not make, out.parquet" in printed


@pytest.mark.parametrize("by", [(), ("--partition-by", "date")])
def test_a_log_from_the_web_replaces_no_other_log_without_a_word(by: tuple[str, ...], days: Path) -> None:
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(days))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, ThreadPoolExecutor() as executor:
        executor.submit(server.serve_forever, 0.01)
        try:
            web = f"http://127.0.0.1:{server.server_port}"
            urls = [f"{web}/{day}/app.csv" for day in DAYS]
            for url in (urls[0], f"{urls[0]}?key=secret"):
                assert "in place of" not in good("convert", url, "--to", "lake", *by).stderr
            printed = good("convert", urls[1], "--to", "lake", *by).stderr
            assert f"{urls[1]}: in place of the files of another log, {urls[0]}\n" in printed
            log = days / DAYS[2] / "app.csv"
            assert f"{log}: in place of" in good("convert", log, "--to", "lake", *by).stderr.replace(
                f"{Path.cwd()}/", ""
            )
            printed = good("convert", urls[1], "--to", "lake", *by).stderr
            assert f"{urls[1]}: in place of the files of another log, {log.resolve()}\n" in printed
        finally:
            server.shutdown()


@pytest.mark.parametrize("scheme", ["https://example.com", "s3://lake"])
@pytest.mark.parametrize("by", [(), ("date",)])
def test_two_logs_that_differ_in_the_query_are_two(scheme: str, by: tuple[str, ...], days: Path) -> None:
    urls = [f"{scheme}/{days}/get?key=secret&endpoint_override={number}" for number in (1, 2)]
    told = rf"{scheme}/days/get is named with two queries, and both logs would become "
    with pytest.raises(trackparse.OptionError, match=told) as caught:
        check_places([(name_of(url), None, {"write to another folder": Path("lake/get.parquet")}) for url in urls])
    assert "secret" not in str(caught.value)
    if scheme.startswith("https"):
        with pytest.raises(trackparse.OptionError, match=told):
            trackparse.convert_logs(urls, "lake", partition_by=by)
        options = ["--partition-by", *by] if by else []
        assert "is named with two queries" in ended(2, "convert", *urls, "--to", "lake", *options).stderr
    assert not Path("lake").exists()


def test_files_of_partitions_that_nobody_listed_are_not_replaced_without_a_word(
    days: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = days / DAYS[0] / "app.csv"
    for folder in (f"date={DAYS[0]}", "date=2000-01-01"):
        Path("lake", folder).mkdir(parents=True)
        pq.write_table(pa.table({"a": [1]}), Path("lake", folder, "app.parquet"))
    for _ in range(2):
        trackparse.convert_logs(log, "lake", partition_by=("date",), existing="replace")
    told = f"{log}: in place of files that no list of a conversion has, such as lake/date=2000-01-01/app.parquet"
    assert caplog.messages == [told]
    caplog.clear()
    # One more day in a log that was converted.
    Path("lake", f"date={DAYS[1]}").mkdir()
    pq.write_table(pa.table({"a": [1]}), f"lake/date={DAYS[1]}/app.parquet")
    log.write_bytes(log_of(DAYS[0], 1) + log_of(DAYS[1], 1))
    trackparse.convert_logs(log, "lake", partition_by=("date",), existing="replace")
    assert caplog.messages == [told.replace("2000-01-01", DAYS[1])]


@pytest.mark.parametrize("via", ["url", "pyarrow", "s3fs"])
def test_what_is_replaced_in_a_store_is_told(via: str, bucket: Bucket, caplog: pytest.LogCaptureFixture) -> None:
    options: dict[str, Any] = {"existing": "replace"} | ({} if via == "url" else {"filesystem": getattr(bucket, via)})
    name = bucket.url if via == "url" else lambda key: f"{BUCKET}/{key}"
    for key in ("one/app.csv", "two/app.csv", "two/b.csv", "two/c.csv"):
        bucket.put(key, log_of(DAYS[0], 1))
    trackparse.convert_logs(name("one/"), name("lake"), **options)
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"a": [1]}), sink)
    bucket.put("lake/b.parquet", sink.getvalue().to_pybytes())
    for _ in range(2):
        reports = trackparse.convert_logs(name("two/"), name("lake"), **options)
        assert [report.error for report in reports] == [None] * 3
    dest = "s3://lake/lake/b.parquet" if via == "url" else "lake/lake/b.parquet"
    told = [record.getMessage() for record in caplog.records if record.name == "trackparse"]
    assert told == [
        "s3://lake/two/app.csv: in place of the files of another log, s3://lake/one/app.csv",
        f"s3://lake/two/b.csv: in place of Parquet that convert did not make, {dest}",
    ]
    caplog.clear()
    trackparse.convert_logs(name("one/"), name("lake"), jobs=2, **options)
    assert "in place of the files of another log, s3://lake/two/app.csv" in caplog.text
    caplog.clear()
    trackparse.convert_logs(name("two/"), name("lake/app.parquet"), **options)
    assert "in place of the files of another log, s3://lake/one/app.csv" in caplog.text


def test_a_log_that_is_named_by_itself_too_has_one_name(days: Path) -> None:
    log = days / DAYS[1] / "app.csv"
    for sources in ([days, log], [log, days], [log, days / "*" / "*.csv", log]):
        reports = trackparse.convert_logs(sources, "lake")
        assert sorted(Path(report.path).name for report in reports) == NAMES
        assert not any(report.error for report in reports)
        good("convert", *sources, "--to", "lake2")
        assert files_in(Path("lake2")) == NAMES


def test_logs_that_are_named_one_by_one_get_advice(days: Path) -> None:
    logs = sorted(days.glob("*/app.csv"))
    advice = "name the folder above them, days, and each is called by its path from there"
    with pytest.raises(trackparse.OptionError, match=advice):
        trackparse.convert_logs(logs, "lake")
    assert advice in " ".join(failed(2, "convert", *logs, "--to", "lake").split())
    assert not Path("lake").exists()
    assert "would both become" not in good("convert", *logs).stderr  # beside each log
    assert len(files_in(days)) == 3


def test_a_glob_of_folders_gets_advice(days: Path) -> None:
    advice = "only folders match this pattern: name the logs in them, days/2021-04-*/*.zip"
    with pytest.raises(FileNotFoundError) as caught:
        trackparse.convert_logs("days/2021-04-*", "lake")
    assert advice in str(caught.value)
    assert advice in failed(1, "convert", "days/2021-04-*", "--to", "lake")


@pytest.mark.parametrize("by", [(), ("date",)])
def test_two_paths_of_one_name_are_a_fault_of_theirs_alone(by: tuple[str, ...], days: Path) -> None:
    for name in ("a-b/c.csv", "a/b-c.csv"):
        (days / name).parent.mkdir(parents=True)
        (days / name).write_bytes(H8 + line())
    told = "days/a-b/c.csv and days/a/b-c.csv would both become lake/a-b-c.parquet; give one of them another name"
    for run in range(2):
        reports = trackparse.convert_logs(days, "lake", partition_by=by, on_error="quarantine", jobs=2)
        assert [(Path(report.source).parent.name, report.skipped) for report in reports if not report.error] == [
            (day, run > 0) for day in DAYS
        ]
        assert [told in str(report.error) for report in reports if report.error] == [True, True]
    assert rows_in(Path("lake")) == ROWS
    printed = ended(1, "convert", days, "--to", "new", *(["--partition-by", "date"] if by else [])).stderr
    assert printed.count("would both become new/a-b-c.parquet") == 2
    assert rows_in(Path("new")) == ROWS


@pytest.mark.parametrize("by", [(), ("date",)])
def test_rejects_are_called_as_the_file(by: tuple[str, ...], days: Path) -> None:
    for day in DAYS:
        with (days / day / "app.csv").open("ab") as log:
            log.write(b"bad\n")
    reports = trackparse.convert_logs(days, "lake", partition_by=by, on_error="quarantine", jobs=2)
    below = "lake/_trackparse" if by else "lake"
    assert [str(report.rejects_path) for report in reports] == [f"{below}/{day}-app.rejects.jsonl" for day in DAYS]
    rejects = reports[0].rejects_path
    assert rejects is not None
    assert trackparse.read_rejects(rejects).num_rows == 1


def test_stats_of_a_log_and_of_its_file_says_so(days: Path) -> None:
    trackparse.convert_logs(days, "lake")
    assert "perhaps" in good("stats", days / DAYS[0] / "app.csv", Path("lake", NAMES[0])).stderr
    assert "perhaps" not in good("stats", days / DAYS[0] / "app.csv", Path("lake", NAMES[1])).stderr


def test_the_column_log_is_the_path_as_before(days: Path) -> None:
    trackparse.convert_logs(days, "all.parquet", columns=["timestamp", "log"])
    logs = pq.read_table("all.parquet")["log"].to_pylist()
    assert sorted(set(logs)) == [f"days/{day}/app.csv" for day in DAYS]


def parquet_in(bucket: Bucket) -> list[str]:
    keys = bucket.keys()
    return [key for key in keys if key.startswith("lake/") and key.endswith(".parquet")]


@pytest.mark.parametrize("via", ["url", "pyarrow", "s3fs"])
@pytest.mark.parametrize("by", [(), ("date",)])
def test_in_a_store(via: str, by: tuple[str, ...], bucket: Bucket, tmp_path: Path) -> None:
    for number, day in enumerate(DAYS, 1):
        bucket.put(f"days/{day}/app.csv", log_of(day, number))
    options: dict[str, Any] = {"partition_by": by}
    if via != "url":
        options["filesystem"] = getattr(bucket, via)
    name = bucket.url if via == "url" else lambda key: f"{BUCKET}/{key}"
    for sources in ("days/", "days/*/app.csv"):
        reports = trackparse.convert_logs(name(sources), name("lake"), **options)
        assert [report.error for report in reports] == [None] * 3
        assert all(report.skipped for report in reports) == ("*" in sources)
    made = parquet_in(bucket)
    assert sorted(key.rpartition("/")[2] for key in made) == NAMES
    [report] = trackparse.convert_logs(name(f"days/{DAYS[1]}/app.csv"), name("lake"), **options)
    assert "too, which would now become app.parquet" in str(report.error)
    assert parquet_in(bucket) == made
    if via == "url" and by:
        lists = [json.loads(bucket.get(f"lake/_trackparse/{day}-app.json")) for day in DAYS]
        assert [len(one["files"]) for one in lists] == [1, 1, 1]
        good("convert", name("days/"), "--to", tmp_path / "here")
        assert files_in(tmp_path / "here") == NAMES


@pytest.mark.parametrize("by", [(), ("date",)])
def test_what_others_change_in_folders_of_a_store_is_seen(by: tuple[str, ...], bucket: Bucket) -> None:
    files = bucket.s3fs
    for number, day in enumerate(DAYS[:2], 1):
        bucket.put(f"days/{day}/app.csv", log_of(day, number))
    options: dict[str, Any] = {"partition_by": by, "filesystem": files}
    for is_second in (False, True):  # the second time what is in each folder is kept
        reports = trackparse.convert_logs(f"{BUCKET}/days", f"{BUCKET}/lake", **options)
        assert [report.skipped for report in reports] == [is_second] * 2
    time.sleep(1.1)  # a store's times have whole seconds
    bucket.put(f"days/{DAYS[0]}/app.csv", log_of(DAYS[0], 1).replace(b"13:00", b"14:00"))
    bucket.put(f"days/{DAYS[1]}/new.csv", log_of(DAYS[1], 2))
    bucket.put(f"days/{DAYS[2]}/app.csv", log_of(DAYS[2], 3))
    for skipped in ([False, True, False, False], [True] * 4):
        reports = trackparse.convert_logs(f"{BUCKET}/days", f"{BUCKET}/lake", **options)
        assert [(report.error, report.skipped) for report in reports] == [(None, skip) for skip in skipped]


@pytest.mark.parametrize("via", ["pyarrow", "s3fs"])
@pytest.mark.parametrize("by", [(), ("date",)])
def test_a_folder_by_its_url_is_that_by_its_path(via: str, by: tuple[str, ...], bucket: Bucket, days: Path) -> None:
    names = ["odd 50%.csv", "why?.csv"]
    for name in names:
        bucket.put(f"days/{name}", log_of(DAYS[0], 1))
    for dest in (f"s3://{BUCKET}/lake", f"{BUCKET}/lake"):
        options: dict[str, Any] = {"filesystem": getattr(bucket, via), "partition_by": by}
        reports = trackparse.convert_logs(f"{BUCKET}/days", dest, **options)
        assert [report.error for report in reports] == [None] * 2
        assert [report.skipped for report in reports] == [dest.startswith(BUCKET)] * 2
    assert [key.rpartition("/")[2] for key in parquet_in(bucket)] == ["odd 50%.parquet", "why?.parquet"]


def test_a_name_that_no_store_takes_is_an_error_of_its_log(bucket: Bucket, days: Path) -> None:
    Path(os.fsdecode(b"days/\xff.csv")).write_bytes(log_of(DAYS[0], 1))
    for by in ((), ("date",)):
        reports = trackparse.convert_logs("days", bucket.url("lake"), partition_by=by)
        told = [str(report.error) for report in reports if report.error]
        assert len(told) == 1
        assert "\\udcff" in told[0]
        assert "a store takes no name that is not UTF-8" in told[0]
        assert len(parquet_in(bucket)) == len(DAYS)
        bucket.empty()
    assert "no name that is not UTF-8" in ended(1, "convert", "days", "--to", bucket.url("new")).stderr
