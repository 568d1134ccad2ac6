"""Converts many logs, each to a file: one after the other, or several at a time in processes of their own."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, Unpack, get_args

from trackparse.atomic import kept
from trackparse.columns.builder import ColumnBuilder
from trackparse.convert.conversion import PARTIAL, ConversionReport, convert, empty_report, name_of_all
from trackparse.convert.outputs import (
    Output,
    check_partition_by,
    check_places,
    is_file,
    name_in,
    named_after,
    rejects_beside,
    shown,
)
from trackparse.convert.parquet import read_footer
from trackparse.convert.partitions import FileList, Lake, PartitionSink
from trackparse.convert.places import Folder, Place, place_of
from trackparse.datasets import DatasetSource, LogDataset
from trackparse.errors import ArchiveError, OptionError, TrackparseError, printable, suggestion
from trackparse.options import ConvertOptions, convert_options, dataset_options
from trackparse.signals import signals_held
from trackparse.sources.listing import logs_of
from trackparse.sources.urls import name_of, scheme_of

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

Existing: TypeAlias = Literal["skip", "replace", "error"]

logger: Final = logging.getLogger("trackparse")

# Bytes of a packed log from which on it keeps two cores busy: one thread inflates, one reads, one writes.
_LARGE: Final = 4 << 20
# Bytes of packed logs that take as long as a process takes to start, about 0.4 s, even if another core is free.
WORTH_A_PROCESS: Final = 16 << 20
_PACKED_TO: Final = 8  # times smaller a log is in an archive
# A worker is handed its connection as a descriptor, which Windows cannot do.
_HAS_WORKERS: Final = os.name != "nt"
_CLEANUP: Final = 12.0  # seconds that workers have to remove their files; they take 10 s at most
# A worker imports the same modules from the same places as this process.
_PROGRAM: Final = (
    "import sys; sys.path[:] = sys.argv[2:]; from trackparse.convert.worker import work; work(int(sys.argv[1]))"
)
# The metadata that says what a file was made of: JSON of the log's name, size and time, and a digest of the options.
MADE_OF: Final = "trackparse.made_of"
# Options that say nothing about what is in the file.
_NOT_IN_FILE: Final = (
    *("on_rejects", "rejects", "progress", "limits", "block_size", "string_type", "dictionary", "filesystem"),
)
# What belongs to one log, or cannot be sent to another process.
_NOT_FOR_MANY: Final = {
    "rejects": "each log has a file of its own for its bad records, beside its Parquet file",
    "on_rejects": "read the files of rejects, or convert the logs one by one",
    "progress": "on_report is called as logs are done",
}


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
    joined: of several logs, what tells whether one of them has changed.
    """

    name: str
    size: int | None
    time: int | None
    source: Callable[[], AbstractContextManager[Any]]
    dest: Output
    rejects: Output | None
    options: ConvertOptions
    existing: Existing
    expected: Callable[[Exception], bool] = is_expected
    partition_by: tuple[str, ...] = ()
    lake: Output | None = None
    joined: str = ""


def joined_job(
    sources: DatasetSource | Iterable[DatasetSource],
    dest: Output,
    rejects: Output | None,
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
    # A folder that was moved has the same logs.
    told = [(Path(log.name).name, log.size, log.time) for log in logs]
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
        joined=_digest(told),
    )


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
            report = _reported(job, partial(_found, job)) if processes > 1 else None
            if report is None:
                left.append((number, job))
            else:
                yield number, report
        processes = _processes([job for _, job in left], processes)
        if processes > 1:
            yield from _side_by_side(left, processes, advance)
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
    """The report of one job. ``advance`` is called with the number of bytes read so far."""
    report = _reported(job, lambda: _found(job) or _converted(job, advance))
    assert report is not None  # noqa: S101 - for type checkers
    return report


def _reported(job: Job, work: Callable[[], ConversionReport | None]) -> ConversionReport | None:
    """What the work returns, or a report of its error."""
    try:
        return work()
    except Exception as error:
        if not job.expected(error):
            raise
        if isinstance(error, MemoryError):
            # Its traceback holds all that filled the memory.
            error = error.with_traceback(None)
        return _report(job, error=error)


