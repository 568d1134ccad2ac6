"""Asks the service for a log and reads it while it arrives.

It needs urllib3: ``pip install 'trackparse-pushwoosh[client]'``.

A request is sent by ``_ask``, again by ``_call`` if it failed, and again by ``_result`` as long as there is no log yet.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Generator, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Final, Unpack
from zipfile import is_zipfile

import orjson

from trackparse.atomic import atomic, name_errors_after
from trackparse.client.answers import OK, Answer, read_answer, refusal
from trackparse.client.calendar import GRACE, KEPT_DAYS, Day, date_of, days_before, days_between, kept_day
from trackparse.client.made import metadata_of
from trackparse.client.sync import DayFolder, OnReport, PlannedDay, Run
from trackparse.convert.conversion import ConversionReport, convert
from trackparse.convert.existing import options_digest
from trackparse.convert.outputs import check_is_parquet
from trackparse.convert.places import check_place, place_of
from trackparse.errors import ApiError, AuthError, DownloadError, NotReadyError, OptionError, TrackparseError, one_line
from trackparse.options import ConvertOptions, Destination, ReadOptions, convert_options, read_options, whole_number
from trackparse.progress import Progress, ProgressOption, Reporter, reporter, reporting
from trackparse.reader import LogReader, open_log
from trackparse.sources.download import PAUSES, RETRIES, TIMEOUT, Download, checked_retries
from trackparse.sources.http import (
    HIDDEN,
    Exchange,
    HiddenBytes,
    Http,
    Secret,
    check_url,
    is_http,
    origin,
    over_https,
    retry_after,
    url_problem,
)
from trackparse.sources.retry import Cancel, Clock, FailedAttempt, Pauses, RetryBudget, checked_seconds
from trackparse.sources.urls import name_of, redacted_url, scheme_of

if TYPE_CHECKING:
    import urllib3

BASE_URL: Final = "https://api.pushwoosh.com/json/1.3"
DEADLINE: Final = 900.0  # seconds
_ANSWER_MOST: Final = 1 << 20  # bytes of JSON
_COPY_SIZE: Final = 256 << 10  # bytes of a download that are written at once
_HTTP_ADVICE: Final = (
    "the service gave an http:// link, and https was tried for it: allow_http_download=True (--allow-http-download) "
    "takes the file, and never the token, over http"
)


class TrackingLogClient:
    """Gets tracking logs from the service: asks for a log, waits until it is made, reads it as it arrives.

    token: the API token. It is sent to ``base_url`` only, and nothing here shows it.
    base_url: where the service is.
    timeout: seconds that connecting may take, and each wait for bytes.
    retries: how many attempts may fail in a row before an error is raised, not counting the first one.
    allow_http: accept a ``base_url`` and links without encryption; for tests on the own machine.
    allow_http_download: take a link that the service gives as ``http://`` as it is; otherwise it is asked for by https.
        The token is never sent that way.
    pauses: how long to pause between attempts.
    pool: a ``urllib3.PoolManager`` whose settings are used, for a proxy or for certificates. Proxies named in the
        environment are not used.

    Threads may share a client. Close it, or use it as a context manager; logs that it opened stay open.

    ValueError or TypeError for a token, a URL or a number that cannot be used. Methods that talk to the service raise
    AuthError if it does not accept the token, ApiError if it refuses or cannot be reached, NotReadyError if their
    deadline is over before there is a log, CancelledError if ``cancel`` is set; those that download also DownloadError.

    Example::

        from datetime import date, timedelta

        yesterday = date.today() - timedelta(days=1)
        with TrackingLogClient(os.environ["TRACKPARSE_TOKEN"]) as client:
            client.convert(yesterday, f"{yesterday}.parquet", on_error="quarantine")
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
        pauses: Pauses = PAUSES,
        pool: urllib3.PoolManager | None = None,
    ) -> None:
        problem = _token_problem(token)
        secret = Secret(str(token))
        # A traceback shows local variables, too.
        del token
        if problem:
            raise problem
        self._token = secret
        check_url(base_url, "base_url", allow_http=allow_http)
        if "@" in base_url or "?" in base_url or "#" in base_url:
            raise ValueError("base_url has a user, a query or a fragment: expected only scheme, host and path")
        self._url = base_url.rstrip("/")
        self._retries = checked_retries(retries)
        self._pauses = pauses
        self._clock = Clock()
        self._allow_http_download = allow_http or allow_http_download
        self._http = Http(timeout=timeout, pool=pool, secret=self._token)

    def __repr__(self) -> str:
        # A traceback with local variables shows a client that could not be made, too: it has no URL yet.
        return f"TrackingLogClient('***', base_url={getattr(self, '_url', None)!r})"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a client holds a token and connections, so it cannot be pickled or copied: make a new one")

    # ---- what the caller sees ---------------------------------------------------------------------------

    def request_log(self, date: Day | None = None, *, deadline: float = DEADLINE, cancel: Cancel | None = None) -> str:
        """Ask the service to make the log of a day; the id of the request, for ``poll``.

        ``date`` is one of the last 14 days, as a ``datetime.date`` or ISO text; without one the service chooses.
        ``deadline`` is in seconds; ``cancel`` is a ``threading.Event``, say. ValueError if ``date`` is not such a day;
        ApiError or AuthError if the service refuses or cannot be reached; NotReadyError when the deadline is over, also
        in the middle of an answer.
        """
        return self._requested(date, self._budget(deadline, cancel))

    def poll(
        self,
        request_id: str,
        *,
        deadline: float = DEADLINE,
        progress: ProgressOption = None,
        cancel: Cancel | None = None,
    ) -> str:
        """Ask for the result, again and again with growing pauses, until the log is made; the link to it.

        NotReadyError when ``deadline`` seconds are over; with 0 the service is asked once. ``progress``, a function,
        is called with ``trackparse.Progress`` before each pause; True draws a bar. CancelledError when ``cancel``, a
        ``threading.Event`` say, is set.
        """
        with reporting(progress, request_id) as report:
            return self._result(request_id, self._budget(deadline, cancel), report)

    def open_link(self, link: str, *, stall: float = DEADLINE, cancel: Cancel | None = None) -> Download:
        """The file behind a link of ``poll``, as a source for ``trackparse.open_log`` and all else that reads a log.

        ``stall`` is how many seconds may go by without a byte of the file. An ``http://`` link is asked for by https,
        at the same host and path, unless the client has ``allow_http_download``. DownloadError if the file cannot be
        had.
        """
        check_url(link, "the link", allow_http=True)
        advice = ""
        if is_http(link) and not self._allow_http_download:
            link, advice = over_https(link), _HTTP_ADVICE
        budget = RetryBudget(self._pauses, self._retries, stall, self._clock, cancel, called="stall")
        return Download(self._http, link, budget, advice=advice)

    def open_log(
        self,
        date: Day | None = None,
        *,
        deadline: float = DEADLINE,
        cancel: Cancel | None = None,
        **options: Unpack[ReadOptions],
    ) -> LogReader:
        """Ask for the log of a day, wait for it, and open it while it arrives; a ``LogReader``. Nothing is stored.

        ``deadline`` is how many seconds the service may take to make the log, and how many may go by without a byte of
        the download. ``progress`` is told of waiting, before each pause, and of reading. Options as for
        ``trackparse.open_log``.
        """
        options = read_options(options)
        report = reporter(options["progress"], _name_of(date))
        try:
            options["progress"] = report
            return _opened(self._download(date, deadline, report, cancel), options)
        except BaseException:
            if report is not None:
                report.close()
            raise

    def convert(
        self,
        date: Day | None,
        dest: Destination,
        *,
        deadline: float = DEADLINE,
        cancel: Cancel | None = None,
        **options: Unpack[ConvertOptions],
    ) -> ConversionReport:
        """Write the log of a day as a Parquet file while it arrives; a ``ConversionReport``.

        ``deadline``, ``progress`` and ``cancel`` as for ``open_log``; ``dest`` and options as for
        ``trackparse.convert_log``. The metadata of the file say which day it holds (``trackparse.day``), and whether
        the day was over for 24 hours when the service was asked (``trackparse.final``).

        A file of ``rejects`` that is not as it was written with ``dest`` is kept, since a person may have changed it:
        the bad records go to a name beside it, ``day.rejects.new.jsonl``, and a warning of the logger ``trackparse``
        says so.
        """
        options = convert_options(options)
        check_is_parquet(dest)
        check_place(place_of(dest, options["filesystem"]))
        day = None if date is None else self._kept_day(date)
        metadata = metadata_of(self._source, day, self._clock.time(), GRACE, options_digest(options))
        with (
            reporting(options["progress"], _name_of(date)) as report,
            self._download(day, deadline, report, cancel) as download,
        ):
            options["progress"] = report
            return convert(download, dest, options, metadata, noted_rejects=set())

    def download(
        self,
        date: Day | None,
        dest: str | os.PathLike[str],
        *,
        deadline: float = DEADLINE,
        cancel: Cancel | None = None,
        progress: ProgressOption = None,
    ) -> Path:
        """Write the log of a day to ``dest`` as the service packed it; the path. The file appears when it is complete.

        ``progress`` is told of waiting and of downloading. The other parameters as for ``open_log``. DownloadError if
        what comes is not a whole ZIP. ``dest`` is on this machine: OptionError for a URL.
        """
        if scheme_of(dest):
            raise OptionError(f"{name_of(dest)}: a log is downloaded to this machine: name a path")
        path = Path(dest)
        check_place(place_of(path))
        with (
            reporting(progress, _name_of(date)) as report,
            self._download(date, deadline, report, cancel) as source,
            atomic(path) as temporary,
            name_errors_after(path),
            temporary.open("w+b") as file,
        ):
            _copy(source, file, report, self._clock)
        return path

    def open_logs(
        self,
        first: Day,
        last: Day,
        *,
        deadline: float = DEADLINE,
        cancel: Cancel | None = None,
        **options: Unpack[ReadOptions],
    ) -> Iterator[tuple[datetime.date, LogReader]]:
        """The logs of the days from ``first`` to ``last``, both included: pairs of a date and a ``LogReader``.

        Each is opened as by ``open_log``, and closed when the next one is asked for. The service is asked for all of
        them first, so that it makes one while another is read.
        """
        options = read_options(options)
        for day, source, report in self._downloads(first, last, deadline, options["progress"], cancel):
            options["progress"] = report
            with _opened(source, options) as log:
                yield day, log

    def convert_days(
        self,
        first: Day,
        last: Day,
        folder: str | os.PathLike[str],
        *,
        deadline: float = DEADLINE,
        cancel: Cancel | None = None,
        on_report: OnReport | None = None,
        **options: Unpack[ConvertOptions],
    ) -> dict[datetime.date, ConversionReport]:
        """Write the logs of the days from ``first`` to ``last``, both included, as ``FOLDER/DATE.parquet``.

        The report of each day. ``folder`` is a path, a URL, or a path in ``filesystem``; it is made if it is missing.
        Files that are there are replaced. The service is asked for all logs first, so that it makes one while another
        is read.

        A day that fails does not stop the others: its report has the ``error``. An AuthError or CancelledError is
        raised, since all other days would end with it; files that are complete stay.

        on_report: a function that is called with each day and its report when it is done.

        Options as for ``trackparse.convert_log``, without ``rejects``. With ``on_error="quarantine"`` the bad records
        of a day go to ``FOLDER/DATE.rejects.jsonl``; as for ``convert``, no changed file is replaced.

        Example::

            from datetime import date, timedelta

            yesterday = date.today() - timedelta(days=1)
            reports = client.convert_days(yesterday - timedelta(days=2), yesterday, "push/", on_error="quarantine")
            failed = {day: report.error for day, report in reports.items() if report.error}
        """
        options = _options_of_days(options)
        wanted = [PlannedDay(day, "asked for") for day in days_between(first, last, self._today())]
        target = DayFolder(folder, options)
        run = Run(_Days(self, deadline, cancel), target, None, options, GRACE, on_report)
        with target.prepared():
            return run.fetch(wanted)

    def sync(
        self,
        folder: str | os.PathLike[str],
        *,
        days: int = KEPT_DAYS,
        grace: float = GRACE,
        deadline: float = DEADLINE,
        cancel: Cancel | None = None,
        on_report: OnReport | None = None,
        **options: Unpack[ConvertOptions],
    ) -> dict[datetime.date, ConversionReport]:
        """Bring a folder up to date: fetch the days that are missing, or were fetched before they were complete.

        The report of each day that was fetched, or could not be; no days if there is nothing to do. What is there and
        complete is left alone, so this call may be repeated at any time, also after a run that was killed, or beside
        another one: no row is there twice.

        days: how many days to look at, up to yesterday in UTC: 1 to 14, since the service keeps no more.
        grace: seconds from the end of a day in UTC until its log is taken for complete. A day that was fetched earlier
            is fetched again, once when it is over and once when the grace is over. Default: 24 hours. The service does
            not say in which zone its days are; whichever it is, they end less than 12 hours after those in UTC.

        All else is as for ``convert_days``. The metadata of a file say which day it holds (``trackparse.day``), whether
        the grace was over (``trackparse.final``), and with which options it was made: with others, it is fetched again.
        ``FOLDER/_trackparse.json`` says when each day was fetched; where it is lost or damaged, only days that are not
        final are fetched again. A file of that name which does not say that it holds that day is not replaced: the
        report of the day has an error.

        Example::

            reports = client.sync("s3://lake/push/", on_error="quarantine")
            print([str(day) for day, report in reports.items() if report.error is None])
        """
        options = _options_of_days(options)
        target = DayFolder(folder, options)
        planned = self._planned(target, days, grace, options)
        run = Run(_Days(self, deadline, cancel), target, target.manifest, options, grace, on_report)
        with target.prepared() if planned else nullcontext():
            return run.fetch(planned)

    def days_to_sync(
        self,
        folder: str | os.PathLike[str],
        *,
        days: int = KEPT_DAYS,
        grace: float = GRACE,
        **options: Unpack[ConvertOptions],
    ) -> list[PlannedDay]:
        """What ``sync`` would do, with the same arguments. The service is not asked, and nothing is written.

        Example::

            for planned in client.days_to_sync("push/"):
                print(planned.day, planned.why or planned.error)
        """
        options = _options_of_days(options)
        return self._planned(DayFolder(folder, options), days, grace, options)

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

    @property
    def _source(self) -> str:
        """The source in the metadata of files. Not the link: that is another one each time."""
        return f"{self._url}/getTrackingLog"

    def _today(self) -> datetime.date:
        return date_of(self._clock.time())

    def _kept_day(self, date: Day) -> datetime.date:
        return kept_day(date, self._today())

    def _planned(self, folder: DayFolder, number: int, grace: float, options: ConvertOptions) -> list[PlannedDay]:
        if whole_number("days")("days", number) > KEPT_DAYS:
            raise OptionError(f"days={number!r}: expected 1 to {KEPT_DAYS}, since the service keeps no more")
        checked_seconds("grace", grace)
        return folder.plan(days_before(self._today(), number), options_digest(options), self._clock.time(), grace)

    def _download(self, date: Day | None, deadline: float, report: Reporter | None, cancel: Cancel | None) -> Download:
        budget = self._budget(deadline, cancel)
        link = self._result(self._requested(date, budget), budget, report)
        return self.open_link(link, stall=deadline, cancel=cancel)

    def _requested(self, date: Day | None, budget: RetryBudget) -> str:
        day = None if date is None else self._kept_day(date)
        fields = {} if day is None else {"date": day.isoformat()}
        answer, _ = self._call("getTrackingLog", fields, budget)
        if answer.status_code != OK:
            advice = f"the service keeps logs for {KEPT_DAYS} days" if day else ""
            raise refusal("getTrackingLog", answer, advice)
        if not answer.request_id:
            raise ApiError("getTrackingLog: the answer has no request_id", OK)
        return answer.request_id

    def _result(self, request_id: str, budget: RetryBudget, report: Reporter | None) -> str:
        start = self._clock.now()
        attempt = 0
        while True:
            answer, wait = self._call("getResults", {"request_id": request_id}, budget)
            if answer.status_code == OK and answer.link:
                return _checked_link(answer.link)
            if not answer.is_not_yet:
                raise refusal("getResults", answer)
            if budget.is_over:
                raise _not_ready("getResults", budget, f"status_code {answer.status_code}, {answer.message}")
            pause = budget.pause(attempt, wait)
            attempt += 1
            if report is not None:
                elapsed = self._clock.now() - start
                report(Progress("waiting", request_id, elapsed=elapsed, attempts=attempt, pause=pause))
            budget.wait(pause)

    def _downloads(
        self,
        first: Day,
        last: Day,
        deadline: float,
        progress: ProgressOption,
        cancel: Cancel | None,
    ) -> Generator[tuple[datetime.date, Download, Reporter | None]]:
        wanted = days_between(first, last, self._today())
        requests = [(day, self.request_log(day, deadline=deadline, cancel=cancel)) for day in wanted]
        for number, (day, request_id) in enumerate(requests, 1):
            with reporting(progress, _name_of(day), number, len(requests)) as report:
                link = self._result(request_id, self._budget(deadline, cancel), report)
                with self.open_link(link, stall=deadline, cancel=cancel) as source:
                    yield day, source, report

    def _call(self, method: str, fields: dict[str, str], budget: RetryBudget) -> tuple[Answer, float | None]:
        """Ask until the service answers: the answer, and the seconds that it asks to wait."""
        while True:
            budget.raise_if_cancelled()
            found = self._ask(method, fields, budget)
            if not isinstance(found, FailedAttempt):
                budget.succeeded()
                return found
            if not budget.wait_to_retry(found):
                raise _gave_up(method, found, budget)

    def _ask(
        self, method: str, fields: dict[str, str], budget: RetryBudget
    ) -> tuple[Answer, float | None] | FailedAttempt:
        """Ask once. A refusal that another attempt would meet again is raised."""
        url = f"{self._url}/{method}"
        body = HiddenBytes(orjson.dumps({"request": {"auth": self._token.reveal(), **fields}}))
        headers = {"Content-Type": "application/json"}
        exchange = self._http.follow("POST", url, budget, headers, body, refuse=_refuse_losing_token)
        if isinstance(exchange, FailedAttempt):
            return exchange
        status = exchange.status
        wait = retry_after(exchange.headers, self._clock.time())
        answer = self._answer(exchange)
        if exchange.is_transient:
            told = f": {answer.message}" if isinstance(answer, Answer) else ""
            return FailedAttempt(one_line(f"the service answered {status}{told}"), status, wait)
        if isinstance(answer, FailedAttempt):
            return answer
        if status >= 300:
            raise _status_error(method, status, answer)
        if isinstance(answer, str):
            return FailedAttempt(f"the answer is {answer}", status, wait)
        if answer.is_transient:
            text = f"status_code {answer.status_code}, {answer.message}"
            return FailedAttempt(one_line(text), answer.status_code, wait)
        return answer, wait

    def _answer(self, exchange: Exchange) -> Answer | str | FailedAttempt:
        """The answer, or what is wrong with it. Nothing is raised here: a traceback would show the text as it came."""
        body = exchange.body(_ANSWER_MOST)
        return body if isinstance(body, FailedAttempt) else read_answer(body, self._http.hide)


