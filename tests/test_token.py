"""The token shows nowhere, and goes to one host only, whatever happens."""

from __future__ import annotations

import copy
import datetime
import io
import json
import logging
import os
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
from service_common import QUICK, client_of, sample

import trackparse
from trackparse.client import TrackingLogClient
from trackparse.testing import FakeService, Reply

TOKEN = "tOkEn/9f8e7d6c5b4a+3z="
PIECES = [TOKEN[start : start + 8] for start in range(len(TOKEN) - 7)]
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
    return any(piece in unquote(text).replace("\\", "") for piece in PIECES)


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


def texts_of(error: BaseException) -> Iterator[str]:
    """Everything that somebody may print of an error, and of those it came from."""
    seen: list[BaseException] = []
    queue: list[BaseException | None] = [error]
    while queue:
        one = queue.pop()
        if one is None or one in seen:
            continue
        seen.append(one)
        queue += [one.__cause__, one.__context__]
        yield from (str(one), repr(one), repr(one.args), repr(vars(one)))
        with suppress(Exception):
            yield repr(pickle.dumps(one))
        yield "".join(traceback.format_exception(one))


def locals_of(error: BaseException) -> str:
    """The local variables of the library, and of what it called, as some reporters of errors print them."""
    frames = traceback.TracebackException.from_exception(error, capture_locals=True).stack
    return "".join(
        f"{name}={value}\n"
        for frame in frames
        if "tests" not in Path(frame.filename).parts
        for name, value in (frame.locals or {}).items()
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


@pytest.mark.parametrize(
    ("endpoint", "replies"),
    [
        ("getTrackingLog", [Reply.refusal(403, "no")]),
        ("getTrackingLog", [Reply(503)] * 3),
        ("getTrackingLog", [Reply(drop=True)] * 3),
        ("getResults", [Reply(200, b"<html>")] * 3),
        ("download", [Reply(403)]),
    ],
)
def test_no_traceback_with_local_variables_shows_it(
    service: FakeService, endpoint: Any, replies: list[Reply]
) -> None:
    service.reply(endpoint, *replies)
    with client_of(service, token=TOKEN, retries=2) as client, pytest.raises(trackparse.TrackparseError) as caught:
        client.open_log(YESTERDAY)
    assert "TrackingLogClient('***'" in locals_of(caught.value)
    assert not shows(locals_of(caught.value))


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
        pytest.raises(trackparse.DownloadError, match="but not which") as caught,
    ):
        log.read_all()
    assert not any(shows(text) for text in texts_of(caught.value))


def test_a_run_without_faults_does_not_show_it(
    service: FakeService, logged: Callable[[], str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    service.ready_after = 2
    service.delivery.cuts = [100, 30_000]
    told: list[object] = []
    with client_of(service, token=TOKEN) as client:
        report = client.convert(YESTERDAY, tmp_path / "log.parquet", waiting=told.append)
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
        with pytest.raises(TypeError, match="not to be") as caught:
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
