"""HTTP on this machine for the stand-in: ports, connections, and files that are sent badly. Knows no API."""

from __future__ import annotations

import io
import json
import re
import socket
import socketserver
import ssl
import struct
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import IO, Any, Final, Literal, Protocol
from urllib.parse import urlsplit

API: Final = "/json/1.3/"
METHODS: Final = ("createMessage", "getTrackingLog", "getResults")
_RANGE: Final = re.compile(r"bytes=(\d+)-(\d*)", re.ASCII)
_BODY_MOST: Final = 1 << 20  # bytes of a request


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer to give instead of the usual one; for ``FakeService.reply``.

    status: HTTP's status.
    body: bytes, or anything that can be sent as JSON.
    headers: more headers of the answer.
    pause: seconds before the answer.
    drop: close the connection instead of answering.

    Example::

        service.reply("getTrackingLog", Reply(503, headers={"Retry-After": "1"}), Reply(drop=True))
    """

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    pause: float = 0.0
    drop: bool = False

    @classmethod
    def refusal(cls, status_code: int, message: str, **more: Any) -> Reply:
        """A refusal as the service gives it: ``status_code`` in the body, and HTTP's status 200.

        ``more`` are other arguments of ``Reply``.
        """
        body = {"status_code": status_code, "status_message": message, "response": None}
        return cls(body=body, **more)


@dataclass(slots=True)
class Request:
    """A request that the stand-in received, and how it was answered; one of ``FakeService.requests``.

    host: which of the two ports received it.
    method: HTTP's method.
    path: path and query.
    headers: the headers of the request.
    body: the body of the request.
    status: HTTP's status of the answer; None if there was no answer.
    sent: which bytes of the file were sent, as the first one and the one behind the last; None for other answers.

    Example::

        assert [request.path for request in service.requests if request.status == 503] == []
    """

    host: Literal["api", "files"]
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    status: int | None = None
    sent: tuple[int, int] | None = None


@dataclass(slots=True)
class Delivery:
    """How files are sent; assign one to ``FakeService.delivery``, or change its fields.

    cuts: the connection breaks before each of these bytes of the file, once for each.
    reset: connections are reset when they break, as by a network failure; bytes on their way are lost.
    changes: after each break another file is sent, with another ETag and date.
    ranges: parts of the file are sent if they are asked for.
    chunked: the file is sent in chunks, without its length.
    length: the length is sent. If it is not, and the file is not chunked, it ends with the connection.
    tags: the header ETag is sent.
    dates: the header Last-Modified is sent.
    rate: bytes a second; None: as fast as possible.
    piece: bytes of one write.
    largest: bytes of the longest part that is sent, whatever is asked for; None: no bound.
    headers: headers to send as well, or instead.

    Example::

        service.delivery = Delivery(cuts=[10_000], reset=True)
    """

    cuts: list[int] = field(default_factory=list)
    reset: bool = False
    changes: bool = False
    ranges: bool = True
    chunked: bool = False
    length: bool = True
    tags: bool = True
    dates: bool = True
    rate: float | None = None
    piece: int = 256 << 10
    largest: int | None = None
    headers: dict[str, str] = field(default_factory=dict)


class Service(Protocol):
    """What answers the requests that a server receives."""

    delivery: Delivery
    requests: list[Request]
    stopping: threading.Event
    version: int  # of the files

    def next_reply(self, endpoint: str) -> Reply | None:
        """The reply that was set for this request; None if there is no such reply."""

    def answer(self, endpoint: str, body: bytes) -> Reply:
        """The usual answer to a request with this body."""
        ...

    def log(self, day: str) -> bytes | Path:
        """The file of a day."""
        ...


class Server(socketserver.ThreadingTCPServer):
    """One port, with a thread for each connection; ``end`` ends all of them."""

    allow_reuse_address = True
    daemon_threads = False
    request_queue_size = 64

    def __init__(self, service: Service, host: Literal["api", "files"], port: int, tls: ssl.SSLContext | None) -> None:
        self.service = service
        self.host: Literal["api", "files"] = host
        self._scheme = "http" if tls is None else "https"
        self._connections: set[socket.socket] = set()
        self._thread: threading.Thread | None = None
        super().__init__(("127.0.0.1", port), _Handler)
        if tls is not None:
            # The thread of the connection does the handshake.
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"{self._scheme}://127.0.0.1:{self.server_address[1]}"

    def begin(self) -> None:
        """Start to answer."""
        # The interval at which it looks whether to stop, in seconds.
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), name=f"fake-{self.host}")
        self._thread.start()

    def end(self) -> None:
        """Break all connections and close the port."""
        if self._thread is not None:
            self.shutdown()
            self._thread.join()
            self._thread = None
        for connection in list(self._connections):
            with suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Note the connection, to break it in the end."""
        self._connections.add(request)
        super().process_request(request, client_address)

    def close_request(self, request: Any) -> None:
        """Forget the connection."""
        self._connections.discard(request)
        super().close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: clients may break their connections."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "trackparse-testing"
    disable_nagle_algorithm = True
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base's
        """Print nothing; ``requests`` has it."""

    def do_POST(self) -> None:
        service = self.server.service
        length = self.headers.get("Content-Length", "0")
        body = self.rfile.read(min(int(length), _BODY_MOST)) if length.isdigit() else b""
        request = self._record(body)
        endpoint = self.path.removeprefix(API)
        if self.server.host != "api" or endpoint not in METHODS:
            self._give(request, Reply(404, b"no such method"))
            return
        self._give(request, service.next_reply(endpoint) or service.answer(endpoint, body))

    def do_GET(self) -> None:
        service = self.server.service
        request = self._record(b"")
        reply = service.next_reply("download") if self.server.host == "files" else None
        day = re.fullmatch(r"/logs/tracking_log_(\d{4}-\d\d-\d\d)\.zip", urlsplit(self.path).path, re.ASCII)
        if reply is not None:
            self._give(request, reply)
        elif self.server.host != "files" or day is None:
            self._give(request, Reply(404, b"no such file"))
        else:
            self._send_file(request, service.log(day[1]))

    def _record(self, body: bytes) -> Request:
        request = Request(self.server.host, self.command, self.path, dict(self.headers.items()), body)
        self.server.service.requests.append(request)
        return request

    def _give(self, request: Request, reply: Reply) -> None:
        self.server.service.stopping.wait(reply.pause)
        if reply.drop:
            self._break(reset=self.server.service.delivery.reset)
            return
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        request.status = reply.status
        self.send_response(reply.status)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **reply.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    # ---- files ------------------------------------------------------------------------------------------

    def _send_file(self, request: Request, log: bytes | Path) -> None:
        # Read once: the next test may set another delivery while this answer is being sent.
        delivery = self.server.service.delivery
        size = len(log) if isinstance(log, bytes) else log.stat().st_size
        start, end = self._span(delivery, size)
        if start is not None and start >= size:
            request.status = 416
            self._head(delivery, 416, {"Content-Range": f"bytes */{size}", "Content-Length": "0"})
            return
        request.status = 200 if start is None else 206
        headers = {"Content-Type": "application/zip"}
        if start is not None:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        first = start or 0
        if delivery.chunked:
            headers["Transfer-Encoding"] = "chunked"
        elif delivery.length:
            headers["Content-Length"] = str(end - first)
        else:
            headers["Connection"] = "close"
            self.close_connection = True
        self._head(delivery, request.status, {**headers, **delivery.headers})
        file: IO[bytes]
        with io.BytesIO(log) if isinstance(log, bytes) else log.open("rb") as file:
            file.seek(first)
            self._send(delivery, request, file, first, end)

    def _head(self, delivery: Delivery, status: int, headers: Mapping[str, str]) -> None:
        service = self.server.service
        tags = {
            "ETag": f'"{service.version}"' if delivery.tags else None,
            "Last-Modified": formatdate(service.version, usegmt=True) if delivery.dates else None,
            "Accept-Ranges": "bytes" if delivery.ranges else None,
        }
        self.send_response(status)
        for name, value in {**tags, **headers}.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()

    def _span(self, delivery: Delivery, size: int) -> tuple[int | None, int]:
        """First byte of the part to send, and the byte behind its last one; None and the size for the whole file."""
        service = self.server.service
        match = _RANGE.fullmatch(self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        valid = condition in (None, f'"{service.version}"', formatdate(service.version, usegmt=True))
        if match is None or not valid or not delivery.ranges:
            return None, size
        start = int(match[1])
        end = min(size, int(match[2]) + 1 if match[2] else size)
        return start, min(end, start + (delivery.largest or size))

    def _send(self, delivery: Delivery, request: Request, file: IO[bytes], start: int, end: int) -> None:
        """Send bytes start to end, up to the next cut."""
        service = self.server.service
        # In a chunked answer the end is a chunk of its own, and the connection may break before that.
        cut = min((cut for cut in delivery.cuts if start <= cut < end + delivery.chunked), default=None)
        position = start
        request.sent = (start, start)
        while position < (end if cut is None else cut) and not service.stopping.is_set():
            size = min(delivery.piece, (end if cut is None else cut) - position)
            # Noted before they are sent: a test may look at it as soon as its client has them all.
            request.sent = (start, position + size)
            if delivery.chunked:
                self.wfile.write(b"%x\r\n%b\r\n" % (size, file.read(size)))
            else:
                # The system copies the bytes, if it can: on a small machine client and server share the cores.
                self.connection.sendfile(file, position, size)
            position += size
            if delivery.rate:
                service.stopping.wait(size / delivery.rate)
        if cut is not None:
            delivery.cuts.remove(cut)
            service.version += delivery.changes
            self._break(reset=delivery.reset)
        elif delivery.chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _break(self, *, reset: bool) -> None:
        self.close_connection = True
        if reset:
            # With a linger time of zero the system resets the connection instead of ending it.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            socket.socket.close(self.connection)
        else:
            with suppress(OSError):
                socket.socket.shutdown(self.connection, socket.SHUT_RDWR)