def _converted(job: Job, advance: Callable[[int], object]) -> ConversionReport:
    made_of = _made_of(job)
    options: ConvertOptions = {
        **job.options,
        "rejects": job.rejects,
        "progress": lambda progress: advance(progress.bytes_read),
    }
    lake = _lake_of(job)
    if lake is not None:
        return _partitioned(job, lake, options, made_of)
    with job.source() as source:
        return dataclasses.replace(convert(source, job.dest, options, made_of), source=job.name)


def _lake_of(job: Job) -> Lake | None:
    if job.lake is None:
        return None
    return Lake(Folder(job.lake, job.options["filesystem"]), name_in(job.dest), job.partition_by)


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
        report = convert(source, lake.folder.path_of(lake.list_name), options, made_of, new_sink=new_sink)
    return dataclasses.replace(report, source=job.name, **_told(lake, made[0].files))


def _told(lake: Lake, files: FileList) -> dict[str, Any]:
    """What a report says of the files of a log."""
    names = tuple(map(lake.folder.shown, files.files))
    return {"path": lake.folder.shown(), "bytes_out": files.size, "files": names}


def _found_partitions(job: Job, lake: Lake, made_of: Mapping[str, str]) -> ConversionReport | None:
    """As ``_found``, of a log that is partitioned."""
    if (old := lake.old_list()) is None:
        return None
    name = lake.folder.shown(lake.list_name)
    if job.existing == "error" and old.whole:
        raise _in_the_way(name, "the log was converted before: this is the list of its files")
    if not _is_same(old.made_of, made_of, name) or not old.whole:
        return None
    lost, changed = lake.lost_or_changed(old)
    if changed:
        raise _in_the_way(lake.folder.shown(changed[0]), "the file has changed since it was made")
    damage = ArchiveError(old.partial) if old.partial else None
    return None if lost else _report(job, records=old.rows, damage=damage, skipped=True, **_told(lake, old))


def _report(job: Job, **more: Any) -> ConversionReport:
    """The report of a job that converted nothing."""
    return empty_report(job.name, **{"path": job.dest if job.lake is None else job.lake, **more})


# ---- what is there already ----------------------------------------------------------------------------------


def _made_of(job: Job) -> dict[str, str]:
    """The metadata that tell what the file is made of; empty if that is not known."""
    if job.size is None or job.time is None:
        return {}
    # Of several logs it is the file that has a name.
    place = name_of(job.dest) if job.joined else job.name
    stored = scheme_of(place) or job.options["filesystem"] is not None
    name = printable(place if stored else os.path.abspath(place))  # noqa: PTH100
    options = {**job.options, **({"partition_by": job.partition_by} if job.partition_by else {})}
    log: dict[str, Any] = {"name": name, "size": job.size, "time": job.time, "options": options_digest(options)}
    return {MADE_OF: json.dumps({**log, **({"logs": job.joined} if job.joined else {})}, sort_keys=True)}


def options_digest(options: Mapping[str, Any]) -> str:
    """What tells whether two files were made with the same options."""
    # A filter may name a hundred thousand codes.
    return _digest({name: _plain(value) for name, value in options.items() if name not in _NOT_IN_FILE})


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """The value of an option as JSON has it, the same for the same value."""
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, datetime):
        return value.isoformat()
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        # Their order is that of the columns.
        return [[str(name), _plain(one)] for name, one in value.items()]
    if isinstance(value, frozenset | set):
        return sorted(map(_plain, value))
    if isinstance(value, Iterable):
        return [*map(_plain, value)]
    return repr(value)


def _found(job: Job) -> ConversionReport | None:
    """The report of a log that is converted already. None if it has to be converted; an error if it must not be."""
    if job.existing == "replace":
        return None
    made_of = _made_of(job)
    lake = _lake_of(job)
    if lake is not None:
        return _found_partitions(job, lake, made_of)
    old = place_of(job.dest, job.options["filesystem"]).open_old()
    if old is None:
        return None
    with old:
        if job.existing == "error":
            raise _in_the_way(job.dest, "the file exists")
        before, records, size, damage = _read_made_of(old)
    if not _is_same(before, made_of, job.dest):
        return None
    report = _report(job, records=records, bytes_out=size, damage=damage, skipped=True)
    return dataclasses.replace(report, files=(report.path,))


