"""Runs jobs in processes of their own, several at a time. ``worker`` is what runs in these."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from trackparse.convert.conversion import ConversionReport
from trackparse.convert.jobs import Job, report_of
from trackparse.convert.places import Inputs
from trackparse.convert.sharing import size_of, with_its_share
from trackparse.errors import TrackparseError
from trackparse.signals import signals_held

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_CLEANUP: Final = 12.0  # seconds that workers have to remove their files; they take 10 s at most
# A worker imports the same modules from the same places as this process.
_PROGRAM: Final = (
    "import sys; sys.path[:] = sys.argv[2:]; from trackparse.convert.worker import work; work(int(sys.argv[1]))"
)


def run_side_by_side(
    jobs: Sequence[tuple[int, Job]], inputs: Inputs, processes: int, advance: Callable[[int], object]
) -> Generator[tuple[int, ConversionReport]]:
    """The number and the report of each job as it ends. ``advance`` is called with the bytes read so far, of all."""
    from multiprocessing.connection import wait

    left = deque(jobs)
    done: dict[int, int] = {}  # bytes, by the number of the job
    started: list[_Worker] = []
    at_work: dict[Any, _Worker] = {}

    def begin(worker: _Worker) -> None:
        number, job = left.popleft()
        rests = [size_of(one.job) - done.get(one.number, 0) for one in at_work.values() if one is not worker]
        worker.begin(number, with_its_share(job, rests, processes, last=not left))

    try:
        while left or at_work:
            while left and len(at_work) < processes:
                # A signal now would end the new process with a traceback, or be raised before it is in ``started``.
                with signals_held():
                    started.append(_Worker())
                at_work[started[-1].connection] = started[-1]
                started[-1].send(inputs)
                begin(started[-1])
            for connection in wait(list(at_work)):
                worker = at_work[connection]
                message = worker.receive()
                if isinstance(message, int):
                    done[worker.number] = message
                    advance(sum(done.values()))
                    continue
                if isinstance(message, logging.LogRecord):
                    logging.getLogger(message.name).handle(message)
                    continue
                if message is None or not left:
                    del at_work[connection]
                number, report = worker.number, message or _died(worker)
                if connection in at_work:
                    begin(worker)
                yield number, report
    finally:
        deadline = time.monotonic() + _CLEANUP
        for worker in started:
            worker.connection.close()
        for worker in started:
            worker.wait(deadline)


def _died(worker: _Worker) -> ConversionReport:
    """The report of a job whose process ended without one."""
    code = worker.wait(time.monotonic() + _CLEANUP)
    process = f"{worker.job.name}: the process that converted it"
    if code < 0:
        error = TrackparseError(
            f"{process} was killed by signal {-code}, perhaps for lack of memory",
            advice="try fewer jobs",
            option="jobs",
        )
    else:
        error = TrackparseError(f"{process} ended with an unexpected error: its traceback is printed above")
    return report_of(worker.job, error=error)


class _Worker:
    """A worker process. It ends when its connection is closed. Start it while signals are held."""

    connection: Connection
    job: Job
    number: int  # which job it is, 0-based

    def __init__(self) -> None:
        from multiprocessing import Pipe

        self.connection, its_end = Pipe()
        with its_end:
            descriptor = its_end.fileno()
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-c", _PROGRAM, str(descriptor), *sys.path],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[descriptor],
            )

    def begin(self, number: int, job: Job) -> None:
        """Send it a job."""
        self.number, self.job = number, job
        self.send(job)

    def send(self, message: Job | Inputs) -> None:
        """Send it a job; before the first one, what no job may write over."""
        with suppress(OSError):  # it is dead: the next ``receive`` says so
            self.connection.send(message)

    def receive(self) -> int | logging.LogRecord | ConversionReport | None:
        """Wait for its next message: bytes read so far, what it logs, the report of its job, or None if it is dead."""
        try:
            message: int | logging.LogRecord | ConversionReport = self.connection.recv()
        except (EOFError, OSError):
            return None
        return message

    def wait(self, deadline: float) -> int:
        """Wait until it has ended, and kill it after the deadline. Its exit code; negative for a signal."""
        try:
            return self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
