"""The stand-in for the service: what it does from the shell and in a test."""

from __future__ import annotations

import datetime
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3

import trackparse
from support.service import client_of, sample
from trackparse.testing import TOKEN, FakeService, Reply

DAY = datetime.datetime.now(datetime.UTC).date().isoformat()


@contextmanager
def from_the_shell(*arguments: str) -> Iterator[tuple[str, str]]:
    """The service in a process of its own: its URL, and what else it printed."""
    command = [sys.executable, "-X", "dev", "-m", "trackparse.testing", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            rest = [process.stdout.readline()]
            while rest[-1] and "print(" not in rest[-1]:
                rest.append(process.stdout.readline())
            yield url, "".join(rest)
        finally:
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert errors == ""


def post(url: str, body: Any) -> dict[str, Any]:
    answer = urllib3.request("POST", url, body=body if isinstance(body, bytes) else json.dumps(body).encode())
    found = answer.json()
    assert isinstance(found, dict)
    return found


def test_the_examples_that_it_prints_work(tmp_path: Path) -> None:
    with from_the_shell("--rows", "50", "--ready-after", "1", "--cut", "2000") as (url, printed):
        assert url.startswith("http://127.0.0.1:")
        token, command, code = printed.strip().split("\n\n", 2)
        assert token == "token: test-token"
        program = f'trackparse() {{ "{sys.executable}" -m trackparse.cli "$@"; }}\n'
        for line in (["bash", "-c", program + command], [sys.executable, "-c", code]):
            run = subprocess.run(
                line,
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )
            assert run.stderr == ""
            assert "50 rows" in run.stdout or "records=50" in run.stdout
    yesterday = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{yesterday}.parquet", "log.parquet"]


def test_it_fails_as_it_is_told_to(tmp_path: Path) -> None:
    (tmp_path / "log.zip").write_bytes(sample())
    arguments = ("--log", str(tmp_path / "log.zip"), "--fail", "429:0", "--fail", "drop", "--token", "other")
    with from_the_shell(*arguments, "--chunked", "--cut", "30000", "--reset") as (url, _):
        from support.service import QUICK
        from trackparse.client import TrackingLogClient

        client = TrackingLogClient("other", base_url=url, allow_http=True, pauses=QUICK)
        with client, client.open_log() as log:
            assert log.read_all().num_rows == 1000
    with from_the_shell("--log", str(tmp_path / "log.zip"), "--no-ranges", "--cut", "30000") as (url, _):
        client = TrackingLogClient(TOKEN, base_url=url, allow_http=True, pauses=QUICK)
        with client, client.open_log() as log, pytest.raises(trackparse.DownloadError):
            log.read_all()


def test_help_names_every_option_and_wrong_ones_are_refused() -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "trackparse.testing", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    told = run("--help")
    assert told.returncode == 0
    for option in ("--rows", "--delay", "--ready-after", "--fail", "--cut", "--reset", "--no-ranges", "--chunked"):
        assert option in told.stdout
    wrong = run("--fail", "often")
    assert wrong.returncode == 2
    assert "expected an HTTP status or 'drop'" in wrong.stderr


def test_a_port_in_use_and_a_log_that_is_not_there_are_one_line(tmp_path: Path) -> None:
    with FakeService() as service:
        port = str(urlsplit(service.url).port)
        for arguments, said in ((["--port", port], "in use"), (["--log", str(tmp_path / "no.zip")], "no.zip")):
            command = [sys.executable, "-X", "dev", "-m", "trackparse.testing", *arguments]
            run = subprocess.run(command, capture_output=True, text=True, check=False)
            assert run.returncode == 2
            assert said in run.stderr.splitlines()[-1]
            assert "Traceback" not in run.stderr


def test_it_judges_requests() -> None:
    with FakeService() as service:

        def asked(method: str, **fields: Any) -> dict[str, Any]:
            return post(f"{service.url}/{method}", {"request": {"auth": TOKEN, **fields}})

        assert asked("getTrackingLog", auth="wrong")["status_message"] == "Invalid API access token"
        assert asked("getTrackingLog", date="2001-01-01")["status_message"] == "Logs are kept for 14 days"
        assert asked("getTrackingLog", date="soon")["status_code"] == 210
        assert asked("getTrackingLog", date=7)["status_code"] == 210
        assert asked("getResults", request_id="1")["status_message"] == "request_id is unknown"
        assert asked("createMessage")["status_code"] == 210
        assert asked("createMessage", notifications=[{"content": "to all"}])["status_code"] == 210
        for body in (b"", b"{", b"[]", b'{"request": 1}'):
            assert post(f"{service.url}/getResults", body)["status_code"] == 400
        assert urllib3.request("GET", f"{service.url}/getResults").status == 404
        assert urllib3.request("POST", f"{service.url}/other").status == 404
        assert urllib3.request("GET", service.file_url("2021-02-30").replace("-30", "-3x")).status == 404
        assert [request.method for request in service.requests].count("GET") == 2


def test_a_log_takes_its_time() -> None:
    with FakeService(ready_after=2, delay=0.05) as service:
        request = {"request": {"auth": TOKEN}}
        request_id = post(f"{service.url}/getTrackingLog", request)["response"]["request_id"]
        asks = 0
        request["request"]["request_id"] = request_id
        start = time.monotonic()
        while post(f"{service.url}/getResults", request)["status_code"] == 420:
            asks += 1
        assert asks >= 2
        assert time.monotonic() - start > 0.03


def test_the_rows_of_a_log_are_of_its_day() -> None:
    with FakeService(rows=100) as service:
        for day in ("2026-03-01", "2026-03-02"):
            moments = trackparse.read_log(service.log(day))["timestamp"].to_pylist()
            assert {moment.date().isoformat() for moment in moments} == {day}


def test_the_same_day_is_the_same_log() -> None:
    with FakeService(rows=20) as service, FakeService(rows=20) as other:
        assert service.log(DAY) == other.log(DAY) != service.log("2021-04-20")


@pytest.mark.parametrize(
    ("header", "status", "span"),
    [
        ("bytes=0-", 206, (0, 100)),
        ("bytes=10-", 206, (10, 100)),
        ("bytes=10-19", 206, (10, 20)),
        ("bytes=99-500", 206, (99, 100)),
        ("bytes=100-", 416, None),
        ("bytes=-5", 200, (0, 100)),
        ("bytes=1-2,5-6", 200, (0, 100)),
        ("lines=1-", 200, (0, 100)),
    ],
)
def test_ranges(header: str, status: int, span: tuple[int, int] | None) -> None:
    data = bytes(range(100))
    with FakeService(logs={DAY: data}) as service:
        answer = urllib3.request("GET", service.file_url(DAY), headers={"Range": header})
        assert answer.status == status
        if span is not None:
            assert answer.data == data[span[0] : span[1]]
            assert service.spans == [span]
        if status == 206 and span:
            assert answer.headers["Content-Range"] == f"bytes {span[0]}-{span[1] - 1}/100"
        for condition, expected in (('"1"', status), ('"2"', 200), ("Thu, 01 Jan 1970 00:00:01 GMT", status)):
            headers = {"Range": header, "If-Range": condition}
            assert urllib3.request("GET", service.file_url(DAY), headers=headers).status == expected


def test_a_cut_is_made_at_its_byte_and_once(tmp_path: Path) -> None:
    path = tmp_path / "log.zip"
    path.write_bytes(bytes(1000))
    with FakeService(logs={DAY: path}) as service:
        service.delivery.cuts = [300]
        parts = urlsplit(service.file_url(DAY))
        connection = http.client.HTTPConnection(parts.netloc)
        connection.request("GET", parts.path)
        with pytest.raises(http.client.IncompleteRead) as caught:
            connection.getresponse().read()
        connection.close()
        assert len(caught.value.partial) == 300
        assert len(urllib3.request("GET", service.file_url(DAY)).data) == 1000
        assert service.spans == [(0, 300), (0, 1000)]


def test_replies_come_in_their_order_and_then_the_usual() -> None:
    with FakeService() as service:
        service.reply("getResults", Reply(503, b"later", {"Retry-After": "9"}), Reply.refusal(7, "seven"))
        first = urllib3.request("POST", f"{service.url}/getResults", body=b"", retries=False)
        assert (first.status, first.data, first.headers["Retry-After"]) == (503, b"later", "9")
        assert post(f"{service.url}/getResults", b"")["status_message"] == "seven"
        assert post(f"{service.url}/getResults", b"")["status_message"] == "Bad request"


def test_it_leaves_no_thread_behind() -> None:
    before = set(threading.enumerate())
    with FakeService() as service:
        service.reply("getTrackingLog", Reply(pause=3600))
        client = client_of(service, retries=0)

        def ask() -> None:
            with pytest.raises(trackparse.ApiError):
                client.request_log()

        thread = threading.Thread(target=ask)
        thread.start()
        while not service.requests:
            time.sleep(0.001)
    thread.join()
    client.close()
    assert set(threading.enumerate()) == before
    service.stop()


def test_a_reply_for_no_kind_of_request_is_an_error() -> None:
    with FakeService() as service, pytest.raises(ValueError, match="did you mean 'getTrackingLog'"):
        service.reply("getTrackinglog", Reply(503))  # type: ignore[arg-type]
