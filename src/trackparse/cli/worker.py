"""A process that converts logs for another one. It ends with that one, however that ends, and leaves no half file."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Thread, main_thread
from typing import Any

from trackparse.cli.exits import Exit
from trackparse.cli.jobs import Job, run_job
from trackparse.cli.signals import listen, unblock

_PATIENCE = 10.0  # seconds to put things away; a reader waits 5 s for its thread
_TOLD = 0.1  # seconds between two words about how far it is


def work(descriptor: int) -> None:
    """Receive jobs from the connection, and send bytes done and, of each job, the outcome."""
    # It comes to all processes of a terminal: the first one says what becomes of it.
    listen(interrupts=False)
    unblock()
    connection: Connection = Connection(descriptor)
    jobs: SimpleQueue[Job] = SimpleQueue()
    Thread(target=_receive, args=(connection, jobs), daemon=True).start()
    with suppress(OSError):  # nobody listens any more
        while True:
            connection.send(run_job(jobs.get(), _Teller(connection)))


def _receive(connection: Connection, jobs: SimpleQueue[Job]) -> None:
    try:
        while True:
            jobs.put(connection.recv())
    except (EOFError, OSError):
        # To that thread alone: only there does it end a read from a source that never answers.
        signal.pthread_kill(main_thread().ident or 0, signal.SIGTERM)
    time.sleep(_PATIENCE)
    os._exit(Exit.TERMINATED)


class _Teller:
    """Tells the first process how far the job is, and not too often."""

    def __init__(self, connection: Connection) -> None:
        self._connection: Any = connection
        self._next = 0.0

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _TOLD
            self._connection.send(done)
