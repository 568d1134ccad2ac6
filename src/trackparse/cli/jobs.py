"""Converts logs one after the other, or several at a time in processes of their own. Prints nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trackparse.cli.exits import Exit
from trackparse.cli.inputs import Input
from trackparse.cli.outcomes import Outcome, convert, failure
from trackparse.cli.output import expected
from trackparse.cli.progress import Bar
from trackparse.cli.signals import signals_held

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_CLEANUP = 12.0  # seconds that workers have to remove their files; they take 10 s at most
# Bytes of a packed log from which on it keeps two cores busy: one thread inflates, one reads, one writes.
_LARGE: Final = 4 << 20
# A worker imports the same modules from the same places as this process.
_PROGRAM = "import sys; sys.path[:] = sys.argv[2:]; from trackparse.cli.worker import work; work(int(sys.argv[1]))"


@dataclass(frozen=True, slots=True)
class Job:
    """One log to convert.

    log: what to read.
    dest: the Parquet file.
    rejects: the file for bad records. None: a bad record is an error.
    options: the other options of ``convert_log``.
    """

    log: Input
    dest: Path
    rejects: Path | None
    options: dict[str, Any]


def run_jobs(jobs: Sequence[Job], processes: int, bar: Bar) -> Generator[Outcome]:
    """The outcome of each job as it ends. If you close the generator, running jobs stop and leave no file.

    Large logs get a process for two cores, even if ``processes`` is more.
    """
    if all((job.log.size or 0) >= _LARGE for job in jobs):
        processes = min(processes, max(1, _cores() // 2))
    if processes > 1 and len(jobs) > 1:
        yield from _side_by_side(jobs, processes, bar)
        return
    before = 0
    for job in jobs:
        yield run_job(job, lambda done, before=before: bar.update(before + done))  # type: ignore[misc]
        before += job.log.size or 0


def run_job(job: Job, advance: Callable[[int], object]) -> Outcome:
    """The outcome of one job. ``advance`` is called with the number of bytes read so far."""
    try:
        with job.log.source() as source:
            options = {**job.options, "progress": lambda stats: advance(stats.bytes_read)}
            return convert(source, job.log.name, job.dest, job.rejects, **options)
    except Exception as error:
        if not expected(error):
            raise
        return failure(error, job.log.name)


def _cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# ---- several processes --------------------------------------------------------------------------------------


def _side_by_side(jobs: Sequence[Job], processes: int, bar: Bar) -> Generator[Outcome]:
    from multiprocessing.connection import wait

    left = deque(enumerate(jobs))
    done = [0] * len(jobs)  # bytes
    started: list[_Worker] = []
    at_work: dict[Any, _Worker] = {}
    try:
        while left or at_work:
            while left and len(at_work) < processes:
                # A signal now would end the new process with a traceback, or be raised before it is in ``started``.
                with signals_held():
                    started.append(_Worker())
                at_work[started[-1].connection] = started[-1]
                started[-1].begin(*left.popleft())
            for connection in wait(list(at_work)):
                worker = at_work[connection]
                message = worker.receive()
                if isinstance(message, int):
                    done[worker.number] = message
                    bar.update(sum(done))
                    continue
                if message is None or not left:
                    del at_work[connection]
                outcome = message or _died(worker)
                if connection in at_work:
                    worker.begin(*left.popleft())
                yield outcome
    finally:
        deadline = time.monotonic() + _CLEANUP
        for worker in started:
            worker.connection.close()
        for worker in started:
            worker.wait(deadline)


def _died(worker: _Worker) -> Outcome:
    """The outcome of a job whose process ended without one."""
    code = worker.wait(time.monotonic() + _CLEANUP)
    why = (
        f"was killed by signal {-code}, perhaps for lack of memory: try fewer --jobs"
        if code < 0
        else "ended with an unexpected error: its traceback is printed above"
    )
    return Outcome(Exit.FAILED, warnings=(f"{worker.job.log.name}: the process that converted it {why}",))


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
        with suppress(OSError):  # it is dead: the next ``receive`` says so
            self.connection.send(job)

    def receive(self) -> int | Outcome | None:
        """Wait for its next message: bytes read so far, the outcome of its job, or None if it is dead."""
        try:
            message: int | Outcome = self.connection.recv()
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
