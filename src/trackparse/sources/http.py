"""An HTTP exchange that ends in time, and hides the token. Follows redirects, tries once; knows no log and no API."""

from __future__ import annotations

import copy
import html
import http.client
import json
import os
import re
import ssl
import threading
import weakref
from collections.abc import Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, Final
from urllib.parse import unquote, urljoin, urlsplit

from trackparse.errors import one_line
from trackparse.sources.deadline import Watchdog
from trackparse.sources.retry import FailedAttempt, RetryBudget, checked_seconds
from trackparse.sources.urls import redacted_url
from trackparse.version import __version__

try:
    import urllib3
except ModuleNotFoundError:
    raise ImportError("the client needs urllib3: pip install 'trackparse-pushwoosh[client]'", name="urllib3") from None

HIDDEN: Final = "***"  # stands where the token stood
_TRANSIENT: Final = (408, 425, 429)  # statuses, besides 5xx, after which the same request may succeed later
_REDIRECTS: Final = (301, 302, 303, 307, 308)  # statuses
_REDIRECTS_MOST: Final = 5  # redirects of one request
_NETWORK_ERRORS: Final = (urllib3.exceptions.HTTPError, OSError)
_IDLE_MOST: Final = 8  # idle connections to one host, for threads that share a client
_HOSTS_MOST: Final = 10  # hosts to which idle connections are kept
_URL_MOST: Final = 8 << 10  # characters
_WAIT_MOST: Final = 1e6  # seconds; clocks and sockets do not take any number
# Characters of a token that is searched for in texts: a shorter one cannot be told from words.
_SECRET_LEAST: Final = 8
_ESCAPE: Final = re.compile(r"\\(?:u00|x)([0-9A-Fa-f]{2})")  # of JSON, and of more languages; tokens are ASCII
_HEADERS: Final = {
    # Offsets of a range count bytes as they are sent, so they must not be compressed on the way.
    "Accept-Encoding": "identity",
    "User-Agent": f"trackparse/{__version__}",
}


class Secret:
    """A text that no repr, message or pickle shows."""

    __slots__ = ("_pattern", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        as_json = json.dumps(text)[1:-1]
        forms = {text, as_json, as_json.replace("/", "\\/"), html.escape(text)}
        forms |= {repr(form)[1:-1] for form in forms}
        longest_first = sorted(forms, key=len, reverse=True)
        # In capitals or not: names of hosts are shown in small letters.
        self._pattern = re.compile("|".join(map(_percents_or_not, longest_first)), re.IGNORECASE)

    def reveal(self) -> str:
        """The text."""
        return self._text

    def hidden_in(self, text: str) -> str:
        """The text without the secret, however that is quoted there."""
        if len(self._text) < _SECRET_LEAST:
            return text
        text = self._pattern.sub(HIDDEN, text)
        return HIDDEN if self.is_in(text) else text

    def is_in(self, text: str) -> bool:
        """Whether the text shows the secret, however it is quoted there."""
        if len(self._text) < _SECRET_LEAST:
            return False
        # UTF-16 read as UTF-8 has a NUL beside each letter, and people can still read it.
        text = "".join(filter(str.isprintable, text))
        unescaped = _ESCAPE.sub(lambda escape: chr(int(escape[1], 16)), text)
        forms = (text, unquote(text), unescaped, text.replace("\\", ""), html.unescape(text))
        return any(self._pattern.search(form) for form in forms)

    def __repr__(self) -> str:
        return f"'{HIDDEN}'"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a secret cannot be copied or pickled: make a new client where it is needed")


def _percents_or_not(text: str) -> str:
    """A regular expression for the text, each of whose letters may be percent-encoded, or not."""
    return "".join(f"(?:{re.escape(letter)}|%{ord(letter):02x})" for letter in text)


class HiddenBytes(bytes):
    """Bytes that a traceback with local variables does not show: a request with the token, or its answer."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"

    __str__ = __repr__


def url_problem(url: str, what: str, *, allow_http: bool) -> str:
    """Why a request must not be sent to a URL; empty if it may be sent. ``what`` names the URL in that text."""
    if not url.isascii() or not url.isprintable() or " " in url or len(url) > _URL_MOST:
        return f"{what} is not a URL: {_shown(url)!r}"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        # The error may quote a part of a password.
        why = "" if "@" in url else f" ({error})"
        return f"{what} is not a URL: {_shown(url)!r}{why}"
    if not host or parts.scheme not in ("http", "https"):
        return f"{what} is not an https:// URL: {redacted_url(url) if parts.netloc else url!r}"
    if parts.scheme == "http" and not allow_http:
        return f"{what} is not https: {redacted_url(url)!r}; allow_http=True is for tests"
    return ""


def _shown(url: str) -> str:
    return redacted_url(url) if "://" in url else url


def check_url(url: str, what: str, *, allow_http: bool) -> None:
    """ValueError if a request must not be sent to the URL, TypeError if it is not a text."""
    if not isinstance(url, str):
        raise TypeError(f"{what} is {type(url).__name__}: expected str")
    if problem := url_problem(url, what, allow_http=allow_http):
        raise ValueError(one_line(problem))


def is_http(url: str) -> bool:
    """Whether requests to a URL are not encrypted."""
    return urlsplit(url).scheme == "http"


def over_https(url: str) -> str:
    """The same host and path by https. The port stays, unless it is that of http."""
    host = urlsplit(url).netloc
    return f"https://{host.removesuffix(':80')}{url[len('http://') + len(host) :]}"


def origin(url: str) -> tuple[str, str | None, int]:
    """Scheme, host and port."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that the server asks to wait, as a number or as a date; ``now`` is in seconds since 1970."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), _WAIT_MOST)
    try:
        date = parsedate_to_datetime(text)
        seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
    except Exception:
        # ValueError for most texts that are no date, but also OverflowError, TypeError and others.
        return None
    return min(max(0.0, seconds), _WAIT_MOST)


