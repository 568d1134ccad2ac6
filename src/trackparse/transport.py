"""One HTTP exchange, and errors that hide the token. Knows no log and no API, and tries once."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final, TypeAlias
from urllib.parse import quote, unquote, urljoin, urlsplit

from trackparse.errors import one_line
from trackparse.patience import Clock, Fault
from trackparse.version import __version__

try:
    import urllib3
except ModuleNotFoundError:
    raise ImportError("the client needs urllib3: pip install 'trackparse[client]'", name="urllib3") from None

Response: TypeAlias = urllib3.BaseHTTPResponse
BREAKS: Final = (urllib3.exceptions.HTTPError, OSError)  # what an exchange may raise
TRANSIENT: Final = (408, 425, 429)  # and 5xx: the same request may be answered better later
REDIRECTS: Final = 5  # followed in one exchange
_KEPT: Final = 8  # idle connections of one host, where threads share a client
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_LONGEST_URL: Final = 8 << 10  # characters
HEADERS: Final = {
    # Offsets of a range count bytes as they are sent: nothing may be packed on the way.
    "Accept-Encoding": "identity",
    "User-Agent": f"trackparse/{__version__}",
}


class Secret:
    """A text that shows itself to nobody who does not ask for it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text."""
        return self._text

    def hidden_in(self, text: str) -> str:
        """The text without the secret, however it was quoted on its way into it."""
        for form in sorted(self._forms(), key=len, reverse=True):
            text = text.replace(form, "***")
        return text

    def _forms(self) -> set[str]:
        as_json = json.dumps(self._text)[1:-1]
        forms = {self._text, as_json, as_json.replace("/", "\\/"), quote(self._text), quote(self._text, safe="")}
        return forms | {repr(form)[1:-1] for form in forms}

    def __repr__(self) -> str:
        return "'***'"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a secret is not to be copied or pickled: make a new client where it is needed")


class HiddenBytes(bytes):
    """Bytes that a traceback with local variables does not show."""

    def __repr__(self) -> str:
        return f"<{len(self)} bytes>"


def url_problem(url: str, what: str, *, allow_http: bool) -> str:
    """Why a URL may not be asked; empty if it may. Not shortened: what a message must not show has to be whole."""
    if not url.isascii() or not url.isprintable() or " " in url or len(url) > _LONGEST_URL:
        return f"{what} is no URL: {url!r}"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as fault:
        return f"{what} is no URL: {url!r} ({fault})"
    if not host or parts.scheme not in ("http", "https"):
        return f"{what} is no https:// URL: {shown(url)!r}"
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
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def origin(url: str) -> tuple[str, str | None, int]:
    """Scheme, host and port."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that the server asks to wait, written as a number or as a date; ``now`` is since 1970."""
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now)


def packed(headers: Mapping[str, str]) -> str:
    """How a body was packed on the way, empty if it was not."""
    encoding = headers.get("Content-Encoding", "").strip()
    return "" if encoding.lower() == "identity" else encoding


class Http:
    """A pool of connections. No cookies, no proxies from the environment, nothing followed unasked."""

    def __init__(
        self, *, timeout: float, allow_http: bool, pool: urllib3.PoolManager | None, secret: Secret | None, clock: Clock
    ) -> None:
        if not timeout > 0:
            raise ValueError(f"timeout={timeout!r}: more than 0 seconds")
        self.timeout = timeout
        self.allow_http = allow_http
        self.clock = clock
        self._secret = secret
        self._owned = pool is None
        self._pool = urllib3.PoolManager(maxsize=_KEPT) if pool is None else pool

    def clean(self, text: str) -> str:
        """Text for a message: short, on one line, and without the token, whoever put it there."""
        return one_line(text if self._secret is None else self._secret.hidden_in(text))

    def send(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Response | Fault:
        """The answer, unread; or what went wrong."""
        if self._secret is not None and self._secret.reveal() in unquote(url):
            # Whoever made this up: it would be sent where it does not belong, and stand in logs.
            return Fault("the URL holds the token", final=True)
        fault: Fault
        try:
            return self._pool.request(
                method,
                url,
                body=body,
                headers={**HEADERS, **(headers or {})},
                timeout=urllib3.Timeout(connect=self.timeout, read=self.timeout),
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
        except BREAKS as error:
            fault = self.fault(error, url)
        return fault

    def fault(self, error: BaseException, url: str) -> Fault:
        """What an exception of urllib3 says, in a few words."""
        host = urlsplit(url).netloc.rpartition("@")[2]
        root = _root(error)
        if isinstance(root, ssl.SSLCertVerificationError):
            text = (
                f"the certificate of {host} is not trusted ({root.verify_message}); "
                "if it is right, name its authority in SSL_CERT_FILE or hand over a pool"
            )
            return Fault(self.clean(text), final=True)
        if isinstance(error, (urllib3.exceptions.LocationValueError, urllib3.exceptions.ProxySchemeUnknown)):
            return Fault(self.clean(f"{host}: {error}"), final=True)
        if isinstance(error, urllib3.exceptions.NameResolutionError):
            return Fault(f"no host {host}")
        if isinstance(error, urllib3.exceptions.TimeoutError) and not isinstance(
            error, urllib3.exceptions.NewConnectionError
        ):
            return Fault(f"{host} did not answer within {self.timeout:g} s")
        return Fault(self.clean(f"the connection to {host} failed ({_words(root)})"))

    def redirect(self, response: Response, url: str) -> str | None:
        """Where a redirect leads, None if this is none. Nothing is checked."""
        location = response.headers.get("Location")
        if response.status not in _REDIRECTS or not location:
            return None
        try:
            return urljoin(url, location)
        except ValueError:
            return location

    def close(self) -> None:
        """Close idle connections; those in use end with their answers."""
        if self._owned:
            self._pool.clear()


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
    text = getattr(error, "strerror", None) or str(error)
    return text if isinstance(text, str) and text else type(error).__name__


def response_body(
    http: Http, response: Response, url: str, limit: int
) -> bytes | Fault:
    """The whole body of a small answer; ``final`` if it is larger than limit (bytes)."""
    if encoding := packed(response.headers):
        response.close()
        return Fault(http.clean(f"the answer is packed as {encoding}, which was not asked for"), response.status)
    parts: list[bytes] = []
    end = http.clock.now() + http.timeout
    size = 0
    try:
        while data := response.read1(64 << 10, decode_content=False):
            parts.append(data)
            size += len(data)
            if size > limit:
                return Fault(f"the answer is longer than {limit:,} bytes", response.status, final=True)
            if http.clock.now() > end:
                return Fault(f"the answer did not end within {http.timeout:g} s", response.status)
        response.release_conn()
        return b"".join(parts)
    except BREAKS as error:
        return http.fault(error, url)
    finally:
        response.close()

