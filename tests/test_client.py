"""The client against the stand-in service, over real HTTP."""

from __future__ import annotations

import datetime
import gc
import json
import math
import os
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from email.utils import formatdate
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import trustme
import urllib3
from hypothesis import given
from hypothesis import strategies as st

import trackparse
from support.raw_server import assert_nothing_left, left_over
from support.service import QUICK, RecordingClock, client_of, clocked, sample, stored, table_of
from trackparse.client import TrackingLogClient, days, open_url, tracking_codes
from trackparse.sources.http import over_https, retry_after
from trackparse.sources.retry import Pauses
from trackparse.testing import TOKEN, Delivery, FakeService, Reply

TODAY = datetime.datetime.now(datetime.UTC).date()
YESTERDAY = TODAY - datetime.timedelta(days=1)


def ago(number: int) -> datetime.date:
    return TODAY - datetime.timedelta(days=number)


@pytest.fixture
def service() -> Iterator[FakeService]:
    with FakeService(logs={YESTERDAY.isoformat(): sample()}) as fake:
        yield fake


def asked(service: FakeService, method: str) -> list[dict[str, Any]]:
    """The requests of one kind, as the API got them."""
    return [
        json.loads(request.body)["request"]
        for request in service.requests
        if request.host == "api" and request.path.endswith(f"/{method}")
    ]


# ---- from the request to the rows -----------------------------------------------------------------------------


@pytest.mark.parametrize("delivery", [{}, {"chunked": True}, {"length": False}, {"piece": 7_001}, {"ranges": False}])
def test_a_log_reads_the_same_as_from_memory(service: FakeService, delivery: dict[str, Any]) -> None:
    for name, value in delivery.items():
        setattr(service.delivery, name, value)
    with client_of(service) as client, client.open_log(YESTERDAY) as log:
        assert log.read_all().equals(table_of(sample()))
        assert log.name == f"tracking_log_{YESTERDAY}.zip"
        assert log.stats.bytes_read == len(sample())
        assert log.stats.bytes_total == (len(sample()) if delivery.keys() <= {"piece", "ranges"} else None)


def test_each_step_says_what_the_protocol_says(service: FakeService) -> None:
    with client_of(service) as client:
        request_id = client.request_log(YESTERDAY)
        assert client.poll(request_id) == service.file_url(YESTERDAY.isoformat())
    assert [request.path for request in service.requests] == ["/json/1.3/getTrackingLog", "/json/1.3/getResults"]
    assert asked(service, "getTrackingLog") == [{"auth": TOKEN, "date": YESTERDAY.isoformat()}]
    assert asked(service, "getResults") == [{"auth": TOKEN, "request_id": request_id}]


def test_options_reach_the_reader(service: FakeService) -> None:
    with client_of(service) as client, client.open_log(columns=["status"], block_size=1000) as log:
        assert log.schema.names == ["status"]


