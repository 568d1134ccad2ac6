"""Logs read from anywhere, files written anywhere: object stores, file systems, URLs, open files."""

from __future__ import annotations

import datetime
import hashlib
import io
import json
import os
import random
import signal
import ssl
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest
import trustme

import trackparse
from support.cli import BAD, HEADER, PLAIN, PROGRAM, ROW, ended, failed, good, run, with_bad
from support.logs import H8, line
from support.s3 import BUCKET, KEYS, Bucket
from support.service import NOON, SetClock, client_of, stored
from test_destinations import room
from test_docs import check_steps
from trackparse.client import MANIFEST
from trackparse.convert import conversion, places
from trackparse.sources import filesystem, opening
from trackparse.sources.filesystem import PIECE, open_stored, resolve
from trackparse.sources.listing import logs_of
from trackparse.sources.source import open_source
from trackparse.sources.urls import name_of, redacted_url
from trackparse.testing import TOKEN, FakeService
from trackparse.testing.sample import encode_row, write_sample

fsspec = pytest.importorskip("fsspec")

Place = tuple[str, dict[str, Any]]  # what to hand over as path, and the options that go with it


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("small") / "s.zip"
    write_sample(path, rows=500)
    return path.read_bytes()


@pytest.fixture(scope="session")
def large() -> bytes:
    """A ZIP of 20 MB with 30,000 records; what Parquet makes of it has 20 MB, too, where it is not compressed."""
    rng = random.Random(1)
    rows = [line(b"%d" % number + rng.randbytes(300).hex().encode()) for number in range(30_000)]
    return zipped({"log.csv": H8 + b"".join(rows)})


def zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


class Kind:
    """One way to name a file: its keys, and what stands there."""

    def __init__(self, place: Callable[[str], Place], keys: Callable[[], list[str]], get: Callable[[str], bytes],
                 put: Callable[[str, bytes], object]) -> None:  # fmt: skip
        self.place, self.found, self.get, self.put = place, keys, get, put