def content_encoding(headers: Mapping[str, str]) -> str:
    """How a body was compressed on the way; empty if it was not."""
    encoding = headers.get("Content-Encoding", "").strip()
    return "" if encoding.lower() == "identity" else encoding


class Exchange:
    """The answer to a request. The token is hidden in its head already; ``read`` ends in time."""

    def __init__(
        self,
        http: Http,
        url: str,
        response: urllib3.BaseHTTPResponse,
        watchdog: Watchdog,
        budget: RetryBudget,
        timeout: float,
    ) -> None:
        self._http = http
        self._url = url
        self._response = response
        self._watchdog = watchdog
        self._budget = budget
        self._timeout = timeout  # seconds of each wait for bytes
        # If nobody closes the exchange, the thread must end all the same.
        weakref.finalize(self, watchdog.drop)
        self.status = response.status
        self.reason = http.clean(response.reason or "")
        # Headers that show the token are left out: nothing here needs them.
        self.headers = urllib3.HTTPHeaderDict(
            (name, value) for name, value in response.headers.items() if not http.shows(f"{name} {value}")
        )
        self.length = response.length_remaining  # bytes, None where the head does not say

    @property
    def is_transient(self) -> bool:
        """Whether the same request may succeed later, by the status."""
        return self.status in _TRANSIENT or self.status >= 500

    def read(self, n: int) -> bytes | FailedAttempt:
        """What is there, at most n bytes; empty where the answer ends. An error never takes bytes that had come."""
        watchdog = self._watchdog
        watchdog.begin(self._budget.attempt_seconds(self._http.timeout))
        failed: FailedAttempt
        try:
            data = self._response.read1(n, decode_content=False)
            if data or not watchdog.late:
                return data
            failed = _late(self._url)
        except Exception as error:
            # A socket that is shut down under a read may raise anything.
            if not (watchdog.late or isinstance(error, _NETWORK_ERRORS)):
                raise
            failed = _late(self._url) if watchdog.late else self._http.failed(error, self._url, self._timeout)
        finally:
            watchdog.rest()
        return failed

    def body(self, limit: int) -> bytes | FailedAttempt:
        """The whole body of a small answer, of at most ``limit`` bytes. The exchange is closed then."""
        try:
            if encoding := content_encoding(self.headers):
                text = f"the answer is packed as {one_line(encoding)}, which was not asked for"
                return FailedAttempt(text, self.status)
            parts: list[bytes] = []
            end = self._budget.clock.now() + self._http.timeout
            size = 0
            while data := self.read(64 << 10):
                if isinstance(data, FailedAttempt):
                    return data
                parts.append(data)
                size += len(data)
                if size > limit:
                    return FailedAttempt(f"the answer is longer than {limit:,} bytes", self.status, final=True)
                if self._budget.clock.now() > end:
                    text = f"the answer did not end within {self._http.timeout:g} s"
                    return FailedAttempt(text, self.status)
            self.release()
            return HiddenBytes(b"".join(parts))
        finally:
            self.close()

    def redirect(self) -> str | None:
        """The URL to which the answer redirects; None if it does not. The URL is not checked."""
        location = self.headers.get("Location")
        if self.status not in _REDIRECTS or not location:
            return None
        try:
            return urljoin(self._url, location)
        except ValueError:
            return location

    def interrupt(self) -> None:
        """End a read in another thread. Takes no lock."""
        self._watchdog.interrupt()

    def release(self) -> None:
        """Keep the connection for the next request: the answer was read to its end."""
        self._watchdog.close()
        self._response.release_conn()

    def close(self) -> None:
        """End the connection, if it was not released; twice does no harm."""
        self._watchdog.close()
        self._response.close()


