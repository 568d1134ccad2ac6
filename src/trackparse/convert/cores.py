"""How many processes convert logs side by side, and how many threads each of them has."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence
from typing import Final

from trackparse.convert.jobs import Job
from trackparse.sources.urls import scheme_of

# Bytes of packed logs that take as long as a process takes to start, about 0.4 s, even if another core is free.
WORTH_A_PROCESS: Final = 16 << 20
_A_LOG: Final = 1 << 18  # bytes that take as long as to open a log and to end a file, about 6 ms
_PACKED_TO: Final = 8  # times smaller a log is in an archive


def useful_processes(jobs: Sequence[Job], most: int) -> int:
    """How many processes take the least time: no more than ``most``."""
    if not any(map(_is_far, jobs)):
        most = min(most, _cores())
    return min(most, len(jobs), max(1, sum(_packed(job) + _A_LOG for job in jobs) // WORTH_A_PROCESS))


def with_its_share(job: Job, bytes_left_elsewhere: Iterable[int], processes: int, *, last: bool) -> Job:
    """The job, with its share of the cores. With more threads than cores all take longer.

    bytes_left_elsewhere: what each other process still has to read of its log.
    processes: how many there are. last: no other job waits for one of them.
    """
    # At the end a process that is nearly done hardly counts.
    busy = 1 + sum(2 * rest > size_of(job) for rest in bytes_left_elsewhere) if last else processes
    if busy == 1 or job.options["threads"] is not None:
        return job
    return dataclasses.replace(job, options={**job.options, "threads": max(1, _cores() // busy)})


def size_of(job: Job) -> int:
    """Bytes of the log. One of unknown size is a large one."""
    return WORTH_A_PROCESS if job.size is None else job.size


def _is_far(job: Job) -> bool:
    """Whether the log comes from elsewhere, or its file goes there: much of the time is spent with waiting."""
    places = (job.name, job.dest if job.lake is None else job.lake)
    return job.options["filesystem"] is not None or any(scheme_of(place) not in ("", "file") for place in places)


def _packed(job: Job) -> int:
    """Bytes of the log, as they are, or would be, in an archive."""
    return size_of(job) // (_PACKED_TO if job.size is not None and job.name.lower().endswith(".csv") else 1)


def _cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
