"""Asks the service for a log and reads it while it arrives. Needs urllib3: ``pip install 'trackparse[client]'``."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Final, Unpack
from zipfile import is_zipfile

import orjson

from trackparse.atomic import atomic, check_place, name_errors_after
from trackparse.client.answers import OK, Answer, read_answer, refusal
from trackparse.client.calendar import KEPT_DAYS, Day, days, kept_day
from trackparse.convert.conversion import ConversionReport, convert_log
from trackparse.errors import ApiError, AuthError, DownloadError, NotReadyError, TrackparseError, one_line
from trackparse.options import ConvertOptions, ReadOptions, convert_options, read_options
from trackparse.reader import LogReader, open_log
from trackparse.sources.download import Download
from trackparse.sources.http import (
    HIDDEN,
    REDIRECTS,
    TRANSIENT,
    Exchange,
    HiddenBytes,
    Http,
    Secret,
    check_url,
    is_http,
    origin,
    over_https,
    retry_after,
    shown,
    url_problem,
)
from trackparse.sources.retry import Cancel, Clock, Fault, Pauses, RetryBudget

if TYPE_CHECKING:
    import urllib3

BASE_URL: Final = "https://api.pushwoosh.com/json/1.3"
DEADLINE: Final = 900.0  # seconds
TIMEOUT: Final = 30.0  # seconds
RETRIES: Final = 5
_ANSWER: Final = 1 << 20  # bytes of JSON
_COPIED: Final = 256 << 10  # bytes of a download written at once
_PAUSES: Final = Pauses()
_HTTP_ADVICE: Final = (
    "the service gave an http:// link, and https was tried for it: allow_http_download=True (--allow-http-download) "
    "takes the file, and never the token, over http"
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """What ``progress`` of ``poll`` is called with, before each pause."""

    request_id: str
    attempts: int  # so far
    elapsed: float  # seconds since the first
    pause: float  # seconds until the next


class TrackingLogClient:
    """Gets tracking logs from the service: asks for one, waits until it is made, reads it as it arrives.

    ``token`` is the API token. It is sent to ``base_url`` only and shown by nothing here. ``timeout`` (seconds) bounds
    connecting and each wait for bytes. ``retries`` is how often an attempt that failed is made again, in a row, with
    ``pauses`` between. ``allow_http`` is for tests on the own machine. A link that the service gives as ``http://`` is
    asked for by https; ``allow_http_download`` takes it as it is, and does not touch the token's way. ``pool`` is a
    ``urllib3.PoolManager`` whose settings are taken: for a proxy (those of the environment are not looked at), or for
    certificates.

    Threads may share a client. Close it, or use it as a context manager; logs that it opened live on.
    """

    def __init__(
        self,
        token: str,
        *,
        base_url: str = BASE_URL,
        timeout: float = TIMEOUT,
        retries: int = RETRIES,
        allow_http: bool = False,
        allow_http_download: bool = False,
        pauses: Pauses = _PAUSES,
        pool: urllib3.PoolManager | None = None,
    ) -> None:
        problem = _token_problem(token)
        secret = Secret(str(token))
        # A traceback with local variables would show it.
        del token
        if problem:
            raise problem
        self._token = secret
        check_url(base_url, "base_url", allow_http=allow_http)
        if "@" in base_url or "?" in base_url or "#" in base_url:
            raise ValueError("base_url holds a user, a query or a fragment: scheme, host and path are wanted")
        self._url = base_url.rstrip("/")
        self._retries = _checked_retries(retries)
        self._pauses = pauses
        self._clock = Clock()
        self._allow_http = allow_http
        self._allow_http_download = allow_http or allow_http_download
        self._http = Http(timeout=timeout, pool=pool, secret=self._token)

    def __repr__(self) -> str:
        return f"TrackingLogClient('***', base_url={self._url!r})"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a client holds a token and connections: it is not to be pickled or copied; make a new one")

    # ---- what the caller sees ---------------------------------------------------------------------------

    def request_log(self, date: Day | None = None, *, deadline: float = DEADLINE, cancel: Cancel | None = None) -> str:
        """Ask for the log of a day, or for the one that the service gives without; the id of the request.

        ``date`` is a ``datetime.date`` or ISO text, one of the last 14 days. ValueError if it is none; ApiError or
        AuthError if the service refuses; NotReadyError when ``deadline`` (seconds) is over, also in the middle of an
        answer.
        """
        return self._requested(date, self._budget(deadline, cancel))

    def poll(
        self,
        request_id: str,
        *,
        deadline: float = DEADLINE,
        progress: Callable[[Waiting], object] | None = None,
        cancel: Cancel | None = None,
    ) -> str:
        """Ask for the result, again and again with growing pauses, until it is there; the link to the log.

        NotReadyError when ``deadline`` (seconds) is over; with 0 it is asked once. ``progress`` is called before each
        pause. CancelledError once ``cancel``, a ``threading.Event`` say, is set.
        """
        return self._result(request_id, self._budget(deadline, cancel), progress)

    def open_link(self, link: str, *, stall: float = DEADLINE, cancel: Cancel | None = None) -> Download:
        """The file behind a link of ``poll``, as a source for ``trackparse.open_log`` and its kin; as ``open_url``.

        An ``http://`` link is asked for by https, at the same host and path, unless the client may take it as it is.
        """
        check_url(link, "the link", allow_http=True)
        advice = ""
        if is_http(link) and not self._allow_http_download:
            link, advice = over_https(link), _HTTP_ADVICE
        budget = RetryBudget(self._pauses, self._retries, stall, self._clock, cancel)
        return Download(self._http, link, budget, advice=advice)

    def open_log(
        self,
        date: Day | None = None,
        *,
        deadline: float = DEADLINE,
        waiting: Callable[[Waiting], object] | None = None,
        cancel: Cancel | None = None,
        **options: Unpack[ReadOptions],
    ) -> LogReader:
        """Ask for the log of a day, wait for it, and open it while it arrives; nothing is stored.

        ``deadline`` (seconds) is how long the service may take to make it, and how long the download may stand still.
        ``waiting`` is ``progress`` of ``poll``; options as for ``trackparse.open_log``.
        """
        read_options(options)
        return _opened(self._download(date, deadline, waiting, cancel), options)

    def convert(
        self,
        date: Day | None,
        dest: str | os.PathLike[str],
        *,
        deadline: float = DEADLINE,
        waiting: Callable[[Waiting], object] | None = None,
        cancel: Cancel | None = None,
        **options: Unpack[ConvertOptions],
    ) -> ConversionReport:
        """Write the log of a day as a Parquet file while it arrives. Options as for ``trackparse.convert_log``."""
        convert_options(options)
        check_place(Path(dest))
        with closing(self._download(date, deadline, waiting, cancel)) as source:
            return convert_log(source, dest, **options)

    def download(
        self,
        date: Day | None,
        dest: str | os.PathLike[str],
        *,
        deadline: float = DEADLINE,
        waiting: Callable[[Waiting], object] | None = None,
        cancel: Cancel | None = None,
        progress: Callable[[int, int | None], object] | None = None,
    ) -> Path:
        """Write the log of a day to ``dest`` as the service packed it; the file appears when it is complete.

        ``progress`` is called with the bytes so far and those in all, None where nobody knows.
        """
        path = Path(dest)
        check_place(path)
        with (
            closing(self._download(date, deadline, waiting, cancel)) as source,
            atomic(path) as temporary,
            name_errors_after(path),
            temporary.open("w+b") as file,
        ):
            _copy(source, file, progress)
        return path

    def open_logs(
        self,
        first: Day,
        last: Day,
        *,
        deadline: float = DEADLINE,
        waiting: Callable[[Waiting], object] | None = None,
        cancel: Cancel | None = None,
        **options: Unpack[ReadOptions],
    ) -> Iterator[tuple[datetime.date, LogReader]]:
        """The logs of several days, both ends included, each as ``open_log`` opens it; the next day closes it.

        All are asked for at first, so that the service makes one while another is read.
        """
        read_options(options)
        for day, source in self._downloads(first, last, deadline, waiting, cancel):
            with _opened(source, options) as log:
                yield day, log

    def convert_days(
        self,
        first: Day,
        last: Day,
        folder: str | os.PathLike[str],
        *,
        deadline: float = DEADLINE,
        waiting: Callable[[Waiting], object] | None = None,
        cancel: Cancel | None = None,
        **options: Unpack[ConvertOptions],
    ) -> Iterator[tuple[datetime.date, ConversionReport]]:
        """Write the logs of several days, both ends included, as ``FOLDER/2021-04-20.parquet`` and so on.

        A day is written when it is asked for. Options as for ``trackparse.convert_log``, but no ``rejects``.
        """
        convert_options(options)
        if options.get("rejects") is not None:
            raise ValueError("rejects names one file, and each day needs its own: convert the days one by one")
        check_place(Path(folder) / "day.parquet")
        for day, source in self._downloads(first, last, deadline, waiting, cancel):
            yield day, convert_log(source, Path(folder) / f"{day}.parquet", **options)

    def close(self) -> None:
        """Close idle connections."""
        self._http.close()

    def __enter__(self) -> TrackingLogClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # ---- what happens inside ----------------------------------------------------------------------------

    def _budget(self, deadline: float, cancel: Cancel | None) -> RetryBudget:
        return RetryBudget(self._pauses, self._retries, deadline, self._clock, cancel)

    def _download(
        self, date: Day | None, deadline: float, waiting: Callable[[Waiting], object] | None, cancel: Cancel | None
    ) -> Download:
        budget = self._budget(deadline, cancel)
        link = self._result(self._requested(date, budget), budget, waiting)
        return self.open_link(link, stall=deadline, cancel=cancel)

    def _requested(self, date: Day | None, budget: RetryBudget) -> str:
        day = None if date is None else kept_day(date)
        fields = {} if day is None else {"date": day.isoformat()}
        answer, _ = self._call("getTrackingLog", fields, budget)
        if answer.status_code != OK:
            advice = f"the service keeps logs for {KEPT_DAYS} days" if day else ""
            raise refusal("getTrackingLog", answer, advice)
        if not answer.request_id:
            raise ApiError("getTrackingLog: the answer has no request_id", OK)
        return answer.request_id

    def _result(self, request_id: str, budget: RetryBudget, progress: Callable[[Waiting], object] | None) -> str:
        start = self._clock.now()
        attempt = 0
        while True:
            answer, wait = self._call("getResults", {"request_id": request_id}, budget)
            if answer.status_code == OK and answer.link:
                return _checked_link(answer.link)
            if not answer.is_not_yet:
                raise refusal("getResults", answer)
            if budget.over:
                raise _not_ready("getResults", budget, f"status_code {answer.status_code}, {answer.message}")
            pause = budget.pause(attempt, wait)
            attempt += 1
            if progress is not None:
                progress(Waiting(request_id, attempt, self._clock.now() - start, pause))
            budget.wait(pause)

    def _downloads(
        self,
        first: Day,
        last: Day,
        deadline: float,
        waiting: Callable[[Waiting], object] | None,
        cancel: Cancel | None,
    ) -> Generator[tuple[datetime.date, Download]]:
        wanted = days(first, last)
        requests = [(day, self.request_log(day, deadline=deadline, cancel=cancel)) for day in wanted]
        for day, request_id in requests:
            link = self.poll(request_id, deadline=deadline, progress=waiting, cancel=cancel)
            with closing(self.open_link(link, stall=deadline, cancel=cancel)) as source:
                yield day, source

    def _call(self, method: str, fields: dict[str, str], budget: RetryBudget) -> tuple[Answer, float | None]:
        """Ask until there is an answer to judge: the answer, and the seconds that the service asks to wait."""
        while True:
            budget.check()
            found = self._ask(method, fields, budget)
            if not isinstance(found, Fault):
                budget.succeeded()
                return found
            if not budget.after(found):
                raise _gave_up(method, found, budget)

    def _ask(self, method: str, fields: dict[str, str], budget: RetryBudget) -> tuple[Answer, float | None] | Fault:
        """Ask once. What cannot get better by asking again is raised."""
        exchange = self._post(f"{self._url}/{method}", fields, budget)
        if isinstance(exchange, Fault):
            return exchange
        status = exchange.status
        wait = retry_after(exchange.headers, self._clock.time())
        answer = self._answer(exchange)
        if status in TRANSIENT or status >= 500:
            told = f": {answer.message}" if isinstance(answer, Answer) else ""
            return Fault(one_line(f"the service answered {status}{told}"), status, wait)
        if isinstance(answer, Fault):
            return answer
        if status >= 300:
            raise _refused(method, status, answer)
        if isinstance(answer, str):
            return Fault(f"the answer is {answer}", status, wait)
        if answer.is_transient:
            text = f"status_code {answer.status_code}, {answer.message}"
            return Fault(one_line(text), answer.status_code, wait)
        return answer, wait

    def _answer(self, exchange: Exchange) -> Answer | str | Fault:
        """What was answered. Nothing is raised here, where the text as it came can be seen."""
        body = exchange.body(_ANSWER)
        return body if isinstance(body, Fault) else read_answer(body, self._http.hide)

    def _post(self, url: str, fields: dict[str, str], budget: RetryBudget) -> Exchange | Fault:
        """Send a request; follow redirects on the same host only, for it holds the token."""
        first = origin(url)
        for _ in range(REDIRECTS + 1):
            body = HiddenBytes(orjson.dumps({"request": {"auth": self._token.reveal(), **fields}}))
            exchange = self._http.send("POST", url, budget, {"Content-Type": "application/json"}, body)
            if isinstance(exchange, Fault):
                return exchange
            target = exchange.redirect()
            if target is None:
                return exchange
            exchange.close()
            if problem := url_problem(target, "the redirect", allow_http=True):
                return Fault(one_line(problem), exchange.status, final=True)
            if exchange.status == 303 or origin(target) != first:
                text = f"it redirects to {shown(target)}, where the token is not sent"
                return Fault(one_line(text), exchange.status, final=True)
            url = target
        return Fault(f"more than {REDIRECTS} redirects", final=True)


def open_url(
    url: str,
    *,
    timeout: float = TIMEOUT,
    retries: int = RETRIES,
    stall: float = DEADLINE,
    allow_http: bool = False,
    pauses: Pauses = _PAUSES,
    pool: urllib3.PoolManager | None = None,
    cancel: Cancel | None = None,
) -> Download:
    """A file over HTTP as a source for ``open_log``, ``read_log`` and ``convert_log``, which close it.

    A download that breaks goes on where it stopped. ``stall`` (seconds) is how long no byte of it may come, with all
    ``retries``, whatever else the server sends. DownloadError if it cannot be had; ValueError if the URL is none, or
    not https.
    """
    check_url(url, "the URL", allow_http=allow_http)
    retries = _checked_retries(retries)
    budget = RetryBudget(pauses, retries, stall, Clock(), cancel)
    return Download(Http(timeout=timeout, pool=pool, secret=None), url, budget, owned=True)


def _gave_up(method: str, fault: Fault, budget: RetryBudget) -> TrackparseError:
    tried = f"; tried {budget.failures + 1} times" if budget.failures else ""
    if budget.over and not fault.final:
        return _not_ready(method, budget, fault.text)
    return ApiError(one_line(f"{method}: {fault.text}{tried}"), fault.status_code, advice=fault.advice)


def _not_ready(method: str, budget: RetryBudget, last: str) -> NotReadyError:
    return NotReadyError(
        one_line(f"{method}: not ready within {budget.seconds:.3g} s; the last answer: {last}"),
        advice="ask again later",
    )


def _refused(method: str, status: int, answer: Answer | str) -> ApiError:
    """The error of an HTTP status that another attempt would meet again."""
    told = answer if isinstance(answer, str) else answer.message
    if status in (401, 403) or (isinstance(answer, Answer) and answer.is_refusal_of_token):
        return AuthError(one_line(f"{method}: the token is not accepted: HTTP {status}, {told}"), status)
    return ApiError(one_line(f"{method}: HTTP {status}, {told}"), status)


def _checked_link(link: str) -> str:
    if HIDDEN in link:
        raise ApiError(one_line(f"getResults: the link of the service holds the token: {link}"), OK)
    if problem := url_problem(link, "the link of the service", allow_http=True):
        raise ApiError(one_line(f"getResults: {problem}"), OK)
    return link


def _token_problem(token: object) -> Exception | None:
    """Why it is no token. Not raised here, where it can be seen."""
    if not isinstance(token, str):
        return TypeError(f"the token is text, not {type(token).__name__}")
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        return ValueError(
            "the token is empty, or holds a blank, a line end or odd letters: strip what it was read from"
        )
    return None


def _checked_retries(retries: int) -> int:
    if retries < 0:
        raise ValueError(f"retries={retries}: zero or more")
    return retries


def _opened(source: Download, options: ReadOptions) -> LogReader:
    try:
        return open_log(source, **options)
    except BaseException:
        source.close()
        raise


def _copy(source: Download, file: IO[bytes], progress: Callable[[int, int | None], object] | None) -> None:
    """All bytes of a download; DownloadError if they are no whole ZIP."""
    head = source.peek(4)
    if head[:2] != b"PK":
        raise DownloadError(f"{source.name}: the link gives no ZIP but what starts with {head!r}")
    while data := source.read(_COPIED):
        file.write(data)
        if progress is not None:
            progress(source.bytes_read, source.size)
    file.flush()
    if not (source.complete or is_zipfile(file)):
        raise DownloadError(
            f"{source.name}: the download ended early, at byte {source.bytes_read:,}", advice="ask again"
        )