_current = threading.local()  # .watchdog: that of the exchange that this thread has under way


class _Head(http.client.HTTPResponse):
    """An answer as http.client reads it, except that urllib3 finds nothing to log.

    It would log what could not be parsed of the head, and that may show the token.
    """

    def begin(self) -> None:
        super().begin()
        # http.client passes over "100 Continue", and takes "103 Early Hints" for the answer. Behind 101 comes no HTTP.
        while 100 <= self.status < 200 and self.status != http.client.SWITCHING_PROTOCOLS:
            self.headers = self.msg = None  # type: ignore[assignment] # without these it reads on
            super().begin()
        self.msg.defects.clear()
        self.msg.set_payload("")


class _WatchedConnection:
    """Makes a class of connections tell their socket to the watchdog, before the first byte is sent."""

    response_class = _Head
    sock: Any

    def _new_conn(self) -> Any:
        return _current.watchdog.connect(super()._new_conn)  # type: ignore[misc]

    def _tunnel(self) -> None:
        super()._tunnel()  # type: ignore[misc]
        if _current.watchdog.late:
            # http.client takes half an answer of a proxy for a whole one.
            raise TimeoutError("the proxy did not connect in time")

    def request(self, *args: Any, **options: Any) -> Any:
        if self.sock is not None:
            _current.watchdog.guard(self.sock)
        return super().request(*args, **options)  # type: ignore[misc]


@cache
def _watched_class(kind: type) -> type:
    return type(kind.__name__, (_WatchedConnection, kind), {})


def _watched_manager(manager: urllib3.PoolManager) -> urllib3.PoolManager:
    """A manager with the same settings, and with connections of its own, which are watched."""
    new: Any = copy.copy(manager)
    new.pools = type(manager.pools)(_HOSTS_MOST)

    def watched_pool(*args: Any, **options: Any) -> Any:
        pool = manager._new_pool(*args, **options)
        pool.ConnectionCls = _watched_class(pool.ConnectionCls)
        return pool

    new._new_pool = watched_pool
    found: urllib3.PoolManager = new
    return found


