"""A file over HTTP as a source: a download that was cut goes on from its byte, under a running reader.

Nothing is read twice, nothing is missed: what cannot be shown to be the rest of the same file is an error.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import unquote, urlsplit

from trackparse.errors import DownloadError, one_line
from trackparse.sources.http import (
    REDIRECTS,
    TRANSIENT,
    Exchange,
    Http,
    is_http,
    packed,
    retry_after,
    shown,
    url_problem,
)
from trackparse.sources.retry import Fault, RetryBudget
from trackparse.sources.source import Buffer, Source

# Bytes of one read: larger buffers are fresh memory each time, 1,041 page faults in 24 MB at 1 MiB, one at this size.
_READ_MOST: Final = 256 << 10
_CONTENT_RANGE: Final = re.compile(r"bytes\s+(\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII | re.IGNORECASE)
_WORTH: Final = 64 << 10  # bytes of an answer that make another try without a pause worth it
_LOOKED_AT: Final = 64 << 10  # bytes of the start of a file that must not hold the token: errors quote from there
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
        """If-Range, where one may be sent: a weak tag may not."""
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
    """The body of a GET. It asks at once, and again from the byte where it stopped when the connection breaks.

    DownloadError: the link cannot be had, the file changed, the server does not do ranges, or ``budget`` was over
    before a byte came. CancelledError where the caller wants no more.
    """

    def __init__(self, http: Http, url: str, budget: RetryBudget, *, owned: bool = False, advice: str = "") -> None:
        """``owned`` connections are closed with it; ``advice`` is given if not even the first byte can be had."""
        name = unquote(PurePosixPath(urlsplit(url).path).name)
        super().__init__(http.clean(name) or shown(url), None)
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
        self._opened_at = 0  # the first byte of the answer under way
        self._until: int | None = None  # where the answer under way ends, None where it does not say
        self._ended = False
        self.complete = False  # whether the end was the file's, as far as HTTP can tell
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
        self._ended = True
        self._drop()
        if self._owned:
            self._http.close()

    def _take(self, n: int) -> Buffer:
        if self._pid != os.getpid():
            # Two processes would take bytes from one connection.
            raise RuntimeError(f"{self.name}: the download was opened before a fork: open it again in the child")
        while not self._ended:
            self._budget.check()
            data = self._receive(n if self._received else max(n, _LOOKED_AT))
            if isinstance(data, Fault):
                self._drop()
                self._replay(data)
            elif data:
                if not self._received and self._http.shows(str(data[:_LOOKED_AT], "latin-1")):
                    # Not in a local variable either, when the error is raised.
                    del data
                    raise self._error("what the link gives holds the token, and is no log")
                self._received += len(data)
                if self._until is not None and self._received > self._until:
                    raise self._error(f"the server sent more than it said, which was to byte {self._until:,}")
                self._budget.succeeded()
                return self._at_most(data, n)
            else:
                self._end_of_answer()
        return b""

    # ---- one answer -------------------------------------------------------------------------------------

    def _receive(self, n: int) -> bytes | Fault:
        """What is there, at most n bytes; none where the answer ends."""
        exchange = self._exchange
        if exchange is None or self._stopped.is_set():
            return Fault("there is no connection")
        if not self._budget.failures:
            # What went before is the time of whoever reads.
            self._budget.restart()
        return exchange.read(min(n, _READ_MOST))

    def _end_of_answer(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.release()
        if self._until is not None and self._received < self._until:
            self._replay(Fault("the answer ended early"))
        elif self.size is not None and self._received < self.size:
            # A part of the range that was asked for: the rest is asked for next.
            self._budget.restart()
            self._open()
        else:
            self._ended = True
            self.complete = self._until is not None or self._is_chunked

    def _drop(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.close()

    # ---- asking -----------------------------------------------------------------------------------------

    def _replay(self, fault: Fault) -> None:
        """Wait, then ask for the rest; DownloadError when it was tried often enough."""
        if self._stopped.is_set():
            self._ended = True
            return
        # Where the connection was good for a while, it most likely is again.
        at_once = self._received - self._opened_at >= _WORTH
        if not self._budget.after(fault, at_once=at_once):
            raise self._error(fault.text + self._tried(), fault.advice)
        self._open()

    def _tried(self) -> str:
        failures = self._budget.failures
        return f"; tried {failures + 1} times in a row" if failures else ""

    def _open(self) -> None:
        """Ask until there is an answer to read."""
        while not self._stopped.is_set():
            fault = self._ask()
            if fault is None:
                return
            if not self._budget.after(fault):
                raise self._error(fault.text + self._tried(), fault.advice)
        self._ended = True

    def _ask(self) -> Fault | None:
        """Ask once, from the next byte on."""
        self._budget.check()
        headers = {}
        if self._received:
            headers = {"Range": f"bytes={self._received}-", **self._identity.condition}
        exchange = self._follow(headers)
        if isinstance(exchange, Fault):
            return exchange
        try:
            return self._taken(exchange)
        finally:
            if self._exchange is not exchange:
                # Its body is not wanted: the connection goes with it.
                exchange.close()

    def _follow(self, headers: Mapping[str, str]) -> Exchange | Fault:
        url = self._url
        for _ in range(REDIRECTS + 1):
            exchange = self._http.send("GET", url, self._budget, headers)
            if isinstance(exchange, Fault):
                return exchange
            target = exchange.redirect()
            if target is None:
                return exchange
            exchange.close()
            if problem := url_problem(target, "the redirect", allow_http=True):
                raise self._error(problem)
            if is_http(target) and not is_http(url):
                raise self._error(f"it redirects from https to {shown(target)}")
            url = target
        raise self._error(f"more than {REDIRECTS} redirects")

    def _taken(self, exchange: Exchange) -> Fault | None:
        """Judge an answer by its head; the body of a good one is read from here on."""
        status = exchange.status
        if status in TRANSIENT or status >= 500:
            wait = retry_after(exchange.headers, self._budget.clock.time())
            return Fault(f"the server answered {status} {exchange.reason}".rstrip(), status, wait)
        if self._received:
            self._take_rest(exchange)
        else:
            self._take_whole(exchange)
        return None

    def _take_whole(self, exchange: Exchange) -> None:
        if exchange.status != 200:
            raise self._refused(exchange)
        self._check_encoding(exchange)
        self._identity = _Identity.of(exchange.headers)
        self._use(exchange)
        self.size = self._until = exchange.length

    def _take_rest(self, exchange: Exchange) -> None:
        identity = _Identity.of(exchange.headers)
        if exchange.status == 416:
            self._check_end(exchange)
            return
        if exchange.status == 200:
            if self._identity.differs(identity):
                raise self._changed()
            raise self._error("the server does not send parts of a file, so that it cannot go on")
        if exchange.status != 206:
            raise self._refused(exchange)
        self._check_encoding(exchange)
        start, end, total = self._range(exchange)
        if self._identity.differs(identity):
            raise self._changed()
        # A part that was sent under a condition needs not repeat it.
        if not self._identity.condition and not self._identity.is_same(identity):
            raise self._error("the server gives no ETag and no Last-Modified that would show it to be the same file")
        if start != self._received or end <= start or (total is not None and end > total):
            raise self._error(f"the server sent bytes {start} to {end} of {total}, byte {self._received} was asked for")
        if None not in (self.size, total) and self.size != total:
            raise self._changed()
        self.size = total if self.size is None else self.size
        self._use(exchange)
        self._until = end

    def _use(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._opened_at = self._received
        self._is_chunked = "chunked" in exchange.headers.get("Transfer-Encoding", "").lower()

    def _range(self, exchange: Exchange) -> tuple[int, int, int | None]:
        """First byte, the one behind the last, and the size of the file."""
        text = exchange.headers.get("Content-Range", "")
        match = _CONTENT_RANGE.fullmatch(text.strip())
        if match is None:
            raise self._error(f"the server sent a part of the file, but not which: Content-Range is {text!r}")
        return int(match[1]), int(match[2]) + 1, None if match[3] == "*" else int(match[3])

    def _check_end(self, exchange: Exchange) -> None:
        """There is nothing behind the bytes received: the end, if the file is just as long."""
        match = _UNSATISFIED.fullmatch(exchange.headers.get("Content-Range", "").strip())
        identity = _Identity.of(exchange.headers)
        if match is None or int(match[1]) != self._received or self.size not in (None, self._received):
            raise self._changed()
        if self._identity.differs(identity):
            raise self._changed()
        self.size = self._received
        self._ended = self.complete = True

    def _check_encoding(self, exchange: Exchange) -> None:
        if encoding := packed(exchange.headers):
            raise self._error(f"the server packs the file as {encoding!r} on the way, which it was asked not to do")

    # ---- errors -----------------------------------------------------------------------------------------

    def _refused(self, exchange: Exchange) -> DownloadError:
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
        return DownloadError(one_line(f"download of {shown(self._url)}{where}: {text}"), advice=advice)
