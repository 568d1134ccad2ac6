"""Whatever a server does, or does not do: a call ends at its deadline, or when it is cancelled, and leaves nothing."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any

import pytest
import trustme
import urllib3

import trackparse
from support.raw_server import Raw, RawServer, assert_nothing_left, head, left_over
from support.service import QUICK, client_of, sample
from trackparse.client import TrackingLogClient, open_url
from trackparse.testing import FakeService, Reply

DEADLINE = 0.5  # seconds
SLACK = 4.0  # seconds that a machine with other work takes more; what is tested here would never end
CHUNKED = head(b"Transfer-Encoding: chunked", b'ETag: "1"')
LOG = sample(20)
READY = b'{"status_code":200,"response":{"request_id":"1","fileName":"https://127.0.0.1:9/log.zip"}}'

# What never ends, and comes in pieces that are never a second apart.
ENDLESS = {
    "status line": Raw(b"HTTP/1.1 200 ", b"O"),
    "header line": Raw(b"HTTP/1.1 200 OK\r\nX: ", b"x"),
    "header lines": Raw(b"HTTP/1.1 200 OK\r\n", b"X: x\r\n"),
    "a header folded": Raw(b"HTTP/1.1 200 OK\r\nX: x\r\n", b" x\r\n"),
    "interim answers": Raw(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "interim answers without a pause": Raw(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, every=0.0),
    "early hints": Raw(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000, every=0.0),
    "headers of an interim answer": Raw(b"HTTP/1.1 100 Continue\r\n", b"X: x\r\n"),
    "chunk size": Raw(CHUNKED, b"0"),
    "chunk extension": Raw(CHUNKED + b"1;", b"x"),
    "chunk extension behind data": Raw(CHUNKED + b"3\r\nPK\x03\r\n1;", b"x"),
    "trailer": Raw(CHUNKED + b"0\r\nX: ", b"x"),
    "trailers": Raw(CHUNKED + b"3\r\nPK\x03\r\n0\r\n", b"X: x\r\n"),
    "trailers without a pause": Raw(CHUNKED + b"0\r\n", b"X: x\r\n" * 1000, every=0.0),
    "no answer": Raw(hold=True),
    "half a head": Raw(b"HTTP/1.1 200 OK\r\nX", hold=True),
    "no body": Raw(head(b"Content-Length: 100"), hold=True),
    "half a body": Raw(head(b"Content-Length: 100") + b"PK\x03\x04", hold=True),
}


@pytest.fixture(scope="module")
def endless() -> Iterator[RawServer]:
    with RawServer({name.replace(" ", "-"): [answer] for name, answer in ENDLESS.items()}) as server:
        # The same behind a redirect.
        for name in list(server.answers):
            location = f"Location: {server.url(name)}/again".encode()
            server.answers[f"to-{name}"] = [Raw(head(location, b"Content-Length: 0", status=b"307 Go on"))]
        yield server


def ends(call: Callable[[], object], deadline: float = DEADLINE) -> BaseException:
    """The error that a call ends with, in time."""
    start = time.monotonic()
    with pytest.raises(trackparse.TrackparseError) as caught:
        call()
    took = time.monotonic() - start
    assert took < deadline + SLACK, f"{took} s: {caught.value}"
    return caught.value


def side_by_side(calls: dict[str, Callable[[], object]]) -> dict[str, BaseException]:
    with ThreadPoolExecutor(len(calls)) as executor:
        running = {name: executor.submit(ends, call) for name, call in calls.items()}
        return {name: future.result() for name, future in running.items()}


def at_once(calls: dict[str, Callable[[], object]]) -> dict[str, BaseException]:
    """The errors of calls that run side by side; nothing of ours is left afterwards."""
    before, threads = left_over()
    assert threads == []
    found = side_by_side(calls)
    assert_nothing_left(before)
    return found


def request(url: str, **options: Any) -> None:
    given = {"timeout": 30.0, "retries": 3, "pauses": QUICK, "allow_http": True, **options}
    with TrackingLogClient("test-token", base_url=url, **given) as client:
        client.request_log(deadline=DEADLINE)


def download(url: str, **options: Any) -> None:
    given = {"timeout": 30.0, "retries": 3, "pauses": QUICK, "allow_http": True, "stall": DEADLINE, **options}
    with open_url(url, **given) as source:
        source.read_exactly(1 << 20)


def test_a_request_ends_at_its_deadline(endless: RawServer) -> None:
    found = at_once({name: lambda name=name: request(endless.url(name)) for name in endless.answers})  # type: ignore[misc]
    for name, error in found.items():
        assert isinstance(error, trackparse.NotReadyError), (name, error)
        assert "not ready within 0.5 s; the last answer: 127.0.0.1:" in str(error), name


def test_a_download_ends_when_nothing_of_it_comes(endless: RawServer) -> None:
    found = at_once({name: lambda name=name: download(endless.url(name)) for name in endless.answers})  # type: ignore[misc]
    for name, error in found.items():
        assert isinstance(error, trackparse.DownloadError), (name, error)


def test_whoever_cancels_waits_for_nothing(endless: RawServer) -> None:
    cancel = threading.Event()
    timer = threading.Timer(0.3, cancel.set)

    def poll(url: str) -> None:
        client = TrackingLogClient("test-token", base_url=url, timeout=30.0, allow_http=True)
        with client:
            client.poll("1", deadline=900, cancel=cancel)

    calls: dict[str, Callable[[], object]] = {}
    for name in endless.answers:
        calls[f"poll {name}"] = lambda name=name: poll(endless.url(name))  # type: ignore[misc]
        calls[f"open {name}"] = lambda name=name: download(endless.url(name), stall=900, cancel=cancel)  # type: ignore[misc]
    timer.start()
    found = at_once(calls)
    assert {type(error) for error in found.values()} == {trackparse.CancelledError}


def test_a_log_that_comes_byte_by_byte_is_bounded_by_the_answer_of_the_api_and_ended_by_a_cancel() -> None:
    cancel = threading.Event()
    answer = Raw(head(b"Content-Length: 100000") + b"PK", b"x")
    threading.Timer(0.4, cancel.set).start()
    with RawServer({"body": [answer]}) as server:
        found = at_once(
            {
                "api": lambda: request(server.url("body")),
                "download": lambda: download(server.url("body"), stall=900, cancel=cancel),
            }
        )
    assert isinstance(found["api"], trackparse.NotReadyError)
    assert isinstance(found["download"], trackparse.CancelledError)


def test_one_deadline_is_for_the_request_and_the_result() -> None:
    with RawServer({"slow": [Raw(head() + READY), ENDLESS["header line"]]}) as server:
        with TrackingLogClient("test-token", base_url=server.url("slow"), allow_http=True, retries=0) as client:
            error = ends(lambda: client.open_log(deadline=DEADLINE))
        assert isinstance(error, trackparse.NotReadyError)
        assert "getResults: not ready within 0.5 s" in str(error)


HANDSHAKES = [Raw(hold=True), Raw(b"\x16\x03\x03\x3f\xff", b"\x02"), Raw(b"\x16\x03\x03", hold=True)]
TUNNELS = [
    Raw(hold=True),
    Raw(b"HTTP/1.1 200 ", b"O"),
    Raw(b"HTTP/1.1 200 OK\r\n", b"X: x\r\n"),
    Raw(b"HTTP/1.1 200 OK\r\n\r\n", hold=True),
    Raw(b"HTTP/1.1 200 OK\r\n\r\n\x16\x03\x03\x3f\xff", b"\x02"),
]


def test_a_handshake_that_never_ends_ends() -> None:
    calls: dict[str, Callable[[], object]] = {}
    with ExitStack() as stack:
        for number, drip in enumerate(HANDSHAKES):
            url = stack.enter_context(RawServer({"": [drip]}, reads=False)).url("x", "https")
            calls[f"api {number}"] = lambda url=url: request(url, allow_http=False)  # type: ignore[misc]
            calls[f"file {number}"] = lambda url=url: download(url)  # type: ignore[misc]
        found = at_once(calls)
    assert [type(error) for error in found.values()] == [trackparse.NotReadyError, trackparse.DownloadError] * 3


def test_a_proxy_that_never_connects_ends() -> None:
    calls: dict[str, Callable[[], object]] = {}
    url = "https://push.invalid/log.zip"
    with ExitStack() as stack:
        servers = [stack.enter_context(RawServer({"push.invalid:443": [drip]})) for drip in TUNNELS]
        for server in servers:
            proxy = urllib3.ProxyManager(server.url())
            calls[f"api {server.url()}"] = lambda proxy=proxy: request(url, allow_http=False, pool=proxy)  # type: ignore[misc]
            calls[f"file {server.url()}"] = lambda proxy=proxy: download(url, pool=proxy)  # type: ignore[misc]
        found = at_once(calls)
        assert all(server.asked[0].startswith(b"CONNECT push.invalid:443") for server in servers)
    assert [type(error) for error in found.values()] == [trackparse.NotReadyError, trackparse.DownloadError] * 5


def test_a_host_that_does_not_take_the_connection_ends() -> None:
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for one in (first, second):
            # Who comes when the queue is full gets no answer at all.
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.connect(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}/log.zip"
        found = at_once({"api": lambda: request(url), "file": lambda: download(url)})
    assert [type(error) for error in found.values()] == [trackparse.NotReadyError, trackparse.DownloadError]


def test_a_name_that_is_not_found_out_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    found_out = threading.Event()
    look_up = socket.getaddrinfo

    def slow(host: Any, *arguments: Any, **options: Any) -> Any:
        if host == "push.invalid":
            found_out.wait(60)
            host = "127.0.0.1"
        return look_up(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with RawServer({"": [Raw(hold=True)]}, reads=False) as server:
        before = left_over()[0]
        url = server.url("x").replace("127.0.0.1", "push.invalid")
        assert isinstance(ends(lambda: request(url)), trackparse.NotReadyError)
        assert isinstance(ends(lambda: download(url)), trackparse.DownloadError)
        # Nothing can end a look-up: its thread is left alone, and closes the connection that nobody wants.
        found_out.set()
        assert_nothing_left(before)


def test_an_encrypted_connection_is_ended_in_every_phase() -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    before = left_over()[0]
    with FakeService(logs={"2021-04-20": LOG}, tls=context) as service:
        pool = urllib3.PoolManager(ssl_context=trusting)
        service.reply("getTrackingLog", *[Reply(pause=60)] * 5)
        service.delivery.rate, service.delivery.piece = 10.0, 1000
        cancel = threading.Event()
        threading.Timer(0.4, cancel.set).start()
        link = service.file_url("2021-04-20")
        found = side_by_side(
            {
                "api": lambda: request(service.url, allow_http=False, pool=pool),
                "file": lambda: download(link, pool=pool, allow_http=False, retries=0),
                "cancelled": lambda: download(link, pool=pool, stall=900, cancel=cancel),
            }
        )
    assert [type(error) for error in found.values()] == [
        trackparse.NotReadyError,
        trackparse.DownloadError,
        trackparse.CancelledError,
    ]
    assert_nothing_left(before)


def test_a_reader_that_takes_longer_than_the_deadline_finds_its_download_as_it_was() -> None:
    with FakeService(logs={"2021-04-20": LOG}) as service:
        service.delivery.piece = 1000
        source = open_url(service.file_url("2021-04-20"), stall=1.0, allow_http=True)
        start = source.read_exactly(10)
        time.sleep(1.5)
        assert start + source.read_exactly(len(LOG)) == LOG
        source.close()
        assert len(service.requests) == 1


def test_a_connection_is_used_again_and_watched_again() -> None:
    before = left_over()[0]
    with FakeService() as service, client_of(service, retries=0, timeout=30) as client:
        for _ in range(5):
            client.request_log()
        assert len({request.headers["Host"] for request in service.requests}) == 1
        service.reply("getTrackingLog", Reply(pause=60))
        assert isinstance(ends(lambda: client.request_log(deadline=DEADLINE)), trackparse.NotReadyError)
        client.request_log()
    assert_nothing_left(before)


def test_a_download_that_nobody_closes_is_not_watched_for_ever() -> None:
    with RawServer({"body": [Raw(head(b"Content-Length: 9") + b"PK", hold=True)]}) as server:
        source: object = open_url(server.url("body"), allow_http=True)
        assert [thread.name for thread in threading.enumerate() if "watch" in thread.name] == ["trackparse-watchdog"]
        del source
        assert left_over()[1] == []
