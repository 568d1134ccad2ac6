"""How many processes convert logs side by side, and how many threads each of them has.

What a conversion will take is told in bytes: of packed logs that one thread converts in the same time, 48 MB a second.
To start and to end two processes, and how much faster two threads are, was measured, on two cores of an AMD EPYC. The
other figures are reckoned, from what each thread of a log takes there; four requests of 20 ms are an assumption.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Final

from trackparse.convert.conversion import SMALL_LOG
from trackparse.convert.jobs import Job
from trackparse.cores import usable_cores
from trackparse.sources.urls import scheme_of

_STARTS: Final = 16 << 20  # to start processes and to end them, at once: 0.33 s
_A_LOG: Final = 1 << 16  # to open a log and to end its file: 1.3 ms
_A_FAR_LOG: Final = 4 << 20  # to wait for a store: four requests of 20 ms
_UNKNOWN: Final = 16 << 20  # a log of unknown size is a large one
_PACKED_TO: Final = 8  # times smaller a log is in an archive
# How much faster two threads with a core each convert a log than one does, and three or more. Inflating takes 0.27 s of
# 1.1, and is all that another thread does where partitions are written.
_FASTER: Final = (1.56, 2.25)
_FASTER_PARTITIONS: Final = (1.25, 1.25)
# A small log has one thread. Beside others it takes a process up to 1.8 times as long as this one takes alone.
_SMALL_BESIDE_OTHERS: Final = 2


def useful_processes(jobs: Sequence[Job], most: int) -> int:
    """How many processes take the least time, no more than ``most``. 1: this process, and no other is started."""
    far = any(map(_is_far, jobs))
    cores = usable_cores()
    most = min(most, len(jobs)) if far else min(most, len(jobs), cores)
    if most < 2:
        return 1
    small = sum(_work(job) for job in jobs if not far and _is_small(job))
    large = [_work(job) + (_A_FAR_LOG if far else 0) for job in jobs if far or not _is_small(job)]
    all_large, largest = sum(large), max(large, default=0)

    def time(processes: int) -> float:
        # Much of the time is spent with waiting: more threads for a log hardly help.
        faster = 1.0 if far else _faster(jobs[0], cores // processes)
        alone = processes == 1
        mean = (all_large / faster + small * (1 if alone else _SMALL_BESIDE_OTHERS)) / len(jobs)
        starts = 0 if alone else _STARTS * math.ceil(processes / cores)
        return starts + max(largest / faster, mean * math.ceil(len(jobs) / processes))

    # Of several that take the same time it is the fewest.
    return min(range(1, most + 1), key=time)


def with_its_share(job: Job, bytes_left_elsewhere: Iterable[int], processes: int, *, last: bool) -> Job:
    """The job, with its share of the cores. With more threads than cores all take longer.

    bytes_left_elsewhere: what each other process still has to read of its log.
    processes: how many there are. last: no other job waits for one of them.
    """
    # At the end a process that is nearly done hardly counts.
    busy = 1 + sum(2 * rest > size_of(job) for rest in bytes_left_elsewhere) if last else processes
    if busy == 1 or job.options["threads"] is not None:
        return job
    return dataclasses.replace(job, options={**job.options, "threads": max(1, usable_cores() // busy)})


def size_of(job: Job) -> int:
    """Bytes of the log."""
    return _UNKNOWN if job.size is None else job.size


def _faster(job: Job, cores: int) -> float:
    """How much faster the log is converted than by one thread, by a process that has so many cores."""
    threads = min(cores, job.options["threads"] or cores)
    if threads < 2:
        return 1.0
    return (_FASTER if job.lake is None else _FASTER_PARTITIONS)[min(threads, 3) - 2]


def _is_far(job: Job) -> bool:
    """Whether the log comes from elsewhere, or its file goes there: much of the time is spent with waiting.

    A log of unknown size on this machine is a pipe: it comes as fast as somebody writes.
    """
    places = (job.name, job.dest if job.lake is None else job.lake)
    is_there = job.options["filesystem"] is not None or any(scheme_of(place) not in ("", "file") for place in places)
    return is_there or job.size is None


def _is_small(job: Job) -> bool:
    """Whether it is converted by one thread, however many there might be."""
    return size_of(job) <= SMALL_LOG


def _work(job: Job) -> int:
    """What the log takes: its bytes, as they are, or would be, in an archive; and to open it and to end its file."""
    is_csv = job.size is not None and job.name.lower().endswith(".csv")
    return size_of(job) // (_PACKED_TO if is_csv else 1) + _A_LOG