def _is_same(before: Mapping[str, Any], made_of: Mapping[str, str], place: Output) -> bool:
    """Whether what stands in the place was made of this log, with these options, as it is now.

    TrackparseError if it was made of another log, or if nobody knows.
    """
    now = json.loads(made_of.get(MADE_OF, "{}"))
    if not now:
        raise _in_the_way(place, "the file exists, and the size or the time of the log is not known")
    if not isinstance(before.get("name"), str):
        raise _in_the_way(place, "the file exists, and does not say of which log it was made")
    # It may have been moved, or be named from another folder.
    if {**before, "name": ""} == {**now, "name": ""} and Path(before["name"]).name == Path(now["name"]).name:
        return True
    if before["name"] != now["name"]:
        raise _in_the_way(place, f"the file was made of another log, {before['name']}")
    return False


def _read_made_of(file: Any) -> tuple[dict[str, Any], int, int, ArchiveError | None]:
    """What a Parquet file was made of, its rows, its bytes, and the damage of its log. Nothing if others made it."""
    metadata = read_footer(file)
    if metadata is None:
        return {}, 0, 0, None
    try:
        pairs = metadata.metadata or {}
        told = json.loads(pairs[MADE_OF.encode()])
        partial_of = pairs.get(PARTIAL.encode(), b"").decode()
        damage = ArchiveError(partial_of) if partial_of else None
        return dict(told), metadata.num_rows, file.seek(0, os.SEEK_END), damage
    except (KeyError, ValueError, TypeError, RecursionError):
        return {}, 0, 0, None


def _in_the_way(place: Output, why: str) -> TrackparseError:
    return TrackparseError(
        f"{shown(place)}: {why}",
        advice="write to another folder, or write over it with existing='replace'",
        option="existing",
    )


# ---- several processes --------------------------------------------------------------------------------------


def _side_by_side(
    jobs: Sequence[tuple[int, Job]], processes: int, advance: Callable[[int], object]
) -> Generator[tuple[int, ConversionReport]]:
    from multiprocessing.connection import wait

    left = deque(jobs)
    done: dict[int, int] = {}  # bytes, by the number of the job
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
                    advance(sum(done.values()))
                    continue
                if isinstance(message, logging.LogRecord):
                    logging.getLogger(message.name).handle(message)
                    continue
                if message is None or not left:
                    del at_work[connection]
                number, report = worker.number, message or _died(worker)
                if connection in at_work:
                    worker.begin(*left.popleft())
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
    return _report(worker.job, error=error)


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


# ---- the call -----------------------------------------------------------------------------------------------


def _jobs_of(
    sources: DatasetSource | Iterable[DatasetSource],
    folder: Output,
    by: tuple[str, ...],
    asked: ConvertOptions,
    existing: Existing,
) -> list[Job]:
    """The jobs of converting each log by itself."""
    lake = folder if by else None
    jobs = []
    for log in logs_of(sources, asked["filesystem"]):
        if log.place is None:
            raise OptionError("a log in memory has no name: convert it with trackparse.convert_log")
        file = named_after(Path(name_in(log.name)), folder)
        rejects = rejects_beside(file, lake) if asked["on_error"] == "quarantine" else None
        source = partial(nullcontext, log.place)
        jobs.append(
            Job(log.name, log.size, log.time, source, file, rejects, asked, existing, partition_by=by, lake=lake)
        )
    elsewhere = "write to another folder"
    check_places([(job.name, job.name, {elsewhere: job.dest}) for job in jobs])
    check_places([(job.name, job.name, {elsewhere: job.rejects}) for job in jobs])
    return jobs


