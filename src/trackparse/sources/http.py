"""One HTTP exchange that ends in time and hides the token. Knows no log and no API, and tries once."""

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
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, Final
from urllib.parse import quote, unquote, urljoin, urlsplit

from trackparse.errors import one_line
from trackparse.sources.deadline import Watch
from trackparse.sources.retry import Fault, RetryBudget
from trackparse.version import __version__

try:
    import urllib3
except ModuleNotFoundError:
    raise ImportError("the client needs urllib3: pip install 'trackparse[client]'", name="urllib3") from None

TRANSIENT: Final = (408, 425, 429)  # and 5xx: the same request may be answered better later
REDIRECTS: Final = 5  # followed in one exchange
HIDDEN: Final = "***"  # where the token stood
_BREAKS: Final = (urllib3.exceptions.HTTPError, OSError)  # what an exchange may raise
_KEPT: Final = 8  # idle connections of one host, where threads share a client
_HOSTS: Final = 10  # whose connections are kept
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_LONGEST_URL: Final = 8 << 10  # characters
_LONGEST_WAIT: Final = 1e6  # seconds; a clock or a socket does not take any number
# Characters of a token that can be told from words: a shorter one is no secret, and would be found in every message.
_SHORTEST_SECRET: Final = 8
HEADERS: Final = {
    # Offsets of a range count bytes as they are sent: nothing may be packed on the way.
    "Accept-Encoding": "identity",
    "User-Agent": f"trackparse/{__version__}",
}


class Secret:
    """A text that shows itself to nobody who does not ask for it."""

    __slots__ = ("_pattern", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        as_json = json.dumps(text)[1:-1]
        forms = {text, as_json, as_json.replace("/", "\\/"), quote(text), quote(text, safe=""), html.escape(text)}
        forms |= {repr(form)[1:-1] for form in forms}
        longest_first = sorted(forms, key=len, reverse=True)
        # Whatever the letters: names of hosts are shown in small ones.
        self._pattern = re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE)

    def reveal(self) -> str:
        """The text."""
        return self._text

    def hidden_in(self, text: str) -> str:
        """The text without the secret, however it was quoted on its way into it."""
        if len(self._text) < _SHORTEST_SECRET:
            return text
        text = self._pattern.sub(HIDDEN, text)
        return HIDDEN if self.is_in(text) else text

    def is_in(self, text: str) -> bool:
        """Whether the text shows it, in whatever quoting."""
        if len(self._text) < _SHORTEST_SECRET:
            return False
        # UTF-16 that is taken for UTF-8 has a NUL beside each letter: it can be read all the same.
        text = "".join(filter(str.isprintable, text))
        forms = (text, unquote(text), text.replace("\\", ""), html.unescape(text))
        return any(self._pattern.search(form) for form in forms)

    def __repr__(self) -> str:
        return f"'{HIDDEN}'"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a secret is not to be copied or pickled: make a new client where it is needed")


class HiddenBytes(bytes):
    """Bytes that a traceback with local variables does not show."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"

    __str__ = __repr__


def url_problem(url: str, what: str, *, allow_http: bool) -> str:
    """Why a URL may not be asked; empty if it may."""
    if not url.isascii() or not url.isprintable() or " " in url or len(url) > _LONGEST_URL:
        return f"{what} is no URL: {url!r}"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as fault:
        return f"{what} is no URL: {url!r} ({fault})"
    if not host or parts.scheme not in ("http", "https"):
        return f"{what} is no https:// URL: {shown(url) if parts.netloc else url!r}"
    if parts.scheme == "http" and not allow_http:
        return f"{what} is not https: {shown(url)!r}; allow_http=True is for tests"
    return ""


def check_url(url: str, what: str, *, allow_http: bool) -> None:
    """ValueError if the URL may not be asked."""
    if problem := url_problem(url, what, allow_http=allow_http):
        raise ValueError(one_line(problem))


def shown(url: str) -> str:
    """The URL as messages show it: no user, no query. A signed link is a key."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{_host(url)}{parts.path}"


def is_http(url: str) -> bool:
    """Whether a URL is asked without encryption."""
    return urlsplit(url).scheme == "http"


def over_https(url: str) -> str:
    """The same host and path by https; a port that is not that of http stays."""
    host = urlsplit(url).netloc
    return f"https://{host.removesuffix(':80')}{url[len('http://') + len(host) :]}"


