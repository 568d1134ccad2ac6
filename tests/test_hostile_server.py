"""Whatever a server sends: one clear error, or the right log. No crash, no hang, no memory without bounds."""

from __future__ import annotations

import datetime
import gzip
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import trackparse
from support.kernels import SLOW
from support.raw_server import Raw, RawServer, assert_nothing_left, head, left_over
from support.service import QUICK, sample, table_of
from trackparse.client import TrackingLogClient, open_url
from trackparse.client.answers import Answer, read_answer, tracking_codes
from trackparse.client.calendar import kept_day

LOG = sample(20)
HEAD = f'HTTP/1.1 200 OK\r\nContent-Length: {len(LOG)}\r\nETag: "1"\r\n\r\n'.encode()


@pytest.fixture(scope="module")
def raw() -> Iterator[RawServer]:
    with RawServer({}) as server:
        yield server


def read(raw: RawServer, *answers: bytes) -> Any:
    raw.answers["log.zip"] = [Raw(answer) for answer in answers]
    source = open_url(raw.url("log.zip"), allow_http=True, pauses=QUICK, retries=1, timeout=5)
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
def test_an_odd_answer_is_one_error(raw: RawServer, name: str) -> None:
    with pytest.raises(trackparse.TrackparseError) as caught:
        read(raw, ANSWERS[name])
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600
    client = TrackingLogClient(
        "token", base_url=raw.url("log.zip"), allow_http=True, pauses=QUICK, retries=1, timeout=5
    )
    with client, pytest.raises(trackparse.TrackparseError):
        client.request_log()


@pytest.mark.parametrize("name", ANSWERS)
def test_an_odd_answer_in_the_middle_is_one_error(raw: RawServer, name: str) -> None:
    with pytest.raises(trackparse.TrackparseError):
        read(raw, HEAD + LOG[:500], ANSWERS[name])


# ---- answers of the API ---------------------------------------------------------------------------------------

JSON = b'{"status_code":200,"status_message":"OK","response":{"request_id":"1","fileName":"https://a/1"}}'


def said(body: bytes, *lines: bytes, status: bytes = b"200 OK") -> bytes:
    return head(b"Content-Length: %d" % len(body), *lines, status=status) + body


def fields(code: str = "200", **response: str) -> bytes:
    inner = ",".join(f'"{name}":{value}' for name, value in response.items())
    return said(f'{{"status_code":{code},"status_message":"OK","response":{{{inner}}}}}'.encode())