class _Days:
    """The client as ``sync`` uses it."""

    def __init__(
        self,
        client: TrackingLogClient,
        deadline: float,
        cancel: Cancel | None,
    ) -> None:
        self.source = client._source
        self.now = client._clock.time
        self._client = client
        self._deadline = deadline
        self._cancel = cancel
        self._is_down = False

    def ask(self, day: datetime.date) -> str:
        """Ask for the log of a day; the id of the request. If the service was down for the day before, ask once."""
        deadline = 0.0 if self._is_down else self._deadline
        try:
            request_id = self._client.request_log(day, deadline=deadline, cancel=self._cancel)
        except (ApiError, NotReadyError) as error:
            self._is_down = isinstance(error, NotReadyError) or _is_of_service_down(error.status_code)
            raise
        self._is_down = False
        return request_id

    def open(self, request_id: str, report: Reporter | None) -> Download:
        """Wait until the log is made, and open it. ``report`` is told of waiting."""
        link = self._client.poll(request_id, deadline=self._deadline, progress=report, cancel=self._cancel)
        return self._client.open_link(link, stall=self._deadline, cancel=self._cancel)


def _is_of_service_down(status_code: int | None) -> bool:
    """Whether a request failed because nobody answered, or because the service failed: not because of its day."""
    return status_code is None or status_code == 429 or status_code >= 500


