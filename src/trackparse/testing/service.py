"""A stand-in for the service, over real HTTP on this machine: for tests of pipelines, and for trying things out.

    python -m trackparse.testing --help

It makes up the logs, and fails as it is told to. It lacks the limits of the real service, and is for tests only.
"""

from __future__ import annotations

import argparse
import datetime
import io
import json
import shutil
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, get_args

from trackparse.client.calendar import KEPT_DAYS, date_of
from trackparse.errors import OptionError, suggestion
from trackparse.testing.sample import ROWS_OF_A_DAY_MOST, sample_rows, write_sample
from trackparse.testing.server import API, Delivery, Reply, Request, Server

TOKEN: Final = "test-token"  # noqa: S105 - it gives access to nothing

Endpoint = Literal["createMessage", "getTrackingLog", "getResults", "download"]


class FakeService:
    """A stand-in for the service, on two ports of 127.0.0.1: one for its API, one for its files. A context manager.

    token: the token that it accepts.
    logs: archives by ISO day, as bytes or paths. Other days get a made-up log.
    rows: records of a made-up log.
    ready_after: how many times ``getResults`` is answered with "not ready" before a log is ready.
    delay: seconds before a log is ready.
    port: port of the API; 0 takes a free one.
    tls: settings of the server for https; None for http.

    ``url`` is the ``base_url`` for a client. ``reply`` sets the answers to the next requests, ``delivery`` how files
    are sent; ``requests`` is the list of the requests that were received. OSError if the port is in use.

    Example::

        with FakeService(rows=1000) as service:
            with TrackingLogClient(TOKEN, base_url=service.url, allow_http=True) as client:
                client.convert(None, "log.parquet")
    """

    def __init__(
        self,
        *,
        token: str = TOKEN,
        logs: Mapping[str, bytes | Path] | None = None,
        rows: int = 1000,
        ready_after: int = 0,
        delay: float = 0.0,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.token = token
        self.ready_after = ready_after
        self.delay = delay
        self.delivery = Delivery()
        self.requests: list[Request] = []
        self.stopping = threading.Event()
        self.version = 1  # of the files
        self._logs: dict[str, bytes | Path] = dict(logs or {})
        self._rows = rows
        self._replies: dict[str, deque[Reply]] = {}
        self._results: dict[str, _Result] = {}
        self._lock = threading.Lock()
        self._api = Server(self, "api", port, tls)
        self._files = Server(self, "files", 0, tls)

    # ---- what tests see ---------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The ``base_url`` for a client."""
        return self._api.url + API.rstrip("/")

    def file_url(self, day: str) -> str:
        """The link to the log of a day, which needs no token."""
        return f"{self._files.url}/logs/tracking_log_{day}.zip?key=sesame"

    def reply(self, endpoint: Endpoint, *replies: Reply) -> None:
        """Set the answers to the next requests of one kind, one for each request, instead of the usual ones.

        ``endpoint`` is the kind: ``"createMessage"``, ``"getTrackingLog"``, ``"getResults"``, or ``"download"`` for
        the file of a log. ValueError for another kind: its answers would never be given.

        Example::

            service.reply("getResults", Reply(503), Reply(drop=True))
        """
        if endpoint not in get_args(Endpoint):
            raise OptionError(f"endpoint={endpoint!r}{suggestion(str(endpoint), get_args(Endpoint))}")
        with self._lock:
            self._replies.setdefault(endpoint, deque()).extend(replies)

    @property
    def spans(self) -> list[tuple[int, int]]:
        """Which bytes of files were sent, by request: pairs of the first byte and the one behind the last."""
        return [request.sent for request in self.requests if request.sent is not None]

    def log(self, day: str) -> bytes | Path:
        """The archive of a day, given as ISO text."""
        with self._lock:
            if day not in self._logs:
                file = io.BytesIO()
                write_sample(file, rows=self._rows, **self._made_up(datetime.date.fromisoformat(day)))
                self._logs[day] = file.getvalue()
            return self._logs[day]

    def start(self) -> FakeService:
        """Start to answer; the service itself."""
        self._api.begin()
        self._files.begin()
        return self

    def stop(self) -> None:
        """Break all connections and end all threads; twice does no harm."""
        self.stopping.set()
        self._api.end()
        self._files.end()

    def __enter__(self) -> FakeService:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # ---- what the service does --------------------------------------------------------------------------

    def next_reply(self, endpoint: str) -> Reply | None:
        """The reply that was set for this request; None if there is no such reply."""
        with self._lock:
            replies = self._replies.get(endpoint)
            return replies.popleft() if replies else None

    def answer(self, endpoint: str, body: bytes) -> Reply:
        """The usual answer of the API to a request with this body."""
        try:
            request = json.loads(body)["request"]
            known = request["auth"] == self.token
        except (ValueError, KeyError, TypeError):
            return Reply(400, {"status_code": 400, "status_message": "Bad request", "response": None})
        if not known:
            return Reply.refusal(210, "Invalid API access token")
        if endpoint == "createMessage":
            return self._create_message(request)
        return self._start_log(request) if endpoint == "getTrackingLog" else self._result(request)

    def _create_message(self, request: dict[str, Any]) -> Reply:
        messages = request.get("notifications", [])
        if not messages or not all(message.get("devices") for message in messages):
            return Reply.refusal(210, "notifications must have devices")
        # Codes that are in the log of the day.
        seen = dict.fromkeys(row[1] for row in sample_rows(self._rows, **self._made_up(date_of(time.time()))))
        codes = [code for code, _ in zip(seen, messages, strict=False)]
        return _ok({"Messages": ["CODE_NOT_AVAILABLE"] * len(messages), "TrackingCodes": codes})

    def _start_log(self, request: dict[str, Any]) -> Reply:
        day = request.get("date", (date_of(time.time()) - datetime.timedelta(days=1)).isoformat())
        try:
            age = (date_of(time.time()) - datetime.date.fromisoformat(day)).days
        except (TypeError, ValueError):
            return Reply.refusal(210, "date is not valid")
        if day not in self._logs and not -1 <= age <= KEPT_DAYS + 1:
            return Reply.refusal(210, f"Logs are kept for {KEPT_DAYS} days")
        with self._lock:
            request_id = f"{len(self._results) + 1:032x}"
            self._results[request_id] = _Result(day, time.monotonic() + self.delay, self.ready_after)
        return _ok({"request_id": request_id})

    def _result(self, request: dict[str, Any]) -> Reply:
        with self._lock:
            result = self._results.get(request.get("request_id", ""))
            if result is None:
                return Reply.refusal(210, "request_id is unknown")
            if result.left > 0 or time.monotonic() < result.ready_at:
                result.left -= 1
                return Reply.refusal(420, "The result is not ready yet")
        return _ok({"fileName": self.file_url(result.day)})

    def _made_up(self, day: datetime.date) -> dict[str, Any]:
        """The log of a day: its rows are of that day, unless they are too many for one."""
        return {"date": day} if self._rows <= ROWS_OF_A_DAY_MOST else {"seed": day.toordinal()}


@dataclass(slots=True)
class _Result:
    day: str
    ready_at: float
    left: int  # how many times it is still answered with "not ready"


def _ok(response: dict[str, Any]) -> Reply:
    return Reply(body={"status_code": 200, "status_message": "OK", "response": response})


# ---- from the shell ---------------------------------------------------------------------------------------

_COMMAND = "TRACKPARSE_TOKEN={token} trackparse fetch --base-url {url} --allow-http"
_EXAMPLE = """\
from trackparse.client import TrackingLogClient

with TrackingLogClient("{token}", base_url="{url}", allow_http=True) as client:
    print(client.convert(None, "log.parquet"))
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the stand-in until it is interrupted: what ``python -m trackparse.testing`` does."""
    parser = _parser()
    args = parser.parse_args(arguments)
    if args.log is not None and not args.log.is_file():
        parser.error(f"--log: {args.log} is not a file")
    logs = {day.isoformat(): args.log for day in _days()} if args.log else {}
    try:
        service = FakeService(
            token=args.token, logs=logs, rows=args.rows, ready_after=args.ready_after, delay=args.delay, port=args.port
        )
    except OSError as error:
        parser.error(f"--port: {error.strerror}")
    service.delivery = Delivery(
        cuts=list(args.cut),
        reset=args.reset,
        changes=args.change,
        ranges=not args.no_ranges,
        chunked=args.chunked,
        rate=args.rate,
        piece=args.piece,
    )
    for endpoint in ("getTrackingLog", "getResults", "download"):
        service.reply(endpoint, *args.fail)
    with service:
        examples = [text.format(token=args.token, url=service.url) for text in (_COMMAND, _EXAMPLE)]
        print(service.url, f"token: {args.token}", *examples, sep="\n\n", flush=True)
        _wait()


def _wait() -> None:
    with suppress(KeyboardInterrupt):
        threading.Event().wait()


def _days() -> Iterable[datetime.date]:
    return (date_of(time.time()) - datetime.timedelta(days=age) for age in range(-1, KEPT_DAYS + 2))


def _parser() -> argparse.ArgumentParser:
    width = min(100, shutil.get_terminal_size().columns)
    parser = argparse.ArgumentParser(
        prog="python -m trackparse.testing",
        description="A stand-in for the service on 127.0.0.1. Prints its URL first; answers until interrupted.",
        formatter_class=lambda prog: argparse.ArgumentDefaultsHelpFormatter(prog, width=width),
    )
    add: Callable[..., Any] = parser.add_argument
    add("--port", type=int, default=0, metavar="N", help="port of the API; 0 takes a free one")
    add("--token", default=TOKEN, help="the token that is accepted")
    add("--rows", type=int, default=1000, metavar="N", help="records of a made-up log")
    add("--log", type=Path, metavar="FILE", help="an archive to serve for every day, instead of made-up ones")
    add("--delay", type=float, default=0.0, metavar="SECONDS", help="how long it takes to make a log")
    add("--ready-after", type=int, default=0, metavar="N", help="how often getResults says not ready")
    add(
        "--fail",
        type=_reply,
        action="append",
        default=[],
        metavar="STATUS[:RETRY-AFTER]",
        help="an HTTP status that each kind of request gets first; again for more; 'drop' breaks the connection",
    )
    add("--cut", type=int, action="append", default=[], metavar="BYTE", help="break a download there; again for more")
    add("--reset", action="store_true", help="reset connections when they break")
    add("--change", action="store_true", help="the file is another one after each break")
    add("--no-ranges", action="store_true", help="send whole files only")
    add("--chunked", action="store_true", help="do not say how long files are")
    add("--rate", type=float, metavar="BYTES", help="bytes of a file a second")
    add("--piece", type=int, default=256 << 10, metavar="BYTES", help="bytes of a file sent at once")
    return parser


def _reply(text: str) -> Reply:
    if text == "drop":
        return Reply(drop=True)
    status, _, seconds = text.partition(":")
    if not (status.isdigit() and 100 <= int(status) <= 599):
        raise argparse.ArgumentTypeError(f"{text!r}: expected an HTTP status or 'drop'")
    return Reply(int(status), b"{}", {"Retry-After": seconds} if seconds else {})
