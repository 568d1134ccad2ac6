"""Converts logs one after the other, or several at a time in processes of their own. Prints nothing."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trackparse.cli.exits import Exit
from trackparse.cli.inputs import Input
from trackparse.cli.outcomes import Outcome, convert, failure
from trackparse.cli.output import EXPECTED
from trackparse.cli.progress import Bar
from trackparse.cli.signals import held

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_PATIENCE = 12.0  # seconds that workers have to put things away; they take 10 s at most
# A worker imports what this process does, from where this one does.
_PROGRAM = "import sys; sys.path[:] = sys.argv[2:]; from trackparse.cli.worker import work; work(int(sys.argv[1]))"


@dataclass(frozen=True, slots=True)
class Job:
    """One log to convert."""

    log: Input
    dest: Path
    rejects: Path | None  # None: there are to be none
    options: dict[str, Any]  # of convert_log


def run_jobs(jobs: Sequence[Job], processes: int, bar: Bar) -> Generator[Outcome]:
    """The outcome of each job as it ends. Close the generator, and what still runs stops and leaves no file."""
    if processes > 1 and len(jobs) > 1:
        yield from _side_by_side(jobs, processes, bar)
        return
    before = 0
    for job in jobs:
        yield run_job(job, lambda done, before=before: bar.update(before + done))  # type: ignore[misc]
        before += job.log.size or 0


def run_job(job: Job, advance: Callable[[int], object]) -> Outcome:
    """The outcome of one job; ``advance`` is called with the bytes read."""
    try:
        with job.log.source() as source:
            options = {**job.options, "progress": lambda stats: advance(stats.bytes_read)}
            return convert(source, job.log.name, job.dest, job.rejects, **options)
    except EXPECTED as error:
        return failure(error, job.log.name)


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
                # A signal would end the new process with a traceback, or be raised before anybody knows of it.
                with held():
                    started.append(_Worker())
                at_work[started[-1].connection] = started[-1]
                started[-1].begin(*left.popleft())
            for connection in wait(list(at_work)):
                worker = at_work[connection]
                word = worker.next_word()
                if isinstance(word, int):
                    done[worker.number] = word
                    bar.update(sum(done))
                    continue
                if word is None or not left:
                    del at_work[connection]
                outcome = word or _died(worker.job)
                if connection in at_work:
                    worker.begin(*left.popleft())
                yield outcome
    finally:
        deadline = time.monotonic() + _PATIENCE
        for worker in started:
            worker.connection.close()
        for worker in started:
            worker.wait(deadline)


def _died(job: Job) -> Outcome:
    died = f"{job.log.name}: a process died, of too little memory perhaps: try fewer --jobs"
    return Outcome(Exit.FAILED, complaints=(died,))


class _Worker:
    """A worker process, seen from here. It ends when its connection does. Start it while signals are held."""

    connection: Connection
    job: Job
    number: int  # of the job

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
        """Have it do a job."""
        self.number, self.job = number, job
        with suppress(OSError):  # it is dead, and the next word will tell
            self.connection.send(job)

    def next_word(self) -> int | Outcome | None:
        """Bytes done, the outcome, or None if it is dead. Waits for it."""
        try:
            word: int | Outcome = self.connection.recv()
        except (EOFError, OSError):
            return None
        return word

    def wait(self, deadline: float) -> None:
        """Wait for its end, which is near when the connection is closed."""
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
