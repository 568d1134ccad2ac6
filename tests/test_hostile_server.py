"""Whatever a server sends: one clear error, or the right log. No crash, no hang, no memory without bounds."""

from __future__ import annotations

import datetime
import socketserver
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from conftest import SLOW
from hypothesis import example, given, settings
from hypothesis import strategies as st
from service_common import QUICK, sample, table_of

import trackparse
from trackparse.answers import Answer, read_answer, tracking_codes
from trackparse.client import TrackingLogClient, open_url

LOG = sample(20)
HEAD = f'HTTP/1.1 200 OK\r\nContent-Length: {len(LOG)}\r\nETag: "1"\r\n\r\n'.encode()


class _Raw(socketserver.ThreadingTCPServer):
    """Sends the next of ``answers`` to each connection, as it is, and closes it; the last one to all others."""

    daemon_threads = False
    answers: list[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/log.zip"


class _Handler(socketserver.StreamRequestHandler):
    server: _Raw

    def handle(self) -> None:
        answers = self.server.answers
        with suppress(OSError):
            while self.rfile.readline().strip():
                pass
            self.wfile.write(answers.pop(0) if len(answers) > 1 else answers[0])


@pytest.fixture(scope="module")
def raw() -> Iterator[_Raw]:
    with _Raw(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def read(raw: _Raw, *answers: bytes) -> Any:
    raw.answers = list(answers)
    source = open_url(raw.url, allow_http=True, pauses=QUICK, retries=1, timeout=5)
    return trackparse.read_log(source)


ANSWERS = {
    "nothing": b"",
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "no status": b"HTTP/1.1\r\n\r\n",
    "odd status": b"HTTP/1.1 two hundred\r\n\r\n",
    "large status": b"HTTP/1.1 99999 OK\r\n\r\n",
    "long status line": b"HTTP/1.1 200 " + b"O" * 100_000,
    "other version": b"HTTP/9.9 200 OK\r\n\r\n",
    "long header": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    "many headers": b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 1000 + b"\r\n",
    "odd header": b"HTTP/1.1 200 OK\r\n\x00\xff: \xfe\r\n: :\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
    "large length": b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\nPK",
    "very large length": b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\nPK",
    "odd length": b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
    "odd chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    "negative chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n",
    "large chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nhello",
    "long chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 100_000,
    "other coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n\x1f\x8b",
    "no body": b"HTTP/1.1 204 No Content\r\n\r\n",
    "early hints": b"HTTP/1.1 103 Early Hints\r\n\r\n",
    "switching": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "part unasked": b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/2\r\nContent-Length: 2\r\n\r\nPK",
    "redirect to nothing": b"HTTP/1.1 302 Found\r\nLocation: \r\n\r\n",
    "redirect to odd bytes": b"HTTP/1.1 302 Found\r\nLocation: http://\xff\xfe/\r\n\r\n",
    "redirect to an odd port": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:99999/\r\n\r\n",
    "redirect to an odd host": b"HTTP/1.1 302 Found\r\nLocation: http://a..b/\r\n\r\n",
    "redirect to a long host": b"HTTP/1.1 302 Found\r\nLocation: http://" + b"a" * 300 + b"/\r\n\r\n",
    "redirect to a zone": b"HTTP/1.1 302 Found\r\nLocation: http://[fe80::1%25\x00]/\r\n\r\n",
    "empty": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "no log": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_odd_answer_is_one_error(raw: _Raw, name: str) -> None:
    with pytest.raises(trackparse.TrackparseError) as caught:
        read(raw, ANSWERS[name])
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600
    client = TrackingLogClient(
        "token", base_url=raw.url, allow_http=True, pauses=QUICK, retries=1, timeout=5
    )
    with client, pytest.raises(trackparse.TrackparseError):
        client.request_log()


@pytest.mark.parametrize("name", ANSWERS)
def test_an_odd_answer_in_the_middle_is_one_error(raw: _Raw, name: str) -> None:
    with pytest.raises(trackparse.TrackparseError):
        read(raw, HEAD + LOG[:500], ANSWERS[name])


@settings(max_examples=60 // SLOW)
@given(
    place=st.integers(0, len(HEAD) - 1), new=st.binary(max_size=3), cut=st.integers(0, 3), body=st.integers(0, len(LOG))
)
@example(place=13, new=b"", cut=0, body=len(LOG))
def test_a_head_that_was_damaged_never_gives_another_log(
    raw: _Raw, place: int, new: bytes, cut: int, body: int
) -> None:
    answer = HEAD[:place] + new + HEAD[place + cut :] + LOG[:body]
    try:
        found = read(raw, answer)
    except trackparse.TrackparseError:
        return
    assert found.equals(table_of(LOG))


@settings(max_examples=100 // SLOW)
@given(st.binary(max_size=40) | st.text(max_size=40) | st.dictionaries(st.text(max_size=3), st.integers() | st.text()))
@example(b"[" * 10_000)
@example('{"status_code": 1e400}')
@example('{"status_code": "²"}')
@example({"status_code": 200, "status_message": 5})
@example("\ud800")
def test_any_bytes_are_an_answer_or_are_none(data: Any) -> None:
    found = read_answer(data)
    assert isinstance(found, (Answer, str))
    with pytest.raises(trackparse.ApiError):
        tracking_codes(data)


@settings(max_examples=100 // SLOW)
@given(st.text(max_size=30))
@example("https://a..b/")
@example("https://[::1%25x]/")
@example("https://xn--/")
@example("https://\u2100/")
@example("HTTPS://EXAMPLE.COM:443/json")
@example("https://example.com:0x50/")
def test_any_text_is_a_base_url_or_is_none(text: str) -> None:
    try:
        client = TrackingLogClient("token", base_url=text)
    except ValueError:
        return
    assert text.lower().startswith("https://")
    client.close()


@given(st.text(max_size=12) | st.dates() | st.datetimes())
def test_any_day_is_one_of_the_last_or_none(day: Any) -> None:
    try:
        found = trackparse.client.kept_day(day)
    except ValueError:
        return
    assert abs((datetime.datetime.now(datetime.UTC).date() - found).days) <= 16