def _options_of_days(given: ConvertOptions) -> ConvertOptions:
    options = convert_options(given)
    if options["rejects"] is not None:
        raise OptionError("rejects: not for several logs: each has a file of its own, beside its Parquet file")
    return options


def _gave_up(method: str, failed: FailedAttempt, budget: RetryBudget) -> TrackparseError:
    """The error of the last attempt. A service that is down, or answers so, is not one that needs more time."""
    if budget.is_over and not failed.final and not failed.unreachable and failed.status_code is None:
        return _not_ready(method, budget, failed.text)
    tried = f"; tried {budget.failures + 1} times" if budget.failures else ""
    advice = failed.advice or ("" if failed.final else "try again in a while")
    return ApiError(one_line(f"{method}: {failed.text}{tried}"), failed.status_code, advice=advice)


def _refuse_losing_token(status: int, url: str, target: str) -> str:
    """The token is sent to its own host only, and only by POST: a 303 turns it into a GET."""
    if status == 303 or origin(target) != origin(url):
        return f"it redirects to {redacted_url(target)}, where the token is not sent"
    return ""


def _not_ready(method: str, budget: RetryBudget, last: str) -> NotReadyError:
    return NotReadyError(
        one_line(f"{method}: not ready within {budget.seconds:.3g} s; the last answer: {last}"),
        advice="ask again later",
    )


