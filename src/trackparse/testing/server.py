"""HTTP on this machine for the stand-in of the service: ports, connections, and files sent badly. Knows no API."""

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
_LONGEST_BODY: Final = 1 << 20  # bytes of a request


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer to give instead of the usual one: ``body`` is bytes, or what becomes JSON.

    ``pause`` (seconds) comes before it. ``drop`` closes the connection instead of answering.
    """

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    pause: float = 0.0
    drop: bool = False

    @classmethod
    def refusal(cls, status_code: int, message: str, **more: Any) -> Reply:
        """As the service refuses: with a code of its own, by HTTP's 200."""
        body = {"status_code": status_code, "status_message": message, "response": None}
        return cls(body=body, **more)


@dataclass(slots=True)
class Request:
    """A request that came, and what it got."""

    host: Literal["api", "files"]
    method: str
    path: str  # with the query
    headers: dict[str, str]
    body: bytes
    status: int | None = None  # None where nothing was answered
    sent: tuple[int, int] | None = None  # the bytes of the file that were sent: the first, the one behind the last


@dataclass(slots=True)
class Delivery:
    """How files are sent."""

    cuts: list[int] = field(default_factory=list)  # bytes of the file before which the connection breaks, each once
    reset: bool = False  # breaks as if the cable was pulled; bytes under way are lost
    changes: bool = False  # the file is another one after each break
    ranges: bool = True
    chunked: bool = False
    length: bool = True  # without it, and not chunked, the end of the connection is the end of the file
    tags: bool = True  # ETag
    dates: bool = True  # Last-Modified
    rate: float | None = None  # bytes a second
    piece: int = 256 << 10  # bytes of one write
    largest: int | None = None  # bytes that one answer to a range holds at most
    headers: dict[str, str] = field(default_factory=dict)  # more of them, or others


class Service(Protocol):
    """Whoever answers."""

    delivery: Delivery
    requests: list[Request]
    stopping: threading.Event
    version: int  # of the files

    def next_reply(self, endpoint: str) -> Reply | None: ...

    def answer(self, endpoint: str, body: bytes) -> Reply: ...

    def log(self, day: str) -> bytes | Path: ...


class Server(socketserver.ThreadingTCPServer):
    """One port. A thread a connection, all of them ended by ``end``."""

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
            # The handshake is the connection's thread's.
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.server_address[1]}"

    def begin(self) -> None:
        # Stopping waits for the next look.
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), name=f"fake-{self.host}")
        self._thread.start()

    def end(self) -> None:
        if self._thread is not None:
            self.shutdown()
            self._thread.join()
            self._thread = None
        for connection in list(self._connections):
            with suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def close_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that go away are what this is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "trackparse-testing"
    disable_nagle_algorithm = True
    server: Server  # pyright: ignore[reportIncompatibleVariableOverride]

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base's
        """Say nothing; ``requests`` has it."""

    def do_POST(self) -> None:
        service = self.server.service
        length = self.headers.get("Content-Length", "0")
        body = self.rfile.read(min(int(length), _LONGEST_BODY)) if length.isdigit() else b""
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
        # Looked at once: the next test may set another while this answer is on its way.
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
        """First byte, and the one behind the last; None and the size for the whole file."""
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
        # Where the end is a chunk of its own, the connection may break before it.
        cut = min((cut for cut in delivery.cuts if start <= cut < end + delivery.chunked), default=None)
        position = start
        request.sent = (start, start)
        while position < (end if cut is None else cut) and not service.stopping.is_set():
            size = min(delivery.piece, (end if cut is None else cut) - position)
            # Before the client can have them: it may ask what was sent as soon as it has them all.
            request.sent = (start, position + size)
            if delivery.chunked:
                self.wfile.write(b"%x\r\n%b\r\n" % (size, file.read(size)))
            else:
                # The system copies, where it can: on a small machine we share the cores with the client.
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
