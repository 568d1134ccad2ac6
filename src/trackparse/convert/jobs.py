"""What a job is: one log to convert, or several into one file; and the jobs that a call of ``convert_logs`` makes."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from trackparse.convert.conversion import ConversionReport, empty_report, name_of_all
from trackparse.convert.lake import FileList, Lake, list_name
from trackparse.convert.outputs import (
    HIDDEN,
    PathOrUrl,
    check_places,
    flat_name,
    in_folder,
    name_in,
    rejects_beside,
    shown,
)
from trackparse.convert.places import Folder
from trackparse.datasets import DatasetSource, LogDataset
from trackparse.errors import OptionError, TrackparseError, printable
from trackparse.options import ConvertOptions, dataset_options
from trackparse.sources.filesystem import name_in_store
from trackparse.sources.listing import logs_of
from trackparse.sources.urls import scheme_of

logger: Final = logging.getLogger("trackparse")

Existing: TypeAlias = Literal["skip", "replace", "error"]


def is_expected(error: Exception) -> bool:
    """Whether a log or a disk is to blame. Any other error is raised."""
    return isinstance(error, TrackparseError | OSError | MemoryError)


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """One log to convert, or several into one file. It can be sent to another process.

    name: as messages call the log.
    size: in bytes, and time: when it was last changed, in nanoseconds; None if that is not known.
    source: gives what the log is read from.
    dest: the Parquet file.
    rejects: the file for bad records. None: a bad record is an error, or skipped.
    options: all other options of ``convert_log``.
    existing: what to do if the Parquet file exists.
    expected: whether an error ends this job only.
    partition_by: the columns to partition by. lake: the folder of the partitions; ``dest`` has the name of their files.
    logs: of several logs, the name, the size and the time of each.
    folder: where the Parquet file has the name that ``flat_name`` gives it; None if it is elsewhere.
    fault: why it cannot be done; None if it can.
    is_new: whether the folder was listed, and has no file of its name.
    """

    name: str
    size: int | None
    time: int | None
    source: Callable[[], AbstractContextManager[Any]]
    dest: PathOrUrl
    rejects: PathOrUrl | None
    options: ConvertOptions
    existing: Existing
    expected: Callable[[Exception], bool] = is_expected
    partition_by: tuple[str, ...] = ()
    lake: PathOrUrl | None = None
    logs: tuple[tuple[str, int | None, int | None], ...] = ()
    folder: PathOrUrl | None = None
    fault: TrackparseError | None = None
    is_new: bool = False


def joined_job(
    sources: DatasetSource | Iterable[DatasetSource],
    dest: PathOrUrl,
    rejects: PathOrUrl | None,
    asked: ConvertOptions,
    existing: Existing,
    expected: Callable[[Exception], bool] = is_expected,
) -> Job:
    """The job of converting several logs into one file. Raises what ``dataset`` and ``check_places`` raise."""
    filesystem = asked["filesystem"]
    logs = logs_of(sources, filesystem)
    outputs = {"name another file": dest, "name another file for the rejects": rejects}
    check_places([(log.name, log.place, outputs if log is logs[0] else {}) for log in logs])
    sizes = [log.size or 0 for log in logs]
    are_known = all(log.size is not None and log.time is not None for log in logs)
    return Job(
        name_of_all([log.name for log in logs]),
        sum(sizes) if are_known else None,
        max(log.time or 0 for log in logs) if are_known else None,
        partial(nullcontext, LogDataset(logs, dataset_options({"filesystem": filesystem}))),
        dest,
        rejects,
        asked,
        existing,
        expected,
        logs=tuple((log.name, log.size, log.time) for log in logs),
    )


def jobs_of(
    sources: DatasetSource | Iterable[DatasetSource],
    folder: PathOrUrl,
    by: tuple[str, ...],
    asked: ConvertOptions,
    existing: Existing,
) -> list[Job]:
    """The jobs of converting each log by itself."""
    lake = folder if by else None
    jobs = []
    logs = logs_of(sources, asked["filesystem"])
    for log in logs:
        if log.place is None:
            raise OptionError("a log in memory has no name: convert it with trackparse.convert_log")
        file = in_folder(folder, flat_name(log.below or name_in(log.name)))
        rejects = rejects_beside(file, lake) if asked["on_error"] == "quarantine" else None
        source = partial(nullcontext, log.place)
        job = Job(log.name, log.size, log.time, source, file, rejects, asked, existing)
        jobs.append(dataclasses.replace(job, partition_by=by, lake=lake, folder=folder))
    jobs = with_faults(jobs, [log.below for log in logs])
    elsewhere = "write to another folder"
    for number in range(2):
        check_places([(job.name, job.name, {elsewhere: outputs_of(job)[number]}) for job in jobs])
    tell_of_hidden_names(jobs)
    return jobs


def tell_of_hidden_names(jobs: Iterable[Job]) -> None:
    """Warn of files that are named after their logs, if readers of their folder take them for hidden ones."""
    for job in jobs:
        name = name_in(job.dest)
        if name.startswith(HIDDEN) and job.fault is None:
            # A log in a folder may be called by that.
            renamed = "log" if name_in(job.name).startswith(name[0]) else "folder of the log"
            readers = f"Spark, Hive and pyarrow.dataset pass over files whose names begin with '{name[0]}'"
            shown_names = map(printable, (job.name, name))
            logger.warning(f"%s: {readers}, such as %s: rename the {renamed}", *shown_names)


def with_faults(jobs: Sequence[Job], below: Sequence[str]) -> list[Job]:
    """The jobs, with a fault where two logs would become one file because of the folders that they are in.

    ``below``: of each log, its path from the folder on that was named. Of two logs with one name, ``a.zip`` and
    ``a.csv``, the caller may have meant either: ``check_places`` has an error for them.
    """
    sharing: dict[PathOrUrl, list[int]] = {}
    for number, job in enumerate(jobs):
        if job.folder is not None:
            sharing.setdefault(job.dest, []).append(number)
    done = [*jobs]
    for numbers in sharing.values():
        names = [jobs[number].name for number in numbers]
        if len(numbers) == 1 or not any("/" in below[number] for number in numbers):
            continue
        for number in numbers:
            fault = TrackparseError(
                f"{names[0]} and {names[1]} would both become {shown(jobs[number].dest)}",
                advice="give one of them another name, or write them to different folders",
            )
            done[number] = dataclasses.replace(jobs[number], fault=fault)
    return done


def outputs_of(job: Job) -> tuple[PathOrUrl | None, PathOrUrl | None]:
    """The files that are known before a log is read: the Parquet file, or the list of those; and the rejects."""
    if job.fault is not None:
        return None, None
    dest = job.dest if job.lake is None else in_folder(job.lake, list_name(name_in(job.dest)))
    return dest, job.rejects


def full_name(job: Job, place: Path | str) -> str:
    """The name of a place of a job, the same from wherever it is named, through whichever link or file system."""
    return name_in_store(str(place), job.options["filesystem"]) if is_stored(job, place) else os.path.realpath(place)


def is_stored(job: Job, place: Path | str) -> bool:
    """Whether a place of a job is one in a store, as far as its name tells."""
    return bool(scheme_of(place)) or job.options["filesystem"] is not None


def lake_of(job: Job) -> Lake | None:
    """Where a job writes partitions; None if it writes one file."""
    if job.lake is None:
        return None
    return Lake(Folder(job.lake, job.options["filesystem"]), name_in(job.dest), job.partition_by)


def report_of(job: Job, **more: Any) -> ConversionReport:
    """The report of a job that converted nothing."""
    return empty_report(job.name, **{"path": job.dest if job.lake is None else job.lake, **more})


def partitions_told(lake: Lake, files: FileList) -> dict[str, Any]:
    """What a report says of the files of a log."""
    names = tuple(map(lake.folder.shown, files.files))
    return {"path": lake.folder.shown(), "bytes_out": files.size, "files": names}