def _status_error(method: str, status: int, answer: Answer | str) -> ApiError:
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
    """What is wrong with a token. Not raised here, where a traceback would show the token."""
    if not isinstance(token, str):
        return TypeError(f"the token is {type(token).__name__}: expected str")
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        return ValueError(
            "the token is empty, or has a blank, a line end or letters that are not ASCII: strip what it was read from"
        )
    return None


def _name_of(day: Day | None) -> str:
    return "the log" if day is None else str(day)


def _opened(source: Download, options: ReadOptions) -> LogReader:
    try:
        return open_log(source, **options)
    except BaseException:
        source.close()
        raise


def _copy(source: Download, file: IO[bytes], report: Reporter | None, clock: Clock) -> None:
    """Write all bytes of a download to the file; DownloadError if they are not a whole ZIP."""
    head = source.peek(4)
    if head[:2] != b"PK":
        raise DownloadError(f"{source.name}: the file is not a ZIP: it starts with {head!r}")
    start = clock.now()
    while data := source.read(_COPY_SIZE):
        file.write(data)
        if report is not None:
            elapsed = clock.now() - start
            report(Progress("downloading", source.name, 1, 1, source.bytes_read, source.size, elapsed))
    file.flush()
    if not (source.complete or is_zipfile(file)):
        raise DownloadError(
            f"{source.name}: the download ended early, at byte {source.bytes_read:,}", advice="ask again"
        )
