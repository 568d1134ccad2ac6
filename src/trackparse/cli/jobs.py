"""Converts logs one after the other, or several at a time in processes of their own. Prints nothing."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread, main_thread
from types import FrameType
from typing import Any

from trackparse.cli.exits import Exit
from trackparse.cli.inputs import Input
from trackparse.cli.outcomes import Outcome, convert, failure
from trackparse.cli.output import EXPECTED
from trackparse.cli.progress import Bar

_LOOKS = 0.1  # seconds between two looks at how far the others are
_PATIENCE = 10.0  # seconds to put things away; a reader waits 5 s for its thread


@dataclass(frozen=True, slots=True)
class Job:
    """One log to convert."""

    log: Input
    dest: Path
    rejects: Path | None  # None: beside dest
    options: dict[str, Any]  # of convert_log


def run_jobs(jobs: Sequence[Job], processes: int, bar: Bar) -> Generator[Outcome]:
    """The outcome of each job as it ends. Close the generator, and what still runs stops and leaves no file."""
    if processes > 1 and len(jobs) > 1:
        yield from _side_by_side(jobs, min(processes, len(jobs)), bar)
        return
    before = 0
    for job in jobs:
        yield _run(job, lambda done, before=before: bar.update(before + done))  # type: ignore[misc]
        before += job.log.size or 0


def _run(job: Job, advance: Callable[[int], object]) -> Outcome:
    try:
        with job.log.source() as source:
            options = {**job.options, "progress": lambda stats: advance(stats.bytes_read)}
            return convert(source, job.log.name, job.dest, job.rejects, **options)
    except EXPECTED as error:
        return failure(error, job.log.name)


# ---- several processes --------------------------------------------------------------------------------------


class _Stopped(BaseException):
    """The first process wants no more."""


class _Worker:
    """What a worker process knows besides its job."""

    done_bytes: Any  # of each job, shared with the first process
    busy = False  # a job is under way
    stopped = False


def _side_by_side(jobs: Sequence[Job], processes: int, bar: Bar) -> Generator[Outcome]:
    import multiprocessing
    from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
    from concurrent.futures.process import BrokenProcessPool

    # Forked, a worker would inherit the threads' locks without the threads.
    context = multiprocessing.get_context("spawn")
    done_bytes = context.RawArray("q", len(jobs))
    open_while_wanted, wanted = context.Pipe(duplex=False)
    executor = ProcessPoolExecutor(processes, context, _join_in, (done_bytes, open_while_wanted))
    running: dict[Future[Outcome], Job] = {}
    try:
        running |= {executor.submit(_run_in_worker, number, job): job for number, job in enumerate(jobs)}
        while running:
            ended, _ = wait(running, _LOOKS, FIRST_COMPLETED)
            bar.update(sum(done_bytes))
            for future in ended:
                job = running.pop(future)
                try:
                    yield future.result()
                except BrokenProcessPool:
                    died = f"{job.log.name}: a process died, of too little memory perhaps: try fewer --jobs"
                    yield Outcome(Exit.FAILED, complaints=(died,))
    finally:
        if running:
            wanted.close()
        executor.shutdown(cancel_futures=True)
        wanted.close()
        open_while_wanted.close()


def _join_in(done_bytes: Any, open_while_wanted: Any) -> None:
    """Begin as a worker. It ends with the first process, however that ends, and leaves no half file."""
    _Worker.done_bytes = done_bytes
    # It comes to all processes of a terminal: the first one says what becomes of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _stop)
    Thread(target=_watch, args=(open_while_wanted,), daemon=True).start()


def _watch(open_while_wanted: Any) -> None:
    with suppress(EOFError, OSError):
        open_while_wanted.recv()
    # To that thread alone: only there does it end a read from a source that never answers.
    signal.pthread_kill(main_thread().ident or 0, signal.SIGTERM)
    deadline = time.monotonic() + _PATIENCE
    while _Worker.busy and time.monotonic() < deadline:
        time.sleep(_LOOKS)
    os._exit(Exit.TERMINATED)


def _stop(signal_number: int, frame: FrameType | None) -> None:
    if not _Worker.busy:
        os._exit(Exit.TERMINATED)
    if not _Worker.stopped:
        _Worker.stopped = True
        raise _Stopped


def _run_in_worker(number: int, job: Job) -> Outcome:
    def advance(done: int) -> None:
        _Worker.done_bytes[number] = done

    _Worker.busy = True
    try:
        return _run(job, advance)
    finally:
        _Worker.busy = False
