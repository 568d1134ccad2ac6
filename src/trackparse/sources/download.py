"""A file over HTTP as a source. A download whose connection breaks goes on from its byte, while a reader reads it.

Nothing is read twice and nothing is missed: if it is not certain that the rest belongs to the same file, that is an
error.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from trackparse.errors import DownloadError, one_line
from trackparse.sources.http import Exchange, Http, check_url, content_encoding, is_http, retry_after
from trackparse.sources.retry import Cancel, Clock, FailedAttempt, Pauses, RetryBudget
from trackparse.sources.source import Buffer, Source
from trackparse.sources.urls import redacted_url

if TYPE_CHECKING:
    import urllib3

STALL: Final = 900.0  # seconds
TIMEOUT: Final = 30.0  # seconds
RETRIES: Final = 5
PAUSES: Final = Pauses()

# Bytes of one read. Larger buffers are new memory each time: 1,041 page faults in 24 MB at 1 MiB, one at this size.
_READ_MOST: Final = 256 << 10
_CONTENT_RANGE: Final = re.compile(r"bytes\s+(\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII | re.IGNORECASE)
_GOOD_ANSWER: Final = 64 << 10  # bytes of an answer after which the next attempt needs no pause
_START: Final = 64 << 10  # bytes of the start of a file, from which errors may quote: it must not hold the token
_TOKEN_MOST: Final = 2 << 10  # bytes that the token may take there, however it is escaped
_UNSATISFIED: Final = re.compile(r"bytes\s+\*/(\d{1,18})", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Identity:
    """What tells one version of a file from another."""

    etag: str | None
    modified: str | None

    @classmethod
    def of(cls, headers: Mapping[str, str]) -> _Identity:
        return cls(headers.get("ETag"), headers.get("Last-Modified"))

    @property
    def condition(self) -> dict[str, str]:
        """The If-Range header, if there is something to send in it; a weak ETag must not be sent."""
        if self.etag and not self.etag.startswith("W/"):
            return {"If-Range": self.etag}
        return {"If-Range": self.modified} if self.modified else {}

    def differs(self, other: _Identity) -> bool:
        """Whether anything known on both sides differs."""
        return any(one != two for one, two in self._pairs(other))

    def is_same(self, other: _Identity) -> bool:
        """Whether something is known on both sides, and nothing differs."""
        return bool(self._pairs(other)) and not self.differs(other)

    def _pairs(self, other: _Identity) -> list[tuple[str, str]]:
        pairs = ((self.etag, other.etag), (self.modified, other.modified))
        return [(one, two) for one, two in pairs if one and two]


class Download(Source):
    """The body of a GET as a source. If the connection breaks, it asks again, from the byte where it stopped.

    The first request is sent at once; the connection is closed at the end of ``with``, or by the reader of the log.
    DownloadError if the server refuses, the file changes while it is downloaded, the server does not send parts of
    files, or ``budget`` is used up. CancelledError if the caller cancels.
    """

    def __init__(self, http: Http, url: str, budget: RetryBudget, *, owned: bool = False, advice: str = "") -> None:
        """Send the first request.

        ``owned``: ``http`` is closed with this source. ``advice`` is that of errors before the first byte.
        """
        name = unquote(PurePosixPath(urlsplit(url).path).name)
        super().__init__(http.clean(name) or redacted_url(url), None)
        self._http = http
        self._url = url
        self._pid = os.getpid()
        self._owned = owned
        self._advice = advice
        self._budget = budget
        self._stopped = budget.stopped
        self._identity = _Identity(None, None)
        self._exchange: Exchange | None = None
        self._received = 0
        self._answer_start = 0  # byte of the file with which the current answer begins
        self._answer_end: int | None = None  # byte of the file behind that answer; None if the answer does not say
        self._is_chunked = False  # the current answer says itself where it ends
        self._tiny = 0  # answers in a row that were tiny parts of the file
        self._ended = False
        self._is_closed = False
        self._last = ""  # of the start of the file, what came last
        self.complete = False  # whether this was the end of the file, as far as HTTP can tell
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def interrupt(self) -> None:
        self._stopped.set()
        exchange = self._exchange
        if exchange is not None:
            exchange.interrupt()

    def close(self) -> None:
        self._stopped.set()
        self._ended = self._is_closed = True
        self._drop()
        if self._owned:
            self._http.close()

    def _take(self, n: int) -> Buffer:
        if self._is_closed:
            raise ValueError(f"{self.name}: the download is closed: open it again for each reading")
        if self._pid != os.getpid():
            # Two processes would take bytes from one connection.
            raise RuntimeError(f"{self.name}: the download was opened before a fork: open it again in the child")
        while not self._ended:
            self._budget.raise_if_cancelled()
            data = self._receive(n if self._received else max(n, _START))
            if isinstance(data, FailedAttempt):
                self._drop()
                self._resume(data)
            elif data:
                if self._received < _START and self._http.shows(self._with_last(data)):
                    # A traceback shows local variables, too.
                    del data
                    raise self._error("the file holds the token, and is not a log")
                self._received += len(data)
                if self._answer_end is not None and self._received > self._answer_end:
                    raise self._error(f"the server said it would send up to byte {self._answer_end:,}, and sent more")
                self._budget.succeeded()
                return self._at_most(data, n)
            else:
                self._end_of_answer()
        return b""

    def _with_last(self, data: bytes) -> str:
        """What came last of the start of the file, and the next bytes: the token may come in pieces."""
        text = self._last + str(data[: _START - self._received], "latin-1")
        self._last = text[-_TOKEN_MOST:]
        return text

    # ---- one answer -------------------------------------------------------------------------------------

    def _receive(self, n: int) -> bytes | FailedAttempt:
        """What is there, at most n bytes; empty where the answer ends."""
        exchange = self._exchange
        if exchange is None or self._stopped.is_set():
            return FailedAttempt("there is no connection")
        if not self._budget.failures:
            # The time since the last read was the reader's, not the server's.
            self._budget.restart_deadline()
        return exchange.read(min(n, _READ_MOST))

    def _end_of_answer(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.release()
        if self._answer_end is not None and self._received < self._answer_end:
            self._resume(FailedAttempt("the answer ended early"))
        elif self.size is not None and self._received < self.size:
            # The server sent only a part of the range that was asked for: ask for the rest.
            self._budget.restart_deadline()
            self._wait_after_part()
            self._open()
        else:
            self._ended = True
            self.complete = self._answer_end is not None or self._is_chunked

    def _wait_after_part(self) -> None:
        """Pause, longer each time, while the server sends a few bytes an answer: it would get thousands of requests."""
        if self._received - self._answer_start >= _GOOD_ANSWER:
            self._tiny = 0
            return
        if self._tiny:
            self._budget.wait(self._budget.pause(self._tiny - 1, None))
        self._tiny += 1

    def _drop(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.close()

    # ---- asking -----------------------------------------------------------------------------------------

    def _resume(self, failed: FailedAttempt) -> None:
        """Wait, then ask for the rest; DownloadError if there is to be no other attempt."""
        if self._stopped.is_set():
            self._ended = True
            return
        # A connection that was good for a while most likely is good again.
        at_once = self._received - self._answer_start >= _GOOD_ANSWER
        if not self._budget.wait_to_retry(failed, at_once=at_once):
            raise self._error(failed.text + self._tried(), failed.advice)
        self._open()

    def _tried(self) -> str:
        failures = self._budget.failures
        return f"; tried {failures + 1} times in a row" if failures else ""

    def _open(self) -> None:
        """Ask until there is an answer to read."""
        while not self._stopped.is_set():
            failed = self._ask()
            if failed is None:
                return
            if not self._budget.wait_to_retry(failed):
                raise self._error(failed.text + self._tried(), failed.advice)
        self._ended = True

    def _ask(self) -> FailedAttempt | None:
        """Ask once, from the next byte on."""
        self._budget.raise_if_cancelled()
        headers = {}
        if self._received:
            headers = {"Range": f"bytes={self._received}-", **self._identity.condition}
        exchange = self._http.follow("GET", self._url, self._budget, headers, refuse=_refuse_plain_http)
        if isinstance(exchange, FailedAttempt):
            return exchange
        try:
            return self._judge(exchange)
        finally:
            if self._exchange is not exchange:
                # Its body is not wanted, so the connection cannot be used again.
                exchange.close()

    def _judge(self, exchange: Exchange) -> FailedAttempt | None:
        """Judge an answer by its head; the body of a good answer is read from here on."""
        status = exchange.status
        if exchange.is_transient:
            wait = retry_after(exchange.headers, self._budget.clock.time())
            return FailedAttempt(f"the server answered {status} {exchange.reason}".rstrip(), status, wait)
        if self._received:
            self._accept_rest(exchange)
        else:
            self._accept_whole(exchange)
        return None

    def _accept_whole(self, exchange: Exchange) -> None:
        if exchange.status != 200:
            raise self._bad_status(exchange)
        self._check_encoding(exchange)
        self._identity = _Identity.of(exchange.headers)
        self._use(exchange)
        self.size = self._answer_end = exchange.length

    def _accept_rest(self, exchange: Exchange) -> None:
        identity = _Identity.of(exchange.headers)
        if exchange.status == 416:
            self._check_end(exchange)
            return
        if exchange.status == 200:
            if self._identity.differs(identity):
                raise self._changed()
            raise self._error("the server does not send parts of a file, so the download cannot go on")
        if exchange.status != 206:
            raise self._bad_status(exchange)
        self._check_encoding(exchange)
        start, end, total = self._range(exchange)
        if self._identity.differs(identity):
            raise self._changed()
        # An answer to a request with If-Range need not repeat what the file is known by.
        if not self._identity.condition and not self._identity.is_same(identity):
            raise self._error("the server gives no ETag and no Last-Modified, so it may be another file now")
        if start != self._received or end <= start or (total is not None and end > total):
            raise self._error(f"the server sent bytes {start} to {end} of {total}, byte {self._received} was asked for")
        if None not in (self.size, total) and self.size != total:
            raise self._changed()
        self.size = total if self.size is None else self.size
        self._use(exchange)
        self._answer_end = end

    def _use(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._answer_start = self._received
        self._is_chunked = "chunked" in exchange.headers.get("Transfer-Encoding", "").lower()

    def _range(self, exchange: Exchange) -> tuple[int, int, int | None]:
        """The first byte of the part, the byte behind its last one, and the size of the file."""
        text = exchange.headers.get("Content-Range", "")
        match = _CONTENT_RANGE.fullmatch(text.strip())
        if match is None:
            raise self._error(f"the server does not say which part of the file it sent: Content-Range is {text!r}")
        return int(match[1]), int(match[2]) + 1, None if match[3] == "*" else int(match[3])

    def _check_end(self, exchange: Exchange) -> None:
        """The server has nothing behind the bytes received: it is the end if the file has as many bytes."""
        match = _UNSATISFIED.fullmatch(exchange.headers.get("Content-Range", "").strip())
        identity = _Identity.of(exchange.headers)
        if match is None or int(match[1]) != self._received or self.size not in (None, self._received):
            raise self._changed()
        if self._identity.differs(identity):
            raise self._changed()
        self.size = self._received
        self._ended = self.complete = True

    def _check_encoding(self, exchange: Exchange) -> None:
        if encoding := content_encoding(exchange.headers):
            raise self._error(f"the server packs the file as {encoding!r} on the way, which it was asked not to do")

    # ---- errors -----------------------------------------------------------------------------------------

    def _bad_status(self, exchange: Exchange) -> DownloadError:
        status = exchange.status
        advice = "a link lasts for a while only: ask for the log again" if status in (401, 403, 404, 410) else ""
        return self._error(f"the server answered {status} {exchange.reason}".rstrip(), advice)

    def _changed(self) -> DownloadError:
        return self._error("the file changed while it was downloaded", "ask for the log again")

    def _error(self, text: str, advice: str = "") -> DownloadError:
        of = "" if self.size is None else f" of {self.size:,}"
        where = f" at byte {self._received:,}{of}" if self._received else ""
        if not self._received:
            advice = "; ".join(filter(None, (advice, self._advice)))
        return DownloadError(one_line(f"download of {redacted_url(self._url)}{where}: {text}"), advice=advice)


def _refuse_plain_http(_: int, url: str, target: str) -> str:
    return f"it redirects from https to {redacted_url(target)}" if is_http(target) and not is_http(url) else ""


def open_url(
    url: str,
    *,
    timeout: float = TIMEOUT,
    retries: int = RETRIES,
    stall: float = STALL,
    allow_http: bool = False,
    pauses: Pauses = PAUSES,
    pool: urllib3.PoolManager | None = None,
    cancel: Cancel | None = None,
) -> Download:
    """A file over HTTP as a source for ``open_log``, ``read_log`` and ``convert_log``, which close it.

    No token is sent. A download whose connection breaks goes on where it stopped.

    timeout: seconds that connecting may take, and each wait for bytes.
    retries: how many attempts may fail in a row before an error is raised, not counting the first one.
    stall: seconds that may go by without a byte of the file, with all ``retries``, whatever else the server sends.
    allow_http: accept a URL without encryption.
    pauses: how long to pause between attempts.
    pool: a ``urllib3.PoolManager`` whose settings are used, for a proxy or for certificates.
    cancel: a ``threading.Event``, say, that ends the download when it is set.

    DownloadError if the file cannot be had, CancelledError if ``cancel`` is set; ValueError if the URL is not one, or
    not https; TypeError for a wrong kind of value.

    Example::

        with trackparse.open_log(trackparse.client.open_url("https://example.com/log.zip")) as log:
            print(log.read_all().num_rows)
    """
    check_url(url, "the URL", allow_http=allow_http)
    retries = checked_retries(retries)
    budget = RetryBudget(pauses, retries, stall, Clock(), cancel, called="stall")
    return Download(Http(timeout=timeout, pool=pool, secret=None), url, budget, owned=True)


def checked_retries(retries: int) -> int:
    """The number. TypeError if it is not a whole number, ValueError if it is negative."""
    if not isinstance(retries, int) or isinstance(retries, bool):
        raise TypeError(f"retries={retries!r}: expected a whole number")
    if retries < 0:
        raise ValueError(f"retries={retries}: expected zero or more")
    return retries
