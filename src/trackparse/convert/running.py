"""Runs jobs: one after the other, or several at a time in processes. An error of a log ends its job only."""

from __future__ import annotations

import dataclasses
import errno
import json
import logging
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from trackparse.atomic import kept
from trackparse.columns.builder import ColumnBuilder
from trackparse.convert.conversion import ConversionReport, convert
from trackparse.convert.existing import MADE_OF, OtherNames, earlier_report, origin_of, tell_of_old_file
from trackparse.convert.jobs import Job, lake_of, partitions_told, report_of
from trackparse.convert.lake import Lake, list_name
from trackparse.convert.outputs import OWN_FOLDER, beside, in_folder, name_in
from trackparse.convert.partitions import PartitionSink
from trackparse.convert.places import Folder, Inputs, Place, check_no_link, folder_made, make_folder, place_of
from trackparse.convert.processes import run_side_by_side
from trackparse.convert.sharing import useful_processes
from trackparse.errors import TrackparseError
from trackparse.options import ConvertOptions

Result = TypeVar("Result")
logger: Final = logging.getLogger("trackparse")

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
    with ExitStack() as opened:
        opened.enter_context(kept(job.name for job in jobs))
        for folder, job in {job.folder: job for job in jobs}.items():
            if folder is not None:
                opened.enter_context(folder_made(folder, job.options["filesystem"]))
        left: list[tuple[int, Job]] = []
        others = OtherNames()
        for number, job in enumerate(jobs):
            # No process is started for what was converted before.
            report = _reported(job, partial(earlier_report, job)) or _reported(job, partial(others.check, job))
            if report is None:
                left.append((number, dataclasses.replace(job, is_new=others.is_new(job))))
            else:
                yield number, report
        processes = useful_processes([job for _, job in left], processes)
        # Other outputs are known before, and were compared with all logs.
        lakes = [job for job in jobs if job.lake is not None]
        inputs = Inputs((job.name for job in lakes), lakes[0].options["filesystem"] if lakes else None)
        try:
            if processes > 1:
                yield from run_side_by_side(left, inputs, processes, advance)
                return
            before = 0
            for number, job in left:
                yield number, run_job(job, inputs, lambda done, before=before: advance(before + done))  # type: ignore[misc]
                before += job.size or 0
        finally:
            # No sooner: another process may be about to write to it.
            for job in {job.lake: job for job in jobs if job.lake is not None}.values():
                Folder(job.lake or "", job.options["filesystem"]).remove_if_empty(OWN_FOLDER)


def run_job(job: Job, inputs: Inputs, advance: Callable[[int], object]) -> ConversionReport:
    """Do one job, and report it. ``advance`` is called with the number of bytes read so far."""
    return _reported(job, partial(_converted, job, inputs, advance))


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
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG and job.folder is not None:
            # The caller named the folder only.
            told = f"{error.strerror}: give the log a shorter name, or name the folder that it is in"
            error = OSError(error.errno, told, error.filename)
        return report_of(job, error=error)


def _converted(job: Job, inputs: Inputs, advance: Callable[[int], object]) -> ConversionReport:
    _check_not_twice(job)
    made_of = origin_of(job)
    options: ConvertOptions = {
        **job.options,
        "rejects": job.rejects,
        "progress": lambda progress: advance(progress.bytes_read),
    }
    lake = lake_of(job)
    if lake is not None:
        return _partitioned(job, lake, inputs, options, made_of)
    tell_of_old_file(job, made_of)
    # In a store nothing removes it.
    make_again = partial(make_folder, job.folder) if isinstance(job.folder, Path) else None
    with job.source() as source:
        report = convert(source, job.dest, options, made_of, make_folder=make_again)
    return dataclasses.replace(report, source=job.name)


def _check_not_twice(job: Job) -> None:
    """TrackparseError if the folder has the records of the log already: in one file, and now in partitions, or so."""
    lake = lake_of(job)
    if lake is None:
        place = place_of(beside(job.dest, list_name(name_in(job.dest))), job.options["filesystem"])
        told = "a log of this name was converted to partitions in this folder: with a file of it beside them"
    else:
        place = lake.folder.place(lake.name)
        told = "a log of this name was converted to this one file: with partitions of it beside that"
    if place.exists():
        raise TrackparseError(
            f"{place.name}: {told}, readers of the folder would find each record twice",
            advice="write to another folder, or remove what is there",
        )


def _partitioned(
    job: Job, lake: Lake, inputs: Inputs, options: ConvertOptions, made_of: Mapping[str, str]
) -> ConversionReport:
    more: dict[str, Any] = {
        "lake": lake,
        "made_of": json.loads(made_of.get(MADE_OF, "{}")),
        "inputs": inputs,
        "replace": job.existing == "replace",
    }
    made: list[PartitionSink] = []

    def new_sink(
        builder: ColumnBuilder, output: Place, options: ConvertOptions, metadata: Mapping[str, str]
    ) -> PartitionSink:
        made.append(PartitionSink(builder, output, options, metadata, **more))
        return made[0]

    check_no_link(lake.folder.place(lake.list_name))
    if job.rejects is not None:
        check_no_link(place_of(job.rejects, job.options["filesystem"]))
    dest = in_folder(lake.folder.dest, lake.list_name)
    make_own = partial(lake.folder.make_folder_of, lake.list_name)
    with job.source() as source:
        told: dict[str, Any] = {"make_folder": make_own, "old_rejects": lake.old_rejects}
        report = convert(source, dest, options, made_of, new_sink=new_sink, **told)
    return dataclasses.replace(report, source=job.name, **partitions_told(lake, made[0].files))