def test_the_parquet_file_is_the_one_from_the_file_on_disk(
    service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    archive = Path(f"tracking_log_{YESTERDAY}.zip")
    archive.write_bytes(sample())
    trackparse.convert_log(archive, "disk.parquet")
    with client_of(service) as client:
        report = client.convert(YESTERDAY, "stream.parquet", compression="zstd")
        client.convert(YESTERDAY, "again.parquet")
    assert before_footer("stream.parquet") == before_footer("disk.parquet")
    assert (report.records, report.bytes_in) == (1000, len(sample()))
    # It was another request, and another moment, but the same log.
    assert Path("again.parquet").read_bytes() == Path("stream.parquet").read_bytes()
    told = pq.read_metadata("stream.parquet").metadata
    assert told[b"trackparse.day"].decode() == str(YESTERDAY)
    assert told[b"trackparse.source"].decode() == f"{service.url}/getTrackingLog"


def before_footer(path: str) -> bytes:
    data = Path(path).read_bytes()
    return data[: -8 - int.from_bytes(data[-8:-4], "little")]


def open_for_writing() -> set[str]:
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = entry.readlink()
            flags = int(Path(f"/proc/self/fdinfo/{entry.name}").read_text().split("flags:")[1].split()[0], 8)
        except (FileNotFoundError, IndexError):
            continue
        if target.is_file() and flags & (os.O_WRONLY | os.O_RDWR):
            found.add(str(target))
    return found


@pytest.mark.skipif(not Path("/proc/self/fdinfo").exists(), reason="the system does not tell what is open")
def test_nothing_is_written_but_the_parquet_file_and_its_temporary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = {name: tmp_path / name for name in ("tmp", "home", "cwd", "out")}
    for folder in folders.values():
        folder.mkdir()
    for name, value in {"TMPDIR": "tmp", "HOME": "home", "XDG_CACHE_HOME": "home"}.items():
        monkeypatch.setenv(name, str(folders[value]))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.chdir(folders["cwd"])
    before = open_for_writing()
    seen: set[str] = set()
    with FakeService(rows=20_000) as service, client_of(service) as client:
        service.delivery.cuts = [100_000, 300_000]
        client.convert(
            None,
            folders["out"] / "log.parquet",
            row_group_size=1000,
            progress=lambda _: seen.update(open_for_writing() - before),
        )
    assert len(seen) == 1
    assert Path(next(iter(seen))).parent == folders["out"]
    left = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert left == [Path("out/log.parquet")]


def test_download_writes_the_archive_whole_or_not_at_all(service: FakeService, tmp_path: Path) -> None:
    dest = tmp_path / "log.zip"
    told: list[trackparse.Progress] = []
    with client_of(service) as client:
        service.delivery.cuts = [10, 20_000]
        assert client.download(YESTERDAY, dest, progress=told.append) == dest
        assert dest.read_bytes() == sample()
        assert {progress.step for progress in told} == {"downloading"}
        assert (told[-1].name, told[-1].bytes_read, told[-1].bytes_total) == (
            str(YESTERDAY),
            len(sample()),
            len(sample()),
        )
        service.delivery.cuts = [10]
        service.delivery.ranges = False
        with pytest.raises(trackparse.DownloadError, match="parts of a file"):
            client.download(YESTERDAY, dest)
    assert dest.read_bytes() == sample()
    assert list(tmp_path.iterdir()) == [dest]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is full")
def test_a_full_disk_is_an_error_that_names_the_file(
    service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def full(path: Path) -> Iterator[Path]:
        yield Path("/dev/full")

    monkeypatch.setattr("trackparse.client.api.atomic", full)
    with client_of(service) as client, pytest.raises(OSError, match=r"No space left.*log\.zip"):
        client.download(YESTERDAY, tmp_path / "log.zip")


def test_download_keeps_no_page_that_is_no_archive(service: FakeService, tmp_path: Path) -> None:
    service.reply("download", Reply(200, b"<html>log in</html>"))
    with client_of(service) as client, pytest.raises(trackparse.DownloadError, match="<htm"):
        client.download(YESTERDAY, tmp_path / "log.zip")
    assert not list(tmp_path.iterdir())


def test_download_keeps_no_archive_that_may_be_half(service: FakeService, tmp_path: Path) -> None:
    service.delivery.length = False
    service.delivery.cuts = [20_000]
    with client_of(service) as client:
        with pytest.raises(trackparse.DownloadError, match="ended early"):
            client.download(YESTERDAY, tmp_path / "log.zip")
        client.download(YESTERDAY, tmp_path / "log.zip")
    assert (tmp_path / "log.zip").read_bytes() == sample()


def test_a_url_is_a_source(service: FakeService) -> None:
    service.delivery.cuts = [1000]
    link = service.file_url(YESTERDAY.isoformat())
    assert trackparse.read_log(open_url(link, allow_http=True, pauses=QUICK)).equals(table_of(sample()))
    with pytest.raises(ValueError, match="allow_http"):
        open_url(link)
    with pytest.raises(ValueError, match="https"):
        open_url("ftp://example.com/log.zip", allow_http=True)


@pytest.mark.parametrize("end", ["close", "drop"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_reader_that_is_closed_or_dropped_ends_a_download_that_stands_still(
    service: FakeService, secure: FakeService, authority: trustme.CA, scheme: str, end: str
) -> None:
    chosen = service if scheme == "http" else secure
    chosen.delivery.piece, chosen.delivery.rate = 10_000, 100.0
    with client_of(chosen, timeout=60, pool=None if scheme == "http" else trusting(authority)) as client:
        log = client.open_log(YESTERDAY, block_size=1000)
        next(log)
        if end == "close":
            log.close()
        del log
    assert not [thread for thread in threading.enumerate() if thread.name == "trackparse-inflate"]


def test_a_log_outlives_its_client(service: FakeService) -> None:
    service.delivery.cuts = [20_000]
    with client_of(service) as client:
        link = client.poll(client.request_log(YESTERDAY))
        log = trackparse.open_log(client.open_link(link))
        with pytest.raises(ValueError, match="the link is no"):
            client.open_link("log.zip")
    with log:
        assert log.read_all().equals(table_of(sample()))
    assert len(service.spans) == 2


def test_a_download_ends_with_its_block(service: FakeService) -> None:
    service.delivery.piece, service.delivery.rate = 1000, 10_000.0  # bytes a second: it takes a few
    with client_of(service) as client:
        link = client.poll(client.request_log(YESTERDAY))
        before, _ = left_over()
        with suppress(ZeroDivisionError), client.open_link(link) as download:
            assert len(download.read(1000))
            raise ZeroDivisionError
        assert_nothing_left(before)
        service.delivery = Delivery()
        with client.open_link(link) as download:
            # Its reader closes it first.
            assert trackparse.read_log(download).equals(table_of(sample()))
        with pytest.raises(ValueError, match=r"\.zip: the download is closed: open it again"):
            trackparse.read_log(download)


def test_names_that_can_be_read_only_once(service: FakeService, tmp_path: Path) -> None:
    with client_of(service) as client:
        with client.open_log(YESTERDAY, columns=iter(["status"])) as log:
            assert log.schema.names == ["status"]
        client.convert(YESTERDAY, tmp_path / "log.parquet", columns=iter(["status", "hwid"]))
        client.convert(YESTERDAY, tmp_path / "more.parquet", columns=[], payload_columns={"alert": "/aps/alert"})
        assert pq.read_schema(tmp_path / "log.parquet").names == ["status", "hwid"]
        for day, report in client.convert_days(ago(2), ago(1), tmp_path, columns=iter(["status"])).items():
            assert pq.read_schema(report.path).names == ["status"], day


def test_a_bad_option_is_met_before_the_wait(service: FakeService, tmp_path: Path) -> None:
    with client_of(service) as client:
        with pytest.raises(TypeError, match=r"unknown option 'colums': did you mean 'columns'\?"):
            client.open_log(colums=["status"])  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="compresion"):
            client.convert(None, tmp_path / "log.parquet", compresion="zstd")  # type: ignore[call-arg]
        with pytest.raises(FileNotFoundError, match="missing"):
            client.convert(None, tmp_path / "missing" / "log.parquet")
        with pytest.raises(IsADirectoryError):
            client.download(None, tmp_path)
        with pytest.raises(OSError, match="/dev/null"):
            client.download(None, "/dev/null")
        with pytest.raises(trackparse.OptionError, match="not for several logs"):
            client.convert_days(ago(2), ago(1), tmp_path, rejects=tmp_path / "rejects.jsonl")
    assert service.requests == []


def test_bad_records_of_a_stream_are_set_aside(tmp_path: Path) -> None:
    log = b"2021-04-20 13:01:01;T-1;user;device;created;\n2021-04-20 13:01:02;T-1;user\n"
    with FakeService(logs={str(YESTERDAY): stored(log)}) as service, client_of(service) as client:
        report = client.convert(
            YESTERDAY, tmp_path / "log.parquet", on_error="quarantine", rejects=tmp_path / "bad.jsonl"
        )
    assert (report.records, report.rejected) == (1, 1)
    assert trackparse.read_rejects(tmp_path / "bad.jsonl").num_rows == 1


def test_an_option_that_the_reader_refuses_closes_the_download(service: FakeService) -> None:
    with client_of(service) as client, pytest.raises(ValueError, match=r"no column .nonsense"):
        client.open_log(columns=["nonsense"])


def test_threads_may_share_a_client(service: FakeService, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with client_of(service) as client, ThreadPoolExecutor(6) as executor:
        service.delivery.cuts = [1000, 20_000]
        reports = list(executor.map(lambda n: client.convert(YESTERDAY, tmp_path / f"{n}.parquet"), range(12)))
    assert [report.records for report in reports] == [1000] * 12
    assert not caplog.records


def open_sockets() -> int:
    gc.collect()
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found += str(entry.readlink()).startswith("socket:")
    return found


def read_in_every_way(service: FakeService) -> None:
    with client_of(service) as client:
        client.open_log(YESTERDAY).close()
        next(client.open_log(YESTERDAY, block_size=1000))
        service.delivery.cuts = [1000]
        client.open_log(YESTERDAY).read_all()
        service.reply("download", Reply(404))
        with pytest.raises(trackparse.DownloadError):
            client.open_log(YESTERDAY)
        service.reply("getResults", Reply(drop=True), Reply(503, b"x" * 2_000_000))
        link = client.poll(client.request_log(YESTERDAY))
    open_url(link, allow_http=True).close()
    service.delivery.cuts = [20_000]
    service.delivery.ranges = False
    with pytest.raises(trackparse.DownloadError):
        trackparse.read_log(open_url(link, allow_http=True, pauses=QUICK))
    service.delivery.ranges = True


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system does not tell what is open")
def test_logs_leave_no_connection_behind() -> None:
    before = open_sockets()
    with FakeService(logs={str(YESTERDAY): sample()}) as service:
        for _ in range(5):
            read_in_every_way(service)
        assert open_sockets() > before
    # Those of the server are closed now.
    assert open_sockets() == before


# ---- waiting --------------------------------------------------------------------------------------------------


def test_pauses_grow_and_differ(service: FakeService) -> None:
    service.ready_after = 12
    told: list[trackparse.Progress] = []
    client, clock = clocked(service)
    with client:
        client.poll(client.request_log(), progress=told.append)
    assert len(clock.pauses) == 12
    assert clock.pauses == [waiting.pause for waiting in told]
    assert [waiting.attempts for waiting in told] == list(range(1, 13))
    for number, pause in enumerate(clock.pauses):
        whole = min(30.0, 1.6**number)
        assert whole / 2 <= pause <= whole
    assert len({pause / 1.6**number for number, pause in enumerate(clock.pauses[:6])}) == 6
    assert told[-1].elapsed >= sum(clock.pauses[:-1])


@pytest.mark.parametrize(
    "value",
    [
        "Fri, 31 Dec 99999999999999 23:59:59 GMT",
        "Fri, 31 Dec 9999 23:59:59 -9999",
        "Mon, 01 Jan 0001 00:00:00 +2359",
        "Mon, 00 Jan 2021 00:00:00 GMT",
        "99999999999999999999",
        "-5",
        "1e400",
        "soon",
        "",
        "\u0661",
        "Fri",
        "1 1 1 1",
        "Fri, 31 Dec 9999 23:59:59 GMT",
        "Fri, 31 Dec 2021 23:59:59 +99999999999999999999",
        "0",
        "12:00",
        "1.5",
    ],
)
def test_a_time_to_wait_that_no_calendar_has_is_none(value: str) -> None:
    found = retry_after({"Retry-After": value}, time.time())
    assert found is None or 0 <= found <= 1e6


DATE_LIKE = r"[A-Z][a-z]{2}, \d{1,3} (Jan|Feb|Dec) \d{1,12} \d{1,3}:\d{1,3}:\d{1,3} ([-+]\d{1,9}|GMT|Z)?"


@given(st.text(max_size=30) | st.from_regex(DATE_LIKE, fullmatch=True))
def test_any_time_to_wait_is_a_number_or_none(value: str) -> None:
    found = retry_after({"Retry-After": value}, 1e9)
    assert found is None or 0 <= found <= 1e6


def test_a_time_to_wait_of_years_is_cut_at_the_deadline(service: FakeService) -> None:
    service.reply("getTrackingLog", *[Reply(503, headers={"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"})] * 3)
    client, clock = clocked(service)
    with client, pytest.raises(trackparse.ApiError, match="the service answered 503; tried 2 times"):
        client.request_log(deadline=100)
    assert 98 <= sum(clock.pauses) <= 100


def test_no_deadline_waits_as_long_as_a_server_says_and_no_longer(service: FakeService) -> None:
    service.reply("getTrackingLog", Reply(503, headers={"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}))
    client, clock = clocked(service)
    with client:
        client.request_log(deadline=math.inf)
    assert clock.pauses == [1e6]


def test_a_deadline_of_nothing_asks_once(service: FakeService) -> None:
    with client_of(service) as client:
        request_id = client.request_log(YESTERDAY, deadline=0)
        assert client.poll(request_id, deadline=0)
        service.reply("getResults", Reply.refusal(420, "not yet"))
        with pytest.raises(trackparse.NotReadyError, match="within 0 s"):
            client.poll(request_id, deadline=0)
        for wrong in (-1.0, math.nan):
            with pytest.raises(ValueError, match="zero or more"):
                client.request_log(deadline=wrong)
            with pytest.raises(ValueError, match="zero or more"):
                client.open_link(service.file_url(str(YESTERDAY)), stall=wrong)


def test_the_deadline_is_the_callers(service: FakeService) -> None:
    service.ready_after = 1_000_000
    client, clock = clocked(service)
    with client, pytest.raises(trackparse.NotReadyError, match=r"within 100 s.*not ready yet.*ask again later"):
        client.poll(client.request_log(), deadline=100)
    assert 80 < sum(clock.pauses) <= 100


def test_open_log_spends_one_deadline(service: FakeService) -> None:
    service.reply("getTrackingLog", Reply(503, headers={"Retry-After": "60"}))
    service.ready_after = 1_000_000
    client, clock = clocked(service)
    with client, pytest.raises(trackparse.NotReadyError):
        client.open_log(deadline=100)
    assert clock.pauses[0] == 60
    assert 80 < sum(clock.pauses) <= 101


@pytest.mark.parametrize("deadline", [0, 20])
def test_a_service_that_is_down_failed_however_short_the_deadline(deadline: float, service: FakeService) -> None:
    service.reply("getResults", *[Reply(503)] * 50)
    client, clock = clocked(service, retries=100)
    with client, pytest.raises(trackparse.ApiError, match=r"the service answered 503.*try again in a while") as caught:
        client.poll("1", deadline=deadline)
    assert caught.value.status_code == 503
    assert sum(clock.pauses) <= deadline


@pytest.mark.parametrize(
    "answer",
    [
        Reply.refusal(200, "OK"),
        Reply.refusal(420, "whatever"),
        Reply.refusal(210, "The request is still being processed"),
        Reply(202, {"status_code": 202, "status_message": "Accepted", "response": {}}),
        Reply(200, {"status_code": 200, "status_message": "OK", "response": {"fileName": None}}),
        Reply(200, {"status_code": "200", "status_message": "OK", "response": []}),
    ],
)
def test_ways_to_say_not_yet(service: FakeService, answer: Reply) -> None:
    service.reply("getResults", answer, answer)
    with client_of(service) as client:
        assert client.poll(client.request_log(YESTERDAY)) == service.file_url(YESTERDAY.isoformat())


@pytest.mark.parametrize(
    ("told", "least", "most"),
    [("7", 7, 7), ("0", 0.5, 1), ("soon", 0.5, 1), ("-3", 0.5, 1), ("9" * 30, 300, 300), (None, 0.5, 1)],
)
def test_retry_after_is_honoured_up_to_the_deadline(
    service: FakeService, told: str | None, least: float, most: float
) -> None:
    service.reply("getTrackingLog", Reply(429, headers={} if told is None else {"Retry-After": told}))
    client, clock = clocked(service)
    with client:
        client.request_log(deadline=300)
    assert len(clock.pauses) == 1
    assert least - 20 * (least == 300) <= clock.pauses[0] <= most


def test_retry_after_may_be_a_date(service: FakeService) -> None:
    client, clock = clocked(service)
    service.reply("getTrackingLog", Reply(503, headers={"Retry-After": formatdate(clock.time() + 90, usegmt=True)}))
    service.reply("getTrackingLog", Reply(503, headers={"Retry-After": formatdate(0, usegmt=True)}))
    with client:
        client.request_log()
    assert 70 < clock.pauses[0] <= 91
    assert clock.pauses[1] <= 2


def test_a_result_that_is_not_there_yet_may_say_when(service: FakeService) -> None:
    service.reply("getResults", Reply.refusal(420, "not ready", headers={"Retry-After": "45"}))
    client, clock = clocked(service)
    with client:
        client.poll(client.request_log())
    assert clock.pauses == [45]


def test_waiting_can_be_cancelled(service: FakeService) -> None:
    service.ready_after = 1_000_000
    cancel = threading.Event()
    with client_of(service, pauses=Pauses(60, 60)) as client, pytest.raises(trackparse.CancelledError):
        client.poll(client.request_log(), progress=lambda _: cancel.set(), cancel=cancel)
    with client_of(service) as client, pytest.raises(trackparse.CancelledError):
        client.request_log(cancel=cancel)


def test_a_download_can_be_cancelled(service: FakeService) -> None:
    cancel = threading.Event()
    with client_of(service) as client, client.open_log(cancel=cancel, block_size=1000) as log:
        service.delivery.cuts = []
        next(log)
        cancel.set()
        with pytest.raises(trackparse.CancelledError):
            for _ in log:
                pass
    service.reply("download", Reply(503))
    with (
        client_of(service, pauses=Pauses(60, 60)) as client,
        pytest.raises(trackparse.CancelledError),
    ):
        client.open_log(cancel=SetLater())


class SetLater:
    """An event that is set the fourth time somebody looks."""

    def __init__(self) -> None:
        self.looks = 0

    def is_set(self) -> bool:
        self.looks += 1
        return self.looks > 4

    def wait(self, timeout: float) -> object:
        return None


# ---- answers that are none ------------------------------------------------------------------------------------

TRANSIENT = [
    Reply(500),
    Reply(502, b"<html>Bad Gateway</html>"),
    Reply(429),
    Reply(408),
    Reply(503, b"x" * 2_000_000),
    Reply(425),
    Reply.refusal(500, "Internal error"),
    Reply.refusal(429, "Too many"),
    Reply(drop=True),
    Reply(200, b"<html>maintenance</html>"),
    Reply(200, b"{}", {"Content-Length": "5", "Connection": "close"}),
]


@pytest.mark.parametrize("reply", TRANSIENT)
def test_what_may_pass_is_tried_again(service: FakeService, reply: Reply) -> None:
    service.reply("getTrackingLog", reply, reply)
    service.reply("getResults", reply, reply)
    with client_of(service) as client, client.open_log(YESTERDAY) as log:
        assert log.read_all().num_rows == 1000


@pytest.mark.parametrize("reply", TRANSIENT)
def test_but_not_for_ever(service: FakeService, reply: Reply) -> None:
    service.reply("getTrackingLog", *[reply] * 9)
    with client_of(service, retries=3) as client:
        with pytest.raises(trackparse.ApiError, match="tried 4 times") as caught:
            client.request_log()
        assert "getTrackingLog" in str(caught.value)
    with client_of(service, retries=0) as client, pytest.raises(trackparse.ApiError):
        client.request_log()
    assert len(asked(service, "getTrackingLog")) == 5


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(200, b"x" * 2_000_000), "longer than 1,048,576 bytes"),
        (Reply(200, b"[1]"), "not a JSON object"),
        (Reply(200, b'"text"'), "not a JSON object"),
        (Reply(200, b"null"), "not JSON|not a JSON object"),
        (Reply(200, b"[" * 100_000), "not JSON"),
        (Reply(200, b""), "it is empty"),
        (Reply(200, b"\xff\xfe"), "not JSON"),
        (Reply(200, b"\x1f\x8b", {"Content-Encoding": "gzip"}), "the answer is packed as gzip"),
        (Reply(200, {"response": {"request_id": "1"}}), "without a status_code: the fields are|without a status_code"),
        (Reply(200, {"status_code": None}), "without a status_code"),
        (Reply(200, {"status_code": True}), "without a status_code"),
        (Reply(200, {"status_code": 200}), "no request_id"),
        (Reply(200, {"status_code": 200, "response": {"request_id": ""}}), "no request_id"),
        (Reply(200, {"status_code": 200, "response": {"request_id": {}}}), "no request_id"),
        (Reply(400, {"status_code": 400, "status_message": "Bad\nrequest"}), "HTTP 400, Bad request"),
        (Reply(404, b"not here"), "HTTP 404"),
        (Reply.refusal(210, "Argument error"), "status_code 210, Argument error"),
        (Reply.refusal(210, "No log\r\n\tfor\x1b[31m you"), "No log for"),
    ],
)
def test_an_answer_that_is_none_is_an_api_error(service: FakeService, reply: Reply, said: str) -> None:
    service.reply("getTrackingLog", *[reply] * 3)
    with client_of(service, retries=2) as client, pytest.raises(trackparse.ApiError, match=said) as caught:
        client.request_log()
    assert not isinstance(caught.value, trackparse.AuthError)
    assert len(str(caught.value)) < 600
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "reply",
    [
        Reply(401, b""),
        Reply(403, {"status_code": 403, "status_message": "Forbidden"}),
        Reply(400, {"status_code": 210, "status_message": "Invalid auth token"}),
        Reply.refusal(401, "no"),
        Reply.refusal(403, "no"),
        Reply.refusal(210, "Account not found or access denied"),
    ],
)
def test_a_token_that_is_refused_is_an_auth_error(service: FakeService, reply: Reply) -> None:
    for method in ("getTrackingLog", "getResults"):
        service.reply(method, reply)
    with client_of(service) as client:
        with pytest.raises(trackparse.AuthError, match="token is not accepted"):
            client.request_log()
        with pytest.raises(trackparse.AuthError):
            client.poll("1")
    with client_of(service, token="another") as client, pytest.raises(trackparse.AuthError) as caught:
        client.request_log()
    assert caught.value.status_code == 210
    assert isinstance(caught.value, trackparse.ApiError)


def test_a_request_that_is_unknown_is_no_reason_to_wait(service: FakeService) -> None:
    with client_of(service) as client, pytest.raises(trackparse.ApiError, match="request_id is unknown"):
        client.poll("nonsense")


@pytest.mark.parametrize(
    "link",
    ["http://", "file:///etc/passwd", "ftp://example.com/a.zip", "a.zip", "https://exa mple/", "https://[1", "\n"],
)
def test_a_link_that_is_none_is_not_asked(service: FakeService, link: str) -> None:
    answer = Reply(200, {"status_code": 200, "status_message": "OK", "response": {"fileName": link}})
    service.reply("getResults", answer)
    with client_of(service) as client, pytest.raises(trackparse.ApiError, match="link of the service is no"):
        client.poll("1")


def test_a_slow_answer_is_no_answer(service: FakeService) -> None:
    service.reply("getTrackingLog", Reply(pause=0.5))
    with client_of(service, timeout=0.05, retries=0) as client, pytest.raises(trackparse.ApiError, match=r"0\.05 s"):
        client.request_log()


def test_a_service_that_is_not_there_is_an_api_error(service: FakeService) -> None:
    service.stop()
    client, clock = clocked(service, retries=3)
    with client, pytest.raises(trackparse.ApiError, match=r"connection to 127.*refused.*tried 4 times"):
        client.request_log()
    assert len(clock.pauses) == 3


# ---- redirects, schemes, certificates, proxies ----------------------------------------------------------------


def test_the_api_may_redirect_on_its_own_host(service: FakeService) -> None:
    service.reply("getTrackingLog", Reply(308, headers={"Location": "/json/1.3/getTrackingLog"}))
    with client_of(service) as client:
        client.request_log(YESTERDAY)
    assert len(asked(service, "getTrackingLog")) == 2


def test_a_download_may_redirect_anywhere_but_to_http(service: FakeService) -> None:
    with FakeService(logs={YESTERDAY.isoformat(): sample(10)}) as other, client_of(service) as client:
        service.reply("download", Reply(302, headers={"Location": other.file_url(YESTERDAY.isoformat())}))
        with client.open_log(YESTERDAY) as log:
            assert log.read_all().num_rows == 10
        for target, said in {"ftp://example.com/": "not an https", "https://[": "not a URL"}.items():
            service.reply("download", Reply(302, headers={"Location": target}))
            with pytest.raises(trackparse.DownloadError, match=said):
                client.open_log(YESTERDAY)
        service.reply("download", *[Reply(302, headers={"Location": "?again"})] * 9)
        with pytest.raises(trackparse.DownloadError, match="more than 5 redirects"):
            client.open_log(YESTERDAY)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure(authority: trustme.CA) -> Iterator[FakeService]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with FakeService(logs={YESTERDAY.isoformat(): sample()}, tls=context) as fake:
        yield fake


def trusting(authority: trustme.CA) -> urllib3.PoolManager:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return urllib3.PoolManager(ssl_context=context)


def test_https_works_and_is_resumed(secure: FakeService, authority: trustme.CA) -> None:
    secure.delivery.cuts = [5_000, 30_000]
    with client_of(secure, pool=trusting(authority), allow_http=False) as client, client.open_log(YESTERDAY) as log:
        assert log.read_all().equals(table_of(sample()))
    assert secure.url.startswith("https://")


def test_a_certificate_that_nobody_signed_is_one_clear_error(secure: FakeService) -> None:
    client, clock = clocked(secure, allow_http=False)
    with client, pytest.raises(trackparse.ApiError, match=r"certificate of 127\.0\.0\.1:\d+ is not trusted.*SSL_CERT"):
        client.request_log()
    assert clock.pauses == []
    with pytest.raises(trackparse.DownloadError, match="not trusted"):
        open_url(secure.file_url(YESTERDAY.isoformat()), pauses=QUICK)


def test_an_authority_can_be_named_by_the_environment(
    secure: FakeService, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    with client_of(secure, allow_http=False) as client, client.open_log(YESTERDAY) as log:
        assert log.read_all().num_rows == 1000


def test_a_pool_may_be_a_proxy(service: FakeService) -> None:
    proxy = urllib3.ProxyManager(service.url.removesuffix("/json/1.3"))
    client = client_of(service, base_url="http://push.invalid/json/1.3", pool=proxy)
    with client, pytest.raises(trackparse.ApiError, match="404"):
        client.request_log()
    assert [request.path for request in service.requests] == ["http://push.invalid/json/1.3/getTrackingLog"]
    proxy.clear()


@pytest.mark.parametrize("scheme", ["http", "HTTP", "hTTp"])
def test_no_redirect_leads_from_https_to_http(
    secure: FakeService, service: FakeService, authority: trustme.CA, scheme: str
) -> None:
    location = service.file_url(YESTERDAY.isoformat()).replace("http", scheme)
    secure.reply("download", Reply(302, headers={"Location": location}))
    with (
        client_of(secure, pool=trusting(authority)) as client,
        pytest.raises(trackparse.DownloadError, match="from https to http"),
    ):
        client.open_log(YESTERDAY)
    for status in (301, 307, 308):
        secure.reply("getTrackingLog", Reply(status, headers={"Location": location}))
        with (
            client_of(secure, pool=trusting(authority)) as client,
            pytest.raises(trackparse.ApiError, match="where the token is not sent"),
        ):
            client.request_log()
    assert service.requests == []


def test_http_is_refused_unless_allowed(service: FakeService) -> None:
    with pytest.raises(ValueError, match=r"not https.*allow_http"):
        client_of(service, allow_http=False)
    assert service.requests == []


def link_answer(link: str) -> Reply:
    return Reply(200, {"status_code": 200, "status_message": "OK", "response": {"fileName": link}})


@pytest.mark.parametrize("scheme", ["http", "HTTP"])
def test_a_link_by_http_is_asked_for_by_https(secure: FakeService, authority: trustme.CA, scheme: str) -> None:
    link = secure.file_url(YESTERDAY.isoformat())
    secure.reply("getResults", link_answer(link.replace("https", scheme)))
    with client_of(secure, pool=trusting(authority), allow_http=False) as client, client.open_log(YESTERDAY) as log:
        assert log.read_all().num_rows == 1000
    assert secure.requests[-1].path == link.partition("127.0.0.1")[2].partition("/")[1] + link.split("/", 3)[3]


def test_a_host_that_speaks_http_only_is_an_error_that_says_what_to_do(
    secure: FakeService, service: FakeService, authority: trustme.CA
) -> None:
    link = service.file_url(YESTERDAY.isoformat())
    given = {"pool": trusting(authority), "allow_http": False, "retries": 0}
    secure.reply("getResults", link_answer(link), link_answer(link))
    with (
        client_of(secure, **given) as client,
        pytest.raises(trackparse.DownloadError, match=r"of https://.*an http:// link.*allow_http_download=True"),
    ):
        client.open_log(YESTERDAY)
    assert service.requests == []
    with client_of(secure, allow_http_download=True, **given) as client, client.open_log(YESTERDAY) as log:
        assert log.read_all().num_rows == 1000
    # The token's way is as it was.
    assert {request.host for request in service.requests} == {"files"}
    with pytest.raises(ValueError, match=r"base_url is not https"):
        client_of(service, allow_http=False, allow_http_download=True)


def test_the_way_by_http_is_not_named_once_https_works(secure: FakeService, authority: trustme.CA) -> None:
    link = secure.file_url(YESTERDAY.isoformat()).replace("https", "http")
    secure.delivery.cuts = [1000]
    secure.delivery.ranges = False
    with client_of(secure, pool=trusting(authority), allow_http=False) as client:
        source = client.open_link(link)
        with pytest.raises(trackparse.DownloadError, match="parts of a file") as caught:
            trackparse.read_log(source)
    assert "allow_http_download" not in str(caught.value)


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("http://example.com/a?b=c#d", "https://example.com/a?b=c#d"),
        ("HTTP://Example.com:80/a", "https://Example.com/a"),
        ("http://example.com:8080", "https://example.com:8080"),
        ("http://me:80@example.com:80/http://x:80/?", "https://me:80@example.com/http://x:80/?"),
        ("http://[::1]:80/", "https://[::1]/"),
        ("http://[2001:db8::80]/", "https://[2001:db8::80]/"),
    ],
)
def test_the_same_host_and_path(link: str, expected: str) -> None:
    assert over_https(link) == expected


def test_the_environment_names_no_proxy(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with client_of(service, retries=0) as client, client.open_log(YESTERDAY) as log:
        assert log.read_all().num_rows == 1000


@pytest.mark.parametrize(
    "options",
    [
        {"base_url": "https://user:word@example.com/"},
        {"base_url": "https://example.com/?token=1"},
        {"base_url": "https:///json"},
        {"base_url": "example.com"},
        {"timeout": 0},
        {"retries": -1},
        {"token": ""},
        {"token": "line\n"},
        {"token": "two words"},
    ],
)
def test_arguments_that_are_none(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - each has a text of its own
        TrackingLogClient(options.pop("token", "secret-token"), **options)
    assert "word" not in str(caught.value).replace("two words", "")


# ---- days -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "day", [YESTERDAY, YESTERDAY.isoformat(), datetime.datetime.combine(YESTERDAY, datetime.time(23, 59))]
)
def test_a_day_is_a_date_or_its_text(service: FakeService, day: datetime.date | str) -> None:
    with client_of(service) as client:
        client.request_log(day)
    assert asked(service, "getTrackingLog")[0]["date"] == YESTERDAY.isoformat()


def test_without_a_day_the_service_chooses(service: FakeService) -> None:
    with client_of(service) as client:
        client.request_log()
    assert "date" not in asked(service, "getTrackingLog")[0]


@pytest.mark.parametrize(
    ("day", "said"),
    [
        (ago(16), "too long ago: the service keeps the logs of the last 14 days"),
        ("2011-01-01", "the last 14 days"),
        (ago(-2), "in the future: the service keeps the logs of the last 14 days"),
        ("yesterday", "'yesterday' is not a date: expected one such as 2021-04-20"),
        ("2021-02-30", "not a date"),
        ("", "not a date"),
    ],
)
def test_a_day_that_the_service_does_not_keep_is_not_asked_for(
    service: FakeService, day: datetime.date | str, said: str
) -> None:
    with client_of(service) as client, pytest.raises(ValueError, match=said):
        client.open_log(day)
    assert service.requests == []


@pytest.mark.parametrize("day", [ago(-1), ago(0), ago(14), ago(15)])
def test_a_clock_in_another_zone_is_no_fault(service: FakeService, day: datetime.date) -> None:
    with client_of(service) as client:
        client.request_log(day)


def test_a_refusal_of_a_day_says_how_long_they_are_kept(service: FakeService) -> None:
    service.reply("getTrackingLog", Reply.refusal(210, "No data"))
    with client_of(service) as client, pytest.raises(trackparse.ApiError, match=r"No data; .* 14 days"):
        client.request_log(YESTERDAY)


def test_a_range_of_days_gives_one_log_a_day(service: FakeService, tmp_path: Path) -> None:
    service.ready_after = 1
    wanted = [ago(3), ago(2), ago(1)]
    with client_of(service) as client:
        rows = {day: log.read_all().num_rows for day, log in client.open_logs(ago(3), ago(1).isoformat())}
        assert list(rows) == wanted
        assert set(rows.values()) == {1000}
        assert [request["date"] for request in asked(service, "getTrackingLog")] == [str(day) for day in wanted]
        # All are asked for before the first is waited for.
        assert [request.path for request in service.requests[:3]] == ["/json/1.3/getTrackingLog"] * 3
        reports = client.convert_days(ago(2), ago(1), tmp_path, columns=["status"])
    assert [(day, Path(report.path).name) for day, report in reports.items()] == [
        (day, f"{day}.parquet") for day in wanted[1:]
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{day}.parquet" for day in wanted[1:]]


def test_a_range_that_is_left_closes_its_log(service: FakeService) -> None:
    left: list[trackparse.LogReader] = []
    with client_of(service) as client:
        for _, log in client.open_logs(ago(2), ago(1), block_size=1000):
            next(log)
            left.append(log)
            break
    assert not [thread for thread in threading.enumerate() if thread.name == "trackparse-inflate"]
    with pytest.raises(ValueError, match="closed"):
        next(left[0])


def test_a_range_has_two_ends_in_order() -> None:
    assert days(ago(0), ago(0)) == [ago(0)]
    assert len(days(ago(15), ago(-1))) == 17
    with pytest.raises(ValueError, match="before the first"):
        days(ago(1), ago(2))
    with pytest.raises(TypeError, match="int"):
        days(1, 2)  # type: ignore[arg-type]


# ---- tracking codes -------------------------------------------------------------------------------------------

SENT = {
    "status_code": 200,
    "status_message": "OK",
    "response": {"Messages": ["CODE_NOT_AVAILABLE"], "TrackingCodes": ["TRACKING_CODE_1", "T-2"]},
}


@pytest.mark.parametrize(
    "form",
    [dict, json.dumps, lambda sent: json.dumps(sent).encode(), lambda sent: json.dumps(sent).encode("utf-8-sig")],
)
def test_tracking_codes_of_a_send_response(form: Callable[[Any], Any]) -> None:
    assert tracking_codes(form(SENT)) == ["TRACKING_CODE_1", "T-2"]


@pytest.mark.parametrize(
    ("response", "error", "said"),
    [
        ({"status_code": 210, "status_message": "Bad devices"}, trackparse.ApiError, "status_code 210, Bad devices"),
        ({"status_code": 403, "status_message": "no"}, trackparse.AuthError, "token"),
        ({"status_code": 200, "response": {"Messages": ["1"]}}, trackparse.ApiError, "push tracking is enabled"),
        ({"status_code": 200, "response": None}, trackparse.ApiError, "no TrackingCodes"),
        ({"status_code": 200, "response": {"TrackingCodes": [1]}}, trackparse.ApiError, "no TrackingCodes"),
        ({"response": {}}, trackparse.ApiError, "without a status_code"),
        ("<html>", trackparse.ApiError, "not JSON"),
        (b"", trackparse.ApiError, "empty"),
        ("[]", trackparse.ApiError, "not a JSON object"),
    ],
)
def test_a_send_response_that_is_none(response: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        tracking_codes(response)
    with pytest.raises(TypeError, match="NoneType"):
        tracking_codes(None)  # type: ignore[arg-type]


def test_tracking_codes_find_their_events() -> None:
    with FakeService() as service:
        request = {"auth": TOKEN, "notifications": [{"content": "Hello", "devices": ["1"]}]}
        sent = urllib3.request("POST", f"{service.url}/createMessage", json={"request": request})
        codes = tracking_codes(sent.data)
        with client_of(service) as client, client.open_log(TODAY) as log:
            found = [event for event in log.events() if event.tracking_code in codes]
    assert len(codes) == 1
    assert {event.status for event in found} >= {"created", "sent"}


# ---- what it needs --------------------------------------------------------------------------------------------


def test_without_urllib3_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['urllib3'] = None; from trackparse.client import TrackingLogClient"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode
    told = "ImportError: the client needs urllib3: pip install 'trackparse-pushwoosh[client]'"
    assert run.stderr.splitlines()[-1] == told


def test_pauses_are_checked() -> None:
    for wrong in ({"first": -1.0}, {"first": 2.0, "longest": 1.0}, {"growth": 0.5}):
        with pytest.raises(ValueError, match="expected"):
            Pauses(**wrong)
    assert Pauses().before(10_000) <= 30


def test_the_clock_passes_time_and_looks_at_the_cancel() -> None:
    clock = RecordingClock()
    clock.pause(5, None)
    assert clock.pauses == [5]


def test_the_package_lists_its_names_and_has_no_others() -> None:
    import trackparse.client

    assert dir(trackparse.client) == sorted(trackparse.client.__all__)
    with pytest.raises(AttributeError, match=r"^module 'trackparse.client' has no attribute 'Client'$"):
        getattr(trackparse.client, "Client")  # noqa: B009


WRONG_KINDS: list[tuple[str, dict[str, Any], str]] = [
    ("made", {"base_url": None}, "base_url is NoneType: expected str"),
    ("made", {"timeout": "5"}, "timeout='5': expected a number of seconds"),
    ("made", {"retries": 1.5}, "retries=1.5: expected a whole number"),
    ("asked", {"deadline": True}, "deadline=True: expected a number of seconds"),
    ("asked", {"cancel": True}, "cancel=True: expected a threading.Event, say"),
    ("opened", {"link": None}, "the link is NoneType: expected str"),
    ("opened", {"link": "https://127.0.0.1:9/x", "stall": "5"}, "stall='5': expected a number of seconds"),
    ("planned", {"days": True}, "days=True: expected a whole number of days"),
    ("planned", {"grace": None}, "grace=None: expected a number of seconds"),
    ("synced", {"days": 1, "on_report": 5}, "on_report=5: expected a function that takes a day and its"),
    ("url", {"url": 5}, "the URL is int: expected str"),
    ("url", {"url": "https://127.0.0.1:9/x", "pauses": 5}, "pauses=5: expected a trackparse.client.Pauses"),
]


@pytest.mark.parametrize(("what", "arguments", "message"), WRONG_KINDS, ids=str)
def test_a_wrong_kind_of_value_says_what_was_wanted(
    what: str, arguments: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with FakeService(rows=1) as service, client_of(service) as client:
        calls: dict[str, Callable[..., object]] = {
            "made": partial(TrackingLogClient, TOKEN),
            "asked": client.request_log,
            "opened": client.open_link,
            "planned": partial(client.days_to_sync, tmp_path),
            "synced": partial(client.sync, tmp_path),
            "url": open_url,
        }
        with pytest.raises(TypeError) as caught:
            calls[what](**arguments)
    assert message in str(caught.value)
    assert not service.requests
