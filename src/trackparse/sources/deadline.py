"""Ends waiting for the network when the time is over, or when the result is not wanted any more. Knows no HTTP."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeAlias

from trackparse.sources.retry import POLL_INTERVAL, RetryBudget

Order: TypeAlias = Callable[[], object]


class Watchdog:
    """A thread that ends whatever waits for a socket, when its time is over.

    A read returns with each byte, so a timeout of reads bounds nothing: a server may send a byte of a header now and
    then, for ever. The watchdog looks at the time and shuts the socket down, which ends the wait.

    Looking up a name and connecting cannot be ended from outside. So the watchdog itself makes the connection, and the
    waiting thread leaves it alone if that takes too long; it ends with the connection.

    Only the watchdog touches its copy of the socket, so that it never shuts down another socket with the same number.
    Orders to it need no lock: the garbage collector may give them.
    """

    def __init__(self, budget: RetryBudget) -> None:
        self._budget = budget
        self._orders: SimpleQueue[Order | None] = SimpleQueue()  # None ends the thread
        self._until: float | None = None  # on the clock of budget; None while nothing waits
        self._socket: socket.socket | None = None
        self._connected: SimpleQueue[Any] = SimpleQueue()  # a socket or an exception
        self._left_alone = False
        self.late = False  # the socket was shut down, or will be as soon as it exists
        self._thread = threading.Thread(target=self._run, name="trackparse-watchdog", daemon=True)
        self._thread.start()

    # ---- the waiting thread -----------------------------------------------------------------------------

    def begin(self, seconds: float) -> None:
        """What begins now may take so many seconds."""
        self._until = self._budget.clock.now() + seconds

    def rest(self) -> None:
        """It is done; what comes next may take its time."""
        self._until = None

    def connect(self, make: Callable[[], Any]) -> Any:
        """The socket that ``make`` returns; TimeoutError if that takes too long."""
        self._orders.put(lambda: self._connect(make))
        while True:
            with suppress(Empty):
                found = self._connected.get(timeout=POLL_INTERVAL)
                if isinstance(found, BaseException):
                    raise found
                return found
            if self._is_over():
                self.late = self._left_alone = True
                raise TimeoutError("the connection was not there in time")

    def guard(self, connection: Any) -> None:
        """Watch a socket that exists already."""
        copy = _copy_of(connection)
        self._orders.put(lambda: self._guard(copy))

    def interrupt(self) -> None:
        """Shut the socket down now; for other threads."""
        self._orders.put(self._shut_down)

    def close(self) -> None:
        """End the thread; twice does no harm. The socket stays as it is."""
        self.drop()
        # The garbage collector may run in any thread, also in the watchdog's.
        if not self._left_alone and self._thread is not threading.current_thread():
            self._thread.join()

    def drop(self) -> None:
        """End the thread without waiting for that; for the garbage collector."""
        self._orders.put(None)

    # ---- the watchdog's thread --------------------------------------------------------------------------

    def _run(self) -> None:
        next_look = time.monotonic() + POLL_INTERVAL
        while True:
            with suppress(Empty):
                order = self._orders.get(timeout=max(0.0, next_look - time.monotonic()))
                if order is None:
                    break
                order()
                continue
            next_look = time.monotonic() + POLL_INTERVAL
            if self._is_over():
                self._shut_down()
        if self._socket is not None:
            self._socket.close()
        with suppress(Empty):
            # A connection that was made after the waiting thread had given up.
            found = self._connected.get_nowait()
            if not isinstance(found, BaseException):
                found.close()

    def _is_over(self) -> bool:
        until = self._until
        return until is not None and (self._budget.is_abandoned or self._budget.clock.now() >= until)

    def _shut_down(self) -> None:
        self.late = True
        if self._socket is not None:
            # The connection may have ended by itself meanwhile.
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _connect(self, make: Callable[[], Any]) -> None:
        try:
            connection = make()
        except BaseException as error:
            self._connected.put(error)
            return
        try:
            self._guard(_copy_of(connection))
        except OSError as error:
            # The process has no file descriptors left.
            connection.close()
            self._connected.put(error)
            return
        self._connected.put(connection)

    def _guard(self, copy: socket.socket) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = copy
        if self.late:
            self._shut_down()


def _copy_of(connection: Any) -> socket.socket:
    # By its number, since encrypted sockets are wrapped in various ways, and only the connection below has to be known.
    return socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM)