def convert_logs(
    sources: DatasetSource | Iterable[DatasetSource],
    dest: str | os.PathLike[str],
    *,
    jobs: int = 1,
    partition_by: Iterable[str] = (),
    existing: Existing = "skip",
    on_report: Callable[[ConversionReport], object] | None = None,
    **options: Unpack[ConvertOptions],
) -> list[ConversionReport]:
    """Write each of many logs as a Parquet file in a folder, and return a report of each, in the order of the logs.

    ``sources`` are those of ``dataset``, but for bytes, which have no name. ``dest`` is a folder, by its path or its
    URL; it is made if it is missing. A file has the name of its log with ``.parquet`` in place of ``.zip``, ``.csv`` or
    ``.csv.gz``. If ``dest`` is the name of a file, ``*.parquet``, all logs go into that one, as below.

    - ``jobs``: how many logs are converted at a time, at most, each in a process of its own. There are fewer where more
      would take longer: one for each 16 MiB of packed logs, because a process takes time to start; and one for two
      cores where all logs are larger than 4 MiB and not partitioned, because each keeps two cores busy. Default: 1, in
      this process.
    - ``partition_by``: names of columns whose values become folders, as Hive, Spark, DuckDB, Polars and pyarrow read
      them: with ``("date", "appCode")`` the records of ``day.zip`` go to ``date=2021-04-20/appCode=C90C0-0E786/
      day.parquet`` and so on, one file for each partition that the log has. ``"date"`` is made of the timestamp; the
      others are known columns of text. These columns do not stand in the files. Default: no partitions.
    - ``existing``: what to do if the Parquet file of a log exists. ``"skip"`` (default): leave the log out if its file
      was made of it with the same options, and convert it again if its size or time, or the options, have changed. A
      file that this call did not make, or made of another log, is an error. ``"replace"``: convert it again.
      ``"error"``: an error.
    - ``on_report``: a function that is called with each report when its log is done.

    The other options are those of ``convert_log``. With ``on_error="quarantine"`` the bad records of ``day.zip`` go to
    ``day.rejects.jsonl`` beside ``day.parquet``; ``rejects``, ``on_rejects`` and ``progress`` are not taken.

    A log that cannot be converted does not stop the others: its report has the ``error``, which is an OSError or a
    TrackparseError. Each file appears when it is complete, so a run that is repeated, or killed and repeated, never
    has a row twice. Raises what ``dataset`` raises for sources; OptionError and TypeError for options; OptionError if
    two logs would become one file.

    With ``partition_by`` a folder ``_trackparse`` beside the partitions has a list of the files of each log,
    ``day.json``, and ``day.rejects.jsonl``; readers of Hive partitions pass over it. A log counts as converted only
    when all its files and the list are there. Its files get their names when it has been read to its end. If it was
    converted before, files of partitions that it no longer has are removed. Null and empty text are one partition,
    ``__HIVE_DEFAULT_PARTITION__``, which is read as null; characters that no folder may have are written as ``%XX``.
    Memory does not grow with the log or with the number of partitions: what does not fit goes to a temporary file, in
    ``dest`` or, for a store, where ``tempfile`` puts it. A value that is too long for the name of a folder, more
    partitions than ``Limits.max_partitions`` and a column ``date`` of the log's own are errors of that log.

    All logs in one file are read as a ``dataset`` in the order of their names, by one process, and there is one report:
    with ``columns=`` there may be a column ``log``, and rejects, in ``all.rejects.jsonl`` beside ``all.parquet``, name
    the log beside its member. A log that cannot be read is an error of all, unless ``on_damage="keep"``.

    >>> reports = trackparse.convert_logs("days/", "lake/", jobs=2, on_error="quarantine")
    >>> [report.source for report in reports if report.error]
    []
    >>> trackparse.convert_logs("days/", "lake/", partition_by=("date", "appCode"))[0].files[0]
    PosixPath('lake/date=2021-04-20/appCode=67A9C-EB116/1.parquet')
    """
    asked = convert_options(options)
    for name, advice in _NOT_FOR_MANY.items():
        if asked[name] is not None:  # type: ignore[literal-required]
            raise OptionError(f"{name}: not for several logs: {advice}")
    if existing not in get_args(Existing):
        raise OptionError(f"existing={existing!r}{suggestion(str(existing), get_args(Existing))}")
    if not isinstance(jobs, int) or jobs < 1:
        raise OptionError(f"jobs={jobs!r}: expected 1 or more processes")
    by = check_partition_by(partition_by)
    filesystem = asked["filesystem"]
    quarantined = asked["on_error"] == "quarantine"
    place_of(dest, filesystem)  # an error if nothing can be written there
    folder = Folder(dest, filesystem)
    if is_file(folder.dest) and not os.fspath(dest).endswith("/"):
        if by:
            raise OptionError(f"partition_by: {folder.shown()} is one file: name a folder")
        rejects = rejects_beside(folder.dest) if quarantined else None
        todo = [joined_job(sources, folder.dest, rejects, asked, existing)]
    else:
        todo = [*_jobs_of(sources, folder.dest, by, asked, existing)]
        folder.make_folder_of(name_in(todo[0].dest))
    reports: dict[int, ConversionReport] = {}
    with closing(run_jobs(todo, jobs, lambda _: None)) as done:
        for number, report in done:
            reports[number] = report
            if on_report is not None:
                on_report(report)
    return [reports[number] for number in range(len(todo))]
