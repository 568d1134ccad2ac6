"""Ends what waits for the network when its time is over, or when nobody wants it any more. Knows no HTTP."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeAlias

from trackparse.sources.retry import RetryBudget

_SLICE: Final = 0.05  # seconds between two looks at the time and at whoever may cancel

Order: TypeAlias = Callable[[], object]


class Watch:
    """A thread beside whoever waits for the network.

    A read returns with each byte, so a timeout of reads bounds nothing: a server may send a byte of a header now and
    then, for ever. The thread looks at the time and shuts the socket down, which ends whatever waits for it. Before
    there is a socket it makes the connection, because looking up a name and connecting cannot be ended from outside:
    whoever waits for that leaves the thread alone when it takes too long, and it ends by itself.

    The thread alone touches its copy of the socket, so that it never shuts down another one that got the same number.
    Orders to it are lock-free: the garbage collector may give them.
    """

    def __init__(self, budget: RetryBudget) -> None:
        self._budget = budget
        self._orders: SimpleQueue[Order | None] = SimpleQueue()
        self._until: float | None = None  # on the clock of budget; None while nobody waits
        self._socket: socket.socket | None = None
        self._connected: SimpleQueue[Any] = SimpleQueue()  # a socket or an exception
        self._left_alone = False
        self.late = False  # what is under way was ended, or will be
        self._thread = threading.Thread(target=self._run, name="trackparse-watch", daemon=True)
        self._thread.start()

    # ---- whoever waits ----------------------------------------------------------------------------------

    def begin(self, seconds: float) -> None:
        """Something begins that has so many seconds."""
        self._until = self._budget.clock.now() + seconds

    def rest(self) -> None:
        """It is done; what comes next may take its time."""
        self._until = None

    def connect(self, make: Callable[[], Any]) -> Any:
        """The socket that ``make`` gives; TimeoutError where it does not come in time."""
        self._orders.put(lambda: self._connect(make))
        while True:
            with suppress(Empty):
                found = self._connected.get(timeout=_SLICE)
                if isinstance(found, BaseException):
                    raise found
                return found
            if self._is_over():
                self.late = self._left_alone = True
                raise TimeoutError("the connection was not there in time")

    def hold(self, connection: Any) -> None:
        """Watch a socket that is there already."""
        copy = _copy_of(connection)
        self._orders.put(lambda: self._take(copy))

    def interrupt(self) -> None:
        """Shut the socket down now; for other threads."""
        self._orders.put(self._end)

    def close(self) -> None:
        """End the thread; twice does no harm. The socket stays as it is."""
        self.drop()
        # The garbage collector may run in any thread, this one included.
        if not self._left_alone and self._thread is not threading.current_thread():
            self._thread.join()

    def drop(self) -> None:
        """The same for the garbage collector, which does not wait."""
        self._orders.put(None)

    # ---- the thread -------------------------------------------------------------------------------------

    def _run(self) -> None:
        look = time.monotonic() + _SLICE
        while True:
            with suppress(Empty):
                order = self._orders.get(timeout=max(0.0, look - time.monotonic()))
                if order is None:
                    break
                order()
                continue
            look = time.monotonic() + _SLICE
            if self._is_over():
                self._end()
        if self._socket is not None:
            self._socket.close()
        with suppress(Empty):
            # A connection that came when nobody waited for it any more.
            found = self._connected.get_nowait()
            if not isinstance(found, BaseException):
                found.close()

    def _is_over(self) -> bool:
        until = self._until
        return until is not None and (self._budget.ended or self._budget.clock.now() >= until)

    def _end(self) -> None:
        self.late = True
        if self._socket is not None:
            # It may have ended by itself meanwhile.
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _connect(self, make: Callable[[], Any]) -> None:
        try:
            connection = make()
        except BaseException as error:
            self._connected.put(error)
            return
        try:
            self._take(_copy_of(connection))
        except OSError as error:
            # There are no numbers left for files.
            connection.close()
            self._connected.put(error)
            return
        self._connected.put(connection)

    def _take(self, copy: socket.socket) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = copy
        if self.late:
            self._end()


def _copy_of(connection: Any) -> socket.socket:
    # By its number: what is encrypted is wrapped in various ways, and only the connection below is of interest.
    return socket.fromfd(connection.fileno(), socket.AF_INET, socket.SOCK_STREAM)
