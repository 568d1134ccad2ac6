"""The token shows nowhere, and goes to one host only, whatever happens."""

from __future__ import annotations

import copy
import dataclasses
import datetime
import io
import json
import logging
import os
import pickle
import random
import re
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
from rich.traceback import Traceback

import trackparse
from support.raw_server import Raw, RawServer, head
from support.service import QUICK, client_of, sample
from trackparse.client import TrackingLogClient
from trackparse.testing import FakeService, Reply

TESTS = Path(__file__).parent
TOKEN = "tOkEn/9f8e7d6c5b4a+3z="
PIECES = [TOKEN[start : start + 8].lower() for start in range(len(TOKEN) - 7)]
YESTERDAY = datetime.datetime.now(datetime.UTC).date() - datetime.timedelta(days=1)


@pytest.fixture
def service() -> Iterator[FakeService]:
    with FakeService(token=TOKEN, logs={YESTERDAY.isoformat(): sample()}) as fake:
        yield fake


@pytest.fixture
def logged() -> Iterator[Callable[[], str]]:
    """All that is logged, by whomever, at DEBUG."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(name)s %(message)s %(args)s %(exc_info)s"))
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield stream.getvalue
    root.setLevel(level)
    root.removeHandler(handler)


def shows(text: str) -> bool:
    """Whether as much as eight characters of it can be read."""
    plain = unquote(re.sub(r"\\+x(?=[0-9A-Fa-f]{2})", "%", text)).replace("\\", "").lower()
    # UTF-16 and UTF-32 have a NUL between the letters, or what is shown instead of it.
    dense = plain.replace("\0", "").replace("x00", "").replace("?", "")
    return any(piece in plain or piece in dense for piece in PIECES)


def echo(status: int = 200, **more: Any) -> Reply:
    """An answer that repeats the token in every place there is."""
    body = {"status_code": 210, "status_message": f"bad argument {TOKEN}", TOKEN: TOKEN}
    return Reply(status, body, {"X-Token": TOKEN, **more})


def ok(**response: Any) -> Reply:
    return Reply(200, {"status_code": 200, "status_message": "OK", "response": response})


FAULTS: dict[str, list[tuple[str, Reply]]] = {
    "refused": [("getTrackingLog", echo())],
    "refused token": [("getTrackingLog", Reply.refusal(403, f"token {TOKEN} is not known"))],
    "unauthorized": [("getTrackingLog", echo(401))],
    "bad request": [("getTrackingLog", echo(400))],
    "server error": [("getTrackingLog", echo(500))] * 3,
    "not JSON": [("getTrackingLog", Reply(200, TOKEN.encode()))] * 3,
    "cut JSON": [("getTrackingLog", Reply(200, json.dumps({"auth": TOKEN})[:-1].encode()))] * 3,
    "not an answer": [("getTrackingLog", Reply(200, {TOKEN: 1}))] * 3,
    "cut in an excerpt": [("getTrackingLog", Reply(200, b"x" * 105 + TOKEN.encode()))] * 3,
    "cut in a long one": [("getTrackingLog", Reply(200, b"x " * 990 + TOKEN.encode() * 9))] * 3,
    **{
        f"{encoding} {status}": [("getTrackingLog", Reply(status, f"no {TOKEN}".encode(encoding)))] * 3
        for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32")
        for status in (200, 400)
    },
    "NUL in a message": [("getTrackingLog", Reply.refusal(210, "\0".join(TOKEN)))],
    "slashes quoted": [("getTrackingLog", Reply(200, TOKEN.replace("/", "\\/").encode()))] * 3,
    "percent": [("getTrackingLog", Reply.refusal(210, quote(TOKEN, safe="")))],
    "cut in a link": [("getResults", ok(fileName=f"ftp://{'x' * 100}/{TOKEN}"))],
    "cut in an odd link": [("getResults", ok(fileName=f"https://[{'x' * 90}/{TOKEN}"))],
    "cut in a message": [("getTrackingLog", Reply.refusal(210, "x" * 470 + TOKEN))],
    "cut in a redirect": [("download", Reply(302, b"", {"Location": f"ftp://example.com/{'x' * 280}{TOKEN}"}))],
    "cut in a part": [("download", Reply(206, b"", {"Content-Range": f"bytes {'x' * 65}{TOKEN}"}))],
    "too long": [("getTrackingLog", Reply(200, TOKEN.encode() * 100_000))],
    "dropped": [("getTrackingLog", Reply(drop=True))] * 3,
    "reason": [("getTrackingLog", Reply(503, b"", {"Retry-After": TOKEN}))] * 3,
    "odd headers": [("getTrackingLog", Reply(200, b"{}", {"Content-Length": TOKEN, "Connection": "close"}))] * 3,
    "odd location": [("getTrackingLog", Reply(302, b"", {"Location": f"https://[{TOKEN}"}))],
    "other location": [("getTrackingLog", Reply(307, b"", {"Location": f"https://127.0.0.1:9/{TOKEN}"}))],
    "results refused": [("getResults", echo())],
    "never ready": [("getResults", Reply.refusal(420, f"not ready, {TOKEN}"))] * 1000,
    "odd link": [("getResults", ok(fileName=f"ftp://{TOKEN}@{TOKEN}/{TOKEN}"))],
    "link to nowhere": [("getResults", ok(fileName=f"http://127.0.0.1:9/{TOKEN}.zip"))],
    "download refused": [("download", echo(403))],
    "download broken": [("download", echo(500))] * 3,
    "download no log": [("download", echo(200))],
    "download packed": [("download", echo(200, **{"Content-Encoding": TOKEN}))],
    "download redirected": [("download", echo(302, Location=f"ftp://example.com/{TOKEN}"))],
}


def with_causes(error: BaseException) -> list[BaseException]:
    """An error, and all those that it came from."""
    seen: list[BaseException] = []
    queue: list[BaseException | None] = [error]
    while queue:
        one = queue.pop()
        if one is None or one in seen:
            continue
        seen.append(one)
        queue += [one.__cause__, one.__context__]
    return seen


def texts_of(error: BaseException) -> Iterator[str]:
    """Everything that somebody may print of an error, and of those it came from."""
    for one in with_causes(error):
        yield from (str(one), repr(one), repr(one.args), repr(vars(one)))
        with suppress(Exception):
            yield repr(pickle.dumps(one))
        yield "".join(traceback.format_exception(one))


def everything_in(value: object, depth: int = 0, seen: set[int] | None = None) -> Iterator[str]:
    """All texts that a reporter may find in a value: containers and data classes are opened, others are shown."""
    seen = set() if seen is None else seen
    if id(value) in seen or depth > 6:
        return
    seen.add(id(value))
    with suppress(Exception):
        yield repr(value)
        yield str(value)
    inner: list[object] = []
    if isinstance(value, Mapping):
        inner += [*value.keys(), *value.values()]
    elif isinstance(value, (list, tuple, set, frozenset)):
        inner += value
    elif isinstance(value, BaseException):
        inner += [value.args, vars(value), value.__cause__, value.__context__]
    elif dataclasses.is_dataclass(value):
        inner += [getattr(value, field.name, None) for field in dataclasses.fields(value)]
    for one in inner:
        yield from everything_in(one, depth + 1, seen)


def locals_of(error: BaseException) -> str:
    """The local variables of the library, and of what it called, in an error and in those it came from."""
    found: list[str] = []
    for one in with_causes(error):
        for frame, _ in traceback.walk_tb(one.__traceback__):
            if TESTS not in Path(frame.f_code.co_filename).parents:
                for name, value in frame.f_locals.items():
                    found += [f"{name}={text}" for text in everything_in(value)]
    return "\n".join(found)


def as_rich_prints(error: BaseException) -> str:
    """The local variables as rich prints them in a traceback, without those of the tests themselves."""
    trace = Traceback.extract(
        type(error),
        error,
        error.__traceback__,
        show_locals=True,
        locals_max_length=1 << 30,
        locals_max_string=1 << 30,
    )
    return "\n".join(
        f"{name}={node}"
        for stack in trace.stacks
        for frame in stack.frames
        if TESTS not in Path(frame.filename).parents
        for name, node in (frame.locals or {}).items()
    )


@pytest.mark.parametrize("name", FAULTS)
def test_no_error_and_no_log_line_shows_it(
    service: FakeService, logged: Callable[[], str], name: str, tmp_path: Path
) -> None:
    for endpoint, reply in FAULTS[name]:
        service.reply(endpoint, reply)  # type: ignore[arg-type]
    with (
        client_of(service, token=TOKEN, retries=2, pauses=QUICK) as client,
        pytest.raises(trackparse.TrackparseError) as caught,
    ):
        client.convert(YESTERDAY, tmp_path / "log.parquet", deadline=0.05 if name == "never ready" else 10)
    found = list(texts_of(caught.value))
    assert len(found) >= 5
    assert not shows(logged())
    assert "urllib3" in logged()
    for text in found:
        assert not shows(text)
    assert_kept_from_the_files(service)


@pytest.mark.parametrize("name", FAULTS)
def test_no_traceback_with_local_variables_shows_it(service: FakeService, name: str, tmp_path: Path) -> None:
    for endpoint, reply in FAULTS[name]:
        service.reply(endpoint, reply)  # type: ignore[arg-type]
    deadline = 0.05 if name == "never ready" else 10
    with (
        client_of(service, token=TOKEN, retries=2, pauses=QUICK) as client,
        pytest.raises(trackparse.TrackparseError) as caught,
    ):
        client.convert(YESTERDAY, tmp_path / "log.parquet", deadline=deadline)
    found = locals_of(caught.value)
    assert "TrackingLogClient('***'" in found
    assert not shows(found)
    printed = as_rich_prints(caught.value)
    assert "TrackingLogClient('***'" in printed
    assert not shows(printed)


# The token in each place of an answer, as bytes.
RAW_ECHOES = {
    "status line": b"HTTP/1.1 200 TOKEN\r\n\r\nTOKEN",
    "odd status line": b"HTTP/1.1 TOKEN\r\n\r\n",
    "no status line": b"TOKEN TOKEN TOKEN\r\n\r\n",
    "version": b"TOKEN/1.1 200 OK\r\n\r\n",
    "refused": b"HTTP/1.1 401 TOKEN\r\nWWW-Authenticate: TOKEN\r\n\r\n<html>TOKEN</html>",
    "gone": b"HTTP/1.1 404 TOKEN\r\nX: TOKEN\r\n\r\n<html>TOKEN</html>",
    "busy": b"HTTP/1.1 503 TOKEN\r\nRetry-After: TOKEN\r\n\r\nTOKEN",
    "not modified": b'HTTP/1.1 304 TOKEN\r\nETag: "TOKEN"\r\n\r\n',
    "header name": b"HTTP/1.1 200 OK\r\nTOKEN: TOKEN\r\n\r\nTOKEN",
    "no header": b"HTTP/1.1 200 OK\r\nX: x\r\nno header TOKEN\r\nTOKEN\r\n\r\nTOKEN",
    "header folded": b"HTTP/1.1 200 OK\r\n TOKEN\r\nX: x\r\n\tTOKEN\r\n\r\nTOKEN",
    "header nameless": b"HTTP/1.1 200 OK\r\n: TOKEN\r\n\r\nTOKEN",
    "multipart": b"HTTP/1.1 200 OK\r\nContent-Type: multipart/mixed; boundary=TOKEN\r\nTOKEN\r\n\r\n--TOKEN",
    "content type": b"HTTP/1.1 200 OK\r\nContent-Type: TOKEN; charset=TOKEN\r\n\r\nTOKEN",
    "packed": b"HTTP/1.1 200 OK\r\nContent-Encoding: TOKEN\r\nContent-Length: 5\r\n\r\nTOKEN",
    "codes": b'HTTP/1.1 200 OK\r\n\r\n{"status_code":210,"response":{"TrackingCodes":["TOKEN"]}}',
    "codes of a good answer": b'HTTP/1.1 200 OK\r\n\r\n{"status_code":200,"response":{"TrackingCodes":["TOKEN"]}}',
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: TOKEN\r\n\r\nTOKEN",
    "lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: TOKEN\r\n\r\nTOKEN",
    "coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: TOKEN\r\n\r\nTOKEN",
    "chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nTOKEN\r\n",
    "chunk extension": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=TOKEN\r\nTOKEN",
    "trailer": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nPK!\r\n0\r\nTOKEN: TOKEN\r\n\r\n",
    "redirect": b"HTTP/1.1 302 TOKEN\r\nLocation: https://TOKEN.invalid/TOKEN?TOKEN#TOKEN\r\n\r\n",
    "redirect in percents": b"HTTP/1.1 307 Go\r\nLocation: /PERCENT\r\n\r\n",
    "redirect with a user": b"HTTP/1.1 307 Go\r\nLocation: http://TOKEN:TOKEN@127.0.0.1:9/\r\n\r\n",
    "redirect in small letters": b"HTTP/1.1 302 Found\r\nLocation: https://push.invalid/SMALL\r\n\r\n",
    "key": b'HTTP/1.1 200 OK\r\n\r\n{"TOKEN": {"TOKEN": ["TOKEN"]}}',
    "message": b'HTTP/1.1 200 OK\r\n\r\n{"status_code": 210, "status_message": "no TOKEN", "TOKEN": 1}',
    "escaped": b'HTTP/1.1 200 OK\r\n\r\n{"status_code": 210, "status_message": "no ESCAPED"}',
    "escaped by its bytes": b"HTTP/1.1 404 HEX\r\n\r\n",
    "escaped in HTML": b'HTTP/1.1 200 OK\r\n\r\n{"status_code": 210, "status_message": "<b>ENTITIES</b>"}',
    "code": b'HTTP/1.1 200 OK\r\n\r\n{"status_code": "TOKEN", "status_message": "OK"}',
    "request": b'HTTP/1.1 200 OK\r\n\r\n{"status_code": 200, "response": {"TOKEN": "TOKEN"}}',
    "cut": b'HTTP/1.1 200 OK\r\n\r\n{"status_code": 200, "response": {"request_id": "TOKEN',
    "link": b'HTTP/1.1 200 OK\r\n\r\n{"status_code": 200, "response": {"request_id": "1", "fileName": "https://a/TOKEN"}}',
    "escaped link": (
        b'HTTP/1.1 200 OK\r\n\r\n{"status_code": 200, "response": {"request_id": "1", "fileName": "https://a/ESCAPED"}}'
    ),
    "percent link": (
        b'HTTP/1.1 200 OK\r\n\r\n{"status_code": 200, "response": {"request_id": "1", "fileName": "https://a/PERCENT"}}'
    ),
}


@pytest.mark.parametrize("name", RAW_ECHOES)
def test_no_place_of_an_answer_shows_it(name: str, logged: Callable[[], str]) -> None:
    answer = RAW_ECHOES[name]
    for word, form in {
        "TOKEN": TOKEN,
        "PERCENT": "".join(f"%{ord(letter):02x}" for letter in TOKEN),
        "SMALL": TOKEN.lower(),
        "ESCAPED": "".join(f"\\u{ord(letter):04x}" for letter in TOKEN),
        "HEX": "".join(f"\\x{ord(letter):02X}" for letter in TOKEN),
        "ENTITIES": "".join(f"&#{ord(letter)};" for letter in TOKEN),
    }.items():
        answer = answer.replace(word.encode(), form.encode())
    with RawServer({"api": [Raw(answer)]}) as server:
        options: Any = {"allow_http": True, "pauses": QUICK, "retries": 1, "timeout": 5}
        with TrackingLogClient(TOKEN, base_url=server.url("api"), **options) as client:
            calls: list[Callable[[], object]] = [
                lambda: client.poll("1", deadline=0.3),
                lambda: client.open_log(YESTERDAY, deadline=0.3).read_all(),
                lambda: trackparse.read_log(client.open_link(server.url("api"))),
            ]
            for call in calls:
                with pytest.raises(trackparse.TrackparseError) as caught:
                    call()
                for text in (*texts_of(caught.value), locals_of(caught.value), as_rich_prints(caught.value)):
                    assert not shows(text)
    assert not shows(logged())


@pytest.mark.parametrize("token", [TOKEN, "%41b%2Fc%25%d4"])
@pytest.mark.parametrize("escape", ["%{:02x}", "%{:02X}", "\\u{:04x}"])
def test_whichever_letters_are_escaped_it_does_not_show(token: str, escape: str) -> None:
    """Outside of JSON, too, where nobody decodes them."""
    rng = random.Random(1)
    escaped = [{at} for at in range(len(token))]
    escaped += [{at for at in range(len(token)) if rng.random() < 0.5} for _ in range(20)]
    echoes = [
        "".join(escape.format(ord(letter)) if at in some else letter for at, letter in enumerate(token))
        for some in escaped
    ]
    with FakeService(token=token) as service, client_of(service, token=token, retries=0) as client:
        for echo in echoes:
            service.reply("getTrackingLog", Reply(200, f'{{"auth": "{echo}'.encode()))
            with pytest.raises(trackparse.ApiError, match=r"the answer is not JSON: .*\*\*\*'") as caught:
                client.request_log()
            assert echo not in repr(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: TrackingLogClient(TOKEN, base_url="ftp://example.com"),
        lambda: TrackingLogClient(TOKEN, retries=-1),
        lambda: TrackingLogClient(TOKEN, timeout=0),
        lambda: TrackingLogClient(f"{TOKEN}\n"),
        lambda: TrackingLogClient(f"{TOKEN} ", base_url="ftp://example.com"),
        lambda: TrackingLogClient(TOKEN.encode()),  # type: ignore[arg-type]
    ],
)
def test_a_client_that_cannot_be_made_does_not_show_it(make: Callable[[], object]) -> None:
    with pytest.raises((ValueError, TypeError)) as caught:
        make()
    assert not shows(locals_of(caught.value))
    assert not shows(as_rich_prints(caught.value))
    # An object whose repr fails takes the whole traceback with it in the standard library.
    printed = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert "TrackingLogClient('***', base_url=" in "".join(printed.format())


@pytest.mark.parametrize("token", ["t", "token", "status", "a", "1", "the"])
def test_a_short_token_leaves_messages_as_they_are(token: str) -> None:
    page = Reply(200, b"<html>status</html>")
    with (
        FakeService(token=token, logs={YESTERDAY.isoformat(): sample()}) as service,
        client_of(service, token=token, retries=1) as client,
    ):
        with client.open_log(YESTERDAY) as log:
            assert log.read_all().num_rows == 1000
        service.reply("getTrackingLog", Reply.refusal(403, "that token is not the right one"))
        with pytest.raises(trackparse.AuthError) as caught:
            client.request_log()
        assert str(caught.value) == (
            "getTrackingLog: the token is not accepted: status_code 403, that token is not the right one"
        )
        service.reply("getTrackingLog", page, page)
        with pytest.raises(trackparse.ApiError, match="the answer is not JSON: '<html>status</html>'"):
            client.request_log()


def test_a_long_token_is_not_looked_for_in_what_the_library_says_itself() -> None:
    with FakeService(token="accepted") as service:
        service.reply("getTrackingLog", Reply.refusal(403, "not accepted here"))
        with client_of(service, token="accepted") as client, pytest.raises(trackparse.AuthError) as caught:
            client.request_log()
    assert str(caught.value) == "getTrackingLog: the token is not accepted: status_code 403, not *** here"


def test_the_request_under_way_does_not_show_it(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    # An interrupt may come anywhere, here while the body is sent.
    def interrupt(self: object, data: object) -> None:
        raise KeyboardInterrupt

    with client_of(service, token=TOKEN) as client:
        client.request_log(YESTERDAY)
        monkeypatch.setattr("http.client.HTTPConnection.send", interrupt)
        with pytest.raises(KeyboardInterrupt) as caught:
            client.request_log(YESTERDAY)
    assert "body=" in locals_of(caught.value)
    assert not shows(locals_of(caught.value))


def assert_kept_from_the_files(service: FakeService) -> None:
    for request in service.requests:
        told = f"{request.path} {request.headers} {request.body!r}"
        if request.host == "files":
            assert not shows(told)
            assert not {"authorization", "cookie", "referer"} & {name.lower() for name in request.headers}
        else:
            # In the body alone: paths and headers are what others write into their logs.
            assert not shows(f"{request.path} {request.headers}")
            assert json.loads(request.body)["request"]["auth"] == TOKEN


def test_a_part_of_another_file_does_not_show_it(service: FakeService) -> None:
    service.delivery.cuts = [1000]
    service.delivery.headers = {"Content-Range": f"{'x' * 70}{TOKEN}"}
    with (
        client_of(service, token=TOKEN) as client,
        client.open_log(YESTERDAY) as log,
        pytest.raises(trackparse.DownloadError, match="does not say which part") as caught,
    ):
        log.read_all()
    assert not any(shows(text) for text in texts_of(caught.value))


@pytest.mark.parametrize("at", [1, len(TOKEN) // 2])
def test_a_file_that_shows_it_in_two_pieces_is_an_error(at: int) -> None:
    answer = Raw(head() + TOKEN[:at].encode(), drip=TOKEN[at:].encode() + b"\n", every=0.3)
    with (
        RawServer({"file": [answer]}) as server,
        TrackingLogClient(TOKEN, base_url=server.url(""), allow_http=True, retries=0, timeout=5) as client,
        client.open_link(server.url("file")) as download,
        pytest.raises(trackparse.DownloadError, match="the file holds the token") as caught,
    ):
        trackparse.read_log(download)
    for text in (*texts_of(caught.value), locals_of(caught.value), as_rich_prints(caught.value)):
        assert not shows(text)


def test_a_run_without_faults_does_not_show_it(
    service: FakeService, logged: Callable[[], str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    service.ready_after = 2
    service.delivery.cuts = [100, 30_000]
    told: list[object] = []
    with client_of(service, token=TOKEN) as client:
        report = client.convert(YESTERDAY, tmp_path / "log.parquet", progress=told.append)
        client.download(YESTERDAY, tmp_path / "log.zip")
        shown = f"{client!r} {client} {vars(client)} {told} {report}"
    assert not shows(shown)
    assert not shows(logged())
    assert not shows("".join(capfd.readouterr()))
    assert TOKEN.encode() not in (tmp_path / "log.parquet").read_bytes()
    assert_kept_from_the_files(service)
    assert sum(request.host == "files" for request in service.requests) == 4


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_it_does_not_follow_a_redirect_to_another_host(service: FakeService, status: int) -> None:
    with FakeService(token=TOKEN) as other, client_of(service, token=TOKEN) as client:
        service.reply("getTrackingLog", Reply(status, headers={"Location": f"{other.url}/getTrackingLog"}))
        with pytest.raises(trackparse.ApiError, match="where the token is not sent"):
            client.request_log()
        # The same machine, another port: another origin.
        assert other.requests == []
        assert len(service.requests) == 1


def test_a_cookie_is_not_kept(service: FakeService) -> None:
    service.reply("getTrackingLog", Reply(503, headers={"Set-Cookie": "session=1; Path=/"}))
    with client_of(service, token=TOKEN) as client, client.open_log(YESTERDAY) as log:
        log.read_all()
    assert not any("cookie" in name.lower() for request in service.requests for name in request.headers)


def test_passwords_of_the_machine_are_not_sent(
    service: FakeService, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password word\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with client_of(service, token=TOKEN) as client, client.open_log(YESTERDAY) as log:
        log.read_all()
    assert_kept_from_the_files(service)
    assert not any("Authorization" in request.headers for request in service.requests)


@pytest.mark.parametrize("copier", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_client_is_not_copied(copier: Callable[[object], object]) -> None:
    client = TrackingLogClient(TOKEN)
    for secret in (client, client._token):
        with pytest.raises(TypeError, match="cannot be") as caught:
            copier(secret)
        assert not shows(str(caught.value))


@pytest.mark.parametrize("wrong", [f"{TOKEN}\n", f" {TOKEN}", f"{TOKEN}\x00", f"{TOKEN} {TOKEN}", TOKEN.encode()])
def test_a_token_that_is_none_is_not_shown_either(wrong: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="the token") as caught:
        TrackingLogClient(wrong)
    assert not shows("".join(traceback.format_exception(caught.value)))


def test_an_error_that_nobody_catches_does_not_print_it(service: FakeService) -> None:
    service.reply("getTrackingLog", echo(), echo(500), echo(500))
    code = (
        "import os; from trackparse.client import TrackingLogClient\n"
        "client = TrackingLogClient(os.environ['TOKEN'], base_url=os.environ['URL'], allow_http=True)\n"
        "client.request_log()\n"
    )
    environment = {**os.environ, "TOKEN": TOKEN, "URL": service.url}
    run = subprocess.run(
        [sys.executable, "-X", "dev", "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert "ApiError: getTrackingLog: status_code 210, bad argument ***" in run.stderr
    assert not shows(run.stderr + run.stdout)