# A page and what it needs may begin to load by this, before there is an answer.
HINTS = head(b"Link: </style.css>; rel=preload", b"Connection: close", status=b"103 Early Hints")
# Odd, and right all the same.
FINE = {
    "plain": said(JSON),
    "no length": head() + JSON,
    "chunked": head(b"Transfer-Encoding: chunked")
    + b"60\r\n"
    + JSON[:96]
    + b"\r\n%x\r\n" % len(JSON[96:])
    + JSON[96:]
    + b"\r\n0\r\n\r\n",
    "chunks with extensions": head(b"Transfer-Encoding: chunked")
    + b"%x;a=b;c\r\n" % len(JSON)
    + JSON
    + b"\r\n0;d\r\n\r\n",
    "trailers": head(b"Transfer-Encoding: chunked") + b"%x\r\n" % len(JSON) + JSON + b"\r\n0\r\nX: x\r\nY: y\r\n\r\n",
    "old version": b"HTTP/1.0 200 OK\r\n\r\n" + JSON,
    "no reason": b"HTTP/1.1 200\r\n\r\n" + JSON,
    "line feeds": said(JSON).replace(b"\r\n", b"\n"),
    "interim": b"HTTP/1.1 100 Continue\r\n\r\n" * 30 + said(JSON),
    "early hints before it": HINTS * 3 + b"HTTP/1.1 100 Continue\r\n\r\n" + HINTS + said(JSON),
    "still at work": b"HTTP/1.1 102 Processing\r\nContent-Length: 2\r\n\r\n" + said(JSON),
    "byte order mark": said(b"\xef\xbb\xbf" + JSON),
    "blanks around": said(b" \r\n\t" + JSON + b"\n\n"),
    "more than its length": said(JSON) + b"HTTP/1.1 500 No\r\n\r\n",
    "code as text": fields('"200"', request_id='"1"', fileName='"https://a/1"'),
    "number as identity": fields(request_id="1", fileName='"https://a/1"'),
    "half a surrogate nobody needs": said(JSON.replace(b'"OK"', b'"\xc3\xa9"')),
    "odd type": said(JSON, b"Content-Type: text/html; charset=utf-16"),
    "odd headers": said(JSON, b"Date: never", b"ETag: \xff", b"Age: -1"),
    "time to wait that no calendar has": said(JSON, b"Retry-After: Fri, 31 Dec 99999999999999 23:59:59 GMT"),
    "identity": said(JSON, b"Content-Encoding: identity"),
    "cookies": said(JSON, *[b"Set-Cookie: a=b"] * 50),
    "created": said(JSON, status=b"201 Created"),
    "number of many digits beside": said(JSON[:-1] + b',"n":' + b"9" * 300 + b"}"),
}
REFUSED = {
    "nothing at all": Raw(),
    "another protocol": Raw(head(b"Upgrade: h2c", status=b"101 Switching Protocols") + said(JSON)),
    "reset": Raw(reset=True),
    "reset in the head": Raw(b"HTTP/1.1 200 OK\r\nX", reset=True),
    "reset in the body": Raw(head(b"Content-Length: 1000") + JSON, reset=True),
    "silence": Raw(hold=True),
    "silence in the body": Raw(head(b"Content-Length: 1000") + JSON, hold=True),
    "drip of blanks": Raw(head(), b" "),
    "empty text": Raw(said(b"")),
    "blank": Raw(said(b" ")),
    "null": Raw(said(b"null")),
    "true": Raw(said(b"true")),
    "number": Raw(said(b"200")),
    "text": Raw(said(b'"OK"')),
    "list": Raw(said(b"[" + JSON + b"]")),
    "cut JSON": Raw(said(JSON[:-1])),
    "more JSON": Raw(said(JSON + JSON)),
    "JSONP": Raw(said(b"call(" + JSON + b")")),
    "page": Raw(said(b"<!DOCTYPE html><html><body>Log in</body></html>", b"Content-Type: text/html")),
    "UTF-16": Raw(said(JSON.decode().encode("utf-16"))),
    "not UTF-8": Raw(said(JSON.replace(b"OK", b"\xff\xfe"))),
    "zeros": Raw(said(b"\0" * 1000)),
    "deep lists": Raw(said(b"[" * 100_000)),
    "deep objects": Raw(said(b'{"response":' * 5000 + b"1" + b"}" * 5000)),
    "too much": Raw(said(b" " * 3_000_000 + JSON)),
    "packed": Raw(said(gzip.compress(JSON), b"Content-Encoding: gzip")),
    "packed in secret": Raw(said(gzip.compress(JSON))),
    "packed oddly": Raw(said(JSON, b"Content-Encoding: x, y, \xff")),
    "no code": Raw(said(b'{"response":{"request_id":"1"}}')),
    "code null": Raw(fields("null", request_id='"1"')),
    "code true": Raw(fields("true", request_id='"1"')),
    "code list": Raw(fields("[200]", request_id='"1"')),
    "code float": Raw(fields("200.0", request_id='"1"')),
    "code infinite": Raw(fields("1e400", request_id='"1"')),
    "code negative": Raw(fields("-200", request_id='"1"')),
    "code huge": Raw(fields("9" * 19, request_id='"1"')),
    "code in other digits": Raw(fields('"\u00b2\u0660\u0660"', request_id='"1"')),
    "code of an error": Raw(fields("500", request_id='"1"')),
    "response null": Raw(said(b'{"status_code":210,"status_message":null,"response":null}')),
    "response list": Raw(said(b'{"status_code":210,"status_message":[],"response":[]}')),
    "message huge": Raw(said(b'{"status_code":210,"status_message":"' + b"x\\n" * 200_000 + b'"}')),
    "message steers": Raw(said(b'{"status_code":210,"status_message":"\\u001b[31m\\r\\n\\u202e"}')),
    "accepted, a page": Raw(said(b"<html>", status=b"202 Accepted")),
    "not modified": Raw(said(b"", status=b"304 Not Modified")),
    "use a proxy": Raw(said(b"", b"Location: http://127.0.0.1:9/", status=b"305 Use Proxy")),
    "bad request": Raw(said(b"", status=b"400 Bad Request")),
    "pay": Raw(said(JSON, status=b"402 Payment Required")),
    "forbidden": Raw(said(b"\xff" * 100, status=b"403 Forbidden")),
    "not found": Raw(said(b"x" * 5000, status=b"404 Not Found")),
    "proxy wants a word": Raw(said(JSON, b"Proxy-Authenticate: Basic", status=b"407 Proxy")),
    "too many": Raw(said(JSON, b"Retry-After: Mon, 01 Jan 0001 00:00:00 +2359", status=b"429 Too Many")),
    "busy for ever": Raw(said(JSON, b"Retry-After: 99999999999999999999", status=b"503 Busy")),
    "busy until never": Raw(said(JSON, b"Retry-After: Fri, 31 Dec 99999999999999 23:59:59 GMT", status=b"503 Busy")),
    "busy, reset": Raw(head(b"Content-Length: 9", status=b"502 Bad Gateway"), reset=True),
    "status 600": Raw(said(JSON, status=b"600 What")),
    "status 999": Raw(said(JSON, status=b"999 What")),
    "status 000": Raw(said(JSON, status=b"000 What")),
    "redirect in a ring": Raw(head(b"Location: ?again", status=b"307 Go on")),
    "redirect to a file": Raw(head(b"Location: file:///etc/passwd", status=b"302 Found")),
    "redirect to a script": Raw(head(b"Location: javascript:alert(1)", status=b"302 Found")),
    "redirect to a host": Raw(head(b"Location: //127.0.0.1:9/x", status=b"308 Moved")),
    "redirect to capitals": Raw(head(b"Location: HTTP://127.0.0.1:9/x", status=b"308 Moved")),
    "redirect to two": Raw(head(b"Location: /a", b"Location: http://b/", status=b"307 Go on")),
    "redirect far": Raw(head(b"Location: /" + b"x" * 60_000, status=b"307 Go on")),
    "redirect with line ends": Raw(head(b"Location: /%0d%0aX:%20y\r\n Z", status=b"307 Go on")),
    "redirect as GET": Raw(head(b"Location: /api", status=b"303 See Other")),
    "redirect nowhere": Raw(head(status=b"301 Moved")),
    "too many headers": Raw(said(JSON, *[b"X: y"] * 200)),
    "long header line": Raw(said(JSON, b"X: " + b"y" * 70_000)),
    "header without a colon": Raw(b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"),
    "length and chunks": Raw(head(b"Content-Length: 3", b"Transfer-Encoding: chunked") + b"zz\r\n" + JSON),
    "chunk without an end": Raw(head(b"Transfer-Encoding: chunked") + b"%x\r\n" % len(JSON) + JSON),
    "chunk too short": Raw(head(b"Transfer-Encoding: chunked") + b"3\r\n" + JSON + b"\r\n0\r\n\r\n"),
    "chunk of all memory": Raw(head(b"Transfer-Encoding: chunked") + b"7fffffffffffffff\r\n" + JSON),
    "length too short": Raw(head(b"Content-Length: 9") + JSON),
    "length too long": Raw(head(b"Content-Length: 999") + JSON),
    "request as a list": Raw(fields(request_id="[1]")),
    "request as a truth": Raw(fields(request_id="true")),
    "request empty": Raw(fields(request_id='""')),
    "request as a float": Raw(fields(request_id="1.5")),
}


def at_once(calls: dict[str, Callable[[], object]], most: float) -> dict[str, object]:
    """What each call gives, or the error of ours that it ends with; side by side, each in so many seconds."""

    def one(call: Callable[[], object]) -> tuple[float, object]:
        start = time.monotonic()
        try:
            found = call()
        except trackparse.TrackparseError as error:
            found = error
        return time.monotonic() - start, found

    before, _ = left_over()
    with ThreadPoolExecutor(12) as executor:
        results = dict(zip(calls, executor.map(one, calls.values()), strict=True))
    assert_nothing_left(before)
    assert max((took, name) for name, (took, _) in results.items())[0] < most
    for name, (_, found) in results.items():
        if isinstance(found, trackparse.TrackparseError):
            assert str(found).isprintable(), name
            assert len(str(found)) < 800, name
    return {name: found for name, (_, found) in results.items()}


def test_every_answer_of_the_api_is_right_or_an_error() -> None:
    answers = {f"fine: {name}": [Raw(answer)] for name, answer in FINE.items()}
    answers |= {f"refused: {name}": [answer] for name, answer in REFUSED.items()}
    answers |= {f"refused: odd {name}": [Raw(answer)] for name, answer in ANSWERS.items()}
    with RawServer({name.replace(" ", "-"): some for name, some in answers.items()}) as server:

        def ask(name: str) -> tuple[str, str]:
            options: Any = {"allow_http": True, "pauses": QUICK, "retries": 2, "timeout": 0.5}
            url = server.url(name.replace(" ", "-"))
            with TrackingLogClient("test-token", base_url=url, **options) as client:
                return client.request_log(deadline=1.0), client.poll("1", deadline=1.0)

        found = at_once({name: lambda name=name: ask(name) for name in answers}, 5.0)  # type: ignore[misc]
    assert len(found) >= 76
    for name, result in found.items():
        if name.startswith("fine"):
            assert result == ("1", "https://a/1"), name
        else:
            assert isinstance(result, trackparse.TrackparseError), (name, result)


# ---- downloads ------------------------------------------------------------------------------------------------

SIZE = len(LOG)
CUT = 500


def whole(*lines: bytes, status: bytes = b"200 OK") -> bytes:
    return head(b"Content-Length: %d" % SIZE, *lines, status=status) + LOG


def part(*lines: bytes, start: int = CUT, span: bytes | None = None, status: bytes = b"206 Partial Content") -> Raw:
    told = b"bytes %d-%d/%d" % (start, SIZE - 1, SIZE) if span is None else span
    length = b"Content-Length: %d" % (SIZE - start)
    return Raw(head(b"Content-Range: " + told, length, *lines, status=status) + LOG[start:])


HALF = Raw(head(b"Content-Length: %d" % SIZE, b'ETag: "1"') + LOG[:CUT])
RIGHT = {
    "plain": [Raw(whole())],
    "early hints": [Raw(HINTS + whole())],
    "until the end": [Raw(head() + LOG)],
    "old version": [Raw(b"HTTP/1.0 200 OK\r\n\r\n" + LOG)],
    "chunked": [Raw(head(b"Transfer-Encoding: chunked") + b"%x\r\n" % SIZE + LOG + b"\r\n0\r\n\r\n")],
    "small chunks": [
        Raw(
            head(b"Transfer-Encoding: chunked")
            + b"".join(b"7;x\r\n" + LOG[at : at + 7] + b"\r\n" for at in range(0, SIZE - 7, 7))
            + b"%x\r\n" % (SIZE % 7 or 7)
            + LOG[-(SIZE % 7 or 7) :]
            + b"\r\n0\r\nX: x\r\n\r\n"
        )
    ],
    "more than its length": [Raw(whole() + b"more")],
    "as a page": [Raw(whole(b"Content-Type: text/html", b'Content-Disposition: inline; filename="../../x\xff"'))],
    "odd headers": [Raw(whole(b"ETag: ", b"Last-Modified: never", b"Date: \xff", b"Accept-Ranges: pages"))],
    "busy first": [Raw(said(b"", b"Retry-After: Mon, 01 Jan 0001 00:00:00 +2359", status=b"503 Busy")), Raw(whole())],
    "reset first": [Raw(reset=True), Raw(whole())],
    "silence first": [Raw(hold=True), Raw(whole())],
    "cut": [HALF, part(b'ETag: "1"')],
    "cut, the tag is not repeated": [HALF, part()],
    "cut and reset": [Raw(HALF.first, reset=True), part()],
    "cut, then busy": [HALF, Raw(said(b"", status=b"502 Bad Gateway")), part()],
    "cut, then a part of unknown size": [HALF, part(span=b"bytes %d-%d/*" % (CUT, SIZE - 1))],
    "redirected": [Raw(head(b"Location: ?again", status=b"302 Found")), Raw(whole())],
}
WRONG = {
    "nothing": [Raw()],
    "empty": [Raw(said(b""))],
    "page": [Raw(said(b"<html>Log in</html>"))],
    "JSON": [Raw(said(JSON))],
    "noise": [Raw(said(bytes(range(256)) * 4000))],
    "drip of nothing": [Raw(head(b"Transfer-Encoding: chunked"), b"0")],
    "length too short": [Raw(head(b"Content-Length: %d" % (SIZE - 1)) + LOG)],
    "cut for ever": [Raw(head(b"Content-Length: %d" % SIZE) + LOG[:CUT])],
    "packed": [Raw(whole(b"Content-Encoding: gzip"))],
    "part unasked": [part(start=0)],
    "gone": [Raw(said(b"", status=b"410 Gone"))],
    "cut, then whole": [HALF, Raw(whole(b'ETag: "1"'))],
    "cut, then another": [HALF, Raw(whole(b'ETag: "2"'))],
    "cut, then a part of another": [HALF, part(b'ETag: "2"')],
    "cut, then the wrong part": [HALF, part(start=CUT + 1)],
    "cut, then an earlier part": [HALF, part(start=CUT - 1)],
    "cut, then a part with a lie": [HALF, part(start=CUT + 1, span=b"bytes %d-%d/%d" % (CUT, SIZE - 1, SIZE))],
    "cut, then a part of more": [HALF, part(span=b"bytes %d-%d/%d" % (CUT, SIZE, SIZE + 1))],
    "cut, then a part that ends before it starts": [HALF, part(span=b"bytes %d-%d/%d" % (CUT, CUT - 1, SIZE))],
    "cut, then a part of no place": [HALF, part(span=b"")],
    "cut, then odd digits": [HALF, part(span="bytes \u0665\u0660\u0660-9/9".encode())],
    "cut, then many digits": [HALF, part(span=b"bytes %d-%d/%b" % (CUT, SIZE - 1, b"9" * 5000))],
    "cut, then many parts": [HALF, part(b"Content-Type: multipart/byteranges; boundary=x", span=b"")],
    "cut, then a packed part": [HALF, part(b"Content-Encoding: br")],
    "cut, then the end": [HALF, Raw(said(b"", b"Content-Range: bytes */%d" % CUT, status=b"416 No"))],
    "cut, then no content": [HALF, Raw(said(b"", status=b"204 No Content"))],
    "cut, then forbidden": [HALF, Raw(said(b"", status=b"403 Forbidden"))],
    "cut, then a page": [HALF, Raw(said(b"<html>", status=b"206 Partial Content"))],
    "cut, then redirected to capitals": [HALF, Raw(head(b"Location: FTP://a/", status=b"302 Found"))],
    "chunked, then a lie": [
        Raw(head(b"Transfer-Encoding: chunked", b'ETag: "1"') + b"1f4\r\n" + LOG[:CUT] + b"\r\nzz\r\n"),
        Raw(head(b"Content-Range: bytes %d-%d/%d" % (CUT, SIZE, SIZE)) + LOG[CUT:]),
    ],
    "redirected in a ring": [Raw(head(b"Location: ?again", status=b"302 Found"))],
}


def test_every_download_is_the_right_log_or_an_error() -> None:
    answers = {f"right: {name}": some for name, some in RIGHT.items()}
    answers |= {f"wrong: {name}": some for name, some in WRONG.items()}
    with RawServer({name.replace(" ", "-"): some for name, some in answers.items()}) as server:

        def fetch(name: str) -> Any:
            url = server.url(name.replace(" ", "-"))
            return trackparse.read_log(open_url(url, allow_http=True, pauses=QUICK, retries=2, timeout=0.5, stall=1.5))

        found = at_once({name: lambda name=name: fetch(name) for name in answers}, 6.0)  # type: ignore[misc]
    assert len(found) >= 31
    for name, result in found.items():
        if name.startswith("right"):
            assert not isinstance(result, Exception), (name, result)
            assert table_of(LOG).equals(result), name
        else:
            assert isinstance(result, trackparse.TrackparseError), name


@settings(max_examples=60 // SLOW)
@given(
    place=st.integers(0, len(HEAD) - 1), new=st.binary(max_size=3), cut=st.integers(0, 3), body=st.integers(0, len(LOG))
)
@example(place=13, new=b"", cut=0, body=len(LOG))
def test_a_head_that_was_damaged_never_gives_another_log(
    raw: RawServer, place: int, new: bytes, cut: int, body: int
) -> None:
    answer = HEAD[:place] + new + HEAD[place + cut :] + LOG[:body]
    try:
        found = read(raw, answer)
    except trackparse.TrackparseError:
        return
    assert found.equals(table_of(LOG))


NUMBERS = [
    b"0",
    b"-1",
    b"+5",
    b"1_0",
    b"9" * 30,
    b"9" * 5000,
    b"1e400",
    b"NaN",
    b" 7 ",
    b"7,7",
    b"\xd9\xa1",
    b"0x10",
    b"",
]
DATES = [
    b"Fri, 31 Dec 99999999999999 23:59:59 GMT",
    b"Mon, 01 Jan 0001 00:00:00 +2359",
    b"Fri, 31 Dec 9999 23:59:59 -9999",
    b"Thu, 01 Jan 1970 00:00:00 GMT",
    b"Sunday, 06-Nov-94 08:49:37 GMT",
    b"Sun Nov  6 08:49:37 1994",
    b"12:00",
    b"soon",
]
RANGES = [
    b"bytes 500-%d/%d" % (SIZE - 1, SIZE),
    b"bytes 500-%d/*" % (SIZE - 1),
    b"BYTES  500-%d/%d" % (SIZE - 1, SIZE),
    b"bytes */500",
    b"bytes 0-0/1",
    b"bytes 9-1/1",
    b"bytes 500-" + b"9" * 30 + b"/*",
    b"bytes=500-",
    b"pages 1-2/3",
    b"bytes",
]
TEXTS = [
    b'"1"',
    b'W/"1"',
    b"*",
    b'"\xff"',
    b"gzip",
    b"identity",
    b"chunked",
    b"a/b; c=d",
    b"/x",
    b"?x",
    b"//h",
    b"http://[",
    b"x" * 9000,
]
NAMES = [
    b"Retry-After",
    b"Content-Range",
    b"Content-Length",
    b"ETag",
    b"Last-Modified",
    b"Content-Encoding",
    b"Location",
    b"Content-Type",
    b"Date",
    b"Transfer-Encoding",
    b"Connection",
    b"Accept-Ranges",
    b"Content-Disposition",
]
LINES = st.lists(
    st.builds(
        lambda name, value: name + b": " + value,
        st.sampled_from(NAMES),
        st.sampled_from(NUMBERS + DATES + RANGES + TEXTS)
        | st.binary(max_size=12).map(lambda text: text.replace(b"\n", b"")),
    ),
    max_size=4,
)
STATUSES = st.sampled_from(
    [
        b"200 OK",
        b"206 Part",
        b"200",
        b"416 No",
        b"204 No",
        b"302 Found",
        b"404 No",
        b"429 Slow",
        b"503 Busy",
        b"099 \xff",
        b"2_0 X",
    ]
)


@settings(max_examples=150 // SLOW)
@given(first=LINES, status=STATUSES, second=LINES, cut=st.booleans())
def test_headers_of_any_kind_never_give_another_log(
    raw: RawServer, first: list[bytes], status: bytes, second: list[bytes], cut: bool
) -> None:
    answers = [
        head(*first) + (LOG[:CUT] if cut else LOG),
        head(*second, status=status) + LOG[CUT:],
        HEAD + LOG,
    ]
    try:
        found = read(raw, *answers)
    except trackparse.TrackparseError:
        return
    assert found.equals(table_of(LOG))


@settings(max_examples=100 // SLOW)
@given(lines=LINES, status=STATUSES)
def test_headers_of_any_kind_give_an_answer_or_an_error(raw: RawServer, lines: list[bytes], status: bytes) -> None:
    raw.answers["api"] = [Raw(head(*lines, status=status) + JSON)]
    url = raw.url("api")
    with TrackingLogClient("token", base_url=url, allow_http=True, pauses=QUICK, retries=1, timeout=5) as client:
        try:
            found = client.request_log(deadline=1.0)
        except trackparse.TrackparseError:
            return
    assert found == "1"


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
    today = datetime.datetime.now(datetime.UTC).date()
    try:
        found = kept_day(day, today)
    except ValueError:
        return
    assert abs((today - found).days) <= 16