@pytest.fixture(params=["url", "pyarrow", "s3fs", "memory", "subtree"])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Kind:
    if request.param == "subtree":
        files = pafs.SubTreeFileSystem(str(tmp_path), pafs.LocalFileSystem())
        return Kind(
            lambda key: (key, {"filesystem": files}),
            lambda: [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*")) if path.is_file()],
            lambda key: (tmp_path / key).read_bytes(),
            lambda key, data: (tmp_path / key).write_bytes(data),
        )
    if request.param == "memory":
        memory = fsspec.filesystem("memory", skip_instance_cache=True)
        memory.store.clear()
        return Kind(
            lambda key: (key, {"filesystem": memory}),
            lambda: [key.lstrip("/") for key in memory.find("/")],
            memory.cat,
            memory.pipe,
        )
    bucket: Bucket = request.getfixturevalue("bucket")

    def place(key: str) -> Place:
        if request.param == "url":
            return bucket.url(key), {}
        return f"{BUCKET}/{key}", {"filesystem": getattr(bucket, request.param)}

    return Kind(place, lambda: bucket.keys() + bucket.uploads(), bucket.get, bucket.put)


# ---- reading


@pytest.mark.parametrize("size", ["small", "large"])
def test_a_log_is_read_from_anywhere(kind: Kind, size: str, request: pytest.FixtureRequest) -> None:
    data = request.getfixturevalue(size)
    kind.put("day 1.zip", data)
    place, options = kind.place("day 1.zip")
    expected = trackparse.read_log(data)
    assert trackparse.read_log(place, **options).equals(expected)
    with trackparse.open_log(place, **options) as log:
        assert "day 1.zip" in log.name
        assert len(list(log.events())) == expected.num_rows
        assert log.stats.bytes_read == log.stats.bytes_total == len(data)


@pytest.mark.parametrize(
    "name", ["a b.zip", "täg.zip", "a[1]{2}.zip", "100%.zip", "a%20b.zip", "a#b.zip", "a+b=c&d.zip"]
)
def test_odd_characters_of_a_key_are_its_own(name: str, bucket: Bucket, small: bytes) -> None:
    bucket.put(name, small)
    url = bucket.url(name if name != "a%20b.zip" else "a%2520b.zip")
    assert trackparse.read_log(url).num_rows == 500
    assert trackparse.read_log(f"{BUCKET}/{name}", filesystem=bucket.pyarrow).num_rows == 500


@pytest.mark.parametrize("name", ["a b", "100%", "a%20b", "a?b"])
def test_a_file_in_a_store_has_the_name_of_its_log(name: str, bucket: Bucket, small: bytes, tmp_path: Path) -> None:
    (tmp_path / f"{name}.zip").write_bytes(small)
    bucket.put(f"in/{name}.zip", small)
    trackparse.convert_logs(tmp_path, bucket.url("from here"))
    trackparse.convert_logs(bucket.url("in"), bucket.url("from there"))
    trackparse.convert_logs(f"{BUCKET}/in", f"{BUCKET}/by a file system", filesystem=bucket.pyarrow)
    folders = ("by a file system", "from here", "from there")
    assert bucket.keys() == [*(f"{folder}/{name}.parquet" for folder in folders), f"in/{name}.zip"]


def test_a_report_of_what_was_converted_before_shows_no_query(bucket: Bucket, small: bytes) -> None:
    bucket.put("in/1.zip", small)
    for skipped in (False, True):
        (report,) = trackparse.convert_logs(bucket.url("in/"), bucket.url("out/"))
        assert report.skipped == skipped
        assert report.files == (report.path,) == ("s3://lake/out/1.parquet",)


@pytest.mark.parametrize("partition_by", [(), ("date",)])
@pytest.mark.parametrize("kind", ["pyarrow", "s3fs", "memory"])
def test_a_file_system_tells_what_was_converted_before(
    kind: str, partition_by: tuple[str, ...], bucket: Bucket, small: bytes
) -> None:
    memory = fsspec.filesystem("memory", skip_instance_cache=True)
    memory.store.clear()
    files = memory if kind == "memory" else getattr(bucket, kind)
    for log in ("1.zip", "2.zip"):
        bucket.put(f"in/{log}", small)
        memory.pipe(f"/{BUCKET}/in/{log}", small)
    options: Any = {"filesystem": files, "partition_by": partition_by}
    for sources, skipped in (("in", False), ("in", True), ("in/1.zip", True), ("in/*.zip", True)):
        reports = trackparse.convert_logs(f"{BUCKET}/{sources}", f"{BUCKET}/out", **options)
        assert {(report.error, report.skipped, report.records) for report in reports} == {(None, skipped, 500)}
    bucket.put("in/2.zip", small + b"later")
    memory.pipe(f"/{BUCKET}/in/2.zip", small + b"later")
    reports = trackparse.convert_logs(f"{BUCKET}/in", f"{BUCKET}/out", **options)
    assert [report.skipped for report in reports] == [True, False]


@pytest.mark.parametrize("partition_by", [(), ("date",)])
@pytest.mark.parametrize("kind", ["url", "pyarrow", "s3fs"])
def test_two_logs_of_the_same_name_size_and_second_are_two(
    kind: str, partition_by: tuple[str, ...], bucket: Bucket, small: bytes
) -> None:
    """Whether the first one is still there or not: a store gives each file that is moved a new time."""
    options: Any = {"partition_by": partition_by}
    if kind != "url":
        options["filesystem"] = getattr(bucket, kind)

    def converted(prefix: str) -> trackparse.ConversionReport:
        sources, dest = (bucket.url(key) if kind == "url" else f"{BUCKET}/{key}" for key in (f"{prefix}/", "out"))
        (report,) = trackparse.convert_logs(sources, dest, **options)
        return report

    times: set[Any] = set()
    while len(times) != 1:  # a busy machine may need more than a second for two
        for app in ("a", "b"):
            bucket.put(f"{app}/day.zip", small)
        heads = [bucket.client.head_object(Bucket=BUCKET, Key=f"{app}/day.zip") for app in ("a", "b")]
        times = {head["LastModified"] for head in heads}
    assert (converted("a").error, converted("a").skipped) == (None, True)
    bucket.client.delete_object(Bucket=BUCKET, Key="a/day.zip")
    report = converted("b")
    assert not report.skipped
    assert "made of another log, " in str(report.error)
    assert "a/day.zip; write to another folder" in str(report.error)


def test_other_logs_of_the_same_names_sizes_and_seconds_become_a_new_file_of_all(bucket: Bucket) -> None:
    while time.time() % 1 > 0.5:
        time.sleep(0.05)
    for app in ("A", "B"):
        for name in ("1", "2"):
            bucket.put(f"{app}/{name}.csv", H8 + line(app=app.encode()))
    for app in ("A", "B"):
        (report,) = trackparse.convert_logs(bucket.url(f"{app}/"), bucket.url("all.parquet"))
        assert not report.skipped
        assert pq.read_table(io.BytesIO(bucket.get("all.parquet")))["appCode"].to_pylist() == [app] * 2


@pytest.mark.parametrize("spelling", ["a%20b.zip", "a b.zip"])
def test_a_log_with_two_spellings_is_read_once(spelling: str, bucket: Bucket, small: bytes) -> None:
    bucket.put("in/a b.zip", small)
    query = bucket.url("")[len(f"s3://{BUCKET}/") :]
    logs = trackparse.dataset([f"S3://{BUCKET}/in/{spelling}{query}", bucket.url("in/"), bucket.url("in/*.zip")])
    assert (logs.files, logs.count_rows()) == ([f"s3://{BUCKET}/in/a b.zip"], 500)


@pytest.mark.parametrize("kind", ["pyarrow", "s3fs"])
def test_a_path_and_a_url_in_a_file_system_are_one_log(kind: str, bucket: Bucket, small: bytes) -> None:
    for name in ("a.zip", "a%20b.zip"):
        bucket.put(f"in/{name}", small)
    named = [f"{BUCKET}/in/a.zip", f"s3://{BUCKET}/in/a.zip", f"s3://{BUCKET}/in/"]
    logs = trackparse.dataset(named, filesystem=getattr(bucket, kind))
    assert (logs.files, logs.count_rows()) == ([f"{BUCKET}/in/a%20b.zip", f"{BUCKET}/in/a.zip"], 1000)


def test_logs_of_a_folder_that_were_converted_before_are_left_out(bucket: Bucket, small: bytes) -> None:
    bucket.put("in/1.zip", small)
    command = ("convert", bucket.url("in/"), "--to", bucket.url("out/"), "--existing", "skip")
    good(*command)
    assert "converted before" in good(*command).stdout
    named = ("convert", bucket.url("in/1.zip"), *command[2:])
    assert "converted before" in good(*named).stdout
    assert "converted before" not in good(*named[:-2]).stdout
    assert "no/such.zip" in failed(1, "convert", bucket.url("no/such.zip"), *command[2:])
    bucket.put("in/2.zip", small)
    assert "out/2.parquet: 500 rows" in good(*command).stdout


def test_a_log_of_some_pieces_takes_two_requests_for_each(bucket: Bucket, large: bytes) -> None:
    bucket.put("in.zip", large)
    bucket.asked()
    trackparse.read_log(bucket.url("in.zip"), columns=["status"])
    asked = [request.split()[0] for request in bucket.asked() if "/in.zip" in request]
    # Its size; its first piece, its end with the directory, the other pieces; and behind each but the first one the
    # question whether it is still the same.
    pieces = -(-len(large) // PIECE)
    assert asked == ["HEAD", "GET", *["GET", "HEAD"] * pieces]


def test_a_small_log_takes_one_request_for_its_size_and_one_for_its_bytes(bucket: Bucket, small: bytes) -> None:
    bucket.put("in.zip", small)
    bucket.asked()
    trackparse.read_log(bucket.url("in.zip"))
    assert len([request for request in bucket.asked() if "/in.zip" in request]) == 2


@pytest.mark.parametrize("way", ["url", "pyarrow", "s3fs"])
def test_logs_that_are_named_one_by_one_take_one_request_each(way: str, bucket: Bucket) -> None:
    names = [f"in/{number}.csv" for number in range(20)]
    for name in names:
        bucket.put(name, H8 + line())
    options = {} if way == "url" else {"filesystem": getattr(bucket, way)}
    places = [f"{BUCKET}/{name}" if options else bucket.url(name) for name in names]
    for _ in range(2):
        bucket.asked()
        logs = logs_of(places, **options)
        assert [request.split()[0] for request in bucket.asked() if "/in/" in request] == ["HEAD"] * len(names)
        # The same time as in a listing of their folder, or they would be converted again.
        listed = logs_of(f"{BUCKET}/in/" if options else bucket.url("in/"), **options)
        assert [(log.size, log.time) for log in listed] == [(log.size, log.time) for log in logs]
        # What is new is seen by the next call.
        time.sleep(1.1)
        bucket.put(names[0], H8 + line() * 2)
    assert logs_of(places, **options)[0].size == len(H8 + line() * 2)


def test_members_that_are_not_asked_for_are_not_fetched(bucket: Bucket) -> None:
    rows = line(b"x" * 1000) * 9000
    bucket.put("in.zip", zipped({f"{number}.csv": H8 + rows for number in range(4)}))
    bucket.asked()
    table = trackparse.read_log(bucket.url("in.zip"), columns=["status"], members=["2.csv"])
    assert table.num_rows == 9000
    # Its first piece, its end, the headers of three members behind that piece, and two pieces of the member.
    asked = [request.split()[0] for request in bucket.asked() if "/in.zip" in request]
    assert (asked.count("GET"), asked.count("HEAD")) == (7, 7)


@pytest.mark.parametrize("cut", [0, 1, 100, PIECE - 1, PIECE, PIECE + 1, -1])
def test_any_bytes_of_a_file_in_a_store_are_what_they_are(cut: int, large: bytes) -> None:
    memory = fsspec.filesystem("memory", skip_instance_cache=True)
    data = large[: 2 * PIECE + 1000][:cut]
    memory.pipe("/x", data)
    rng = random.Random(cut)
    source = open_stored("x", memory)
    assert source.size == len(data)
    for _ in range(300):
        at, n = rng.randrange(len(data) + 10), rng.choice([1, 30, 5000, 200_000])
        assert source.look(at, n) == data[at : at + n]
        if rng.random() < 0.2:
            source.seek(at)
            assert source.read_exactly(n) == data[min(at, len(data)) : at + n]


def test_two_places_of_a_file_are_read_by_turns_without_a_request_each(bucket: Bucket, large: bytes) -> None:
    bucket.put("in.zip", large)
    source = open_stored(bucket.url("in.zip"))
    bucket.asked()
    half = len(large) // 2
    for step in range(0, half - 100_000, 100_000):
        for at in (step, half + step):
            source.seek(at)
            assert source.read_exactly(100_000) == large[at : at + 100_000]
    source.close()
    asked = [request.split()[0] for request in bucket.asked()]
    assert asked == ["GET", *["GET", "HEAD"] * (2 * -(-half // PIECE) - 1)]


@pytest.mark.parametrize("size", ["as large", "smaller", "larger"])
def test_a_log_that_is_written_over_while_it_is_read_is_an_error(
    kind: Kind, size: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of both versions the bytes are a log, and would be rows of two days in one."""
    monkeypatch.setattr(filesystem, "PIECE", 500_000)
    old, new = (H8 + line(text * 1000) * 700 for text in (b"old", b"new"))  # 2 MB
    new = new * 2 if size == "larger" else new[:100_000] if size == "smaller" else new
    kind.put("day.csv", old)
    place, options = kind.place("day.csv")
    batches = []
    with trackparse.open_log(place, columns=["payload"], block_size=20_000, **options) as log:
        batches.append(next(log))
        kind.put("day.csv", new)
        with pytest.raises(OSError, match="the file was written over while it was read; read it again") as caught:
            batches.extend(log)
    assert caught.value.filename == name_of(place)
    assert {text[:3] for batch in batches for text in batch["payload"].to_pylist()} == {"old"}
    assert trackparse.read_log(place, on_error="skip", **options)["payload"][0].as_py()[:3] == "new"


def test_a_log_that_is_removed_while_it_is_read_is_an_error(bucket: Bucket, large: bytes) -> None:
    bucket.put("in.zip", large)
    with trackparse.open_log(bucket.url("in.zip"), columns=["status"]) as log:
        next(log)
        bucket.empty()
        with pytest.raises(FileNotFoundError, match=r"No such file or directory: 's3://lake/in\.zip'"):
            list(log)


def test_an_error_of_whatever_kind_from_a_store_names_the_file() -> None:
    class Broken(type(fsspec.filesystem("memory"))):  # type: ignore[misc]
        def cat_file(self, *_: Any, **__: Any) -> bytes:
            raise RuntimeError("the store is on fire")

    files = Broken(skip_instance_cache=True)
    files.store.clear()
    files.pipe_file("/in.zip", b"x")
    with pytest.raises(OSError, match="the store is on fire") as caught:
        trackparse.read_log("in.zip", filesystem=files)
    assert caught.value.filename == "in.zip"


def test_a_log_that_was_replaced_since_its_folder_was_listed_is_read_whole(bucket: Bucket) -> None:
    bucket.put("in.csv", H8 + line())
    files = bucket.s3fs
    files.ls(BUCKET)
    bucket.put("in.csv", H8 + line() * 3)
    assert trackparse.read_log(f"{BUCKET}/in.csv", filesystem=files).num_rows == 3


def test_https_is_downloaded(tmp_path: Path, small: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with FakeService(logs={"2021-04-20": small}, tls=context) as service:
        url = service.file_url("2021-04-20")
        assert trackparse.read_log(url).num_rows == 500
        # Also where filesystem= says where to write.
        memory = fsspec.filesystem("memory", skip_instance_cache=True)
        memory.store.clear()
        assert trackparse.dataset(url, filesystem=memory).count_rows() == 500
        assert len(trackparse.dataset([f"{url}?part=1", f"{url}?part=2"], filesystem=memory).files) == 2
        for by in ((), ("date",)):
            [report] = trackparse.convert_logs(url, f"lake{len(by)}", filesystem=memory, partition_by=by)
            assert (report.error, report.records) == (None, 500)


def test_a_file_url_is_a_path(tmp_path: Path, small: bytes) -> None:
    (tmp_path / "a b.zip").write_bytes(small)
    url = f"file://{tmp_path}/a%20b.zip"
    report = trackparse.convert_log(url, f"file://{tmp_path}/out.parquet")
    assert report.path == tmp_path / "out.parquet"
    assert pq.read_metadata(tmp_path / "out.parquet").num_rows == 500
    with pytest.raises(trackparse.OptionError, match="that is the log itself"):
        trackparse.convert_log(url, tmp_path / "a b.zip")


def test_a_folder_by_its_file_url_is_that_folder(tmp_path: Path, small: bytes) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        (tmp_path / "in" / f"{name}.zip").write_bytes(small)
    url = f"file://{tmp_path}"
    good("convert", f"{url}/in/", f"{url}/in/a.z*", "--to", f"{url}/out", "--quiet")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.parquet", "b.parquet"]


def test_a_log_in_a_store_is_one_whichever_way_it_is_named(bucket: Bucket) -> None:
    bucket.put("in/days/a%20 ä.csv", H8 + line())
    key = f"{BUCKET}/in/days/a%20 ä.csv"
    for files, names in ((bucket.s3fs, [key, f"/{key}", f"s3://{key}"]), (bucket.pyarrow, [key, f"s3://{key}"])):
        assert len(trackparse.dataset(names, filesystem=files).files) == 1
        assert trackparse.dataset([*names, f"{BUCKET}/in/"], filesystem=files).count_rows() == 1
    # The file says of which log it was made, and another way to name that is no other log.
    to_out: list[Callable[[str], tuple[str, str, Any]]] = [
        lambda folder: (bucket.url(folder), bucket.url("out"), None),
        lambda folder: (f"{BUCKET}/{folder}", f"{BUCKET}/out", bucket.pyarrow),
        lambda folder: (f"{BUCKET}/{folder}", f"{BUCKET}/out", bucket.s3fs),
    ]
    for number, named in enumerate(to_out):
        logs, dest, files = named("in/days/")
        [report] = trackparse.convert_logs(logs, dest, filesystem=files)
        assert (report.error, report.skipped) == (None, number > 0)
        logs, dest, files = named("in/")
        [report] = trackparse.convert_logs(logs, dest, filesystem=files)
        assert "which would now become days-a%20 ä.parquet" in str(report.error)
    assert bucket.keys() == ["in/days/a%20 ä.csv", "out/a%20 ä.parquet"]


def test_a_glob_of_a_file_system_tells_of_folders_whose_logs_it_does_not_match(
    caplog: pytest.LogCaptureFixture,
) -> None:
    memory = fsspec.filesystem("memory", skip_instance_cache=True)
    memory.store.clear()
    for name in ("b.csv", "one/a.csv", "two/day/a.csv", "_old/a.csv", "other/notes.txt"):
        memory.pipe(f"/in/{name}", H8 + line())
    for pattern in ("in/*.csv", "in/**", "in/**/*", "in/*/*/*"):
        trackparse.dataset(pattern, filesystem=memory)
        assert not caplog.messages
    assert trackparse.dataset("in/*", filesystem=memory).files == ["/in/b.csv"]
    assert caplog.messages == [
        "in/*: matches the folder /in/one and 1 more, too, but not the logs in it: name the folder"
    ]


def test_a_folder_or_a_glob_of_a_file_system_is_the_logs_in_it() -> None:
    memory = fsspec.filesystem("memory", skip_instance_cache=True)
    memory.store.clear()
    for name in ("b.csv", "sub/a.csv", "sub/.hidden.csv", "notes.txt"):
        memory.pipe(f"/in/{name}", H8 + line())
    for place, files in {
        "in": ["/in/b.csv", "/in/sub/a.csv"],
        "in/*.csv": ["/in/b.csv"],
        "in/**/*.csv": ["/in/b.csv", "/in/sub/.hidden.csv", "/in/sub/a.csv"],
        "memory://in/": ["/in/b.csv", "/in/sub/a.csv"],
        "memory://in/*.csv": ["/in/b.csv"],
    }.items():
        logs = trackparse.dataset(place, filesystem=memory)
        assert logs.files == files
        assert logs.count_rows() == len(files)
    for place, said in {"none/": "no log is there", "in/*.zip": "no file matches this pattern"}.items():
        with pytest.raises(FileNotFoundError, match=said):
            trackparse.dataset(place, filesystem=memory)
    with pytest.raises(FileNotFoundError, match=r"No such file or directory: 'in/none\.csv'"):
        trackparse.read_log("in/none.csv", filesystem=memory)
    assert trackparse.read_log("memory://in/b.csv", filesystem=memory).num_rows == 1
    with pytest.raises(trackparse.OptionError, match="hand over its file system as filesystem=, and the path in it"):
        trackparse.dataset("memory://in/")
    with pytest.raises(trackparse.OptionError, match="not a path in the file system that filesystem= names"):
        trackparse.read_log("gs://in/b.csv", filesystem=memory)


def test_a_colon_in_a_name_makes_no_url(tmp_path: Path, small: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a:b.zip", "s3:x.zip", "C:\\logs.zip"):
        Path(name).write_bytes(small)
        assert trackparse.read_log(name).num_rows == 500
    (tmp_path / "s3:").mkdir()
    (tmp_path / "s3:" / "x.zip").write_bytes(small)
    assert trackparse.read_log(Path("s3://x.zip")).num_rows == 500  # which is s3:/x.zip


# ---- writing


@pytest.mark.parametrize("size", ["small", "large"])
def test_a_file_is_written_anywhere_and_alone(kind: Kind, size: str, tmp_path: Path, request: Any) -> None:
    data = request.getfixturevalue(size)
    place, options = kind.place("day 1.parquet")
    before = kind.found()
    report = trackparse.convert_log(data, place, compression="none", row_group_size=5000, **options)
    assert [key for key in kind.found() if key not in before] == ["day 1.parquet"]
    written = kind.get("day 1.parquet")
    assert report.bytes_out == len(written)
    assert report.path == redacted_url(place) if "://" in place else report.path == place
    local = tmp_path / "local.parquet"
    trackparse.convert_log(data, local, compression="none", row_group_size=5000)
    assert written == local.read_bytes()


@pytest.mark.parametrize("old", [None, b"the file of yesterday"], ids=["new", "old"])
@pytest.mark.parametrize("size", ["small", "large"])
def test_after_an_error_all_is_as_it_was(kind: Kind, size: str, old: bytes | None, request: Any) -> None:
    data = request.getfixturevalue(size)
    place, options = kind.place("day.parquet")
    if old:
        kind.put("day.parquet", old)
    before = kind.found()

    def stop(progress: trackparse.Progress) -> None:
        if progress.bytes_read > len(data) * 3 // 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trackparse.convert_log(data, place, compression="none", row_group_size=1000, progress=stop, **options)
    assert kind.found() == before
    if old:
        assert kind.get("day.parquet") == old
    trackparse.convert_log(data, place, **options)
    assert pq.read_metadata(io.BytesIO(kind.get("day.parquet"))).num_rows in (500, 30_000)


def test_rejects_are_written_there_and_read_again(kind: Kind, tmp_path: Path) -> None:
    log = with_bad(tmp_path / "in.csv")
    (place, options), (rejects, _) = kind.place("day.parquet"), kind.place("day.rejects.jsonl")
    report = trackparse.convert_log(log, place, on_error="quarantine", rejects=rejects, **options) if not options else (
        trackparse.convert_log(log.read_bytes(), place, on_error="quarantine", rejects=rejects, **options)
    )  # fmt: skip
    assert report.rejected == 1
    assert str(report.rejects_path) == (redacted_url(rejects) if "://" in rejects else rejects)
    assert trackparse.read_rejects(rejects, **options).num_rows == 1
    assert [key for key in kind.found() if key != "in.csv"] == ["day.parquet", "day.rejects.jsonl"]
    # Without rejects the old file goes.
    trackparse.convert_log(H8 + line(), place, on_error="quarantine", rejects=rejects, **options)
    assert [key for key in kind.found() if key != "in.csv"] == ["day.parquet"]
    kind.put("day.rejects.jsonl", b"something else")
    (place, _) = kind.place("another.parquet")
    with pytest.raises(trackparse.TrackparseError, match="not a file of rejects"):
        trackparse.convert_log(H8 + line(), place, on_error="quarantine", rejects=rejects, **options)
    assert kind.get("day.rejects.jsonl") == b"something else"


class Refusing(pafs.FSSpecHandler):  # type: ignore[misc]
    """A store that renames nothing to *.parquet."""

    def move(self, src: str, dest: str) -> None:
        if dest.endswith(".parquet"):
            raise PermissionError(13, "may not be written")
        super().move(src, dest)


@pytest.mark.parametrize("partitions", [False, True])
def test_rejects_that_somebody_mended_are_kept_there(
    kind: Kind, partitions: bool, caplog: pytest.LogCaptureFixture
) -> None:
    kind.put("in.csv", H8 + line() + b"bad\n")
    by = {"partition_by": ("date",)} if partitions else {}
    key, other = ("_trackparse/in.json", "_trackparse/in.rejects") if partitions else ("in.parquet", "in.rejects")
    (source, options), (lake, _) = kind.place("in.csv"), kind.place("lake")
    options |= {"on_error": "quarantine", "existing": "replace", **by}
    shown = f"{name_of(lake)}/{other}"

    def converted() -> str:
        [report] = trackparse.convert_logs(source, lake, **options)
        assert report.error is None
        return str(report.rejects_path).lstrip("/")

    assert converted() == f"{shown}.jsonl"
    old, rejects = kind.get(f"lake/{key}"), kind.get(f"lake/{other}.jsonl")
    kind.put(f"lake/{other}.jsonl", rejects + b"\n")
    files = kind.found()
    for _ in range(2):
        assert converted() == f"{shown}.new.jsonl"
        assert (kind.get(f"lake/{other}.jsonl"), kind.get(f"lake/{other}.new.jsonl")) == (rejects + b"\n", rejects)
        assert f"{shown}.jsonl: nothing says that the file is as trackparse wrote it" in caplog.text
    assert sorted({*kind.found()} - {*files}) == [f"lake/{other}.new.jsonl"]
    files = kind.found()
    # A run that was killed had written the rejects, and no Parquet file: they are not there twice.
    kind.put(f"lake/{other}.jsonl", rejects)
    kind.put(f"lake/{key}", old.replace(rejects_sum(old), b"0" * 64))
    caplog.clear()
    assert converted() == f"{shown}.jsonl"
    assert (kind.found(), caplog.text) == (files, "")


def rejects_sum(data: bytes) -> bytes:
    """The SHA-256 of its rejects that a Parquet file names, or a list of those."""
    if data.startswith(b"PAR1"):
        return bytes(pq.read_metadata(io.BytesIO(data)).metadata[b"trackparse.rejects_sha256"])
    return str(json.loads(data)["rejects_sha256"][0]).encode()


@pytest.mark.parametrize("old", [None, b'{"member":null,"record":0,"line":2,"byte_offset":1,"reason":"field_count",'])
def test_rejects_appear_with_their_file_or_not_at_all(old: bytes | None) -> None:
    memory = fsspec.filesystem("memory", skip_instance_cache=True)
    memory.store.clear()
    if old:
        memory.pipe("/x/a.rejects.jsonl", old)
    files = pafs.PyFileSystem(Refusing(memory))
    with pytest.raises(PermissionError, match=r"x/a\.parquet"):
        trackparse.convert_log(
            H8 + line() + b"bad\n", "x/a.parquet", on_error="quarantine", rejects="x/a.rejects.jsonl", filesystem=files
        )
    assert memory.find("/") == (["/x/a.rejects.jsonl"] if old else [])
    assert not old or memory.cat("/x/a.rejects.jsonl") == old


class Busy(pafs.FSSpecHandler):  # type: ignore[misc]
    """A store that is too busy to delete a file at first."""

    refusals = 0

    def delete_file(self, path: str) -> None:
        self.refusals -= 1
        if self.refusals >= 0:
            raise OSError("AWS Error NETWORK_CONNECTION during HeadObject operation:\ntimeout")
        super().delete_file(path)


@pytest.mark.parametrize("what", ["the new file", "the old file"])
@pytest.mark.parametrize("refusals", [3, 4])
def test_a_store_that_is_busy_is_asked_to_delete_again(
    what: str, refusals: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(places, "_PAUSES", (0.0, 0.0, 0.0))
    memory = fsspec.filesystem("memory", skip_instance_cache=True)
    memory.store.clear()
    files = pafs.PyFileSystem(Busy(memory))
    files.handler.refusals = refusals
    options: Any = {"filesystem": files, "on_error": "quarantine", "rejects": "x/a.rejects.jsonl"}
    if what == "the new file":
        with pytest.raises(trackparse.RecordError):
            trackparse.convert_log(H8 + line() + b"bad", "x/a.parquet", filesystem=files)
    else:
        memory.pipe("/x/a.rejects.jsonl", b"as it was written")
        known = {hashlib.sha256(b"as it was written").hexdigest()}
        monkeypatch.setattr(conversion, "rejects_sums", lambda _: known)
        trackparse.convert_log(H8 + line() + b"bad\n", "x/a.parquet", **options)
    hidden = [name for name in memory.find("/") if ".trackparse.tmp" in name]
    assert len(hidden) == (refusals == 4)
    assert len(caplog.messages) == len(hidden)
    for name, message in zip(hidden, caplog.messages, strict=True):
        assert f": the hidden file {name.rpartition('/')[2]} may still be there: delete it. The store did" in message
        assert message.endswith("during HeadObject operation: timeout")


class Pressed:
    """An output in whose first large write somebody presses Ctrl-C three times. It notes whether it is closed then."""

    closed = was_disturbed = is_pressed = is_writing = False

    def write(self, data: bytes) -> int:
        if len(data) > 1000 and not self.is_pressed:
            self.is_pressed = self.is_writing = True
            for _ in range(3):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.1)
            self.is_writing = False
        return len(data)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True
        self.was_disturbed = self.was_disturbed or self.is_writing


class PressedStore(pafs.FSSpecHandler):  # type: ignore[misc]
    output: Pressed

    def open_output_stream(self, path: str, metadata: Any) -> Any:
        return pa.PythonFile(self.output, mode="w")


def test_ctrl_c_again_and_again_closes_no_stream_while_a_thread_writes_to_it(large: bytes) -> None:
    """That ends the process with a crash, where the stream is one of pyarrow's to S3."""
    files = pafs.PyFileSystem(PressedStore(fsspec.filesystem("memory", skip_instance_cache=True)))
    files.handler.output = output = Pressed()
    with pytest.raises(KeyboardInterrupt):
        trackparse.convert_log(large, "x/a.parquet", filesystem=files, compression="none", row_group_size=1000)
    assert output.closed
    assert not output.was_disturbed


class Full(pafs.FSSpecHandler):  # type: ignore[misc]
    """A store that begins an upload and takes no byte of it."""

    def get_type_name(self) -> str:
        return "s3"

    def open_output_stream(self, path: str, metadata: object) -> pa.NativeFile:
        return pa.PythonFile(Path("/dev/full").open("wb", buffering=0), mode="w")


def test_an_upload_that_the_store_refused_is_named(small: bytes, caplog: pytest.LogCaptureFixture) -> None:
    files = pafs.PyFileSystem(Full(fsspec.filesystem("memory", skip_instance_cache=True)))
    with pytest.raises(OSError, match="No space left"):
        trackparse.convert_log(small, "x/full.parquet", filesystem=files)
    (message,) = caplog.messages
    assert message.startswith("x/full.parquet: an unfinished upload of .full.parquet.")
    assert message.endswith(".trackparse.tmp may still be there: abort it")


class Hdfs(pafs.FSSpecHandler):  # type: ignore[misc]
    """A store whose rename replaces no file, as that of HDFS."""

    def get_type_name(self) -> str:
        return "hdfs"

    def move(self, src: str, dest: str) -> None:
        if self.fs.exists(dest):
            raise FileExistsError(17, "exists")
        super().move(src, dest)


def test_an_old_file_is_replaced_where_a_rename_does_not_do_it(small: bytes) -> None:
    memory = fsspec.filesystem("memory", skip_instance_cache=True)
    memory.store.clear()
    files = pafs.PyFileSystem(Hdfs(memory))
    for rows in (1, 2):
        trackparse.convert_log(H8 + line() * rows, "x/a.parquet", filesystem=files)
        assert memory.find("/") == ["/x/a.parquet"]
        assert pq.read_metadata(io.BytesIO(memory.cat("/x/a.parquet"))).num_rows == rows


SCRIPT = """
import os, sys, time
import trackparse

how, via, log, dest, address = sys.argv[1:]
calls = 0
options = {}
if via == "s3fs":
    import s3fs
    options["filesystem"] = s3fs.S3FileSystem(endpoint_url=f"http://{address}")

def progress(stats):
    global calls
    calls += 1
    if calls == 18:  # of 20; one part is on its way
        print("nearly done", flush=True)
        if how == "exit":
            sys.exit(3)
        time.sleep(20)

trackparse.convert_log(log, dest, compression="none", row_group_size=4000, progress=progress, **options)
"""


@pytest.mark.parametrize("via", ["url", "s3fs"])
@pytest.mark.parametrize("how", ["exit", "SIGINT", "SIGTERM"])
def test_whatever_ends_the_process_it_ends_and_nothing_has_the_name(
    how: str, via: str, bucket: Bucket, large: bytes, tmp_path: Path
) -> None:
    (tmp_path / "log.zip").write_bytes(large)
    dest = bucket.url("out/day.parquet") if via == "url" else f"{BUCKET}/out/day.parquet"
    log = f"{tmp_path}/log.zip" if via == "url" else f"file://{tmp_path}/log.zip"
    command = [sys.executable, "-c", SCRIPT, how, via, log, dest, bucket.address]
    with subprocess.Popen(
        command, env={**PLAIN, **KEYS}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "nearly done\n"
        if how != "exit":
            process.send_signal(getattr(signal, how))
        try:
            _, said = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == {"exit": 3, "SIGINT": -signal.SIGINT, "SIGTERM": -signal.SIGTERM}[how], said
    assert bucket.keys() == []
    if how != "SIGTERM":
        assert bucket.uploads() == []
    else:
        # Nothing runs any more after a signal that nobody handles; what it leaves is known by its name.
        hidden = ".day.parquet." if via == "url" else "day.parquet"
        assert all(key.startswith(f"out/{hidden}") for key in bucket.uploads())


def test_a_command_that_is_terminated_leaves_nothing(bucket: Bucket, large: bytes, tmp_path: Path) -> None:
    pipe = tmp_path / "log.zip"
    os.mkfifo(pipe)
    command = [*PROGRAM, "convert", str(pipe), "-o", bucket.url("day.parquet"), "--compression", "none"]
    command += ["--row-group-size", "4000"]
    with subprocess.Popen(command, env={**PLAIN, **KEYS}, stderr=subprocess.PIPE) as process, pipe.open("wb") as log:
        log.write(large[: len(large) * 3 // 4])
        for _ in range(200):
            if bucket.uploads():
                break
            time.sleep(0.05)
        assert [key.startswith(".day.parquet.") for key in bucket.uploads()] == [True]
        process.send_signal(signal.SIGTERM)
        with suppress(BrokenPipeError):
            # A read that waits for bytes would be waited for.
            for _ in range(300):
                log.write(b" ")
                log.flush()
                time.sleep(0.05)
        process.kill()
        assert process.wait() == 143
        with suppress(BrokenPipeError):
            log.close()
    assert bucket.keys() + bucket.uploads() == []


def test_from_a_store_to_a_store_no_file_of_this_machine_grows(bucket: Bucket, large: bytes) -> None:
    bucket.put("in.zip", large)
    with room(64 << 10):
        report = trackparse.convert_log(bucket.url("in.zip"), bucket.url("out.parquet"), compression="none")
    assert report.bytes_out > PIECE


# ---- what is refused


def test_no_output_is_the_log_whatever_reaches_it(bucket: Bucket, small: bytes) -> None:
    bucket.put("in.parquet", small)
    path = f"{BUCKET}/in.parquet"
    for source, dest, options in (
        (bucket.url("in.parquet"), bucket.url("in.parquet"), {}),
        (bucket.url("in.parquet"), bucket.url("/in.parquet") + "&region=us-east-1", {}),
        (path, path, {"filesystem": bucket.pyarrow}),
        (path, f"s3://{path}", {"filesystem": bucket.s3fs}),
        (path, f"s3://{path}", {"filesystem": bucket.pyarrow}),
        ("in.parquet", "in.parquet", {"filesystem": pafs.SubTreeFileSystem(BUCKET, bucket.pyarrow)})
    ):  # fmt: skip
        with pytest.raises(trackparse.OptionError, match=r"in\.parquet: that is the log itself"):
            trackparse.convert_log(source, dest, **options)
        with pytest.raises(trackparse.OptionError, match=r"in\.parquet: that is the log itself"):
            trackparse.convert_log(
                source, dest.replace("in.parquet", "out.parquet"), on_error="quarantine", rejects=dest, **options
            )
    with pytest.raises(trackparse.OptionError, match="that is the Parquet file itself"):
        trackparse.convert_log(small, bucket.url("a.parquet"), on_error="quarantine", rejects=bucket.url("/a.parquet"))
    assert bucket.get("in.parquet") == small


def test_a_scheme_with_an_opener_of_its_own_is_read_everywhere(
    tmp_path: Path, small: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(opening._OPENERS, "ftp", lambda url: open_source(small))
    url = "ftp://me:word@example.com/log.zip"
    rows = trackparse.read_log(small).num_rows
    assert trackparse.read_log(url).num_rows == rows
    assert trackparse.convert_log(url, "one.parquet").records == rows
    assert trackparse.dataset(url).count_rows() == rows
    assert [report.records for report in trackparse.convert_logs(url, "many")] == [rows]
    assert good("cat", url).stdout.count("\n") == rows
    good("convert", url, "--to", "more")
    assert [pq.read_metadata(path).num_rows for path in Path("more").glob("*.parquet")] == [rows]


@pytest.mark.parametrize("scheme", ["s4", "ftp", "S3X", "azure+blob", "nonsense.x"])
def test_an_unknown_scheme_is_refused_in_words(
    scheme: str, tmp_path: Path, small: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    url = f"{scheme}://lake/push.parquet"
    told = f"unknown scheme {scheme.lower()!r}: expected one of: s3, gs, hdfs, file"
    read: list[Callable[[], object]] = [
        lambda: trackparse.read_log(url),
        lambda: trackparse.dataset(url),
        lambda: trackparse.read_rejects(url),
        lambda: resolve(url),
    ]
    # Nothing can be written by https.
    written: list[Callable[[], object]] = [
        lambda: trackparse.convert_log(small, url),
        lambda: trackparse.convert_logs("log.zip", url),
        lambda: trackparse.convert_log(small, "a.parquet", on_error="quarantine", rejects=f"{url}"),
    ]
    for call in (*read, *written):
        with pytest.raises(trackparse.OptionError) as caught:
            call()
        assert f"{told}{', https' * (call in read)};" in f"{caught.value};"
    Path("log.zip").write_bytes(small)
    for words in (["head", url], ["convert", "log.zip", "--to", url], ["convert", "log.zip", "-o", url],
                  ["convert", "log.zip", "--rejects", url], ["fetch", "--to", url], ["convert", url]):  # fmt: skip
        said = " ".join(failed(2, *words).split())
        assert "unknown scheme" in said
        assert ("https" in said) == (url == words[1])
    assert os.listdir() == ["log.zip"]  # noqa: PTH208


def test_a_path_that_lost_a_slash_of_a_url_is_told(small: bytes, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    for call in (
        lambda: trackparse.convert_log(small, Path("s3://lake/a.parquet")),
        lambda: trackparse.read_log(Path("gs://lake/a.zip")),
        lambda: trackparse.read_log("s3:/lake/a.zip"),
    ):
        with pytest.raises(trackparse.OptionError, match="a URL has two slashes; pathlib drops one"):
            call()
    for option in ("-o", "--to", "--rejects"):
        told = " ".join(failed(2, "convert", "log.zip", option, "s3:/lake/a.parquet").split())
        assert "a URL has two slashes" in told
    assert os.listdir() == []  # noqa: PTH208


def test_nothing_is_written_to_a_web_server_or_to_a_folder(bucket: Bucket, small: bytes) -> None:
    for url in ("https://example.com/a.parquet", "http://me:word@example.com/a.parquet"):
        with pytest.raises(trackparse.OptionError, match=r"//example\.com/a\.parquet: nothing can be written to a web"):
            trackparse.convert_log(small, url)
    assert "nothing can be written to a web" in failed(2, "convert", "x", "--to", "https://example.com/")
    for url in (bucket.url("in/"), f"s3://{BUCKET}?endpoint_override={bucket.address}&scheme=http"):
        with pytest.raises(IsADirectoryError, match="is a folder or a bucket: name the file to write"):
            trackparse.convert_log(small, url)
    with pytest.raises(trackparse.OptionError, match="not encrypted"):
        trackparse.read_log("http://example.com/a.zip")


def test_a_url_of_another_store_does_not_go_to_the_file_system(bucket: Bucket, small: bytes) -> None:
    for files in (bucket.pyarrow, bucket.s3fs):
        with pytest.raises(trackparse.OptionError, match="not a path in the file system that filesystem= names"):
            trackparse.convert_log(small, f"gs://{BUCKET}/a.parquet", filesystem=files)
    with pytest.raises(TypeError, match="filesystem='s3': expected"):
        trackparse.read_log("x", filesystem="s3")


@pytest.mark.parametrize("via", ["url", "s3fs", "pyarrow"])
def test_what_is_not_there_is_an_error_that_names_it(via: str, bucket: Bucket, small: bytes) -> None:
    options: dict[str, Any] = {} if via == "url" else {"filesystem": getattr(bucket, via)}
    here = bucket.url("none.zip") if via == "url" else f"{BUCKET}/none.zip"
    shown = f"s3://{BUCKET}/none.zip" if via == "url" else here
    with pytest.raises(FileNotFoundError) as caught:
        trackparse.read_log(here, **options)
    assert caught.value.filename == shown
    nowhere = here.replace(BUCKET, "no-lake").replace(".zip", ".parquet")
    with pytest.raises(OSError, match=r"(?i)bucket") as refused:
        trackparse.convert_log(small, nowhere, **options)
    assert refused.value.filename == shown.replace(BUCKET, "no-lake").replace(".zip", ".parquet")


SECRET = "sEcReTsEcReT"


@pytest.mark.parametrize(
    "url",
    [
        f"s3://KEY:{SECRET}@lake/none.zip?scheme=http&endpoint_override=ADDRESS",
        f"s3://KEY:{SECRET}@lake/none.zip?scheme=http&endpoint_override=ADDRESS&token={SECRET}",
        f"s3://KEY:a/{SECRET}@lake/none.zip?scheme=http&endpoint_override=ADDRESS",
        f"s3://KEY:{SECRET}@?scheme={SECRET}",
        f"s3://KEY:{SECRET}@lake/x y?endpoint_override=ADDRESS&scheme={SECRET}",
        f"s3://lake/none.zip?allow_bucket_creation={SECRET}",
        f"s4://KEY:{SECRET}@lake/none.zip?token={SECRET}",
        f"https://me:{SECRET}@127.0.0.1:x/none.zip?sig={SECRET}",
        f"https://me:{SECRET}@[/none.zip?sig={SECRET}",
        f"http://me:{SECRET}@h/none.zip?sig={SECRET}",
        f"file://{SECRET}:{SECRET}@h/x",
    ],
)
def test_no_message_shows_a_key(url: str, bucket: Bucket, small: bytes) -> None:
    url = url.replace("ADDRESS", bucket.address)
    calls: list[Callable[[], object]] = [
        lambda: trackparse.read_log(url),
        lambda: trackparse.convert_log(small, url.replace("lake", "no-lake")),
        lambda: trackparse.read_rejects(url.replace(".zip", ".jsonl")),
    ]
    for call in calls:
        with pytest.raises((trackparse.TrackparseError, OSError)) as caught:
            call()
        error: BaseException | None = caught.value
        while error is not None:
            assert SECRET not in str(error)
            error = None if error.__suppress_context__ and error.__cause__ is None else error.__cause__
    if not url.startswith("http"):
        for words in (["head", url], ["convert", url, "-o", "/nowhere/x.parquet"], ["convert", "/none", "--to", url]):
            result = run(*words)
            assert result.exit_code in (1, 2)
            assert SECRET not in result.output


def test_neither_report_nor_reader_nor_file_shows_a_key(bucket: Bucket, small: bytes) -> None:
    bucket.put("in.zip", small)
    source, dest = (bucket.url(key).replace("s3://", f"s3://KEY:{SECRET}@") for key in ("in.zip", "out.parquet"))
    with trackparse.open_log(source) as log:
        assert SECRET not in repr(log) + log.name
    report = trackparse.convert_log(source, dest)
    assert SECRET not in repr(report) + str(report.to_dict())
    assert report.path == "s3://lake/out.parquet"
    assert SECRET.encode() not in bucket.get("out.parquet")
    assert pq.read_metadata(io.BytesIO(bucket.get("out.parquet"))).metadata[b"trackparse.source"] == b"s3://lake/in.zip"
    assert SECRET not in good("convert", source, "-o", dest).output


# ---- the command line, the client


def test_commands_read_and_write_urls(
    bucket: Bucket, small: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    bucket.put("in/day 1.zip", small)
    Path("two.csv").write_bytes(H8 + line() + b"bad\n")
    source, folder = bucket.url("in/day 1.zip"), bucket.url("push")
    for command in ("head", "schema", "stats", "check", "cat"):
        good(command, source)
    result = good("convert", source, "two.csv", "--to", folder, "--jobs", "2")
    assert "s3://lake/push/day 1.parquet: 500 rows" in result.stdout
    assert "1 bad record set aside in s3://lake/push/two.rejects.jsonl" in result.stderr
    assert os.listdir() == ["two.csv"]  # noqa: PTH208
    assert bucket.keys() == ["in/day 1.zip", "push/day 1.parquet", "push/two.parquet", "push/two.rejects.jsonl"]
    assert "is the log itself" in failed(2, "convert", source, "-o", bucket.url("in/day 1.zip"))
    assert "would both become s3://lake/push/two.parquet" in failed(
        2, "convert", "two.csv", bucket.url("two.csv"), "--to", folder
    )
    assert "a sample is written to this machine" in failed(2, "sample", folder, "--rows", "1")
    good("convert", source, "--to", f"file://{tmp_path}/new folder")
    assert Path("new folder/day 1.parquet").exists()


def test_the_client_writes_to_a_store(bucket: Bucket, small: bytes) -> None:
    from test_client import YESTERDAY

    with FakeService(logs={YESTERDAY.isoformat(): small}) as service, client_of(service) as client:
        report = client.convert(YESTERDAY, bucket.url("a.parquet"))
        assert (report.path, report.records) == ("s3://lake/a.parquet", 500)
        [second] = client.convert_days(YESTERDAY, YESTERDAY, bucket.url("days")).values()
        assert second.path == f"s3://lake/days/{YESTERDAY}.parquet"
        assert bucket.keys() == ["a.parquet", f"days/{YESTERDAY}.parquet"]
        asked = len(service.requests)
        with pytest.raises(OSError, match="bucket"):
            client.convert(YESTERDAY, bucket.url("a.parquet").replace("lake", "no-lake"))
        with pytest.raises(trackparse.OptionError, match="downloaded to this machine"):
            client.download(YESTERDAY, bucket.url("a.zip"))
        nowhere = bucket.url("days").replace("lake", "no-lake")
        told = run("fetch", "--base-url", service.url, "--allow-http", "--to", nowhere, TRACKPARSE_TOKEN=TOKEN)
        assert (told.exit_code, "bucket" in told.stderr) == (1, True)
        # Refused before the service is asked.
        assert len(service.requests) == asked
        wanted = ("--date", str(YESTERDAY), "--to", bucket.url("more"))
        told = run("fetch", "--base-url", service.url, "--allow-http", *wanted, TRACKPARSE_TOKEN=TOKEN)
        assert told.exit_code == 0, told.output
        assert bucket.keys()[-1] == f"more/{YESTERDAY}.parquet"


# ---- open files


class Slow(io.RawIOBase):
    """A file without a buffer, which takes 1,000 bytes at a time."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        part = bytes(data[:1000])
        self.data += part
        return len(part)


def test_an_open_file_gets_the_bytes_and_stays_open(small: bytes, tmp_path: Path) -> None:
    trackparse.convert_log(small, tmp_path / "a.parquet")
    expected = (tmp_path / "a.parquet").read_bytes()
    memory, slow = io.BytesIO(), Slow()
    for file in (memory, slow):
        report = trackparse.convert_log(small, file)
        assert (report.path, report.bytes_out) == ("<stream>", len(expected))
        assert not file.closed
    assert memory.getvalue() == bytes(slow.data) == expected
    with (tmp_path / "b.parquet").open("wb") as opened:
        assert trackparse.convert_log(small, opened).path == str(tmp_path / "b.parquet")
        assert (tmp_path / "b.parquet").read_bytes() == expected
    with pa.OSFile(str(tmp_path / "c.parquet"), "wb") as native:
        trackparse.convert_log(small, native)
    assert (tmp_path / "c.parquet").read_bytes() == expected


def test_a_pipe_gets_a_whole_file(small: bytes) -> None:
    reading, writing = os.pipe()
    got: list[bytes] = []

    def read() -> None:
        with open(reading, "rb") as file:  # noqa: PTH123
            got.append(file.read())

    thread = threading.Thread(target=read)
    thread.start()
    with open(writing, "wb") as file:  # noqa: PTH123
        trackparse.convert_log(small, file)
    thread.join()
    assert pq.read_table(io.BytesIO(got[0])).num_rows == 500


@pytest.mark.parametrize("size", ["small", "large"])
def test_after_an_error_an_open_file_holds_nothing_that_looks_whole(size: str, request: Any) -> None:
    data = request.getfixturevalue(size)
    file = io.BytesIO()

    def stop(progress: trackparse.Progress) -> None:
        if progress.bytes_read > len(data) * 3 // 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trackparse.convert_log(data, file, row_group_size=1000, compression="none", progress=stop)
    with pytest.raises(pa.ArrowInvalid):
        pq.read_metadata(io.BytesIO(file.getvalue()))


def test_files_that_cannot_be_written_are_refused(small: bytes, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="is a text file: open it in binary mode"):
        trackparse.convert_log(small, io.StringIO())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a destination is a path, a URL, or a binary file"):
        trackparse.convert_log(small, 3)  # type: ignore[arg-type]
    log = tmp_path / "log.zip"
    log.write_bytes(small)
    with log.open("rb") as file, pytest.raises(trackparse.OptionError, match="open for reading only"):
        trackparse.convert_log(small, file)
    with log.open("r+b") as file:
        for source in (log, str(log), file):
            with pytest.raises(trackparse.OptionError, match="that is the log itself"):
                trackparse.convert_log(source, file)
    assert log.read_bytes() == small


def test_an_interruption_while_the_stream_is_opened_leaves_nothing(bucket: Bucket, small: bytes) -> None:
    files = bucket.pyarrow

    class Interrupted(pafs.FileSystemHandler):  # type: ignore[misc]
        """S3, where Ctrl-C comes when the stream was opened, and nobody has it yet."""

        def open_output_stream(self, path: str, metadata: Any) -> Any:
            files.open_output_stream(path)
            raise KeyboardInterrupt

        def delete_file(self, path: str) -> None:
            files.delete_file(path)

        def get_type_name(self) -> str:
            return "s3"

    for name in ("get_file_info", "open_input_file", "move", "copy_file", "normalize_path", "open_input_stream",
                 "open_append_stream", "create_dir", "delete_dir", "delete_dir_contents", "delete_root_dir_contents",
                 "get_file_info_selector"):  # fmt: skip
        setattr(Interrupted, name, lambda _, path, *more: path)
    Interrupted.__abstractmethods__ = frozenset()
    with suppress(KeyboardInterrupt):
        trackparse.convert_log(small, f"{BUCKET}/a.parquet", filesystem=pafs.PyFileSystem(Interrupted()))
    assert bucket.keys() + bucket.uploads() == []


def test_a_sync_with_a_store_fetches_what_is_missing_and_keeps_changed_rejects(
    bucket: Bucket, caplog: pytest.LogCaptureFixture
) -> None:
    day, today = (str(NOON.date() - datetime.timedelta(days=age)) for age in (1, 0))
    key, manifest = f"push/{day}", f"push/{MANIFEST}"
    good = HEADER + encode_row(ROW)
    with FakeService(logs={day: stored(good + BAD), today: stored(good)}) as service, client_of(service) as client:
        client._clock = clock = SetClock()

        def synced(folder: str, **options: Any) -> list[str]:
            reports = client.sync(folder, days=1, on_error="quarantine", **options)
            assert not [report.error for report in reports.values() if report.error]
            return [str(day) for day in reports]

        assert synced(bucket.url("push")) == [day]
        assert sorted(bucket.keys()) == [f"{key}.parquet", f"{key}.rejects.jsonl", manifest]
        assert synced(bucket.url("push")) == synced("lake/push", filesystem=bucket.pyarrow) == []
        bucket.client.delete_object(Bucket="lake", Key=manifest)
        mended = bucket.get(f"{key}.rejects.jsonl") + b"\n"
        bucket.put(f"{key}.rejects.jsonl", mended)
        assert synced("lake/push", filesystem=bucket.s3fs) == [day]
        assert bucket.get(f"{key}.rejects.jsonl") == mended
        assert f"lake/{key}.rejects.jsonl: nothing says that the file is as trackparse wrote it" in caplog.text
        assert bucket.get(f"{key}.rejects.new.jsonl")
        clock.moment += 24 * 3600
        assert synced(bucket.url("push")) == [today]
    assert not [name for name in bucket.keys() + bucket.uploads() if name.endswith(".tmp")]


def test_the_report_of_a_failed_log_has_its_url_without_the_query(bucket: Bucket) -> None:
    bucket.put("in/bad.csv", b"neither")
    [report] = trackparse.convert_logs(bucket.url("in/bad.csv"), bucket.url("out"))
    assert "?" in bucket.url("out")
    assert report.error is not None
    assert report.path == "s3://lake/out/bad.parquet"


def test_a_bucket_that_does_not_exist_is_called_that(bucket: Bucket, small: bytes) -> None:
    lake, nowhere = f"s3://{BUCKET}/", "s3://nowhere/"
    for call in (
        lambda: trackparse.read_log(bucket.url("a.zip").replace(lake, nowhere)),
        lambda: trackparse.dataset(bucket.url("in/").replace(lake, nowhere)),
        lambda: trackparse.convert_log(small, bucket.url("a.parquet").replace(lake, nowhere)),
    ):
        with pytest.raises(FileNotFoundError, match="its bucket does not exist: make it, or correct its name"):
            call()
    # Where the bucket is there, it is the file that is not.
    with pytest.raises(FileNotFoundError, match="No such file"):
        trackparse.read_log(bucket.url("a.zip"))


def test_a_folder_of_a_store_is_known_without_a_slash(bucket: Bucket, small: bytes) -> None:
    for name in ("a", "b"):
        bucket.put(f"in/{name}.zip", small)
    told = good("convert", bucket.url("in"), bucket.url("in/a.zip"), "--to", bucket.url("out"), "--quiet")
    assert (told.stdout, bucket.keys()) == ("", ["in/a.zip", "in/b.zip", "out/a.parquet", "out/b.parquet"])
    assert "s3://lake/in: a folder: name a log in it" in failed(1, "head", bucket.url("in"))
    assert "s3://lake: a folder: name a log in it" in failed(1, "head", bucket.url("").replace("lake/", "lake"))
    with pytest.raises(IsADirectoryError, match="a folder: name a log in it"):
        trackparse.open_log(bucket.url("in"))
    # A name that is nothing does not stop the others.
    result = ended(1, "convert", bucket.url("neither"), bucket.url("in/a.zip"), "--to", bucket.url("out"))
    assert result.stdout.startswith("s3://lake/out/a.parquet: 500 rows")
    # What is called a log is taken for one: nothing else is asked about it.
    bucket.asked()
    good("convert", bucket.url("in/a.zip"), "--to", bucket.url("out"))
    assert [one for one in bucket.asked() if "in" in one and "list" in one] == []


@pytest.mark.parametrize("place", ["s3:lake", "S3:lake/day.parquet", "gs:lake", "https:lake"])
def test_a_url_without_its_slashes_is_no_local_folder(
    place: str, small: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = rf"{place}: a URL begins with \w+://; if this is a path of this machine, write \./{place}"
    for call in (lambda: trackparse.convert_log(small, place), lambda: trackparse.read_log(place)):
        with pytest.raises(trackparse.OptionError, match=said):
            call()
    (tmp_path / "log.zip").write_bytes(small)
    for option in ("-o", "--to", "--rejects"):
        assert "a URL begins with" in " ".join(failed(2, "convert", "log.zip", option, place).split())
    assert os.listdir() == ["log.zip"]  # noqa: PTH208
    # Who means it says so, and a folder that is there is a folder.
    good("convert", "log.zip", "--to", "./s3:here", "--quiet")
    good("convert", "log.zip", "--to", "s3:here", "--quiet")


def test_rejects_of_a_store_are_mended_there(bucket: Bucket, tmp_path: Path) -> None:
    good("convert", with_bad(tmp_path / "log.csv", 3), "--rejects", tmp_path / "day.rejects.jsonl")
    data = (tmp_path / "day.rejects.jsonl").read_bytes()
    mended = line().decode().strip().replace('"', '\\"').encode()
    bucket.put("day.rejects.jsonl", data.replace(b"this is not a record", mended) + data)
    words = ("mend", bucket.url("day.rejects.jsonl"), "-o", bucket.url("out/day.parquet"))
    assert "1 record still bad, set aside in s3://lake/out/day.rejects.jsonl" in good(*words).stderr
    assert pq.read_metadata(io.BytesIO(bucket.get("out/day.parquet"))).num_rows == 1
    assert json.loads(bucket.get("out/day.rejects.jsonl")) == json.loads(data)
    assert "out/day.parquet: the file exists" in failed(1, *words)
    told = failed(2, *words[:3], bucket.url("day.rejects.jsonl"), "--existing", "replace")
    assert "that is the file of rejects itself" in told


# ---- partitions


def test_stats_of_a_partition_in_a_store_has_the_value_of_its_folder(bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_bytes(H8 + line(app=b"a:b%"))
    (report,) = trackparse.convert_logs(tmp_path / "log.csv", bucket.url("lake"), partition_by=("appCode",))
    assert report.error is None
    _, _, query = bucket.url("lake").partition("?")
    for words in (("--app", "a:b%"), ("--by", "app")):
        told = good("stats", f"{report.files[0]}?{query}", *words, "--json").stdout
        assert json.loads(told)["records"] == 1
    assert [group["value"] for group in json.loads(told)["groups"]] == ["a:b%"]


def test_stats_of_a_folder_of_a_store_count_its_parquet_files(bucket: Bucket, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_bytes(H8 + line() * 2 + line(app=b"A-2"))
    (tmp_path / "b.csv").write_bytes(H8 + line() + b"x\n")
    trackparse.convert_logs(tmp_path, bucket.url("lake"), partition_by=("appCode",), on_error="quarantine")
    bucket.put("lake/old.rejects.parquet", b"passed over")
    bucket.put("lake/_part/day.parquet", b"passed over")
    assert json.loads(good("stats", bucket.url("lake/"), "--json").stdout)["records"] == 4
    assert json.loads(good("stats", bucket.url("lake"), "--json").stdout)["records"] == 4
    assert json.loads(good("stats", bucket.url(""), "--json").stdout)["records"] == 4
    bucket.put("lake/day.csv", H8 + line())
    assert "has logs and Parquet files" in failed(2, "stats", bucket.url("lake/"))
    told = failed(2, "stats", bucket.url("lake"))
    assert "s3://lake/lake has logs and Parquet files" in told
    assert "name one kind, such as 's3://lake/lake/*.parquet'" in told
    bucket.put("lake/named", H8 + line())
    assert json.loads(good("stats", bucket.url("lake/named"), "--json").stdout)["records"] == 1
    assert "No such file" in failed(1, "stats", bucket.url("nothing"))
    assert "no log is there" in failed(1, "stats", bucket.url("nothing/"))


def test_partitions_are_written_anywhere(kind: Kind, tmp_path: Path) -> None:
    log = tmp_path / "täg 1%.csv"
    log.write_bytes(H8 + line() + line(app=b"a/b c%") + line(app=b""))
    place, options = kind.place("lake")
    if options:
        kind.put(log.name, log.read_bytes())
    source = kind.place(log.name)[0] if options else log
    values = ("A-1", "__HIVE_DEFAULT_PARTITION__", "a%2Fb c%25")
    names = [f"lake/appCode={value}/täg 1%.parquet" for value in values]
    others = {"lake/_trackparse/täg 1%.json", *([log.name] if options or kind.found() == [log.name] else [])}
    # Those of fsspec do not tell when a file was changed.
    existing: Any = "replace" if isinstance(options.get("filesystem"), fsspec.AbstractFileSystem) else "skip"
    for again in (False, True):
        (report,) = trackparse.convert_logs(source, place, partition_by=("appCode",), existing=existing, **options)
        assert (report.error, report.records) == (None, 3)
        assert report.skipped is (again and existing == "skip")
        assert {*kind.found()} == {*names, *others}
    assert report.bytes_out == sum(len(kind.get(name)) for name in names)
    # The name of a file is a path, or a URL in which a % is escaped.
    for file, name in zip(report.files, names, strict=True):
        assert str(file).endswith(name.replace("%", "%25") if "://" in str(file) else name)
    (report,) = trackparse.convert_logs(source, place, partition_by=("status",), existing=existing, **options)
    assert (report.error, report.skipped, report.records) == (None, False, 3)
    assert {*kind.found()} == {"lake/status=sent/täg 1%.parquet", *others}
    assert pq.read_table(io.BytesIO(kind.get("lake/status=sent/täg 1%.parquet")))["appCode"].to_pylist() == [
        "A-1", "a/b c%", ""
    ]  # fmt: skip


def test_a_lake_on_s3_is_asked_as_the_page_says(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("duckdb")
    pytest.importorskip("polars")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{bucket.address}")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    check_steps("s3", monkeypatch)


OTHER_FORMATS = ["all.arrow", "all.feather", "all.CSV", "all.csv.gz", "all.json"]


@pytest.mark.parametrize("name", OTHER_FORMATS)
def test_a_name_that_promises_another_format_is_refused(name: str, tmp_path: Path, small: bytes) -> None:
    """It would have been a file of Parquet, or a folder."""
    (tmp_path / "log.zip").write_bytes(small)
    for dest in (tmp_path / name, f"file://{tmp_path}/{name}"):
        for convert in (trackparse.convert_log, trackparse.convert_logs):
            with pytest.raises(trackparse.OptionError, match=r"logs become Parquet.*: end it in \.parquet"):
                convert(tmp_path / "log.zip", dest)
        for logs in (tmp_path / "log.zip", tmp_path):
            assert "end it in .parquet" in failed(2, "convert", logs, "-o", dest)
    assert os.listdir(tmp_path) == ["log.zip"]  # noqa: PTH208


def test_nothing_is_asked_for_to_be_written_under_such_a_name(tmp_path: Path, small: bytes) -> None:
    from test_client import YESTERDAY

    with FakeService(logs={YESTERDAY.isoformat(): small}) as service, client_of(service) as client:
        with pytest.raises(trackparse.OptionError, match=r"end it in \.parquet"):
            client.convert(YESTERDAY, tmp_path / "day.csv")
        assert not service.requests
        with (tmp_path / "day.bin.gz").open("wb") as file:  # whoever opens a file may call it as he likes
            client.convert(YESTERDAY, file)
    assert pq.read_metadata(tmp_path / "day.bin.gz").num_rows


@pytest.mark.parametrize("name", ["all.parquet", "all.pq", *OTHER_FORMATS])
def test_where_a_directory_is_named_a_name_of_a_file_is_refused(name: str, tmp_path: Path, small: bytes) -> None:
    (tmp_path / "log.zip").write_bytes(small)
    to = tmp_path / name
    for command, other in ((["convert", tmp_path], True), (["fetch"], True), (["sync", "--dry-run"], False)):
        told = " ".join(failed(2, *command, "--to", to).split())
        assert "end the name of a directory in /" in told
        assert ("for one file give -o" in told) == other
    assert os.listdir(tmp_path) == ["log.zip"]  # noqa: PTH208
    for _ in range(2):  # and where the folder is there, it is meant
        good("convert", tmp_path / "log.zip", "--to", f"{to}/")
        good("convert", tmp_path / "log.zip", "--to", to)
    trackparse.convert_logs(tmp_path / "log.zip", to)
    assert os.listdir(to) == ["log.parquet"]  # noqa: PTH208


@pytest.mark.parametrize("name", ["all.parquet", "all.PQ", "all.parq"])
def test_a_name_of_a_parquet_file_is_one_file_of_all_logs(name: str, tmp_path: Path, small: bytes) -> None:
    for log in ("a.zip", "b.zip"):
        (tmp_path / log).write_bytes(small)
    [report] = trackparse.convert_logs(tmp_path, tmp_path / name)
    assert report.records == pq.read_metadata(tmp_path / name).num_rows
