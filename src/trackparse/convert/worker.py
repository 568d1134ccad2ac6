"""A process that converts logs for another process. It ends when that process ends, and leaves no half file."""

from __future__ import annotations

import logging
import os
import signal
import time
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Lock, Thread, main_thread
from typing import Any

from trackparse.convert.places import Inputs
from trackparse.convert.running import run_job
from trackparse.errors import TrackparseError
from trackparse.signals import TERMINATED, listen, unblock

_CLEANUP = 10.0  # seconds to remove temporary files; a reader waits 5 s for its thread
_INTERVAL = 0.1  # seconds between two messages about progress


def work(descriptor: int) -> None:
    """Receive jobs from the connection; send what is logged, the bytes read so far, and the report of each job."""
    # Ctrl-C comes to all processes of a terminal: the first process decides what it does.
    listen(interrupts=False)
    unblock()
    first = _First(Connection(descriptor))
    logging.getLogger("trackparse").addHandler(first)
    jobs: SimpleQueue[Any] = SimpleQueue()
    Thread(target=_receive, args=(first.connection, jobs), daemon=True).start()
    with suppress(OSError):  # the other process has ended
        inputs: Inputs = jobs.get()
        while True:
            first.send(run_job(jobs.get(), inputs, first.advance))


def _receive(connection: Connection, jobs: SimpleQueue[Any]) -> None:
    try:
        while True:
            jobs.put(connection.recv())
    except Exception as error:
        if not isinstance(error, EOFError | OSError):
            # A job that cannot be read here: it has an object of a class that only the first process knows.
            traceback.print_exc()
            os._exit(1)
        # To the main thread alone: a signal there ends even a read from a source that never answers.
        signal.pthread_kill(main_thread().ident or 0, signal.SIGTERM)
    time.sleep(_CLEANUP)
    os._exit(TERMINATED)


class _First(logging.Handler):
    """The first process: the other end of the connection. It logs what this process would log."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.connection: Any = connection
        self._sending = Lock()  # the thread ahead may log something
        self._next = 0.0

    def send(self, message: object) -> None:
        with self._sending:
            self.connection.send(message)

    def emit(self, record: logging.LogRecord) -> None:
        message = record.msg if isinstance(record.msg, TrackparseError) else record.getMessage()
        sent = {"name": record.name, "levelno": record.levelno, "levelname": record.levelname, "msg": message}
        with suppress(OSError):
            self.send(logging.makeLogRecord(sent))

    def advance(self, done: int) -> None:
        """Send how far the job is, at most ten times a second."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _INTERVAL
            self.send(done)