class Http:
    """Sends requests, over connections that it keeps. No cookies, no proxies from the environment."""

    def __init__(self, *, timeout: float, pool: urllib3.PoolManager | None, secret: Secret | None) -> None:
        checked_seconds("timeout", timeout)
        if timeout == 0:
            raise ValueError(f"timeout={timeout!r}: expected more than 0 seconds")
        self.timeout = timeout
        self._secret = secret
        self._given = urllib3.PoolManager(maxsize=_IDLE_MOST) if pool is None else pool
        self._managers = {os.getpid(): _watched_manager(self._given)}

    def clean(self, text: str) -> str:
        """A text from outside, fit for a message: short, on one line, and without the token."""
        return one_line(self.hide(text))

    def hide(self, text: str) -> str:
        """The text without the token."""
        return text if self._secret is None else self._secret.hidden_in(text)

    def shows(self, text: str) -> bool:
        """Whether the text shows the token."""
        return self._secret is not None and self._secret.is_in(text)

    def send(
        self,
        method: str,
        url: str,
        budget: RetryBudget,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Exchange | FailedAttempt:
        """Send one request; its answer with the body unread, or what went wrong."""
        if self.shows(url) or (self._secret is not None and HIDDEN in url):
            # A server may repeat the token in a redirect or a link. There it would stand in the logs of others.
            return FailedAttempt("the URL holds the token", final=True)
        seconds = budget.attempt_seconds(self.timeout)
        # The time for each single wait for bytes, until the answer ends. Not bounded by the time that is left now: a
        # download gets its full time again after each byte.
        timeout = min(self.timeout, budget.seconds or self.timeout, _WAIT_MOST)
        _current.watchdog = watchdog = Watchdog(budget)
        watchdog.begin(seconds)
        exchange = None
        failed: FailedAttempt
        try:
            response = self._manager().request(
                method,
                url,
                body=body,
                headers={**_HEADERS, **(headers or {})},
                timeout=urllib3.Timeout(connect=min(timeout, max(seconds, 0.001)), read=timeout),
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
            if watchdog.late:
                # http.client takes half a head for a whole one.
                response.close()
                return _late(url)
            exchange = Exchange(self, url, response, watchdog, budget, timeout)
            return exchange
        except Exception as error:
            if not (watchdog.late or isinstance(error, _NETWORK_ERRORS)):
                raise
            failed = _late(url) if watchdog.late else self.failed(error, url, timeout)
        finally:
            watchdog.rest()
            del _current.watchdog
            if exchange is None:
                watchdog.close()
        return failed

    def follow(
        self,
        method: str,
        url: str,
        budget: RetryBudget,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        refuse: Callable[[int, str, str], str],
    ) -> Exchange | FailedAttempt:
        """As ``send``, and along redirects to the answer that is not one.

        ``refuse`` is called with the status of each redirect, the URL that it comes from and the one that it leads to.
        It returns why the redirect must not be followed; empty if it may be.
        """
        for _ in range(_REDIRECTS_MOST + 1):
            exchange = self.send(method, url, budget, headers, body)
            if isinstance(exchange, FailedAttempt):
                return exchange
            target = exchange.redirect()
            if target is None:
                return exchange
            exchange.close()
            problem = url_problem(target, "the redirect", allow_http=True) or refuse(exchange.status, url, target)
            if problem:
                return FailedAttempt(one_line(problem), exchange.status, final=True)
            url = target
        return FailedAttempt(f"more than {_REDIRECTS_MOST} redirects", final=True)

    def _manager(self) -> urllib3.PoolManager:
        """The connections of this process: after a fork, those made before belong to the parent."""
        pid = os.getpid()
        if pid not in self._managers:
            self._managers[pid] = _watched_manager(self._given)
        return self._managers[pid]

    def failed(self, error: BaseException, url: str, timeout: float) -> FailedAttempt:
        """What a network error says, in a few words."""
        host = _host(url)
        root = _root(error)
        if isinstance(root, ssl.SSLCertVerificationError):
            text = f"the certificate of {host} is not trusted ({root.verify_message})"
            advice = "if it is right, name its authority in SSL_CERT_FILE or pass a pool"
            return FailedAttempt(self.clean(text), final=True, advice=advice)
        if isinstance(error, (urllib3.exceptions.LocationValueError, urllib3.exceptions.ProxySchemeUnknown)):
            return FailedAttempt(self.clean(f"{host}: {error}"), final=True)
        if isinstance(error, urllib3.exceptions.NameResolutionError):
            return FailedAttempt(f"there is no host {host}", unreachable=True)
        if isinstance(error, urllib3.exceptions.TimeoutError) and not isinstance(
            error, urllib3.exceptions.NewConnectionError
        ):
            return FailedAttempt(f"{host} did not answer within {timeout:.3g} s")
        unreachable = isinstance(error, urllib3.exceptions.NewConnectionError) or isinstance(root, ConnectionError)
        return FailedAttempt(self.clean(f"the connection to {host} failed ({_words(root)})"), unreachable=unreachable)

    def close(self) -> None:
        """Close idle connections; those in use are closed with their answers."""
        if manager := self._managers.get(os.getpid()):
            # Not by ``clear`` alone: then they are closed when nothing refers to them any more, such as a traceback.
            for key in manager.pools.keys():  # noqa: SIM118 - not a dict: it cannot be iterated
                if pool := manager.pools.get(key):
                    pool.close()
            manager.clear()


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def _late(url: str) -> FailedAttempt:
    return FailedAttempt(f"{_host(url)} did not finish its answer in time")


def _root(error: BaseException) -> BaseException:
    """The error that urllib3 wrapped in others."""
    seen = 0
    while seen < 10:
        inner = next((part for part in error.args if isinstance(part, BaseException)), None)
        inner = inner or error.__cause__ or error.__context__
        if inner is None:
            break
        error, seen = inner, seen + 1
    return error


def _words(error: BaseException) -> str:
    """What the system says. Of other errors only the kind: they quote what they could not parse."""
    text = getattr(error, "strerror", None) or str(error)
    return text if isinstance(error, OSError) and isinstance(text, str) and text else type(error).__name__
