"""Runs jobs: one after the other, or several at a time in processes. An error of a log ends its job only."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

from trackparse.atomic import kept
from trackparse.columns.builder import ColumnBuilder
from trackparse.convert.conversion import ConversionReport, convert
from trackparse.convert.existing import MADE_OF, earlier_report, origin_of
from trackparse.convert.jobs import Job, lake_of, partitions_told, report_of
from trackparse.convert.lake import Lake
from trackparse.convert.outputs import in_folder
from trackparse.convert.partitions import PartitionSink
from trackparse.convert.places import Place
from trackparse.convert.processes import run_side_by_side
from trackparse.options import ConvertOptions

Result = TypeVar("Result")
logger: Final = logging.getLogger("trackparse")

# Bytes of a packed log from which on it keeps two cores busy: one thread inflates, one reads, one writes.
_LARGE: Final = 4 << 20
# Bytes of packed logs that take as long as a process takes to start, about 0.4 s, even if another core is free.
WORTH_A_PROCESS: Final = 16 << 20
_PACKED_TO: Final = 8  # times smaller a log is in an archive
# A worker is handed its connection as a descriptor, which Windows cannot do.
_HAS_WORKERS: Final = os.name != "nt"


def run_jobs(
    jobs: Sequence[Job], processes: int, advance: Callable[[int], object]
) -> Generator[tuple[int, ConversionReport]]:
    """The number and the report of each job as it ends. ``advance`` is called with the bytes read so far, of all.

    If you close the generator, running jobs stop and leave no file. There are as many ``processes``, or fewer where
    more of them would take longer.
    """
    if processes > 1 and not _HAS_WORKERS:
        processes = 1
        logger.warning("on Windows logs are converted one after the other")
    # A log may be named like a temporary file beside the output of another one.
    with kept(job.name for job in jobs):
        left: list[tuple[int, Job]] = []
        for number, job in enumerate(jobs):
            # No process is started for what was converted before.
            report = _reported(job, partial(earlier_report, job))
            if report is None:
                left.append((number, job))
            else:
                yield number, report
        processes = _processes([job for _, job in left], processes)
        if processes > 1:
            yield from run_side_by_side(left, processes, advance)
            return
        before = 0
        for number, job in left:
            yield number, run_job(job, lambda done, before=before: advance(before + done))  # type: ignore[misc]
            before += job.size or 0


def _processes(jobs: Sequence[Job], most: int) -> int:
    """How many processes take the least time: no more than ``most``."""
    # Without partitions the other core is busy from the beginning to the end: with the thread that writes.
    if all((job.size or 0) >= _LARGE and job.lake is None for job in jobs):
        most = min(most, max(1, _cores() // 2))
    return min(most, len(jobs), max(1, sum(map(_packed, jobs)) // WORTH_A_PROCESS))


def _packed(job: Job) -> int:
    """Bytes of the log, as they are, or would be, in an archive. One of unknown size is a large one."""
    if job.size is None:
        return WORTH_A_PROCESS
    return job.size // _PACKED_TO if job.name.lower().endswith(".csv") else job.size


def _cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_job(job: Job, advance: Callable[[int], object]) -> ConversionReport:
    """Do one job, and report it. ``advance`` is called with the number of bytes read so far."""
    return _reported(job, partial(_converted, job, advance))


def _reported(job: Job, work: Callable[[], Result]) -> Result | ConversionReport:
    """What the work returns, or a report of its error."""
    try:
        return work()
    except Exception as error:
        if not job.expected(error):
            raise
        if isinstance(error, MemoryError):
            # Its traceback holds all that filled the memory.
            error = error.with_traceback(None)
        return report_of(job, error=error)


def _converted(job: Job, advance: Callable[[int], object]) -> ConversionReport:
    made_of = origin_of(job)
    options: ConvertOptions = {
        **job.options,
        "rejects": job.rejects,
        "progress": lambda progress: advance(progress.bytes_read),
    }
    lake = lake_of(job)
    if lake is not None:
        return _partitioned(job, lake, options, made_of)
    with job.source() as source:
        return dataclasses.replace(convert(source, job.dest, options, made_of), source=job.name)


def _partitioned(job: Job, lake: Lake, options: ConvertOptions, made_of: Mapping[str, str]) -> ConversionReport:
    told = json.loads(made_of.get(MADE_OF, "{}"))
    made: list[PartitionSink] = []

    def new_sink(
        builder: ColumnBuilder, output: Place, options: ConvertOptions, metadata: Mapping[str, str]
    ) -> PartitionSink:
        replace = job.existing == "replace"
        made.append(PartitionSink(builder, output, options, metadata, lake=lake, made_of=told, replace=replace))
        return made[0]

    lake.folder.make_folder_of(lake.list_name)
    with job.source() as source:
        report = convert(source, in_folder(lake.folder.dest, lake.list_name), options, made_of, new_sink=new_sink)
    return dataclasses.replace(report, source=job.name, **partitions_told(lake, made[0].files))
