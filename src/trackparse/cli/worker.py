"""A process that converts logs for another process. It ends when that process ends, and leaves no half file."""

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
from trackparse.cli.output import warnings_printed
from trackparse.cli.signals import listen, unblock

_CLEANUP = 10.0  # seconds to remove temporary files; a reader waits 5 s for its thread
_INTERVAL = 0.1  # seconds between two messages about progress


def work(descriptor: int) -> None:
    """Receive jobs from the connection; send the bytes read so far, and at the end of each job its outcome."""
    # Ctrl-C comes to all processes of a terminal: the first process decides what it does.
    listen(interrupts=False)
    unblock()
    connection: Connection = Connection(descriptor)
    jobs: SimpleQueue[Job] = SimpleQueue()
    Thread(target=_receive, args=(connection, jobs), daemon=True).start()
    with warnings_printed(), suppress(OSError):  # the other process has ended
        while True:
            connection.send(run_job(jobs.get(), _Progress(connection)))


def _receive(connection: Connection, jobs: SimpleQueue[Job]) -> None:
    try:
        while True:
            jobs.put(connection.recv())
    except (EOFError, OSError):
        # To the main thread alone: a signal there ends even a read from a source that never answers.
        signal.pthread_kill(main_thread().ident or 0, signal.SIGTERM)
    time.sleep(_CLEANUP)
    os._exit(Exit.TERMINATED)


class _Progress:
    """Sends how far the job is to the other process, at most ten times a second."""

    def __init__(self, connection: Connection) -> None:
        self._connection: Any = connection
        self._next = 0.0

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _INTERVAL
            self._connection.send(done)
