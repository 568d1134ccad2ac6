"""A server on this machine that sends bytes as they are told, and drips for ever."""

from __future__ import annotations

import gc
import os
import socketserver
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from socket import SHUT_RDWR, SO_LINGER, SOL_SOCKET, socket
from types import TracebackType
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class Raw:
    """What a connection gets: ``first``, then ``drip`` again and again until the other side leaves."""

    first: bytes = b""
    drip: bytes = b""
    every: float = 0.03  # seconds
    hold: bool = False  # stays open afterwards, without a word
    reset: bool = False  # ends as if the cable was pulled


def head(*lines: bytes, status: bytes = b"200 OK") -> bytes:
    return b"HTTP/1.1 " + status + b"\r\n" + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


class RawServer(socketserver.ThreadingTCPServer):
    """Answers by the first part of the path: each connection the next of its list, then the last one again.

    Without ``reads`` it answers whoever connects with the answer "", before a word of theirs.
    """

    daemon_threads = False
    request_queue_size = 200
    connections: ClassVar[set[socket]] = set()  # of all servers

    def __init__(self, answers: dict[str, list[Raw]], *, reads: bool = True) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = {name: list(some) for name, some in answers.items()}
        self.reads = reads
        self.stopping = threading.Event()
        self.asked: list[bytes] = []  # the heads of requests
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), name="raw-server")

    def url(self, name: str = "", scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.server_address[1]}/{name}"

    def next_answer(self, name: str) -> Raw:
        with self._lock:
            some = self.answers.get(name, [Raw(head(status=b"404 Not Found"))])
            return some.pop(0) if len(some) > 1 else some[0]

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def close_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().close_request(request)

    @classmethod
    def drop_all(cls) -> None:
        """End what is under way on this side: a write may wait, long after the other side has left."""
        for connection in list(cls.connections):
            with suppress(OSError):
                connection.shutdown(SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients leave as they like."""

    def __enter__(self) -> RawServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        self.stopping.set()
        self.drop_all()
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(socketserver.StreamRequestHandler):
    server: RawServer  # pyright: ignore[reportIncompatibleVariableOverride]
    timeout = 60

    def handle(self) -> None:
        with suppress(OSError):
            answer = self.server.next_answer(self._read_name() if self.server.reads else "")
            self.wfile.write(answer.first)
            while answer.drip and not self.server.stopping.wait(answer.every):
                self.wfile.write(answer.drip)
            if answer.hold:
                self.connection.settimeout(0.1)
                while not self.server.stopping.is_set():
                    with suppress(TimeoutError):
                        if not self.connection.recv(1 << 16):
                            break
            if answer.reset:
                self.connection.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
            else:
                self.connection.shutdown(SHUT_RDWR)

    def _read_name(self) -> str:
        lines = []
        while line := self.rfile.readline().strip():
            lines.append(line)
        self.server.asked.append(b"\n".join(lines))
        length = next((int(line[15:]) for line in lines if line.lower().startswith(b"content-length:")), 0)
        self.rfile.read(length)
        target = lines[0].split()[1].decode("latin-1").partition("?")[0] if lines else ""
        return target.split("/")[1] if "/" in target else target


def left_over() -> tuple[int, list[str]]:
    """Sockets and threads of ours that are there, when those on their way out have had a while."""
    RawServer.drop_all()
    end = time.monotonic() + 5
    while (threads := _threads()) and time.monotonic() < end:
        time.sleep(0.01)
    gc.collect()
    found = 0
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found += os.readlink(entry).startswith("socket:")  # noqa: PTH115 - a name that is no path
    return found, threads


def assert_nothing_left(sockets: int) -> None:
    """No thread of ours, and no more sockets than so many: a server's side of a connection ends a moment later."""
    end = time.monotonic() + 5
    while left_over()[0] > sockets and time.monotonic() < end:
        time.sleep(0.02)
    assert left_over() == (sockets, [])


def _threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("trackparse")]