def origin(url: str) -> tuple[str, str | None, int]:
    """Scheme, host and port."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that the server asks to wait, written as a number or as a date; ``now`` is since 1970."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), _LONGEST_WAIT)
    try:
        date = parsedate_to_datetime(text)
        seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
    except Exception:
        # ValueError for most texts that are no date, but also OverflowError, TypeError and others.
        return None
    return min(max(0.0, seconds), _LONGEST_WAIT)


def packed(headers: Mapping[str, str]) -> str:
    """How a body was packed on the way, empty if it was not."""
    encoding = headers.get("Content-Encoding", "").strip()
    return "" if encoding.lower() == "identity" else encoding


class Exchange:
    """The answer to a request. Its head hides the token already; ``read`` ends in time."""

    def __init__(
        self,
        http: Http,
        url: str,
        response: urllib3.BaseHTTPResponse,
        watch: Watch,
        budget: RetryBudget,
        timeout: float,
    ) -> None:
        self._http = http
        self._url = url
        self._response = response
        self._watch = watch
        self._budget = budget
        self._timeout = timeout  # seconds, of each wait for bytes
        # One that nobody closes must not be watched for ever.
        weakref.finalize(self, watch.drop)
        self.status = response.status
        self.reason = http.clean(response.reason or "")
        # A header that shows the token is none that we need.
        self.headers = urllib3.HTTPHeaderDict(
            (name, value) for name, value in response.headers.items() if not http.shows(f"{name} {value}")
        )
        self.length = response.length_remaining  # bytes, None where the head does not say

    def read(self, n: int) -> bytes | Fault:
        """What is there, at most n bytes; none where the answer ends. A byte that came is never lost to an error."""
        watch = self._watch
        watch.begin(self._budget.for_one(self._http.timeout))
        fault: Fault
        try:
            data = self._response.read1(n, decode_content=False)
            if data or not watch.late:
                return data
            fault = _late(self._url)
        except Exception as error:
            # A socket that is shut down under a read fails as it likes.
            if not (watch.late or isinstance(error, _BREAKS)):
                raise
            fault = _late(self._url) if watch.late else self._http.fault(error, self._url, self._timeout)
        finally:
            watch.rest()
        return fault

    def body(self, limit: int) -> bytes | Fault:
        """The whole body of a small answer; ``final`` if it is larger than limit (bytes). The exchange is done then."""
        try:
            if encoding := packed(self.headers):
                return Fault(f"the answer is packed as {one_line(encoding)}, which was not asked for", self.status)
            parts: list[bytes] = []
            end = self._budget.clock.now() + self._http.timeout
            size = 0
            while data := self.read(64 << 10):
                if isinstance(data, Fault):
                    return data
                parts.append(data)
                size += len(data)
                if size > limit:
                    return Fault(f"the answer is longer than {limit:,} bytes", self.status, final=True)
                if self._budget.clock.now() > end:
                    return Fault(f"the answer did not end within {self._http.timeout:g} s", self.status)
            self.release()
            return HiddenBytes(b"".join(parts))
        finally:
            self.close()

    def redirect(self) -> str | None:
        """Where a redirect leads, None if this is none. Nothing is checked."""
        location = self.headers.get("Location")
        if self.status not in _REDIRECTS or not location:
            return None
        try:
            return urljoin(self._url, location)
        except ValueError:
            return location

    def interrupt(self) -> None:
        """End a read in another thread. Takes no lock."""
        self._watch.interrupt()

    def release(self) -> None:
        """The answer was read to its end: keep the connection."""
        self._watch.close()
        self._response.release_conn()

    def close(self) -> None:
        """End the connection, if it was not released; twice does no harm."""
        self._watch.close()
        self._response.close()


_under_way = threading.local()  # the watch of the exchange that makes or uses connections in this thread


class _Head(http.client.HTTPResponse):
    """An answer as http.client reads it; urllib3 would log what it could not read of the head, whatever that shows."""

    def begin(self) -> None:
        super().begin()
        self.msg.defects.clear()
        self.msg.set_payload("")


class _Watched:
    """What a connection does so that its socket is known to the watch from the first byte on."""

    response_class = _Head
    sock: Any

    def _new_conn(self) -> Any:
        return _under_way.watch.connect(super()._new_conn)  # type: ignore[misc]

    def _tunnel(self) -> None:
        super()._tunnel()  # type: ignore[misc]
        if _under_way.watch.late:
            # Half an answer of a proxy passes for a whole one.
            raise TimeoutError("the proxy did not connect in time")

    def request(self, *args: Any, **options: Any) -> Any:
        if self.sock is not None:
            _under_way.watch.hold(self.sock)
        return super().request(*args, **options)  # type: ignore[misc]


@cache
def _watched_class(kind: type) -> type:
    return type(kind.__name__, (_Watched, kind), {})


def _watched(manager: urllib3.PoolManager) -> urllib3.PoolManager:
    """The same settings, with connections of its own, which are watched."""
    new: Any = copy.copy(manager)
    new.pools = type(manager.pools)(_HOSTS)

    def watched_pool(*args: Any, **options: Any) -> Any:
        pool = manager._new_pool(*args, **options)
        pool.ConnectionCls = _watched_class(pool.ConnectionCls)
        return pool

    new._new_pool = watched_pool
    found: urllib3.PoolManager = new
    return found


class Http:
    """A pool of connections. No cookies, no proxies from the environment, nothing followed unasked."""

    def __init__(self, *, timeout: float, pool: urllib3.PoolManager | None, secret: Secret | None) -> None:
        if not timeout > 0:
            raise ValueError(f"timeout={timeout!r}: more than 0 seconds")
        self.timeout = timeout
        self._secret = secret
        self._given = urllib3.PoolManager(maxsize=_KEPT) if pool is None else pool
        self._managers = {os.getpid(): _watched(self._given)}

    def clean(self, text: str) -> str:
        """What somebody else wrote, as a message holds it: short, on one line, and without the token."""
        return one_line(self.hide(text))

    def hide(self, text: str) -> str:
        """The text without the token."""
        return text if self._secret is None else self._secret.hidden_in(text)

    def shows(self, text: str) -> bool:
        """Whether the token can be read there."""
        return self._secret is not None and self._secret.is_in(text)

    def send(
        self,
        method: str,
        url: str,
        budget: RetryBudget,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Exchange | Fault:
        """The answer, its body unread; or what went wrong."""
        if self.shows(url) or (self._secret is not None and HIDDEN in url):
            # Whoever made this up: it would be sent where it does not belong, and stand in logs.
            return Fault("the URL holds the token", final=True)
        seconds = budget.for_one(self.timeout)
        # Of each wait for bytes, to the end of the answer: not what is left now, but what there is after some came.
        timeout = min(self.timeout, budget.seconds or self.timeout, _LONGEST_WAIT)
        _under_way.watch = watch = Watch(budget)
        watch.begin(seconds)
        exchange = None
        fault: Fault
        try:
            response = self._manager().request(
                method,
                url,
                body=body,
                headers={**HEADERS, **(headers or {})},
                timeout=urllib3.Timeout(connect=min(timeout, max(seconds, 0.001)), read=timeout),
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
            if watch.late:
                # Half a head passes for a whole one.
                response.close()
                return _late(url)
            exchange = Exchange(self, url, response, watch, budget, timeout)
            return exchange
        except Exception as error:
            if not (watch.late or isinstance(error, _BREAKS)):
                raise
            fault = _late(url) if watch.late else self.fault(error, url, timeout)
        finally:
            watch.rest()
            del _under_way.watch
            if exchange is None:
                watch.close()
        return fault

    def _manager(self) -> urllib3.PoolManager:
        """The connections of this process: those of its parent are the parent's, after a fork."""
        pid = os.getpid()
        if pid not in self._managers:
            self._managers[pid] = _watched(self._given)
        return self._managers[pid]

    def fault(self, error: BaseException, url: str, timeout: float) -> Fault:
        """What an exception says, in a few words."""
        host = _host(url)
        root = _root(error)
        if isinstance(root, ssl.SSLCertVerificationError):
            text = f"the certificate of {host} is not trusted ({root.verify_message})"
            advice = "if it is right, name its authority in SSL_CERT_FILE or hand over a pool"
            return Fault(self.clean(text), final=True, advice=advice)
        if isinstance(error, (urllib3.exceptions.LocationValueError, urllib3.exceptions.ProxySchemeUnknown)):
            return Fault(self.clean(f"{host}: {error}"), final=True)
        if isinstance(error, urllib3.exceptions.NameResolutionError):
            return Fault(f"no host {host}")
        if isinstance(error, urllib3.exceptions.TimeoutError) and not isinstance(
            error, urllib3.exceptions.NewConnectionError
        ):
            return Fault(f"{host} did not answer within {timeout:.3g} s")
        return Fault(self.clean(f"the connection to {host} failed ({_words(root)})"))

    def close(self) -> None:
        """Close idle connections; those in use end with their answers."""
        if manager := self._managers.get(os.getpid()):
            # To forget them closes them later, with whatever still knows them: a traceback, say.
            for key in manager.pools.keys():  # noqa: SIM118 - it is no dict, and cannot be iterated
                if pool := manager.pools.get(key):
                    pool.close()
            manager.clear()


def _host(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2]


def _late(url: str) -> Fault:
    return Fault(f"{_host(url)} did not finish its answer in time")


def _root(error: BaseException) -> BaseException:
    """What urllib3 wrapped."""
    seen = 0
    while seen < 10:
        inner = next((part for part in error.args if isinstance(part, BaseException)), None)
        inner = inner or error.__cause__ or error.__context__
        if inner is None:
            break
        error, seen = inner, seen + 1
    return error


def _words(error: BaseException) -> str:
    """What the system says; of others the kind alone, for they quote what they could not read."""
    text = getattr(error, "strerror", None) or str(error)
    return text if isinstance(error, OSError) and isinstance(text, str) and text else type(error).__name__
